"""The care of a ledger: its charter, its keys, what killed processes left, and how it stands."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from lottery.errors import Problem, Refused
from lottery.ledger import log
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Charter, NextKey, as_json, canonical, digest_of, read_run
from lottery.ledger.four_eyes import RUN_TYPES
from lottery.ledger.ports import Objects
from lottery.ledger.publish import EVIDENCE, FOLDER_PARTS, published_size
from lottery.ledger.run_record import Identity
from lottery.ledger.schema import ENTRIES, RUNS
from lottery.ledger.signing import next_key_file, take_key
from lottery.operations.ledgers import CharterTerms, LedgerSettings, open_ledger
from lottery.operations.standing import LedgerStatus
from lottery.stores.directory import Directory
from lottery.tlog.keys import create_key_file, read_key_file

SWEPT_AFTER: Final = dt.timedelta(days=7)
"""How old what a killed process left must be: no write takes that long."""

__all__ = [
    "SWEPT_AFTER",
    "Charter",
    "Swept",
    "amend_charter",
    "as_json",
    "bring_up",
    "charter_sha256",
    "charters",
    "rotate_key",
    "status_line",
    "status_of",
    "sweep_ledger",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep removed.

    Attributes:
        folders: Folders of evidence that no entry names.
        remains: Files and folders that were being written.
    """

    folders: tuple[str, ...]
    remains: tuple[str, ...]


def charters(ledger: Ledger) -> tuple[Charter, ...]:
    """Return every charter in the order of recording."""
    return ledger.charters()


def charter_sha256(charter: Charter) -> str:
    """Return the SHA-256 by which runs name a charter, hexadecimal."""
    return digest_of(canonical(charter))


def amend_charter(
    settings: LedgerSettings,
    *,
    holds_from: dt.date,
    change: Callable[[CharterTerms], CharterTerms],
    by: Identity,
) -> Charter:
    """Record another charter, for a date on which there is no run yet, and those after it.

    Args:
        settings: Where the ledger is.
        holds_from: The first business date that it holds for.
        change: Returns its terms, given those of the last one.
        by: The requester.

    Raises:
        Refused: A term is unknown, nothing changes, or a run of that date or a later one is
            recorded.
    """

    def make(last: Charter) -> Charter:
        members = change(CharterTerms.of(last)).members()
        amended = replace(last, public_key=None, **members, holds_from=holds_from, requested_by=by)
        begins_earlier = last.holds_from is not None and holds_from < last.holds_from
        if CharterTerms.of(amended) == CharterTerms.of(last) and not begins_earlier:
            message = (
                "expected a change of the last charter, got none; name one, such as "
                "--decision zero_hit=first"
            )
            raise Refused([Problem(source="charter", message=message)])
        return amended

    def refuse(connection: sa.Connection, charter: Charter) -> None:
        latest = connection.execute(sa.select(sa.func.max(RUNS.c.business_date))).scalar()
        if latest is not None and latest >= holds_from.isoformat():
            message = (
                f"expected a date after {latest}, the last one with a run, got "
                f"{charter.holds_from}: a run keeps the charter that it was recorded under"
            )
            raise Refused([Problem(source="from", message=message, rule="C1")])

    return open_ledger(settings).amend(make, refuse)


def rotate_key(settings: LedgerSettings, by: Identity) -> NextKey:
    """Give the log its next key, which takes the place of the present one in the key file.

    The next key is durable before the log names it. A process that is killed in between is finished
    by the next command that signs, or by this one again.

    Raises:
        KeyUnusable: The present key is not available, or the next one cannot be made.
    """
    ledger = open_ledger(settings)
    key_file = settings.signing_key()
    signer = ledger.log()
    take_key(key_file, signer.key)
    next_file = next_key_file(key_file)
    if next_file.exists():
        next_key = read_key_file(next_file)  # A process was killed before the log named it.
    else:
        next_key = create_key_file(next_file, signer.origin)
    entry = ledger.rotate(next_key.verifier, by)
    take_key(key_file, next_key.verifier)
    return entry


def sweep_ledger(settings: LedgerSettings, older_than: dt.timedelta = SWEPT_AFTER) -> Swept:
    """Remove what killed processes left: evidence that no entry names, and unfinished files.

    It holds the writer's lock, so that nothing is removed that is about to be named.

    Args:
        settings: Where the ledger is.
        older_than: How old it must be.

    Raises:
        LedgerBusy: Another process holds the lock.
        OSError: It cannot be removed.
    """
    ledger = open_ledger(settings)
    objects, before = ledger.ports.objects, ledger.ports.clock() - older_than
    removed: list[str] = []
    with ledger.ports.database.writing() as connection:
        ledger.own_log(connection)
        for folder, files in sorted(_unnamed_folders(connection, objects).items()):
            if max(files.values()) < before:
                for name in files:
                    objects.delete(name)
                removed.append(folder)
        remains = [path for place in (objects, ledger.archive) for path in _remains(place, before)]
        for path in remains:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return Swept(folders=tuple(removed), remains=tuple(map(str, remains)))


def status_of(ledger: Ledger, *, with_folders: bool = True) -> LedgerStatus:
    """Return how a ledger stands.

    Args:
        ledger: The ledger.
        with_folders: Whether to look for folders of evidence that no entry names.

    Raises:
        LedgerDamaged: What is published is not a log.
        OSError: The objects cannot be read.
    """
    objects = ledger.ports.objects
    with ledger.reading() as connection:
        signer, committed = log.read_log(connection), log.read_size(connection)
        unnamed = len(_unnamed_folders(connection, objects)) if with_folders else None
    return LedgerStatus(
        origin=signer.origin,
        public_key=str(signer.key),
        committed=committed,
        published=published_size(objects),
        archived=None if ledger.archive is None else published_size(ledger.archive),
        unnamed_folders=unnamed,
    )


def status_line(found: LedgerStatus) -> str:
    """Return how far a ledger's heads are, in one line."""
    parts = [f"committed {found.committed:,}", f"published {found.published:,}"]
    if found.archived is not None:
        parts.append(f"archived {found.archived:,}")
    return ", ".join(parts)


def bring_up(ledger: Ledger) -> LedgerStatus:
    """Publish and archive what is committed and not there yet; return how the ledger stands.

    Raises:
        LedgerUnfinished: It cannot be written now.
    """
    ledger.publish()
    if ledger.archive is not None:
        ledger.publish_archive()
    return status_of(ledger, with_folders=False)


def _unnamed_folders(
    connection: sa.Connection, objects: Objects
) -> dict[str, dict[str, dt.datetime]]:
    """Return the folders of evidence that no entry names, each with its files and their times."""
    found: dict[str, dict[str, dt.datetime]] = {}
    for info in objects.list(EVIDENCE):
        parts = info.name.split("/")
        if len(parts) > FOLDER_PARTS:
            folder = "/".join(parts[:FOLDER_PARTS])
            found.setdefault(folder, {})[info.name] = info.modified
    for folder in _named_folders(connection):
        found.pop(folder, None)
    return found


def _named_folders(connection: sa.Connection) -> Iterator[str]:
    query = sa.select(ENTRIES.c.entry).where(ENTRIES.c.type.in_(RUN_TYPES))
    for encoded in connection.execute(query).scalars():
        yield read_run(bytes(encoded)).folder


def _remains(objects: Objects | None, before: dt.datetime) -> Iterator[Path]:
    """Yield the unfinished files of a directory; a bucket has none."""
    if isinstance(objects, Directory):
        yield from objects.abandoned(before)
