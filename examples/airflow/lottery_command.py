"""`lottery` as a scheduler calls it: a command, its exit code, its answer.

There is nothing of Airflow in here, so that whatever schedules in Python may use it, and so that
the tests run it against the real command. The lottery has an environment of its own: the scheduler
needs neither its packages nor its Python, only its program.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

PROGRAM = "LOTTERY_PROGRAM"
"""Names the command where it is not on the path, as `/opt/lottery/bin/lottery`."""
SUFFIXES = {
    "notices": (".xml", ".parquet", ".csv"),
    "positions": (".parquet", ".csv"),
    "volumes": (".json", ".csv"),
    "occ_positions": (".xml",),
}
"""A role's files by their suffixes; the first that is there is taken."""
OPTIONAL = frozenset({"occ_positions"})


class Verdict(StrEnum):
    """What a scheduler does about an exit code."""

    GO_ON = "go on"
    GO_ON_AND_TELL = "go on, and tell somebody of the breaks"
    TRY_AGAIN = "try the same command again later"
    FAIL = "call somebody; the same command again gives the same answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command answered.

    Attributes:
        exit_code: Its exit code.
        document: Its JSON document; empty where it printed none.
        complaints: What it said on standard error.
    """

    exit_code: int
    document: dict[str, Any]
    complaints: str

    @property
    def told(self) -> str:
        """The answer in a line or more, for a log or a page to somebody."""
        faults = [
            f"{fault['where']}: {fault['problem']}" for fault in self.document.get("faults", ())
        ]
        said = self.document.get("message") or "\n".join(faults) or self.complaints
        reason = self.document.get("reason", f"exit code {self.exit_code}")
        return f"{reason}: {said}"


def verdict_of(exit_code: int) -> Verdict:
    """What to do about an exit code of `lottery`; docs/OPERATIONS.md has the table."""
    match exit_code:
        case 0:
            return Verdict.GO_ON
        case 4:
            return Verdict.GO_ON_AND_TELL
        case 75:
            return Verdict.TRY_AGAIN
        case _:
            return Verdict.FAIL


def assign(home: Path, business_date: str) -> Answer:
    """Allocates a date's files and records it; files that are not there yet are tried again.

    Args:
        home: The folder that has `in/DATE` and gets `out/DATE`; the ledger is in it too, unless
            `LOTTERY_LEDGER` names another one.
        business_date: The date, as YYYY-MM-DD.
    """
    files = files_of(home / "in" / business_date)
    missing = [role for role in SUFFIXES if role not in files and role not in OPTIONAL]
    if missing:
        message = f"{home / 'in' / business_date} has no {', '.join(missing)} yet"
        return Answer(exit_code=75, document={}, complaints=message)
    options = [text for role, file in files.items() for text in (_option(role), str(file))]
    output = str(home / "out" / business_date)
    return ask(home, "run", "--date", business_date, *options, "--output", output)


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a date by their roles, as far as they are there."""
    found = {
        role: [folder / f"{role}{suffix}" for suffix in suffixes]
        for role, suffixes in SUFFIXES.items()
    }
    return {
        role: next(file for file in files if file.exists())
        for role, files in found.items()
        if any(file.exists() for file in files)
    }


def ask(home: Path, *arguments: str) -> Answer:
    """Gives a command and reads its JSON document."""
    environment = {"LOTTERY_LEDGER": str(home / "lottery-ledger"), **os.environ}
    program = shlex.split(os.environ.get(PROGRAM, "lottery"))
    done = subprocess.run(
        [*program, "--json", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    return Answer(exit_code=done.returncode, document=document, complaints=done.stderr.strip())


def _option(role: str) -> str:
    return f"--{role.replace('_', '-')}"
