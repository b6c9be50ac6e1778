"""`lottery charter`, `rebuild`, `copy`, `sweep`, `watch`, `keys rotate`.

What they do is in `tests/operations/test_care.py`: here is what they print, and their exit codes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import TESTER, opened
from tests.cli.calls import Door, fails, public_key, succeeds

WIDTH = 80


def assert_narrow(lines: list[str]) -> None:
    """Assert that a text fits a terminal, but for keys and paths, which are one word."""
    assert all(len(line) <= WIDTH or " " not in line for line in lines)


def test_the_charter_in_force_is_shown_before_those_it_replaces(tampered: Door) -> None:
    amend = ("charter", "amend", "--from", "2024-10-01", "--decision", "zero_hit=first")
    answer = tampered(*amend, "--approval-reference", "memo 12", "--json")
    assert answer.exit_code == 0
    assert answer.document["method"]["decisions"]["zero_hit"] == "first"

    text, document = succeeds(tampered, "charter")

    titles = [line for line in text.lines if line.startswith("jpms")]
    assert titles == [
        "jpms-2024-09-06, from 2024-10-01 on",
        "jpms-2024-09-06, from the beginning",
    ]
    assert "approval: memo 12" in text.lines
    assert [one["holds_from"] for one in document["charters"]] == [None, "2024-10-01"]
    assert_narrow(text.out.splitlines())


def test_a_charter_for_a_date_that_has_a_run_is_refused(tampered: Door) -> None:
    amend = ("charter", "amend", "--from", "2024-09-16", "--decision", "zero_hit=first")

    fails(tampered, *amend, exit_code=3, reason="INVALID_INPUT")


def test_a_rotated_key_is_the_one_that_is_printed(tampered: Door) -> None:
    before = public_key(tampered.ledger)

    document = tampered("keys", "rotate", "--json").document

    assert document["public_key"] == public_key(tampered.ledger) != before
    assert tampered("keys").lines == [document["public_key"]]
    assert tampered("verify").exit_code == 0
    assert_narrow(tampered("keys", "rotate").out.splitlines())


def test_a_lost_database_is_made_again(tampered: Door) -> None:
    fails(tampered, "rebuild", exit_code=3, reason="INVALID_INPUT")
    (tampered.ledger / DATABASE).unlink()
    assert tampered("runs").exit_code == 2

    text = tampered("rebuild")

    assert (text.exit_code, text.lines[1]) == (0, "2 entries, 1 run")
    assert_narrow(text.out.splitlines()[1:])
    assert tampered("verify").exit_code == 0


def test_files_that_are_not_sound_are_not_made_a_database(tampered: Door) -> None:
    (tampered.ledger / DATABASE).unlink()
    (tampered.ledger / "log/heads/000000000001").unlink()

    fails(tampered, "rebuild", exit_code=6, reason="LEDGER_DAMAGED")


def test_a_copy_says_that_the_private_key_stays(tampered: Door, tmp_path: Path) -> None:
    text = tampered("copy", "--to", tmp_path / "new")

    assert text.exit_code == 0
    assert "The private key is not copied" in text.lines[-1]
    assert_narrow(text.out.splitlines()[1:])
    other = Door(ledger=tmp_path / "new", options=("--ledger", str(tmp_path / "new")))
    assert other("verify", "--key", public_key(tampered.ledger)).exit_code == 0
    assert other("runs", "--json").out == tampered("runs", "--json").out
    document = tampered("copy", "--to", tmp_path / "third", "--json").document
    assert document["private_key_copied"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_prints_a_line_when_the_figures_change_and_ends_quietly(
    tampered: Door, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "lottery.cli.main", *tampered.options, "watch"]
    with subprocess.Popen(
        [*command, "--interval", "0.05", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            before = json.loads(process.stdout.readline())["published"]
            opened(tampered.ledger).enter("report", "a", "b", TESTER)
            while (line := json.loads(process.stdout.readline()))["published"] == before:
                pass
            assert [line["committed"], line["published"]] == [before + 1, before + 1]
            process.send_signal(number)
            rest, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, b"", b"")
