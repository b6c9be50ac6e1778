"""Verify: whether a ledger is complete and what its log signed.

Nothing in the ledger is believed before its log is verified: the log is computed again from the
records' own bytes and compared with every signed checkpoint; the records say which evidence there
is, and with which digests.

Not here: whether a run follows from its inputs (`replay`).

Invariants:
- Nothing is written, not even to a damaged file.
- Every fault names its file or record, and no fault hides another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import sqlalchemy as sa

from lottery.audit.verify_log import Fault, verify_log
from lottery.errors import KeyUnusable, LedgerDamaged, LedgerNotFound, LotteryError, escape
from lottery.ledger import evidence, write_transaction
from lottery.ledger.commit import KEY_FILE
from lottery.ledger.database import (
    RUNS,
    connect_reading,
    connect_untouched,
    keeps_rollback_journal,
    translated,
)
from lottery.ledger.log import read_log
from lottery.ledger.run_record import RunRecord, read_record
from lottery.ledger.write_transaction import (
    CHECKPOINT_FILE,
    DATABASE,
    EVIDENCE,
    MIRROR,
    UNFINISHED,
    evidence_folder,
    first_difference,
)
from lottery.tlog.keys import VerifierKey, read_key_file

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with each run before its evidence is verified, its number from 1, and their count."""

_BATCH_RECORDS: Final = 256
"""Number of records read at a time."""
_DATABASES: Final = (DATABASE, MIRROR)
_SQLITE_SUFFIXES: Final = ("-journal", "-wal", "-shm")
"""Suffixes of files that SQLite takes for a part of a database."""


def verify(
    directory: Path,
    *,
    key_file: Path | None = None,
    keys: Sequence[VerifierKey] = (),
    lock_seconds: float,
    progress: Progress | None = None,
) -> Iterator[Fault]:
    """Yield every fault of a ledger.

    Args:
        directory: The ledger's directory.
        key_file: The log's private key, which must be there and be the log's; None for an auditor,
            who does not have it.
        keys: Public keys known from elsewhere: the log's, without which the ledger's own statement
            of its key is believed, and those of other signers of its checkpoints.
        lock_seconds: How long to wait for a writer.
        progress: Called with each run.

    Raises:
        LedgerNotFound: There is no ledger.
        LedgerBusy: A writer held the lock for too long.
    """
    if not any((directory / name).is_file() for name in _DATABASES):
        raise LedgerNotFound(f"no ledger at {directory}; check --ledger")
    with write_transaction.locked(directory, lock_seconds, shared=True):
        is_damaged = False
        for fault in _file_faults(directory):
            is_damaged = True
            yield fault
        # If the database is missing, its mirror still says what else is wrong.
        database = next(name for name in _DATABASES if (directory / name).is_file())
        if key_file is not None:
            yield from _key_faults(directory, database, key_file)
        is_readable = True
        for fault in _log_faults(directory, database, keys):
            is_readable = is_readable and fault.where != database
            yield fault
        runs = _recorded_runs(directory / database)
        if is_readable:  # Otherwise the records that cannot be read would not name their evidence.
            yield from _stray_folders(directory, set(runs))
    path = directory / database
    engine = connect_untouched(path) if is_damaged else connect_reading(path, lock_seconds)
    yield from _evidence_faults(directory, engine, len(runs), progress)


def _file_faults(directory: Path) -> Iterator[Fault]:
    """Yield files that are missing or left over, and databases that differ."""
    if write_transaction.is_unfinished(directory):
        problem = "a write began and did not end; the next write completes it"
        yield Fault(where=UNFINISHED, problem=problem)
    for name in (*_DATABASES, CHECKPOINT_FILE):
        if (directory / name).is_symlink():
            yield Fault(where=name, problem="expected a file, got a symbolic link")
    missing = [name for name in _DATABASES if not (directory / name).is_file()]
    for name in _DATABASES:
        if name in missing:
            yield Fault(where=name, problem="the file is missing")
        elif not keeps_rollback_journal(directory / name):
            problem = "expected a database with a rollback journal, got another header"
            yield Fault(where=name, problem=problem)
        for suffix in _SQLITE_SUFFIXES:
            if (directory / f"{name}{suffix}").exists():
                problem = f"expected no such file; SQLite would take it for a part of {name}"
                yield Fault(where=f"{name}{suffix}", problem=problem)
    if not missing:
        yield from _mirror_faults(directory)


def _mirror_faults(directory: Path) -> Iterator[Fault]:
    """Yield databases that are one file, or that differ."""
    database, mirror = (directory / name for name in _DATABASES)
    if mirror.samefile(database):
        problem = f"expected a second copy of {DATABASE}, got a link to {DATABASE} itself"
        yield Fault(where=MIRROR, problem=problem)
    offset = first_difference(database, mirror)
    if offset is not None:
        both = " and ".join(_DATABASES)
        yield Fault(
            where=both, problem=f"expected the same bytes, got others from byte {offset} on"
        )
        sound = [name for name in _DATABASES if not any(_log_faults(directory, name, ()))]
        problem = "both hold what was signed" if sound else "neither holds what was signed"
        if len(sound) == 1:
            problem = f"{sound[0]} holds what was signed"
        yield Fault(where=both, problem=problem)


def _key_faults(directory: Path, database: str, key_file: Path) -> Iterator[Fault]:
    """Yield what keeps a private key from being the log's."""
    where = KEY_FILE if key_file == directory / KEY_FILE else escape(str(key_file))
    try:
        verifier = read_key_file(key_file).verifier
        with (
            translated(directory),
            connect_untouched(directory / database).connect() as connection,
        ):
            key = read_log(connection).key
    except KeyUnusable as error:
        yield Fault(where=where, problem=str(error))
        return
    except LotteryError:
        return  # `_log_faults` reports what is wrong with the log.
    if verifier != key:
        yield Fault(where=where, problem=f"expected the log's key {key}, got {verifier}")


def _log_faults(directory: Path, name: str, keys: Sequence[VerifierKey]) -> Iterator[Fault]:
    """Yield what `verify_log` finds in one of the two databases, whatever its damage."""
    try:
        with (
            translated(directory),
            connect_untouched(directory / name).connect() as connection,
        ):
            yield from verify_log(connection, directory / CHECKPOINT_FILE, keys)
    except Exception as error:  # noqa: BLE001 - a damaged database can raise anything.
        yield Fault(where=name, problem=f"it cannot be read to its end: {escape(str(error))}")


def _recorded_runs(database: Path) -> list[str]:
    """Return the runs of the log, as far as they can be read."""
    runs: list[str] = []
    query = sa.select(RUNS.c.run).order_by(RUNS.c.log_index)
    # `_log_faults` has reported what cannot be read.
    with suppress(Exception), connect_untouched(database).connect() as connection:
        for run in connection.execute(query).scalars():
            runs.append(run)  # noqa: PERF402 - a row that cannot be read keeps those before it.
    return runs


def _stray_folders(directory: Path, runs: set[str]) -> Iterator[Fault]:
    """Yield what lies in the evidence and no record names."""
    if not (directory / EVIDENCE).is_dir():
        if runs:
            yield Fault(where=EVIDENCE, problem="the folder is missing")
        return
    dates = {run.rpartition("-")[0] for run in runs}
    for date in sorted((directory / EVIDENCE).iterdir()):
        where = f"{EVIDENCE}/{escape(date.name)}"
        if date.name not in dates or not date.is_dir() or date.is_symlink():
            yield Fault(where=where, problem="no record names it")
            continue
        for folder in sorted(date.iterdir()):
            if folder != evidence_folder(directory, folder.name) or (
                folder.name not in runs or not folder.is_dir() or folder.is_symlink()
            ):
                yield Fault(where=f"{where}/{escape(folder.name)}", problem="no record names it")


def _evidence_faults(
    directory: Path, engine: sa.Engine, run_count: int, progress: Progress | None
) -> Iterator[Fault]:
    """Yield faults of the evidence of every run in the log."""
    for start in range(0, run_count, _BATCH_RECORDS):
        query = (
            sa.select(RUNS.c.record)
            .where(RUNS.c.log_index >= start, RUNS.c.log_index < start + _BATCH_RECORDS)
            .order_by(RUNS.c.log_index)
        )
        try:
            with translated(directory), engine.connect() as connection:
                rows = connection.execute(query).scalars().all()
        except LotteryError:
            return  # `_log_faults` has reported what cannot be read.
        for number, canonical in enumerate(rows, start + 1):
            try:
                record = read_record(canonical)
            except LedgerDamaged:
                continue  # `_log_faults` has reported this record.
            if progress is not None:
                progress(record.run, number, run_count)
            yield from _run_faults(directory, record, canonical)


def _run_faults(directory: Path, record: RunRecord, canonical: bytes) -> Iterator[Fault]:
    """Yield files of a run that are missing, changed, or not named by the record."""
    folder = evidence_folder(directory, record.run)
    where = f"{EVIDENCE}/{folder.parent.name}/{folder.name}"
    if not folder.is_dir():
        yield Fault(where=where, problem="the folder is missing")
        return
    for file in record.evidence:
        wrong = evidence.what_is_wrong(folder, file)
        if wrong is not None:
            problem = f"{wrong}; expected sha256 {file.sha256} of {file.size} bytes"
            yield Fault(where=f"{where}/{file.name}", problem=problem)
    try:
        if (folder / evidence.RUN_FILE).read_bytes() != canonical:
            problem = "expected the record that the log has, got other bytes"
            yield Fault(where=f"{where}/{evidence.RUN_FILE}", problem=problem)
    except OSError as error:
        yield Fault(where=f"{where}/{evidence.RUN_FILE}", problem=error.strerror or str(error))
    known = {evidence.RUN_FILE, evidence.SOURCES, *(file.name for file in record.evidence)}
    known |= {Path(name).parent.as_posix() for name in known}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known or path.is_symlink():
            yield Fault(where=f"{where}/{escape(name)}", problem="the record does not name it")
