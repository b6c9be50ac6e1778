"""The example day gives what its expected files say; its files are what its maker writes."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.make_day import DIRECTORY, files_of_the_day
from lottery import operations
from lottery.intake import files
from tests.builders import (
    DATE,
    assert_sound,
    opened,
    record_in,
    request_of_files,
)

PATHS = {role: DIRECTORY / f"{role}.csv" for role in ("notices", "positions", "volumes")}


def expected(name: str) -> list[dict[str, str]]:
    with (DIRECTORY / "expected" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_text(rows: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows as a CSV file has them: a null is an empty text."""
    return [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]


def test_the_example_day_gives_what_its_expected_files_say(tmp_path: Path) -> None:
    request = request_of_files(PATHS, date=dt.date(2024, 9, 16))

    day = operations.compute_day(request).day

    assert as_text(day.pools.to_pylist()) == expected("pools.csv")
    assert as_text(day.allocations.to_pylist()) == expected("allocations.csv")

    record_in(tmp_path / "ledger", request_of_files(PATHS))
    ledger = opened(tmp_path / "ledger")

    assert as_text(operations.pools(ledger, "latest").to_pylist()) == expected("pools.csv")
    assert as_text(operations.allocations(ledger, "latest").to_pylist()) == expected(
        "allocations.csv"
    )
    assert_sound(tmp_path / "ledger")


def test_the_files_of_the_example_day_have_not_drifted_from_their_maker() -> None:
    made = files_of_the_day()

    kept = {
        path.relative_to(DIRECTORY).as_posix(): path.read_bytes()
        for path in DIRECTORY.rglob("*")
        if path.is_file()
    }
    assert kept == {name: text.encode() for name, text in made.items()}


def test_the_example_day_is_the_same_as_fixml_and_agrees_with_occs_own_figures() -> None:
    by_csv = request_of_files(PATHS)
    by_fixml = request_of_files({**PATHS, "notices": DIRECTORY / "notices.xml"})
    occ = files.read_occ_positions(DIRECTORY / "occ_positions.xml", DATE)

    computed = operations.compute_day(replace(by_fixml, occ_positions=occ))

    assert by_fixml.notices.table.to_pylist() == by_csv.notices.table.to_pylist()
    assert computed.day.allocations.equals(operations.compute_day(by_csv).day.allocations)
    assert computed.warnings == ()


@pytest.mark.parametrize(("account", "assigned"), [("1046", "3"), ("1047", "7"), ("1048", "0")])
def test_the_published_example_is_in_the_day(account: str, assigned: str) -> None:
    rows = [
        row
        for row in expected("allocations.csv")
        if row["series"] == "AAPL  240920C00220000" and row["account"] == account
    ]

    assert [row["assigned_quantity"] for row in rows] == [assigned]
