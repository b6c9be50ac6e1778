"""The contracts of all rows, added up as the file is read: each row counts, and must be a number.

Law: with `adds_up`, `total_short` is the sum of the rows' quantities, and the rows of assigned
pools are those that a reading without it gives.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import INT64_MAX, POSITION_ROWS
from lottery.intake import files, position_block
from lottery.intake.positions import ReceivedPositions
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    POSITION_NAMES,
    SPY,
    columns_of,
    csv_text,
    incoming,
    notice,
    notices_table,
    position,
    table_of,
)
from tests.intake.conftest import rows
from tests.reference import Row

ASSIGNED = assigned_pools(notices_table([notice("N1", AAPL, 1, "C")]))
NUMERIC = AccountOrder.NUMERIC


@st.composite
def positions_drawn(draw: st.DrawFn) -> list[Row]:
    """Rows of an assigned pool and of another, each account once, with quantities of any size."""
    accounts = draw(st.lists(st.integers(1, 999), min_size=1, max_size=30, unique=True))
    quantity = st.integers(0, 9) | st.integers(0, INT64_MAX)
    series = st.sampled_from([AAPL, SPY])
    return [position(draw(series), str(account), draw(quantity), "C") for account in accounts]


def read(path: Path, held: list[Row], group: int, *, adds_up: bool) -> ReceivedPositions:
    """Write rows as the path's suffix says, and read them."""
    if path.suffix == ".csv":
        path.write_text(csv_text(held, POSITION_NAMES), "utf-8")
    else:
        pq.write_table(table_of(held, POSITION_ROWS), path, row_group_size=group)
    return files.read_positions(path, ASSIGNED, NUMERIC, adds_up=adds_up)


@given(
    held=positions_drawn(),
    suffix=st.sampled_from([".csv", ".parquet"]),
    group=st.integers(1, 31),
    worth_passes=st.sampled_from([1, 1 << 40]),
)
def test_what_all_rows_add_up_to_is_their_sum(
    held: list[Row], suffix: str, group: int, worth_passes: int
) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_block, "ROWS_WORTH_PASSES", worth_passes)
        path = Path(directory) / f"positions{suffix}"
        added = read(path, held, group, adds_up=True)
        plain = read(path, held, group, adds_up=False)

    assert added.total_short == sum(int(str(row["short_quantity"])) for row in held)
    assert plain.total_short is None
    assert rows(added) == rows(plain) == [row for row in held if row["series"] == AAPL]
    assert not added.problems


@pytest.mark.parametrize("worth_passes", [1, 1 << 40])
@pytest.mark.parametrize(("series", "with_notice"), [(AAPL, True), (SPY, False)])
def test_a_quantity_that_is_no_number_is_refused_wherever_it_is_if_all_are_added_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    worth_passes: int,
    series: str,
    *,
    with_notice: bool,
) -> None:
    monkeypatch.setattr(position_block, "ROWS_WORTH_PASSES", worth_passes)
    held = [position(AAPL, "1", 1, "C"), position(series, "2", -3, "C")]
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"positions{suffix}"

        (problem,) = read(path, held, 9, adds_up=True).problems
        assert (problem.row, problem.column, problem.rule) == (2, "short_quantity", "P2")
        assert bool(read(path, held, 9, adds_up=False).problems) is with_notice


def test_rows_of_a_file_with_malformed_lines_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(f"series,account,short_quantity\n{AAPL},1\n{SPY},2,x\n{AAPL},3,4\n")

    received = files.read_positions(path, ASSIGNED, NUMERIC, adds_up=True)

    assert [problem.row for problem in received.problems] == [1, 2]


def test_rows_and_arrow_of_a_message_are_added_up_together() -> None:
    arriving = incoming("positions")
    held = [position(AAPL, "1", 4, "C"), position(SPY, "1", 6, "C")]
    arriving.add_rows(columns_of(held, POSITION_ROWS))
    table = pa.table({"series": [SPY], "account": ["7"], "short_quantity": [5]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    arriving.add_arrow(sink.getvalue().to_pybytes())

    assert arriving.positions(ASSIGNED, NUMERIC, adds_up=True).total_short == 15
    assert arriving.positions(ASSIGNED, NUMERIC).total_short is None
