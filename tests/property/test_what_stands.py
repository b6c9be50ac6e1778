"""Laws of what stands: for random dates with late notices, breaks and superseding in between.

- What stands for a date is what the reference draws of all notices that stand, account by account.
- What changed since any run of the date is the difference of the two.
- The history of an account and of a series is what the reference says of each run.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.errors import RUN_HAS_DEPENDENTS, Conflict
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord, Superseding
from tests import reference
from tests.builders import (
    AAPL,
    DATE,
    GE,
    META,
    NEXT_DATE,
    SPY,
    TESTER,
    SmallDay,
    asks_making,
    notice,
    opened,
    positions_of,
    record_in,
    request_of_wire,
    rows_of,
)
from tests.reference import ReferencePool, Row

LEDGERS = 6
MANY = 120
"""So many ledgers are tried where there is time."""
KO = "KO    240920C00067500"
"""So large a pool that no run is mostly breaks (H1)."""

Positions = Mapping[str, Sequence[tuple[str, int]]]
"""Account and short quantity, by series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A recorded run, and what the reference says of each of its pools."""

    run: str
    cycle: int
    notices: Sequence[Row]
    positions: Positions
    rests_on: Sequence[str] = ()
    pools: Mapping[str, ReferencePool] = field(default_factory=dict)


@dataclass(slots=True)
class Worked:
    """The reference's date: what some runs did, one after the other."""

    population: dict[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    notices: dict[str, list[Row]] = field(default_factory=dict)
    left: dict[str, Row] = field(default_factory=dict)
    last_break: dict[str, tuple[ReferencePool, int]] = field(default_factory=dict)

    def add(
        self, notices: Sequence[Row], positions: Positions, fraction: Fraction
    ) -> dict[str, ReferencePool]:
        """Work a run; return its pools."""
        pools = {}
        for series in {str(row["series"]) for row in notices}:
            of_pool = [row for row in notices if row["series"] == series]
            before = _sum(self.notices.get(series, []))
            people = self.population.get(series, positions[series])
            pool = reference.allocate_pool(people, _sum(of_pool), fraction, assigned_before=before)
            pools[series] = pool
            if pool.break_reason is None:
                self.population[series] = people
                self.notices.setdefault(series, []).extend(of_pool)
                for row in of_pool:
                    self.left.pop(str(row["notice_id"]), None)
            else:
                self.last_break[series] = pool, before
                self.left.update({str(row["notice_id"]): row for row in of_pool})
        return pools

    def rows(self, fraction: Fraction) -> tuple[list[Row], list[Row]]:
        """Return the pools and the allocations: one draw of all that is allocated, and breaks."""
        pools: list[Row] = []
        allocations: list[Row] = []
        for series in sorted({*self.notices, *(str(row["series"]) for row in self.left.values())}):
            of_pool = self.notices.get(series, [])
            if of_pool:
                pool = reference.allocate_pool(self.population[series], _sum(of_pool), fraction)
                pools.append(_pool_row(series, of_pool, pool, 0))
                allocations += [
                    {
                        "occ_account": "C",
                        "series": series,
                        "account": row.account,
                        "short_quantity": row.short_quantity,
                        "first_number": row.first_number,
                        "last_number": row.last_number,
                        "assigned_quantity": row.assigned_quantity,
                    }
                    for row in pool.accounts
                ]
            left = [row for row in self.left.values() if row["series"] == series]
            if left:
                pools.append(_pool_row(series, left, *self.last_break[series]))
        return pools, allocations


def _pool_row(series: str, notices: Sequence[Row], pool: ReferencePool, before: int) -> Row:
    return {
        "occ_account": "C",
        "series": series,
        "notice_count": len(notices),
        "assigned_quantity": _sum(notices),
        "total_short": pool.total_short,
        "assigned_before": before,
        "first_hit": pool.first_hit,
        "account_count": pool.account_count,
        "hit_account_count": pool.hit_account_count,
        "break_reason": pool.break_reason,
    }


def _sum(notices: Sequence[Row]) -> int:
    return sum(int(str(row["quantity"])) for row in notices)


class Morning:
    """A date of a ledger, run by run."""

    def __init__(self, folder: Path, date: dt.date, generator: random.Random) -> None:
        self.folder, self.date, self.generator = folder, date, generator
        self.asks = asks_making(generator.randrange(100_000_000, 999_999_999))
        self.fraction = reference.seed_of(self.asks).fraction
        self.positions: dict[str, list[tuple[str, int]]] = {
            series: [
                (str(account), generator.randint(1, 30))
                for account in generator.sample(range(1, 3_000), generator.randint(1, 6))
            ]
            for series in (AAPL, GE, META)
        }
        self.positions[KO] = [("1", 50_000)]
        self.ran: list[Ran] = []
        self.superseded_by: dict[str, str] = {}
        self.states: dict[str, Counter[tuple[str, str]]] = {}

    def standing(self) -> list[Ran]:
        return [ran for ran in self.ran if ran.run not in self.superseded_by]

    def worked(self, standing: Sequence[Ran]) -> Worked:
        worked = Worked()
        for ran in standing:
            worked.add(ran.notices, ran.positions, self.fraction)
        return worked

    def step(self) -> None:
        """Record late notices, or a run that supersedes others; or correct a file before."""
        gone: list[Ran] = []
        if self.ran and self.generator.random() < 0.35:
            gone = [self.generator.choice(self.standing())]
            for ran in self.standing():  # What rests on one of them goes with it (H2).
                if ran not in gone and set(ran.rests_on) & {one.run for one in gone}:
                    gone.append(ran)
        kept = [ran for ran in self.standing() if ran not in gone]
        worked = self.worked(kept)
        again = {str(row["notice_id"]): row for ran in gone for row in ran.notices}
        # The notices of breaks may come again, some of them or all.
        again |= {key: row for key, row in worked.left.items() if self.generator.random() < 0.5}
        allocated = {row["notice_id"] for rows in worked.notices.values() for row in rows}
        notices = [row for row in again.values() if row["notice_id"] not in allocated]
        others = [one for one in (AAPL, GE, META) if one not in {row["series"] for row in notices}]
        # Often of one pool, so that together they are too many.
        chosen = self.generator.sample(others or [AAPL], 1) if len(self.ran) % 2 == 0 else others
        for count in range(self.generator.randint(0 if notices else 1, 3)):
            series = self.generator.choice(chosen or [AAPL])
            most = sum(short for _, short in self.positions[series]) * 2 // 3 + 2
            quantity = self.generator.randint(1, most)
            identifier = f"{self.date:%d}-{len(self.ran)}-{count}"
            notices.append(notice(identifier, series, quantity, "C"))
        for series in (AAPL, GE, META):  # An account was missing of a pool that is not drawn yet.
            if series not in worked.population and self.generator.random() < 0.5:
                extra = (str(self.generator.randrange(3_000, 10_000)), 20)
                self.positions[series] = [*self.positions[series][:6], extra]
        if any(pool.break_reason for pool in self._tried(kept, notices).values()):
            identifier = f"{self.date:%d}-{len(self.ran)}-KO"
            notices.append(notice(identifier, KO, _sum(notices) + 1, "C"))
        self._record(kept, gone, notices)

    def _tried(self, kept: Sequence[Ran], notices: Sequence[Row]) -> dict[str, ReferencePool]:
        return self.worked(kept).add(notices, self.positions, self.fraction)

    def _record(self, kept: Sequence[Ran], gone: Sequence[Ran], notices: Sequence[Row]) -> None:
        worked = self.worked(kept)
        given = {
            series: list(worked.population.get(series, people))
            for series, people in self.positions.items()
        }
        positions = [row for series in given for row in positions_of(series, given[series], "C")]
        highest = max((ran.cycle for ran in self.ran), default=0)
        cycle = highest if gone else highest + 1
        request = request_of_wire(
            SmallDay(notices=notices, positions=positions, asks=self.asks, date=self.date),
            as_arrow=False,
            cycle=cycle,
            supersedes=tuple(ran.run for ran in gone),
            reason="other notices" if gone else None,
        )
        record = record_in(self.folder, request).record
        assert record.supersedes == tuple(sorted(ran.run for ran in gone))
        self.superseded_by |= {ran.run: record.run for ran in gone}
        self.ran.append(
            Ran(
                run=record.run,
                cycle=cycle,
                notices=notices,
                positions=given,
                rests_on=record.rests_on,
                pools=worked.add(notices, given, self.fraction),
            )
        )

    def assert_day(self, ledger: Ledger) -> None:
        """Assert that what stands is what the reference draws of all that stands."""
        day = operations.standing_day(ledger, self.date)
        pools, allocations = self.worked(self.standing()).rows(self.fraction)
        assert rows_of(day.pools) == pools
        assert rows_of(day.allocations) == allocations
        assert day.runs == tuple(ran.run for ran in self.standing())
        assert day.superseded_by == self.superseded_by
        assert day.allocated_quantity == sum(
            int(str(row["assigned_quantity"])) for row in allocations
        )
        self.states[self.ran[-1].run] = Counter(
            {
                (str(row["series"]), str(row["account"])): int(str(row["assigned_quantity"]))
                for row in allocations
            }
        )

    def assert_differences(self, ledger: Ledger) -> None:
        """Assert that what changed since each run is the difference of the two states."""
        now = self.states[self.ran[-1].run]
        for run, then in self.states.items():
            difference = operations.difference_since(ledger, self.date, run)
            changes = rows_of(difference.changes)
            expected = {
                key: (then[key], now[key], now[key] - then[key])
                for key in {*then, *now}
                if then[key] != now[key]
            }
            assert {
                (row["series"], row["account"]): (row["before"], row["after"], row["difference"])
                for row in changes
            } == expected
            order = [(str(row["series"]), int(str(row["account"]))) for row in changes]
            assert order == sorted(order)
            assert (difference.before, difference.after) == (then.total(), now.total())
            moved = difference.increase - difference.decrease
            assert moved == difference.after - difference.before

    def history(self, *, series: str | None = None, account: str | None = None) -> list[Row]:
        """Return what the reference says of each run."""
        rows: list[Row] = []
        for ran in self.ran:
            for name, pool in sorted(ran.pools.items()):
                shorts = dict(ran.positions[name])
                assigned = {row.account: row.assigned_quantity for row in pool.accounts}
                if name != series and account not in shorts:
                    continue
                of_pool = [row for row in ran.notices if row["series"] == name]
                rows.append(
                    {
                        "business_date": self.date.isoformat(),
                        "run": ran.run,
                        "cycle": ran.cycle,
                        "occ_account": "C",
                        "series": name,
                        "account": account,
                        "short_quantity": pool.total_short if series else shorts[str(account)],
                        "assigned_quantity": _sum(of_pool)
                        if series
                        else assigned.get(str(account), 0),
                        "break_reason": pool.break_reason,
                        "superseded_by": self.superseded_by.get(ran.run),
                    }
                )
        return rows


@pytest.mark.parametrize(
    "seed",
    [
        *range(LEDGERS),
        *(pytest.param(seed, marks=pytest.mark.long) for seed in range(LEDGERS, MANY)),
    ],
)
def test_what_stands_is_what_the_reference_draws_of_it(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    mornings = [Morning(tmp_path / "ledger", date, generator) for date in (DATE, NEXT_DATE)]
    for morning in mornings:
        for _ in range(generator.randint(3, 6)):
            morning.step()
            morning.assert_day(opened(tmp_path / "ledger"))
    ledger = opened(tmp_path / "ledger")
    for morning in mornings:
        morning.assert_differences(ledger)
    accounts = {
        account
        for morning in mornings
        for people in morning.positions.values()
        for account, _ in people
    }
    questions: list[dict[str, Any]] = [
        {"series": AAPL},
        {"series": META},
        *({"account": account} for account in sorted(accounts)[:4]),
    ]
    for asked in questions:
        rows = [histories_row(row) for row in operations.history(ledger, **asked)]
        assert rows == [row for morning in mornings for row in morning.history(**asked)]


def histories_row(row: operations.HistoryRow) -> Row:
    """Return a row with the names of its attributes."""
    return {
        "business_date": row.business_date.isoformat(),
        **{name: getattr(row, name) for name in row.__slots__ if name != "business_date"},
    }


@pytest.mark.parametrize("seed", range(LEDGERS))
def test_superseding_anything_leaves_no_run_on_what_no_longer_stands(
    seed: int, tmp_path: Path
) -> None:
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    morning = Morning(tmp_path / "ledger", DATE, generator)
    for _ in range(4):
        morning.step()
    ledger = opened(tmp_path / "ledger")
    for attempt in range(6):
        standing = standing_records(ledger)
        chosen = generator.sample(standing, generator.randint(1, len(standing)))
        gone = {record.run for record in chosen}
        left = [record for record in standing if record.run not in gone]
        is_refused = any(gone & set(record.rests_on) for record in left)
        try:
            if len(chosen) == 1 and chosen[0].notice_count and generator.random() < 0.5:
                operations.withdraw_run(ledger, *gone, reason="taken back", by=TESTER)
            else:
                other = SmallDay(
                    notices=[notice(f"other-{attempt}", SPY, 1, "C")],
                    positions=positions_of(SPY, {"1": 50, "2": 50}, "C"),
                    asks=morning.asks,
                    date=DATE,
                )
                request = request_of_wire(
                    other, as_arrow=False, supersedes=tuple(gone), reason="others"
                )
                record_in(tmp_path / "ledger", request)
            reason = None
        except Conflict as conflict:
            reason = conflict.reason
        assert reason == (RUN_HAS_DEPENDENTS if is_refused else None)
        assert not is_refused or standing_records(ledger) == standing
        runs = {record.run for record in standing_records(ledger)}
        assert all(runs.issuperset(record.rests_on) for record in standing_records(ledger))


def standing_records(ledger: Ledger) -> list[RunRecord]:
    return ledger.left_standing(DATE.isoformat(), Superseding())
