"""Gross positions: what was assigned before comes off, exactly, and can be put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.tables import BROKEN_POSITIONS, INT64_MAX, POSITIONS, TAKEN_OFF
from lottery.day.taken_off import NetPositions, Unmatched, put_back, take_off
from tests.builders import AAPL, SPY, ZVZZT, in_chunks, position, positions_table, without_chunks

Account: TypeAlias = tuple[str, str, str]
"""occ_account, series, account."""

GROSS: dict[Account, int] = {
    ("C", AAPL, "1048"): 5,
    ("C", AAPL, "1046"): 30,
    ("C", AAPL, "1047"): 30,
    ("", SPY, "1046"): 12,
    ("F", AAPL, "1046"): 4,
    ("C", SPY, "77"): 0,
}


def positions_of(shorts: Mapping[Account, int]) -> pa.Table:
    """`tables.POSITIONS`."""
    return positions_table(
        position(series, account, short, occ_account)
        for (occ_account, series, account), short in shorts.items()
    )


def assigned_of(assigned: Mapping[Account, int]) -> pa.Table:
    """What was assigned before, as `operations.gross` gives it."""
    names = ("occ_account", "series", "account", "assigned_quantity")
    rows = [(*account, quantity) for account, quantity in assigned.items()]
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64())
    return pa.table(
        {
            name: pa.array([row[index] for row in rows], kind)
            for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
        }
    )


def taken(shorts: Mapping[Account, int], assigned: Mapping[Account, int]) -> NetPositions:
    return take_off(positions_of(shorts), assigned_of(assigned))


def rows(table: pa.Table) -> list[tuple[object, ...]]:
    """occ_account, series, account and the quantities of each row."""
    names = ["occ_account", "series", "account"]
    names += [name for name in table.column_names if name.endswith("_quantity")]
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def open_rows(positions: pa.Table) -> pa.Table:
    """The open positions, as the evidence holds them."""
    is_open = pc.greater(positions.column("short_quantity"), 0)
    return positions.filter(is_open).select(BROKEN_POSITIONS.names).cast(BROKEN_POSITIONS)


def as_rows(shorts: Mapping[Account, int]) -> list[tuple[object, ...]]:
    return [(*account, short) for account, short in shorts.items()]


def test_what_was_assigned_comes_off_its_account_of_its_pool_alone() -> None:
    net = taken(GROSS, {("C", AAPL, "1046"): 3, ("C", AAPL, "1047"): 7})

    expected = {**GROSS, ("C", AAPL, "1046"): 27, ("C", AAPL, "1047"): 23}
    assert rows(net.positions) == as_rows(expected)
    assert net.positions.schema == POSITIONS
    assert rows(net.taken_off) == [("C", AAPL, "1046", 30, 3), ("C", AAPL, "1047", 30, 7)]
    assert net.taken_off.schema == TAKEN_OFF
    assert net.unmatched == ()


def test_an_account_that_was_assigned_all_it_has_is_left_with_nothing() -> None:
    net = taken(GROSS, {("F", AAPL, "1046"): 4})

    assert rows(net.positions) == as_rows({**GROSS, ("F", AAPL, "1046"): 0})
    assert rows(net.taken_off) == [("F", AAPL, "1046", 4, 4)]


def test_nothing_assigned_takes_nothing_off() -> None:
    net = taken(GROSS, {})

    assert net.positions.equals(positions_of(GROSS))
    assert net.taken_off.equals(TAKEN_OFF.empty_table())
    assert net.unmatched == ()


def test_the_positions_given_are_not_changed() -> None:
    positions = positions_of(GROSS)

    take_off(positions, assigned_of({("C", AAPL, "1046"): 3}))

    assert rows(positions) == as_rows(GROSS)


@pytest.mark.parametrize(
    ("account", "assigned", "row", "short"),
    [
        pytest.param(("C", AAPL, "1048"), 6, 0, 5, id="less than it was assigned"),
        pytest.param(("C", SPY, "77"), 1, 5, 0, id="nothing"),
        pytest.param(("C", AAPL, "1049"), 1, None, 0, id="no position"),
        pytest.param(("C", SPY, "1046"), 1, None, 0, id="a position in other pools only"),
        pytest.param(("C", ZVZZT, "1046"), 1, None, 0, id="a pool without positions"),
        pytest.param(("C", AAPL, "01046"), 1, None, 0, id="another spelling"),
        pytest.param(("C", AAPL, "1048"), INT64_MAX, 0, 5, id="all there is"),
    ],
)
def test_what_cannot_come_off_is_reported_with_its_row_and_changes_nothing(
    account: Account, assigned: int, row: int | None, short: int
) -> None:
    net = taken(GROSS, {account: assigned, ("C", AAPL, "1046"): 3})

    occ_account, series, name = account
    assert net.unmatched == (
        Unmatched(
            occ_account=occ_account,
            series=series,
            account=name,
            row=row,
            short_quantity=short,
            assigned_quantity=assigned,
        ),
    )
    assert rows(net.positions) == as_rows({**GROSS, ("C", AAPL, "1046"): 27})
    assert rows(net.taken_off) == [("C", AAPL, "1046", 30, 3)]


def test_everything_that_cannot_come_off_is_reported_in_the_order_of_pools_and_accounts() -> None:
    assigned = {("F", AAPL, "9"): 1, ("C", SPY, "77"): 1, ("C", AAPL, "1048"): 9, ("", SPY, "0"): 2}

    net = taken(GROSS, assigned)

    assert [(one.occ_account, one.series, one.account) for one in net.unmatched] == sorted(assigned)
    assert [one.row for one in net.unmatched] == [None, 0, 5, None]


def test_quantities_up_to_64_bits_come_off_exactly() -> None:
    account = ("", SPY, "1")

    net = taken({account: INT64_MAX}, {account: INT64_MAX - 1})

    assert rows(net.positions) == [(*account, 1)]
    assert rows(put_back(open_rows(net.positions), net.taken_off)) == [(*account, INT64_MAX)]


def test_tables_in_chunks_and_without_any_are_read_alike() -> None:
    assigned = assigned_of({("C", AAPL, "1046"): 3, ("F", AAPL, "1046"): 4})

    whole = take_off(positions_of(GROSS), assigned)
    parts = take_off(in_chunks(positions_of(GROSS), 2), assigned)
    none = take_off(without_chunks(POSITIONS), assigned)

    assert rows(parts.positions) == rows(whole.positions)
    assert parts.taken_off.equals(whole.taken_off)
    assert none.positions.num_rows == none.taken_off.num_rows == 0
    assert [one.row for one in none.unmatched] == [None, None]


def test_put_back_an_account_is_as_it_was_and_one_with_nothing_left_is_there_again() -> None:
    net = taken(GROSS, {("C", AAPL, "1046"): 3, ("F", AAPL, "1046"): 4})

    gross = put_back(open_rows(net.positions), net.taken_off)

    assert gross.schema == BROKEN_POSITIONS
    assert Counter(rows(gross)) == Counter(rows(open_rows(positions_of(GROSS))))


def test_where_nothing_was_taken_off_nothing_is_put_back() -> None:
    positions = open_rows(positions_of(GROSS))

    assert put_back(positions, TAKEN_OFF.empty_table()).equals(positions)


ACCOUNTS: st.SearchStrategy[Account] = st.tuples(
    st.sampled_from(["", "C", "F", "M/ABC"]),
    st.sampled_from([AAPL, SPY, ZVZZT]),
    st.sampled_from(["1", "01", "7", "1046", "A", "a", "é", "日本", "0" * 30]),
)
QUANTITIES = st.one_of(st.integers(0, 12), st.integers(INT64_MAX - 3, INT64_MAX))


@given(
    shorts=st.dictionaries(ACCOUNTS, QUANTITIES, max_size=20),
    assigned=st.dictionaries(ACCOUNTS, QUANTITIES.filter(bool), max_size=20),
    rows_a_chunk=st.integers(1, 21),
)
def test_gross_positions_come_apart_and_together_again(
    shorts: dict[Account, int], assigned: dict[Account, int], rows_a_chunk: int
) -> None:
    """What fits comes off and the rest is reported; put_back(take_off(x)) == x as sets of rows."""
    fits = {one: part for one, part in assigned.items() if part <= shorts.get(one, 0)}

    net = take_off(in_chunks(positions_of(shorts), rows_a_chunk), assigned_of(assigned))

    expected = {one: short - fits.get(one, 0) for one, short in shorts.items()}
    assert rows(net.positions) == as_rows(expected)
    assert rows(net.taken_off) == [(*one, shorts[one], fits[one]) for one in sorted(fits)]
    assert [_reported(one) for one in net.unmatched] == _misfits(shorts, assigned, fits)
    together = put_back(open_rows(net.positions), net.taken_off)
    assert Counter(rows(together)) == Counter(rows(open_rows(positions_of(shorts))))
    again = take_off(_as_positions(together), assigned_of(fits))
    assert again.taken_off.equals(net.taken_off)
    assert again.unmatched == ()


def _reported(one: Unmatched) -> tuple[Account, int | None, int, int]:
    account = (one.occ_account, one.series, one.account)
    return account, one.row, one.short_quantity, one.assigned_quantity


def _misfits(
    shorts: Mapping[Account, int], assigned: Mapping[Account, int], fits: Iterable[Account]
) -> list[tuple[Account, int | None, int, int]]:
    rows = {one: row for row, one in enumerate(shorts)}
    return [
        (one, rows.get(one), shorts.get(one, 0), assigned[one])
        for one in sorted(assigned.keys() - set(fits))
    ]


def _as_positions(table: pa.Table) -> pa.Table:
    return table.select(POSITIONS.names).cast(POSITIONS)
