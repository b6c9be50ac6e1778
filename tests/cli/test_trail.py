"""`lottery trail`: who did what, when, and with which software; what only reads is not in it."""

from __future__ import annotations

import datetime as dt
import getpass
import importlib.metadata
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from lottery.tlog.keys import create_key_file
from tests.builders import AAPL, NEXT_DATE, PUBLISHED
from tests.cli.calls import (
    CONFLICTS,
    CORRECTED,
    EXAMPLE,
    EXAMPLE_RUN,
    UNKNOWN_RUN,
    Door,
    evidence_file,
    files_in,
    files_of,
    flip_a_bit,
    run_of,
    superseding,
    trail_of,
)
from tests.cli.test_run import wrong_day

BY_THE_WAY = ("RUN_RECORDED", "RUNS_REPLAYED", "RUN_EXPORTED")
"""Operations that a server does for its caller."""


def entries_of(door: Door) -> list[dict[str, Any]]:
    """Return the trail, which is read from the ledger's files."""
    answer = files_of(door.ledger)("trail", "--json")
    assert (answer.exit_code, answer.err) == (0, "")
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
    create_key_file(tmp_path / "officer.key", "example.org/officer")
    files = files_of(either.ledger)
    assert files("cosign", "--key", tmp_path / "officer.key").exit_code == 0
    after = dt.datetime.now(dt.UTC)
    key = either("keys", "--json").document["public_key"]

    entries = entries_of(either)
    operations = [
        (entry["operation"], entry["subject"], entry["outcome"].partition("+")[0])
        for entry in entries
    ]
    assert operations == [
        ("LEDGER_MADE", key, "made"),
        ("RUN_RECORDED", EXAMPLE_RUN, "ALLOCATED"),
        ("RUNS_REPLAYED", EXAMPLE_RUN, "matches (compiled)"),
        ("RUNS_REPLAYED", "2024-09-16 to 2024-09-16", "1 of 1 match (sql)"),
        ("RUN_EXPORTED", EXAMPLE_RUN, "exported"),
        ("CHECKPOINT_COSIGNED", "1 runs", "signed by example.org/officer"),
    ]
    moments = [dt.datetime.fromisoformat(entry["at"]) for entry in entries]
    # The server of the other way was started, and its ledger made, before the test.
    assert before <= moments[1]
    assert moments == sorted(moments)
    assert moments[-1] <= after
    assert all(entry["at"].endswith("Z") for entry in entries)
    version = importlib.metadata.version("options-assignment-lottery")
    assert {entry["software"]["version"] for entry in entries} == {version}
    here = {"kind": "system-user", "name": getpass.getuser(), "host": socket.gethostname()}
    for entry in entries:
        if "--server" in either.options and entry["operation"] in BY_THE_WAY:
            assert (entry["by"]["kind"], entry["by"]["name"]) == ("peer", "unauthenticated")
            assert entry["by"]["host"].startswith("ipv4:127.0.0.1:")
        else:
            assert entry["by"] == here

    text = files("trail")
    assert (text.exit_code, text.err) == (0, "")
    assert [line for line in text.lines if "LEDGER_MADE" in line]
    who = f"{getpass.getuser()} on {socket.gethostname()}"
    for entry in entries:
        if entry["by"] == here and entry["operation"] in BY_THE_WAY:  # Others are folded.
            when = entry["at"][:19].replace("T", " ")
            words = " ".join(entry[name] for name in ("operation", "subject", "outcome"))
            assert f"{when} {words} {who} {version}" in text.lines


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
        (0, run_of(PUBLISHED, tmp_path / "in")),
        (0, ["replay", "run.zip"]),  # A bundle may be another firm's.
        (3, wrong_day(tmp_path / "wrong")),
        (5, run_of(CONFLICTS["POOL_ALREADY_ALLOCATED"], tmp_path / "conflict")),
        (2, ["export", UNKNOWN_RUN, "run.zip"]),
        (75, ["export", "latest", "nowhere/run.zip"]),
        (2, ["replay", UNKNOWN_RUN]),
        (2, ["replay", "--from", "2030-01-01"]),
    ):
        assert either(*command).exit_code == exit_code
    assert files_of(either.ledger)("trail").exit_code == 0
    assert files_in(either.ledger) == before


def test_a_replay_that_differs_is_entered_as_such(tampered: Door) -> None:
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    before = trail_of(tampered.ledger)
    assert tampered("replay", "latest").exit_code == 6
    assert tampered("replay", "--all").exit_code == 6
    assert trail_of(tampered.ledger)[len(before) :] == [
        ("RUNS_REPLAYED", EXAMPLE_RUN, "differs (compiled)"),
        ("RUNS_REPLAYED", "the first date to the last date", "0 of 1 match (compiled)"),
    ]


def test_runs_are_entered_in_the_order_of_their_recording_and_superseding_ones_as_all_others(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    door(*run_of(PUBLISHED, tmp_path / "first"))
    door(*superseding(CORRECTED, tmp_path / "corrected", "latest"))
    assert trail_of(door.ledger) == [
        ("RUN_RECORDED", "2024-09-17-001", "ALLOCATED"),
        ("RUN_RECORDED", EXAMPLE_RUN, "ALLOCATED"),
        ("RUN_RECORDED", "2024-09-16-002", "ALLOCATED"),
    ]
    assert door("verify").exit_code == 0


def test_the_trail_of_a_ledger_in_which_nothing_is_recorded_says_who_made_it(
    both: tuple[Door, Door],
) -> None:
    _, server = both
    (entry,) = entries_of(server)
    assert (entry["operation"], entry["by"]["name"]) == ("LEDGER_MADE", getpass.getuser())
