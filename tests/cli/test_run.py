"""`lottery run`: exit codes, texts and documents, through the files and through a server."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery.ledger.write_transaction import DATABASE
from tests.builders import (
    AAPL,
    FULL,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    notice,
    position,
    write_files,
)
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    Door,
    example_arguments,
    files_of,
    lottery,
    run_arguments,
    run_of,
    serving,
    write_lock,
)

RUN_KEYS = {
    "run",
    "state",
    "already_recorded",
    "business_date",
    "cycle",
    "method",
    "composite",
    "digits",
    "fraction",
    "pool_count",
    "notice_count",
    "assigned_quantity",
    "breaks",
    "warnings",
}


def test_a_day_without_breaks_is_recorded_and_exits_0(door: Door, tmp_path: Path) -> None:
    answer = door(*run_of(PUBLISHED, tmp_path))
    assert answer.exit_code == 0
    assert answer.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED"
    assert "composite 282[4313]10, digits 4313, fraction 0.4314" in answer.lines
    assert "1 notice for 1 pool, 10 contracts: 10 allocated" in answer.lines
    assert answer.complaints == []
    assert door.recorded() == [EXAMPLE_RUN]


def test_standard_error_is_empty_where_nothing_is_wrong(door: Door, tmp_path: Path) -> None:
    assert door(*run_of(PUBLISHED, tmp_path)).err == ""


def test_standard_error_of_a_refusal_has_the_refusal_alone(door: Door, tmp_path: Path) -> None:
    text = door(*wrong_day(tmp_path))
    assert text.err.startswith("Refused, nothing recorded: ")
    assert door(*wrong_day(tmp_path), "--json").err == ""


def test_a_day_with_breaks_is_recorded_and_exits_4_with_both_figures(door: Door) -> None:
    answer = door(*example_arguments())
    assert answer.exit_code == 4
    assert answer.lines[0] == f"Run {EXAMPLE_RUN} is recorded: ALLOCATED_WITH_BREAKS"
    assert (
        "24 notices for 17 pools, 1,843 contracts: 1,818 allocated, 25 in 1 break" in answer.lines
    )
    assert "EXCEEDS_SHORT C GE1 240920C00160000 25 22" in answer.lines
    assert door.recorded() == [EXAMPLE_RUN]


def test_the_document_of_a_run_has_the_keys_of_the_contract(door: Door) -> None:
    answer = door(*example_arguments(), "--json")
    document = answer.document
    assert answer.exit_code == 4
    assert answer.complaints == []
    assert document.keys() >= RUN_KEYS
    assert document["run"] == EXAMPLE_RUN
    assert document["state"] == "ALLOCATED_WITH_BREAKS"
    assert document["already_recorded"] is False
    assert document["business_date"] == "2024-09-16"
    assert document["cycle"] == 1
    assert (document["pool_count"], document["notice_count"]) == (17, 24)
    assert document["assigned_quantity"] == 1843
    assert document["breaks"] == [
        {
            "occ_account": "C",
            "series": "GE1   240920C00160000",
            "reason": "EXCEEDS_SHORT",
            "assigned_quantity": 25,
            "total_short": 22,
        }
    ]
    assert document["warnings"] == []


def test_composite_digits_and_fraction_are_text(door: Door, tmp_path: Path) -> None:
    document = door(*run_of(PUBLISHED, tmp_path), "--json").document
    seed = [document[name] for name in ("composite", "digits", "fraction")]
    assert seed == ["282431310", "4313", "0.4314"]


@pytest.mark.parametrize(("day", "exit_code"), [(PUBLISHED, 0), (FULL, 4)])
def test_the_same_command_again_finds_its_run_and_exits_with_the_runs_own_code(
    door: Door, tmp_path: Path, day: SmallDay, exit_code: int
) -> None:
    command = run_of(day, tmp_path)
    first = door(*command, "--json")
    again = door(*command)
    document = door(*command, "--json").document
    assert [first.exit_code, again.exit_code] == [exit_code, exit_code]
    assert again.lines[0] == f"Run {EXAMPLE_RUN} was already recorded: {document['state']}"
    assert document["already_recorded"] is True
    assert {**document, "already_recorded": False} == first.document
    assert door.recorded() == [EXAMPLE_RUN]


def test_the_same_day_in_another_format_and_order_is_the_same_run(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(FULL, tmp_path / "csv"))
    answer = door(*run_of(FULL.shuffled(7), tmp_path / "parquet", ".parquet"), "--json")
    assert (answer.exit_code, answer.document["already_recorded"]) == (4, True)


def test_a_second_cycle_with_other_pools_is_a_second_run(door: Door, tmp_path: Path) -> None:
    later = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)])
    door(*run_of(PUBLISHED, tmp_path / "first"))
    answer = door(*run_of(later, tmp_path / "second"), "--cycle", 2, "--json")
    assert (answer.exit_code, answer.document["run"]) == (0, "2024-09-16-002")
    assert answer.document["cycle"] == 2


def test_a_warning_is_told_beside_the_run(door: Door, tmp_path: Path) -> None:
    day = replace(PUBLISHED, notices=[notice("A1", AAPL, 10, "C")])
    command = run_of(day, tmp_path)
    answer = door(*command)
    document = door(*command, "--json").document
    assert "their pools do not meet [P3]" in answer.out
    assert [warning["code"] for warning in document["warnings"]] == ["OCC_ACCOUNT_ON_ONE_SIDE"]
    assert [broken["reason"] for broken in document["breaks"]] == ["NO_POSITION"]


def wrong_day(directory: Path) -> list[str]:
    """A day with something wrong in each of its files."""
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


PLACES_OF_THE_WRONG_DAY = [
    ("notices.csv", 2, 3, "quantity"),
    ("notices.csv", 3, 4, "notice_id"),
    ("positions.csv", 2, 3, "account"),
    ("positions.csv", 3, 4, "series"),
    ("positions.csv", 4, 5, "account"),
    ("volumes.csv", None, None, None),
    ("volumes.csv", 1, 2, "ask_price"),
    ("volumes.csv", 4, 5, "security_number"),
]


def test_a_refusal_lists_every_problem_with_file_and_row_and_exits_3(
    door: Door, tmp_path: Path
) -> None:
    answer = door(*wrong_day(tmp_path))
    lines = answer.complaints
    assert answer.exit_code == 3
    assert answer.out == ""
    assert lines[0] == "Refused, nothing recorded: 8 problems (INVALID_INPUT)"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        f"  {source}, row {row} (line {line}), {column}" if row else f"  {source}"
        for source, row, line, column in PLACES_OF_THE_WRONG_DAY
    ]
    assert door.recorded() == []


def test_the_document_of_a_refusal_has_every_problem(door: Door, tmp_path: Path) -> None:
    answer = door(*wrong_day(tmp_path), "--json")
    document = answer.document
    assert answer.exit_code == 3
    assert answer.complaints == []
    assert (document["reason"], document["problem_count"]) == ("INVALID_INPUT", 8)
    assert [
        (problem["file"], problem["row"], problem["line"], problem["column"])
        for problem in document["problems"]
    ] == PLACES_OF_THE_WRONG_DAY
    assert all(problem["message"] for problem in document["problems"])


def test_a_refusal_makes_no_ledger_and_no_files(tmp_path: Path) -> None:
    command = wrong_day(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert lottery(*command).exit_code == 3
    assert set(tmp_path.rglob("*")) == before


def test_problems_past_the_hundredth_of_a_file_are_counted(door: Door, tmp_path: Path) -> None:
    day = replace(
        PUBLISHED, positions=[position(AAPL, str(number), "x") for number in range(1, 251)]
    )
    command = run_of(day, tmp_path)
    text, document = door(*command), door(*command, "--json").document
    assert text.complaints[0].startswith("Refused, nothing recorded: 250 problems")
    assert text.complaints[-1] == "  and 150 more"
    assert (document["problem_count"], len(document["problems"])) == (250, 100)


def test_problems_of_two_files_of_one_name_can_be_told_apart(tmp_path: Path) -> None:
    day = replace(
        PUBLISHED, notices=[notice("A1", AAPL, "x")], positions=[position(AAPL, "1", "x")]
    )
    paths = write_files(day, tmp_path)
    for role in ("notices", "positions"):
        (tmp_path / role).mkdir()
        paths[role] = paths[role].rename(tmp_path / role / "2024-09-16.csv")
    problems = lottery(*run_arguments(paths), "--json").document["problems"]
    assert len({problem["file"] for problem in problems}) == 2


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("notices", "gone.csv", "no such file"),
        ("positions", "gone.parquet", "no such file"),
        ("volumes", "gone.json", "no such file"),
        ("notices", "notices.xls", "notices must be a .csv or .parquet or .xml file, got '.xls'"),
        ("positions", "positions", "positions must be a .csv or .parquet file, got no suffix"),
        ("volumes", "volumes", "volumes must be a .csv or .json file, got no suffix"),
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
    assert answer.complaints == [
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
    _, problem = door(*run_arguments(paths)).complaints
    assert problem.startswith(f"  {name}, row 1")
    assert problem.endswith(
        f"account: expected an account number of 1 to 30 digits, got '{'7' * 31}' [R2]"
    )


def test_a_date_before_the_method_is_refused_as_not_in_force(door: Door, tmp_path: Path) -> None:
    command = run_arguments(write_files(PUBLISHED, tmp_path), "2024-09-05")
    text, answer = door(*command), door(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [3, 3]
    assert "business_date: business date must be 2024-09-06 or later" in text.err
    assert answer.document["reason"] == "METHOD_NOT_IN_FORCE"
    assert door.recorded() == []


def test_volumes_that_make_no_seed_are_refused_as_such(door: Door, tmp_path: Path) -> None:
    asks = dict.fromkeys(PUBLISHED.asks, "0.10000")
    answer = door(*run_of(replace(PUBLISHED, asks=asks), tmp_path), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (3, "INVALID_SEED")
    assert [problem["file"] for problem in answer.document["problems"]] == ["volumes.csv"]


CONFLICTS = {
    "SEED_CONFLICT": replace(PUBLISHED.renamed("B"), asks=OTHER_ASKS),
    "NOTICE_ALREADY_ALLOCATED": replace(
        PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)]
    ),
    "POOL_ALREADY_ALLOCATED": PUBLISHED.renamed("B"),
}


@pytest.mark.parametrize("reason", CONFLICTS)
def test_a_conflict_exits_5_with_its_reason_and_the_run_that_stands(
    door: Door, tmp_path: Path, reason: str
) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    command = run_of(CONFLICTS[reason], tmp_path / "second")
    text, answer = door(*command), door(*command, "--json")
    assert [text.exit_code, answer.exit_code] == [5, 5]
    assert (text.out, answer.complaints) == ("", [])
    assert text.err.rstrip().endswith(f"; nothing is recorded ({reason})")
    assert EXAMPLE_RUN in text.err
    assert (answer.document["reason"], answer.document["run"]) == (reason, EXAMPLE_RUN)
    assert door.recorded() == [EXAMPLE_RUN]


def test_other_volumes_on_another_date_are_no_conflict(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    next_day = replace(PUBLISHED, asks=OTHER_ASKS, date=NEXT_DATE)
    assert door(*run_of(next_day, tmp_path / "second")).exit_code == 0
    assert door.recorded() == [EXAMPLE_RUN, "2024-09-17-001"]


@pytest.mark.parametrize(
    ("option", "choice", "decision"),
    [
        ("--account-order", "code-point", "account_order"),
        ("--zero-hit", "first", "zero_hit"),
    ],
)
def test_a_choice_of_the_method_is_recorded_and_replays(
    door: Door, tmp_path: Path, option: str, choice: str, decision: str
) -> None:
    answer = door(*run_of(FULL, tmp_path), option, choice)
    assert answer.exit_code == 4
    decisions = door("show", "latest", "--json").document["method"]["decisions"]
    assert decisions[decision] == choice
    assert door("replay", "latest").exit_code == 0


def test_accounts_in_code_point_order_get_other_numbers(door: Door, tmp_path: Path) -> None:
    accounts: dict[str, list[Any]] = {}
    for order, day in (("numeric", FULL), ("code-point", replace(FULL, date=NEXT_DATE))):
        door(*run_of(day, tmp_path / order), "--account-order", order)
        working = door("explain", "latest", "--series", META, "--json").document
        accounts[order] = [account["account"] for account in working["accounts"]]
    assert accounts["numeric"] == ["0042", "1993", "48213", "2381947"]
    assert accounts["code-point"] == ["0042", "1993", "2381947", "48213"]


def test_the_same_day_with_another_choice_is_not_the_same_run(door: Door, tmp_path: Path) -> None:
    command = run_of(FULL, tmp_path)
    door(*command)
    answer = door(*command, "--zero-hit", "first", "--json")
    assert (answer.exit_code, answer.document["reason"]) == (5, "NOTICE_ALREADY_ALLOCATED")


def test_a_locked_ledger_exits_75_and_the_same_command_later_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "0.05")
    door = files_of(tmp_path / "ledger")
    _the_lock_is_told(door, tmp_path)


def test_lock_seconds_that_are_none_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "soon")
    answer = lottery(*run_of(PUBLISHED, tmp_path / "in"))
    assert answer.exit_code == 2
    assert "LOTTERY_LOCK_SECONDS must be a number of seconds, got 'soon'" in answer.told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("limit", ["4GB", "-1", "\u0661"])
def test_a_memory_limit_that_is_none_is_wrong_usage(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_MEMORY_LIMIT_BYTES", limit)
    answer = lottery(*run_of(PUBLISHED, tmp_path / "in"))
    assert answer.exit_code == 2
    assert f"LOTTERY_MEMORY_LIMIT_BYTES must be a number of bytes, got '{limit}'" in answer.told


def test_a_day_past_the_memory_limit_exits_3_and_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_MEMORY_LIMIT_BYTES", "1000000")
    answer = lottery("--ledger", str(tmp_path / "ledger"), *run_of(PUBLISHED, tmp_path / "in"))
    assert answer.exit_code == 3
    assert "positions.csv: the day needs about 0.4 GiB of memory" in answer.told
    assert "LOTTERY_MEMORY_LIMIT_BYTES" in answer.told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_ledger_that_is_a_file_exits_2_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        door = files_of(place)
        text, answer = (
            door(*run_of(PUBLISHED, tmp_path / "in"), *form) for form in ([], ["--json"])
        )
        assert [text.exit_code, answer.exit_code] == [2, 2]
        assert text.err == f"expected a directory at {place}; check --ledger (LEDGER_NOT_FOUND)\n"
        assert answer.document == {
            "reason": "LEDGER_NOT_FOUND",
            "message": f"expected a directory at {place}; check --ledger",
        }
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_locked_ledger_behind_a_server_exits_75_as_well(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger", lock_seconds=0.05) as door:
        _the_lock_is_told(door, tmp_path)


def _the_lock_is_told(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    command = run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "second")
    with write_lock(door.ledger):
        text, answer = door(*command), door(*command, "--json")
        assert [text.exit_code, answer.exit_code] == [75, 75]
        assert text.told == (
            f"another process is writing to {door.ledger}; nothing is recorded (LEDGER_BUSY)"
        )
        assert answer.document["reason"] == "LEDGER_BUSY"
        assert door("runs", "--json").exit_code == 0
    assert door.recorded() == [EXAMPLE_RUN]
    assert door(*command).exit_code == 0


def test_a_ledger_that_is_no_database_exits_6_and_is_left_alone(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    (ledger / DATABASE).write_text("no database at all, but long enough to be taken for one" * 9)
    before = (ledger / DATABASE).read_bytes()
    answer = files_of(ledger)(*run_of(PUBLISHED, tmp_path), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (6, "LEDGER_DAMAGED")
    assert (ledger / DATABASE).read_bytes() == before


def test_a_run_that_stands_cannot_be_deleted_behind_the_commands(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(PUBLISHED, tmp_path))
    with (
        sqlite3.connect(door.ledger / DATABASE) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute("DELETE FROM runs")
    connection.close()
    assert door.recorded() == [EXAMPLE_RUN]


@pytest.mark.parametrize("date", ["2024-9-16", "20240916", "2024-02-30", "16.09.2024", "today", ""])
def test_a_date_written_otherwise_is_wrong_usage_and_touches_nothing(
    tmp_path: Path, date: str
) -> None:
    command = run_arguments(write_files(PUBLISHED, tmp_path), date)
    before = set(tmp_path.rglob("*"))
    answer = lottery(*command, "--output", "out")
    assert answer.exit_code == 2
    assert f"expected a date as YYYY-MM-DD, got '{date}'" in answer.told
    assert set(tmp_path.rglob("*")) == before


def test_a_wrong_date_is_told_before_the_files_are_read(tmp_path: Path) -> None:
    gone = dict.fromkeys(("notices", "positions", "volumes"), tmp_path / "gone.csv")
    assert lottery(*run_arguments(gone, "2024-13-01")).exit_code == 2


def test_the_example_is_what_the_commands_of_the_tests_run() -> None:
    assert {path.name for path in EXAMPLE.glob("*.csv")} == {
        "notices.csv",
        "positions.csv",
        "volumes.csv",
    }
