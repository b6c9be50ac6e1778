"""`lottery replay`: it matches, or every value that does not is listed and the exit code is 6.

Which values are found that were changed is in `tests/audit/test_replay.py`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import PUBLISHED, position
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    copied,
    evidence_file,
    example_arguments,
    fails,
    files_of,
    run_of,
    succeeds,
    swap_first_two,
)

FIRST, NEXT = EXAMPLE_RUN, "2024-09-17-001"


@pytest.fixture(scope="module")
def two_dates(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Record a run on each of two dates."""
    directory = tmp_path_factory.mktemp("two-dates")
    door = files_of(directory / "ledger")
    for day in (PUBLISHED, PUBLISHED.later()):
        assert door(*run_of(day, directory / day.date.isoformat())).exit_code == 0
    return door


def test_what_needs_more_memory_than_the_limit_exits_3_and_says_how_to_change_it(
    reader: Door, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_MEMORY_LIMIT_BYTES", "1000000")
    for command, named in (
        (["replay", "latest"], f"run {EXAMPLE_RUN}: "),
        (["replay", exported], f"{exported.name}: "),
        (["verify"], f"run {EXAMPLE_RUN}: "),
        (["report", exported, tmp_path / "page.html"], f"{exported.name}: "),
    ):
        text, _ = fails(reader, *command, exit_code=3, reason="LIMIT_EXCEEDED")
        assert text.message.startswith(named)
        assert "the day needs about 0.4 GiB of memory" in text.message
        assert "set LOTTERY_MEMORY_LIMIT_BYTES to change it" in text.message


@pytest.mark.parametrize(
    ("selection", "runs"),
    [
        (["latest"], [NEXT]),
        ([NEXT, FIRST], [NEXT, FIRST]),
        (["--all"], [FIRST, NEXT]),
        (["--from", "2024-09-16", "--to", "2024-09-17"], [FIRST, NEXT]),
        (["--from", "2024-09-16", "--to", "2024-09-16"], [FIRST]),
        (["--from", "2024-09-17"], [NEXT]),
        (["--to", "2024-09-16"], [FIRST]),
    ],
)
def test_runs_are_chosen_by_name_all_of_them_or_by_dates(
    two_dates: Door, selection: list[str], runs: list[str]
) -> None:
    text, document = succeeds(two_dates, "replay", *selection)
    count = len(runs)
    assert text.lines == [
        *(f"{run} matches" for run in runs),
        f"{count} replayed, {count} matched",
    ]
    assert document == {"replayed": count, "matched": count, "mismatches": [], "approvals": []}


def test_dates_without_a_run_are_not_taken_for_a_replay_that_matched(two_dates: Door) -> None:
    # An auditor who mistypes a year must not read exit code 0 as "all is well".
    for options in (["--from", "2030-01-01", "--to", "2030-01-31"], ["--from", "2030-01-01"]):
        fails(two_dates, "replay", *options, exit_code=2, reason="RUN_NOT_FOUND")


@pytest.mark.parametrize("command", ["runs", "replay", "seeds"])
def test_dates_the_wrong_way_round_are_wrong_usage(two_dates: Door, command: str) -> None:
    given = (command, "--from", "2024-09-17", "--to", "2024-09-16")
    fails(two_dates, *given, exit_code=2, reason="WRONG_USAGE")


@pytest.mark.parametrize("engine", ["compiled", "sql"])
def test_a_changed_allocation_exits_6_with_its_row_and_column_and_does_not_stop_the_others(
    two_dates: Door, tmp_path: Path, engine: str
) -> None:
    door = files_of(copied(two_dates.ledger, tmp_path / "ledger"))
    swap_first_two(evidence_file(door.ledger, "allocations.parquet"), "assigned_quantity")
    text, answer = (door("replay", "--all", "--engine", engine, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert text.lines[0] == f"{FIRST} differs"
    assert text.lines[-2:] == [f"{NEXT} matches", "2 replayed, 1 matched"]
    document = answer.document
    assert (document["replayed"], document["matched"]) == (2, 1)
    for row, (recorded, computed) in enumerate([("7", "3"), ("3", "7")], 1):
        where = f"allocations.parquet row {row} assigned_quantity"
        values = {"recorded": recorded, "computed": computed}
        assert f"{where}: recorded {recorded}, computed {computed}" in text.lines
        assert {"run": FIRST, "where": where, **values} in document["mismatches"]
    assert {mismatch["run"] for mismatch in document["mismatches"]} == {FIRST}


def test_an_evidence_folder_that_is_gone_exits_6(tampered: Door) -> None:
    shutil.rmtree(evidence_file(tampered.ledger, "run.json").parent)
    assert tampered("replay", "--all").exit_code == 6
    assert tampered("replay", "--all", "--json").document["matched"] == 0


def test_a_run_that_was_tampered_with_is_not_written_as_output(
    tampered: Door, tmp_path: Path
) -> None:
    swap_first_two(evidence_file(tampered.ledger, "allocations.parquet"), "assigned_quantity")
    command = (*example_arguments(), "--output", tmp_path / "out")
    fails(tampered, *command, exit_code=6, reason="LEDGER_DAMAGED")


def test_a_second_run_after_tampered_evidence_is_not_recorded(
    tampered: Door, tmp_path: Path
) -> None:
    swap_first_two(evidence_file(tampered.ledger, "pools.parquet"), "first_hit")
    later = replace(PUBLISHED.renamed("B"), positions=[position("ZVZZT 241018C00010000", "7", 1)])
    command = (*run_of(later, tmp_path), "--cycle", 2)
    fails(tampered, *command, exit_code=6, reason="LEDGER_DAMAGED")
    assert tampered.recorded() == [EXAMPLE_RUN]
