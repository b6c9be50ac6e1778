"""A server over gRPC does the work; only then is gRPC loaded."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from lottery import operations
from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Engine, Replayed
from lottery.audit.report.request import PageRequest, Supersession
from lottery.audit.verify import Progress
from lottery.audit.verify_log import Fault
from lottery.cli.backend import writing_whole
from lottery.client import LotteryClient
from lottery.errors import Problem, Refused
from lottery.intake.sources import ReceivedVolumes
from lottery.ledger.run_record import RunRecord
from lottery.method.methodology import Methodology
from lottery.tlog.keys import VerifierKey


class RemoteBackend:
    """Has a server do it."""

    def __init__(self, client: LotteryClient) -> None:
        self._client = client

    def derive_seed(self, volumes: ReceivedVolumes) -> operations.DerivedSeed:
        volumes.place.problems.refuse_if_any()
        try:
            return self._client.derive_seed(volumes.asks)
        except Refused:
            operations.seed_of(volumes)  # Refuses the same, by the file's own rows.
            raise

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RecordedRun:
        if request.problems:
            # It will be refused: here every problem is listed, by the files' own rows.
            operations.compute_day(request, progress=progress)
        progress("waiting for the server")
        try:
            return self._client.run_lottery(
                business_date=request.business_date,
                asks=request.volumes.asks,
                notices=request.notices.with_occ_reports(),
                positions=request.positions.table,
                cycle=request.cycle,
                request_id=request.request_id or "",
                supersedes=request.supersedes,
                reason=request.reason or "",
                positions_basis=request.positions_basis or "",
                occ_positions=(
                    None if request.occ_positions is None else request.occ_positions.table
                ),
                decisions=_choices(request.methodology),
            )
        except Refused as error:
            # Refuses the same, by the files' own rows, and all of it.
            operations.compute_day(request, progress=progress)
            # What only the ledger could tell.
            problems = [_by_our_rows(problem, request) for problem in error.problems]
            raise Refused(problems, total=error.total, reason=error.reason) from None

    def get(self, run: str) -> RunRecord:
        return self._client.get_run(run)

    def runs(self, first: dt.date | None, last: dt.date | None) -> Iterator[RunRecord]:
        return self._client.list_runs(first=first, last=last)

    def allocations(self, run: str) -> pa.Table:
        return self._client.allocations(run)

    def pools(self, run: str) -> pa.Table:
        return self._client.pools(run)

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[PoolWorking]:
        return self._client.explain(run, series=series, occ_account=occ_account, account=account)

    def odds(self, request: operations.OddsRequest) -> operations.SeriesOdds:
        return self._client.odds(
            series=request.series,
            assigned_quantity=request.assigned_quantity,
            positions=zip(request.accounts, request.shorts, strict=True),
            occ_account=request.occ_account,
            account=request.account,
            decisions=_choices(request.methodology),
        )

    def replay_run(self, run: str, engine: Engine) -> Replayed:
        return self._client.replay_run(run, engine=engine)

    def replay_dates(
        self, first: dt.date | None, last: dt.date | None, engine: Engine
    ) -> Iterator[Replayed]:
        return self._client.replay_dates(first=first, last=last, engine=engine)

    def verify(self, keys: Sequence[VerifierKey], progress: Progress) -> Iterator[Fault]:
        progress("the server", 1, 1)
        return iter(self._client.verify_ledger(keys).faults)

    def export(self, run: str, path: Path) -> str:
        with writing_whole(path) as file:
            return self._client.export_run(run, file)

    def report(self, run: str, request: PageRequest) -> operations.Page:
        with tempfile.TemporaryDirectory(prefix="lottery-report-") as folder:
            path = Path(folder) / "run.zip"
            exported = self.export(run, path)
            date = self._client.get_run(exported).business_date
            superseding = (
                record.run for record in self.runs(date, date) if exported in record.supersedes
            )
            supersession = Supersession(is_known=True, superseded_by=next(superseding, None))
            return operations.report_bundle(path, (), request, supersession)

    def public_keys(self) -> operations.PublicKeys:
        return self._client.public_keys()


def _choices(methodology: Methodology) -> dict[str, str]:
    """The decisions that a request can choose."""
    decisions = methodology.decisions()
    return {name: decisions[name] for name in ("account_order", "zero_hit")}


def _by_our_rows(problem: Problem, request: operations.RunRequest) -> Problem:
    """A server's problem of what was sent, by the place in the file that it came from."""
    sent = {
        "arrow_notices": request.notices,
        "arrow_positions": request.positions,
        "arrow_occ_positions": request.occ_positions,
    }
    received = sent.get(problem.source)
    if received is None:
        return problem
    if problem.row is None:
        return replace(problem, source=received.places[0].source)
    place, index = received.place_of(problem.row - 1)
    row = place.row(index)
    return replace(problem, source=place.source, row=row, line=place.line(row))
