"""`lottery run`: exit codes, texts and documents. That a server answers alike: `test_doors.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import (
    AAPL,
    FULL,
    META,
    PUBLISHED,
    SmallDay,
    notice,
    position,
    write_files,
)
from tests.cli.calls import (
    CONFLICTS,
    EXAMPLE_RUN,
    Door,
    example_arguments,
    fails,
    files_in,
    files_of,
    lottery,
    run_arguments,
    run_of,
    serving,
    succeeds,
    write_lock,
)


def test_a_day_without_breaks_is_recorded_and_exits_0(either: Door, tmp_path: Path) -> None:
    answer = either(*run_of(PUBLISHED, tmp_path))
    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED"
    assert "composite 282[4313]10, digits 4313, fraction 0.4314" in answer.lines
    assert "1 notice for 1 pool, 10 contracts: 10 allocated" in answer.lines
    assert either.recorded() == [EXAMPLE_RUN]


def test_a_day_with_breaks_is_recorded_and_exits_4_with_both_figures(either: Door) -> None:
    answer = either(*example_arguments())
    assert (answer.exit_code, answer.err) == (4, "")
    assert answer.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED_WITH_BREAKS"
    figures = "24 notices for 17 pools, 1,843 contracts: 1,818 allocated, 25 in 1 break"
    assert figures in answer.lines
    assert "EXCEEDS_SHORT C GE1 240920C00160000 25 22" in answer.lines
    assert either.recorded() == [EXAMPLE_RUN]


def test_the_document_of_a_run_has_the_values_of_the_contract(either: Door) -> None:
    answer = either(*example_arguments(), "--json")
    document = answer.document
    assert (answer.exit_code, answer.err) == (4, "")
    expected = {
        "run": EXAMPLE_RUN,
        "state": "ALLOCATED_WITH_BREAKS",
        "already_recorded": False,
        "business_date": "2024-09-16",
        "cycle": 1,
        "composite": "282431310",
        "digits": "4313",
        "fraction": "0.4314",
        "pool_count": 17,
        "notice_count": 24,
        "assigned_quantity": 1843,
        "breaks": [
            {
                "occ_account": "C",
                "series": "GE1   240920C00160000",
                "reason": "EXCEEDS_SHORT",
                "assigned_quantity": 25,
                "total_short": 22,
                "assigned_before": 0,
            }
        ],
        "warnings": [],
    }
    assert {name: document[name] for name in expected} == expected
    assert "method" in document


@pytest.mark.parametrize(("day", "exit_code"), [(PUBLISHED, 0), (FULL, 4)])
def test_the_same_command_again_finds_its_run_and_exits_with_the_runs_own_code(
    door: Door, tmp_path: Path, day: SmallDay, exit_code: int
) -> None:
    command = run_of(day, tmp_path)
    first = door(*command, "--json")
    text, document = succeeds(door, *command, exit_code=exit_code)
    assert text.lines[0] == f"Run {EXAMPLE_RUN} was already recorded: {document['state']}"
    assert document == {**first.document, "already_recorded": True}
    assert door.recorded() == [EXAMPLE_RUN]


def test_the_same_day_in_another_format_and_order_is_the_same_run(
    either: Door, tmp_path: Path
) -> None:
    either(*run_of(FULL, tmp_path / "csv"))
    answer = either(*run_of(FULL.shuffled(7), tmp_path / "parquet", ".parquet"), "--json")
    assert (answer.exit_code, answer.document["already_recorded"]) == (4, True)


def test_a_second_cycle_with_other_pools_is_a_second_run(door: Door, tmp_path: Path) -> None:
    later = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)])
    door(*run_of(PUBLISHED, tmp_path / "first"))
    answer = door(*run_of(later, tmp_path / "second"), "--cycle", 2, "--json")
    assert (answer.exit_code, answer.document["run"]) == (0, "2024-09-16-002")
    assert answer.document["cycle"] == 2


def test_a_warning_is_shown_with_the_run(door: Door, tmp_path: Path) -> None:
    day = replace(PUBLISHED, notices=[notice("A1", AAPL, 10, "C")])
    acknowledge = ["--acknowledge", "MOSTLY_BREAKS", "--reason", "it is a test"]
    text, document = succeeds(door, *run_of(day, tmp_path), *acknowledge, exit_code=4)
    assert "their pools do not meet [P3]" in text.out
    assert [warning["code"] for warning in document["warnings"]] == ["OCC_ACCOUNT_ON_ONE_SIDE"]
    assert [broken["reason"] for broken in document["breaks"]] == ["NO_POSITION"]


def wrong_day(directory: Path) -> list[str]:
    """Return `run` of a day with something wrong in each of its files."""
    day = SmallDay(
        notices=[notice("A1", AAPL, 10), notice("A2", AAPL, -3), notice("A1", META, 1)],
        positions=[
            position(AAPL, "1046", 30),
            position(AAPL, "10x6", 5),
            position("AAPL", "7", 1),
            position(AAPL, "1046", 2),
        ],
        asks={"Z901803": "862.457135", "Z901439": "1", "Z901466": "1", "Z901499": "1"},
    )
    return run_of(day, directory)


LOCATIONS_OF_THE_WRONG_DAY = [
    ("notices.csv", 2, 3, "quantity"),
    ("notices.csv", 3, 4, "notice_id"),
    ("positions.csv", 2, 3, "account"),
    ("positions.csv", 3, 4, "series"),
    ("positions.csv", 4, 5, "account"),
    ("volumes.csv", None, None, None),
    ("volumes.csv", 1, 2, "ask_price"),
    ("volumes.csv", 4, 5, "security_number"),
]


def test_a_refusal_lists_every_problem_with_file_and_row_and_records_nothing(
    door: Door, tmp_path: Path
) -> None:
    command = wrong_day(tmp_path)
    before = files_in(tmp_path)
    text, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")
    assert text.err.startswith("Refused, nothing recorded: 8 problems (INVALID_INPUT)\n")
    assert [line.partition(":")[0] for line in text.error_lines[1:]] == [
        f"  {source}, row {row} (line {line}), {column}" if row else f"  {source}"
        for source, row, line, column in LOCATIONS_OF_THE_WRONG_DAY
    ]
    problems = document["problems"]
    names = ("file", "row", "line", "column")
    locations = [tuple(problem[name] for name in names) for problem in problems]
    assert locations == LOCATIONS_OF_THE_WRONG_DAY
    assert all(problem["message"] for problem in problems)
    assert document["problem_count"] == 8
    assert files_in(tmp_path) == before


def test_problems_past_the_hundredth_of_a_file_are_counted(either: Door, tmp_path: Path) -> None:
    day = replace(PUBLISHED, positions=[position(AAPL, str(1 + n), "x") for n in range(250)])
    command = run_of(day, tmp_path)
    text, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")
    assert text.error_lines[0].startswith("Refused, nothing recorded: 250 problems")
    assert text.error_lines[-1] == "  and 150 more"
    assert (document["problem_count"], len(document["problems"])) == (250, 100)


def test_problems_of_two_files_of_one_name_have_different_files(door: Door, tmp_path: Path) -> None:
    day = replace(
        PUBLISHED, notices=[notice("A1", AAPL, "x")], positions=[position(AAPL, "1", "x")]
    )
    paths = write_files(day, tmp_path)
    for role in ("notices", "positions"):
        (tmp_path / role).mkdir()
        paths[role] = paths[role].rename(tmp_path / role / "2024-09-16.csv")
    problems = door(*run_arguments(paths), "--json").document["problems"]
    assert len({problem["file"] for problem in problems}) == 2


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("notices", "gone.csv", "no such file"),
        ("positions", "gone.parquet", "no such file"),
        ("volumes", "gone.json", "no such file"),
        ("notices", "notices.xls", "notices must be a .csv or .parquet or .xml file, got '.xls'"),
        ("positions", "positions", "positions must be a .csv or .parquet file, got no suffix"),
        ("volumes", "volumes.parquet", "volumes must be a .csv or .json file, got '.parquet'"),
        ("notices", "empty.csv", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    door: Door, tmp_path: Path, role: str, name: str, message: str
) -> None:
    paths = {**write_files(PUBLISHED, tmp_path), role: tmp_path / name}
    if not name.startswith("gone"):
        paths[role].touch()
    answer = door(*run_arguments(paths))
    assert answer.exit_code == 3
    assert answer.error_lines == [
        "Refused, nothing recorded: 1 problem (INVALID_INPUT)",
        f"  {name}: {message}",
    ]


def test_what_goes_to_a_pipe_is_not_cut_at_the_terminals_width(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = write_files(replace(PUBLISHED, positions=[position(AAPL, "7" * 31, 5)]), tmp_path)
    name = "a name of a positions file that is long enough for a line of 160 columns.csv"
    paths["positions"] = paths["positions"].rename(tmp_path / name)
    _, problem = door(*run_arguments(paths)).error_lines
    assert problem.startswith(f"  {name}, row 1")
    assert problem.endswith(
        f"account: expected an account number of 1 to 30 digits, got '{'7' * 31}' [R2]"
    )


def test_a_date_before_the_method_is_refused_as_not_in_force(door: Door, tmp_path: Path) -> None:
    command = run_arguments(write_files(PUBLISHED, tmp_path), "2024-09-05")
    text, _ = fails(door, *command, exit_code=3, reason="METHOD_NOT_IN_FORCE")
    assert "business_date: business date must be 2024-09-06 or later" in text.err
    assert door.recorded() == []


def test_volumes_that_make_no_seed_are_refused_as_such(door: Door, tmp_path: Path) -> None:
    command = run_of(replace(PUBLISHED, asks=dict.fromkeys(PUBLISHED.asks, "0.10000")), tmp_path)
    _, document = fails(door, *command, exit_code=3, reason="INVALID_SEED")
    assert [problem["file"] for problem in document["problems"]] == ["volumes.csv"]


@pytest.mark.parametrize("reason", CONFLICTS)
def test_a_conflict_exits_5_with_its_reason_and_the_standing_run(
    door: Door, tmp_path: Path, reason: str
) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    command = run_of(CONFLICTS[reason], tmp_path / "second")
    text, document = fails(door, *command, exit_code=5, reason=reason)
    assert text.message.endswith(f"; nothing is recorded ({reason})")
    assert EXAMPLE_RUN in text.message
    assert document["run"] == EXAMPLE_RUN
    assert door.recorded() == [EXAMPLE_RUN]


def test_other_volumes_on_another_date_are_no_conflict(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    next_day = PUBLISHED.later()
    assert door(*run_of(next_day, tmp_path / "second")).exit_code == 0
    assert door.recorded() == [EXAMPLE_RUN, "2024-09-17-001"]


@pytest.mark.parametrize("by", ["files", "server"])
def test_a_locked_ledger_exits_75_and_the_same_command_later_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "0.05")
    with serving(tmp_path / "ledger", lock_seconds=0.05) as server:
        door = server if by == "server" else files_of(server.ledger)
        door(*run_of(PUBLISHED, tmp_path / "first"))
        command = run_of(PUBLISHED.later(), tmp_path / "second")
        with write_lock(door.ledger):
            text, _ = fails(door, *command, exit_code=75, reason="LEDGER_BUSY")
            assert text.message == (
                f"another process is writing to {door.ledger / DATABASE}; nothing is recorded "
                "(LEDGER_BUSY)"
            )
            assert door("runs", "--json").exit_code == 0
        assert door.recorded() == [EXAMPLE_RUN]
        assert door(*command).exit_code == 0


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LOTTERY_LOCK_SECONDS", "soon", "a valid number"),
        ("LOTTERY_MEMORY_LIMIT_BYTES", "4GB", "a valid integer"),
        ("LOTTERY_MEMORY_LIMIT_BYTES", "-1", "greater than or equal to 1"),
        ("LOTTERY_MEMORY_LIMIT_BYTES", "\u0661", "a valid integer"),
    ],
)
def test_a_setting_that_does_not_fit_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = lottery(*run_of(PUBLISHED, tmp_path / "in"))
    assert answer.exit_code == 2
    assert f"{variable}: must be {expected}" in answer.message
    assert f"got '{value}'" in answer.message
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_day_past_the_memory_limit_exits_3_and_records_nothing(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_MEMORY_LIMIT_BYTES", "1000000")
    answer = door(*run_of(PUBLISHED, tmp_path / "in"))
    assert answer.exit_code == 3
    assert "notices.csv: the day needs about 0.4 GiB of memory" in answer.message
    assert "LOTTERY_MEMORY_LIMIT_BYTES" in answer.message
    assert door.recorded() == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_ledger_that_is_a_file_exits_2_and_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = tmp_path / name
    for command in (run_of(PUBLISHED, tmp_path / "in"), ["init"]):
        given = (*command, "--ledger", ledger)
        text, document = fails(lottery, *given, exit_code=2, reason="LEDGER_NOT_FOUND")
        assert document["message"].startswith("expected a directory at ")
        assert document["message"] in text.err
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_ledger_that_is_no_database_exits_6_and_is_left_alone(door: Door, tmp_path: Path) -> None:
    database = door.ledger / DATABASE
    database.write_text("no database at all, but long enough to be taken for one" * 9)
    before = database.read_bytes()
    fails(door, *run_of(PUBLISHED, tmp_path), exit_code=6, reason="LEDGER_DAMAGED")
    assert database.read_bytes() == before


@pytest.mark.parametrize("date", ["2024-9-16", "20240916", "2024-02-30", "16.09.2024", "today", ""])
def test_a_date_in_another_form_is_wrong_usage_before_any_file_is_read(
    tmp_path: Path, date: str
) -> None:
    gone = dict.fromkeys(("notices", "positions", "volumes"), tmp_path / "gone.csv")
    command = (*run_arguments(gone, date), "--output", "out")
    text, _ = fails(lottery, *command, exit_code=2, reason="WRONG_USAGE")
    assert f"expected a date as YYYY-MM-DD, got '{date}'" in text.message
    assert list(tmp_path.iterdir()) == []
