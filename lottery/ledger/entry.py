"""The entries of the log: facts as canonical JSON (RFC 8785), each of a type, at most 16 KiB.

    charter                                   what is decided, and since which date (C1)
    run                                       a recorded run (`ledger.run_record`)
    proposal, approval, rejection             a run under four eyes (`ledger.four_eyes`)
    request                                   a further request id of a recorded run
    key                                       the log's next key, signed by the one before
    export, replay, report, verification      what people did with the record

Invariants:
- Reading canonical bytes gives an equal entry, which has the same canonical bytes.
- Integers beyond 2**53 - 1 are strings in the JSON, because many readers parse numbers as doubles.
- An entry never changes and is never removed: it is a leaf of the log.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import rfc8785
from pydantic import Discriminator, TypeAdapter, ValidationError

from lottery.errors import LedgerDamaged, Problem, Refused, quote
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.ledger.run_record import (
    EVIDENCE_NAME,
    RUN,
    Identity,
    MethodRecord,
    RunRecord,
    Software,
    is_run_id,
)

ENTRY_BYTES: Final = 16 << 10
"""Maximum size of an entry."""
CHARTER: Final = "charter"
REQUEST: Final = "request"
KEY: Final = "key"
EXPORT: Final = "export"
REPLAY: Final = "replay"
REPORT: Final = "report"

_SAFE_INTEGER: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What a ledger's firm has decided (C1).

    Attributes:
        origin: The log's origin.
        public_key: The key that signs the log's first head (C2SP vkey); None in a later charter.
        method: The method's id and every named decision.
        approval_reference: The firm's reference of the approval or filing; empty if it gave none.
        notice_version: The version of the firm's notice to customers; empty if it gave none.
        clearing_member: The clearing member whose notices count (P8); empty if none is named.
        holds_from: The first business date that it holds for; None in the first charter.
        closed_dates: Dates on which the exchanges were closed, whatever their calendar says (H1).
        trading_dates: Dates on which they were open, likewise.
        holding_warnings: The codes of the warnings that hold a run as well (H1).
        four_eyes: Whether a run needs the approval of another person than its proposer.
        proposal_hours: How many hours a proposal waits before it expires.
        previous: The SHA-256 of the charter before it, None for the first.
    """

    type: Literal["charter"] = CHARTER
    origin: str
    public_key: str | None
    method: MethodRecord
    approval_reference: str
    notice_version: str
    clearing_member: str
    holds_from: dt.date | None
    closed_dates: tuple[dt.date, ...]
    trading_dates: tuple[dt.date, ...]
    holding_warnings: tuple[str, ...]
    four_eyes: bool
    proposal_hours: int
    previous: str | None
    requested_by: Identity
    recorded_at: str
    software: Software


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRequest:
    """A further request id that a recorded run answers, because its content is the same."""

    type: Literal["request"] = REQUEST
    request_id: str
    run: str
    requested_by: Identity
    recorded_at: str
    software: Software


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """The log's next key.

    Attributes:
        public_key: The key (C2SP vkey), under the log's origin.
        signs_from: The first size of the log that it signs: the head of this entry, of one less,
            is signed by the key before.
    """

    type: Literal["key"] = KEY
    public_key: str
    signs_from: int
    requested_by: Identity
    recorded_at: str
    software: Software


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What somebody did with the record.

    Attributes:
        subject: A run, a range of dates, or the ledger.
        outcome: How it ended, in a few words.
    """

    type: Literal["export", "replay", "report", "verification"]
    subject: str
    outcome: str
    requested_by: Identity
    recorded_at: str
    software: Software


Entry: TypeAlias = Charter | RunRecord | Proposal | Verdict | NamedRequest | NextKey | Activity


def canonical(entry: Entry) -> bytes:
    """Return an entry's canonical bytes (RFC 8785).

    Raises:
        Refused: They are more than `ENTRY_BYTES`.
    """
    encoded = rfc8785.dumps(as_json(entry))
    if len(encoded) > ENTRY_BYTES:
        raise Refused(
            [
                Problem(
                    source=entry.type,
                    message=f"an entry must have at most {ENTRY_BYTES} bytes, got {len(encoded)}; "
                    "shorten its texts, or supersede fewer runs at once",
                )
            ]
        )
    return encoded


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain JSON values."""
    document = _adapter().dump_python(entry, mode="json")
    return {name: _without_large_integers(value) for name, value in document.items()}


def read_entry(encoded: bytes) -> Entry:
    """Parse the canonical bytes of an entry.

    Raises:
        LedgerDamaged: The bytes are not an entry, or are not canonical.
    """
    try:
        entry = _adapter().validate_json(encoded)
    except ValidationError as error:
        raise LedgerDamaged(f"cannot read an entry: {error.errors()[0]['msg']}") from error
    if isinstance(entry, RunRecord):
        _check_names(entry)
    if rfc8785.dumps(as_json(entry)) != encoded:
        raise LedgerDamaged(f"expected an entry {quote(entry.type)} in canonical form, got another")
    return entry


def read_run(encoded: bytes) -> RunRecord:
    """Parse the canonical bytes of a run's entry, or of a proposal's.

    Raises:
        LedgerDamaged: The bytes are neither, or are not canonical.
    """
    entry = read_entry(encoded)
    if not isinstance(entry, RunRecord):
        raise LedgerDamaged(f"expected an entry {RUN}, got {entry.type}")
    return entry


def digest_of(encoded: bytes) -> str:
    """Return the SHA-256 by which entries name each other, hexadecimal."""
    return hashlib.sha256(encoded).hexdigest()


def another_member(charter: str, given: str | None) -> Problem:
    """Return the problem of a clearing member that is not the charter's (C1)."""
    got = "none" if given is None else quote(given)
    return Problem(
        source="clearing_member",
        message=f"expected that of the charter, {quote(charter)}, got {got}; leave it out, or "
        "change the charter for later dates with lottery charter amend",
        rule="C1",
    )


def _check_names(record: RunRecord) -> None:
    """Check the names by which a run's entry leads to files.

    Raises:
        LedgerDamaged: One is not such a name.
    """
    if not is_run_id(record.run):
        raise LedgerDamaged(f"expected a run id in a run record, got {quote(record.run)}")
    names = [file.name for file in record.evidence]
    names += [
        f"sources/{source.kept_as}" for source in record.sources if source.kept_as is not None
    ]
    for name in names:
        if not re.fullmatch(EVIDENCE_NAME, name):
            raise LedgerDamaged(
                f"the record of run {record.run} refers to {quote(name)}, "
                "which is not the name of an evidence file"
            )


def _without_large_integers(value: Any) -> Any:
    """Return JSON values with the integers that a double cannot hold as strings."""
    if isinstance(value, dict):
        return {name: _without_large_integers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_large_integers(member) for member in value]
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return str(value)
    return value


@functools.cache
def _adapter() -> TypeAdapter[Entry]:
    return TypeAdapter(Annotated[Entry, Discriminator("type")])
