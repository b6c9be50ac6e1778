"""The command `lottery run` in forked processes, and whether what it says is true."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Final

from lottery.cli.main import main
from tests.builders import opened
from tests.faults import look, traced

RUN: Final = "2024-09-16-001"
TRY_AGAIN: Final = 75
BREAKS: Final = 4
"""The exit code of a run of `FULL`, which has a break."""
_KILLED: Final = -9


def checked(ledger: Path, ended: traced.Ended) -> str:
    """Assert that what a command said is true, and return how it ended."""
    there = opened(ledger)
    recorded = any(record.run == RUN for record in there.iterate())
    if ended.code == BREAKS:
        assert recorded, ended.said
        assert look.is_published(there), ended.said
        assert json.loads(ended.said)["run"] == RUN
    elif ended.code != _KILLED:
        assert ended.code == TRY_AGAIN, f"{ended.code}: {ended.said}"
        said = json.loads(ended.said)
        # Nothing else says that something was recorded.
        assert (said["reason"] == "LEDGER_UNFINISHED") == recorded, (recorded, said)
    return f"{ended.code} {'recorded' if recorded else 'nothing'}"


def warm_up(folder: Path) -> None:
    """Give the command once in this process, so that no other process loads anything more."""
    lottery(folder, folder / "warm", "init")
    sys.argv = ["lottery", f"--ledger={folder / 'warm'}", *run("2024-09-16", folder / "in")]
    with redirect_stdout(io.StringIO()), suppress(SystemExit):
        main()


def run(date: str, files: Path) -> tuple[str, ...]:
    options = (f"--{role}={files / role}.csv" for role in ("notices", "positions", "volumes"))
    # The files are those of a recorded date too.
    codes = ("STALE_VOLUMES", "NOTICE_ON_ANOTHER_DATE")
    known = (*(f"--acknowledge={code}" for code in codes), "--reason=it is a test")
    return ("run", f"--date={date}", *options, *known, "--json")


def lottery(
    folder: Path, ledger: Path, *arguments: str, inject: str = "", record: bool = False
) -> traced.Ended:
    """Give a command in a forked process, traced if its calls are to be recorded or to fail."""

    def command() -> int:
        sys.argv = ["lottery", f"--ledger={ledger}", *arguments]
        main()
        return 0

    if record or inject:
        return traced.traced(command, folder, inject=inject)
    return traced.forked(command, folder)
