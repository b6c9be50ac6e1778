"""One lottery is of one clearing member (P8), whom the charter or the command names (C1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery.audit.replay import replay
from lottery.ledger.run_record import RunRecord
from tests import fixml
from tests.builders import AAPL, PUBLISHED, evidence_in, faults_of, notice, opened, rows_of
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    fails,
    files_of,
    lottery,
    run_arguments,
    serving,
    succeeds,
)

OURS, THEIRS = "00099", "00123"
DAY = replace(
    PUBLISHED,
    notices=[notice("A1", AAPL, 10, "C")],
    positions=[{**row, "occ_account": "C"} for row in PUBLISHED.positions],
)
LEFT_OUT = "notices of other clearing members are left out: 2 of '00123', 12 contracts in all"


@pytest.fixture
def both_members(tmp_path: Path) -> list[str]:
    """Return `run` of a day whose file has a notice of ours between two of another member."""
    paths = fixml.write_fixml_files(DAY, tmp_path / "in")
    theirs = [fixml.assignment(name, AAPL, 6) for name in ("B1", "B2")]
    first, last = (text.replace(f'ID="{OURS}"', f'ID="{THEIRS}"') for text in theirs)
    ours = fixml.assignment("A1", AAPL, 10)
    paths["notices"].write_text(fixml.document(first, ours, last), "utf-8")
    return run_arguments(paths)


@pytest.fixture(params=["files", "server"])
def decided(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Return a way to make a ledger with a charter, and each way to it in turn."""
    ledger = tmp_path / "decided"
    files = Door(ledger=ledger, options=("--ledger", str(ledger)))

    def make(*options: str) -> Door:
        assert files("init", *options).exit_code == 0
        return files

    with ExitStack() as servers:

        def serve(*options: str) -> Door:
            make(*options)
            return servers.enter_context(serving(ledger))

        yield make if request.param == "files" else serve


def recorded(door: Door) -> RunRecord:
    return opened(door.ledger).get(EXAMPLE_RUN)


def ids_in(door: Door, name: str = "notices.parquet") -> list[object]:
    table = opened(door.ledger).read(recorded(door), name)
    return [row["notice_id"] for row in rows_of(table)]


def test_notices_of_two_members_are_refused_with_both(
    either: Door, both_members: list[str]
) -> None:
    _, document = fails(either, *both_members, exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    assert (problem["file"], problem["column"], problem["rule"]) == (
        "notices.xml",
        "clearing_firm",
        "P8",
    )
    assert "got 1 of '00099', 2 of '00123'; name the one that counts" in problem["message"]
    assert either.recorded() == []


def test_others_are_refused_by_name_unless_the_charter_leaves_them_out(
    either: Door, both_members: list[str]
) -> None:
    command = [*both_members, "--clearing-member", OURS]

    _, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    assert "must be of clearing member '00099', got 2 of '00123'; have them" in problem["message"]
    assert either.recorded() == []


@pytest.mark.parametrize("by", ["charter", "command"])
def test_what_the_charter_leaves_out_is_counted_recorded_and_replayed(
    decided: Callable[..., Door], both_members: list[str], by: str
) -> None:
    named = ["--clearing-member", OURS]
    door = decided("--decision", "other_members=leave-out", *(named if by == "charter" else []))

    answer = door(*both_members, *(named if by == "command" else []), "--json")

    assert (answer.exit_code, answer.err) == (0, "")
    document = answer.document
    assert (document["clearing_member"], document["notice_count"]) == (OURS, 1)
    assert [(one["code"], one["rule"], one["message"]) for one in document["warnings"]] == [
        ("OTHER_MEMBERS_LEFT_OUT", "P8", LEFT_OUT)
    ]
    record = recorded(door)
    assert (record.clearing_member, record.assigned_quantity) == (OURS, 10)
    assert record.method.decisions["other_members"] == "leave-out"
    assert ids_in(door) == ids_in(door, "occ_reports.parquet") == ["A1"]
    for engine in ("compiled", "sql"):
        assert door("replay", "latest", "--engine", engine).exit_code == 0
    assert faults_of(door.ledger) == []
    again = door(*both_members, "--clearing-member", OURS, "--json").document
    assert again["already_recorded"] is True


def test_notices_of_the_member_alone_are_the_same_run(
    decided: Callable[..., Door], both_members: list[str], tmp_path: Path
) -> None:
    door = decided("--decision", "other_members=leave-out", "--clearing-member", OURS)
    assert door(*both_members).exit_code == 0

    alone = run_arguments(fixml.write_fixml_files(DAY, tmp_path / "alone"))

    assert door(*alone, "--json").document["already_recorded"] is True
    assert door.recorded() == [EXAMPLE_RUN]


def test_totals_are_of_the_whole_file(
    decided: Callable[..., Door], both_members: list[str]
) -> None:
    door = decided("--decision", "other_members=leave-out", "--clearing-member", OURS)

    totals = ["--expect", "notices=3", "--expect", "contracts=22"]

    assert door(*both_members, *totals).exit_code == 0


def test_a_command_that_names_another_than_the_charter_is_refused(
    decided: Callable[..., Door], both_members: list[str]
) -> None:
    door = decided("--decision", "other_members=leave-out", "--clearing-member", OURS)

    _, document = fails(
        door, *both_members, "--clearing-member", THEIRS, exit_code=3, reason="INVALID_INPUT"
    )

    (problem,) = document["problems"]
    assert (problem["file"], problem["rule"]) == ("clearing_member", "C1")
    assert problem["message"] == (
        "expected that of the charter, '00099', got '00123'; leave it out, or change the charter "
        "for later dates with lottery charter amend"
    )
    assert door.recorded() == []


def test_what_can_be_no_member_is_refused(either: Door, both_members: list[str]) -> None:
    command = [*both_members, "--clearing-member", " 99"]

    _, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")

    assert [problem["rule"] for problem in document["problems"]] == ["P8", "P8"]


def test_the_only_member_of_the_notices_is_recorded(either: Door, tmp_path: Path) -> None:
    paths = fixml.write_fixml_files(DAY, tmp_path / "in")

    assert either(*run_arguments(paths)).exit_code == 0

    assert recorded(either).clearing_member == OURS
    assert recorded(either).warnings == ()


def test_check_names_the_members(tmp_path: Path, both_members: list[str]) -> None:
    notices = tmp_path / "in" / "notices.xml"

    text, document = succeeds(lottery, "check", str(notices), "--date", "2024-09-16")

    members = "clearing members 00099 (1), 00123 (2)"
    expected = f"{notices}: notices, 3 rows, 22 contracts, {members}; nothing is wrong"
    assert text.lines == [expected]
    assert document["files"][0]["members"] == {OURS: 1, THEIRS: 2}
    assert "check" not in both_members


# The charter.


def test_the_charter_shows_the_member_and_is_amended(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    door = Door(ledger=ledger, options=("--ledger", str(ledger)))
    door("init", "--clearing-member", OURS)
    assert f"  clearing member: {OURS}" in door("charter").out.splitlines()

    door("charter", "amend", "--from", "2024-09-17", "--notice-version", "2")
    door("charter", "amend", "--from", "2024-09-18", "--clearing-member", THEIRS)
    door("charter", "amend", "--from", "2024-09-19", "--clearing-member", "")

    charters = door("charter", "--json").document["charters"]
    assert [one["clearing_member"] for one in charters] == [OURS, OURS, THEIRS, ""]
    assert faults_of(ledger) == []


def test_a_charter_of_nobody_is_refused(tmp_path: Path) -> None:
    options = ("--ledger", str(tmp_path / "ledger"))

    _, document = fails(
        *(lottery, *options, "init", "--clearing-member", "9\n9"),
        exit_code=3,
        reason="INVALID_INPUT",
    )

    (problem,) = document["problems"]
    assert problem["message"].startswith("clearing member must be 1 to 64 printable ASCII")


# The record.


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"clearing_member": None}, "sources notices"),
        ({"clearing_member": THEIRS}, "notices.parquet"),
        ({"warnings": ()}, "run.json warnings of other members"),
    ],
)
def test_a_record_that_says_another_member_is_a_mismatch(
    tmp_path: Path, both_members: list[str], change: dict[str, Any], where: str
) -> None:
    ledger = tmp_path / "ledger"
    door = Door(ledger=ledger, options=("--ledger", str(ledger)))
    door("init", "--decision", "other_members=leave-out")
    assert door(*both_members, "--clearing-member", OURS).exit_code == 0

    forged = replace(recorded(door), **change)
    mismatches = replay(forged, evidence_in(ledger, EXAMPLE_RUN)).mismatches

    assert any(mismatch.where.startswith(where) for mismatch in mismatches)


def test_a_record_that_names_a_member_whose_notices_do_not_is_no_mismatch(
    tmp_path: Path,
) -> None:
    door = files_of(tmp_path / "ledger")
    command = run_arguments(fixml.write_fixml_files(DAY, tmp_path / "in"))
    assert door(*command).exit_code == 0
    record = recorded(door)

    forged = replay(replace(record, clearing_member=None), evidence_in(door.ledger, EXAMPLE_RUN))

    assert [(one.where, one.recorded, one.computed) for one in forged.mismatches] == [
        ("run.json clearing_member", "None", OURS)
    ]
