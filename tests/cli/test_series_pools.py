"""A charter whose pools are series (P3): all accounts short one, whatever OCC account comes along.

That whole random days and their cycles are those of the reference is in `tests/property`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.audit.replay import Engine
from tests.builders import (
    AAPL,
    GE,
    PUBLISHED,
    SmallDay,
    assert_sound,
    notice,
    opened,
    position,
    positions_of,
    replays_of,
    rows_of,
    tuples_of,
    write_files,
)
from tests.cli.calls import Door, fails, files_of, lottery, run_arguments, run_of, serving, succeeds
from tests.fixml import assignment, document, position_report, write_fixml_files

RUN = "2024-09-16-001"
MIXED = SmallDay(
    notices=[notice("A1", AAPL, 6, "C"), notice("A2", AAPL, 4, "F"), notice("B1", GE, 9, "F")],
    positions=[
        position(AAPL, "1048", 5, "F"),
        position(AAPL, "1046", 30, "C"),
        position(AAPL, "1047", 30),
        position(GE, "7", 8, "C"),
    ],
)
"""The published pool in three OCC accounts, and a break."""


@pytest.fixture(params=["files", "server"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Each way to an empty ledger whose charter has it that a pool is a series."""
    ledger = tmp_path / "ledger"
    made = lottery("--ledger", ledger, "init", "--decision", "pool=series")
    assert made.exit_code == 0, made.err
    if request.param == "files":
        yield files_of(ledger)
        return
    with serving(ledger) as served:
        yield served


def test_occs_own_file_is_drawn_over_client_and_firm_accounts(door: Door, tmp_path: Path) -> None:
    paths = write_fixml_files(replace(PUBLISHED, notices=[]), tmp_path / "in")
    notices = document(assignment("A1", AAPL, 6, "C"), assignment("A2", AAPL, 4, "F/ZZZ"))
    paths["notices"].write_text(notices, "utf-8")
    shorts = tmp_path / "in" / "shorts.xml"
    reports = (position_report("P1", AAPL, 40, "C"), position_report("P2", AAPL, 25, "F/ZZZ"))
    shorts.write_text(document(*reports), "utf-8")

    answer = door(*run_arguments(paths), "--occ-positions", shorts, "--json")

    assert (answer.exit_code, answer.err) == (0, "")
    # The positions have no OCC account: that both sides meet needs no warning, and OCC's figures
    # of its accounts add up to the pool's.
    assert answer.document["warnings"] == []
    assert (answer.document["pool_count"], answer.document["notice_count"]) == (1, 2)
    ledger = opened(door.ledger)
    record = ledger.get(RUN)
    assert tuples_of(ledger.read(record, "allocations.parquet")) == [
        ("", AAPL, "1046", 30, 1, 30, 3),
        ("", AAPL, "1047", 30, 31, 60, 7),
        ("", AAPL, "1048", 5, 61, 65, 0),
    ]
    kept = ledger.read(record, "notices.parquet")
    assert tuples_of(kept, "notice_id", "occ_account") == [("A1", "C"), ("A2", "F/ZZZ")]
    assert [replayed.mismatches for replayed in replays_of(door.ledger, Engine.SQL)] == [()]
    assert_sound(door.ledger)


def test_every_row_keeps_its_own_occ_account_and_no_pool_has_one(
    door: Door, tmp_path: Path
) -> None:
    answer = door(*run_of(MIXED, tmp_path / "in"), "--json")

    assert (answer.exit_code, answer.document["warnings"]) == (4, [])
    assert answer.document["breaks"] == [
        {
            "occ_account": "",
            "series": GE,
            "reason": "EXCEEDS_SHORT",
            "assigned_quantity": 9,
            "total_short": 8,
            "assigned_before": 0,
        }
    ]
    ledger = opened(door.ledger)
    record = ledger.get(RUN)
    positions = ledger.read(record, "positions.parquet")
    assert tuples_of(positions, "series", "account", "short_quantity", "occ_account") == [
        (AAPL, "1046", 30, "C"),
        (AAPL, "1047", 30, ""),
        (AAPL, "1048", 5, "F"),
        (GE, "7", 8, "C"),
    ]
    assert set(tuples_of(ledger.read(record, "pools.parquet"), "occ_account")) == {("",)}
    assert [replayed.mismatches for replayed in replays_of(door.ledger, Engine.SQL)] == [()]
    assert_sound(door.ledger)


def test_the_working_names_a_pool_by_its_series_alone(door: Door, tmp_path: Path) -> None:
    door(*run_of(MIXED, tmp_path / "in"))

    _, working = succeeds(door, "explain", RUN, "--series", AAPL)
    assert (working["occ_account"], working["first_hit"], working["account_count"]) == ("", 28, 3)
    # A break shows what was drawn from, which lies under other OCC accounts in the evidence.
    _, working = succeeds(door, "explain", RUN, "--series", GE)
    assert [(row["account"], row["short_quantity"]) for row in working["accounts"]] == [("7", 8)]
    _, document = succeeds(door, "explain", RUN, "--account", "7")
    assert [working["break_reason"] for working in document["pools"]] == ["EXCEEDS_SHORT"]
    page = tmp_path / "run.html"
    assert door("report", RUN, page).exit_code == 0
    assert "EXCEEDS_SHORT" in page.read_text("utf-8")


def test_an_account_has_one_row_in_a_series_whatever_its_occ_accounts(
    door: Door, tmp_path: Path
) -> None:
    doubled = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "1046", 7, "F")])

    _, document = fails(
        door, *run_of(doubled, tmp_path / "in"), exit_code=3, reason="INVALID_INPUT"
    )

    (problem,) = document["problems"]
    assert (problem["row"], problem["rule"]) == (4, "P4")
    assert problem["message"] == (
        "account 1046 appears twice in this pool; it is also on row 2 with the OCC account '', and "
        "here with 'F'"
    )
    assert door.recorded() == []


def test_a_file_is_checked_by_the_same_rule(tmp_path: Path) -> None:
    doubled = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "1046", 7, "F")])
    path = write_files(doubled, tmp_path / "in")["positions"]

    assert lottery("check", path).exit_code == 0
    assert lottery("check", path, "--pool", "series").exit_code == 3


def test_a_notice_id_is_used_once_on_a_date(door: Door, tmp_path: Path) -> None:
    twice = replace(MIXED, notices=[notice("A1", AAPL, 1, "C"), notice("A1", GE, 1, "F")])
    _, document = fails(door, *run_of(twice, tmp_path / "in"), exit_code=3, reason="INVALID_INPUT")
    (problem,) = document["problems"]
    assert problem["message"].startswith("duplicate notice id 'A1'; it is also on row 1 of ")

    assert door(*run_of(replace(MIXED, notices=MIXED.notices[:2]), tmp_path / "in")).exit_code == 0
    again = replace(MIXED, notices=[notice("A1", GE, 1, "M")])
    command = [*run_of(again, tmp_path / "again"), "--cycle", "2"]
    text, _ = fails(door, *command, exit_code=5, reason="NOTICE_ALREADY_ALLOCATED")
    assert f"run {RUN} has already allocated notice A1" in text.message


def test_the_same_day_with_other_occ_accounts_is_the_same_day(door: Door, tmp_path: Path) -> None:
    door(*run_of(MIXED, tmp_path / "in"))
    other = SmallDay(
        notices=[{**row, "occ_account": "M"} for row in MIXED.notices],
        positions=[{**row, "occ_account": ""} for row in MIXED.positions],
    )

    answer = door(*run_of(other, tmp_path / "other"), "--json")

    assert (answer.exit_code, answer.document["already_recorded"]) == (4, True)
    assert door.recorded() == [RUN]


def test_late_notices_of_any_occ_account_continue_the_draw(door: Door, tmp_path: Path) -> None:
    door(*run_of(replace(MIXED, notices=MIXED.notices[:2]), tmp_path / "in"))
    late = SmallDay(
        notices=[notice("L1", AAPL, 5, "M")],
        positions=positions_of(AAPL, {"1046": 27, "1047": 23, "1048": 5}, "M"),
    )

    answer = door(*run_of(late, tmp_path / "late"), "--cycle", "2", "--json")

    assert answer.exit_code == 0
    ledger = opened(door.ledger)
    record = ledger.get("latest")
    rows = rows_of(ledger.read(record, "allocations.parquet"))
    assert [(row["account"], row["assigned_quantity"]) for row in rows] == [
        ("1046", 0),
        ("1047", 5),
        ("1048", 0),
    ]
    given = ledger.read(record, "positions.parquet")
    assert set(tuples_of(given, "occ_account")) == {("M",)}
    assert [replayed.mismatches for replayed in replays_of(door.ledger, Engine.SQL)] == [()] * 2
    assert_sound(door.ledger)
    other = replace(late, positions=positions_of(AAPL, {"1046": 26, "1047": 23, "1048": 5}, "C"))
    command = [*run_of(other.renamed("M"), tmp_path / "other"), "--cycle", "3"]
    fails(door, *command, exit_code=5, reason="POPULATION_DIFFERS")


def test_odds_are_those_of_the_whole_series(door: Door, tmp_path: Path) -> None:
    path = write_files(MIXED, tmp_path / "in")["positions"]
    asked = ["odds", "--positions", str(path), "--series", AAPL, "--quantity", "10"]

    _, document = fails(door, *asked, exit_code=3, reason="INVALID_INPUT")
    assert "has several OCC accounts" in document["problems"][0]["message"]
    for more in ([], ["--occ-account", "F"]):
        _, document = succeeds(door, *asked, "--pool", "series", *more)
        assert (document["occ_account"], document["total_short"]) == ("", 65)
        assert [row["account"] for row in document["accounts"]] == ["1046", "1047", "1048"]
