"""`lottery --server` says and does what `lottery` does by itself: texts, documents, exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, FULL, META, PUBLISHED, SmallDay, notice, position, write_files
from tests.cli.calls import (
    CONFLICTS,
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    UNKNOWN_RUN,
    Answer,
    Door,
    evidence_file,
    example_arguments,
    fails,
    files_of,
    flip_a_bit,
    lottery,
    run_arguments,
    run_of,
    serving,
    swap_first_two,
)
from tests.cli.test_run import wrong_day

BOTH_FORMS = pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
NVDA = "NVDA240920P00130000"
ODDS = ["odds", "--positions", str(EXAMPLE / "positions.csv"), "--series", AAPL]
COMMANDS = [
    ["runs"],
    ["runs", "--from", "2024-09-16", "--to", "2024-09-16"],
    ["runs", "--from", "2024-09-17"],
    ["runs", "--from", "2024-09-17", "--to", "2024-09-16"],
    ["show", EXAMPLE_RUN],
    ["show", "latest", "--allocations"],
    ["show", UNKNOWN_RUN],
    ["show", "yesterday"],
    ["explain", "latest", "--series", AAPL],
    ["explain", "latest", "--series", "XSP240916P00565000"],
    ["explain", "latest", "--series", "GE1240920C00160000"],
    ["explain", "latest", "--series", NVDA, "--occ-account", "F"],
    ["explain", "latest", "--series", NVDA],
    ["explain", "latest", "--account", "1046"],
    ["explain", "latest", "--account", "999"],
    ["explain", "latest", "--series", AAPL, "--occ-account", "Q"],
    ["explain", "latest", "--series", "AAPL"],
    ["replay", "latest"],
    ["replay", "--all"],
    ["replay", "--from", "2024-09-16", "--to", "2024-09-16"],
    ["replay", "--from", "2030-01-01"],
    ["replay", UNKNOWN_RUN],
    ["replay", "latest", "--engine", "sql"],
    ["replay", "latest", "--key", SOMEBODYS_KEY],
    ["seeds"],
    ["seeds", "--from", "2024-09-16", "--to", "2024-09-16"],
    ["verify"],
    ["verify", "--key", SOMEBODYS_KEY],
    ["verify", "--key", "example.org+0000"],
    ["keys"],
    ["export", "latest", "run.zip"],
    ["export", "latest", "nowhere/run.zip"],
    ["export", UNKNOWN_RUN, "run.zip"],
    ["export", "latest", "run.tar"],
    ["report", "latest", "nowhere/run.html"],
    ["seed", "--volumes", str(EXAMPLE / "volumes.csv")],
    ["seed", "--volumes", "gone.csv"],
    [*ODDS, "--quantity", "10"],
    [*ODDS, "--quantity", "10", "--zero-hit", "first", "--account-order", "code-point"],
    [*ODDS, "--quantity", "10", "--account", "1048"],
    [*ODDS, "--quantity", "10", "--account", "7"],
    [*ODDS, "--quantity", "10", "--occ-account", "Q"],
    [*ODDS, "--quantity", "10", "--occ-account", "no blanks"],
    [*ODDS, "--quantity", "66"],
    example_arguments(),
]


@BOTH_FORMS
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:4]))
def test_a_command_is_answered_alike_by_the_files_and_by_a_server(
    reader: Door, example_server: Door, command: list[str], form: list[str]
) -> None:
    answer = reader(*command, *form)
    assert example_server(*command, *form) == answer
    assert answer.out or answer.err


@BOTH_FORMS
@pytest.mark.parametrize(
    "command",
    [
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "latest"],
        ["replay", "--all", "--engine", "sql"],
        ["verify"],
        ["export", "latest", "run.zip"],
        ["report", "latest", "run.html"],
        [*example_arguments(), "--output", "out"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_ledger_that_was_tampered_with_is_reported_alike(
    tampered: Door, command: list[str], form: list[str]
) -> None:
    swap_first_two(evidence_file(tampered.ledger, "allocations.parquet"), "assigned_quantity")
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    with serving(tampered.ledger) as server:
        answer = server(*command, *form)
    assert answer.exit_code == 6
    assert tampered(*command, *form) == answer


def test_a_conflict_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for door in both:
        assert door(*run_of(PUBLISHED, tmp_path / "first")).exit_code == 0
    files, server = both
    for reason, day in CONFLICTS.items():
        command = run_of(day, tmp_path / reason)
        expected = fails(files, *command, exit_code=5, reason=reason)
        assert fails(server, *command, exit_code=5, reason=reason) == expected


WRONG: dict[str, SmallDay] = {
    "an ask": replace(PUBLISHED, asks={**PUBLISHED.asks, "Z901448": "1435.712634"}),
    "no seed": replace(PUBLISHED, asks=dict.fromkeys(PUBLISHED.asks, "0.10000")),
    "an account in another spelling": replace(
        PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "01046", 1)]
    ),
    "a pool past all numbers": replace(
        PUBLISHED, positions=[position(AAPL, str(number), 2**62) for number in (1, 2, 3)]
    ),
    "90 doubled": replace(
        PUBLISHED, positions=[position(AAPL, str(1000 + n % 90), 1) for n in range(180)]
    ),
}


@pytest.mark.parametrize("what", [*WRONG, "all files"])
def test_what_is_wrong_is_reported_by_our_files_rows_either_way(
    both: tuple[Door, Door], tmp_path: Path, what: str
) -> None:
    command = run_of(WRONG[what], tmp_path) if what in WRONG else wrong_day(tmp_path)
    files, server = both
    for form in ([], ["--json"]):
        answer = files(*command, *form)
        assert answer.exit_code == 3
        assert server(*command, *form) == answer
        shown = answer.out + answer.err
        assert "positions.csv" in shown or "volumes.csv" in shown
        assert not any(field in shown for field in ("arrow_", "exchange_asks"))


def test_a_date_before_the_method_is_refused_alike(both: tuple[Door, Door], tmp_path: Path) -> None:
    command = run_arguments(write_files(PUBLISHED, tmp_path), "2024-09-05")
    files, server = (
        fails(door, *command, exit_code=3, reason="METHOD_NOT_IN_FORCE") for door in both
    )
    assert files == server


@pytest.mark.parametrize("what", ["a break", "a warning", "a second cycle"])
def test_a_run_is_shown_alike_but_for_when_and_by_whom(
    both: tuple[Door, Door], tmp_path: Path, what: str
) -> None:
    day = {
        "a break": FULL,
        "a warning": replace(PUBLISHED, notices=[notice("A1", AAPL, 10, "C")]),
        "a second cycle": SmallDay(
            notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)]
        ),
    }[what]
    cycle = 2 if what == "a second cycle" else 1
    codes = ["MOSTLY_BREAKS", "CYCLE_OUT_OF_ORDER"]
    command = [
        *(*run_of(day, tmp_path), "--cycle", str(cycle)),
        *("--acknowledge", *codes, "--reason", "it is a test"),
    ]
    files, server = (door(*command) for door in both)
    assert files.exit_code == server.exit_code
    assert shown_alike(files) == shown_alike(server)
    documents = [door(*command, "--json").document for door in both]
    own = {"recorded_at": "", "charter": ""}
    assert [{**document, **own} for document in documents] == [{**documents[0], **own}] * 2
    assert documents[0]["cycle"] == cycle


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx"])
def test_the_output_has_the_same_bytes_either_way_and_a_run_is_found_by_both(
    tmp_path: Path, form: str
) -> None:
    command = run_of(FULL, tmp_path)
    with serving(tmp_path / "ledger") as server:
        doors = {"server": server, "files": files_of(server.ledger)}
        documents = [
            door(*command, "--output", tmp_path / name, "--format", form, "--json").document
            for name, door in doors.items()
        ]
    own = {"already_recorded": True, "output": str(tmp_path / "files")}
    assert documents[1] == {**documents[0], **own}
    for name in (f"allocations.{form}", f"pools.{form}", "run.json"):
        written = (tmp_path / "server" / name).read_bytes()
        assert (tmp_path / "files" / name).read_bytes() == written


def test_a_server_needs_no_ledger_here(both: tuple[Door, Door], tmp_path: Path) -> None:
    _, server = both
    assert server(*example_arguments()).exit_code == 4
    assert not (tmp_path / "lottery-ledger").exists()


@pytest.mark.parametrize("command", ["run", "odds"])
def test_more_rows_than_the_server_takes_are_refused_by_its_limit(
    tmp_path: Path, command: str
) -> None:
    given = run_of(PUBLISHED, tmp_path) if command == "run" else [*ODDS, "--quantity", "10"]
    with serving(tmp_path / "served", max_rows=2) as server:
        _, document = fails(server, *given, exit_code=3, reason="LIMIT_EXCEEDED")
        assert document["limit"] == "max_rows=2"
        assert server.recorded() == []


def test_a_server_that_went_away_in_between_exits_75(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        assert server(*example_arguments()).exit_code == 4
    answer = lottery(*server.options, "runs")
    assert answer.exit_code == 75


def shown_alike(answer: Answer) -> list[str]:
    """Return the lines but the second, which says when, by whom and under which charter."""
    return [line for number, line in enumerate(answer.lines) if number != 1]


@pytest.mark.parametrize(
    ("trust", "reason"),
    [(None, "UNAUTHENTICATED"), ("ann:auditor", "ROLE_MISSING")],
    ids=["nobody", "no role"],
)
def test_a_caller_without_the_role_exits_2_and_reads_which_is_needed(
    tmp_path: Path, trust: str | None, reason: str
) -> None:
    with serving(tmp_path / "ledger", trust_local=trust) as server:
        text, _ = fails(server, "withdraw", "latest", "--reason", "no", exit_code=2, reason=reason)
    assert "WithdrawRun needs " in text.message
    assert "these roles: operator;" in text.message
