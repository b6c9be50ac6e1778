"""`lottery trail`: who did what, when, and with which software; what only looks is not in it."""

from __future__ import annotations

import datetime as dt
import getpass
import importlib.metadata
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from lottery.tlog.keys import create_key_file
from tests.builders import AAPL, NEXT_DATE, PUBLISHED, position
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    Door,
    files_in,
    files_of,
    flip_a_bit,
    lottery,
    run_of,
    serving,
    trail_of,
)
from tests.cli.test_run import CONFLICTS, wrong_day

OPERATIONS = [
    "LEDGER_MADE",
    "RUN_RECORDED",
    "RUNS_REPLAYED",
    "RUNS_REPLAYED",
    "RUN_EXPORTED",
    "CHECKPOINT_COSIGNED",
]


def entries_of(door: Door) -> list[dict[str, Any]]:
    """The trail, asked for where the ledger is."""
    answer = files_of(door.ledger)("trail", "--json")
    assert (answer.exit_code, answer.err) == (0, "")
    entries: list[dict[str, Any]] = answer.document["entries"]
    return entries


def work_through(door: Door, tmp_path: Path) -> None:
    """One of each operation that is an entry."""
    door(*run_of(PUBLISHED, tmp_path / "in"))
    door("replay", "latest")
    door("replay", "--from", "2024-09-16", "--to", "2024-09-16", "--engine", "sql")
    door("export", EXAMPLE_RUN, "run.zip")
    create_key_file(tmp_path / "officer.key", "example.org/officer")
    assert files_of(door.ledger)("cosign", "--key", tmp_path / "officer.key").exit_code == 0


def test_every_operation_that_writes_and_every_export_and_replay_is_an_entry(
    door: Door, tmp_path: Path
) -> None:
    work_through(door, tmp_path)
    key = door("keys", "--json").document["public_key"]
    told = [(entry["operation"], entry["subject"], entry["outcome"]) for entry in entries_of(door)]
    assert [operation for operation, _, _ in told] == OPERATIONS
    assert told[:5] == [
        ("LEDGER_MADE", key, "made"),
        ("RUN_RECORDED", EXAMPLE_RUN, "ALLOCATED"),
        ("RUNS_REPLAYED", EXAMPLE_RUN, "matches (compiled)"),
        ("RUNS_REPLAYED", "2024-09-16 to 2024-09-16", "1 of 1 match (sql)"),
        ("RUN_EXPORTED", EXAMPLE_RUN, "exported"),
    ]
    assert told[5][2].startswith("signed by example.org/officer+")


def test_an_entry_has_the_moment_the_identity_and_the_softwares_version(
    door: Door, tmp_path: Path
) -> None:
    before = dt.datetime.now(dt.UTC)
    work_through(door, tmp_path)
    after = dt.datetime.now(dt.UTC)
    entries = entries_of(door)
    moments = [dt.datetime.fromisoformat(entry["at"]) for entry in entries]
    # The server of the other way was started, and its ledger made, before the test.
    assert before <= moments[1]
    assert moments == sorted(moments)
    assert moments[-1] <= after
    version = importlib.metadata.version("options-assignment-lottery")
    assert all(entry["at"].endswith("Z") for entry in entries)
    assert {entry["software"]["version"] for entry in entries} == {version}
    here = {"kind": "system-user", "name": getpass.getuser(), "host": socket.gethostname()}
    for entry in entries:
        by_the_server = "--server" in door.options and entry["operation"] in OPERATIONS[1:5]
        if by_the_server:
            assert (entry["by"]["kind"], entry["by"]["name"]) == ("peer", "unauthenticated")
            assert entry["by"]["host"].startswith("ipv4:127.0.0.1:")
        else:
            assert entry["by"] == here


def test_the_trail_is_told_line_by_line(tmp_path: Path) -> None:
    door = files_of(tmp_path / "ledger")
    work_through(door, tmp_path)
    text = door("trail")
    assert (text.exit_code, text.err) == (0, "")
    version = importlib.metadata.version("options-assignment-lottery")
    who = f"{getpass.getuser()} on {socket.gethostname()}"
    for entry in entries_of(door):
        if entry["operation"] not in ("LEDGER_MADE", "CHECKPOINT_COSIGNED"):  # They are folded.
            when = entry["at"][:19].replace("T", " ")
            words = [entry[name] for name in ("operation", "subject", "outcome")]
            assert f"{when} {' '.join(words)} {who} {version}" in text.lines
    assert [line for line in text.lines if "LEDGER_MADE" in line]


def test_what_only_looks_is_no_entry_and_changes_nothing(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    before = files_in(door.ledger)
    for command in (
        ["runs"],
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--series", AAPL],
        ["seed", "--volumes", str(EXAMPLE / "volumes.csv")],
        ["verify"],
        ["keys"],
        run_of(PUBLISHED, tmp_path / "in"),
    ):
        assert door(*command).exit_code == 0
    assert files_of(door.ledger)("trail").exit_code == 0
    assert files_in(door.ledger) == before


def test_what_was_refused_is_no_entry(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    before = files_in(door.ledger)
    commands = {
        3: wrong_day(tmp_path / "wrong"),
        5: run_of(CONFLICTS["POOL_ALREADY_ALLOCATED"], tmp_path / "conflict"),
        2: ["export", "2024-09-16-009", "run.zip"],
        75: ["export", "latest", "nowhere/run.zip"],
    }
    for exit_code, command in commands.items():
        assert door(*command).exit_code == exit_code
    assert door("replay", "2024-09-16-009").exit_code == 2
    assert door("replay", "--from", "2030-01-01").exit_code == 2
    assert files_in(door.ledger) == before


def test_a_replay_that_differs_is_told_as_such(tampered: Door) -> None:
    flip_a_bit(tampered.ledger / f"evidence/2024-09-16/{EXAMPLE_RUN}/pools.parquet")
    before = trail_of(tampered.ledger)
    assert tampered("replay", "latest").exit_code == 6
    assert tampered("replay", "--all").exit_code == 6
    assert trail_of(tampered.ledger)[len(before) :] == [
        ("RUNS_REPLAYED", EXAMPLE_RUN, "differs (compiled)"),
        ("RUNS_REPLAYED", "the first date to the last date", "0 of 1 match (compiled)"),
    ]


def test_a_superseding_run_is_an_entry_as_every_run(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    corrected = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)])
    command = run_of(corrected, tmp_path / "corrected")
    door(*command, "--supersede", "latest", "--reason", "an account was missing")
    assert trail_of(door.ledger) == [
        ("RUN_RECORDED", EXAMPLE_RUN, "ALLOCATED"),
        ("RUN_RECORDED", "2024-09-16-002", "ALLOCATED"),
    ]


def test_the_bundle_of_another_firm_leaves_no_entry_here(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    door("export", "latest", "run.zip")
    before = files_in(door.ledger)
    assert door("replay", "run.zip").exit_code == 0
    assert files_in(door.ledger) == before


def test_the_trail_of_a_ledger_in_which_nothing_is_recorded_says_who_made_it(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "ledger") as server:
        (entry,) = entries_of(server)
    assert entry["operation"] == "LEDGER_MADE"
    assert entry["by"]["name"] == getpass.getuser()


def test_entries_of_several_days_stand_in_the_order_of_their_making(
    door: Door, tmp_path: Path
) -> None:
    for day in (replace(PUBLISHED, date=NEXT_DATE), PUBLISHED):
        door(*run_of(day, tmp_path / day.date.isoformat()))
    runs = [subject for operation, subject, _ in trail_of(door.ledger)]
    assert runs == ["2024-09-17-001", EXAMPLE_RUN]
    assert lottery("--ledger", door.ledger, "verify").exit_code == 0
