"""`lottery --server` says and does what `lottery` does by itself: texts, documents, exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, FULL, PUBLISHED, SmallDay, position, write_files
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Answer,
    Door,
    example_arguments,
    files_of,
    lottery,
    run_arguments,
    run_of,
    serving,
)
from tests.cli.test_run import CONFLICTS, wrong_day

ODDS = ["odds", "--positions", str(EXAMPLE / "positions.csv"), "--series", AAPL]
LOOKS = {
    "the runs": ["runs"],
    "the runs of a date": ["runs", "--from", "2024-09-16", "--to", "2024-09-16"],
    "no runs": ["runs", "--from", "2024-09-17"],
    "a run": ["show", EXAMPLE_RUN],
    "the allocations": ["show", "latest", "--allocations"],
    "an unknown run": ["show", "2024-09-16-009"],
    "a run id that is none": ["show", "yesterday"],
    "the published pool": ["explain", "latest", "--series", AAPL],
    "a wrap": ["explain", "latest", "--series", "XSP240916P00565000"],
    "a break": ["explain", "latest", "--series", "GE1240920C00160000"],
    "a pool of an occ_account": [
        *("explain", "latest", "--series", "NVDA240920P00130000", "--occ-account", "F"),
    ],
    "a series of several pools": ["explain", "latest", "--series", "NVDA240920P00130000"],
    "an account": ["explain", "latest", "--account", "1046"],
    "an account in no pool": ["explain", "latest", "--account", "999"],
    "a pool that is not there": ["explain", "latest", "--series", AAPL, "--occ-account", "Q"],
    "a series that is none": ["explain", "latest", "--series", "AAPL"],
    "a replay": ["replay", "latest"],
    "a replay of all": ["replay", "--all"],
    "a replay of a date": ["replay", "--from", "2024-09-16", "--to", "2024-09-16"],
    "a replay of an unknown run": ["replay", "2024-09-16-009"],
    "a replay by the SQL statement": ["replay", "latest", "--engine", "sql"],
    "a replay of a run by a key": ["replay", "latest", "--key", SOMEBODYS_KEY],
    "the seeds": ["seeds"],
    "the seeds of a date": ["seeds", "--from", "2024-09-16", "--to", "2024-09-16"],
    "a verification": ["verify"],
    "a verification by another log's key": ["verify", "--key", SOMEBODYS_KEY],
    "a verification by a key that is none": ["verify", "--key", "example.org+0000"],
    "the public key": ["keys"],
    "an export": ["export", "latest", "run.zip"],
    "an export to a folder that is not there": ["export", "latest", "nowhere/run.zip"],
    "an export of an unknown run": ["export", "2024-09-16-009", "run.zip"],
    "an export to no bundle": ["export", "latest", "run.tar"],
    "a seed": ["seed", "--volumes", str(EXAMPLE / "volumes.csv")],
    "a seed of no file": ["seed", "--volumes", "gone.csv"],
    "a pool's odds": [*ODDS, "--quantity", "10"],
    "an account's odds": [*ODDS, "--quantity", "10", "--account", "1048"],
    "the odds of nobody": [*ODDS, "--quantity", "10", "--account", "7"],
    "the odds of a break": [*ODDS, "--quantity", "66"],
    "the run again": example_arguments(),
}


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_is_the_same_by_the_files_and_by_a_server(
    both_readers: tuple[Door, Door], look: str, form: list[str]
) -> None:
    files, server = both_readers
    answer = files(*LOOKS[look], *form)
    assert server(*LOOKS[look], *form) == answer
    assert answer.out or answer.err


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("reason", CONFLICTS)
def test_a_conflict_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path, reason: str, form: list[str]
) -> None:
    first, second = (
        run_of(PUBLISHED, tmp_path / "first"),
        run_of(CONFLICTS[reason], tmp_path / "second"),
    )
    answers = []
    for door in both:
        door(*first)
        answers.append(door(*second, *form))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_refusal_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path, form: list[str]
) -> None:
    files, server = both
    command = wrong_day(tmp_path)
    assert server(*command, *form) == files(*command, *form)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(
    "wrong",
    [
        replace(PUBLISHED, asks={**PUBLISHED.asks, "Z901448": "1435.712634"}),
        replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "01046", 1)]),
        replace(
            PUBLISHED,
            positions=[position(AAPL, str(number), 2**62) for number in (1, 2, 3)],
        ),
        replace(PUBLISHED, positions=[position(AAPL, str(1000 + n % 90), 1) for n in range(180)]),
    ],
    ids=["an ask", "an account in another spelling", "a pool past all numbers", "90 doubled"],
)
def test_what_the_method_refuses_is_told_by_our_files_rows_either_way(
    both: tuple[Door, Door], tmp_path: Path, wrong: SmallDay, form: list[str]
) -> None:
    paths = write_files(wrong, tmp_path)
    files, server = both
    answer = files(*run_arguments(paths), *form)
    assert answer.exit_code == 3
    assert server(*run_arguments(paths), *form) == answer
    told = answer.out + answer.err
    assert "positions.csv" in told or "volumes.csv" in told
    assert not any(field in told for field in ("arrow_", "exchange_asks"))


def test_a_run_is_told_alike_but_for_when_and_by_whom(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    command = run_of(FULL, tmp_path)
    files, server = (door(*command) for door in both)
    assert files.exit_code == server.exit_code == 4
    assert lines_but_the_second(files) == lines_but_the_second(server)
    documents = [door(*command, "--json").document for door in both]
    assert [{**document, "recorded_at": ""} for document in documents] == [
        {**documents[0], "recorded_at": ""}
    ] * 2


def test_the_output_has_the_same_bytes_either_way(both: tuple[Door, Door], tmp_path: Path) -> None:
    command = run_of(FULL, tmp_path)
    for extension in ("csv", "parquet"):
        written = []
        for door in both:
            out = tmp_path / f"{door.ledger.name}-{extension}"
            door(*command, "--output", out, "--format", extension)
            names = (f"allocations.{extension}", f"pools.{extension}")
            written.append([(out / name).read_bytes() for name in names])
        assert written[0] == written[1]


def test_a_run_recorded_by_a_server_is_found_again_by_its_files(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        first = server(*example_arguments(), "--json").document
        again = files_of(tmp_path / "ledger")(*example_arguments(), "--json").document
    assert again == {**first, "already_recorded": True}


def test_a_server_needs_no_ledger_here(both: tuple[Door, Door], tmp_path: Path) -> None:
    _, server = both
    assert server(*example_arguments()).exit_code == 4
    assert not (tmp_path / "lottery-ledger").exists()


def test_more_rows_than_the_server_takes_are_refused_by_its_limit(tmp_path: Path) -> None:
    with serving(tmp_path / "served", max_rows=2) as server:
        text = server(*run_of(PUBLISHED, tmp_path))
        answer = server(*run_of(PUBLISHED, tmp_path), "--json")
        assert [text.exit_code, answer.exit_code] == [3, 3]
        assert answer.document["reason"] == "LIMIT_EXCEEDED"
        assert server.recorded() == []


def test_a_server_that_went_away_in_between_exits_75(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        assert server(*example_arguments()).exit_code == 4
    answer = lottery(*server.options, "runs")
    assert answer.exit_code == 75


def lines_but_the_second(answer: Answer) -> list[str]:
    """The text without the line that says when and by whom it was recorded."""
    return [line for number, line in enumerate(answer.lines) if number != 1]
