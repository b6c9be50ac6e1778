"""The trail: who did what to the ledger, when, and with which software.

Every operation that writes, every export, every replay and every audit page is an entry. Entries
are the leaves of a tree of their own, whose signed head is kept beside that of the runs, so that
none can be changed or left out unseen.
"""

from __future__ import annotations

import datetime as dt
import functools
import getpass
import os
import socket
from dataclasses import dataclass
from typing import Any, Final

import rfc8785
from pydantic import TypeAdapter, ValidationError

from lottery.errors import LedgerDamaged
from lottery.ledger.run_record import Identity, Software
from lottery.version import NAME, VERSION

TRAIL_FORMAT: Final = "lottery.trail/1"

LEDGER_MADE: Final = "LEDGER_MADE"
RUN_RECORDED: Final = "RUN_RECORDED"
WRITE_RECOVERED: Final = "WRITE_RECOVERED"
CHECKPOINT_COSIGNED: Final = "CHECKPOINT_COSIGNED"
RUN_EXPORTED: Final = "RUN_EXPORTED"
RUNS_REPLAYED: Final = "RUNS_REPLAYED"
RUN_REPORTED: Final = "RUN_REPORTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """One operation.

    Attributes:
        at: When, UTC (RFC 3339).
        operation: What, one of this module's words.
        subject: To what: a run, a span of dates, a checkpoint's size.
        outcome: How it ended, as a sentence's part.
        by: Who asked.
        software: What did it.
    """

    format: str
    at: str
    operation: str
    subject: str
    outcome: str
    by: Identity
    software: Software

    def canonical(self) -> bytes:
        """The canonical bytes (RFC 8785)."""
        return rfc8785.dumps(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return document


def entry_now(operation: str, subject: str, outcome: str, by: Identity) -> TrailEntry:
    """An entry of this moment and this software."""
    return TrailEntry(
        format=TRAIL_FORMAT,
        at=utc_now(),
        operation=operation,
        subject=subject,
        outcome=outcome,
        by=by,
        software=Software(name=NAME, version=VERSION),
    )


def read_entry(canonical: bytes) -> TrailEntry:
    """The entry of canonical bytes.

    Raises:
        LedgerDamaged: The bytes are no entry of this format, or are not canonical.
    """
    try:
        entry = _adapter().validate_json(canonical)
    except ValidationError as error:
        raise LedgerDamaged(f"a trail entry cannot be read: {error.errors()[0]['msg']}") from error
    if entry.format != TRAIL_FORMAT:
        raise LedgerDamaged(f"a trail entry has the unknown format {entry.format!r}")
    if entry.canonical() != canonical:
        raise LedgerDamaged("a trail entry is not in its canonical form")
    return entry


def utc_now() -> str:
    """This moment in UTC (RFC 3339), with microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def system_identity() -> Identity:
    """Who runs this process: the system's user on its host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user need not have a name.
        name = f"uid {os.getuid()}"
    return Identity(kind="system-user", name=name, host=socket.gethostname())


@functools.cache
def _adapter() -> TypeAdapter[TrailEntry]:
    return TypeAdapter(TrailEntry)
