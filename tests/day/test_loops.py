"""The loops: the same compiled and as plain Python, with the rules written once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from lottery.day import loops, pool_loops
from lottery.day import segments as segments_module
from lottery.day.allocate import PositionsInvalid
from lottery.day.single_pool import allocate_pool
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
    count = len(accounts)
    texts = np.frombuffer("\n".join([*accounts, ""]).encode(), np.uint8)
    # An invalid account has no place in an order.
    ordered = count if all(account.isalnum() for account in accounts) else 0
    shorts = np.array([5, 0, 7, 1, 2][:count], np.int64)

    def allocated(run: Callable[..., tuple[int, ...]], order_size: int, quantity: int) -> list[int]:
        order = np.arange(order_size)[::-1].copy()
        rows, zero_is_one = np.zeros((count, pool_loops.COLUMNS), np.int64), False
        figures = run(texts, shorts, order, quantity, 4314, zero_is_one, rows)
        return [*map(int, figures), *rows.ravel().tolist()]

    monkeypatch.setattr(pool_loops, "RADIX_ROWS", radix_rows)
    allocate = pool_loops.allocate_rows
    for given in product({0, ordered}, (1, 3, 9, 12, 13, 16)):
        assert allocated(allocate.interpreted, *given) == allocated(allocate.compiled(), *given)


def test_a_total_past_64_bits_is_found_in_plain_python_too() -> None:
    shorts = [2**63 - 1, 1]

    with interpreted_loops():
        with pytest.raises(OverflowError, match="the shorts add up to more than"):
            allocate_pool(
                ["2", "1"],
                shorts,
                account_order=AccountOrder.NUMERIC,
                assigned_quantity=1,
                ten_thousandths=1,
                zero_hit=ZeroHit.WRAP,
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
