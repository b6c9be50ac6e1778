"""A process that writes to a ledger and is killed: it notes every run that it knows is recorded.

Its parent starts it by `multiprocessing`, and kills it whenever it likes; or the process kills
itself at a named step.
"""

from __future__ import annotations

import datetime as dt
import functools
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from lottery import operations
from lottery.errors import Conflict
from lottery.ledger import commit, log, write_transaction
from lottery.ledger.commit import Ledger
from lottery.tlog.note import join_notes
from tests import builders

# Loaded once, and not by each process that is to be killed.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.faults.warmed"])


def die_at(step: str) -> None:
    """Lets this process kill itself when it comes to a step of write_transaction."""
    DEATHS[step]()


def record_days(
    ledger: Path, sources: Path, dates: Sequence[str], reported: Path, dies_at: str | None = None
) -> None:
    """Records one day after another and writes each run down once it is reported to be recorded.

    Args:
        ledger: The ledger's directory.
        sources: Where the day's files are.
        dates: ISO dates, each with the same files.
        reported: The file to write to: a line `DATE RUN NEW` for every run, or `DATE reason False`.
        dies_at: One of `DEATHS`, at which the process kills itself.
    """
    if dies_at is not None:
        # What is there to be recovered is recovered before.
        Ledger.create(ledger).close()
        die_at(dies_at)
    for date in dates:
        request = replace(request_of(sources), business_date=dt.date.fromisoformat(date))
        try:
            outcome = builders.record_in(ledger, request)
        except Conflict as conflict:
            line = f"{date} {conflict.reason} False"
        else:
            line = f"{date} {outcome.record.run} {not outcome.already_recorded}"
        with reported.open("a") as file:
            file.write(f"{line}\n")


def make_or_recover(ledger: Path, dies_at: str) -> None:
    """Opens a ledger to write to it, which makes it or recovers it, and dies at a step of that."""
    die_at(dies_at)
    Ledger.create(ledger)


def request_of(sources: Path) -> operations.RunRequest:
    """The request of the day whose files are in a folder."""
    return builders.request_of_files(
        {role: sources / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    )


def _before(owner: Any, name: str) -> None:
    setattr(owner, name, lambda *_, **__: _kill())


def _after(owner: Any, name: str) -> None:
    function = getattr(owner, name)

    def then_die(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)
        _kill()

    setattr(owner, name, then_die)


def _with_the_database_half_written() -> None:
    """Lets SQLite write its pages as it goes, so that it dies with some of them in the file."""

    @sa.event.listens_for(sa.Engine, "connect")
    def keep_few_pages(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA cache_size = 1")

    # Asked right before the commit.
    _before(log, "checkpoints_after")


def _with_the_mirror_half_written() -> None:
    class Mirror(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if statement == "COMMIT":
                _kill()
            if statement.startswith("BEGIN"):
                super().execute("PRAGMA cache_size = 1")
            return super().execute(statement, *parameters)

    sqlite3.connect = functools.partial(sqlite3.connect, factory=Mirror)  # type: ignore[assignment]


def _with_the_checkpoints_half_appended() -> None:
    def append(directory: Path, checkpoints: Sequence[log.SignedCheckpoint]) -> None:
        notes = join_notes(checkpoint.note for checkpoint in checkpoints)
        with (directory / write_transaction.CHECKPOINT_FILE).open("ab") as file:
            file.write(notes[: len(notes) * 2 // 3])
        _kill()

    write_transaction._append_checkpoints = append


def _with_the_checkpoints_half_recovered() -> None:
    recover = write_transaction._recover_checkpoints

    def tear(directory: Path, ends_at: int, rest: bytes) -> None:
        recover(directory, ends_at, rest)
        path = directory / write_transaction.CHECKPOINT_FILE
        os.truncate(path, path.stat().st_size - 9)
        _kill()

    write_transaction._recover_checkpoints = tear


def _with_the_announcement_half_written() -> None:
    def announce(transaction: write_transaction.Transaction, run: str | None = None) -> None:
        (transaction.directory / write_transaction.UNFINISHED).write_text(f'{{"run": "{run}'[:9])
        _kill()

    setattr(write_transaction.Transaction, "announce", announce)  # noqa: B010 - mypy has its own view of it.


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


Death = Callable[[], None]

UNANNOUNCED: Final[dict[str, Death]] = {
    "the files are staged": functools.partial(_before, write_transaction.Transaction, "announce"),
}
"""Before anything of the ledger is touched."""
UNCOMMITTED: Final[dict[str, Death]] = {
    "the write is half announced": _with_the_announcement_half_written,
    "the write is announced": functools.partial(_after, write_transaction.Transaction, "announce"),
    "the folder is moved": functools.partial(_after, Ledger, "_move_evidence"),
    "the row is inserted": functools.partial(_after, Ledger, "_insert"),
    "the checkpoint is signed": functools.partial(_after, log, "append"),
    "the database is half written": _with_the_database_half_written,
}
"""Announced, and not committed."""
COMMITTED: Final[dict[str, Death]] = {
    "the run is committed": functools.partial(_before, write_transaction, "_mirror"),
    "the mirror is half written": _with_the_mirror_half_written,
    "the mirror is written": functools.partial(_after, write_transaction, "_mirror"),
    "the checkpoints are half appended": _with_the_checkpoints_half_appended,
    "the checkpoints are appended": functools.partial(
        _after, write_transaction, "_append_checkpoints"
    ),
}
"""Committed, and not all of the files written."""
DONE: Final[dict[str, Death]] = {
    "the write has ended": functools.partial(_after, write_transaction, "_end"),
}
"""Everything is written, and nobody knows."""
OF_MAKING: Final[dict[str, Death]] = {
    "the key is made": functools.partial(_after, commit, "create_key_file"),
}
OF_RECOVERING: Final[dict[str, Death]] = {
    "the evidence is half withdrawn": functools.partial(_before, shutil, "rmtree"),
    "the evidence is withdrawn": functools.partial(_after, write_transaction, "_withdraw"),
    "the mirror is half copied": functools.partial(_before, write_transaction, "sync_file"),
    "the mirror is mended": functools.partial(_after, write_transaction, "_recover_mirror"),
    "the checkpoints are half recovered": _with_the_checkpoints_half_recovered,
    "everything is recovered": functools.partial(_after, write_transaction, "recover"),
}

STEPS: Final = (*UNANNOUNCED, *UNCOMMITTED, *COMMITTED, *DONE)
"""Of recording a run, in their order."""
DEATHS: Final = {**UNANNOUNCED, **UNCOMMITTED, **COMMITTED, **DONE, **OF_MAKING, **OF_RECOVERING}
