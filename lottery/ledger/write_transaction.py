"""A write to the ledger: one transaction over its database, its mirror and its checkpoint file.

    ledger.db      the tables; what is committed there is recorded
    mirror.db      the same transactions applied a second time: the same bytes, so that a change of
                   either file is found, even in bytes that SQL ignores
    checkpoints    every checkpoint as it was signed, to be copied elsewhere
    unfinished     exists during a write, and names the run whose evidence is being moved

Invariants:
- There is one writer at a time, which holds the lock of the ledger's directory.
- `unfinished` is durable before anything else changes, and is removed last. If a process is killed
  it remains, and the next writer brings all files to what `ledger.db` has committed.
- Nothing is signed if the checkpoint file differs from what the database has signed: an older copy
  of the database gets no second history.
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
    """A write in progress.

    Attributes:
        connection: Its connection.
        directory: The ledger's directory.
        statements: The statements executed, for the mirror.
        announced: Whether `unfinished` exists.
    """

    connection: sa.Connection
    directory: Path
    statements: list[tuple[str, Any]] = field(default_factory=list)
    announced: bool = False

    def announce(self, run: str | None = None) -> None:
        """Write `unfinished` durably; `run` is the run whose evidence is being moved."""
        path = self.directory / UNFINISHED
        path.write_text(json.dumps({"run": run}), encoding="utf-8")
        sync_file(path)
        sync_directory(self.directory)
        self.announced = True


@contextmanager
def locked(directory: Path, seconds: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a ledger's directory, alone or shared with other readers.

    Raises:
        LedgerBusy: Another process has held it for that long.
    """
    with ExitStack() as lock:
        try:
            lock.enter_context(lock_directory(directory, seconds=seconds, shared=shared))
        except TimeoutError:
            raise LedgerBusy(f"another process is writing to {directory}") from None
        yield


@contextmanager
def transaction(directory: Path, engine: sa.Engine) -> Iterator[Transaction]:
    """Write as the holder of the lock; commit and mirror when the block succeeds.

    Nothing may be written before `announce`: nothing would explain SQLite's journal after a crash.

    Raises:
        LedgerDamaged: The checkpoint file or the mirror differs from the database.
        LedgerUnfinished: The write is committed, but the mirror or the checkpoint file is not
            written yet.
    """
    with (
        translated(directory),
        engine.connect().execution_options(lottery_writes=True) as connection,
    ):
        writing = Transaction(connection=connection, directory=directory)
        try:
            with connection.begin():
                before = _refuse_differing_files(connection, directory)
                sa.event.listen(connection, "before_cursor_execute", _statement_recorder(writing))
                yield writing
                checkpoints = log.checkpoints_after(connection, before) if writing.announced else []
        except BaseException:
            if writing.announced:
                with suppress(Exception):  # The next writer recovers what is left.
                    recover(directory, engine)
                    _end(directory)
            raise
    if writing.announced:
        try:
            _mirror(directory, writing.statements)
            _append_checkpoints(directory, checkpoints)
            _end(directory)
        except (OSError, sqlite3.Error) as error:
            raise LedgerUnfinished(
                f"{directory}: {error}; the write is recorded; the next one completes its copies"
            ) from error


def is_unfinished(directory: Path) -> bool:
    """Return whether a write is in progress or was left unfinished."""
    return (directory / UNFINISHED).exists()


def recover(directory: Path, engine: sa.Engine) -> str:
    """Bring all files to what the database has committed, after a writer was killed.

    The caller holds the lock. `unfinished` remains until the next transaction ends.

    Returns:
        What was interrupted, for the trail.

    Raises:
        LedgerDamaged: The checkpoint file differs from what was signed.
    """
    run = _announced_run(directory)
    with translated(directory), engine.connect() as connection:
        recorded = run is not None and is_recorded(connection, run)
        # This comes first: an older copy of the database must not replace the mirror.
        ends_at, rest = _checkpoints_to_append(directory, connection)
        if run is not None and not recorded:
            _withdraw(directory, run)
        _recover_mirror(directory)
        _recover_checkpoints(directory, ends_at, rest)
    if run is None:
        return "a write"
    return f"the recording of {run}" if recorded else f"the recording of {run}, given up"


def evidence_folder(directory: Path, run: str) -> Path:
    """Return the folder of a run's evidence."""
    return directory / EVIDENCE / run.rpartition("-")[0] / run


def refuse_remains(directory: Path) -> None:
    """Refuse to begin a second history if only the database of a ledger is missing.

    Raises:
        LedgerDamaged: There are no tables yet, but other files of a ledger exist.
    """
    found = [name for name in (MIRROR, CHECKPOINT_FILE) if (directory / name).exists()]
    found += [EVIDENCE] if any((directory / EVIDENCE).glob("*/*")) else []
    if found:
        raise LedgerDamaged(
            f"{directory / DATABASE} is missing or empty, but {' and '.join(found)} exist; nothing "
            "is recorded"
        )


def _statement_recorder(writing: Transaction) -> Any:
    def record(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith(_READS):
            assert writing.announced, statement  # noqa: S101 - see `transaction`.
            many = isinstance(parameters, list)
            writing.statements += [
                (statement, given) for given in (parameters if many else [parameters])
            ]

    return record


def _refuse_differing_files(connection: sa.Connection, directory: Path) -> int:
    """Refuse files that differ from the database; return the last checkpoint's position."""
    if not sa.inspect(connection).has_table(CHECKPOINTS.name):
        return -1
    last = log.last_checkpoint(connection)
    path = directory / CHECKPOINT_FILE
    size = path.stat().st_size if path.exists() else 0
    expected = 0 if last is None else last.ends_at
    if size > expected:
        raise LedgerDamaged(
            f"expected {expected} bytes in {path}, got {size}: the database is an older copy of "
            "itself; nothing more is recorded"
        )
    note = b"" if last is None else join_notes([last.note])
    if size < expected or _tail(path, len(note)) != note:
        raise LedgerDamaged(
            f"{path} does not end with the last checkpoint; nothing more is recorded"
        )
    database, mirror = directory / DATABASE, directory / MIRROR
    if not mirror.exists() or mirror.stat().st_size != database.stat().st_size:
        raise LedgerDamaged(
            f"{mirror} differs from {DATABASE}; nothing more is recorded; lottery verify shows "
            "which of the two was signed"
        )
    return -1 if last is None else last.position


def _tail(path: Path, size: int) -> bytes:
    if not size:
        return b""
    with path.open("rb") as file:
        file.seek(-size, os.SEEK_END)
        return file.read()


def _mirror(directory: Path, statements: list[tuple[str, Any]]) -> None:
    """Apply a committed transaction to the mirror; after a crash, `recover` copies it anew."""
    path = directory / MIRROR
    with closing(sqlite3.connect(path, isolation_level=None)) as mirror:
        mirror.execute("PRAGMA journal_mode = OFF")
        mirror.execute("PRAGMA synchronous = OFF")
        mirror.execute("BEGIN IMMEDIATE")
        for statement, parameters in statements:
            mirror.execute(statement, parameters)
        mirror.execute("COMMIT")
    sync_file(path)


def _append_checkpoints(directory: Path, checkpoints: list[log.SignedCheckpoint]) -> None:
    path = directory / CHECKPOINT_FILE
    with path.open("ab") as file:
        file.write(join_notes(checkpoint.note for checkpoint in checkpoints))
    sync_file(path)


def _end(directory: Path) -> None:
    """Remove `unfinished`: the write is complete."""
    sync_directory(directory)
    (directory / UNFINISHED).unlink()
    sync_directory(directory)


def _announced_run(directory: Path) -> str | None:
    """Return the announced run, or None; a torn file was written before anything else changed."""
    try:
        run = json.loads((directory / UNFINISHED).read_bytes())["run"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if isinstance(run, str) and is_run_id(run) else None


def _withdraw(directory: Path, run: str) -> None:
    """Remove the evidence of a run that was not recorded."""
    folder = evidence_folder(directory, run)
    if folder.is_dir():
        left = directory / STAGING / uuid.uuid4().hex
        folder.rename(left)
        sync_directory(folder.parent)
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):  # Other runs of the date have evidence there.
        folder.parent.rmdir()
    sync_directory(directory / EVIDENCE)


def _recover_mirror(directory: Path) -> None:
    """Copy the database over a mirror that differs."""
    database, mirror = directory / DATABASE, directory / MIRROR
    if mirror.exists() and first_difference(database, mirror) is None:
        return
    with staging_folder(directory / STAGING) as staged:
        copy = staged / MIRROR
        shutil.copyfile(database, copy)
        sync_file(copy)
        copy.replace(mirror)


def _checkpoints_to_append(directory: Path, connection: sa.Connection) -> tuple[int, bytes]:
    """Return the end of the file's last whole checkpoint, and the committed ones after it.

    Raises:
        LedgerDamaged: The file continues otherwise, for example because the database is an older
            copy.
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
    after = log.checkpoints_after(connection, position)
    rest = join_notes(checkpoint.note for checkpoint in after)
    if not rest.startswith(_tail(path, size - ends_at)):
        raise LedgerDamaged(f"{path} differs from what {DATABASE} has signed; nothing is recovered")
    return ends_at, rest


def _recover_checkpoints(directory: Path, ends_at: int, rest: bytes) -> None:
    """Write the committed checkpoints to the end of the checkpoint file."""
    path = directory / CHECKPOINT_FILE
    with path.open("ab") as file:
        file.truncate(ends_at)
        file.write(rest)
    sync_file(path)


def first_difference(one: Path, other: Path) -> int | None:
    """Return the offset of the first byte that differs in two files, or None if none does."""
    offset = 0
    with one.open("rb") as ours, other.open("rb") as theirs:
        while True:
            left, right = ours.read(1 << 20), theirs.read(1 << 20)
            if left != right:
                shared = min(len(left), len(right))
                differ = np.frombuffer(left, "u1", shared) != np.frombuffer(right, "u1", shared)
                return offset + (int(differ.argmax()) if differ.any() else shared)
            if not left:
                return None
            offset += len(left)
