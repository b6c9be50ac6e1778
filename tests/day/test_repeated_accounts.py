"""Repeated accounts (P4, R2): every row but the first of each is refused, and names the first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day.allocate import PositionsInvalid, allocate
from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import POSITION_ROWS
from lottery.intake import position_block
from lottery.intake import positions as reader
from lottery.intake.positions import ReceivedPositions
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.operations.validation import invalid_positions
from tests.builders import (
    AAPL,
    SPY,
    arrow_payload,
    columns_of,
    incoming,
    notice,
    notices_table,
    position,
    positions_of,
    table_of,
)
from tests.reference import Row

NOTICES = [notice("N1", AAPL, 1, "C"), notice("N2", AAPL, 1)]


def received(
    rows: list[Row], payload: list[Row], order: AccountOrder = AccountOrder.NUMERIC
) -> ReceivedPositions:
    """Receive the positions of the assigned pools: rows, and then a payload."""
    arriving = incoming("positions")
    if rows:
        arriving.add_rows(columns_of(rows, POSITION_ROWS))
    arriving.add_arrow(arrow_payload(table_of(payload, POSITION_ROWS)))
    return arriving.positions(assigned_pools(notices_table(NOTICES)), order)


def problems_of(positions: ReceivedPositions) -> list[tuple[str, int | None, str, str | None]]:
    """Return the source, row, message and rule of what is wrong with positions as a whole."""
    try:
        allocate(positions.assigned, positions.positions, ten_thousandths=1, zero_hit=ZeroHit.WRAP)
    except PositionsInvalid as error:
        problems = invalid_positions(positions, error)
        return [(one.source, one.row, one.message, one.rule) for one in problems.listed]
    return []


def test_each_further_row_names_the_first_in_its_spelling_and_its_source() -> None:
    rows = positions_of(AAPL, [("007", 1), ("7", 1), ("8", 1), ("8", 1)], "C")
    payload = [*positions_of(AAPL, [("8", 0), ("9", 1)], "C"), *positions_of(SPY, [("1", 1)] * 2)]

    assert problems_of(received(rows, payload)) == [
        ("positions", 2, "account 7 appears twice in this pool; it is 007 on row 1", "R2"),
        ("positions", 4, "account 8 appears twice in this pool; it is also on row 3", "P4"),
        (
            "arrow_positions",
            1,
            "account 8 appears twice in this pool; it is also on row 3 of positions",
            "P4",
        ),
    ]


SPELLINGS = st.builds(
    lambda account, zeros: "0" * zeros + account,
    st.sampled_from(["", "1", "2", "17", "9" * 15, "9" * 16, "1" + "0" * 17, "1" + "0" * 26]),
    st.integers(0, 3),
).filter(bool)


@given(
    drawn=st.lists(st.tuples(st.sampled_from(["", "C", "F"]), SPELLINGS), max_size=20),
    rows_a_block=st.integers(1, 20),
    rows_worth_passes=st.sampled_from([1, 50_000]),
    order=st.sampled_from(AccountOrder),
)
@settings(deadline=None)
def test_the_rows_refused_are_those_that_a_person_would_find(
    drawn: list[tuple[str, str]], rows_a_block: int, rows_worth_passes: int, order: AccountOrder
) -> None:
    """Law P4, R2: a dictionary of all rows finds the same rows, in every assigned pool."""
    rows = [position(AAPL, account, 1, occ_account) for occ_account, account in drawn]
    first_of: dict[tuple[str, str | int], int] = {}
    expected = []
    for row, (occ_account, account) in enumerate(drawn):
        identity = int(account) if order is AccountOrder.NUMERIC else account
        first = first_of.setdefault((occ_account, identity), row)
        if first != row and occ_account != "F":
            also = "also" if drawn[first][1] == account else drawn[first][1]
            message = f"account {account} appears twice in this pool; it is {also} on row "
            rule = "P4" if also == "also" else "R2"
            expected.append(("arrow_positions", row + 1, f"{message}{first + 1}", rule))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_ROWS", rows_a_block)
        patch.setattr(position_block, "ROWS_WORTH_PASSES", rows_worth_passes)
        positions = received([], rows, order)

    assert problems_of(positions) == expected
