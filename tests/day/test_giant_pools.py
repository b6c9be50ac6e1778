"""Pools that threads share: cut into segments by account number, to the same day."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day import loops, threads
from lottery.day import segments as segments_module
from lottery.day.allocate import PositionsInvalid, allocate
from lottery.day.assigned_pools import assigned_pools
from lottery.day.jit import Loop
from lottery.day.keys import Block, KeyedPositions
from lottery.day.tables import INT64_MAX, POSITIONS
from lottery.method.methodology import ZeroHit
from tests.builders import (
    AAPL,
    SPY,
    ZVZZT,
    allocate_rows,
    allocate_tables,
    label,
    notice,
    notices_table,
    positions_of,
    tuples_of,
)


@pytest.fixture(params=[(2, 1, 1), (3, 2, 7), (4, 3, 100)], ids=["rows", "few rows", "one sampled"])
def small_segments(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small pools as if they were giant, and let two threads share the rest."""
    giant, segment, sampled = request.param
    monkeypatch.setattr(segments_module, "_GIANT_ROWS", giant)
    monkeypatch.setattr(segments_module, "_SEGMENT_ROWS", segment)
    monkeypatch.setattr(segments_module, "_SAMPLED", sampled)
    monkeypatch.setattr(threads, "ROWS_WORTH_A_THREAD", 0)


def large_table(series: list[str], accounts: list[str]) -> pa.Table:
    """Return `tables.POSITIONS` of one contract each."""
    columns = {
        "series": label(series),
        "account": accounts,
        "short_quantity": np.ones(len(series), np.int64),
        "occ_account": label([""] * len(series)),
    }
    return pa.table(columns, POSITIONS)


@pytest.mark.usefixtures("small_segments")
def test_pools_without_rows_are_breaks() -> None:
    day = allocate_rows([notice("N1", AAPL, 1), notice("N2", SPY, 1)], [])

    assert [broken.reason for broken in day.breaks] == ["NO_POSITION"] * 2


@pytest.mark.usefixtures("small_segments")
def test_a_giant_pool_has_one_range_of_numbers_and_one_first_hit() -> None:
    shorts = {str(account): account % 4 for account in range(40)}

    day = allocate_rows(
        [notice("N1", AAPL, 58), notice("N2", SPY, 61)],
        [*positions_of(SPY, shorts), *positions_of(AAPL, shorts)],
    )

    open_shorts = [short for short in shorts.values() if short]
    ends = list(accumulate(open_shorts))
    assert tuples_of(day.allocations, "account") == [(one,) for one, size in shorts.items() if size]
    assert tuples_of(day.allocations, "last_number") == [(end,) for end in ends]
    assert sum(day.allocations.column("assigned_quantity").to_pylist()) == 58
    # 0.4314 x 60 is 25.884: numbers 25 to 60 and 1 to 22 are hit, so 23 and 24 are not.
    assert tuples_of(day.pools, "first_hit", "account_count", "hit_account_count") == [
        (25, 30, 30),
        (None, 30, 0),
    ]
    unhit = [
        (first, last, assigned)
        for first, last, short, assigned in tuples_of(
            day.allocations, "first_number", "last_number", "short_quantity", "assigned_quantity"
        )
        if assigned != short
    ]
    assert unhit == [(22, 24, 1)]
    assert day.positions.column("account").to_pylist() == [
        *(one for one, size in shorts.items() if size),
        *(one for one, size in shorts.items() if size),
    ]


@pytest.mark.usefixtures("small_segments")
def test_totals_up_to_64_bits_add_up_over_segments_and_larger_ones_are_found() -> None:
    largest = [(str(row), 2**60) for row in range(7)]
    notices = [notice("N1", AAPL, 1), notice("N2", SPY, 1)]

    day = allocate_rows(
        notices, [*positions_of(AAPL, [*largest, ("7", 2**60 - 1)]), *positions_of(SPY, largest)]
    )
    with pytest.raises(PositionsInvalid) as raised:
        allocate_rows(
            notices,
            [
                *positions_of(AAPL, [*largest, ("7", 2**60)]),
                *positions_of(SPY, [*largest, ("03", 1)]),
            ],
        )

    assert day.pools.column("total_short").to_pylist() == [INT64_MAX, 7 * 2**60]
    assert tuples_of(day.allocations, "last_number")[7] == (INT64_MAX,)
    assert [pool.series for pool in raised.value.too_large] == [AAPL]
    assert raised.value.repeated == {1: {"3"}}


@pytest.mark.usefixtures("small_segments")
def test_repeated_accounts_meet_in_one_segment() -> None:
    random = Random(4314)  # noqa: S311 - a fixed sample.
    accounts = [str(number).zfill(random.randint(1, 4)) for number in range(60)]
    accounts += [f"0{accounts[7]}", accounts[31], accounts[31]]
    random.shuffle(accounts)

    with pytest.raises(PositionsInvalid) as raised:
        allocate_rows(
            [notice("N1", AAPL, 1)], positions_of(AAPL, [(account, 1) for account in accounts])
        )

    assert raised.value.repeated == {0: {"7", "31"}}


@pytest.mark.usefixtures("small_segments")
def test_a_giant_pool_none_of_whose_rows_is_sampled_is_one_segment_or_more() -> None:
    assigned = assigned_pools(notices_table([notice("N1", AAPL, 2), notice("N2", SPY, 1)]))
    ones = np.ones(6, np.int64)
    block = Block(
        pools=np.array([1, 0, 0, 0, 0, 0], np.int32),
        keys=np.array([9, 5, 3, 4, 1, 2], np.int64) << loops.LENGTH_BITS | 1,
        shorts=ones,
        rows=np.arange(6, dtype=np.int32),
    )

    day = allocate(
        assigned, KeyedPositions(blocks=(block,)), ten_thousandths=1, zero_hit=ZeroHit.WRAP
    )

    assert day.allocations.column("account").to_pylist() == ["1", "2", "3", "4", "5", "9"]


def test_a_part_with_too_many_characters_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    notices = [notice(series, series, 1) for series in (AAPL, SPY, ZVZZT)]
    positions = [
        row
        for series in (AAPL, SPY, ZVZZT)
        for row in positions_of(series, {"12345": 1, "678": 1, "9" * 20: 1})
    ]
    expected = allocate_rows(notices, positions)
    assert expected.allocations.column("account").num_chunks == 1

    monkeypatch.setattr(segments_module, "_PART_CHARACTERS", 30)

    day = allocate_rows(notices, positions)
    assert day.allocations.column("account").num_chunks == 3
    assert day == expected


def ordered(numbers: npt.NDArray[np.int64], low_bit: int, out: npt.NDArray[np.int64]) -> None:
    """Sort by digits as the day's loop does."""
    buckets = np.empty(1 << loops.BUCKET_BITS, np.int64)
    result = loops.sort_by_digits(numbers, out.copy(), out.size, low_bit, buckets)
    for index in range(out.size):
        out[index] = result[index]


@given(
    numbers=st.lists(st.integers(0, 2**63 - 1), max_size=60),
    shift=st.integers(0, 62),
    low_bit=st.integers(6, 20),
    copies=st.sampled_from([1, 40]),
)
@settings(deadline=None)
def test_sorting_digit_by_digit_gives_the_order_of_the_keys(
    numbers: list[int], shift: int, low_bit: int, copies: int
) -> None:
    """Law: as a stable sort by the bits from the lowest that counts, of keys of any size."""
    keys_of = np.array([number >> shift for number in numbers] * copies, np.int64)
    expected = keys_of[np.argsort(keys_of >> low_bit, kind="stable")].tolist()
    sort = Loop(ordered, "int64[], int64, int64[]")

    for run in (sort.compiled(), sort.interpreted):
        out = np.empty_like(keys_of)
        run(keys_of.copy(), low_bit, out)
        assert out.tolist() == expected


def test_a_large_day_is_its_rows_sorted() -> None:
    row_count = 120_000  # Enough for two threads; the pool of AAPL is cut.
    random = np.random.default_rng(20240916)
    series = random.choice([AAPL, SPY, ZVZZT], row_count, p=[0.6, 0.3, 0.1]).tolist()
    accounts = list(map(str, random.permutation(10 * row_count)[:row_count]))

    day = allocate_tables(
        notices_table([notice("N1", SPY, 1), notice("N2", AAPL, 1)]), large_table(series, accounts)
    )

    pairs = [pair for pair in zip(series, accounts, strict=True) if pair[0] != ZVZZT]
    expected = sorted(pairs, key=lambda pair: (pair[0], int(pair[1])))
    assert tuples_of(day.allocations, "series", "account") == expected


@pytest.mark.parametrize("assigned", [[], [AAPL], [AAPL, SPY]])
def test_among_many_rows_exactly_the_repeated_ones_are_found(assigned: list[str]) -> None:
    row_count = 60_000
    random = np.random.default_rng(4314)
    series = random.choice([AAPL, SPY, ZVZZT], row_count).tolist()
    accounts = list(map(str, random.integers(0, 20 * row_count, row_count)))
    seen: set[tuple[str, str]] = set()
    expected: dict[int, set[str]] = {}
    for pair in zip(series, accounts, strict=True):
        if pair in seen and pair[0] in assigned:
            expected.setdefault(assigned.index(pair[0]), set()).add(pair[1])
        seen.add(pair)

    def found() -> dict[int, frozenset[str]]:
        notices = notices_table([notice(one, one, 1) for one in assigned])
        try:
            allocate_tables(notices, large_table(series, accounts))
        except PositionsInvalid as error:
            return error.repeated
        return {}

    assert found() == expected
    assert all(len(repeated) > 100 for repeated in expected.values())
    assert len(expected) == len(assigned)
