"""As-of times at both doors: recorded with their source, compared on replay, refused if wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery.audit.replay import replay
from lottery.ledger.run_record import RunRecord
from tests.builders import PUBLISHED, evidence_in, opened, write_files
from tests.cli.calls import EXAMPLE_RUN, Door, fails, run_arguments

VOLUMES_OF = "2024-09-16T16:20:00-04:00"
POSITIONS_OF = "2024-09-16"


def command_of(directory: Path, **said: str) -> list[str]:
    """Return `run` of the published day, whose files say of which time they are."""
    paths = write_files(PUBLISHED, directory)
    for role, text in said.items():
        header, *lines = paths[role].read_text().splitlines()
        rows = [f"{header},as_of", *(f"{line},{text}" for line in lines)]
        paths[role].write_text("\n".join(rows) + "\n")
    return run_arguments(paths)


def recorded(door: Door) -> RunRecord:
    return opened(door.ledger).get(EXAMPLE_RUN)


def test_as_of_times_are_recorded_with_their_source_and_replay(
    either: Door, tmp_path: Path
) -> None:
    answer = either(*command_of(tmp_path / "in", volumes=VOLUMES_OF, positions=POSITIONS_OF))

    assert (answer.exit_code, answer.err) == (0, "")
    assert {source.role: source.as_of for source in recorded(either).sources} == {
        "notices": None,
        "positions": POSITIONS_OF,
        "volumes": VOLUMES_OF,
    }
    for engine in ("compiled", "sql"):
        assert either("replay", "latest", "--engine", engine).exit_code == 0


@pytest.mark.parametrize(("role", "rule"), [("positions", "P7"), ("volumes", "S8")])
def test_files_of_another_date_are_refused_by_their_rule(
    either: Door, tmp_path: Path, role: str, rule: str
) -> None:
    command = command_of(tmp_path / "in", **{role: "2024-09-13"})

    _, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    assert (problem["file"], problem["column"], problem["rule"]) == (f"{role}.csv", "as_of", rule)
    assert either.recorded() == []


def test_check_compares_them_with_its_date(door: Door, tmp_path: Path) -> None:
    command_of(tmp_path / "in", volumes="2024-09-13", positions="2024-09-13")
    files = [tmp_path / "in" / f"{role}.csv" for role in ("volumes", "positions")]

    assert door("check", *files).exit_code == 0
    _, document = fails(
        door, "check", *map(str, files), "--date", "2024-09-16", exit_code=3, reason="INVALID_INPUT"
    )
    assert {problem["rule"] for problem in document["problems"]} == {"S8", "P7"}


@pytest.mark.parametrize(
    ("role", "text", "where"),
    [
        ("volumes", "2024-09-16", "run.json sources volumes.csv as_of"),
        ("volumes", "2024-09-15", "run.json sources volumes as_of"),
        ("positions", "2024-09-15", "run.json sources positions as_of"),
        ("positions", "soon", "run.json sources positions as_of"),
    ],
)
def test_a_record_that_says_another_time_is_a_mismatch(
    door: Door, tmp_path: Path, role: str, text: str, where: str
) -> None:
    door(*command_of(tmp_path / "in", volumes=VOLUMES_OF, positions=POSITIONS_OF))
    record = recorded(door)
    sources = tuple(
        replace(source, as_of=text) if source.role == role else source for source in record.sources
    )

    forged = replace(record, sources=sources)
    mismatches = replay(forged, evidence_in(door.ledger, EXAMPLE_RUN)).mismatches

    assert where in [mismatch.where for mismatch in mismatches]
