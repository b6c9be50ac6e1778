"""The run record and its canonical bytes (RFC 8785, JSON Canonicalization Scheme).

The record is what the ledger promises about a run: who asked for what, the seed's steps, the
decisions, and the SHA-256 of every evidence file. Its canonical bytes are kept as they are and
hashed as they are.

Invariants:
- Canonical bytes read back give an equal record, and its canonical bytes again.
- Integers past 2**53 - 1 are strings there, because JSON numbers are doubles to many readers.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import rfc8785
from pydantic import PlainSerializer, TypeAdapter, ValidationError

from lottery.day.allocate import Break
from lottery.errors import LedgerDamaged
from lottery.method.methodology import METHODOLOGIES, Methodology
from lottery.method.seed import Seed, SeedWarning

RECORD_FORMAT: Final = "lottery.run/1"
ALLOCATED: Final = "ALLOCATED"
ALLOCATED_WITH_BREAKS: Final = "ALLOCATED_WITH_BREAKS"

NET: Final = "net"
"""The positions have what was assigned before on their date taken off already."""
GROSS: Final = "gross"
"""What was assigned before on their date is still in the positions, and is taken off here."""

_EVIDENCE_NAME: Final = re.compile(r"(sources/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""A file within a run's folder; a record is not believed to name any other."""
_SAFE_INTEGER: Final = 2**53 - 1

Exact = Annotated[
    int, PlainSerializer(lambda number: number if number <= _SAFE_INTEGER else str(number))
]
"""An integer that is a string in JSON where a double could not hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asked: a system user on a host, a certificate's subject, or an unauthenticated peer."""

    kind: str
    name: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What computed it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRecord:
    """The method's version and every decision taken."""

    id: str
    effective: dt.date
    decisions: dict[str, str]

    @classmethod
    def of(cls, methodology: Methodology) -> MethodRecord:
        """The record of a method."""
        return cls(
            id=methodology.id,
            effective=methodology.effective,
            decisions=methodology.decisions(),
        )

    def methodology(self) -> Methodology:
        """The method recorded, with its decisions.

        Raises:
            LedgerDamaged: This software does not know the id or a decision.
        """
        known = METHODOLOGIES.get(self.id)
        if known is None:
            raise LedgerDamaged(f"the method {self.id!r} is not known to this version")
        try:
            return known.deciding(self.decisions)
        except ValueError as error:
            raise LedgerDamaged(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """One security's ask and volume."""

    security_number: str
    ask_price: str
    volume: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRecord:
    """The seed, every step (S1 to S6); composite, digits and fraction as text."""

    volumes: tuple[VolumeRecord, ...]
    composite: str
    length: int
    cut_position: int
    digits: str
    fraction: str

    @classmethod
    def of(cls, seed: Seed) -> SeedRecord:
        """The record of a seed."""
        return cls(
            volumes=tuple(
                VolumeRecord(
                    security_number=volume.security_number,
                    ask_price=volume.ask_price,
                    volume=volume.volume,
                )
                for volume in seed.volumes
            ),
            composite=str(seed.composite),
            length=seed.length,
            cut_position=seed.cut_position,
            digits=seed.digits,
            fraction=seed.fraction,
        )

    def volume_of(self) -> dict[str, int]:
        """The volumes by security: what makes two seeds the same (S8)."""
        return {volume.security_number: volume.volume for volume in self.volumes}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakRecord:
    """A broken pool with both figures (D5)."""

    occ_account: str
    series: str
    reason: str
    assigned_quantity: Exact
    total_short: Exact

    @classmethod
    def of(cls, broken: Break) -> BreakRecord:
        """The record of a break."""
        return cls(
            occ_account=broken.occ_account,
            series=broken.series,
            reason=broken.reason,
            assigned_quantity=broken.assigned_quantity,
            total_short=broken.total_short,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningRecord:
    """Something allowed and worth a look."""

    code: str
    rule: str
    message: str

    @classmethod
    def of(cls, warning: SeedWarning) -> WarningRecord:
        """The record of a seed's warning."""
        return cls(code=warning.code, rule=warning.rule, message=warning.message)


def occ_accounts_on_one_side(
    in_notices: bool,  # noqa: FBT001 - two sides of one question.
    in_positions: bool,  # noqa: FBT001
) -> tuple[WarningRecord, ...]:
    """The warning that notices or positions carry OCC accounts and the others do not (P3)."""
    if in_notices == in_positions:
        return ()
    with_it, without = ("notices", "positions") if in_notices else ("positions", "notices")
    return (
        WarningRecord(
            code="OCC_ACCOUNT_ON_ONE_SIDE",
            rule="P3",
            message=f"{with_it} carry an occ_account and {without} carry none: "
            "their pools do not meet",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A file of the run's evidence folder; the name is relative to it, with `/`."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """What was received: its digest, and where it is kept if it is."""

    role: str
    name: str
    sha256: str
    size: int
    kept_as: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseding:
    """The runs whose place a run takes, sorted, and why; nothing by default."""

    runs: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One recorded run; the contract names the fields of `lottery run --json` among them.

    Attributes:
        assigned_quantity: Contracts of all notices, those of broken pools too.
        allocated_quantity: Contracts that found an account.
        content_sha256: The digest of what the run's result follows from (`ledger.content`).
        supersedes: The runs of its date whose place it takes.
        reason: Why it takes their place; None where it supersedes nothing.
        positions_basis: `net` or `gross`, where that was said (the contract's ledger rule 3).
        taken_off: The runs whose assignments were taken off gross positions.
        evidence: Every file of the evidence folder but `run.json`, which is this record.
    """

    format: str
    run: str
    business_date: dt.date
    cycle: int
    state: str
    request_id: str
    content_sha256: str
    supersedes: tuple[str, ...]
    reason: str | None
    positions_basis: str | None
    taken_off: tuple[str, ...]
    method: MethodRecord
    seed: SeedRecord
    pool_count: int
    notice_count: int
    assigned_quantity: Exact
    allocated_quantity: Exact
    breaks: tuple[BreakRecord, ...]
    warnings: tuple[WarningRecord, ...]
    sources: tuple[SourceRecord, ...]
    evidence: tuple[EvidenceFile, ...]
    requested_by: Identity
    recorded_at: str
    software: Software

    def canonical(self) -> bytes:
        """The canonical bytes (RFC 8785)."""
        return rfc8785.dumps(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return document

    def digest_of(self, name: str) -> EvidenceFile | None:
        """The recorded digest of an evidence file."""
        return next((file for file in self.evidence if file.name == name), None)


def read_record(canonical: bytes) -> RunRecord:
    """The record of canonical bytes.

    Raises:
        LedgerDamaged: The bytes are no record of this format, or are not canonical.
    """
    try:
        record = _adapter().validate_json(canonical)
    except ValidationError as error:
        raise LedgerDamaged(f"a run record cannot be read: {error.errors()[0]['msg']}") from error
    if record.format != RECORD_FORMAT:
        raise LedgerDamaged(f"a run record has the unknown format {record.format!r}")
    names = [file.name for file in record.evidence]
    names += [
        f"sources/{source.kept_as}" for source in record.sources if source.kept_as is not None
    ]
    wrong = [name for name in names if not _EVIDENCE_NAME.fullmatch(name)]
    if wrong or not is_run_id(record.run):
        told = (wrong or [record.run])[0]
        raise LedgerDamaged(f"a run record names {told!r}, which is nothing of a ledger")
    try:
        is_canonical = record.canonical() == canonical
    except rfc8785.CanonicalizationError:
        is_canonical = False
    if not is_canonical:
        raise LedgerDamaged(f"the record of run {record.run} is not in its canonical form")
    return record


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a run's id, as `2024-09-16-001`."""
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{3,9}", text) is not None


def summary(
    record: RunRecord,
    *,
    already_recorded: bool | None = None,
    superseded_by: str | None = None,
) -> Mapping[str, Any]:
    """What `lottery run --json` prints of a record, by the contract's names."""
    document = record.as_json()
    seed = document["seed"]
    told = {
        "run": record.run,
        "state": record.state,
        "already_recorded": already_recorded,
        "business_date": document["business_date"],
        "cycle": record.cycle,
        "supersedes": list(record.supersedes),
        "reason": record.reason,
        "positions_basis": record.positions_basis,
        "taken_off": list(record.taken_off),
        "method": record.method.id,
        "composite": seed["composite"],
        "digits": seed["digits"],
        "fraction": seed["fraction"],
        "pool_count": record.pool_count,
        "notice_count": record.notice_count,
        "assigned_quantity": record.assigned_quantity,
        "allocated_quantity": record.allocated_quantity,
        "breaks": [
            {
                "occ_account": broken.occ_account,
                "series": broken.series,
                "reason": broken.reason,
                "assigned_quantity": broken.assigned_quantity,
                "total_short": broken.total_short,
            }
            for broken in record.breaks
        ],
        "warnings": document["warnings"],
        "request_id": record.request_id,
        "recorded_at": record.recorded_at,
        "superseded_by": superseded_by,
    }
    if already_recorded is None:
        del told["already_recorded"]
    return told


@functools.cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
