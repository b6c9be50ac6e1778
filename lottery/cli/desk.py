"""Who does the work: this process on a ledger's directory, or a server over gRPC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lottery import operations
from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Replayed
from lottery.client import DerivedSeed, LotteryClient
from lottery.errors import Refused
from lottery.intake.received import ReceivedVolumes
from lottery.ledger.run import RunRecord, SeedRecord, WarningRecord
from lottery.ledger.store import Ledger


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

    def replay_run(self, run: str) -> Replayed: ...

    def replay_dates(self, first: dt.date | None, last: dt.date | None) -> Iterator[Replayed]: ...


class LocalDesk:
    """Works on a ledger's directory."""

    def __init__(self, ledger: Path, *, lock_seconds: float) -> None:
        self._directory = ledger
        self._lock_seconds = lock_seconds

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
            lambda: Ledger.create(self._directory, lock_seconds=self._lock_seconds),
            request,
            progress=progress,
        )

    def get(self, run: str) -> RunRecord:
        return self._ledger().get(run)

    def runs(self, first: dt.date | None, last: dt.date | None) -> Iterator[RunRecord]:
        return self._ledger().iterate(first=first, last=last)

    def allocations(self, run: str) -> pa.Table:
        return operations.allocations(self._ledger(), run)

    def pools(self, run: str) -> pa.Table:
        return operations.pools(self._ledger(), run)

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[PoolWorking]:
        return operations.explain(
            self._ledger(), run, series=series, occ_account=occ_account, account=account
        )

    def replay_run(self, run: str) -> Replayed:
        return operations.replay_run(self._ledger(), run)

    def replay_dates(self, first: dt.date | None, last: dt.date | None) -> Iterator[Replayed]:
        return operations.replay_dates(self._ledger(), first=first, last=last)

    def _ledger(self) -> Ledger:
        return Ledger.open(self._directory, lock_seconds=self._lock_seconds)


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
                decisions={name: decisions[name] for name in ("account_order", "zero_hit")},
            )
        except Refused:
            # Refuses the same, by the files' own rows, and all of it.
            operations.compute_day(request, progress=progress)
            raise

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

    def replay_run(self, run: str) -> Replayed:
        return self._client.replay_run(run)

    def replay_dates(self, first: dt.date | None, last: dt.date | None) -> Iterator[Replayed]:
        return self._client.replay_dates(first=first, last=last)
