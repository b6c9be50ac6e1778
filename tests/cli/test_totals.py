"""Control totals and checksums: what does not agree is refused, and nothing is recorded."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import PUBLISHED, SPY, position, write_files
from tests.cli.calls import EXAMPLE, EXAMPLE_RUN, Door, fails, lottery, run_arguments, run_of

DAY = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(SPY, "7", 35)])
"""The published day and a position of a pool without notices: 1 notice of 10, 4 rows of 100."""
TOTALS = {"notices": 1, "contracts": 10, "positions": 4, "shorts": 100}
COUNTED = {
    "notices": "notices",
    "contracts": "contracts on all notices",
    "positions": "rows of positions",
    "shorts": "contracts short on all rows of positions",
}


def expecting(**totals: int) -> list[str]:
    """Return the options of control totals."""
    return [text for key, figure in totals.items() for text in ("--expect", f"{key}={figure}")]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_day_that_comes_to_what_was_announced_is_recorded(
    either: Door, tmp_path: Path, suffix: str
) -> None:
    answer = either(*run_of(DAY, tmp_path / "in", suffix), *expecting(**TOTALS))

    assert (answer.exit_code, answer.err) == (0, "")
    assert either.recorded() == [EXAMPLE_RUN]


@pytest.mark.parametrize("key", TOTALS)
@pytest.mark.parametrize("off", [-1, 1])
def test_a_total_that_does_not_agree_is_refused_with_both_figures(
    either: Door, tmp_path: Path, key: str, off: int
) -> None:
    command = [*run_of(DAY, tmp_path / "in"), *expecting(**{**TOTALS, key: TOTALS[key] + off})]

    _, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    source = "notices.csv" if key in ("notices", "contracts") else "positions.csv"
    assert problem["file"] == source
    assert problem["message"] == (
        f"expected {TOTALS[key] + off} {COUNTED[key]}, as announced, got {TOTALS[key]}"
    )
    assert either.recorded() == []


def test_all_totals_that_do_not_agree_are_listed(door: Door, tmp_path: Path) -> None:
    command = [*run_of(DAY, tmp_path / "in"), *expecting(**dict.fromkeys(TOTALS, 0))]

    _, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")

    assert document["problem_count"] == 4


def test_a_notices_file_cut_off_within_its_last_number_is_refused_by_its_total(
    door: Door, tmp_path: Path
) -> None:
    paths = write_files(PUBLISHED, tmp_path / "in")
    content = f"notice_id,series,quantity\nA1,{SPY},1\nA2,{PUBLISHED.notices[0]['series']},39"
    paths["notices"].write_text(content)  # 391, before its last digit was lost.

    command = [*run_arguments(paths), *expecting(contracts=392)]
    _, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    assert problem["message"] == "expected 392 contracts on all notices, as announced, got 40"


def test_totals_of_rows_that_are_refused_are_not_compared(door: Door, tmp_path: Path) -> None:
    wrong = replace(DAY, positions=[*DAY.positions, position(SPY, "8", -1)])
    command = [*run_of(wrong, tmp_path / "in"), *expecting(shorts=1, notices=2)]

    _, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")

    assert [(problem["row"], problem["column"]) for problem in document["problems"]] == [
        (None, None),
        (5, "short_quantity"),
    ]


def test_rows_without_notices_need_no_quantity_unless_all_are_added_up(
    door: Door, tmp_path: Path
) -> None:
    wrong = replace(DAY, positions=[*DAY.positions, position(SPY, "8", -1)])

    answer = door(*run_of(wrong, tmp_path / "in"), *expecting(positions=5, contracts=10))

    assert answer.exit_code == 0


@pytest.mark.parametrize("text", ["notices", "notices=", "notices=-1", "notices=1.0", "pools=1"])
def test_what_is_no_total_is_wrong_usage(door: Door, tmp_path: Path, text: str) -> None:
    command = run_of(DAY, tmp_path / "in")

    text_answer, _ = fails(door, *command, "--expect", text, exit_code=2, reason="WRONG_USAGE")

    assert "expected KEY=N with a key of notices, contracts, positions, shorts" in (
        text_answer.message
    )


def test_a_total_that_is_given_twice_is_wrong_usage(door: Door, tmp_path: Path) -> None:
    command = [*run_of(DAY, tmp_path / "in"), *expecting(notices=1), *expecting(notices=1)]

    fails(door, *command, exit_code=2, reason="WRONG_USAGE")


def test_a_file_that_is_not_what_its_checksum_says_is_refused(either: Door, tmp_path: Path) -> None:
    paths = write_files(DAY, tmp_path / "in")
    for role, path in paths.items():
        digest = "0" * 64 if role == "volumes" else hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")

    _, document = fails(either, *run_arguments(paths), exit_code=3, reason="INVALID_INPUT")

    (problem,) = document["problems"]
    assert problem["file"] == "volumes.csv"
    assert problem["message"].startswith(f"expected SHA-256 {'0' * 64}, as volumes.csv.sha256 has")
    assert either.recorded() == []


# `lottery check`.


def test_files_that_come_to_what_was_announced_are_checked() -> None:
    files = [EXAMPLE / "positions.csv", EXAMPLE / "notices.csv"]
    totals = {"notices": 24, "contracts": 1_843, "positions": 1_036, "shorts": 19_772}

    assert lottery("check", *files, *expecting(**totals)).exit_code == 0


def test_what_several_files_come_to_together_is_compared(tmp_path: Path) -> None:
    first = write_files(DAY, tmp_path / "first")
    second = write_files(DAY.renamed("B"), tmp_path / "second")
    files = [first["notices"], second["notices"]]

    assert lottery("check", *files, *expecting(notices=2, contracts=20)).exit_code == 0
    command = ["check", *map(str, files), *expecting(notices=3, positions=4)]
    _, document = fails(lottery, *command, exit_code=3, reason="INVALID_INPUT")
    assert [(problem["file"], problem["message"]) for problem in document["problems"]] == [
        (f"{files[0]}, {files[1]}", "expected 3 notices, as announced, got 2"),
        ("the files", "expected 4 rows of positions, as announced, got 0"),
    ]


def test_a_checked_file_that_may_be_cut_off_is_warned_of(tmp_path: Path) -> None:
    notices = write_files(DAY, tmp_path)["notices"]
    notices.write_text(notices.read_text().rstrip("\n"))

    answer = lottery("check", notices)
    assert answer.exit_code == 0
    assert answer.lines[1] == (
        "warning: the last line has no line end, and neither --expect nor notices.csv.sha256 says "
        "that the file is whole [H1]"
    )
    (file,) = lottery("check", notices, "--json").document["files"]
    assert file["may_be_cut_off"] is True
    (file,) = lottery("check", notices, *expecting(notices=1), "--json").document["files"]
    assert file["may_be_cut_off"] is False
