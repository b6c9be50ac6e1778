"""`lottery run --positions-basis net|gross`: a pool that was allocated before on its date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, META, PUBLISHED, SmallDay, notice, position
from tests.cli.calls import EXAMPLE_RUN, Door, run_of
from tests.cli.test_superseding import timeless

SECOND = "2024-09-16-002"
LATER = replace(PUBLISHED, notices=[notice("B1", AAPL, 5)])
"""A second cycle of the published day: its positions have what the first assigned, 3 and 7."""
NET = replace(
    LATER,
    positions=[position(AAPL, "1046", 27), position(AAPL, "1047", 23), position(AAPL, "1048", 5)],
)
"""The same with what the first assigned taken off."""
NOT_GROSS = replace(
    LATER, positions=[position(AAPL, "1046", 2), position(AAPL, "1048", 5), position(META, "1", 1)]
)
"""One account is short less than it was assigned, and one has no position any more."""


@pytest.fixture
def recorded(door: Door, tmp_path: Path) -> Door:
    """Both ways to a ledger with the published day."""
    assert door(*run_of(PUBLISHED, tmp_path / "first")).exit_code == 0
    return door


def later(day: SmallDay, directory: Path, basis: str | None) -> list[str]:
    """`run` of a day's second cycle."""
    told = [] if basis is None else ["--positions-basis", basis]
    return [*run_of(day, directory), "--cycle", "2", *told]


def assigned_in(door: Door, run: str) -> dict[str, tuple[int, int]]:
    """What every account is short and was assigned."""
    rows = door("show", run, "--allocations", "--json").document["allocations"]
    return {row["account"]: (row["short_quantity"], row["assigned_quantity"]) for row in rows}


def test_whether_it_was_taken_off_has_to_be_said(recorded: Door, tmp_path: Path) -> None:
    command = later(LATER, tmp_path / "later", None)
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [5, 5]
    assert (text.out, answer.complaints) == ("", [])
    assert answer.document["reason"] == "POOL_ALREADY_ALLOCATED"
    assert answer.document["run"] == EXAMPLE_RUN
    assert "state --positions-basis net if that is deducted from these positions" in text.told
    assert recorded.recorded() == [EXAMPLE_RUN]


def test_net_positions_are_taken_as_they_are(recorded: Door, tmp_path: Path) -> None:
    answer = recorded(*later(NET, tmp_path / "later", "net"), "--json")
    document = answer.document
    assert (answer.exit_code, document["run"], document["cycle"]) == (0, SECOND, 2)
    assert (document["positions_basis"], document["taken_off"]) == ("net", [])
    assert {account: short for account, (short, _) in assigned_in(recorded, SECOND).items()} == {
        "1046": 27,
        "1047": 23,
        "1048": 5,
    }


def test_gross_positions_have_taken_off_what_was_assigned(recorded: Door, tmp_path: Path) -> None:
    gross = recorded(*later(LATER, tmp_path / "gross", "gross"), "--json")
    document = gross.document
    assert (gross.exit_code, document["run"]) == (0, SECOND)
    assert (document["positions_basis"], document["taken_off"]) == ("gross", [EXAMPLE_RUN])
    allocated = assigned_in(recorded, SECOND)
    assert {account: short for account, (short, _) in allocated.items()} == {
        "1046": 27,
        "1047": 23,
        "1048": 5,
    }
    assert sum(assigned for _, assigned in allocated.values()) == 5


def test_gross_and_net_positions_of_one_day_are_allocated_alike(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for door, (day, basis) in zip(both, ((LATER, "gross"), (NET, "net")), strict=True):
        door(*run_of(PUBLISHED, tmp_path / "first"))
        assert door(*later(day, tmp_path / basis, basis)).exit_code == 0
    assert assigned_in(both[0], SECOND) == assigned_in(both[1], SECOND)


@pytest.mark.parametrize(
    ("day", "basis", "told"),
    [
        (NET, "net", "positions net"),
        (LATER, "gross", f"positions gross: earlier assignments of {EXAMPLE_RUN} are deducted"),
    ],
)
def test_the_basis_is_told_with_the_run(
    recorded: Door, tmp_path: Path, day: SmallDay, basis: str, told: str
) -> None:
    assert told in recorded(*later(day, tmp_path / "later", basis)).lines
    assert told in recorded("show", "latest").lines
    assert recorded("show", "latest", "--json").document["positions_basis"] == basis


@pytest.mark.parametrize(("day", "basis"), [(NET, "net"), (LATER, "gross")])
def test_the_same_command_again_finds_its_run(
    recorded: Door, tmp_path: Path, day: SmallDay, basis: str
) -> None:
    command = later(day, tmp_path / "later", basis)
    first, again = (recorded(*command, "--json") for _ in range(2))
    assert [first.exit_code, again.exit_code] == [0, 0]
    assert again.document == {**first.document, "already_recorded": True}
    # And later still, when its own assignments are among those that would be taken off.
    third = replace(day, notices=[notice("C1", META, 1)], positions=[position(META, "1", 1)])
    assert recorded(*later(third, tmp_path / "third", None)).exit_code == 0
    assert recorded(*command, "--json").document == again.document


@pytest.mark.parametrize(("day", "basis"), [(NET, "net"), (LATER, "gross")])
def test_what_was_run_on_a_basis_replays_and_is_exported_and_sound(
    recorded: Door, tmp_path: Path, day: SmallDay, basis: str
) -> None:
    recorded(*later(day, tmp_path / "later", basis))
    for engine in ("compiled", "sql"):
        assert recorded("replay", "--all", "--engine", engine).exit_code == 0
    assert recorded("export", "latest", "run.zip").exit_code == 0
    for engine in ("compiled", "sql"):
        assert recorded("replay", "run.zip", "--engine", engine).exit_code == 0
    assert recorded("verify").exit_code == 0


def test_positions_that_cannot_be_gross_are_refused_by_account(
    recorded: Door, tmp_path: Path
) -> None:
    command = later(NOT_GROSS, tmp_path / "later", "gross")
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [3, 3]
    assert (text.out, answer.complaints) == ("", [])
    assert answer.document["reason"] == "INVALID_INPUT"
    messages = {problem["message"] for problem in answer.document["problems"]}
    before = "earlier on this date but"
    assert messages == {
        f"account 1046 of {AAPL} was assigned 3 {before} is short 2; gross ones include it",
        f"account 1047 of {AAPL} was assigned 7 {before} has no position; gross ones include it",
    }
    assert all(message in text.err for message in messages)
    assert recorded.recorded() == [EXAMPLE_RUN]


def test_positions_that_cannot_be_gross_are_refused_by_our_files_rows_either_way(
    recorded: Door, tmp_path: Path
) -> None:
    command = later(NOT_GROSS, tmp_path / "later", "gross")
    problems = recorded(*command, "--json").document["problems"]
    places = sorted(
        ((problem["file"], problem["row"], problem["column"]) for problem in problems), key=str
    )
    assert places == [("positions.csv", 1, "short_quantity"), ("positions.csv", None, None)]


def test_a_basis_is_kept_also_where_no_pool_was_allocated_before(
    door: Door, tmp_path: Path
) -> None:
    for number, basis in enumerate(("net", "gross"), 1):
        day = replace(PUBLISHED, date=PUBLISHED.date.replace(day=15 + number))
        command = [*run_of(day, tmp_path / basis), "--positions-basis", basis]
        document = door(*command, "--json").document
        assert (document["positions_basis"], document["taken_off"]) == (basis, [])
    told = "positions gross: earlier assignments of no run are deducted"
    assert told in door("show", "latest").lines
    assert door("replay", "--all").exit_code == 0


def test_what_a_superseded_run_assigned_is_not_taken_off(recorded: Door, tmp_path: Path) -> None:
    command = [*run_of(LATER, tmp_path / "later"), "--positions-basis", "gross"]
    why = ("--supersede", EXAMPLE_RUN, "--reason", "the notices were yesterday's")
    document = recorded(*command, *why, "--json").document
    assert (document["run"], document["taken_off"]) == (SECOND, [])
    assert assigned_in(recorded, SECOND)["1046"][0] == 30


def test_cycles_add_up(recorded: Door, tmp_path: Path) -> None:
    recorded(*later(LATER, tmp_path / "b", "gross"))
    third = replace(PUBLISHED, notices=[notice("C1", AAPL, 50)])
    document = recorded(*later(third, tmp_path / "c", "gross"), "--json").document
    assert document["taken_off"] == [EXAMPLE_RUN, SECOND]
    # 65 short in all, 10 and 5 assigned before, 50 now: nobody is short any more.
    rows = assigned_in(recorded, "2024-09-16-003")
    assert all(short == assigned for short, assigned in rows.values())
    fourth = replace(PUBLISHED, notices=[notice("D1", AAPL, 1)])
    answer = recorded(*later(fourth, tmp_path / "d", "gross"), "--json")
    assert answer.exit_code == 4
    (broken,) = answer.document["breaks"]
    assert (broken["reason"], broken["total_short"]) == ("NO_POSITION", 0)
    assert recorded("replay", "--all").exit_code == 0


def test_a_basis_does_not_excuse_a_notice_that_was_allocated(
    recorded: Door, tmp_path: Path
) -> None:
    for basis in ("net", "gross"):
        again = replace(PUBLISHED, notices=[notice("A1", AAPL, 5)])
        answer = recorded(*later(again, tmp_path / basis, basis), "--json")
        assert (answer.exit_code, answer.document["reason"]) == (5, "NOTICE_ALREADY_ALLOCATED")


def test_cycles_are_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for command in (
        run_of(PUBLISHED, tmp_path / "a"),
        later(LATER, tmp_path / "b", None),
        later(LATER, tmp_path / "b", "gross"),
        later(LATER, tmp_path / "b", "gross"),
        later(replace(LATER, notices=[notice("C1", AAPL, 2)]), tmp_path / "c", "net"),
        later(replace(LATER, notices=[notice("D1", AAPL, 2)]), tmp_path / "d", "gross"),
        ["runs"],
        ["show", SECOND, "--allocations"],
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "--all"],
        ["replay", "--all", "--engine", "sql"],
        ["verify"],
    ):
        files, server = (timeless(door(*command, "--json")) for door in both)
        assert files == server
