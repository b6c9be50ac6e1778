"""Positions that arrive as Arrow: the assigned pools alone, or all of them and every problem."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery.day.tables import LABEL, POSITION_ROWS
from lottery.errors import Problems
from lottery.intake import position_filter
from lottery.intake.sources import Received, RowLocator
from tests.builders import (
    AAPL,
    SPY,
    ZVZZT,
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

NOTICES = [notice("N1", AAPL, 10), notice("N2", SPY, 3, "C"), notice("N3", ZVZZT, 2, "C")]
NOTICED = {(AAPL, ""), (SPY, "C"), (ZVZZT, "C")}
SOUND = [
    *positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5}),
    *positions_of(SPY, {"00012": 2, "9" * 18: 1, "5": 4}, "C"),
    *positions_of(SPY, {"9": 3, "8": 0}),
    *positions_of("KO240920C00067500", {"1046": 7}, "C"),
]


@pytest.fixture(autouse=True)
def every_stream_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a stream of few rows worth the passes over the assigned pools."""
    monkeypatch.setattr(position_filter, "ROWS_WORTH_A_THREAD", 1)


def both_ways(tables: Iterable[pa.Table]) -> tuple[Received, Received, Problems]:
    """Positions of assigned pools as they are received, all of them, and the problems of both."""
    notices = Received(
        table=notices_table(NOTICES),
        sources=(),
        locators=(RowLocator(source="arrow_notices"),),
    )
    some, whole = incoming("positions"), incoming("positions")
    for table in tables:
        for arriving in (some, whole):
            arriving.add_arrow(arrow_payload(table))
    received, everything = some.received_of(notices), whole.received()
    assert received.problems == everything.problems
    assert received.sources == everything.sources
    return received, everything, received.problems


def is_assigned_alone(tables: Iterable[pa.Table]) -> bool:
    """Asserts the law of a stream; says whether the rows of assigned pools alone were given.

    Law: they are all rows without those of other pools, with the same numbers, or they are all.
    """
    received, everything, problems = both_ways(tables)
    numbered = []
    for index, row in enumerate(everything.table.to_pylist()):
        locator, local = everything.locate(index)
        numbered.append((locator.source, locator.row(local), row))
    if received.locators[0].row_numbers is None:
        assert received.table.to_pylist() == everything.table.to_pylist()
        return False
    assert not problems
    received.table.validate(full=True)
    assert received.table.schema == everything.table.schema
    found = []
    for index, row in enumerate(received.table.to_pylist()):
        locator, local = received.locate(index)
        found.append((locator.source, locator.row(local), row))
    assert found == [
        one for one in numbered if (one[2]["series"], one[2]["occ_account"]) in NOTICED
    ]
    return True


def labelled(table: pa.Table) -> pa.Table:
    """The same with its labels as dictionaries."""
    for name in ("series", "occ_account"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).dictionary_encode().cast(LABEL))
    return table


def in_parts(rows: list[Row], size: int) -> list[pa.Table]:
    """The rows as tables of so many."""
    return [
        table_of(rows[start : start + size], POSITION_ROWS) for start in range(0, len(rows), size)
    ]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_of_assigned_pools_are_kept_alone(size: int) -> None:
    assert is_assigned_alone(in_parts(SOUND, size))
    assert is_assigned_alone(labelled(table) for table in in_parts(SOUND, size))


def test_positions_without_an_occ_account_are_of_the_pools_without_one() -> None:
    rows = [row for row in SOUND if row["occ_account"] == ""]

    assert is_assigned_alone([table_of(rows, POSITION_ROWS).drop_columns(["occ_account"])])


@pytest.mark.parametrize(
    "row",
    [
        position(SPY, "9", 1),
        position(AAPL, "1046", 1),
        position(AAPL, "01046", 1),
        position(AAPL, "x", 1),
        position(SPY, "7", -1, "F"),
        position(SPY, "", 1, "F"),
        {**position(SPY, "7", 1, "F"), "account": None},
        {**position(SPY, "7", 1, "F"), "short_quantity": None},
        position("SPY", "7", 1),
        position(SPY, "7", 1, "="),
        position(SPY, "1" + "0" * 18, 1, "F"),
    ],
    ids=lambda row: f"{row['series']}-{row['account']}-{row['short_quantity']}",
)
@pytest.mark.parametrize("size", [3, 100])
def test_whatever_is_odd_is_told_as_ever(row: Row, size: int) -> None:
    # A doubled account of a assigned pool comes out where the day is arranged.
    is_doubled_assigned = row["series"] == AAPL and row["account"] != "x"

    assert is_assigned_alone(in_parts([*SOUND, row], size)) is is_doubled_assigned


def test_a_payload_of_other_types_or_without_rows_is_read_whole() -> None:
    table = table_of(SOUND, POSITION_ROWS)
    place = table.schema.get_field_index("short_quantity")
    narrow = table.set_column(place, "short_quantity", table["short_quantity"].cast(pa.int32()))

    assert not is_assigned_alone([narrow])
    assert not is_assigned_alone([table.schema.empty_table()])
    assert not is_assigned_alone([table, narrow.slice(0, 0)])


def test_a_stream_with_rows_too_is_read_whole() -> None:
    notices = Received(table=notices_table(NOTICES), sources=(), locators=())
    arriving = incoming("positions")
    arriving.add_arrow(arrow_payload(table_of(SOUND[:3], POSITION_ROWS)))
    arriving.add_rows(columns_of(SOUND[3:], POSITION_ROWS))

    assert arriving.received_of(notices).table.num_rows == len(SOUND)


def test_notices_with_problems_have_the_positions_read_whole() -> None:
    locator = RowLocator(source="arrow_notices")
    notices = Received(
        table=notices_table(NOTICES),
        sources=(),
        locators=(locator,),
        problems=Problems.of(locator.row_problem(0, "series must have a value, got none")),
    )
    arriving = incoming("positions")
    arriving.add_arrow(arrow_payload(table_of(SOUND, POSITION_ROWS)))

    assert arriving.received_of(notices).table.num_rows == len(SOUND)


@given(
    rows=st.lists(
        st.builds(
            position,
            st.sampled_from([AAPL, SPY, ZVZZT, AAPL.replace(" ", "")]),
            st.integers(0, 10**6).map(str),
            st.integers(0, 99),
            st.sampled_from(["", "C", "F"]),
        ),
        min_size=1,
        max_size=40,
    ),
    size=st.integers(1, 40),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stream_gives_its_assigned_rows_or_all(rows: list[Row], size: int) -> None:
    """Law: see `is_assigned_alone`; all rows only where an account comes twice in a pool."""
    pools = [(str(row["series"])[:4].strip(), row["occ_account"], row["account"]) for row in rows]

    assert is_assigned_alone(in_parts(rows, size)) or len(set(pools)) < len(pools)
