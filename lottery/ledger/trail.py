"""The trail: who did what with the ledger, when, and with which software.

Every operation that writes, every export, replay and audit page is an entry. Entries are leaves of
a tree of their own with signed checkpoints, so that none can be changed or removed unnoticed.
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

from lottery.errors import LedgerDamaged, quote
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
        at: The time, UTC (RFC 3339).
        operation: One of this module's constants.
        subject: A run, a range of dates, or a checkpoint's size.
        outcome: How it ended, in a few words.
        by: The requester.
        software: The software that did it.
    """

    format: str
    at: str
    operation: str
    subject: str
    outcome: str
    by: Identity
    software: Software

    def canonical(self) -> bytes:
        """Return the canonical bytes (RFC 8785)."""
        return rfc8785.dumps(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return document


def entry_now(operation: str, subject: str, outcome: str, by: Identity) -> TrailEntry:
    """Return an entry with the present time and this software."""
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
    """Parse the canonical bytes of an entry.

    Raises:
        LedgerDamaged: The bytes are not an entry of this format, or are not canonical.
    """
    try:
        entry = _adapter().validate_json(canonical)
    except ValidationError as error:
        raise LedgerDamaged(f"cannot read a trail entry: {error.errors()[0]['msg']}") from error
    if entry.format != TRAIL_FORMAT:
        raise LedgerDamaged(
            f"expected a trail entry of the format {TRAIL_FORMAT}, got {quote(entry.format)}"
        )
    if entry.canonical() != canonical:
        raise LedgerDamaged("a trail entry is not in canonical form")
    return entry


def utc_now() -> str:
    """Return the present time in UTC with microseconds (RFC 3339)."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def system_identity() -> Identity:
    """Return the system user and the host of this process."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A user in a container may have no name.
        name = f"uid {os.getuid()}"
    return Identity(kind="system-user", name=name, host=socket.gethostname())


@functools.cache
def _adapter() -> TypeAdapter[TrailEntry]:
    return TypeAdapter(TrailEntry)
