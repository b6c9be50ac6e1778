"""The example day gives what its expected files say; its files are what its maker writes."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples import make_second_day
from examples.demo import BREAKS, second_date
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
from tests.cli.calls import files_of

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


@pytest.mark.parametrize(
    ("directory", "made"),
    [
        (DIRECTORY, files_of_the_day),
        (make_second_day.DIRECTORY, make_second_day.files_of_the_day),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_files_of_an_example_date_have_not_drifted_from_their_maker(
    directory: Path, made: Callable[[], dict[str, str]]
) -> None:
    kept = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
    assert kept == {name: text.encode() for name, text in made().items()}


def test_what_stands_of_the_second_date_is_what_its_expected_files_say(tmp_path: Path) -> None:
    door = files_of(tmp_path / "ledger")

    codes = [door(*command).exit_code for command in second_date(tmp_path / "booked")]

    assert codes == [BREAKS, 0, 0, 0, 0, 0, 0]
    for name in ("allocations.csv", "pools.csv"):
        expected = (make_second_day.DIRECTORY / "expected" / name).read_bytes()
        assert (tmp_path / "booked" / name).read_bytes() == expected
    states = [record.state for record in opened(tmp_path / "ledger").iterate()]
    assert states == [
        *("ALLOCATED_WITH_BREAKS", "ALLOCATED", "ALLOCATED", "WITHDRAWN", "ALLOCATED"),
    ]
    assert_sound(tmp_path / "ledger")


def test_the_example_day_is_the_same_as_fixml_and_agrees_with_occs_own_figures() -> None:
    by_csv = request_of_files(PATHS)
    by_fixml = request_of_files({**PATHS, "notices": DIRECTORY / "notices.xml"})
    occ = files.read_occ_positions(DIRECTORY / "occ_positions.xml", DATE)

    computed = operations.compute_day(replace(by_fixml, occ_positions=occ))

    assert by_fixml.notices.table.to_pylist() == by_csv.notices.table.to_pylist()
    assert computed.day.allocations.equals(operations.compute_day(by_csv).day.allocations)
    # The firm's positions lack what makes the day's one break.
    assert [(warning.code, warning.message) for warning in computed.warnings] == [
        (
            "OCC_SHORT_DIFFERS",
            "C GE1   240920C00160000 is short 22 by the positions and 25 by OCC",
        )
    ]


@pytest.mark.parametrize(("account", "assigned"), [("1046", "3"), ("1047", "7"), ("1048", "0")])
def test_the_published_example_is_in_the_day(account: str, assigned: str) -> None:
    rows = [
        row
        for row in expected("allocations.csv")
        if row["series"] == "AAPL  240920C00220000" and row["account"] == account
    ]

    assert [row["assigned_quantity"] for row in rows] == [assigned]
