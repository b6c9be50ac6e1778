"""`lottery run --output`: three files, the contract's columns, the same bytes by every way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import PUBLISHED
from tests.cli.calls import EXAMPLE, EXAMPLE_RUN, Door, example_arguments, run_of

ALLOCATION_COLUMNS = [
    "occ_account",
    "series",
    "account",
    "short_quantity",
    "first_number",
    "last_number",
    "assigned_quantity",
]
POOL_COLUMNS = [
    "occ_account",
    "series",
    "notice_count",
    "assigned_quantity",
    "total_short",
    "first_hit",
    "account_count",
    "hit_account_count",
    "break_reason",
]
COLUMNS = {"allocations": ALLOCATION_COLUMNS, "pools": POOL_COLUMNS}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def expected_rows(name: str) -> list[dict[str, str]]:
    with (EXAMPLE / "expected" / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_three_files_are_those_of_the_example_to_the_byte(door: Door, tmp_path: Path) -> None:
    answer = door(*example_arguments(), "--output", tmp_path / "out")
    assert answer.exit_code == 4
    assert names_in(tmp_path / "out") == ["allocations.csv", "pools.csv", "run.json"]
    for name in COLUMNS:
        written = (tmp_path / "out" / f"{name}.csv").read_bytes()
        assert written == (EXAMPLE / "expected" / f"{name}.csv").read_bytes()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_csv_has_the_columns_of_the_contract_in_their_order(
    door: Door, tmp_path: Path, name: str
) -> None:
    door(*run_of(PUBLISHED, tmp_path), "--output", tmp_path / "out")
    lines = (tmp_path / "out" / f"{name}.csv").read_text("utf-8").splitlines()
    assert lines[0].split(",") == COLUMNS[name]


def test_the_rows_are_sorted_by_occ_account_series_and_account_number(
    door: Door, tmp_path: Path
) -> None:
    door(*example_arguments(), "--output", tmp_path / "out")
    with (tmp_path / "out" / "allocations.csv").open(encoding="utf-8", newline="") as lines:
        keys = [
            (row["occ_account"], row["series"], int(row["account"]))
            for row in csv.DictReader(lines)
        ]
    assert keys == sorted(keys)


@pytest.mark.parametrize("name", COLUMNS)
def test_parquet_has_the_same_columns_and_values(door: Door, tmp_path: Path, name: str) -> None:
    door(*example_arguments(), "--output", tmp_path / "out", "--format", "parquet")
    assert names_in(tmp_path / "out") == ["allocations.parquet", "pools.parquet", "run.json"]
    table = pq.read_table(tmp_path / "out" / f"{name}.parquet")
    rows = [
        {column: "" if value is None else str(value) for column, value in row.items()}
        for row in table.to_pylist()
    ]
    assert table.column_names == COLUMNS[name]
    assert rows == expected_rows(name)


def test_the_files_are_written_when_the_run_was_recorded_already(
    door: Door, tmp_path: Path
) -> None:
    first = door(*example_arguments(), "--output", tmp_path / "first")
    again = door(*example_arguments(), "--output", tmp_path / "again")
    assert [first.exit_code, again.exit_code] == [4, 4]
    for name in ("allocations.csv", "pools.csv", "run.json"):
        written = (tmp_path / "again" / name).read_bytes()
        assert written == (tmp_path / "first" / name).read_bytes()
    assert door.recorded() == [EXAMPLE_RUN]


def test_the_run_record_beside_the_tables_is_the_recorded_one(door: Door, tmp_path: Path) -> None:
    door(*example_arguments(), "--output", tmp_path / "out")
    written = (tmp_path / "out" / "run.json").read_bytes()
    kept = door.ledger / "evidence" / "2024-09-16" / EXAMPLE_RUN / "run.json"
    assert written == kept.read_bytes()
    record = json.loads(written)
    shown = door("show", "latest", "--json").document
    assert {name: shown[name] for name in record} == record


def test_files_that_are_there_are_replaced_and_others_left_alone(
    door: Door, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "pools.csv").write_text("yesterday's\n")
    (out / "notes.txt").write_text("mine\n")
    door(*example_arguments(), "--output", out)
    assert names_in(out) == ["allocations.csv", "notes.txt", "pools.csv", "run.json"]
    assert (out / "pools.csv").read_bytes() == (EXAMPLE / "expected" / "pools.csv").read_bytes()
    assert (out / "notes.txt").read_text() == "mine\n"


def test_a_folder_is_made_with_its_parents(door: Door, tmp_path: Path) -> None:
    out = tmp_path / "2024" / "09" / "16"
    assert door(*example_arguments(), "--output", out).exit_code == 4
    assert len(names_in(out)) == 3


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_recorded(
    door: Door, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file\n")
    command = run_of(PUBLISHED, tmp_path)
    for out in (taken, taken / "below"):
        text = door(*command, "--output", out)
        answer = door(*command, "--output", out, "--json")
        assert text.exit_code == answer.exit_code == 2
        assert answer.document["reason"] == "WRONG_USAGE"
        assert (text.out, answer.complaints) == ("", [])
        assert str(out) in text.told
        assert str(out) in answer.document["message"]
    assert door.recorded() == []
    assert taken.read_text() == "a file\n"


def test_a_folder_that_cannot_be_written_is_not_said_to_be_the_ledger(
    door: Door, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    answer = door(*run_of(PUBLISHED, tmp_path), "--output", tmp_path / "taken")
    assert "LEDGER" not in answer.err
    # Trying again does not help: a file stands where the folder should be.
    assert answer.exit_code == 2


def test_output_that_cannot_be_written_once_the_run_is_recorded_is_told_as_that(
    door: Door, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "pools.csv").mkdir(parents=True)
    command = [*run_of(PUBLISHED, tmp_path), "--output", str(out)]
    text, answer = door(*command), door(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [75, 75]
    assert (text.out, answer.complaints) == ("", [])
    message = (
        f"--output {out}: Is a directory; the run is recorded, run the "
        "same command again to write it"
    )
    assert text.err == f"{message} (OUTPUT_UNWRITABLE)\n"
    assert answer.document == {"reason": "OUTPUT_UNWRITABLE", "message": message}
    assert door.recorded() == [EXAMPLE_RUN]
    assert names_in(out) == ["allocations.csv", "pools.csv"]
    (out / "pools.csv").rmdir()
    assert door(*command).exit_code == 0
    assert names_in(out) == ["allocations.csv", "pools.csv", "run.json"]


@pytest.mark.parametrize("reason", ["refused", "conflict"])
def test_nothing_is_written_for_a_run_that_is_not_recorded(
    door: Door, tmp_path: Path, reason: str
) -> None:
    command = run_of(PUBLISHED, tmp_path)
    if reason == "refused":
        (tmp_path / "positions.csv").write_text("series,account\n")
    else:
        door(*command)
        command = run_of(PUBLISHED.renamed("B"), tmp_path)
    assert door(*command, "--output", tmp_path / "out").exit_code == {"refused": 3}.get(reason, 5)
    assert list((tmp_path / "out").glob("*")) == []
