"""A process that records days and is killed: what it was told is done it has written down.

Its parent starts it by `multiprocessing`, and kills it whenever it likes; or the process kills
itself at a named step.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from lottery import operations
from lottery.errors import Conflict
from lottery.ledger.store import Ledger
from tests import days

STEPS: Final = (
    "the files are staged",
    "the folder is in place",
    "the row is inserted",
    "the run is committed",
)


def record_days(
    ledger: Path, sources: Path, dates: Sequence[str], told: Path, dies_at: str | None = None
) -> None:
    """Records one day after another and writes each run down once it is told to be recorded.

    Args:
        ledger: The ledger's directory.
        sources: Where the day's files are.
        dates: ISO dates, each with the same files.
        told: The file to write to: a line `DATE RUN NEW` for every run, or `DATE reason False`.
        dies_at: One of `STEPS`, at which the process kills itself.
    """
    for date in dates:
        request = replace(request_of(sources), business_date=dt.date.fromisoformat(date))
        try:
            outcome = operations.run_lottery(
                lambda: _opened(ledger, dies_at),
                request,
                proceed=lambda: _die("the files are staged", dies_at, ledger),
            )
        except Conflict as conflict:
            line = f"{date} {conflict.reason} False"
        else:
            if dies_at == "the run is committed":
                _kill()
            line = f"{date} {outcome.record.run} {not outcome.already_recorded}"
        with told.open("a") as file:
            file.write(f"{line}\n")


def request_of(sources: Path) -> operations.RunRequest:
    """The request of the day whose files are in a folder."""
    return days.request_of_files(
        {role: sources / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    )


def _opened(directory: Path, dies_at: str | None) -> Ledger:
    ledger = Ledger.create(directory)

    @sa.event.listens_for(ledger._engine, "before_cursor_execute")
    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO runs") and dies_at == "the folder is in place":
            _kill()

    @sa.event.listens_for(ledger._engine, "after_cursor_execute")
    def after(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO runs") and dies_at == "the row is inserted":
            _kill()

    return ledger


def _die(step: str, dies_at: str | None, ledger: Path) -> None:
    staging = ledger / "staging"
    if dies_at == step and staging.exists() and any(staging.glob("*/run.json")):
        _kill()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
