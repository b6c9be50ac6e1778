"""The backend that works on a ledger in this process.

Its methods are those of `lottery.operations`, and of `RemoteBackend`, which has a server do it.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa

from lottery import operations
from lottery.backends.whole_file import writing_whole
from lottery.operations.variables import Variables


class LocalBackend:
    """A ledger.

    Args:
        settings: Where it is.
        variables: What has its limits, and names the server's certificate.
        warn: Receives warnings.
        let_in: Raises `RoleMissing` if somebody may not give a command, by its words.
        command: The command that is given.
        open_ledger: Opens the ledger; `operations.open_ledger` unless it is kept open.
    """

    def __init__(
        self,
        settings: operations.LedgerSettings,
        *,
        variables: Variables,
        warn: Callable[[str], None],
        let_in: Callable[[operations.Identity, str], None],
        command: str,
        open_ledger: Callable[..., operations.Ledger] | None = None,
    ) -> None:
        self._settings = settings
        self._variables = variables
        self._warn = warn
        self._let_in = let_in
        self._memory = variables.memory_limit()
        self._command = command
        self._open_ledger = open_ledger
        self._requester = operations.Requester(by=operations.system_identity(), warn=warn)

    def giving(self, command: str) -> Self:
        """Return the same ledger, for who may give another command."""
        other = copy.copy(self)
        other._command = command  # noqa: SLF001 - one of its own kind.
        return other

    @property
    def settings(self) -> operations.LedgerSettings:
        """Where the ledger is, for who may give the command: all that reaches it asks here."""
        self._let_in(self._requester.by, self._command)
        return self._settings

    def ledger(self) -> operations.Ledger:
        return (self._open_ledger or operations.open_ledger)(self.settings, self._warn)

    def origin(self) -> str:
        return self.ledger().origin

    def methodology(self, business_date: dt.date) -> operations.Methodology:
        return operations.methodology_for(self.ledger(), business_date)

    def clearing_member(self, business_date: dt.date) -> str:
        return self.ledger().charter_for(business_date).clearing_member

    def seed(
        self, volumes: operations.ReceivedVolumes, business_date: dt.date | None
    ) -> operations.DerivedSeed:
        return operations.derive_seed(volumes, business_date=business_date)

    def run(
        self,
        request: operations.RunRequest,
        progress: operations.Progress,
        *,
        dry_run: bool = False,
    ) -> operations.RecordedRun:
        return operations.run_lottery(self.ledger(), request, dry_run=dry_run, progress=progress)

    def withdraw_run(self, run: str, reason: str) -> operations.RecordedRun:
        return operations.withdraw_run(self.ledger(), run, reason=reason, by=self._requester.by)

    def get_run(self, run: str) -> operations.RecordedRun:
        return operations.recorded_run(self.ledger(), run)

    def list_runs(
        self,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        newest_first: bool = False,
    ) -> Iterator[operations.RecordedRun]:
        return operations.recorded_runs(
            self.ledger(), first=first, last=last, newest_first=newest_first
        )

    def list_proposals(self) -> operations.Proposals:
        return operations.list_proposals(self.ledger())

    def approve_run(self, run: str, record_sha256: str) -> operations.RecordedRun:
        return operations.approve_run(
            self.ledger(), run, record_sha256=record_sha256, by=self._requester.by
        )

    def reject_run(self, run: str, record_sha256: str, reason: str) -> operations.RecordedRun:
        return operations.reject_run(
            self.ledger(), run, record_sha256=record_sha256, reason=reason, by=self._requester.by
        )

    def allocations(self, run: str) -> pa.Table:
        return operations.allocations(self.ledger(), run)

    def pools(self, run: str) -> pa.Table:
        return operations.pools(self.ledger(), run)

    def notices(
        self, run: str, *, series: str | None = None, occ_account: str | None = None
    ) -> pa.Table:
        return operations.notices(self.ledger(), run, series=series, occ_account=occ_account)

    def get_day(self, business_date: dt.date) -> operations.StandingDay:
        return operations.standing_day(self.ledger(), business_date)

    def diff_runs(self, before: str, after: str) -> operations.Difference:
        return operations.difference_of_runs(self.ledger(), before, after)

    def diff_since(self, business_date: dt.date, since: str) -> operations.Difference:
        return operations.difference_since(self.ledger(), business_date, since)

    def history(
        self,
        *,
        account: str | None,
        series: str | None,
        first: dt.date | None,
        last: dt.date | None,
    ) -> Iterator[operations.HistoryRow]:
        return operations.history(
            self.ledger(), account=account, series=series, first=first, last=last
        )

    def explain(
        self, run: str, *, series: str | None, occ_account: str | None, account: str | None
    ) -> list[operations.PoolWorking]:
        return operations.explain(
            self.ledger(), run, series=series, occ_account=occ_account, account=account
        )

    def pool_odds(self, request: operations.OddsRequest) -> operations.SeriesOdds:
        return operations.series_odds(request)

    def replay_run(self, run: str, *, engine: operations.Engine) -> operations.Replayed:
        return operations.replay_run(
            self.ledger(), run, self._requester, engine=engine, memory=self._memory.day
        )

    def replay_dates(
        self, *, first: dt.date | None, last: dt.date | None, engine: operations.Engine
    ) -> Iterator[operations.Replayed]:
        return operations.replay_dates(
            self.ledger(),
            self._requester,
            engine=engine,
            first=first,
            last=last,
            memory=self._memory.day,
        )

    def verify(
        self,
        keys: Sequence[operations.VerifierKey],
        checkpoint: Mapping[str, bytes],
        progress: operations.VerifyProgress,
    ) -> operations.Verification:
        return operations.verify_ledger(
            self.settings,
            keys=keys,
            checkpoint=checkpoint,
            progress=progress,
            memory=self._memory.day,
        )

    def export(self, run: str, path: Path) -> str:
        with writing_whole(path) as file:
            return operations.export_run(self.ledger(), run, file, self._requester.by)

    def report(self, run: str, request: operations.PageRequest) -> operations.Page:
        return operations.report(self.ledger(), run, request, self._requester)

    def public_keys(self) -> operations.PublicKeys:
        return operations.public_keys(self.ledger())

    def status(self) -> operations.Overview:
        return operations.overview_of(self.ledger(), self.settings, self._variables)

    def trail(self) -> Iterator[operations.Entry]:
        return operations.trail(self.ledger())
