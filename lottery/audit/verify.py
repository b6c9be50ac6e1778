"""Verify: whether a ledger is the one that was signed, whole and untouched.

Nothing that the ledger says of itself is believed before its log is: the log is derived again from
the records' very bytes and compared with every head that was signed; the records say which evidence
there is and what its digests are.

Not here: whether a run follows from its inputs, which is `replay`'s to say.

Invariants:
- Nothing is written, not even where a file is damaged.
- Every fault is told with its file or record; one fault does not hide another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from lottery.audit.verify_log import Fault, verify_log
from lottery.errors import KeyUnusable, LedgerDamaged, LedgerNotFound, LotteryError
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
from lottery.tlog.keys import VerifierKey, read_key_file

Progress = Callable[[str, int, int], None]
"""Told what is looked at, which one of how many it is, from 1."""

_RECORDS_AT_A_TIME: Final = 256
_DATABASES: Final = (write_transaction.DATABASE, write_transaction.MIRROR)
_BESIDE_DATABASES: Final = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a verification is to believe.

    Attributes:
        key_file: The log's private key where the operator keeps it; it must be there and be the
            log's. None for one who holds no key, as an auditor.
        keys: Public keys known from elsewhere: the log's own, without which its word is taken
            for its key, and those of others who sign its heads.
    """

    key_file: Path | None = None
    keys: tuple[VerifierKey, ...] = ()


def verify(
    directory: Path, trust: Trust, *, lock_seconds: float, progress: Progress
) -> Iterator[Fault]:
    """Yields every fault of a ledger.

    Args:
        directory: Its directory.
        trust: What to believe.
        lock_seconds: How long to wait for a writer.
        progress: Told each run as its evidence is looked at.

    Raises:
        LedgerNotFound: There is no ledger.
        LedgerBusy: A writer kept its lock for too long.
    """
    if not any((directory / name).is_file() for name in _DATABASES):
        raise LedgerNotFound(f"there is no ledger at {directory}")
    with write_transaction.locked(directory, lock_seconds, shared=True):
        damaged = False
        for fault in _file_faults(directory):
            damaged = True
            yield fault
        # Where the database is gone its mirror still says what else is wrong.
        database = next(name for name in _DATABASES if (directory / name).is_file())
        yield from _key_faults(directory, database, trust)
        runs: list[str] = []
        is_read = True
        for fault in _log_faults(directory, database, trust.keys, runs):
            is_read = is_read and fault.where != database
            yield fault
        if is_read:  # Otherwise records that cannot be read would leave their evidence unnamed.
            yield from _stray_folders(directory, set(runs))
    path = directory / database
    engine = connect_untouched(path) if damaged else connect_reading(path, lock_seconds)
    yield from _evidence_faults(directory, engine, len(runs), progress)


def _file_faults(directory: Path) -> Iterator[Fault]:
    """Files that are missing or left over, and databases that are not the same."""
    if write_transaction.is_unfinished(directory):
        yield Fault(where=write_transaction.UNFINISHED, problem="a write was begun and did not end")
    for name in (*_DATABASES, write_transaction.CHECKPOINT_FILE):
        if (directory / name).is_symlink():
            yield Fault(where=name, problem="it is a link and no file")
    missing = [name for name in _DATABASES if not (directory / name).is_file()]
    for name in _DATABASES:
        if name in missing:
            yield Fault(where=name, problem="the file is missing")
        elif not keeps_rollback_journal(directory / name):
            yield Fault(where=name, problem="its header asks for another journal than the ledger's")
        for suffix in _BESIDE_DATABASES:
            if (directory / f"{name}{suffix}").exists():
                yield Fault(where=f"{name}{suffix}", problem="nothing of the ledger is called so")
    if not missing:
        yield from _mirror_faults(directory)


def _mirror_faults(directory: Path) -> Iterator[Fault]:
    """Databases that are one file, or not the same."""
    database, mirror = (directory / name for name in _DATABASES)
    if mirror.samefile(database):
        yield Fault(
            where=write_transaction.MIRROR, problem=f"it is {write_transaction.DATABASE} itself"
        )
    place = write_transaction.first_difference(database, mirror)
    if place is not None:
        both = " and ".join(_DATABASES)
        yield Fault(where=both, problem=f"they are not the same from byte {place} on")
        yield Fault(where=both, problem=_which_is_signed(directory))


def _which_is_signed(directory: Path) -> str:
    """Which of the two databases gives the signed log, where that can be told."""
    sound = [name for name in _DATABASES if not any(_log_faults(directory, name, (), []))]
    if len(sound) == 1:
        return f"{sound[0]} holds what was signed"
    return "both hold what was signed" if sound else "neither holds what was signed"


def _key_faults(directory: Path, database: str, trust: Trust) -> Iterator[Fault]:
    """The private key is there and can be used; whose key it is, the log says."""
    if trust.key_file is None:
        return
    where = KEY_FILE if trust.key_file == directory / KEY_FILE else str(trust.key_file)
    try:
        verifier = read_key_file(trust.key_file).verifier
        with (
            translated(directory),
            connect_untouched(directory / database).connect() as connection,
        ):
            key = read_log(connection).key
    except KeyUnusable as error:
        yield Fault(where=where, problem=str(error))
        return
    except LotteryError:
        return  # What is wrong with the log is told where the log is read.
    if verifier != key:
        yield Fault(where=where, problem=f"it is the key {verifier}, and the log's is {key}")


def _log_faults(
    directory: Path, name: str, keys: Sequence[VerifierKey], runs: list[str]
) -> Iterator[Fault]:
    """As `verify_log`, of one of the two databases; damage ends it with a fault of that file."""
    try:
        with (
            translated(directory),
            connect_untouched(directory / name).connect() as connection,
        ):
            yield from verify_log(
                connection, directory / write_transaction.CHECKPOINT_FILE, keys, runs
            )
    except Exception as error:  # noqa: BLE001 - a damaged database can give anything.
        yield Fault(where=name, problem=f"it cannot be read on: {error}")


def _stray_folders(directory: Path, runs: set[str]) -> Iterator[Fault]:
    """Folders of evidence that no record names."""
    place = directory / write_transaction.EVIDENCE
    if not place.is_dir():
        if runs:
            yield Fault(where=write_transaction.EVIDENCE, problem="the folder is missing")
        return
    dates = {run.rpartition("-")[0] for run in runs}
    for date in sorted(place.iterdir()):
        if date.name not in dates or not date.is_dir() or date.is_symlink():
            yield Fault(
                where=f"{write_transaction.EVIDENCE}/{date.name}", problem="no record names it"
            )
            continue
        for folder in sorted(date.iterdir()):
            if folder != write_transaction.evidence_folder(directory, folder.name) or (
                folder.name not in runs or not folder.is_dir() or folder.is_symlink()
            ):
                where = f"{write_transaction.EVIDENCE}/{date.name}/{folder.name}"
                yield Fault(where=where, problem="no record names it")


def _evidence_faults(
    directory: Path, engine: sa.Engine, run_count: int, progress: Progress
) -> Iterator[Fault]:
    """The evidence of every run that the log was found to have."""
    for start in range(0, run_count, _RECORDS_AT_A_TIME):
        end = min(start + _RECORDS_AT_A_TIME, run_count)
        query = (
            sa.select(RUNS.c.record)
            .where(RUNS.c.log_index >= start, RUNS.c.log_index < end)
            .order_by(RUNS.c.log_index)
        )
        try:
            with translated(directory), engine.connect() as connection:
                rows = connection.execute(query).scalars().all()
        except LotteryError:
            return  # The database was told to be damaged already.
        for index, canonical in enumerate(rows, start + 1):
            try:
                record = read_record(canonical)
            except LedgerDamaged:
                continue  # As was this record.
            progress(record.run, index, run_count)
            yield from _run_faults(directory, record, canonical)


def _run_faults(directory: Path, record: RunRecord, canonical: bytes) -> Iterator[Fault]:
    """Files of a run that are missing, changed, or not the record's."""
    folder = write_transaction.evidence_folder(directory, record.run)
    where = f"{write_transaction.EVIDENCE}/{folder.parent.name}/{folder.name}"
    if not folder.is_dir():
        yield Fault(where=where, problem="the folder is missing")
        return
    for file in record.evidence:
        wrong = evidence.what_is_wrong(folder, file)
        if wrong is not None:
            problem = f"{wrong}; recorded is sha256 {file.sha256}, {file.size} bytes"
            yield Fault(where=f"{where}/{file.name}", problem=problem)
    try:
        kept = (folder / evidence.RUN_FILE).read_bytes()
    except OSError as error:
        yield Fault(where=f"{where}/{evidence.RUN_FILE}", problem=error.strerror or str(error))
    else:
        if kept != canonical:
            problem = "it is not the record that the log has"
            yield Fault(where=f"{where}/{evidence.RUN_FILE}", problem=problem)
    known = {evidence.RUN_FILE, evidence.SOURCES, *(file.name for file in record.evidence)}
    known |= {Path(name).parent.as_posix() for name in known}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known or path.is_symlink():
            yield Fault(where=f"{where}/{name}", problem="the record does not name it")
