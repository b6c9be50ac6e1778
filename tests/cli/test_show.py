"""`lottery runs`, `show` and `explain`: what is recorded, in words and as documents."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import AAPL, FULL, GE, GOOGL, META, PUBLISHED, notice, position
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    UNKNOWN_RUN,
    Door,
    evidence_file,
    example_arguments,
    fails,
    files_of,
    lottery,
    run_of,
    succeeds,
    swap_first_two,
)

PUBLISHED_WORKING = (
    "Series AAPL 240920C00220000, OCC account C",
    "run 2024-09-16-001, business date 2024-09-16, method jpms-2024-09-06",
    "Assigned by OCC: 10 contracts in 1 notice. Total short: 65 contracts in 3 accounts.",
    "Composite volume 282,431,310",
    "Length 9 digits; 9 - 5 = 4, the cut starts at position 4: 282[4313]10",
    "Digits 4313; 4,313 / 10,000 + 0.0001 = 0.4314",
    "First hit: 0.4314 x 65 = 28.041, decimals removed: 28",
    "Numbers hit: 28 to 37",
    "1046 30 1 to 30 28, 29, 30 3",
    "1047 30 31 to 60 31 to 37 7",
    "1048 5 61 to 65 none 0",
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Record the small day of everything that can happen."""
    directory = tmp_path_factory.mktemp("full")
    door = files_of(directory / "ledger")
    assert door(*run_of(FULL, directory)).exit_code == 4
    return door


@pytest.fixture(scope="module")
def two_dates(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Record a run on each of two dates, the later date first."""
    directory = tmp_path_factory.mktemp("two-dates")
    door = files_of(directory / "ledger")
    door(*run_of(PUBLISHED.later(), directory / "next"))
    door(*run_of(PUBLISHED, directory / "first"))
    return door


def expected(name: str) -> list[dict[str, str]]:
    """Return the rows of a file that the example expects."""
    with (EXAMPLE / "expected" / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def texts_of(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as CSV has it."""
    return {name: "" if value is None else str(value) for name, value in row.items()}


def test_the_runs_are_listed_with_their_figures(reader: Door) -> None:
    text, document = succeeds(reader, "runs")
    (line,) = [line for line in text.lines if line.startswith(EXAMPLE_RUN)]
    assert line.startswith(f"{EXAMPLE_RUN} 1 24 1,843 1 282[4313]10 ")
    (run,) = document["runs"]
    assert (run["run"], run["state"]) == (EXAMPLE_RUN, "ALLOCATED_WITH_BREAKS")
    seed = [run[name] for name in ("composite", "digits", "fraction")]
    assert seed == ["282431310", "4313", "0.4314"]


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ([], ["2024-09-16-001", "2024-09-17-001"]),
        (["--from", "2024-09-16", "--to", "2024-09-17"], ["2024-09-16-001", "2024-09-17-001"]),
        (["--from", "2024-09-17"], ["2024-09-17-001"]),
        (["--to", "2024-09-16"], ["2024-09-16-001"]),
        (["--from", "2024-09-18"], []),
    ],
)
def test_runs_are_listed_between_two_dates_both_inclusive(
    two_dates: Door, options: list[str], runs: list[str]
) -> None:
    text, document = succeeds(two_dates, "runs", *options)
    assert [run["run"] for run in document["runs"]] == runs
    assert text.out != "nothing is recorded yet\n"


def test_the_latest_run_is_the_one_recorded_last(two_dates: Door) -> None:
    assert two_dates("show", "latest", "--json").document["run"] == "2024-09-16-001"


def test_a_ledger_without_runs_says_so(both: tuple[Door, Door]) -> None:
    _, server = both
    for door in (server, files_of(server.ledger)):
        text, document = succeeds(door, "runs")
        assert (text.out, document) == ("nothing is recorded yet\n", {"runs": []})
        assert door("show", "latest").message == "no run is recorded yet (RUN_NOT_FOUND)"


def test_a_run_is_shown_with_its_pools(reader: Door) -> None:
    text, document = succeeds(reader, "show", EXAMPLE_RUN)
    assert text.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED_WITH_BREAKS"
    assert "C AAPL 240920C00220000 10 65 28 2 of 3" in text.lines
    assert "C GE1 240920C00160000 25 22 EXCEEDS_SHORT 0 of 3" in text.lines
    assert "M/ABC NVDA 240920P00130000 2 10 4 1 of 2" in text.lines
    assert document["run"] == EXAMPLE_RUN
    names = [source["name"] for source in document["sources"]]
    assert names == ["notices.csv", "positions.csv", "volumes.csv"]
    assert [texts_of(pool) for pool in document["pools"]] == expected("pools.csv")
    assert "allocations" not in document


def test_a_run_is_shown_with_its_allocations_on_demand(reader: Door) -> None:
    text, document = succeeds(reader, "show", "latest", "--allocations")
    rows = expected("allocations.csv")
    assert [texts_of(row) for row in document["allocations"]] == rows
    assert "C AAPL 240920C00220000 1047 30 31 to 60 7" in text.lines
    hit = [
        f"{row['occ_account']} {' '.join(row['series'].split())} {row['account']} "
        for row in rows
        if row["assigned_quantity"] != "0"
    ]
    shown = text.lines[text.lines.index("Accounts with an assigned contract") + 3 :]
    assert len(shown) == len(hit)
    assert all(line.startswith(start) for line, start in zip(shown, hit, strict=True))


@pytest.mark.parametrize("run", [UNKNOWN_RUN, "yesterday"])
@pytest.mark.parametrize(
    ("command", "options"),
    [("show", []), ("explain", ["--series", AAPL]), ("replay", []), ("export", ["run.zip"])],
)
def test_an_unknown_run_is_wrong_usage(
    reader: Door, tmp_path: Path, command: str, options: list[str], run: str
) -> None:
    text, document = fails(reader, command, run, *options, exit_code=2, reason="RUN_NOT_FOUND")
    assert text.message == f"run {run} is not recorded (RUN_NOT_FOUND)"
    assert document["run"] == run
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        example_arguments(),
        ["runs"],
        ["show", "latest"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "--all"],
        ["replay", "latest"],
        ["verify"],
        ["verify", "--key", SOMEBODYS_KEY],
        ["export", "latest", "run.zip"],
        ["report", "latest", "run.html"],
        ["seeds"],
        ["keys"],
        ["trail"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_a_missing_ledger_is_wrong_usage_and_is_not_made(
    tmp_path: Path, command: list[str]
) -> None:
    given = ("--ledger", "nowhere", *command)
    text, _ = fails(lottery, *given, exit_code=2, reason="LEDGER_NOT_FOUND")
    assert "at nowhere; check --ledger" in text.message
    assert "lottery init" in text.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("series", [AAPL, "AAPL240920C00220000"])
def test_explain_shows_the_published_working(reader: Door, series: str) -> None:
    text, document = succeeds(reader, "explain", "latest", "--series", series)
    shown = [line for line in text.lines if line in PUBLISHED_WORKING]
    assert shown == list(PUBLISHED_WORKING)
    assert document["marked_composite"] == "282[4313]10"
    assert document["seed"]["fraction"] == "0.4314"
    assert (document["product"], document["first_hit"]) == ("28.041", 28)
    assert document["ranges"] == [{"first_number": 28, "last_number": 37}]
    assert [
        (account["account"], account["numbers_hit"], account["assigned_quantity"])
        for account in document["accounts"]
    ] == [
        ("1046", [{"first_number": 28, "last_number": 30}], 3),
        ("1047", [{"first_number": 31, "last_number": 37}], 7),
        ("1048", [], 0),
    ]
    assert document["wraps"] is False


@pytest.mark.parametrize(
    ("selection", "lines"),
    [
        pytest.param(
            ("--series", META),
            [
                "Numbers hit: 17 to 40, then 1 to 14",
                "After the last number comes number 1 [D4]",
                "0042 12 1 to 12 1 to 12 12",
                "1993 20 13 to 32 17 to 32, then 13, 14 18",
            ],
            id="a wrap",
        ),
        pytest.param(
            ("--series", GOOGL),
            [
                "First hit: 0.4314 x 2 = 0.8628, decimals removed: 0",
                "A product below one is the last number: the first hit is 2 [D2, zero_hit = wrap]",
                "104611 1 2 2 1",
            ],
            id="a zero hit",
        ),
        pytest.param(
            ("--series", GE),
            [
                (
                    "Assigned by OCC: 25 contracts in 2 notices. "
                    "Total short: 22 contracts in 3 accounts."
                ),
                (
                    "Break EXCEEDS_SHORT: more is assigned than the pool is short; "
                    "nothing is allocated [D5]"
                ),
                "0815 10 none none 0",
            ],
            id="a break",
        ),
        pytest.param(
            ("--account", "9038415"),
            ["9038415 9 none none 0"],
            id="an account of a break",
        ),
        pytest.param(
            ("--account", "1993"),
            [
                "1993 20 13 to 32 17 to 32, then 13, 14 18",
                "3 accounts of the pool not shown",
            ],
            id="an account",
        ),
    ],
)
def test_a_working_says_what_happened(
    full: Door, selection: tuple[str, str], lines: list[str]
) -> None:
    text, document = succeeds(full, "explain", "latest", *selection)
    assert [line for line in lines if line not in text.lines] == []
    if selection == ("--series", GE):
        assert "First hit" not in text.out
    if selection == ("--series", META):
        assert document["wraps"] is True


def test_a_zero_hit_is_number_1_by_the_other_choice_of_the_charter(tmp_path: Path) -> None:
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init", "--decision", "zero_hit=first").exit_code == 0
    door(*run_of(FULL, tmp_path / "in"))
    lines = door("explain", "latest", "--series", GOOGL).lines
    chosen = "A product below one is number 1: the first hit is 1 [D2, zero_hit = first]"
    assert {chosen, "263 1 1 1 1"} <= set(lines)


def test_an_accounts_working_shows_no_other_account(full: Door) -> None:
    text, document = succeeds(full, "explain", "latest", "--account", "1993")
    others = {str(row["account"]) for row in FULL.positions} - {"1993"}
    assert others.isdisjoint(re.findall(r"(?<![\d,])\d+(?![\d,])", text.out))
    (pool,) = document["pools"]
    assert [account["account"] for account in pool["accounts"]] == ["1993"]


def test_an_accounts_working_begins_with_its_total_and_has_the_seeds_steps_once(
    reader: Door,
) -> None:
    text, document = succeeds(reader, "explain", "latest", "--account", "1046")
    lines = text.lines
    assert lines[0] == (
        f"Account 1046 is in 7 pools of run {EXAMPLE_RUN}; assigned to it: 31 contracts, in 3 pools"
    )
    assert lines[1].startswith("Its odds beforehand and the proof: lottery report")

    def rows(start: str) -> list[int]:
        return [row for row, line in enumerate(lines) if line.startswith(start)]

    pools, hits = rows("Series "), rows("First hit: 0.4314 x ")
    (seed,), (digits,) = rows("Composite volume "), rows("Digits 4313; ")
    assert len(pools) > 1
    assert pools[0] < seed < digits < hits[0] < pools[1]
    assert document["account"] == "1046"
    assert {pool["series"] for pool in document["pools"]} > {AAPL, "XSP   240916P00565000"}
    for pool in document["pools"]:
        assert [account["account"] for account in pool["accounts"]] == ["1046"]
        assert pool["accounts_left_out"] == pool["account_count"] - 1


def test_a_series_of_several_pools_asks_for_the_occ_account(reader: Door) -> None:
    command = ("explain", "latest", "--series", "NVDA240920P00130000")
    text = reader(*command)
    assert text.exit_code == 2
    assert "name one of the OCC accounts 'C', 'F', 'M/ABC'" in text.message
    chosen = reader(*command, "--occ-account", "M/ABC")
    assert chosen.exit_code == 0
    assert chosen.lines[0] == "Series NVDA 240920P00130000, OCC account M/ABC"


@pytest.mark.parametrize(
    "options",
    [
        ["--series", "AAPL  240920C00999000"],
        ["--series", AAPL, "--occ-account", "Q"],
        ["--account", "999"],
    ],
)
def test_what_is_not_in_the_run_is_wrong_usage(reader: Door, options: list[str]) -> None:
    command = ("explain", "latest", *options)
    text, _ = fails(reader, *command, exit_code=2, reason="NOT_IN_RUN")
    assert EXAMPLE_RUN in text.message


def test_an_invalid_symbol_is_reported_with_an_example(reader: Door) -> None:
    text = reader("explain", "latest", "--series", "AAPL")
    answer = reader("explain", "latest", "--series", "AAPL", "--json")
    # Nothing is recorded by looking: that it was "refused, nothing recorded" would mislead.
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert "in 8 digits), got 'AAPL'" in text.message
    assert AAPL in text.err
    assert "nothing recorded" not in text.message
    assert "in 8 digits), got 'AAPL'" in answer.document["message"]


@pytest.mark.parametrize("change", ["swapped", "gone", "cut"])
@pytest.mark.parametrize(
    "command",
    [
        ["show", "latest"],
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--series", AAPL],
        ["explain", "latest", "--account", "1046"],
    ],
    ids=" ".join,
)
def test_evidence_that_is_not_what_was_recorded_is_not_shown(
    tampered: Door, command: list[str], change: str
) -> None:
    columns = {"allocations.parquet": "assigned_quantity", "pools.parquet": "first_hit"}
    for name, column in columns.items():
        path = evidence_file(tampered.ledger, name)
        if change == "swapped":
            swap_first_two(path, column)
        elif change == "gone":
            path.unlink()
        else:
            path.write_bytes(b"PAR1 and no more")
    text, _ = fails(tampered, *command, exit_code=6, reason="LEDGER_DAMAGED")
    assert re.search(r"(allocations|pools)\.parquet", text.message)
    assert EXAMPLE_RUN in text.message


def test_long_numbers_are_on_one_line_in_a_pipe(door: Door, tmp_path: Path) -> None:
    account = "123456789012345678901234567890"
    day = replace(
        PUBLISHED,
        notices=[notice("A1", AAPL, 1_900_000_000, "C")],
        positions=[
            position(AAPL, "9" + account[1:], 1, "C"),
            position(AAPL, account, 1_999_999_999, "C"),
        ],
    )
    door(*run_of(day, tmp_path))
    working = door("explain", "latest", "--series", AAPL)
    shown = door("show", "latest", "--allocations")
    assert (
        f"{account} 1,999,999,999 1 to 1,999,999,999 "
        "862,800,000 to 1,999,999,999, then 1 to 762,799,999 1,899,999,999"
    ) in working.lines
    assert (
        f"C AAPL 240920C00220000 {account} 1,999,999,999 1 to 1,999,999,999 1,899,999,999"
    ) in shown.lines
