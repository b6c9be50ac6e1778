"""`lottery trail`: who did what, when, and with which software; what only reads is not in it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.builders import AAPL, PUBLISHED, record_in, request_of
from tests.cli.calls import (
    CONFLICTS,
    EXAMPLE,
    EXAMPLE_RUN,
    UNKNOWN_RUN,
    Door,
    evidence_file,
    files_in,
    files_of,
    flip_a_bit,
    run_of,
    trail_of,
)
from tests.cli.test_run import wrong_day


def entries_of(door: Door) -> list[dict[str, Any]]:
    """Return the trail, which a server has as the ledger's files have it."""
    answer = files_of(door.ledger)("trail", "--json")
    assert (answer.exit_code, answer.err) == (0, "")
    assert door("trail", "--json") == answer
    assert door("trail") == files_of(door.ledger)("trail")
    entries: list[dict[str, Any]] = answer.document["entries"]
    return entries


def test_every_operation_that_writes_and_every_export_and_replay_is_an_entry(
    either: Door, tmp_path: Path
) -> None:
    before = dt.datetime.now(dt.UTC)
    either(*run_of(PUBLISHED, tmp_path / "in"))
    either("replay", "latest")
    either("replay", "--from", "2024-09-16", "--to", "2024-09-16", "--engine", "sql")
    either("export", EXAMPLE_RUN, "run.zip")
    files = files_of(either.ledger)
    after = dt.datetime.now(dt.UTC)

    entries = entries_of(either)
    assert [(entry["type"], entry.get("subject"), entry.get("outcome")) for entry in entries] == [
        ("charter", None, None),
        ("replay", EXAMPLE_RUN, "matches (compiled)"),
        ("replay", "2024-09-16 to 2024-09-16", "1 of 1 match (sql)"),
        ("export", EXAMPLE_RUN, "exported"),
    ]
    moments = [dt.datetime.fromisoformat(entry["recorded_at"]) for entry in entries]
    # The ledger was made before the test.
    assert before <= moments[1]
    assert moments == sorted(moments)
    assert moments[-1] <= after
    assert all(entry["recorded_at"].endswith("Z") for entry in entries)
    version = importlib.metadata.version("options-assignment-lottery")
    assert {entry["software"]["version"] for entry in entries} == {version}
    who = pwd.getpwuid(os.getuid()).pw_name
    here = {"kind": "system-user", "name": who, "host": socket.gethostname()}
    for entry in entries[1:]:
        if "--server" in either.options:
            by = entry["requested_by"]
            assert (by["kind"], by["name"]) == ("local", "tester")
            assert by["host"].startswith("ipv4:127.0.0.1:")
        else:
            assert entry["requested_by"] == here

    text = files("trail")
    assert (text.exit_code, text.err) == (0, "")
    assert [line for line in text.lines if " charter " in line]
    for entry in entries[1:]:
        if entry["requested_by"] == here:
            when = entry["recorded_at"][:19].replace("T", " ")
            words = " ".join(entry[name] for name in ("type", "subject", "outcome"))
            assert f"{when} {words} {who} on {here['host']} {version}" in text.lines


def test_who_acts_is_the_systems_answer_and_not_a_variable(
    either: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    door = files_of(either.ledger)
    door(*run_of(PUBLISHED, tmp_path / "in"))
    door("replay", "latest")
    name = pwd.getpwuid(os.getuid()).pw_name
    assert door("show", "latest", "--json").document["requested_by"]["name"] == name
    assert entries_of(door)[-1]["requested_by"]["name"] == name


def test_what_only_reads_or_was_refused_is_no_entry_and_changes_nothing(
    either: Door, tmp_path: Path
) -> None:
    either(*run_of(PUBLISHED, tmp_path / "in"))
    either("export", "latest", "run.zip")
    before = files_in(either.ledger)
    for exit_code, command in (
        (0, ["runs"]),
        (0, ["show", "latest", "--allocations"]),
        (0, ["explain", "latest", "--series", AAPL]),
        (0, ["seed", "--volumes", str(EXAMPLE / "volumes.csv")]),
        (0, ["verify"]),
        (0, ["keys"]),
        (0, ["status"]),
        (0, ["trail"]),
        (0, run_of(PUBLISHED, tmp_path / "in")),
        (0, ["replay", "run.zip"]),  # A bundle may be another firm's.
        (3, wrong_day(tmp_path / "wrong")),
        (5, run_of(CONFLICTS["POPULATION_DIFFERS"], tmp_path / "conflict")),
        (2, ["export", UNKNOWN_RUN, "run.zip"]),
        (2, ["export", "latest", "nowhere/run.zip"]),
        (2, ["replay", UNKNOWN_RUN]),
        (2, ["replay", "--from", "2030-01-01"]),
    ):
        assert either(*command).exit_code == exit_code
    assert files_in(either.ledger) == before


def test_a_replay_that_differs_is_entered_as_such(tampered: Door) -> None:
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    before = trail_of(tampered.ledger)
    assert tampered("replay", "latest").exit_code == 6
    assert tampered("replay", "--all").exit_code == 6
    assert trail_of(tampered.ledger)[len(before) :] == [
        ("replay", EXAMPLE_RUN, "differs (compiled)"),
        ("replay", "the first date to the last date", "0 of 1 match (compiled)"),
    ]


def test_runs_are_entries_of_the_log_and_not_listed_in_the_trail(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(PUBLISHED, tmp_path / "first"))
    (entry,) = entries_of(door)
    assert (entry["type"], entry["requested_by"]["name"]) == ("charter", "tester")


def test_a_further_request_id_of_a_run_is_an_entry_that_names_the_run(tmp_path: Path) -> None:
    request = request_of(PUBLISHED, tmp_path / "in")
    record_in(tmp_path / "ledger", request)
    record_in(tmp_path / "ledger", dataclasses.replace(request, request_id="second"))
    door = files_of(tmp_path / "ledger")
    entry = entries_of(door)[-1]
    assert (entry["type"], entry["request_id"], entry["run"]) == ("request", "second", EXAMPLE_RUN)
    assert any(f" request {EXAMPLE_RUN} " in line for line in door("trail").lines)
