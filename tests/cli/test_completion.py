"""What a shell offers while a command is typed, by processes as a shell starts them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.calls import EXAMPLE_RUN, Door

_AS_LOTTERY = "import sys; sys.argv = ['lottery']; from lottery.cli.main import main; main()"


def offered(*typed: str) -> list[str]:
    """Return what bash is offered for the last of the words."""
    asked = {
        "_LOTTERY_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("lottery", *typed)),
        "COMP_CWORD": str(len(typed)),
    }
    done = subprocess.run(
        [sys.executable, "-c", _AS_LOTTERY],
        env={**os.environ, **asked},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_the_ids_of_runs_are_offered(reader: Door, example_server: Door) -> None:
    for door in (reader, example_server):
        assert offered(*door.options, "show", "") == ["latest", EXAMPLE_RUN]
        assert offered("export", *door.options, "2024-") == [EXAMPLE_RUN]
    assert offered("explain", *reader.options, "2025-") == []
    assert offered("replay", *reader.options, "la") == ["latest"]


def test_a_ledger_that_cannot_be_read_offers_no_run_and_says_nothing() -> None:
    assert offered("--ledger", "nowhere", "show", "2") == []
    assert offered("--server", "127.0.0.1:9", "show", "2") == []
    assert offered("--ledger", "mysql://x", "show", "2") == []


def test_commands_are_offered() -> None:
    assert "verify" in offered("ver")
