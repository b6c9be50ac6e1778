"""The loops: the same compiled and as plain Python, with the rules written once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lottery.day import loops, pool_loops
from lottery.day import segments as segments_module
from lottery.day.allocate import PositionsInvalid
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
    positions_of,
)
from tests.loops import interpreted_loops, loops_of
from tests.reference import Row

NOTICES = [
    notice("N1", AAPL, 4),
    notice("N2", AAPL, 6),
    notice("N3", SPY, 3, "C"),
    notice("N4", SPY, 1, "F"),
    notice("N5", ZVZZT, 2, "C"),
    notice("N6", ZVZZT, 70, "F"),
]
SHORT_ACCOUNTS = [
    *PUBLISHED_POSITIONS,
    *positions_of(ZVZZT, {"8": 1}, "C"),
    *positions_of(AAPL, {"8": 1}, "C"),
    *positions_of(SPY, {"9": 3, "8": 3}),
    *positions_of(ZVZZT, {str(10**number).zfill(number + 3): 2 for number in range(14)}, "F"),
    *positions_of(ZVZZT, {str(number): 1 for number in range(3, 80, 2)}, "F"),
]
LONG_ACCOUNTS = [
    *SHORT_ACCOUNTS,
    *positions_of(SPY, {"00012": 2, "9" * 30: 1, "1" + "0" * 18: 0, "5": 4}, "C"),
]


@pytest.fixture(autouse=True)
def compiled_loops() -> None:
    """Run the loops compiled, unless they are interpreted on purpose."""
    for loop in loops_of(loops).values():
        loop.compiled()


def test_the_loops_are_these() -> None:
    assert loops_of(loops).keys() == {
        "allocate_segments",
        "count_segments",
        "first_hits",
        "read_keys",
        "scatter_rows",
        "sum_segments",
        "write_accounts",
    }


@pytest.mark.parametrize("giant_rows", [1 << 16, 5], ids=["pools", "segments"])
@pytest.mark.parametrize("positions", [SHORT_ACCOUNTS, LONG_ACCOUNTS], ids=["keys", "ranks"])
@pytest.mark.parametrize("order", list(AccountOrder))
def test_the_loops_give_the_same_compiled_and_as_plain_python(
    order: AccountOrder,
    positions: list[Row],
    giant_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Plain Python also checks every index, which machine code does not.
    monkeypatch.setattr(segments_module, "_GIANT_ROWS", giant_rows)
    monkeypatch.setattr(segments_module, "_SEGMENT_ROWS", 3)
    monkeypatch.setattr(segments_module, "_SAMPLED", 2)
    day = allocate_rows(NOTICES, positions, account_order=order)

    with interpreted_loops():
        assert allocate_rows(NOTICES, positions, account_order=order) == day


@pytest.mark.parametrize(
    "accounts",
    [
        ["7", "12", "003", "5", "40"],
        ["7", "12", "7"],
        ["7", "x", "12"],
        ["7", "1\n2"],
        ["7", "", "12"],
        ["9" * 18, "8", "7"],
        ["9" * 19, "8"],
    ],
    ids=["sorted", "repeated", "no digit", "newline", "empty", "no key", "too long"],
)
@pytest.mark.parametrize("radix_rows", [2, pool_loops.RADIX_ROWS])
def test_a_pool_on_its_own_is_the_same_compiled_and_as_plain_python(
    accounts: list[str], radix_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arranged(run: Callable[..., bool]) -> tuple[bool, list[int], list[int]]:
        data = np.frombuffer(("\n".join(accounts) + "\n").encode(), np.uint8)
        offsets, keys = np.zeros(len(accounts) + 1, np.int32), np.zeros(len(accounts), np.int64)
        sound = run(data, 3, offsets, keys)
        return bool(sound), offsets.tolist(), keys.tolist()

    monkeypatch.setattr(pool_loops, "RADIX_ROWS", radix_rows)
    arrange = pool_loops.arrange_rows
    assert arranged(arrange.interpreted) == arranged(arrange.compiled())

    def allocated(run: Callable[..., None], quantity: int) -> list[int]:
        columns, figures = np.zeros((4, 3), np.int64), np.zeros(4, np.int64)
        keys, shorts = np.array([8, 17, 26], np.int64), np.array([5, 0, 7], np.int64)
        zero_is_one = False
        run(keys, 3, shorts, quantity, 4314, zero_is_one, columns, figures)
        return [*columns.ravel().tolist(), *figures.tolist()]

    allocate = pool_loops.allocate_rows
    for quantity in (1, 3, 9, 12, 13):
        computed = allocated(allocate.interpreted, quantity)
        assert computed == allocated(allocate.compiled(), quantity)


def test_a_total_past_64_bits_is_found_in_plain_python_too() -> None:
    pool = arrange_pool(["2", "1"], AccountOrder.NUMERIC)
    shorts = [2**63 - 1, 1]

    with interpreted_loops():
        with pytest.raises(OverflowError, match="the shorts add up to more than"):
            allocate_pool(
                pool, shorts, assigned_quantity=1, ten_thousandths=1, zero_hit=ZeroHit.WRAP
            )
        with pytest.raises(PositionsInvalid):
            allocate_rows(
                [notice("N1", AAPL, 1)], positions_of(AAPL, zip("21", shorts, strict=True))
            )


def test_repeated_accounts_are_found_in_plain_python_too() -> None:
    shorts = [("3", 1), ("12", 1), ("9", 1), ("012", 1), ("4", 1), ("9", 1)]

    with interpreted_loops(), pytest.raises(PositionsInvalid) as raised:
        allocate_rows([notice("N1", AAPL, 1)], positions_of(AAPL, shorts))

    assert raised.value.repeated == {0: {"12", "9"}}


def test_the_rule_is_written_once_and_compiled_from_there() -> None:
    assert loops.first_hit_number is distribution.first_hit_number
    assert loops.assigned_in_range is distribution.assigned_in_range


def test_the_loops_wait_for_no_lock_of_python() -> None:
    for loop in (*loops_of(loops).values(), *loops_of(pool_loops).values()):
        assert loop.compiled().targetoptions["nogil"] is True  # type: ignore[attr-defined]
