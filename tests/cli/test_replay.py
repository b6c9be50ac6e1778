"""`lottery replay`: it matches, or every value that does not is told and the exit code is 6."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import NEXT_DATE, PUBLISHED, position
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    copied,
    evidence_file,
    example_arguments,
    files_of,
    run_of,
    serving,
    swap_first_two,
)


@pytest.fixture(scope="module")
def days_recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("two-days")
    door = files_of(directory / "ledger")
    for day in (PUBLISHED, replace(PUBLISHED, date=NEXT_DATE)):
        assert door(*run_of(day, directory / day.date.isoformat())).exit_code == 0
    return door.ledger


@pytest.fixture(params=["files", "server"])
def two_days(request: pytest.FixtureRequest, days_recorded: Path) -> Iterator[Door]:
    """Both ways to a ledger with a run on each of two dates."""
    if request.param == "files":
        yield files_of(days_recorded)
        return
    with serving(days_recorded) as door:
        yield door


@pytest.mark.parametrize("selection", [["latest"], [EXAMPLE_RUN], ["--all"]])
def test_a_run_that_matches_exits_0(reader: Door, selection: list[str]) -> None:
    text = reader("replay", *selection)
    answer = reader("replay", *selection, "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.lines == [f"{EXAMPLE_RUN} matches", "1 replayed, 1 matched"]
    assert answer.document == {"replayed": 1, "matched": 1, "mismatches": []}
    assert text.err == answer.err == ""


@pytest.mark.parametrize(
    ("selection", "runs"),
    [
        (["--all"], ["2024-09-16-001", "2024-09-17-001"]),
        (["2024-09-17-001", "2024-09-16-001"], ["2024-09-17-001", "2024-09-16-001"]),
        (
            ["--from", "2024-09-16", "--to", "2024-09-17"],
            ["2024-09-16-001", "2024-09-17-001"],
        ),
        (["--from", "2024-09-16", "--to", "2024-09-16"], ["2024-09-16-001"]),
        (["--from", "2024-09-17"], ["2024-09-17-001"]),
        (["--to", "2024-09-16"], ["2024-09-16-001"]),
    ],
)
def test_runs_are_chosen_by_name_all_of_them_or_by_dates(
    two_days: Door, selection: list[str], runs: list[str]
) -> None:
    answer = two_days("replay", *selection)
    document = two_days("replay", *selection, "--json").document
    assert answer.exit_code == 0
    assert answer.lines == [
        *(f"{run} matches" for run in runs),
        f"{len(runs)} replayed, {len(runs)} matched",
    ]
    assert (document["replayed"], document["matched"]) == (len(runs), len(runs))


def test_dates_without_a_run_are_not_taken_for_a_replay_that_matched(two_days: Door) -> None:
    answer = two_days("replay", "--from", "2030-01-01", "--to", "2030-01-31")
    # An auditor who mistypes a year must not read exit code 0 as "all is well".
    assert answer.exit_code == 2
    document = two_days("replay", "--from", "2030-01-01", "--json")
    assert document.exit_code == 2


def test_dates_the_wrong_way_round_are_wrong_usage(two_days: Door) -> None:
    for command in ("runs", "replay"):
        answer = two_days(command, "--from", "2024-09-17", "--to", "2024-09-16")
        assert answer.exit_code == 2


def test_a_changed_allocation_exits_6_and_is_told_by_row_and_column(tampered: Door) -> None:
    swap_first_two(evidence_file(tampered.ledger, "allocations.parquet"), "assigned_quantity")
    text = tampered("replay", "latest")
    answer = tampered("replay", "--all", "--json")
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert text.lines[0] == f"{EXAMPLE_RUN} differs"
    assert text.lines[-1] == "1 replayed, 0 matched"
    assert "allocations.parquet row 1 assigned_quantity: recorded 7, computed 3" in text.lines
    assert "allocations.parquet row 2 assigned_quantity: recorded 3, computed 7" in text.lines
    assert (answer.document["replayed"], answer.document["matched"]) == (1, 0)
    assert {
        "run": EXAMPLE_RUN,
        "where": "allocations.parquet row 1 assigned_quantity",
        "recorded": "7",
        "computed": "3",
    } in answer.document["mismatches"]


def _edited(old: bytes, new: bytes) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return edit


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


TAMPERING: dict[str, tuple[str, Callable[[Path], None]]] = {
    "an ask edited": ("sources/volumes.csv", _edited(b"862.45713", b"862.45813")),
    "a notice edited": ("sources/notices.csv", _edited(b",391,", b",390,")),
    "a first hit changed": ("pools.parquet", lambda path: swap_first_two(path, "first_hit")),
    "a notice changed": ("notices.parquet", lambda path: swap_first_two(path, "quantity")),
    "a broken pool's position changed": (
        "broken_positions.parquet",
        lambda path: swap_first_two(path, "short_quantity"),
    ),
    "the record edited": ("run.json", _edited(b'"digits":"4313"', b'"digits":"4314"')),
    "the allocations gone": ("allocations.parquet", Path.unlink),
    "the pools cut short": ("pools.parquet", _cut),
    "the volumes gone": ("sources/volumes.csv", Path.unlink),
    "the notices emptied": ("sources/notices.csv", _empty),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_evidence_tampered_with_exits_6_and_names_the_file(tampered: Door, what: str) -> None:
    name, tamper = TAMPERING[what]
    tamper(evidence_file(tampered.ledger, name))
    text = tampered("replay", "latest")
    answer = tampered("replay", "latest", "--json")
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert f"{EXAMPLE_RUN} differs" in text.lines
    assert name in text.out
    mismatches = answer.document["mismatches"]
    assert any(name in mismatch["where"] for mismatch in mismatches)
    assert all(
        mismatch.keys() == {"run", "where", "recorded", "computed"} for mismatch in mismatches
    )


def test_an_evidence_folder_that_is_gone_exits_6(tampered: Door) -> None:
    shutil.rmtree(evidence_file(tampered.ledger, "run.json").parent)
    assert tampered("replay", "--all").exit_code == 6
    assert tampered("replay", "--all", "--json").document["matched"] == 0


def test_one_run_that_differs_does_not_stop_the_others(days_recorded: Path, tmp_path: Path) -> None:
    door = files_of(copied(days_recorded, tmp_path / "ledger"))
    swap_first_two(evidence_file(door.ledger, "allocations.parquet"), "assigned_quantity")
    answer = door("replay", "--all")
    document = door("replay", "--all", "--json").document
    assert answer.exit_code == 6
    assert answer.lines[0] == "2024-09-16-001 differs"
    assert answer.lines[-2:] == ["2024-09-17-001 matches", "2 replayed, 1 matched"]
    assert (document["replayed"], document["matched"]) == (2, 1)
    assert {mismatch["run"] for mismatch in document["mismatches"]} == {"2024-09-16-001"}


def test_a_day_tampered_with_is_not_written_as_output(tampered: Door, tmp_path: Path) -> None:
    swap_first_two(evidence_file(tampered.ledger, "allocations.parquet"), "assigned_quantity")
    answer = tampered(*example_arguments(), "--output", tmp_path / "out", "--json")
    assert (answer.exit_code, answer.document["reason"]) == (6, "LEDGER_DAMAGED")


def test_a_second_run_beside_tampered_evidence_is_not_recorded(
    tampered: Door, tmp_path: Path
) -> None:
    swap_first_two(evidence_file(tampered.ledger, "pools.parquet"), "first_hit")
    later = replace(PUBLISHED.renamed("B"), positions=[position("ZVZZT 241018C00010000", "7", 1)])
    answer = tampered(*run_of(later, tmp_path), "--cycle", 2, "--json")
    assert (answer.exit_code, answer.document["reason"]) == (6, "LEDGER_DAMAGED")
    assert tampered.recorded() == [EXAMPLE_RUN]
