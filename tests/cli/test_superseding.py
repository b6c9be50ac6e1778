"""`lottery run --supersede RUN… --reason TEXT`: a run that supersedes others.

What may supersede what is in `tests/ledger/test_superseding.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, META, OTHER_ASKS, PUBLISHED, SmallDay, notice, position
from tests.cli.calls import (
    CORRECTED,
    UNKNOWN_RUN,
    Door,
    assert_same_answers,
    copied,
    fails,
    files_in,
    files_of,
    lottery,
    run_of,
    succeeds,
    superseding,
)

FIRST, SECOND, THIRD = (f"2024-09-16-00{number}" for number in range(1, 4))
WHY = "an account was missing"
META_ONLY = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)])
WHOLE = replace(
    CORRECTED,
    notices=[*CORRECTED.notices, *META_ONLY.notices],
    positions=[*CORRECTED.positions, *META_ONLY.positions],
)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the published day and, as a second run, another pool."""
    directory = tmp_path_factory.mktemp("two-runs")
    door = files_of(directory / "ledger")
    door(*run_of(PUBLISHED, directory / "first"))
    assert door(*run_of(META_ONLY, directory / "second"), "--cycle", "2").exit_code == 0
    return door.ledger


@pytest.fixture
def recorded(two_runs: Path, tmp_path: Path) -> Door:
    """Return a copy of the ledger of two runs."""
    return files_of(copied(two_runs, tmp_path / "ledger"))


@pytest.fixture
def corrected(recorded: Door, tmp_path: Path) -> Door:
    """Return the ledger with the first run superseded by a third."""
    assert recorded(*superseding(CORRECTED, tmp_path / "new", FIRST)).exit_code == 0
    return recorded


def chain_of(door: Door) -> list[tuple[str, list[str], str | None]]:
    """Return every run, what it supersedes, and what superseded it, as `lottery runs` has them."""
    runs = door("runs", "--json").document["runs"]
    return [(run["run"], run["supersedes"], run["superseded_by"]) for run in runs]


def test_a_run_supersedes_another_and_says_why(recorded: Door, tmp_path: Path) -> None:
    command = superseding(CORRECTED, tmp_path / "new", FIRST)
    text = recorded(*command)
    assert (text.exit_code, text.err) == (0, "")
    assert text.lines[0] == f"Run {THIRD} is recorded: ALLOCATED"
    assert f"supersedes {FIRST}: {WHY}" in text.lines
    document = recorded(*command, "--json").document
    assert (document["run"], document["already_recorded"]) == (THIRD, True)
    assert (document["supersedes"], document["reason"]) == ([FIRST], WHY)
    assert document["superseded_by"] is None
    assert chain_of(recorded) == [(FIRST, [], THIRD), (SECOND, [], None), (THIRD, [FIRST], None)]
    assert recorded("verify").exit_code == 0
    # A superseded run is replayed, explained and exported as all others.
    answer = recorded("replay", "--all", "--engine", "sql")
    assert (answer.exit_code, answer.lines[-1]) == (0, "3 replayed, 3 matched")
    assert recorded("explain", FIRST, "--series", AAPL).exit_code == 0
    for run in (FIRST, THIRD):
        assert recorded("export", run, f"{run}.zip").exit_code == 0
    answer = lottery("replay", f"{FIRST}.zip", f"{THIRD}.zip")
    assert (answer.exit_code, answer.lines[-1]) == (0, "2 replayed, 2 matched")


@pytest.mark.parametrize(
    "options",
    [
        ["--supersede", FIRST, SECOND, "--reason", WHY],
        ["--reason", WHY, "--supersede", SECOND, FIRST],
        ["--supersede", SECOND, "--reason", WHY, "--supersede", FIRST],
        ["--supersede", FIRST, "--supersede", "latest", "--reason", WHY],
        ["--supersede", FIRST, SECOND, FIRST, "latest", "--reason", WHY],
    ],
    ids=["after one", "the other way round", "each its own", "the latest", "repeated"],
)
def test_several_runs_are_named_after_one_option_or_each_after_its_own(
    recorded: Door, tmp_path: Path, options: list[str]
) -> None:
    first = recorded(*run_of(WHOLE, tmp_path / "new"), *options, "--json")
    assert (first.exit_code, first.document["supersedes"]) == (0, [FIRST, SECOND])
    # However they are named, it is the same command.
    named = recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND), "--json")
    assert named.document == {**first.document, "already_recorded": True}
    assert recorded.recorded() == [FIRST, SECOND, THIRD]


def test_a_superseded_run_is_refused_to_its_own_command_and_shown_as_that(
    corrected: Door, tmp_path: Path
) -> None:
    command = (*run_of(PUBLISHED, tmp_path / "first"), "--output", str(tmp_path / "out"))
    text, _ = fails(corrected, *command, exit_code=5, reason="RUN_SUPERSEDED")
    assert text.message == (
        f"run {FIRST}, which this request recorded, is superseded by run {THIRD}; "
        "nothing is recorded (RUN_SUPERSEDED)"
    )
    assert list((tmp_path / "out").iterdir()) == []
    assert f"superseded by {THIRD}" in corrected("show", FIRST).lines
    assert f"supersedes {FIRST}: {WHY}" in corrected("show", THIRD).lines
    documents = [corrected("show", run, "--json").document for run in (FIRST, SECOND, THIRD)]
    assert [shown["superseded_by"] for shown in documents] == [THIRD, None, None]
    assert [shown["supersedes"] for shown in documents] == [[], [], [FIRST]]
    assert [shown["reason"] for shown in documents] == [None, None, WHY]


def test_the_runs_are_listed_with_the_chain_and_its_reasons(recorded: Door, tmp_path: Path) -> None:
    assert "supersedes" not in recorded("runs").out
    recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND))
    text, document = succeeds(recorded, "runs")
    rows = {line.split()[0]: line for line in text.lines if line.startswith("2024-09-16-")}
    assert rows[FIRST].endswith(f" {THIRD}")
    assert rows[SECOND].endswith(f" {THIRD}")
    assert f"{THIRD} supersedes {FIRST}, {SECOND}: {WHY}" in text.lines
    (new,) = [run for run in document["runs"] if run["run"] == THIRD]
    assert (new["reason"], new["supersedes"]) == (WHY, [FIRST, SECOND])


def test_the_chain_of_a_date_is_listed_whatever_dates_are_asked_for(
    corrected: Door, tmp_path: Path
) -> None:
    corrected(*run_of(PUBLISHED.later(), tmp_path / "next"))
    of_date = corrected("runs", "--from", "2024-09-16", "--to", "2024-09-16", "--json").document
    assert [run["superseded_by"] for run in of_date["runs"]] == [THIRD, None, None]
    assert "superseded" not in corrected("runs", "--from", "2024-09-17").out


def test_a_run_is_superseded_once(corrected: Door, tmp_path: Path) -> None:
    other = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 9)])
    command = superseding(other, tmp_path / "other", FIRST)
    text, document = fails(corrected, *command, exit_code=5, reason="RUN_SUPERSEDED")
    assert text.message == (
        f"run {FIRST} is already superseded by run {THIRD}; nothing is recorded (RUN_SUPERSEDED)"
    )
    assert document["run"] == THIRD
    assert corrected.recorded() == [FIRST, SECOND, THIRD]


def test_other_volumes_supersede_every_standing_run_of_the_date_or_none(
    recorded: Door, tmp_path: Path
) -> None:
    other = replace(WHOLE, asks=OTHER_ASKS)
    for named in (FIRST, SECOND):
        command = superseding(other, tmp_path / "new", named)
        fails(recorded, *command, exit_code=5, reason="SEED_CONFLICT")
    done = recorded(*superseding(other, tmp_path / "new", FIRST, SECOND), "--json")
    assert (done.exit_code, done.document["run"]) == (0, THIRD)
    assert done.document["composite"] == "282431311"


def test_a_run_that_is_not_recorded_cannot_be_superseded(recorded: Door, tmp_path: Path) -> None:
    command = superseding(CORRECTED, tmp_path / "new", FIRST, UNKNOWN_RUN)
    before = files_in(recorded.ledger)
    text, document = fails(recorded, *command, exit_code=2, reason="RUN_NOT_FOUND")
    assert text.message == f"run {UNKNOWN_RUN} is not recorded (RUN_NOT_FOUND)"
    assert document["run"] == UNKNOWN_RUN
    assert files_in(recorded.ledger) == before


@pytest.mark.parametrize(
    ("named", "run"),
    [
        ("2024-09-17-001", "2024-09-17-001"),
        ("latest", "2024-09-17-001"),
        ("2024-09-30-001", "2024-09-30-001"),
    ],
)
def test_a_run_of_another_date_is_refused(
    recorded: Door, tmp_path: Path, named: str, run: str
) -> None:
    recorded(*run_of(PUBLISHED.later(), tmp_path / "next"))
    command = superseding(CORRECTED, tmp_path / "new", named)
    text, document = fails(recorded, *command, exit_code=3, reason="INVALID_INPUT")
    message = f"expected a run of 2024-09-16 to supersede, got {run}"
    assert text.error_lines == [
        "Refused, nothing recorded: 1 problem (INVALID_INPUT)",
        f"  supersede: {message}",
    ]
    assert [problem["message"] for problem in document["problems"]] == [message]


def test_an_invalid_run_id_or_reason_is_refused_with_all_that_is_wrong(
    recorded: Door, tmp_path: Path
) -> None:
    wrong = replace(CORRECTED, notices=[notice("A1", AAPL, -1)])
    command = superseding(wrong, tmp_path / "new", "yesterday", reason="two\nlines")
    _, document = fails(recorded, *command, exit_code=3, reason="INVALID_INPUT")
    problems = {problem["file"]: problem["message"] for problem in document["problems"]}
    assert problems.keys() == {"notices.csv", "supersede", "reason"}
    assert problems["supersede"] == "expected a run id or latest, got 'yesterday'"


def test_there_is_nothing_to_supersede_in_a_ledger_without_runs(door: Door, tmp_path: Path) -> None:
    command = superseding(PUBLISHED, tmp_path / "in", FIRST)
    _, document = fails(door, *command, exit_code=2, reason="RUN_NOT_FOUND")
    assert document["run"] == FIRST


def test_a_chain_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    assert_same_answers(
        both,
        run_of(PUBLISHED, tmp_path / "a"),
        [*run_of(META_ONLY, tmp_path / "b"), "--cycle", "2"],
        superseding(CORRECTED, tmp_path / "c", "latest"),
        superseding(CORRECTED, tmp_path / "c", FIRST),
        superseding(CORRECTED, tmp_path / "c", "yesterday", reason="\a" * 1_001),
        superseding(WHOLE, tmp_path / "d", "latest", "2024-09-16-009"),
        superseding(WHOLE, tmp_path / "d", "latest", SECOND),
        superseding(WHOLE, tmp_path / "d", "latest", SECOND),
        superseding(WHOLE, tmp_path / "d", FIRST),
        superseding(replace(WHOLE, asks=OTHER_ASKS), tmp_path / "e", FIRST),
        superseding(replace(WHOLE, asks=OTHER_ASKS), tmp_path / "e", "latest"),
        superseding(replace(WHOLE, asks=OTHER_ASKS), tmp_path / "e", "latest"),
        superseding(replace(PUBLISHED, asks=OTHER_ASKS), tmp_path / "f", "latest", reason="é"),
        run_of(PUBLISHED, tmp_path / "a"),
        run_of(PUBLISHED.later(), tmp_path / "g"),
        superseding(replace(PUBLISHED, asks=OTHER_ASKS), tmp_path / "f", "latest", reason="à"),
        ["runs"],
        ["show", FIRST],
        ["show", "latest"],
        ["replay", "--all"],
        ["verify"],
    )
    files, server = both
    assert chain_of(files) == chain_of(server)
    assert len(chain_of(files)) == 7
    assert files_of(server.ledger)("verify").exit_code == 0
