"""`lottery run --supersede RUN… --reason TEXT`: a run that supersedes others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import AAPL, META, NEXT_DATE, OTHER_ASKS, PUBLISHED, SmallDay, notice, position
from tests.cli.calls import Answer, Door, files_in, files_of, lottery, run_of

FIRST, SECOND, THIRD, FOURTH = (f"2024-09-16-00{number}" for number in range(1, 5))
WHY = "an account was missing"
CORRECTED = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)])
"""The published day with an account that had been left out."""
META_ONLY = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)])
WHOLE = replace(
    CORRECTED,
    notices=[*CORRECTED.notices, *META_ONLY.notices],
    positions=[*CORRECTED.positions, *META_ONLY.positions],
)


@pytest.fixture
def recorded(door: Door, tmp_path: Path) -> Door:
    """Both ways to a ledger with the published day and, as a second run, another pool."""
    door(*run_of(PUBLISHED, tmp_path / "first"))
    assert door(*run_of(META_ONLY, tmp_path / "second"), "--cycle", "2").exit_code == 0
    return door


def superseding(day: SmallDay, directory: Path, *runs: str, reason: str = WHY) -> list[str]:
    """`run` of a day that supersedes runs, all of them after one option."""
    return [*run_of(day, directory), "--supersede", *runs, "--reason", reason]


def chain_of(door: Door) -> list[tuple[str, list[str], str | None]]:
    """Every run, what it supersedes, and what superseded it, as `lottery runs` has them."""
    runs = door("runs", "--json").document["runs"]
    return [(run["run"], run["supersedes"], run["superseded_by"]) for run in runs]


def test_a_run_takes_the_place_of_another_and_says_why(recorded: Door, tmp_path: Path) -> None:
    answer = recorded(*superseding(CORRECTED, tmp_path / "new", FIRST), "--json")
    document = answer.document
    assert (answer.exit_code, answer.err) == (0, "")
    assert (document["run"], document["already_recorded"]) == (THIRD, False)
    assert (document["supersedes"], document["reason"]) == ([FIRST], WHY)
    assert document["superseded_by"] is None
    assert chain_of(recorded) == [(FIRST, [], THIRD), (SECOND, [], None), (THIRD, [FIRST], None)]
    assert recorded("verify").exit_code == 0


def test_a_run_that_supersedes_is_told_with_its_reason(recorded: Door, tmp_path: Path) -> None:
    answer = recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    assert answer.lines[0] == f"Run {THIRD} is recorded: ALLOCATED"
    assert f"supersedes {FIRST}: {WHY}" in answer.lines


@pytest.mark.parametrize(
    "options",
    [
        ["--supersede", FIRST, SECOND, "--reason", WHY],
        ["--reason", WHY, "--supersede", SECOND, FIRST],
        ["--supersede", FIRST, "--supersede", SECOND, "--reason", WHY],
        ["--supersede", SECOND, "--reason", WHY, "--supersede", FIRST],
        ["--supersede", FIRST, "--supersede", "latest", "--reason", WHY],
        ["--supersede", FIRST, SECOND, FIRST, "latest", "--reason", WHY],
    ],
    ids=["behind one", "the other way round", "each its own", "apart", "the latest", "repeated"],
)
def test_several_runs_are_named_behind_one_option_or_each_behind_its_own(
    recorded: Door, tmp_path: Path, options: list[str]
) -> None:
    command = [*run_of(WHOLE, tmp_path / "new"), *options]
    first, again = recorded(*command, "--json"), recorded(*command, "--json")
    assert [first.exit_code, again.exit_code] == [0, 0]
    assert first.document["supersedes"] == [FIRST, SECOND]
    assert again.document == {**first.document, "already_recorded": True}
    # However they are named, it is the same command.
    named = recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND), "--json")
    assert named.document == again.document
    assert recorded.recorded() == [FIRST, SECOND, THIRD]


def test_the_latest_run_can_be_superseded_by_that_name_again_and_again(
    door: Door, tmp_path: Path
) -> None:
    days = [
        replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", short)])
        for short in (1, 2, 3)
    ]
    door(*run_of(PUBLISHED, tmp_path / "first"))
    for number, day in enumerate(days):
        command = superseding(day, tmp_path / str(number), "latest")
        told = [door(*command, "--json").document for _ in range(3)]
        assert [document["already_recorded"] for document in told] == [False, True, True]
        assert len({document["run"] for document in told}) == 1
    assert chain_of(door) == [
        (FIRST, [], SECOND),
        (SECOND, [FIRST], THIRD),
        (THIRD, [SECOND], FOURTH),
        (FOURTH, [THIRD], None),
    ]
    assert door("verify").exit_code == 0


def test_a_superseded_run_is_found_by_its_own_command_and_told_as_that(
    recorded: Door, tmp_path: Path
) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    command = run_of(PUBLISHED, tmp_path / "first")
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.lines[0] == f"Run {FIRST} was already recorded: ALLOCATED"
    assert f"superseded by {THIRD}" in text.lines
    assert (answer.document["already_recorded"], answer.document["superseded_by"]) == (True, THIRD)


def test_the_runs_are_listed_with_the_chain_and_its_reasons(recorded: Door, tmp_path: Path) -> None:
    assert "supersedes" not in recorded("runs").out
    recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND))
    text = recorded("runs")
    rows = {line.split()[0]: line for line in text.lines if line.startswith("2024-09-16-")}
    assert rows[FIRST].endswith(f" {THIRD}")
    assert rows[SECOND].endswith(f" {THIRD}")
    assert f"{THIRD} supersedes {FIRST}, {SECOND}: {WHY}" in text.lines
    (new,) = [run for run in recorded("runs", "--json").document["runs"] if run["run"] == THIRD]
    assert (new["reason"], new["supersedes"]) == (WHY, [FIRST, SECOND])


def test_the_chain_of_a_date_is_told_whatever_dates_are_asked_for(
    recorded: Door, tmp_path: Path
) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    recorded(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    of_date = recorded("runs", "--from", "2024-09-16", "--to", "2024-09-16", "--json").document
    assert [run["superseded_by"] for run in of_date["runs"]] == [THIRD, None, None]
    other = recorded("runs", "--from", "2024-09-17")
    assert "superseded" not in other.out


def test_a_run_is_shown_with_what_it_supersedes_and_what_superseded_it(
    recorded: Door, tmp_path: Path
) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    old, new = (recorded("show", run) for run in (FIRST, THIRD))
    assert f"superseded by {THIRD}" in old.lines
    assert f"supersedes {FIRST}: {WHY}" in new.lines
    documents = [recorded("show", run, "--json").document for run in (FIRST, SECOND, THIRD)]
    assert [document["superseded_by"] for document in documents] == [THIRD, None, None]
    assert [document["supersedes"] for document in documents] == [[], [], [FIRST]]
    assert [document["reason"] for document in documents] == [None, None, WHY]


def test_superseded_runs_are_replayed_and_explained_as_all_others(
    recorded: Door, tmp_path: Path
) -> None:
    recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND))
    for options in ([], ["--engine", "sql"]):
        answer = recorded("replay", "--all", *options)
        assert answer.exit_code == 0
        assert answer.lines[-1] == "3 replayed, 3 matched"
    assert recorded("explain", FIRST, "--series", AAPL).exit_code == 0


def test_the_notices_and_pools_of_a_superseded_run_are_free_and_others_are_not(
    recorded: Door, tmp_path: Path
) -> None:
    refused = recorded(*superseding(WHOLE, tmp_path / "new", FIRST), "--json")
    assert (refused.exit_code, refused.document["reason"]) == (5, "NOTICE_ALREADY_ALLOCATED")
    assert refused.document["run"] == SECOND
    assert recorded.recorded() == [FIRST, SECOND]
    assert recorded(*superseding(WHOLE, tmp_path / "new", FIRST, SECOND)).exit_code == 0


def test_a_superseding_run_counts_its_pools_as_allocated_again(
    recorded: Door, tmp_path: Path
) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    answer = recorded(*run_of(PUBLISHED.renamed("X"), tmp_path / "more"), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (5, "POOL_ALREADY_ALLOCATED")
    assert answer.document["run"] == THIRD


def test_a_run_is_superseded_once(recorded: Door, tmp_path: Path) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    other = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 9)])
    command = superseding(other, tmp_path / "other", FIRST)
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [5, 5]
    assert (text.out, answer.complaints) == ("", [])
    assert text.told == (
        f"run {FIRST} is already superseded by run {THIRD}; nothing is recorded (RUN_SUPERSEDED)"
    )
    assert (answer.document["reason"], answer.document["run"]) == ("RUN_SUPERSEDED", THIRD)
    assert recorded.recorded() == [FIRST, SECOND, THIRD]


def test_other_volumes_supersede_every_standing_run_of_the_date_or_none(
    recorded: Door, tmp_path: Path
) -> None:
    other = replace(WHOLE, asks=OTHER_ASKS)
    for named in ([FIRST], [SECOND]):
        answer = recorded(*superseding(other, tmp_path / "new", *named), "--json")
        assert (answer.exit_code, answer.document["reason"]) == (5, "SEED_CONFLICT")
    recorded(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    done = recorded(*superseding(other, tmp_path / "new", FIRST, SECOND), "--json")
    assert (done.exit_code, done.document["run"]) == (0, THIRD)
    assert done.document["composite"] == "282431311"
    # The new volumes are the date's from now on.
    late = SmallDay(
        notices=[notice("C1", "KO    240920C00067500", 1)],
        positions=[position("KO    240920C00067500", "7", 1)],
    )
    old = recorded(*run_of(late, tmp_path / "old"), "--json")
    assert (old.exit_code, old.document["reason"]) == (5, "SEED_CONFLICT")
    assert recorded(*run_of(replace(late, asks=OTHER_ASKS), tmp_path / "late")).exit_code == 0
    assert recorded("verify").exit_code == 0


@pytest.mark.parametrize("run", ["2024-09-16-009", "2024-09-30-001"])
def test_a_run_that_is_not_recorded_cannot_be_superseded(
    recorded: Door, tmp_path: Path, run: str
) -> None:
    command = superseding(CORRECTED, tmp_path / "new", FIRST, run)
    before = files_in(recorded.ledger)
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert text.told == f"run {run} is not recorded (RUN_NOT_FOUND)"
    assert (answer.document["reason"], answer.document["run"]) == ("RUN_NOT_FOUND", run)
    assert files_in(recorded.ledger) == before


@pytest.mark.parametrize("named", ["2024-09-17-001", "latest"])
def test_a_run_of_another_date_is_refused(recorded: Door, tmp_path: Path, named: str) -> None:
    recorded(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    command = superseding(CORRECTED, tmp_path / "new", named)
    text, answer = recorded(*command), recorded(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [3, 3]
    assert (text.out, answer.complaints) == ("", [])
    message = "expected a run of 2024-09-16 to supersede, got 2024-09-17-001"
    assert text.complaints == [
        "Refused, nothing recorded: 1 problem (INVALID_INPUT)",
        f"  supersede: {message}",
    ]
    assert [problem["message"] for problem in answer.document["problems"]] == [message]
    assert recorded.recorded() == [FIRST, SECOND, "2024-09-17-001"]


def test_a_run_id_that_is_none_is_refused_with_all_that_is_wrong(
    recorded: Door, tmp_path: Path
) -> None:
    wrong = replace(CORRECTED, notices=[notice("A1", AAPL, -1)])
    answer = recorded(*superseding(wrong, tmp_path / "new", "yesterday"), "--json")
    assert answer.exit_code == 3
    problems = {problem["file"]: problem["message"] for problem in answer.document["problems"]}
    assert problems.keys() == {"notices.csv", "supersede"}
    assert problems["supersede"] == "expected a run id or latest, got 'yesterday'"


@pytest.mark.parametrize("reason", ["two\nlines", "a bell\a", "x" * 1_001])
def test_a_reason_is_one_line_of_a_thousand_characters(
    recorded: Door, tmp_path: Path, reason: str
) -> None:
    answer = recorded(*superseding(CORRECTED, tmp_path / "new", FIRST, reason=reason), "--json")
    assert answer.exit_code == 3
    assert [problem["file"] for problem in answer.document["problems"]] == ["reason"]
    longest = superseding(CORRECTED, tmp_path / "new", FIRST, reason="é" * 1_000)
    assert recorded(*longest, "--json").document["reason"] == "é" * 1_000


def test_another_reason_is_another_run(recorded: Door, tmp_path: Path) -> None:
    recorded(*superseding(CORRECTED, tmp_path / "new", FIRST))
    command = superseding(CORRECTED, tmp_path / "new", FIRST, reason="something else")
    answer = recorded(*command, "--json")
    assert (answer.exit_code, answer.document["reason"]) == (5, "RUN_SUPERSEDED")


def test_the_same_day_supersedes_itself_where_a_reason_is_given(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    answer = door(*superseding(PUBLISHED, tmp_path / "in", FIRST), "--json")
    assert (answer.exit_code, answer.document["run"]) == (0, SECOND)
    assert answer.document["already_recorded"] is False
    assert door("replay", "--all").exit_code == 0


def test_there_is_nothing_to_supersede_in_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    answer = lottery(*superseding(PUBLISHED, tmp_path / "in", FIRST), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "RUN_NOT_FOUND")
    assert answer.document["run"] == FIRST


def test_a_chain_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    commands = [
        run_of(PUBLISHED, tmp_path / "a"),
        [*run_of(META_ONLY, tmp_path / "b"), "--cycle", "2"],
        superseding(CORRECTED, tmp_path / "c", "latest"),
        superseding(CORRECTED, tmp_path / "c", FIRST),
        superseding(WHOLE, tmp_path / "d", "latest", SECOND),
        superseding(WHOLE, tmp_path / "d", "latest", SECOND),
        superseding(WHOLE, tmp_path / "d", FIRST),
        superseding(replace(WHOLE, asks=OTHER_ASKS), tmp_path / "e", "latest"),
        run_of(PUBLISHED, tmp_path / "a"),
        ["runs"],
        ["show", FIRST],
        ["show", "latest"],
        ["replay", "--all"],
        ["verify"],
    ]
    for command in commands:
        files, server = (timeless(door(*command, "--json")) for door in both)
        assert files == server
    assert chain_of(both[0]) == chain_of(both[1])
    assert files_of(both[1].ledger)("verify").exit_code == 0


def timeless(answer: Answer) -> tuple[int, str, dict[str, Any]]:
    """A command's exit code, complaints and document, without when and by whom it was recorded."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            # The sources of a server's run are called by their payloads.
            own = {"recorded_at", "requested_by", "sources", "evidence"}
            return {name: cleaned(one) for name, one in value.items() if name not in own}
        return [cleaned(one) for one in value] if isinstance(value, list) else value

    document: dict[str, Any] = cleaned(answer.document)
    return answer.exit_code, answer.err, document
