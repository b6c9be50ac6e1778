"""The backend that has a server do the work, over gRPC."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import grpc

from lottery import operations
from lottery.backends.whole_file import writing_whole
from lottery.client import LotteryClient, TlsFiles
from lottery.client.audit import Verified
from lottery.errors import Problem, Refused
from lottery.operations.inputs import (
    JPMS_2024_09_06,
    Methodology,
    Received,
    ReceivedPositions,
    ReceivedVolumes,
)


class RemoteBackend(LotteryClient):
    """A connection to a server, with the methods of `LocalBackend`.

    Args:
        target: The server's address, HOST:PORT, or a channel to it, which stays open.
        tls: The files for TLS; None connects without it.
        memory: What a day may take that is read here.
        timeout: Seconds that a call may take; None waits without limit.

    Raises:
        OSError: A file cannot be read.
        ValueError: The key is not that of the certificate.
    """

    def __init__(
        self,
        target: str | grpc.Channel,
        *,
        tls: TlsFiles | None,
        memory: operations.MemoryLimit,
        timeout: float | None = None,
    ) -> None:
        super().__init__(target, tls=tls, timeout=timeout)
        self._memory = memory

    def giving(self, command: str) -> Self:  # noqa: ARG002 - the server asks at each call.
        return self

    def origin(self) -> None:
        """Return nothing: the origin of a server's log is for auditors to ask."""

    def methodology(self, business_date: dt.date) -> Methodology:
        return JPMS_2024_09_06.deciding(self.get_charter(business_date))

    def seed(
        self, volumes: ReceivedVolumes, business_date: dt.date | None
    ) -> operations.DerivedSeed:
        operations.derive_seed(volumes, business_date=business_date)  # Refuses by the file's rows.
        return self.derive_seed(volumes.asks, business_date=business_date)

    def run(
        self,
        request: operations.RunRequest,
        progress: operations.Progress,
        *,
        dry_run: bool = False,
    ) -> operations.RecordedRun:
        if request.intake_problems:
            # It will be refused: here every problem is listed, by the files' own rows.
            operations.compute_day(request, progress=progress)
        progress("waiting for the server")
        try:
            return self.run_lottery(
                business_date=request.business_date,
                asks=request.volumes.asks,
                # All of them, so that the server leaves out and records what does not count.
                notices=(request.notices.whole or request.notices).with_occ_reports(),
                positions=request.positions.table_to_send(),
                cycle=request.cycle,
                request_id=request.request_id or "",
                supersedes=request.supersedes,
                reason=request.reason or "",
                occ_positions=(
                    None if request.occ_positions is None else request.occ_positions.table
                ),
                may_be_cut_off=request.may_be_cut_off,
                clearing_member=request.clearing_member or "",
                volumes_as_of=request.volumes.sources[0].as_of or "",
                acknowledged=request.acknowledged,
                validate_only=dry_run,
                mapping=next(((each.name, each.read()) for each in request.mapping), None),
            )
        except Refused as error:
            # Refuses the same, by the files' own rows, and all of it.
            operations.compute_day(request, progress=progress)
            # Only the ledger could find these.
            problems = [_by_file_rows(problem, request) for problem in error.problems]
            raise Refused(problems, total=error.total, reason=error.reason) from None

    def pool_odds(self, request: operations.OddsRequest) -> operations.SeriesOdds:
        return self.odds(
            series=request.series,
            assigned_quantity=request.assigned_quantity,
            positions=zip(request.accounts, request.shorts, strict=True),
            occ_account=request.occ_account,
            account=request.account,
            business_date=request.business_date,
            decisions=_choices(request.methodology),
        )

    def verify(
        self,
        keys: Sequence[operations.VerifierKey],
        checkpoint: Mapping[str, bytes],
        progress: operations.VerifyProgress,
    ) -> Verified:
        progress("the server", 1, 1)
        return self.verify_ledger(keys, checkpoint)

    def export(self, run: str, path: Path) -> str:
        with writing_whole(path) as file:
            return self.export_run(run, file)

    def report(self, run: str, request: operations.PageRequest) -> operations.Page:
        with tempfile.TemporaryDirectory(prefix="lottery-report-") as directory:
            path = Path(directory) / "run.zip"
            exported = self.export(run, path)
            found = self.get_run(exported)
            supersession = operations.Supersession(
                is_known=True, superseded_by=found.superseded_by, verdict=found.verdict
            )
            return operations.report_bundle(path, (), request, supersession, memory=self._memory)


def _choices(methodology: Methodology) -> dict[str, str]:
    """Return the decisions that a request can choose."""
    decisions = methodology.decisions()
    return {name: decisions[name] for name in ("account_order", "zero_hit", "pool")}


def _by_file_rows(problem: Problem, request: operations.RunRequest) -> Problem:
    """Return a server's problem with what was sent, located in the file or option it came from."""
    if problem.source == "supersedes":
        return replace(problem, source="supersede")
    sent: dict[str, Received | ReceivedPositions | None] = {
        "arrow_notices": request.notices.whole or request.notices,
        "arrow_positions": request.positions,
        "arrow_occ_positions": request.occ_positions,
    }
    received = sent.get(problem.source)
    if received is None:
        return problem
    if problem.row is None:
        return replace(problem, source=received.locator.source)
    locator, index = received.locate(problem.row - 1)
    row = locator.row(index)
    return replace(problem, source=locator.source, row=row, line=locator.line(row))
