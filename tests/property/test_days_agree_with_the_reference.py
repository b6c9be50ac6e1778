"""Whole random days: the library and the tests' own reference agree in every column and row (D6).

A day's shape is drawn by hypothesis and its rows by a seeded generator, which is many times faster
than drawing each of them; a failure names the seed. One more test draws every row, so that
hypothesis can make a small day of a failure.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day import segments as segments_module
from lottery.day import threads
from lottery.day.allocate import EXCEEDS_SHORT, NO_POSITION, Break, Day, allocate
from lottery.day.assigned_pools import AssignedPools, assigned_pools
from lottery.day.keys import KeyedPositions, key_table, ranked
from lottery.day.own_occ_accounts import with_own_occ_accounts
from lottery.day.recheck import recheck
from lottery.day.tables import INT64_MAX, POSITION_ROWS
from lottery.intake import position_block
from lottery.intake import positions as reader
from lottery.method.distribution import NumberRange, numbers_hit
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder, Pooling, ZeroHit
from lottery.method.seed import derive_seed
from tests.builders import (
    AAPL,
    SPY,
    arrow_payload,
    asks_making,
    exchange_asks,
    in_chunks,
    incoming,
    notice,
    notices_table,
    position,
    positions_table,
    rows_of,
    table_of,
)
from tests.loops import interpreted_loops
from tests.reference import ReferenceDay, Row, allocate_day

OCC_ACCOUNTS = ("", "C", "F", "M/ABC", "C/ZZZ", "c")
POOL_KINDS = (
    "usual",
    "usual",
    "one contract",
    "everyone assigned",
    "past 32 bits",
    "up to 64 bits",
    "too much assigned",
    "no position",
    "zero positions alone",
    "many accounts",
)
ACCOUNT_KINDS = ("few digits", "up to 16 digits", "around 64 bits", "up to 30 digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDay:
    """A day's rows and the choices made for it."""

    notices: list[Row]
    positions: list[Row]
    asks: dict[str, str]
    account_order: AccountOrder
    zero_hit: ZeroHit
    pooling: Pooling = Pooling.OCC_ACCOUNT

    def pool_of(self, row: Row) -> tuple[str, str]:
        """The pool of a notice or a position (P3)."""
        own = "" if self.pooling is Pooling.SERIES else str(row["occ_account"])
        return own, str(row["series"])

    def held(self) -> list[Row]:
        """The open positions of its assigned pools (P1, P2)."""
        assigned = {self.pool_of(row) for row in self.notices}
        return [
            row for row in self.positions if row["short_quantity"] and self.pool_of(row) in assigned
        ]

    def reference(self, before: Mapping[tuple[str, str], int] | None = None) -> ReferenceDay:
        """Allocates it contract by contract."""
        return allocate_day(
            self.notices,
            self.positions,
            self.asks,
            zero_hit=self.zero_hit.value,
            account_order=self.account_order.value,
            pool=self.pooling.value,
            assigned_before=before,
        )

    def ten_thousandths(self) -> int:
        """Derives the fraction of its asks."""
        return derive_seed(exchange_asks(self.asks), JPMS_2024_09_06.securities).ten_thousandths

    def library(self, before: Mapping[tuple[str, str], int] | None = None) -> Day:
        """Allocates it by the library, and looks at it a second time."""
        return self.allocated(key_table(self.table(), self.assigned(), self.account_order), before)

    def allocated(
        self, positions: KeyedPositions, before: Mapping[tuple[str, str], int] | None = None
    ) -> Day:
        """Allocates it by the library, given its positions by key."""
        assigned = self.assigned()
        given: dict[str, Any] = {
            "ten_thousandths": self.ten_thousandths(),
            "zero_hit": self.zero_hit,
            "assigned_before": np.array(
                [(before or {}).get((pool.occ_account, pool.series), 0) for pool in assigned],
                np.int64,
            ),
        }
        day = allocate(assigned, positions, **given)
        recheck(day, assigned, positions, **given)
        return day

    def table(self) -> pa.Table:
        """`tables.POSITIONS`."""
        return positions_table(self.positions)

    def assigned(self) -> AssignedPools:
        """Adds up its notices."""
        return assigned_pools(notices_table(self.notices), self.pooling)


@st.composite
def random_days(draw: st.DrawFn) -> RandomDay:
    """Draw a day's choices and shape, and let a seeded generator fill it."""
    account_order = draw(st.sampled_from(AccountOrder))
    zero_hit = draw(st.sampled_from(ZeroHit))
    pooling = draw(st.sampled_from(Pooling))
    pool_count = draw(st.integers(1, 6))
    random = draw(st.randoms(use_true_random=True))
    return filled_day(random, account_order, zero_hit, pool_count, pooling)


def filled_day(
    random: Random,
    account_order: AccountOrder,
    zero_hit: ZeroHit,
    pool_count: int,
    pooling: Pooling = Pooling.OCC_ACCOUNT,
) -> RandomDay:
    """Fill a day of so many pools at most, with and without notices.

    Where a pool is a series, each row has any OCC account.
    """
    occ_accounts = random.sample(OCC_ACCOUNTS, random.randint(1, 3))
    series = [random_series(random) for _ in range(random.randint(1, 3))]
    pairs = {(random.choice(occ_accounts), random.choice(series)) for _ in range(pool_count)}
    notices: list[Row] = []
    positions: list[Row] = []
    if pooling is Pooling.SERIES:
        pairs = {("", one) for _, one in pairs}

    def own(occ_account: str) -> str:
        return random.choice(occ_accounts) if pooling is Pooling.SERIES else occ_account

    for occ_account, one in sorted(pairs):
        shorts, assigned_quantity = random_pool(random)
        accounts = random_accounts(random, account_order, len(shorts))
        positions += [
            position(one, account, short, own(occ_account))
            for account, short in zip(accounts, shorts, strict=True)
        ]
        if random.random() < 0.9:
            notices += [
                notice(f"N{len(notices) + index}", one, part, own(occ_account))
                for index, part in enumerate(random_parts(random, assigned_quantity))
            ]
    random.shuffle(notices)
    random.shuffle(positions)
    return RandomDay(
        notices=notices,
        positions=positions,
        asks=asks_making(random_composite(random)),
        account_order=account_order,
        zero_hit=zero_hit,
        pooling=pooling,
    )


def random_series(random: Random) -> str:
    """Draw a padded OSI symbol, of a few roots so that texts repeat."""
    root = random.choice(("AAPL", "AAPL1", "SPY", "1SPX", "F", "GOOGL1"))
    month, strike = random.randint(1, 12), random.choice((500, 10_000, 99_999_999))
    return f"{root:<6}24{month:02d}20{random.choice('CP')}{strike:08d}"


def random_pool(random: Random) -> tuple[list[int], int]:
    """Draw the shorts of one pool and the contracts assigned to it."""
    kind = random.choice(POOL_KINDS)
    if kind == "one contract":
        return [1] + [0] * random.randint(0, 2), 1
    if kind == "no position":
        return [], random.randint(1, 9)
    if kind == "zero positions alone":
        return [0] * random.randint(1, 3), random.randint(1, 9)
    count = random.randint(20, 60) if kind == "many accounts" else random.randint(1, 8)
    largest = 9
    if kind == "past 32 bits":
        largest = random.choice((214_749, 10**8, 2**31, 2**33, 2**45))
    elif kind == "up to 64 bits":
        largest = INT64_MAX // count
    shorts = [random.randint(0, largest) for _ in range(count)]
    shorts[random.randrange(count)] = max(1, random.randint(1, largest))
    total_short = sum(shorts)
    if kind == "up to 64 bits" and random.random() < 0.5:
        shorts[0] += INT64_MAX - total_short
        total_short = INT64_MAX
    if kind == "too much assigned":
        return shorts, total_short + random.randint(1, 3)
    if kind == "everyone assigned":
        return shorts, total_short
    return shorts, random.randint(1, min(total_short, 60))


def random_accounts(random: Random, account_order: AccountOrder, count: int) -> list[str]:
    """Draw distinct accounts; as numbers they are distinct as such."""
    kind = random.choice(ACCOUNT_KINDS)
    digits = string.digits
    if account_order is AccountOrder.CODE_POINT and random.random() < 0.7:
        digits += "AZaz"
    drawn: dict[str | int, str] = {}
    while len(drawn) < count:
        if kind == "few digits":
            length = random.randint(1, 4)
        elif kind == "up to 16 digits":
            length = random.randint(9, 16)
        elif kind == "around 64 bits":
            length = random.randint(16, 21)
        else:
            length = random.randint(1, 30)
        account = "".join(random.choices(digits, k=length))
        if random.random() < 0.2:
            account = account.zfill(min(30, length + random.randint(1, 4)))
        identity = int(account) if account_order is AccountOrder.NUMERIC else account
        drawn.setdefault(identity, account)
    return list(drawn.values())


def random_parts(random: Random, quantity: int) -> list[int]:
    """Cut a quantity into the quantities of one to three notices."""
    cuts = sorted({random.randint(1, quantity) for _ in range(random.randint(0, 2))} - {quantity})
    return [after - before for before, after in zip([0, *cuts], [*cuts, quantity], strict=True)]


def random_composite(random: Random) -> int:
    """Draw a composite of six digits and more; small and large fractions come often."""
    digits = random.choice((0, 1, 9_998, 9_999, random.randint(0, 99), random.randint(0, 9_999)))
    above = random.choice((1, random.randint(1, 10**8)))
    return (above * 10_000 + digits) * 100 + random.randint(0, 99)


@given(day=random_days())
@settings(max_examples=1_000, deadline=None)
def test_pools_and_allocations_are_the_references_row_by_row(day: RandomDay) -> None:
    """Law R1 to D5: every column of every row of both tables, and the order of the rows."""
    expected = day.reference()

    allocated = day.library()

    assert rows_of(allocated.pools) == expected.pools
    assert rows_of(allocated.allocations) == expected.allocations
    assert allocated.breaks == tuple(
        Break(
            occ_account=str(pool["occ_account"]),
            series=str(pool["series"]),
            reason=str(pool["break_reason"]),
            assigned_quantity=int(str(pool["assigned_quantity"])),
            total_short=int(str(pool["total_short"])),
        )
        for pool in expected.pools
        if pool["break_reason"]
    )


@given(day=random_days(), order=st.randoms(use_true_random=True))
@settings(max_examples=200, deadline=None)
def test_two_cycles_are_the_references_and_together_one_draw(day: RandomDay, order: Random) -> None:
    """Law P6: what one draw assigns of all notices, two give of its parts, whatever the parts.

    So no number is hit twice: none is by one draw.
    """
    cut = order.randint(0, len(day.notices))
    notices = order.sample(day.notices, len(day.notices))
    first, second = (replace(day, notices=part) for part in (notices[:cut], notices[cut:]))
    drawn = first.library()
    before = {
        (str(row["occ_account"]), str(row["series"])): figures_of(row, "assigned_quantity")[0]
        for row in rows_of(drawn.pools)
        if not row["break_reason"]
    }

    late = second.library(before)

    expected = second.reference(before)
    assert rows_of(late.pools) == expected.pools
    assert rows_of(late.allocations) == expected.allocations
    together: Counter[tuple[str, str, str]] = Counter()
    whole: Counter[tuple[str, str, str]] = Counter()
    at_once = day.library()
    broken = {(one.occ_account, one.series) for one in at_once.breaks}
    for sums, table in ((together, drawn), (together, late), (whole, at_once)):
        for row in rows_of(table.allocations):
            pool = (str(row["occ_account"]), str(row["series"]))
            if pool not in broken:
                sums[*pool, str(row["account"])] += figures_of(row, "assigned_quantity")[0]
    assert together == whole


@given(day=random_days(), order=st.randoms(use_true_random=True), rows_a_chunk=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_the_row_order_of_the_inputs_changes_nothing(
    day: RandomDay, order: Random, rows_a_chunk: int
) -> None:
    """Law D6: shuffled rows, in chunks of any size, come out as the very same tables."""
    notices, positions = list(day.notices), list(day.positions)
    order.shuffle(notices)
    order.shuffle(positions)

    assigned = assigned_pools(in_chunks(notices_table(notices), rows_a_chunk), day.pooling)
    table = in_chunks(positions_table(positions), rows_a_chunk)
    keyed = key_table(table, assigned, day.account_order)
    shuffled = day.allocated(keyed)

    assert shuffled == day.library()
    kept = with_own_occ_accounts(shuffled.positions, keyed)
    assert kept == with_own_occ_accounts(
        day.library().positions, key_table(day.table(), day.assigned(), day.account_order)
    )
    for chunk in kept.column("occ_account").chunks:
        assert chunk.dictionary.to_pylist() == sorted(
            {str(row["occ_account"]) for row in day.held()}
        )


@given(day=random_days(), segment_rows=st.integers(1, 8), sampled=st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_the_way_through_the_loops_changes_nothing(
    day: RandomDay, segment_rows: int, sampled: int
) -> None:
    """Law D6: interpreted, by two threads, in segments, or by ranks, it is the same day."""
    expected = day.library()
    with interpreted_loops():
        assert day.library() == expected
    keyed = key_table(day.table(), day.assigned(), day.account_order)
    if keyed.rank_texts is None:
        assert day.allocated(ranked(keyed)) == expected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "ROWS_WORTH_A_THREAD", 0)
        assert day.library() == expected
        patch.setattr(segments_module, "_GIANT_ROWS", 2)
        patch.setattr(segments_module, "_SEGMENT_ROWS", segment_rows)
        patch.setattr(segments_module, "_SAMPLED", sampled)
        assert day.library() == expected
        with interpreted_loops():
            assert day.library() == expected


@given(
    day=random_days(),
    rows_a_block=st.one_of(st.integers(1, 9), st.integers(1, 400)),
    rows_worth_passes=st.sampled_from([0, 3, 50_000]),
    as_labels=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_way_that_positions_are_read_changes_nothing(
    day: RandomDay, rows_a_block: int, rows_worth_passes: int, *, as_labels: bool
) -> None:
    """Law P1, D6: in blocks of any size, by passes or column by column, it is the same day."""
    arriving = incoming("positions")
    table = day.table() if as_labels else table_of(day.positions, POSITION_ROWS)
    arriving.add_arrow(arrow_payload(table))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_ROWS", rows_a_block)
        patch.setattr(position_block, "ROWS_WORTH_PASSES", rows_worth_passes)
        received = arriving.positions(day.assigned(), day.account_order)

    assert day.allocated(received.positions) == day.library()
    assigned = {day.pool_of(row) for row in day.notices}
    kept = [row for row in day.positions if day.pool_of(row) in assigned]
    assert rows_of(received.table()) == kept
    located = [received.locate(index) for index in range(len(kept))]
    assert [day.positions[locator.row(row) - 1] for locator, row in located] == kept


def figures_of(row: Row, *names: str) -> list[int]:
    """The named whole numbers of a row."""
    return [int(str(row[name])) for name in names]


def rows_by_pool(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Puts rows under their occ_account and series, in their order."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((str(row["occ_account"]), str(row["series"])), []).append(row)
    return grouped


@given(day=random_days())
@settings(max_examples=200, deadline=None)
def test_assigned_adds_up_and_no_account_is_assigned_more_than_its_short(day: RandomDay) -> None:
    """Law D6, from the tables alone: sums, ranges one after another, and the counts of `pools`."""
    allocated = day.library()
    accounts_of = rows_by_pool(rows_of(allocated.allocations))
    assigned = Counter[tuple[str, str]]()
    for row in day.notices:
        assigned[day.pool_of(row)] += int(str(row["quantity"]))

    assigned_pools = rows_by_pool(rows_of(allocated.pools))
    assert {key: pool["assigned_quantity"] for key, [pool] in assigned_pools.items()} == assigned
    for key, [pool] in assigned_pools.items():
        accounts = accounts_of.pop(key, [])
        if pool["break_reason"]:
            assert (accounts, pool["first_hit"], pool["hit_account_count"]) == ([], None, 0)
            continue
        last_number = 0
        for row in accounts:
            short, first, last, quantity = figures_of(
                row, "short_quantity", "first_number", "last_number", "assigned_quantity"
            )
            assert (first, last) == (last_number + 1, last_number + short)
            assert short > 0
            assert 0 <= quantity <= short
            last_number = last
        assigned_of = [figures_of(row, "assigned_quantity")[0] for row in accounts]
        assert sum(assigned_of) == pool["assigned_quantity"]
        assert last_number == pool["total_short"]
        assert len(accounts) == pool["account_count"]
        assert sum(assigned > 0 for assigned in assigned_of) == pool["hit_account_count"]
    assert accounts_of == {}
    assert allocated.allocated_quantity == sum(
        figures_of(row, "assigned_quantity")[0] for row in rows_of(allocated.allocations)
    )


@given(day=random_days())
@settings(max_examples=200, deadline=None)
def test_no_number_is_hit_twice(day: RandomDay) -> None:
    """Law D6: an account has as many numbers hit as it was assigned, and no number has two owners.

    Together they are one range of the circle, from the first hit on (D3, D4).
    """
    allocated = day.library()
    accounts_of = rows_by_pool(rows_of(allocated.allocations))
    for key, [pool] in rows_by_pool(rows_of(allocated.pools)).items():
        if pool["break_reason"]:
            continue
        total_short, assigned_quantity, first_hit = figures_of(
            pool, "total_short", "assigned_quantity", "first_hit"
        )
        hit: list[int] = []
        for row in accounts_of[key]:
            first, last, assigned = figures_of(
                row, "first_number", "last_number", "assigned_quantity"
            )
            ranges = numbers_hit(
                NumberRange(first_number=first, last_number=last),
                first_hit=first_hit,
                assigned_quantity=assigned_quantity,
                total_short=total_short,
            )
            numbers = [
                number
                for hit_range in ranges
                for number in range(hit_range.first_number, hit_range.last_number + 1)
            ]
            assert len(numbers) == assigned
            assert all(first <= number <= last for number in numbers)
            hit += numbers
        assert len(set(hit)) == len(hit) == assigned_quantity
        assert set(hit) == {
            (first_hit - 1 + step) % total_short + 1 for step in range(assigned_quantity)
        }


@given(day=random_days())
@settings(max_examples=150, deadline=None)
def test_every_open_position_of_a_assigned_pool_is_allocated_or_broken(day: RandomDay) -> None:
    """Law P1, P2, D5: no open position of a assigned pool is lost, and no other one is taken in."""
    allocated = day.library()
    broken = {(one.occ_account, one.series) for one in allocated.breaks}

    def listed(rows: list[Row]) -> list[str]:
        names = ("account", "short_quantity")
        return sorted(str((day.pool_of(row), *(row[name] for name in names))) for row in rows)

    held = day.held()
    assert listed(rows_of(allocated.positions)) == listed(held)
    assert listed(rows_of(allocated.allocations)) == listed(
        [row for row in held if day.pool_of(row) not in broken]
    )
    keyed = key_table(day.table(), day.assigned(), day.account_order)
    own = rows_of(with_own_occ_accounts(allocated.positions, keyed))
    assert sorted(map(str, own)) == sorted(map(str, held))


@given(
    shorts=st.dictionaries(
        st.tuples(st.sampled_from(["", "C"]), st.sampled_from([AAPL, SPY]), st.integers(0, 99)),
        st.one_of(st.integers(0, 9), st.integers(0, 2**33)),
        max_size=12,
    ),
    notices=st.lists(
        st.tuples(st.sampled_from(["", "C"]), st.sampled_from([AAPL, SPY]), st.integers(1, 30)),
        max_size=6,
    ),
    composite=st.integers(100_000, 10**7),
    zero_hit=st.sampled_from(ZeroHit),
    pooling=st.sampled_from(Pooling),
)
@settings(max_examples=200, deadline=None)
def test_a_day_drawn_piece_by_piece_is_the_references_too(
    shorts: dict[tuple[str, str, int], int],
    notices: list[tuple[str, str, int]],
    composite: int,
    zero_hit: ZeroHit,
    pooling: Pooling,
) -> None:
    """Law R1 to D5: as the first one, on days that can be made small."""
    if pooling is Pooling.SERIES:  # An account has one row in a series (P4).
        owner = {(series, number): occ_account for occ_account, series, number in shorts}
        shorts = {key: short for key, short in shorts.items() if owner[key[1:]] == key[0]}
    day = RandomDay(
        notices=[
            notice(f"N{number}", series, quantity, occ_account)
            for number, (occ_account, series, quantity) in enumerate(notices, 1)
        ],
        positions=[
            position(series, str(number), short, occ_account)
            for (occ_account, series, number), short in shorts.items()
        ],
        asks=asks_making(composite),
        account_order=AccountOrder.NUMERIC,
        zero_hit=zero_hit,
        pooling=pooling,
    )
    expected = day.reference()

    allocated = day.library()

    assert rows_of(allocated.pools) == expected.pools
    assert rows_of(allocated.allocations) == expected.allocations


@pytest.mark.parametrize("account_order", list(AccountOrder))
@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@pytest.mark.parametrize("pooling", list(Pooling))
def test_random_days_have_everything_that_can_happen(
    zero_hit: ZeroHit, account_order: AccountOrder, pooling: Pooling
) -> None:
    seen: Counter[str] = Counter()
    # Where a pool is a series, a day has fewer pools.
    for seed in range(800 if pooling is Pooling.SERIES else 400):
        random = Random(seed)  # noqa: S311 - not for secrets.
        day = filled_day(random, account_order, zero_hit, random.randint(1, 6), pooling)
        seen.update(happenings(day))

    assert {name for name, count in seen.items() if count >= 10} == {
        "break: EXCEEDS_SHORT",
        "break: NO_POSITION",
        "everyone assigned",
        "leading zeros",
        "accounts of 19 and 20 digits",
        "accounts of 1 to 30 digits",
        "one contract",
        "product past 2**31",
        "product past 2**63",
        "several notices",
        "several occ_accounts",
        "total past 2**31",
        "total of 2**63 - 1",
        "without a notice",
        "wrap",
        "zero hit",
        "zero positions",
    }


def happenings(day: RandomDay) -> set[str]:
    """Name what happens on a day."""
    result = day.reference()
    ten_thousandths = day.ten_thousandths()
    lengths = {len(str(row["account"])) for row in day.positions}
    accounts = rows_by_pool(result.allocations)
    facts = {
        "leading zeros": any(str(row["account"])[0] == "0" for row in day.positions),
        "accounts of 19 and 20 digits": lengths >= {19, 20},
        "accounts of 1 to 30 digits": min(lengths, default=9) == 1 and max(lengths) == 30,
        "several notices": any(figures_of(row, "notice_count")[0] > 1 for row in result.pools),
        "several occ_accounts": len({row["occ_account"] for row in day.notices}) > 1,
        "without a notice": not {*map(day.pool_of, day.positions)}.issubset(
            map(day.pool_of, day.notices)
        ),
        "zero positions": any(row["short_quantity"] == 0 for row in day.positions),
    }
    happened = {name for name, is_so in facts.items() if is_so}
    for key, [pool] in rows_by_pool(result.pools).items():
        if pool["break_reason"]:
            assert pool["break_reason"] in {EXCEEDS_SHORT, NO_POSITION}
            happened.add(f"break: {pool['break_reason']}")
            continue
        total_short, assigned, first_hit = figures_of(
            pool, "total_short", "assigned_quantity", "first_hit"
        )
        facts = {
            "everyone assigned": assigned == total_short and len(accounts[key]) > 1,
            "one contract": total_short == 1,
            "product past 2**31": total_short < 2**31 < ten_thousandths * total_short,
            "product past 2**63": ten_thousandths * total_short >= 2**63,
            "total past 2**31": total_short > 2**31,
            "total of 2**63 - 1": total_short == INT64_MAX,
            "wrap": first_hit + assigned - 1 > total_short,
            "zero hit": ten_thousandths * total_short < 10_000 and total_short > 1,
        }
        happened |= {name for name, is_so in facts.items() if is_so}
    return happened
