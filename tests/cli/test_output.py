"""`lottery run --output`: three files, the contract's columns, the same bytes by every way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from tests.builders import PUBLISHED
from tests.cli.calls import (
    CONFLICTS,
    EXAMPLE,
    EXAMPLE_RUN,
    Door,
    evidence_file,
    example_arguments,
    fails,
    run_of,
)

COLUMNS = {
    "allocations": "occ_account,series,account,short_quantity,first_number,last_number,"
    "assigned_quantity",
    "pools": "occ_account,series,notice_count,assigned_quantity,total_short,assigned_before,"
    "first_hit,account_count,hit_account_count,break_reason",
}
EXPECTED = {name: EXAMPLE / "expected" / f"{name}.csv" for name in COLUMNS}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_files_are_those_of_the_example_to_the_byte_and_its_record(
    either: Door, tmp_path: Path
) -> None:
    # The directory is made with its parents.
    first, again = tmp_path / "2024" / "09" / "16", tmp_path / "again"
    for out in (first, again):  # The second time the run was recorded already.
        assert either(*example_arguments(), "--output", out).exit_code == 4
        assert names_in(out) == ["allocations.csv", "pools.csv", "run.json"]
        for name, expected in EXPECTED.items():
            written = (out / f"{name}.csv").read_bytes()
            assert written == expected.read_bytes()
            assert written.decode().splitlines()[0] == COLUMNS[name]
        record = (out / "run.json").read_bytes()
        assert record == evidence_file(either.ledger, f"{EXAMPLE_RUN}.json").read_bytes()
    shown = either("show", "latest", "--json").document
    assert json.loads(record).items() <= shown.items()
    assert either.recorded() == [EXAMPLE_RUN]


def test_the_rows_are_sorted_by_occ_account_series_and_account_number() -> None:
    with EXPECTED["allocations"].open(encoding="utf-8", newline="") as lines:
        keys = [
            (row["occ_account"], row["series"], int(row["account"]))
            for row in csv.DictReader(lines)
        ]
    assert keys == sorted(keys)


def test_parquet_has_the_same_columns_and_values(either: Door, tmp_path: Path) -> None:
    either(*example_arguments(), "--output", tmp_path / "out", "--format", "parquet")
    assert names_in(tmp_path / "out") == ["allocations.parquet", "pools.parquet", "run.json"]
    for name, expected in EXPECTED.items():
        table = pq.read_table(tmp_path / "out" / f"{name}.parquet")
        rows = [
            {column: "" if value is None else str(value) for column, value in row.items()}
            for row in table.to_pylist()
        ]
        with expected.open(encoding="utf-8", newline="") as lines:
            assert rows == list(csv.DictReader(lines))
        assert ",".join(table.column_names) == COLUMNS[name]


def test_what_is_asked_for_changes_what_is_written_and_not_what_is_recorded(
    door: Door, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = ("--output", out, "--assigned-only", "--run-columns")
    text = door(*example_arguments(), *asked)
    assert text.lines[-1] == f"Wrote allocations.csv, pools.csv and run.json to {out}"
    assert door(*example_arguments(), *asked, "--json").document["output"] == str(out)
    for name, expected in EXPECTED.items():
        with (
            (out / f"{name}.csv").open(encoding="utf-8", newline="") as lines,
            expected.open(encoding="utf-8", newline="") as whole,
        ):
            written, rows = list(csv.DictReader(lines)), list(csv.DictReader(whole))
        if name == "allocations":
            rows = [row for row in rows if row["assigned_quantity"] != "0"]
        about = {"run": EXAMPLE_RUN, "business_date": "2024-09-16", "cycle": "1"}
        assert written == [{**about, **row} for row in rows]
        assert ",".join(written[0]) == f"run,business_date,cycle,{COLUMNS[name]}"
    assert door("verify").exit_code == 0


def test_a_date_is_written_with_its_last_run_and_its_date(reader: Door, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = reader("day", "2024-09-16", "--output", out, "--run-columns", "--format", "parquet")
    assert text.lines[-1] == f"Wrote allocations.parquet, pools.parquet and day.json to {out}"
    for name, columns in COLUMNS.items():
        table = pq.read_table(out / f"{name}.parquet")
        assert ",".join(table.column_names) == f"last_run,business_date,{columns}"
        first = table.slice(0, 1).to_pylist()[0]
        assert (first["last_run"], first["business_date"]) == (EXAMPLE_RUN, "2024-09-16")


def test_the_run_of_each_row_is_written_to_workbooks_too(reader: Door, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("day", "2024-09-16", "--output", out, "--format", "xlsx", "--run-columns")
    assert reader(*given).exit_code == 0
    sheet = openpyxl.load_workbook(out / "allocations.xlsx")["allocations"]
    assert [cell.value for cell in sheet[1]][:3] == ["Last run", "Business date", "OCC account"]
    assert [cell.value for cell in sheet[2]][:2] == [EXAMPLE_RUN, "2024-09-16"]


@pytest.mark.parametrize("option", ["--assigned-only", "--run-columns"])
def test_what_is_written_is_not_chosen_where_nothing_is(reader: Door, option: str) -> None:
    for command in (example_arguments(), ["day", "2024-09-16"]):
        text, _ = fails(reader, *command, option, exit_code=2, reason="WRONG_USAGE")
        assert "go with --output" in text.message


def test_files_that_are_there_are_replaced_and_others_left_alone(
    door: Door, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "pools.csv").write_text("yesterday's\n")
    (out / "notes.txt").write_text("mine\n")
    door(*example_arguments(), "--output", out)
    assert names_in(out) == ["allocations.csv", "notes.txt", "pools.csv", "run.json"]
    assert (out / "pools.csv").read_bytes() == EXPECTED["pools"].read_bytes()
    assert (out / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["taken", "taken/below"])
def test_a_directory_that_cannot_be_made_is_wrong_usage_and_nothing_is_recorded(
    either: Door, tmp_path: Path, name: str
) -> None:
    (tmp_path / "taken").write_text("a file\n")
    out = tmp_path / name
    command = (*run_of(PUBLISHED, tmp_path), "--output", out)
    # Trying again does not help, and it is not the ledger's fault.
    text, document = fails(either, *command, exit_code=2, reason="WRONG_USAGE")
    assert str(out) in text.message
    assert str(out) in document["message"]
    assert "LEDGER" not in text.message
    assert either.recorded() == []
    assert (tmp_path / "taken").read_text() == "a file\n"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_output_that_cannot_be_written_once_the_run_is_recorded_is_reported_as_that(
    either: Door, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    (out / f"pools.{form}").mkdir(parents=True)
    command = [*run_of(PUBLISHED, tmp_path), "--output", str(out), "--format", form]
    text, document = fails(either, *command, exit_code=2, reason="OUTPUT_UNWRITABLE")
    message = (
        f"--output {out}: Is a directory; what was recorded stays recorded, run the "
        "same command again to write it"
    )
    assert text.err == f"{message} (OUTPUT_UNWRITABLE)\n"
    assert document == {"reason": "OUTPUT_UNWRITABLE", "message": message}
    assert either.recorded() == [EXAMPLE_RUN]
    assert names_in(out) == [f"allocations.{form}", f"pools.{form}"]
    (out / f"pools.{form}").rmdir()
    assert either(*command).exit_code == 0
    assert names_in(out) == [f"allocations.{form}", f"pools.{form}", "run.json"]


@pytest.mark.parametrize(("reason", "exit_code"), [("refused", 3), ("conflict", 5)])
def test_nothing_is_written_for_a_run_that_is_not_recorded(
    door: Door, tmp_path: Path, reason: str, exit_code: int
) -> None:
    command = run_of(PUBLISHED, tmp_path)
    if reason == "refused":
        (tmp_path / "positions.csv").write_text("series,account\n")
    else:
        door(*command)
        command = run_of(CONFLICTS["POPULATION_DIFFERS"], tmp_path)
    assert door(*command, "--output", tmp_path / "out").exit_code == exit_code
    assert list((tmp_path / "out").glob("*")) == []
