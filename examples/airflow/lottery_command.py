"""`lottery` as a scheduler calls it: a command, its exit code, its answer.

Nothing here depends on Airflow, so that any scheduler in Python can use it, and the tests run it
against the real command. The lottery has its own environment: the scheduler needs its program, but
neither its packages nor its Python.
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
"""Variable that names the command if it is not on the path, as `/opt/lottery/bin/lottery`."""
SUFFIXES = {
    "notices": (".xml", ".parquet", ".csv"),
    "positions": (".parquet", ".csv"),
    "volumes": (".json", ".csv"),
    "occ_positions": (".xml",),
}
"""The suffixes of a role's files; the first file that exists is used."""
OPTIONAL = frozenset({"occ_positions"})


class Verdict(StrEnum):
    """What a scheduler does about an exit code."""

    GO_ON = "go on"
    GO_ON_AND_REPORT = "go on, and report the breaks"
    TRY_AGAIN = "try the same command again later"
    FAIL = "call somebody; the same command would fail again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command answered.

    Attributes:
        exit_code: Its exit code.
        document: Its JSON document; empty if it printed none.
        stderr: What it printed on standard error.
    """

    exit_code: int
    document: dict[str, Any]
    stderr: str

    @property
    def message(self) -> str:
        """The answer in one line or more, for a log or an alert."""
        faults = [
            f"{fault['where']}: {fault['problem']}" for fault in self.document.get("faults", ())
        ]
        text = self.document.get("message") or "\n".join(faults) or self.stderr
        reason = self.document.get("reason", f"exit code {self.exit_code}")
        return f"{reason}: {text}"


def verdict_of(exit_code: int) -> Verdict:
    """Return what to do about an exit code of `lottery`; docs/OPERATIONS.md has the table."""
    match exit_code:
        case 0:
            return Verdict.GO_ON
        case 4:
            return Verdict.GO_ON_AND_REPORT
        case 75:
            return Verdict.TRY_AGAIN
        case _:
            return Verdict.FAIL


def assign(home: Path, business_date: str) -> Answer:
    """Allocate a date's files and record the run; files that have not arrived are tried again.

    Args:
        home: The folder that has `in/DATE` and gets `out/DATE`; the ledger, which `lottery init`
            has made, is in it too, unless `LOTTERY_LEDGER` names another one.
        business_date: The date, as YYYY-MM-DD.
    """
    files = files_of(home / "in" / business_date)
    missing = [role for role in SUFFIXES if role not in files and role not in OPTIONAL]
    if missing:
        message = f"{home / 'in' / business_date} has no {', '.join(missing)} yet"
        return Answer(exit_code=75, document={}, stderr=message)
    options = [text for role, file in files.items() for text in (_option(role), str(file))]
    output = str(home / "out" / business_date)
    return ask(home, "run", "--date", business_date, *options, "--output", output)


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a date that exist, by their roles."""
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
    """Run a command and read its JSON document."""
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
    return Answer(exit_code=done.returncode, document=document, stderr=done.stderr.strip())


def _option(role: str) -> str:
    return f"--{role.replace('_', '-')}"
