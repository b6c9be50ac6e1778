"""`lottery run --positions-basis net|gross`: a pool that was allocated before on its date.

What is deducted from gross positions is in `tests/ledger/test_positions_basis.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, META, PUBLISHED, SmallDay, notice, position
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    assert_same_answers,
    copied,
    fails,
    files_of,
    run_of,
    succeeds,
    superseding,
)

SECOND = "2024-09-16-002"
LATER = replace(PUBLISHED, notices=[notice("B1", AAPL, 5)])
"""A second cycle of the published day: its positions have what the first assigned, 3 and 7."""
NET = replace(
    LATER,
    positions=[position(AAPL, "1046", 27), position(AAPL, "1047", 23), position(AAPL, "1048", 5)],
)
"""The same with what the first assigned deducted."""
NOT_GROSS = replace(
    LATER, positions=[position(AAPL, "1046", 2), position(AAPL, "1048", 5), position(META, "1", 1)]
)
"""One account is short less than it was assigned, and one has no position any more."""
BASES = [
    pytest.param(NET, "net", [], "positions net", id="net"),
    pytest.param(
        LATER,
        "gross",
        [EXAMPLE_RUN],
        f"positions gross: earlier assignments of {EXAMPLE_RUN} are deducted",
        id="gross",
    ),
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the published day."""
    directory = tmp_path_factory.mktemp("published")
    assert files_of(directory / "ledger")(*run_of(PUBLISHED, directory)).exit_code == 0
    return directory / "ledger"


@pytest.fixture
def recorded(published: Path, tmp_path: Path) -> Door:
    """Return a copy of the ledger with the published day."""
    return files_of(copied(published, tmp_path / "ledger"))


def later(day: SmallDay, directory: Path, basis: str | None) -> list[str]:
    """Return `run` of a day's second cycle."""
    given = [] if basis is None else ["--positions-basis", basis]
    return [*run_of(day, directory), "--cycle", "2", *given]


def test_whether_it_was_deducted_has_to_be_said(recorded: Door, tmp_path: Path) -> None:
    command = later(LATER, tmp_path / "later", None)
    text, document = fails(recorded, *command, exit_code=5, reason="POOL_ALREADY_ALLOCATED")
    assert document["run"] == EXAMPLE_RUN
    assert "state --positions-basis net if that is deducted from these positions" in text.message
    assert recorded.recorded() == [EXAMPLE_RUN]


@pytest.mark.parametrize(("day", "basis", "taken_off", "line"), BASES)
def test_a_run_on_a_basis_is_shown_with_it_and_found_again_and_replays(
    recorded: Door, tmp_path: Path, day: SmallDay, basis: str, taken_off: list[str], line: str
) -> None:
    command = later(day, tmp_path / "later", basis)
    text = recorded(*command)
    assert (text.exit_code, text.err) == (0, "")
    assert line in text.lines
    document = recorded(*command, "--json").document
    assert (document["run"], document["cycle"], document["already_recorded"]) == (SECOND, 2, True)
    assert (document["positions_basis"], document["taken_off"]) == (basis, taken_off)
    text, shown = succeeds(recorded, "show", "latest", "--allocations")
    assert line in text.lines
    assert shown["positions_basis"] == basis
    # Net and gross positions of one day are allocated alike.
    rows = [
        (row["account"], row["short_quantity"], row["assigned_quantity"])
        for row in shown["allocations"]
    ]
    assert rows == [("1046", 27, 5), ("1047", 23, 0), ("1048", 5, 0)]
    # And later still, when its own assignments are among those that would be deducted.
    third = replace(day, notices=[notice("C1", META, 1)], positions=[position(META, "1", 1)])
    assert recorded(*later(third, tmp_path / "third", None)).exit_code == 0
    assert recorded(*command, "--json").document == document
    assert recorded("export", SECOND, "run.zip").exit_code == 0
    for engine in ("compiled", "sql"):
        assert recorded("replay", "--all", "--engine", engine).exit_code == 0
        assert recorded("replay", "run.zip", "--engine", engine).exit_code == 0
    assert recorded("verify").exit_code == 0


def test_positions_that_cannot_be_gross_are_refused_by_account_and_row(
    recorded: Door, tmp_path: Path
) -> None:
    command = later(NOT_GROSS, tmp_path / "later", "gross")
    text, document = fails(recorded, *command, exit_code=3, reason="INVALID_INPUT")
    before = "earlier on this date but"
    problems = {problem["message"]: problem for problem in document["problems"]}
    after = "; gross positions include it"
    short = f"account 1046 of {AAPL} was assigned 3 {before} is short 2{after}"
    none = f"account 1047 of {AAPL} was assigned 7 {before} has no position{after}"
    assert problems.keys() == {short, none}
    assert all(message in text.err for message in problems)
    names = ("file", "row", "column")
    location = [problems[short][name] for name in names]
    assert location == ["positions.csv", 1, "short_quantity"]
    assert [problems[none][name] for name in names] == ["positions.csv", None, None]
    assert recorded.recorded() == [EXAMPLE_RUN]


@pytest.mark.parametrize(
    ("basis", "line"),
    [
        ("net", "positions net"),
        ("gross", "positions gross: earlier assignments of no run are deducted"),
    ],
)
def test_a_basis_is_kept_also_if_no_pool_was_allocated_before(
    door: Door, tmp_path: Path, basis: str, line: str
) -> None:
    document = door(*run_of(PUBLISHED, tmp_path), "--positions-basis", basis, "--json").document
    assert (document["positions_basis"], document["taken_off"]) == (basis, [])
    assert line in door("show", "latest").lines


def test_what_a_superseded_run_assigned_is_not_deducted(recorded: Door, tmp_path: Path) -> None:
    command = superseding(LATER, tmp_path / "later", EXAMPLE_RUN, reason="yesterday's notices")
    document = recorded(*command, "--positions-basis", "gross", "--json").document
    assert (document["run"], document["taken_off"]) == (SECOND, [])


def test_cycles_are_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    assert_same_answers(
        both,
        run_of(PUBLISHED, tmp_path / "a"),
        later(LATER, tmp_path / "b", None),
        later(NOT_GROSS, tmp_path / "not", "gross"),
        later(PUBLISHED, tmp_path / "a", "net"),
        later(LATER, tmp_path / "b", "gross"),
        later(LATER, tmp_path / "b", "gross"),
        later(replace(LATER, notices=[notice("C1", AAPL, 2)]), tmp_path / "c", "net"),
        later(replace(LATER, notices=[notice("D1", AAPL, 2)]), tmp_path / "d", "gross"),
        # 65 are short and 19 assigned so far: nobody is short any more after 46, and then none can.
        later(replace(LATER, notices=[notice("E1", AAPL, 46)]), tmp_path / "e", "gross"),
        later(replace(LATER, notices=[notice("F1", AAPL, 1)]), tmp_path / "f", "gross"),
        ["runs"],
        ["show", SECOND, "--allocations"],
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "--all"],
        ["replay", "--all", "--engine", "sql"],
        ["verify"],
    )
    (broken,) = both[0]("show", "latest", "--json").document["breaks"]
    assert (broken["reason"], broken["total_short"]) == ("NO_POSITION", 0)
    assert both[0]("replay", "--all").exit_code == 0
