"""The loops: the same compiled and as plain Python, with the rules written once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lottery.day import arrange as arrange_module
from lottery.day import loops
from lottery.day.account_keys import read_numbers
from lottery.day.arrange import Doubled, arrange
from lottery.day.single_pool import allocate_pool, arrange_pool
from lottery.method import distribution
from lottery.method.methodology import AccountOrder, ZeroHit
from tests.builders import (
    AAPL,
    PUBLISHED_POSITIONS,
    SPY,
    ZVZZT,
    allocate_rows,
    notice,
    notices_table,
    position,
    positions_of,
    positions_table,
)
from tests.loops import interpreted_loops, loops_of
from tests.reference import Row

NOTICES = [
    notice("N1", AAPL, 4),
    notice("N2", AAPL, 6),
    notice("N3", SPY, 3, "C"),
    notice("N4", SPY, 1, "F"),
    notice("N5", ZVZZT, 2, "C"),
]
POSITIONS = [
    *PUBLISHED_POSITIONS,
    *positions_of(SPY, {"00012": 2, "9" * 30: 1, "1" + "0" * 18: 0, "5": 4}, "C"),
    *positions_of(ZVZZT, {"8": 1}, "C"),
    *positions_of(AAPL, {"8": 1}, "C"),
    *positions_of(SPY, {"9": 3, "8": 3}),
]
EVERY_PAIR = [
    position(series, account, 3, occ_account)
    for occ_account in ("F", "C", "")
    for series in (SPY, ZVZZT, AAPL)
    for account in ("12", "9")
]


def test_the_loops_are_these() -> None:
    assert loops_of(loops).keys() == {
        "allocate_pools",
        "close_up",
        "count_rows",
        "look_up_rows",
        "list_indices",
        "list_repeats",
        "flag_repeats",
        "merge_sorted",
        "read_digits",
        "read_long_digits",
        "scatter_rows",
        "sort_pools",
        "sort_part",
    }


@pytest.mark.parametrize("pairs_in_a_table", [1 << 26, 1], ids=["table", "pairs"])
@pytest.mark.parametrize("positions", [POSITIONS, EVERY_PAIR], ids=["some", "every pair"])
@pytest.mark.parametrize("order", list(AccountOrder))
def test_the_loops_say_the_same_compiled_and_as_plain_python(
    order: AccountOrder,
    positions: list[Row],
    pairs_in_a_table: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Plain Python also checks every index, which machine code does not.
    monkeypatch.setattr(arrange_module, "_PAIRS_IN_A_TABLE", pairs_in_a_table)
    day = allocate_rows(NOTICES, positions, account_order=order)

    with interpreted_loops():
        assert allocate_rows(NOTICES, positions, account_order=order) == day


def test_a_total_past_64_bits_is_found_in_plain_python_too() -> None:
    pool = arrange_pool(["2", "1"], AccountOrder.NUMERIC)

    with (
        interpreted_loops(),
        pytest.raises(OverflowError, match="the shorts add up to more than"),
    ):
        allocate_pool(
            pool,
            [2**63 - 1, 1],
            assigned_quantity=1,
            ten_thousandths=1,
            zero_hit=ZeroHit.WRAP,
        )


def test_doubled_accounts_are_found_in_plain_python_too() -> None:
    notices = notices_table([notice("N1", AAPL, 1)])
    positions = positions_table(
        [
            *positions_of(AAPL, [("3", 1), ("12", 1), ("9", 1), ("012", 1), ("4", 1)]),
            *positions_of(SPY, [("3", 1), ("12", 1), ("9", 1), ("012", 1), ("3", 1)]),
        ]
    )
    expected = arrange(notices, positions, AccountOrder.NUMERIC)
    assert len(expected.doubled) == 3

    with interpreted_loops():
        arrangement = arrange(notices, positions, AccountOrder.NUMERIC)
        assert arrangement.doubled == expected.doubled
        assert arrangement.keys.tolist() == expected.keys.tolist()


def test_texts_that_are_not_numbers_are_found_in_plain_python_too() -> None:
    texts = ["17", "", "1x", "9" * 30, "/", ":", "1" * 31, "1" + "0" * 18]
    column = pa.chunked_array([texts], pa.string())

    def read() -> tuple[list[int], list[int]]:
        high, low = read_numbers(column)
        assert high is not None
        return high.tolist(), low.tolist()

    as_compiled = read()

    with interpreted_loops():
        assert read() == as_compiled
        assert as_compiled == (
            [0, -1, -1, 10**12 - 1, -1, -1, -1, 1],
            [17, 0, 0, 10**18 - 1, 0, 0, 0, 0],
        )


@pytest.mark.parametrize("parts", [1, 2])
def test_accounts_that_are_in_every_pool_are_seldom_flagged_as_repeated(parts: int) -> None:
    codes = np.repeat(np.arange(100, dtype=np.int32), 100)
    numbers = np.tile(np.arange(100), 100)
    seen, again = np.zeros((2, 2_048), np.uint64)

    for part in range(parts):
        loops.flag_repeats(codes, numbers, 0, part, parts, seen, again)

    # 10,000 rows have 131,072 flags: about one row in fourteen has one that is set.
    flagged = sum(int(word).bit_count() for word in again)
    assert 100 < flagged < 1_000
    assert sum(int(word).bit_count() for word in seen) > 9_000


def test_accounts_that_share_a_flag_by_chance_are_compared_and_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A single word has 64 flags: of 300 accounts in 3 pools nearly all share theirs.
    monkeypatch.setattr(arrange_module, "_FLAGS_A_ROW", 0)
    rows = [
        position(series, str(number), 1) for number in range(100) for series in (AAPL, SPY, ZVZZT)
    ]
    twins = [position(SPY, "033", 1), position(ZVZZT, "7", 1), position(SPY, "33", 1)]

    alone = arrange(notices_table([]), positions_table(rows), AccountOrder.NUMERIC)
    doubled = arrange(notices_table([]), positions_table([*rows, *twins]), AccountOrder.NUMERIC)

    assert alone.doubled == ()
    assert doubled.doubled == (
        Doubled(row=300, first_row=100),
        Doubled(row=301, first_row=23),
        Doubled(row=302, first_row=100),
    )


def test_the_rule_is_written_once_and_compiled_from_there() -> None:
    assert loops.first_hit_number is distribution.first_hit_number
    assert loops.assigned_in_range is distribution.assigned_in_range


def test_the_loops_wait_for_no_lock_of_python() -> None:
    for loop in loops_of(loops).values():
        assert loop.compiled().targetoptions["nogil"] is True  # type: ignore[attr-defined]


def test_a_pool_of_many_rows_is_sorted_by_digits_in_plain_python_too() -> None:
    count, index_bits = loops.RADIX_ROWS, 15
    accounts = np.arange(count, dtype=np.int64) * 7_919 % count
    keys = accounts << index_bits | np.arange(count, dtype=np.int64)
    keys[-1] = keys[0] & -(1 << index_bits) | (count - 1)
    starts = np.array([0, count], np.int64)

    def sort() -> tuple[list[int], list[bool]]:
        in_order, repeated = keys.copy(), np.zeros(1, np.bool_)
        loops.sort_pools(starts, 0, 1, index_bits, in_order, repeated)
        return in_order.tolist(), repeated.tolist()

    as_compiled = sort()
    assert as_compiled == (sorted(keys.tolist()), [True])
    with interpreted_loops():
        assert sort() == as_compiled


def test_threads_flag_the_repeats_of_their_own_share_in_plain_python_too() -> None:
    codes = np.zeros(64, np.int32)
    numbers = np.arange(64, dtype=np.int64) // 2

    def flag(parts: int) -> list[list[int]]:
        seen, again = np.zeros(16, np.uint64), np.zeros(16, np.uint64)
        for part in range(parts):
            loops.flag_repeats(codes, numbers, 0, part, parts, seen, again)
        return [seen.tolist(), again.tolist()]

    as_compiled = flag(parts=1)
    assert flag(parts=4) == as_compiled
    with interpreted_loops():
        assert flag(parts=4) == as_compiled
