"""What the use cases answer with: values, which the client makes of a server's messages too.

They are apart from the use cases, so that a client loads neither a ledger nor its database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lottery.day.allocate import Break
from lottery.day.population import POOL, allocated_quantity, breaks_in
from lottery.ledger.draft import RecordedRun
from lottery.method.odds import AccountOdds, NumbersHitFirst
from lottery.method.seed import RuleWarning, Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedSeed:
    """A seed and its warnings."""

    seed: Seed
    warnings: tuple[RuleWarning, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOdds:
    """An account and its chances."""

    account: str
    odds: AccountOdds


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOdds:
    """The odds in one pool.

    Attributes:
        series: The padded symbol.
        method: The method's id; `account_order` and `zero_hit` are the choices of R2 and D2.
        account_count: Accounts with an open position.
        never_first: Numbers that no fraction hits first.
        evenness: How evenly the numbers are hit first.
        accounts: The accounts asked for, in order (R1).
    """

    occ_account: str
    series: str
    method: str
    account_order: str
    zero_hit: str
    assigned_quantity: int
    total_short: int
    account_count: int
    never_first: int
    evenness: tuple[NumbersHitFirst, ...]
    accounts: tuple[NamedOdds, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What waits for a verdict.

    Attributes:
        waiting: The proposals that can be approved, in the order of their dates.
        four_eyes: Whether the charter of any date has four eyes; without it nothing is proposed.
    """

    waiting: tuple[RecordedRun, ...]
    four_eyes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDay:
    """What stands for a date.

    Attributes:
        state: The outcome of all standing runs together; if none of them has a pool, the state of
            the last one.
        runs: The standing runs, in the order of recording.
        superseded_by: The superseded runs of the date, each with the run that supersedes it.
        last_run: The date's run that came to count last: `difference_since` takes it later.
        recorded_at: The time at which it was recorded, as its record has it.
        pools: `tables.POOLS`, as in `day.cycles.WholeDate`.
        allocations: `tables.ALLOCATIONS`.
    """

    business_date: dt.date
    state: str
    runs: tuple[str, ...]
    superseded_by: Mapping[str, str]
    last_run: str
    recorded_at: str
    pools: pa.Table
    allocations: pa.Table

    @property
    def breaks(self) -> tuple[Break, ...]:
        """The breaks whose notices no standing run has allocated."""
        return breaks_in(self.pools)

    @property
    def pool_count(self) -> int:
        """The number of assigned pools; one with a break of late notices counts once."""
        count: int = self.pools.group_by(list(POOL)).aggregate([]).num_rows
        return count

    @property
    def notice_count(self) -> int:
        """The number of notices, breaks included."""
        return sum(self.pools.column("notice_count").to_pylist())

    @property
    def assigned_quantity(self) -> int:
        """Contracts on all notices, breaks included."""
        return sum(self.pools.column("assigned_quantity").to_pylist())

    @property
    def allocated_quantity(self) -> int:
        """Contracts allocated to accounts."""
        return allocated_quantity(self.pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed for whom between two states of a date.

    Attributes:
        before_runs: The runs of the first state.
        after_runs: The runs of the second.
        before: Contracts that the first state assigns to accounts, in all.
        after: Contracts that the second one does.
        changes: `tables.CHANGES`.
    """

    business_date: dt.date
    before_runs: tuple[str, ...]
    after_runs: tuple[str, ...]
    before: int
    after: int
    changes: pa.Table

    @property
    def increase(self) -> int:
        """Contracts that accounts have more than before, the others left out."""
        return sum(max(0, one) for one in self._differences())

    @property
    def decrease(self) -> int:
        """Contracts that accounts have less than before, the others left out."""
        return sum(max(0, -one) for one in self._differences())

    def _differences(self) -> list[int]:
        differences: list[int] = self.changes.column("difference").to_pylist()
        return differences


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """What one run did with one pool: to an account of it, or to all of it.

    Attributes:
        account: The account; None in the history of a series.
        short_quantity: Contracts that the account, or the whole pool, is short.
        assigned_quantity: Contracts that the account was assigned; in the history of a series,
            those that OCC assigned to the pool, also if it is a break.
        break_reason: Why the pool is a break: then nothing of it was allocated (D5).
        superseded_by: The run that supersedes this one; None if it stands.
    """

    business_date: dt.date
    run: str
    cycle: int
    occ_account: str
    series: str
    account: str | None
    short_quantity: int
    assigned_quantity: int
    break_reason: str | None
    superseded_by: str | None

    @property
    def standing_quantity(self) -> int:
        """Contracts that stand as allocated: none of a superseded run, and none of a break."""
        return self.assigned_quantity if not (self.superseded_by or self.break_reason) else 0
