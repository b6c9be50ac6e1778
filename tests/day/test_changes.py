"""What two states of a date assign differently."""

from __future__ import annotations

import pytest

from lottery.day.changes import changes
from lottery.day.tables import ALLOCATIONS, CHANGES
from lottery.method.methodology import AccountOrder
from tests.builders import AAPL, GE, allocate_rows, notice, positions_of, rows_of, tuples_of

SHORT = positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5}, "C")
NUMERIC = AccountOrder.NUMERIC


def test_only_accounts_with_another_quantity_are_listed() -> None:
    before = allocate_rows([notice("A", AAPL, 10, "C")], SHORT).allocations
    after = allocate_rows([notice("A", AAPL, 15, "C")], SHORT).allocations

    found = changes(before, after, NUMERIC)

    assert found.schema == CHANGES
    assert rows_of(found) == [
        {
            "occ_account": "C",
            "series": AAPL,
            "account": "1047",
            "before": 7,
            "after": 12,
            "difference": 5,
        }
    ]
    assert tuples_of(changes(after, before, NUMERIC), "before", "after", "difference") == [
        (12, 7, -5)
    ]


def test_a_pool_that_a_state_does_not_have_is_assigned_nothing_there() -> None:
    before = allocate_rows([notice("A", AAPL, 10, "C")], SHORT).allocations
    held = positions_of(GE, {"7": 1}, "C")
    after = allocate_rows([notice("A", GE, 1, "C")], held).allocations

    found = changes(before, after, NUMERIC)

    assert tuples_of(found, "series", "account", "before", "after") == [
        (AAPL, "1046", 3, 0),
        (AAPL, "1047", 7, 0),
        (GE, "7", 0, 1),
    ]


@pytest.mark.parametrize(
    ("order", "accounts"),
    [
        (NUMERIC, ["9", "010", "10", "99", "1000"]),
        (AccountOrder.CODE_POINT, ["010", "10", "1000", "9", "99"]),
    ],
)
def test_other_accounts_are_in_account_order(order: AccountOrder, accounts: list[str]) -> None:
    held = positions_of(AAPL, dict.fromkeys(["9", "99", "010", "1000"], 5), "C")
    before = allocate_rows([notice("A", AAPL, 20, "C")], held, account_order=order).allocations
    other = positions_of(AAPL, dict.fromkeys(["9", "99", "10", "1000"], 4), "C")
    after = allocate_rows([notice("A", AAPL, 16, "C")], other, account_order=order).allocations

    found = changes(before, after, order)

    assert found.column("account").to_pylist() == accounts


def test_two_states_without_a_pool_differ_in_nothing() -> None:
    empty = ALLOCATIONS.empty_table()

    assert changes(empty, empty, NUMERIC).equals(CHANGES.empty_table())
