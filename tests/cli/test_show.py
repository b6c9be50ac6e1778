"""`lottery runs`, `show` and `explain`, by a ledger's files and by a server over them."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import AAPL, FULL, GE, GOOGL, META, NEXT_DATE, PUBLISHED, notice, position
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    copied,
    evidence_file,
    files_of,
    lottery,
    run_of,
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


@pytest.fixture
def full(door: Door, tmp_path: Path) -> Door:
    """The small day of everything that can happen, recorded."""
    assert door(*run_of(FULL, tmp_path)).exit_code == 4
    return door


def test_the_runs_are_listed_with_their_figures(reader: Door) -> None:
    answer = reader("runs")
    assert (answer.exit_code, answer.err) == (0, "")
    (line,) = [line for line in answer.lines if line.startswith(EXAMPLE_RUN)]
    assert line.startswith(f"{EXAMPLE_RUN} 1 24 1,843 1 282[4313]10 ")


def test_the_document_of_runs_has_a_summary_each(reader: Door) -> None:
    (run,) = reader("runs", "--json").document["runs"]
    assert (run["run"], run["state"]) == (EXAMPLE_RUN, "ALLOCATED_WITH_BREAKS")
    assert [run[name] for name in ("composite", "digits", "fraction")] == [
        "282431310",
        "4313",
        "0.4314",
    ]


def test_runs_are_listed_between_two_dates_both_inclusive(door: Door, tmp_path: Path) -> None:
    door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    door(*run_of(PUBLISHED, tmp_path / "first"))

    def listed(*options: str) -> list[str]:
        return [run["run"] for run in door("runs", *options, "--json").document["runs"]]

    both = ["2024-09-16-001", "2024-09-17-001"]
    assert listed() == both
    assert listed("--from", "2024-09-16", "--to", "2024-09-17") == both
    assert listed("--from", "2024-09-17") == both[1:]
    assert listed("--to", "2024-09-16") == both[:1]
    assert listed("--from", "2024-09-18") == []


def test_dates_without_a_run_are_not_taken_for_an_empty_ledger(reader: Door) -> None:
    answer = reader("runs", "--from", "2024-09-17", "--to", "2024-09-18")
    assert answer.exit_code == 0
    assert answer.out != "nothing is recorded yet\n"


def test_the_latest_run_is_the_one_recorded_last(door: Door, tmp_path: Path) -> None:
    door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    door(*run_of(PUBLISHED, tmp_path / "first"))
    assert door("show", "latest", "--json").document["run"] == "2024-09-16-001"


def test_a_server_without_runs_says_so(door: Door) -> None:
    answer = door("runs")
    if door.ledger.exists():
        assert (answer.exit_code, answer.out) == (0, "nothing is recorded yet\n")
        assert door("runs", "--json").document == {"runs": []}
        assert door("show", "latest").told == "no run is recorded yet (RUN_NOT_FOUND)"
    else:
        assert answer.exit_code == 2


def test_a_run_is_shown_with_its_pools(reader: Door) -> None:
    answer = reader("show", EXAMPLE_RUN)
    assert answer.exit_code == 0
    assert answer.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED_WITH_BREAKS"
    assert "C AAPL 240920C00220000 10 65 28 2 of 3" in answer.lines
    assert "C GE1 240920C00160000 25 22 EXCEEDS_SHORT 0 of 3" in answer.lines
    assert "M/ABC NVDA 240920P00130000 2 10 4 1 of 2" in answer.lines


def test_the_document_of_a_run_is_its_record_with_its_pools(reader: Door) -> None:
    document = reader("show", "latest", "--json").document
    assert document["run"] == EXAMPLE_RUN
    assert [source["name"] for source in document["sources"]] == [
        "notices.csv",
        "positions.csv",
        "volumes.csv",
    ]
    with (EXAMPLE / "expected" / "pools.csv").open(encoding="utf-8", newline="") as lines:
        expected = list(csv.DictReader(lines))
    assert [texts_of(pool) for pool in document["pools"]] == expected
    assert "allocations" not in document


def test_a_run_is_shown_with_its_allocations_on_demand(reader: Door) -> None:
    answer = reader("show", "latest", "--allocations")
    document = reader("show", "latest", "--allocations", "--json").document
    with (EXAMPLE / "expected" / "allocations.csv").open(encoding="utf-8", newline="") as lines:
        expected = list(csv.DictReader(lines))
    assert [texts_of(row) for row in document["allocations"]] == expected
    assert "C AAPL 240920C00220000 1047 30 31 to 60 7" in answer.lines
    hit = [row for row in expected if row["assigned_quantity"] != "0"]
    spelled = [
        f"{row['occ_account']} {' '.join(row['series'].split())} {row['account']} " for row in hit
    ]
    shown = answer.lines[answer.lines.index("Accounts with an assigned contract") + 3 :]
    assert len(shown) == len(hit)
    assert all(line.startswith(start) for line, start in zip(shown, spelled, strict=True))


@pytest.mark.parametrize("command", [["show"], ["explain", "--series", AAPL], ["replay"]])
def test_an_unknown_run_is_wrong_usage(reader: Door, command: list[str]) -> None:
    name, *options = command
    for run in ("2024-09-16-009", "yesterday"):
        text = reader(name, run, *options)
        answer = reader(name, run, *options, "--json")
        assert [text.exit_code, answer.exit_code] == [2, 2]
        assert (text.out, answer.complaints) == ("", [])
        assert text.told == f"run {run} is not recorded (RUN_NOT_FOUND)"
        assert (answer.document["reason"], answer.document["run"]) == ("RUN_NOT_FOUND", run)


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["show", "latest"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "--all"],
        ["replay", "latest"],
        ["verify"],
        ["verify", "--key", SOMEBODYS_KEY],
        ["export", "latest", "run.zip"],
        ["keys"],
        ["trail"],
    ],
)
def test_a_missing_ledger_is_wrong_usage_and_is_not_made(
    tmp_path: Path, command: list[str]
) -> None:
    text = lottery("--ledger", "nowhere", *command)
    answer = lottery("--ledger", "nowhere", *command, "--json")
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert (text.out, answer.complaints) == ("", [])
    assert text.told == "no ledger at nowhere; check --ledger (LEDGER_NOT_FOUND)"
    assert answer.document["reason"] == "LEDGER_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("series", [AAPL, "AAPL240920C00220000"])
def test_explain_shows_the_published_working(reader: Door, series: str) -> None:
    answer = reader("explain", "latest", "--series", series)
    assert (answer.exit_code, answer.err) == (0, "")
    shown = [line for line in answer.lines if line in PUBLISHED_WORKING]
    assert shown == list(PUBLISHED_WORKING)


def test_the_document_of_a_working_has_every_step(reader: Door) -> None:
    document = reader("explain", "latest", "--series", AAPL, "--json").document
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


def test_a_wrap_is_told(full: Door) -> None:
    answer = full("explain", "latest", "--series", META)
    assert "Numbers hit: 17 to 40, then 1 to 14" in answer.lines
    assert "After the last number comes number 1 [D4]" in answer.lines
    assert "0042 12 1 to 12 1 to 12 12" in answer.lines
    assert "1993 20 13 to 32 17 to 32, then 13, 14 18" in answer.lines
    assert full("explain", "latest", "--series", META, "--json").document["wraps"] is True


@pytest.mark.parametrize(
    ("choice", "number", "told", "hit"),
    [("wrap", 2, "the last number", "104611"), ("first", 1, "number 1", "263")],
)
def test_a_zero_hit_is_told_with_the_choice_that_decides_it(
    door: Door, tmp_path: Path, choice: str, number: int, told: str, hit: str
) -> None:
    door(*run_of(FULL, tmp_path), "--zero-hit", choice)
    answer = door("explain", "latest", "--series", GOOGL)
    assert "First hit: 0.4314 x 2 = 0.8628, decimals removed: 0" in answer.lines
    assert (
        f"A product below one is {told}: the first hit is {number} [D2, zero_hit = {choice}]"
    ) in answer.lines
    assert f"{hit} 1 {number} {number} 1" in answer.lines


def test_a_break_is_told_with_both_figures_and_no_numbers(full: Door) -> None:
    answer = full("explain", "latest", "--series", GE)
    assert answer.exit_code == 0
    assert (
        "Assigned by OCC: 25 contracts in 2 notices. Total short: 22 contracts in 3 accounts."
    ) in answer.lines
    assert (
        "Break EXCEEDS_SHORT: more is assigned than the pool is short; nothing is allocated [D5]"
    ) in answer.lines
    assert "First hit" not in answer.out
    assert "0815 10 none none 0" in answer.lines


def test_an_accounts_working_shows_no_other_account(full: Door) -> None:
    answer = full("explain", "latest", "--account", "1993")
    assert answer.exit_code == 0
    assert "1993 20 13 to 32 17 to 32, then 13, 14 18" in answer.lines
    assert "3 accounts of the pool not shown" in answer.lines
    others = {str(row["account"]) for row in FULL.positions} - {"1993"}
    assert others.isdisjoint(re.findall(r"(?<![\d,])\d+(?![\d,])", answer.out))


def test_an_accounts_working_has_the_seeds_steps_once_above_the_first_pool(reader: Door) -> None:
    lines = reader("explain", "latest", "--account", "1046").lines
    pools = [place for place, line in enumerate(lines) if line.startswith("Series ")]
    hits = [place for place, line in enumerate(lines) if line.startswith("First hit: 0.4314 x ")]
    (seed,) = [place for place, line in enumerate(lines) if line.startswith("Composite volume ")]
    (digits,) = [place for place, line in enumerate(lines) if line.startswith("Digits 4313; ")]
    assert len(pools) > 1
    assert pools[0] < seed < digits < hits[0] < pools[1]


def test_an_accounts_working_begins_with_what_it_was_assigned_in_all(reader: Door) -> None:
    lines = reader("explain", "latest", "--account", "1046").lines
    assert lines[0] == (
        f"Account 1046 is in 7 pools of run {EXAMPLE_RUN}; assigned to it: 31 contracts, in 3 pools"
    )
    assert lines[1].startswith("Its odds beforehand and the proof: lottery report")


def test_an_accounts_document_has_its_pools_with_it_alone(reader: Door) -> None:
    document = reader("explain", "latest", "--account", "1046", "--json").document
    assert document["account"] == "1046"
    assert {pool["series"] for pool in document["pools"]} > {AAPL, "XSP   240916P00565000"}
    for pool in document["pools"]:
        assert [account["account"] for account in pool["accounts"]] == ["1046"]
        assert pool["accounts_left_out"] == pool["account_count"] - 1


def test_an_account_of_a_broken_pool_alone_has_a_working_too(full: Door) -> None:
    answer = full("explain", "latest", "--account", "9038415")
    assert answer.exit_code == 0
    assert any(line.startswith("Break EXCEEDS_SHORT") for line in answer.lines)
    assert "9038415 9 none none 0" in answer.lines


def test_a_series_of_several_pools_asks_for_the_occ_account(reader: Door) -> None:
    series = "NVDA240920P00130000"
    text = reader("explain", "latest", "--series", series)
    assert text.exit_code == 2
    assert "name one of the OCC accounts 'C', 'F', 'M/ABC'" in text.told
    chosen = reader("explain", "latest", "--series", series, "--occ-account", "M/ABC")
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
    text = reader("explain", "latest", *options)
    answer = reader("explain", "latest", *options, "--json")
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert (text.out, answer.complaints) == ("", [])
    assert EXAMPLE_RUN in text.told
    assert answer.document["reason"] == "NOT_IN_RUN"


def test_a_series_that_is_no_symbol_is_told_with_an_example(reader: Door) -> None:
    text = reader("explain", "latest", "--series", "AAPL")
    answer = reader("explain", "latest", "--series", "AAPL", "--json")
    # Nothing is recorded by looking: that it was "refused, nothing recorded" would mislead.
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert "in 8 digits), got 'AAPL'" in text.told
    assert AAPL in text.err
    assert "nothing recorded" not in text.told
    assert "in 8 digits), got 'AAPL'" in answer.document["message"]


LOOKS = {
    "the pools": ("show", "latest"),
    "the allocations": ("show", "latest", "--allocations"),
    "a pool's working": ("explain", "latest", "--series", AAPL),
    "an account's working": ("explain", "latest", "--account", "1046"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_evidence_that_was_tampered_with_is_not_shown_as_recorded(
    example: Path, tmp_path: Path, look: str
) -> None:
    ledger = copied(example, tmp_path / "ledger")
    swap_first_two(evidence_file(ledger, "allocations.parquet"), "assigned_quantity")
    swap_first_two(evidence_file(ledger, "pools.parquet"), "first_hit")
    answer = files_of(ledger)(*LOOKS[look], "--json")
    assert (answer.exit_code, answer.document["reason"]) == (6, "LEDGER_DAMAGED")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_evidence_that_cannot_be_read_exits_6_and_names_the_file(
    example: Path, tmp_path: Path, look: str, content: bytes | None
) -> None:
    ledger = copied(example, tmp_path / "ledger")
    for name in ("allocations.parquet", "pools.parquet"):
        evidence_file(ledger, name).unlink()
        if content is not None:
            evidence_file(ledger, name).write_bytes(content)
    text = files_of(ledger)(*LOOKS[look])
    assert text.exit_code == 6
    assert text.out == ""
    assert re.search(rf"{EXAMPLE_RUN}/(allocations|pools)\.parquet", text.told)


def test_long_numbers_stand_on_one_line_in_a_pipe(door: Door, tmp_path: Path) -> None:
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


def texts_of(row: dict[str, Any]) -> dict[str, str]:
    """A row as CSV has it."""
    return {name: "" if value is None else str(value) for name, value in row.items()}
