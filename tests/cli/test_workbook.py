"""`lottery run --format xlsx`: workbooks that show what was recorded, and compute nothing."""

from __future__ import annotations

import datetime as dt
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery.cli.workbook import HEADINGS, LARGEST_NUMBER, SUMMARY_SHEET, write_workbook
from lottery.day.tables import ALLOCATIONS, POOLS
from tests.builders import (
    AAPL,
    FULL,
    GE,
    GOOGL,
    META,
    PUBLISHED,
    largest_file,
    notice,
    position,
)
from tests.cli.calls import Door, example_arguments, run_of

RECORDED_AT = dt.datetime(2024, 9, 16, 11, 30, tzinfo=dt.UTC)
NAMES = ("allocations", "pools")
Cells = list[tuple[Any, ...]]


SUMMARY = (("Run", "2024-09-16-001"), ("Break", "=1+1"))


def sheets_of(path: Path) -> dict[str, Cells]:
    """Return the cells of every sheet but the summary, as another program reads them."""
    sheets = {
        sheet.title: list(sheet.iter_rows(values_only=True))
        for sheet in openpyxl.load_workbook(path)
    }
    assert next(iter(sheets)) == SUMMARY_SHEET
    return {name: cells for name, cells in sheets.items() if name != SUMMARY_SHEET}


def headings_of(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(HEADINGS[name] for name in names)


def cells_of(table: pa.Table) -> Cells:
    """Return a table as its sheet shows it: an empty text or missing value is an empty cell."""
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [
        headings_of(table.column_names),
        *(tuple(None if value == "" else value for value in row) for row in rows),
    ]


def written(path: Path, table: pa.Table, **options: Any) -> dict[str, Cells]:
    write_workbook(
        path, {"allocations": table}, title="a run", created=RECORDED_AT, summary=SUMMARY, **options
    )
    return sheets_of(path)


def allocations_of(*rows: tuple[str, str, str, int]) -> pa.Table:
    """Return allocations of (occ_account, series, account, number)."""
    texts = {
        name: [row[index] for row in rows]
        for index, name in enumerate(("occ_account", "series", "account"))
    }
    numbers = {
        name: [row[3] for row in rows]
        for name in ("short_quantity", "first_number", "last_number", "assigned_quantity")
    }
    return pa.table({**texts, **numbers}, ALLOCATIONS)


def xml_of(path: Path) -> str:
    """Return every part of a workbook, one after the other."""
    with zipfile.ZipFile(path) as parts:
        return "".join(parts.read(name).decode() for name in parts.namelist())


def assert_nothing_is_computed(path: Path) -> None:
    """Assert that no cell is a formula or a link, by what the file says and by what is read."""
    text = xml_of(path)
    assert not re.search(r"<f[ >]|hyperlink|externalLink|vbaProject|ddeLink", text)
    for sheet in openpyxl.load_workbook(path):
        for row in sheet.iter_rows():
            assert {cell.data_type for cell in row} <= {"s", "n", "inlineStr"}


def test_two_workbooks_and_the_record_have_what_parquet_has(door: Door, tmp_path: Path) -> None:
    for form in ("xlsx", "parquet"):
        answer = door(*example_arguments(), "--output", tmp_path / form, "--format", form)
        assert answer.exit_code == 4

    names = sorted(path.name for path in (tmp_path / "xlsx").iterdir())
    assert names == ["allocations.xlsx", "pools.xlsx", "run.json"]
    for name in NAMES:
        table = pq.read_table(tmp_path / "parquet" / f"{name}.parquet")
        assert sheets_of(tmp_path / "xlsx" / f"{name}.xlsx")[name] == cells_of(table)
    records = [(tmp_path / form / "run.json").read_bytes() for form in ("xlsx", "parquet")]
    assert records[0] == records[1]


def test_the_breaks_have_a_sheet_of_their_own(door: Door, tmp_path: Path) -> None:
    door(*run_of(FULL, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    sheets = sheets_of(tmp_path / "out" / "pools.xlsx")

    assert list(sheets) == ["pools", "breaks"]
    header, *breaks = sheets["breaks"]
    assert header == headings_of(POOLS.names)
    rows = [dict(zip(POOLS.names, row, strict=True)) for row in breaks]
    (broken,) = door("show", "latest", "--json").document["breaks"]
    assert [row["break_reason"] for row in rows] == ["EXCEEDS_SHORT"]
    assert {name: rows[0][name] for name in broken if name in rows[0]} == {
        name: broken[name] for name in broken if name in rows[0]
    }
    assert rows[0]["first_hit"] is None


def test_a_day_without_breaks_has_an_empty_sheet_of_them(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    assert sheets_of(tmp_path / "out" / "pools.xlsx")["breaks"] == [headings_of(POOLS.names)]


def test_a_workbook_says_which_run_it_shows_and_when_that_was_recorded(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(PUBLISHED, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    record = json.loads((tmp_path / "out" / "run.json").read_text())
    about = openpyxl.load_workbook(tmp_path / "out" / "allocations.xlsx").properties
    assert about.title == f"Run {record['run']}: allocations"
    assert about.created.isoformat() == record["recorded_at"][:19]


def test_account_numbers_keep_their_zeros_and_every_digit(door: Door, tmp_path: Path) -> None:
    long = "123456789012345678901234567890"
    day = replace(
        PUBLISHED,
        notices=[notice("A1", AAPL, 10, "C")],
        positions=[position(AAPL, account, 9, "C") for account in ("007", "0815", "1", long)],
    )
    door(*run_of(day, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    header, *rows = sheets_of(tmp_path / "out" / "allocations.xlsx")["allocations"]

    accounts = [row[header.index("Account")] for row in rows]
    assert accounts == ["1", "007", "0815", long]
    assert all(isinstance(row[header.index("Short")], int) for row in rows)
    assert {row[header.index("Series")] for row in rows} == {AAPL}


def test_accounts_that_look_like_powers_stay_texts(tmp_path: Path) -> None:
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    door("init", "--decision", "account_order=code-point")
    day = replace(PUBLISHED, positions=[position(AAPL, account, 9) for account in ("1E5", "2E10")])
    answer = door(*run_of(day, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    assert answer.exit_code == 0
    _, *rows = sheets_of(tmp_path / "out" / "allocations.xlsx")["allocations"]
    assert [row[2] for row in rows] == ["1E5", "2E10"]


def test_the_first_sheet_says_what_the_workbook_is_of(door: Door, tmp_path: Path) -> None:
    door(*run_of(FULL, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    record = json.loads((tmp_path / "out" / "run.json").read_text())
    for name in NAMES:
        sheet = openpyxl.load_workbook(tmp_path / "out" / f"{name}.xlsx")[SUMMARY_SHEET]
        lines: Cells = list(sheet.iter_rows(values_only=True))
        said: dict[str, str] = dict(lines)
        assert (said["Run"], said["Business date"]) == (record["run"], "2024-09-16")
        assert (said["Composite"], said["Digits"], said["Fraction"]) == (
            record["seed"]["composite"],
            record["seed"]["digits"],
            record["seed"]["fraction"],
        )
        assert [value for what, value in lines if what.startswith("Ask price")] == [
            volume["ask_price"] for volume in record["seed"]["volumes"]
        ]
        assert said["Breaks"] == "1"
        assert said["Break"] == "C GE1   240920C00160000: 25 assigned, 22 short: EXCEEDS_SHORT"


def test_a_break_is_in_color_and_no_other_pool_is(door: Door, tmp_path: Path) -> None:
    door(*run_of(FULL, tmp_path), "--output", tmp_path / "out", "--format", "xlsx")

    sheet = openpyxl.load_workbook(tmp_path / "out" / "pools.xlsx")["pools"]
    colors = {
        row[1].value: {cell.fill.start_color.rgb for cell in row if cell.fill.fill_type}
        for row in sheet.iter_rows(min_row=2)
    }
    assert colors == {AAPL: set(), GE: {"FFFBE3D6"}, GOOGL: set(), META: set()}


def test_every_sheet_is_printed_across_as_wide_as_the_paper(tmp_path: Path) -> None:
    path = tmp_path / "allocations.xlsx"
    written(path, allocations_of(("C", AAPL, "1046", 30)))

    text = xml_of(path)
    sheets = len(openpyxl.load_workbook(path).sheetnames)
    assert sheets == 2
    assert text.count('<pageSetUpPr fitToPage="1"/>') == sheets
    assert text.count('<pageSetup fitToHeight="0" orientation="landscape"') == sheets
    assert text.count("<oddFooter>&amp;La run&amp;RPage &amp;P of &amp;N</oddFooter>") == sheets


def test_the_header_stays_in_sight_and_filters_every_row(tmp_path: Path) -> None:
    path = tmp_path / "allocations.xlsx"
    written(path, allocations_of(*[("C", AAPL, f"{each:05d}", each) for each in range(7)]))

    _, sheet = openpyxl.load_workbook(path)

    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:G8")
    assert sheet["C2"].number_format == "@"
    assert sheet["D2"].number_format == "#,##0"
    assert sheet.column_dimensions["B"].width > len(AAPL)
    assert 'numberStoredAsText="1"' in xml_of(path)


def test_rows_past_the_limit_of_a_sheet_go_on_on_the_next(tmp_path: Path) -> None:
    table = allocations_of(*[("C", AAPL, f"{each:05d}", each) for each in range(7)])

    sheets = written(tmp_path / "allocations.xlsx", table, most_rows=3)

    assert list(sheets) == ["allocations", "allocations-2", "allocations-3"]
    assert [len(cells) - 1 for cells in sheets.values()] == [3, 3, 1]
    assert {cells[0] for cells in sheets.values()} == {headings_of(ALLOCATIONS.names)}
    assert [row for cells in sheets.values() for row in cells[1:]] == cells_of(table)[1:]


def test_rows_that_fill_a_sheet_need_no_next_one(tmp_path: Path) -> None:
    table = allocations_of(*[("C", AAPL, f"{each:05d}", each) for each in range(6)])

    assert list(written(tmp_path / "allocations.xlsx", table, most_rows=6)) == ["allocations"]


@pytest.mark.parametrize("number", [LARGEST_NUMBER, LARGEST_NUMBER - 1, 2**49 + 1])
def test_a_number_of_15_digits_is_a_number_to_the_last(tmp_path: Path, number: int) -> None:
    _, row = written(tmp_path / "a.xlsx", allocations_of(("C", AAPL, "1", number)))["allocations"]

    assert row[3:] == (number,) * 4


@pytest.mark.parametrize("number", [LARGEST_NUMBER + 1, 2**53 + 1, 2**63 - 1])
def test_a_column_with_a_longer_number_is_text_as_a_whole(tmp_path: Path, number: int) -> None:
    table = allocations_of(("C", AAPL, "1", 5), ("C", AAPL, "2", number))

    _, *rows = written(tmp_path / "a.xlsx", table)["allocations"]

    assert [row[3] for row in rows] == ["5", str(number)]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "{=SUM(A1)}",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "=HYPERLINK(0)",
        "http://example.org",
        "mailto:a@example.org",
        "internal:A1",
        "=cmd|' /C calc'!A0",
        "<f>1</f>",
    ],
)
def test_no_text_becomes_a_formula_or_a_link(tmp_path: Path, text: str) -> None:
    """The intake refuses them all; a workbook is safe without it."""
    path = tmp_path / "allocations.xlsx"

    _, row = written(path, allocations_of((text, text, text, 1)))["allocations"]

    assert row[:3] == (text, text, text)
    assert_nothing_is_computed(path)


OCC_ACCOUNTS = st.sampled_from(["", "C", "F", "M/ABC", "0", "00123", "1E5", "C-1.2_3"])
SYMBOLS = st.sampled_from([AAPL, "0     240920C00220000", "1E    240920P00000500"])
ROWS = st.lists(
    st.tuples(
        OCC_ACCOUNTS,
        SYMBOLS,
        st.from_regex(r"[0-9]{1,30}", fullmatch=True),
        st.integers(0, 2**63 - 1) | st.integers(0, 10**15 + 1),
    ),
    max_size=12,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, most_rows=st.integers(1, 12))
def test_what_is_written_is_what_is_read_back(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], most_rows: int
) -> None:
    """Any legal rows come back cell by cell, over however many sheets."""
    path = tmp_path / "allocations.xlsx"
    table = allocations_of(*rows)

    sheets = written(path, table, most_rows=most_rows)

    assert len(sheets) == max(1, -(-len(rows) // most_rows))
    assert {cells[0] for cells in sheets.values()} == {headings_of(ALLOCATIONS.names)}
    read = [row for cells in sheets.values() for row in cells[1:]]
    too_long = any(row[3] > LARGEST_NUMBER for row in rows)
    assert read == [
        (occ_account or None, series, account, *([str(number) if too_long else number] * 4))
        for occ_account, series, account, number in rows
    ]
    assert_nothing_is_computed(path)


@pytest.mark.parametrize("missing", [300_000, 100])
def test_a_full_disk_is_reported_and_nothing_else_is_left(tmp_path: Path, missing: int) -> None:
    """With 100 bytes too few all rows can be written, and the sheet around them cannot."""
    path = tmp_path / "allocations.xlsx"
    table = allocations_of(*[("C", AAPL, f"{each:05d}", each) for each in range(1_000)])
    written(path, table)
    with zipfile.ZipFile(path) as parts:
        size = parts.getinfo("xl/worksheets/sheet2.xml").file_size

    with largest_file(size - missing), pytest.raises(OSError, match="File too large"):
        written(path, table)

    assert {left.name for left in tmp_path.iterdir()} <= {path.name}


def test_a_workbook_whose_path_is_a_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        written(tmp_path, allocations_of())
