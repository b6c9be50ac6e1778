"""Positions that arrive as messages: rows and Arrow, read both ways, numbered part by part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day.tables import LABEL, POSITION_ROWS
from lottery.intake.positions import ReceivedPositions
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    SPY,
    arrow_payload,
    columns_of,
    incoming,
    position,
    positions_of,
    table_of,
)
from tests.intake.conftest import locations, pools_of, rows
from tests.intake.test_positions import (
    KO,
    NOTICES,
    SOUND,
    both_ways,
    drawn_rows,
    expected_of,
    numbered,
)
from tests.reference import Row

POOLS = pools_of(NOTICES)


def received_of(
    tables: Iterable[pa.Table], more: Sequence[Row] = ()
) -> tuple[ReceivedPositions, bool]:
    """Return the positions of Arrow payloads, and of rows that arrive after them."""
    arriving = incoming("positions")
    for table in tables:
        arriving.add_arrow(arrow_payload(table))
    if more:
        arriving.add_rows(columns_of(more, POSITION_ROWS))
    return both_ways(lambda: arriving.positions(POOLS, AccountOrder.NUMERIC))


def found_in(received: ReceivedPositions) -> list[tuple[str, int, Row]]:
    """Return the rows with their source and number."""
    located = map(received.locate, range(len(received.positions)))
    return [
        (locator.source, locator.row(index), row)
        for (locator, index), row in zip(located, rows(received), strict=True)
    ]


def in_parts(held: Sequence[Row], size: int, *, labelled: bool = False) -> list[pa.Table]:
    """Return the rows as tables of so many."""
    parts = [
        table_of(held[start : start + size], POSITION_ROWS) for start in range(0, len(held), size)
    ]
    if labelled:
        schema = POSITION_ROWS
        for name in ("series", "occ_account"):
            schema = schema.set(schema.get_field_index(name), pa.field(name, LABEL))
        parts = [part.cast(schema) for part in parts]
    return parts


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("as_rows", [0, 2])
def test_rows_of_assigned_pools_are_given_with_their_numbers(
    size: int, *, labelled: bool, as_rows: int
) -> None:
    held, more = SOUND[as_rows:], SOUND[:as_rows]

    received, passed = received_of(in_parts(held, size, labelled=labelled), more)

    assert passed
    assert not received.problems
    assert found_in(received) == [
        *(("positions", number, row) for number, row in numbered(more)),
        *(("arrow_positions", number, row) for number, row in numbered(held)),
    ]


def test_positions_without_an_occ_account_are_of_the_pools_without_one() -> None:
    held = [row for row in SOUND if row["occ_account"] == ""]

    received, passed = received_of([table_of(held, POSITION_ROWS).drop_columns(["occ_account"])])

    assert passed
    assert found_in(received) == [("arrow_positions", *one) for one in numbered(held)]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (position(AAPL, "x", 1), "account"),
        (position(AAPL, "", 1), "account"),
        (position(AAPL, None, 1), "account"),
        (position(AAPL, "7", -1), "short_quantity"),
        (position(AAPL, "7", None), "short_quantity"),
        (position("AAPL", "7", 1), "series"),
        (position(SPY, "7", 1, "="), "occ_account"),
        (position(SPY, "x", -1, "M"), None),
        (position(SPY, None, None, "M"), None),
    ],
)
@pytest.mark.parametrize("size", [3, 100])
def test_what_is_wrong_is_named_with_its_row(row: Row, column: str | None, size: int) -> None:
    received, _ = received_of(in_parts([*SOUND, row], size))

    assert locations(received.problems) == ([(len(SOUND) + 1, column)] if column else [])
    assert [found[1:] for found in found_in(received)][: len(numbered(SOUND))] == numbered(SOUND)


def test_payloads_of_other_types_and_without_rows_are_read_with_the_others() -> None:
    table = table_of(SOUND, POSITION_ROWS)
    at = table.schema.get_field_index("short_quantity")
    narrow = table.set_column(at, "short_quantity", table["short_quantity"].cast(pa.int32()))

    received, _ = received_of([table, narrow.slice(0, 0), narrow])

    assert not received.problems
    assert [found[1:] for found in found_in(received)] == numbered([*SOUND, *SOUND])


def test_texts_of_a_dictionary_that_no_row_has_are_nobody_s_business() -> None:
    table = table_of(SOUND[:3], POSITION_ROWS)
    for name, unused in (("series", "none"), ("occ_account", "C")):
        texts = pa.array([unused, str(SOUND[0][name])])
        labels = pa.DictionaryArray.from_arrays(pa.array([1, 1, 1], pa.int32()), texts)
        table = table.set_column(table.schema.get_field_index(name), name, labels)

    received, _ = received_of([table])

    assert not received.problems
    assert not received.has_occ_accounts
    assert [found[1:] for found in found_in(received)] == numbered(SOUND[:3])


@pytest.mark.parametrize(
    ("held", "sample"),
    [
        ([], []),
        (SOUND, []),
        (positions_of(AAPL, {"1": 1}), []),
        (positions_of("KO240920C00067500", {"x": -1}), [position(KO, "0", 0)]),
        (
            [*positions_of(AAPL, {"1": 1}), *positions_of(KO, {"1": 1}, "F")],
            [position(KO, "0", 0, "F")],
        ),
    ],
    ids=["no rows", "OCC accounts", "none", "other pools", "OCC accounts of other pools"],
)
def test_what_is_sent_on_shows_whether_there_were_rows_and_occ_accounts(
    held: list[Row], sample: list[Row]
) -> None:
    received, _ = received_of(in_parts(held, 3))

    sent = received.table_to_send()

    assert sent.to_pylist() == [*rows(received), *sample]
    again, _ = received_of([sent])
    assert again.has_occ_accounts == received.has_occ_accounts
    assert bool(again.row_count) == bool(held)
    assert rows(again) == rows(received)


@given(held=drawn_rows(), size=st.integers(1, 41), labelled=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_stream_gives_the_rows_and_problems_of_its_rows(
    held: list[Row], size: int, *, labelled: bool
) -> None:
    """Law: however rows are cut into payloads, they are read and refused one by one."""
    received, _ = received_of(in_parts(held, size, labelled=labelled))

    kept, problems = expected_of(held, AccountOrder.NUMERIC)
    assert [found[1:] for found in found_in(received)] == kept
    assert locations(received.problems) == problems
