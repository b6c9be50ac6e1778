"""Who does the work: this process on a ledger's directory, or a server (`remote`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from lottery import operations
from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Engine, Replayed
from lottery.audit.report.request import PageRequest
from lottery.audit.verify import Progress
from lottery.audit.verify_log import Fault
from lottery.durable import atomic_file
from lottery.errors import OutputUnwritable
from lottery.intake.sources import ReceivedVolumes
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord
from lottery.ledger.trail import system_identity
from lottery.tlog.keys import VerifierKey


class Backend(Protocol):
    """The use cases as the commands see them; the methods are those of `lottery.operations`."""

    def derive_seed(self, volumes: ReceivedVolumes) -> operations.DerivedSeed: ...

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RecordedRun: ...

    def get(self, run: str) -> RunRecord: ...

    def runs(self, first: dt.date | None, last: dt.date | None) -> Iterator[RunRecord]: ...

    def allocations(self, run: str) -> pa.Table: ...

    def pools(self, run: str) -> pa.Table: ...

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[PoolWorking]: ...

    def odds(self, request: operations.OddsRequest) -> operations.SeriesOdds: ...

    def replay_run(self, run: str, engine: Engine) -> Replayed: ...

    def replay_dates(
        self, first: dt.date | None, last: dt.date | None, engine: Engine
    ) -> Iterator[Replayed]: ...

    def verify(self, keys: Sequence[VerifierKey], progress: Progress) -> Iterator[Fault]: ...

    def export(self, run: str, path: Path) -> str: ...

    def report(self, run: str, request: PageRequest) -> operations.Page: ...

    def public_keys(self) -> operations.PublicKeys: ...


class LocalBackend:
    """Works on a ledger's directory.

    Args:
        ledger: The directory.
        lock_seconds: How long to wait for another writer.
        key: The file of the log's private key, where it is not in the ledger.
        warn: Told what did not hinder the work.
    """

    def __init__(
        self,
        ledger: Path,
        *,
        lock_seconds: float,
        key: Path | None,
        warn: Callable[[str], None],
    ) -> None:
        self._directory = ledger
        self._lock_seconds = lock_seconds
        self._key = key
        self._complain = warn

    def derive_seed(self, volumes: ReceivedVolumes) -> operations.DerivedSeed:
        seed = operations.seed_of(volumes)
        return operations.DerivedSeed(
            seed=seed,
            warnings=seed.warnings(),
        )

    def run(
        self, request: operations.RunRequest, progress: operations.Progress
    ) -> operations.RecordedRun:
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

    def odds(self, request: operations.OddsRequest) -> operations.SeriesOdds:
        return operations.series_odds(request)

    def replay_run(self, run: str, engine: Engine) -> Replayed:
        return operations.replay_run(self.ledger(), run, self._requester(), engine=engine)

    def replay_dates(
        self, first: dt.date | None, last: dt.date | None, engine: Engine
    ) -> Iterator[Replayed]:
        return operations.replay_dates(
            self.ledger(), self._requester(), engine=engine, first=first, last=last
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

    def report(self, run: str, request: PageRequest) -> operations.Page:
        return operations.report(self.ledger(), run, request, self._requester())

    def public_keys(self) -> operations.PublicKeys:
        return operations.public_keys(self.ledger())

    def ledger(self) -> Ledger:
        return Ledger.open(self._directory, lock_seconds=self._lock_seconds, key=self._key)

    def _requester(self) -> operations.Requester:
        return operations.Requester(by=system_identity(), warn=self._complain)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there whole once the block ends well, or not at all.

    Raises:
        OutputUnwritable: It cannot be written.
    """
    try:
        with atomic_file(path) as file:
            yield file
    except OSError as error:
        raise OutputUnwritable(f"{path}: {error.strerror or error}") from error
