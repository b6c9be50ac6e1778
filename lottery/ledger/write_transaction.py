"""A write to the ledger: one transaction over its database, its mirror and its checkpoint file.

    ledger.db      the tables; what is committed there is recorded
    mirror.db      the same transactions applied a second time: the same bytes, so that a change of
                   either file is seen, also in bytes that mean nothing to SQL
    checkpoints    every signed head as it was signed, to be copied elsewhere
    unfinished     there while a write goes on, with the run whose evidence it moves into place

Invariants:
- One writer at a time: it holds the lock of the ledger's directory.
- `unfinished` is durable before anything else changes and goes last. Where a process was killed
  it is still there, and the next writer brings everything to what `ledger.db` has committed.
- Nothing is signed beside a checkpoint file that is not what the database says was signed: an
  older copy of the database gets no second history.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from lottery.durable import lock_directory, sync_directory, sync_file
from lottery.errors import LedgerBusy, LedgerDamaged, LedgerUnfinished
from lottery.ledger import log
from lottery.ledger.database import CHECKPOINTS, translated
from lottery.ledger.queries import is_recorded
from lottery.ledger.run_record import is_run_id
from lottery.ledger.staging import staging_folder
from lottery.tlog.note import join_notes

DATABASE: Final = "ledger.db"
MIRROR: Final = "mirror.db"
CHECKPOINT_FILE: Final = "checkpoints"
UNFINISHED: Final = "unfinished"
EVIDENCE: Final = "evidence"
STAGING: Final = "staging"

_READS: Final = ("SELECT", "PRAGMA main.")


@dataclass(slots=True, kw_only=True)
class Transaction:
    """A write that goes on.

    Attributes:
        connection: Its connection.
        directory: The ledger's directory.
        statements: What was executed, for the mirror.
        announced: Whether `unfinished` is there.
    """

    connection: sa.Connection
    directory: Path
    statements: list[tuple[str, Any]] = field(default_factory=list)
    announced: bool = False

    def announce(self, run: str | None = None) -> None:
        """Says, durably, that a write begins; `run` is the one whose evidence moves into place."""
        path = self.directory / UNFINISHED
        path.write_text(json.dumps({"run": run}), encoding="utf-8")
        sync_file(path)
        sync_directory(self.directory)
        self.announced = True


@contextmanager
def locked(directory: Path, seconds: float, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock of a ledger's directory: alone, or beside others that only read.

    Raises:
        LedgerBusy: Another process held it for that long.
    """
    with ExitStack() as lock:
        try:
            lock.enter_context(lock_directory(directory, seconds=seconds, shared=shared))
        except TimeoutError:
            raise LedgerBusy(f"another process is writing to {directory}") from None
        yield


@contextmanager
def transaction(directory: Path, engine: sa.Engine) -> Iterator[Transaction]:
    """A write by the holder of the lock; committed and mirrored where the block ends well.

    Nothing may be written before it is announced: SQLite's own journal would lie there unexplained.

    Raises:
        LedgerDamaged: The checkpoint file or the mirror is not the database's.
        LedgerUnfinished: It is committed, and its mirror or the checkpoint file was not written.
    """
    with (
        translated(directory),
        engine.connect().execution_options(lottery_writes=True) as connection,
    ):
        writing = Transaction(connection=connection, directory=directory)
        try:
            with connection.begin():
                before = _refuse_foreign(connection, directory)
                sa.event.listen(connection, "before_cursor_execute", _keeper(writing))
                yield writing
                heads = log.checkpoints_after(connection, before) if writing.announced else []
        except BaseException:
            if writing.announced:
                with suppress(Exception):  # What is left over stays announced to the next writer.
                    recover(directory, engine)
                    _end(directory)
            raise
    if writing.announced:
        try:
            _mirror(directory, writing.statements)
            _append_checkpoints(directory, heads)
            _end(directory)
        except (OSError, sqlite3.Error) as error:
            raise LedgerUnfinished(
                f"{directory}: {error}; what was asked is recorded, and the next write completes it"
            ) from error


def is_unfinished(directory: Path) -> bool:
    """Whether a write was begun that did not end, or goes on."""
    return (directory / UNFINISHED).exists()


def recover(directory: Path, engine: sa.Engine) -> str:
    """Brings everything to what the database has committed, where a writer was killed.

    The caller holds the lock. `unfinished` stays, and goes with the next transaction.

    Returns:
        What was interrupted, for the trail.

    Raises:
        LedgerDamaged: The checkpoint file is not what was signed.
    """
    run = _announced_run(directory)
    with translated(directory), engine.connect() as connection:
        recorded = run is not None and is_recorded(connection, run)
        # Before anything is changed: an older copy of the database must not cost its mirror.
        ends_at, rest = _checkpoints_to_append(directory, connection)
        if run is not None and not recorded:
            _withdraw(directory, run)
        _recover_mirror(directory)
        _recover_checkpoints(directory, ends_at, rest)
    if run is None:
        return "a write"
    return f"the recording of {run}" if recorded else f"the recording of {run}, given up"


def evidence_folder(directory: Path, run: str) -> Path:
    """Where a run's evidence lies."""
    return directory / EVIDENCE / run.rpartition("-")[0] / run


def refuse_remains(directory: Path) -> None:
    """Refuses to begin a second history where the database of a ledger is gone, or is another.

    Raises:
        LedgerDamaged: Something of a ledger is there, where there is no table yet.
    """
    found = [name for name in (MIRROR, CHECKPOINT_FILE) if (directory / name).exists()]
    found += [EVIDENCE] if any((directory / EVIDENCE).glob("*/*")) else []
    if found:
        raise LedgerDamaged(
            f"{directory / DATABASE} is gone or empty, with {' and '.join(found)} there: nothing "
            "is recorded"
        )


def _keeper(writing: Transaction) -> Any:
    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith(_READS):
            assert writing.announced, statement  # noqa: S101 - see `transaction`.
            many = isinstance(parameters, list)
            writing.statements += [
                (statement, given) for given in (parameters if many else [parameters])
            ]

    return keep


def _refuse_foreign(connection: sa.Connection, directory: Path) -> int:
    """Refuses to write beside files that are not the database's; gives the last head's place."""
    if not sa.inspect(connection).has_table(CHECKPOINTS.name):
        return -1
    last = log.last_checkpoint(connection)
    path = directory / CHECKPOINT_FILE
    size = path.stat().st_size if path.exists() else 0
    expected = 0 if last is None else last.ends_at
    if size > expected:
        raise LedgerDamaged(
            f"{path} has {size} bytes and the database has signed {expected}: the database is an "
            "older copy of itself; nothing more is recorded in it"
        )
    note = b"" if last is None else join_notes([last.note])
    if size < expected or _tail(path, len(note)) != note:
        raise LedgerDamaged(
            f"{path} does not end with the head that was signed last; nothing more is recorded"
        )
    database, mirror = directory / DATABASE, directory / MIRROR
    if not mirror.exists() or mirror.stat().st_size != database.stat().st_size:
        raise LedgerDamaged(
            f"{mirror} is not a mirror of {DATABASE}; nothing more is recorded: lottery verify "
            "says which of the two holds what was signed"
        )
    return -1 if last is None else last.position


def _tail(path: Path, size: int) -> bytes:
    if not size:
        return b""
    with path.open("rb") as file:
        file.seek(-size, os.SEEK_END)
        return file.read()


def _mirror(directory: Path, statements: list[tuple[str, Any]]) -> None:
    """Applies a committed transaction to the mirror; a crash meanwhile is what `recover` is for."""
    path = directory / MIRROR
    with closing(sqlite3.connect(path, isolation_level=None)) as mirror:
        mirror.execute("PRAGMA journal_mode = OFF")
        mirror.execute("PRAGMA synchronous = OFF")
        mirror.execute("BEGIN IMMEDIATE")
        for statement, parameters in statements:
            mirror.execute(statement, parameters)
        mirror.execute("COMMIT")
    sync_file(path)


def _append_checkpoints(directory: Path, heads: list[log.SignedCheckpoint]) -> None:
    path = directory / CHECKPOINT_FILE
    with path.open("ab") as file:
        file.write(join_notes(head.note for head in heads))
    sync_file(path)


def _end(directory: Path) -> None:
    """The write is done with."""
    sync_directory(directory)
    (directory / UNFINISHED).unlink()
    sync_directory(directory)


def _announced_run(directory: Path) -> str | None:
    """The run that was announced; what is torn was announced before anything else began."""
    try:
        run = json.loads((directory / UNFINISHED).read_bytes())["run"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if isinstance(run, str) and is_run_id(run) else None


def _withdraw(directory: Path, run: str) -> None:
    """Takes evidence out of its place whose run was never recorded."""
    folder = evidence_folder(directory, run)
    if folder.is_dir():
        left = directory / STAGING / uuid.uuid4().hex
        folder.rename(left)
        sync_directory(folder.parent)
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):  # Other runs of that date have theirs.
        folder.parent.rmdir()
    sync_directory(directory / EVIDENCE)


def _recover_mirror(directory: Path) -> None:
    """Copies the database over a mirror that is not the same."""
    database, mirror = directory / DATABASE, directory / MIRROR
    if mirror.exists() and first_difference(database, mirror) is None:
        return
    with staging_folder(directory / STAGING) as staged:
        copy = staged / MIRROR
        shutil.copyfile(database, copy)
        sync_file(copy)
        copy.replace(mirror)


def _checkpoints_to_append(directory: Path, connection: sa.Connection) -> tuple[int, bytes]:
    """Where the checkpoint file ends with a whole head, and what is committed and comes behind.

    Raises:
        LedgerDamaged: The file goes on with something else: the database is an older copy, say.
    """
    path = directory / CHECKPOINT_FILE
    size = path.stat().st_size if path.exists() else 0
    whole = connection.execute(
        sa.select(CHECKPOINTS.c.position, CHECKPOINTS.c.ends_at)
        .where(CHECKPOINTS.c.ends_at <= size)
        .order_by(CHECKPOINTS.c.position.desc())
        .limit(1)
    ).first()
    position, ends_at = (-1, 0) if whole is None else (whole.position, whole.ends_at)
    rest = join_notes(head.note for head in log.checkpoints_after(connection, position))
    if not rest.startswith(_tail(path, size - ends_at)):
        raise LedgerDamaged(f"{path} is not what {DATABASE} has signed; nothing is recovered")
    return ends_at, rest


def _recover_checkpoints(directory: Path, ends_at: int, rest: bytes) -> None:
    """Ends the checkpoint file with the heads that are committed."""
    path = directory / CHECKPOINT_FILE
    with path.open("ab") as file:
        file.truncate(ends_at)
        file.write(rest)
    sync_file(path)


def first_difference(one: Path, other: Path) -> int | None:
    """Where two files differ first, in bytes from their start; None where they do not."""
    place = 0
    with one.open("rb") as ours, other.open("rb") as theirs:
        while True:
            left, right = ours.read(1 << 20), theirs.read(1 << 20)
            if left != right:
                shared = min(len(left), len(right))
                differ = np.frombuffer(left, "u1", shared) != np.frombuffer(right, "u1", shared)
                return place + (int(differ.argmax()) if differ.any() else shared)
            if not left:
                return None
            place += len(left)
