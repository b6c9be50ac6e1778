"""Who does the work: this process on a ledger's directory, or a server over gRPC."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from lottery import operations
from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Engine, Replayed
from lottery.audit.verify import Progress
from lottery.audit.verify_log import Fault
from lottery.client import DerivedSeed, LotteryClient
from lottery.errors import OutputUnwritable, Problem, Refused
from lottery.intake.received import ReceivedVolumes
from lottery.ledger.run import RunRecord, SeedRecord, WarningRecord
from lottery.ledger.signing import VerifierKey
from lottery.ledger.store import Ledger
from lottery.ledger.trail import system_identity


class Desk(Protocol):
    """The use cases as the commands see them; the methods are those of `lottery.operations`."""

    def derive_seed(self, volumes: ReceivedVolumes) -> DerivedSeed: ...

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RunOutcome: ...

    def get(self, run: str) -> RunRecord: ...

    def runs(self, first: dt.date | None, last: dt.date | None) -> Iterator[RunRecord]: ...

    def allocations(self, run: str) -> pa.Table: ...

    def pools(self, run: str) -> pa.Table: ...

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[PoolWorking]: ...

    def replay_run(self, run: str, engine: Engine) -> Replayed: ...

    def replay_dates(
        self, first: dt.date | None, last: dt.date | None, engine: Engine
    ) -> Iterator[Replayed]: ...

    def verify(self, keys: Sequence[VerifierKey], progress: Progress) -> Iterator[Fault]: ...

    def export(self, run: str, path: Path) -> str: ...

    def public_keys(self) -> operations.PublicKeys: ...


class LocalDesk:
    """Works on a ledger's directory.

    Args:
        ledger: The directory.
        lock_seconds: How long to wait for another writer.
        key: The file of the log's private key, where it is not in the ledger.
        complain: Told what did not hinder the work.
    """

    def __init__(
        self,
        ledger: Path,
        *,
        lock_seconds: float,
        key: Path | None,
        complain: Callable[[str], None],
    ) -> None:
        self._directory = ledger
        self._lock_seconds = lock_seconds
        self._key = key
        self._complain = complain

    def derive_seed(self, volumes: ReceivedVolumes) -> DerivedSeed:
        seed = operations.seed_of(volumes)
        return DerivedSeed(
            seed=SeedRecord.of(seed),
            warnings=tuple(WarningRecord.of(warning) for warning in seed.warnings()),
        )

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RunOutcome:
        return operations.run_lottery(
            lambda: Ledger.create(self._directory, lock_seconds=self._lock_seconds, key=self._key),
            request,
            progress=progress,
        )

    def get(self, run: str) -> RunRecord:
        return self.ledger().get(run)

    def runs(self, first: dt.date | None, last: dt.date | None) -> Iterator[RunRecord]:
        return self.ledger().iterate(first=first, last=last)

    def allocations(self, run: str) -> pa.Table:
        return operations.allocations(self.ledger(), run)

    def pools(self, run: str) -> pa.Table:
        return operations.pools(self.ledger(), run)

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[PoolWorking]:
        return operations.explain(
            self.ledger(), run, series=series, occ_account=occ_account, account=account
        )

    def replay_run(self, run: str, engine: Engine) -> Replayed:
        return operations.replay_run(self.ledger(), run, self._asker(), engine=engine)

    def replay_dates(
        self, first: dt.date | None, last: dt.date | None, engine: Engine
    ) -> Iterator[Replayed]:
        return operations.replay_dates(
            self.ledger(), self._asker(), engine=engine, first=first, last=last
        )

    def verify(self, keys: Sequence[VerifierKey], progress: Progress) -> Iterator[Fault]:
        return operations.verify_ledger(
            self._directory,
            key_file=self._key,
            keys=keys,
            lock_seconds=self._lock_seconds,
            progress=progress,
        )

    def export(self, run: str, path: Path) -> str:
        with writing_whole(path) as file:
            return operations.export_run(self.ledger(), run, file, system_identity())

    def public_keys(self) -> operations.PublicKeys:
        return operations.public_keys(self.ledger())

    def ledger(self) -> Ledger:
        return Ledger.open(self._directory, lock_seconds=self._lock_seconds, key=self._key)

    def _asker(self) -> operations.Asker:
        return operations.Asker(by=system_identity(), complain=self._complain)


class RemoteDesk:
    """Has a server do it."""

    def __init__(self, client: LotteryClient) -> None:
        self._client = client

    def derive_seed(self, volumes: ReceivedVolumes) -> DerivedSeed:
        volumes.place.problems.refuse_if_any()
        try:
            return self._client.derive_seed(volumes.asks)
        except Refused:
            operations.seed_of(volumes)  # Refuses the same, by the file's own rows.
            raise

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RunOutcome:
        if request.problems:
            # It will be refused: here every problem is listed, by the files' own rows.
            operations.compute_day(request, progress=progress)
        progress("waiting for the server")
        decisions = request.methodology.decisions()
        try:
            return self._client.run_lottery(
                business_date=request.business_date,
                asks=request.volumes.asks,
                notices=request.notices.table,
                positions=request.positions.table,
                cycle=request.cycle,
                request_id=request.request_id or "",
                supersedes=request.supersedes,
                reason=request.reason or "",
                positions_basis=request.positions_basis or "",
                decisions={name: decisions[name] for name in ("account_order", "zero_hit")},
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

    def public_keys(self) -> operations.PublicKeys:
        return self._client.public_keys()


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there whole once the block ends well, or not at all.

    Raises:
        OutputUnwritable: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with temporary.open("w+b") as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputUnwritable(f"{path}: {error.strerror or error}") from error


def _by_our_rows(problem: Problem, request: operations.RunRequest) -> Problem:
    """A server's problem of what was sent, by the place in the file that it came from."""
    sent = {"arrow_notices": request.notices, "arrow_positions": request.positions}
    received = sent.get(problem.source)
    if received is None:
        return problem
    if problem.row is None:
        return replace(problem, source=received.places[0].source)
    place, index = received.place_of(problem.row - 1)
    row = place.row(index)
    return replace(problem, source=place.source, row=row, line=place.line(row))
