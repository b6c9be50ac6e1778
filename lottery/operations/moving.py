"""Making a ledger's database again from its published files, and moving a ledger elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from lottery.audit.fault import Fault, Stray
from lottery.audit.verify import Progress, Verification
from lottery.audit.verify_files import LogFiles
from lottery.errors import LedgerDamaged, LedgerNotFound, Problem, Refused
from lottery.ledger import log
from lottery.ledger.entry import read_entry, read_run
from lottery.ledger.evidence import NOTICES_FILE, read_recorded
from lottery.ledger.ports import Database, Objects, writing_to
from lottery.ledger.publish import (
    CHECKPOINT,
    EVIDENCE,
    WITNESSED,
    head_name,
    parse_file_name,
    publish,
    published_size,
    run_file,
)
from lottery.ledger.schema import HEADS, NODES
from lottery.operations.ledgers import (
    LedgerSettings,
    make_directories,
    open_database,
    open_objects,
    open_ports,
)
from lottery.tlog.checkpoint import unverified_checkpoint
from lottery.tlog.merkle import Node

_FAULTS_SHOWN: Final = 5
_ROWS: Final = 500
"""Number of rows inserted at a time."""
_RUN_FILE: Final = re.compile(
    f"{EVIDENCE}/[^/]+/[^/]+/[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}-[0-9]+[.]json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A ledger that was rebuilt or copied.

    Attributes:
        origin: The log's origin.
        public_key: The key that signs its next head.
        tree_size: Entries of the log.
        runs: Runs among them.
        root: The root of the log, hexadecimal.
    """

    origin: str
    public_key: str
    tree_size: int
    runs: int
    root: str


def rebuild_ledger(settings: LedgerSettings, *, progress: Progress | None = None) -> Moved:
    """Make a ledger's database again, from its published files or from the archive.

    Of both, the one that has more is read, and verified to the last byte. What was being published
    when the ledger was lost, and is signed nowhere, is removed.

    Args:
        settings: Where the ledger is; there must be no database yet.
        progress: Called with each run.

    Raises:
        Refused: There is a database.
        LedgerNotFound: Nothing is published.
        LedgerDamaged: What is published is not sound.
        LedgerUnwritable: The database cannot be written.
    """
    ports = open_ports(settings)
    _refuse_ledger(ports.database, "move it away if it is damaged")
    places = [ports.objects]
    if settings.archive is not None:
        places.append(open_objects(settings.archive))
    source = max(places, key=_largest_size)
    verification = Verification(replace(ports, objects=source), progress=progress, is_complete=True)
    faults = list(verification.published())
    _refuse_faults(source, (fault for fault in faults if not isinstance(fault, Stray)))
    with writing_to(ports.objects):
        with ports.database.make() as connection:
            _insert_rows(connection, source, verification.files)
        for name in _unsigned(source, verification.files, faults):
            source.delete(name)
        for place in places:
            with ports.database.publishing() as connection:
                publish(connection, place, source=None if place is source else source)
    return _moved(verification.files)


def copy_ledger(
    source: LedgerSettings, target: LedgerSettings, *, progress: Progress | None = None
) -> Moved:
    """Copy a ledger to another place: the same entries, root and origin, without the private key.

    Writers wait meanwhile. Repeated after it was cut short, it goes on.

    Args:
        source: The ledger, which must be sound.
        target: Where it is to be; there must be no database yet.
        progress: Called with each run.

    Raises:
        Refused: There is a database at the target.
        LedgerDamaged: The source is not sound, or another log is published at the target.
        LedgerUnwritable: The target cannot be written.
    """
    ports = open_ports(source)
    if not ports.database.exists():
        raise LedgerNotFound(f"no ledger at {ports.database.place}; check --ledger")
    with closing(open_database(target)) as database:
        _refuse_ledger(database, "name another place to copy to")
    verification = Verification(ports, progress=progress)
    _refuse_faults(ports.objects, verification)
    make_directories(target)
    there = open_ports(target)
    with writing_to(there.objects):
        with ports.database.reading() as connection:
            size = publish(connection, there.objects, source=ports.objects)
        _copy_cosigned(ports.objects, there.objects, size)
    return rebuild_ledger(target)


def _largest_size(objects: Objects) -> int:
    """Return how many entries are published in a place, at least."""
    try:
        return published_size(objects)
    except LedgerDamaged:
        return 0


def _refuse_ledger(database: Database, advice: str) -> None:
    """Refuse a place where there is a ledger already.

    Raises:
        Refused: There is one.
    """
    if database.exists():
        message = f"expected no ledger at {database.place}, got one; {advice}"
        raise Refused([Problem(source="ledger", message=message)])


def _refuse_faults(objects: Objects, faults: Iterable[Fault]) -> None:
    """Refuse what is not sound.

    Raises:
        LedgerDamaged: There is a fault.
    """
    found = list(faults)
    if found:
        shown = "; ".join(f"{fault.where}: {fault.problem}" for fault in found[:_FAULTS_SHOWN])
        more = f"; and {len(found) - _FAULTS_SHOWN} more" if len(found) > _FAULTS_SHOWN else ""
        raise LedgerDamaged(f"{objects.place} is not sound, nothing is made: {shown}{more}")


def _insert_rows(connection: sa.Connection, objects: Objects, files: LogFiles) -> None:
    """Insert every row that follows from a log.

    Raises:
        LedgerDamaged: A file has changed since it was verified.
    """
    if log.read_size(connection):
        raise LedgerDamaged("expected tables without rows, got some; another process made them")
    pending: dict[sa.Table, list[dict[str, object]]] = {}

    def add(table: sa.Table, values: dict[str, object]) -> None:
        rows = pending.setdefault(table, [])
        rows.append(values)
        if len(rows) == _ROWS:
            connection.execute(sa.insert(table), rows)
            rows.clear()

    for index in range(files.size):
        encoded, note = files.entry(index), objects.get(head_name(index + 1))
        if encoded is None or not files.is_head(note, index + 1):
            raise LedgerDamaged(f"entry {index} of the log has changed since it was verified")
        for table, values in log.rows_of(index, read_entry(encoded), encoded):
            add(table, dict(values))
        add(HEADS, {"tree_size": index + 1, "note": note})
    for (level, position), node in files.tree.nodes():
        add(NODES, dict(log.node_row(Node(level=level, index=position, hash=node))))
    for table, rows in pending.items():
        if rows:
            connection.execute(sa.insert(table), rows)
    _insert_notices(connection, objects, files)


def _insert_notices(connection: sa.Connection, objects: Objects, files: LogFiles) -> None:
    for index in (each for of_date in files.story.dates.values() for each in of_date):
        notices = read_recorded(objects, read_run(files.entry(index) or b""), NOTICES_FILE)
        log.add_notices(connection, index, log.notice_keys(notices))


def _unsigned(objects: Objects, files: LogFiles, faults: Iterable[Fault]) -> list[str]:
    """Return the files of entries that were being published and are signed nowhere."""
    indexes = (index for each in files.story.dates.values() for index in each)
    signed = {
        run_file(read_run(encoded)) for encoded in map(files.entry, indexes) if encoded is not None
    }
    found = (info.name for info in objects.list(EVIDENCE))
    names = [name for name in found if _RUN_FILE.fullmatch(name) and name not in signed]
    for fault in faults:
        with suppress(ValueError):
            if isinstance(fault, Stray):
                parse_file_name(fault.where)
                names.append(fault.where)
    return names


def _copy_cosigned(source: Objects, target: Objects, size: int) -> None:
    """Copy the heads with cosignatures; they are other bytes than those that are signed."""
    for found in source.list(WITNESSED):
        if int(found.name.rpartition("/")[2]) <= size:
            target.create(found.name, source.get(found.name))
    cosigned = source.get(CHECKPOINT)
    if unverified_checkpoint(cosigned) == unverified_checkpoint(target.get(CHECKPOINT)):
        target.put(CHECKPOINT, cosigned)


def _moved(files: LogFiles) -> Moved:
    found = files.story.log()
    assert found is not None, "a sound log has a key"  # noqa: S101
    return Moved(
        origin=found.origin,
        public_key=str(found.key),
        tree_size=files.size,
        runs=files.story.run_count,
        root=files.tree.root_of(files.size).hex(),
    )
