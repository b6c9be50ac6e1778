"""The run record and its canonical bytes (RFC 8785, JSON Canonicalization Scheme).

The record states who asked for what, the steps of the seed, the decisions, and the SHA-256 of every
evidence file. Its canonical bytes are a leaf of the log.

Invariants:
- Reading canonical bytes gives an equal record, which has the same canonical bytes.
- Integers beyond 2**53 - 1 are strings in the JSON, because many readers parse numbers as doubles.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import rfc8785
from pydantic import (
    AfterValidator,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    WrapSerializer,
)

from lottery.day.allocate import Break
from lottery.errors import LedgerDamaged, quote
from lottery.method.methodology import METHODOLOGIES, Methodology
from lottery.method.seed import RuleWarning, Seed

RECORD_FORMAT: Final = "lottery.run/1"
ALLOCATED: Final = "ALLOCATED"
ALLOCATED_WITH_BREAKS: Final = "ALLOCATED_WITH_BREAKS"

NET: Final = "net"
"""Positions from which earlier assignments of the date are already deducted."""
GROSS: Final = "gross"
"""Positions that still include what was assigned earlier on the date; the run takes it off."""

EVIDENCE_NAME: Final = (
    r"(?:(?:sources/)?[A-Za-z0-9_][A-Za-z0-9_.-]*|[a-z_]+/part-(?:0|[1-9][0-9]{0,4})\.parquet)"
)
"""The only file names that a record may refer to, as a pattern; all are in the run's own folder."""
_SAFE_INTEGER: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A requester: a system user on a host, a certificate's subject, or an unknown peer."""

    kind: str
    name: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """The software that computed a run."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRecord:
    """The method's version and every decision, readable also if this software does not know it."""

    id: str
    effective: dt.date
    decisions: dict[str, str]

    @classmethod
    def of(cls, methodology: Methodology) -> MethodRecord:
        """Return the record of a method."""
        return cls(
            id=methodology.id,
            effective=methodology.effective,
            decisions=methodology.decisions(),
        )

    def methodology(self) -> Methodology:
        """Return the recorded method with its decisions.

        Raises:
            LedgerDamaged: The id or a decision is unknown to this software.
        """
        known = METHODOLOGIES.get(self.id)
        if known is None:
            raise LedgerDamaged(f"the method {quote(self.id)} is unknown to this version")
        try:
            return known.deciding(self.decisions)
        except ValueError as error:
            raise LedgerDamaged(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A file of the run's evidence folder; its name is relative to the folder, with `/`."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """A source that was received: its digest, and the name it is kept under, if it is kept."""

    role: str
    name: str
    sha256: str
    size: int
    kept_as: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseding:
    """The sorted ids of the runs that a run supersedes, and the reason; empty by default."""

    runs: tuple[str, ...] = ()
    reason: str | None = None


def _with_four_digits(seed: Seed) -> Seed:
    if re.fullmatch("[0-9]{4}", seed.digits) is None:
        raise ValueError(f"the seed's digits must be four digits, got {quote(seed.digits)}")
    return seed


def _seed_document(seed: Seed, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
    return {**dump(seed), "composite": str(seed.composite), "fraction": seed.fraction}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One recorded run.

    Attributes:
        assigned_quantity: Contracts of all notices, including those of broken pools.
        allocated_quantity: Contracts allocated to accounts.
        content_sha256: The digest of what the run's result follows from (`ledger.content`).
        supersedes: The runs of its date that it supersedes.
        reason: Why it supersedes them; None if it supersedes nothing.
        positions_basis: `net`, `gross`, or None if the request did not state it.
        taken_off: The runs whose assignments were taken off gross positions.
        evidence: Every file of the evidence folder except `run.json`, which is this record.
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
    seed: Annotated[Seed, AfterValidator(_with_four_digits), WrapSerializer(_seed_document)]
    pool_count: int
    notice_count: int
    assigned_quantity: int
    allocated_quantity: int
    breaks: tuple[Break, ...]
    warnings: tuple[RuleWarning, ...]
    sources: tuple[SourceRecord, ...]
    evidence: tuple[EvidenceFile, ...]
    requested_by: Identity
    recorded_at: str
    software: Software

    def canonical(self) -> bytes:
        """Return the canonical bytes (RFC 8785)."""
        return rfc8785.dumps(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        document = _adapter().dump_python(self, mode="json")
        return {name: _without_large_integers(value) for name, value in document.items()}

    def digest_of(self, name: str) -> EvidenceFile | None:
        """Return the recorded digest of an evidence file, or None if the record has none."""
        return next((file for file in self.evidence if file.name == name), None)

    def files_of(self, table: str) -> tuple[EvidenceFile, ...]:
        """Return the files of a table in the order of its rows: one, its parts, or none."""
        folder = f"{table.removesuffix('.parquet')}/"
        parts = [file for file in self.evidence if file.name.startswith(folder)]
        whole = [file for file in self.evidence if file.name == table]
        # The number of a part's digits comes first: part-10 is after part-9.
        return (*whole, *sorted(parts, key=lambda file: (len(file.name), file.name)))


def read_record(canonical: bytes) -> RunRecord:
    """Parse the canonical bytes of a record.

    Raises:
        LedgerDamaged: The bytes are not a record of this format, or are not canonical.
    """
    try:
        record = _adapter().validate_json(canonical)
    except ValidationError as error:
        raise LedgerDamaged(f"cannot read a run record: {error.errors()[0]['msg']}") from error
    if record.format != RECORD_FORMAT:
        raise LedgerDamaged(
            f"expected a run record of the format {RECORD_FORMAT}, got {quote(record.format)}"
        )
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
    if record.canonical() != canonical:
        raise LedgerDamaged(f"the record of run {record.run} is not in canonical form")
    return record


def is_run_id(text: str) -> bool:
    """Return whether a text has the form of a run id, such as `2024-09-16-001`."""
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{3,9}", text) is not None


def summary(
    record: RunRecord,
    *,
    already_recorded: bool | None = None,
    superseded_by: str | None = None,
) -> Mapping[str, Any]:
    """Return what `lottery run --json` prints of a record.

    Args:
        record: The record.
        already_recorded: Whether it had been recorded before; None leaves the member out.
        superseded_by: The run that supersedes it.
    """
    return {
        "run": record.run,
        "state": record.state,
        **({} if already_recorded is None else {"already_recorded": already_recorded}),
        "business_date": record.business_date.isoformat(),
        "cycle": record.cycle,
        "supersedes": list(record.supersedes),
        "reason": record.reason,
        "positions_basis": record.positions_basis,
        "taken_off": list(record.taken_off),
        "method": record.method.id,
        "composite": str(record.seed.composite),
        "digits": record.seed.digits,
        "fraction": record.seed.fraction,
        "pool_count": record.pool_count,
        "notice_count": record.notice_count,
        "assigned_quantity": record.assigned_quantity,
        "allocated_quantity": record.allocated_quantity,
        "breaks": [asdict(broken) for broken in record.breaks],
        "warnings": [asdict(warning) for warning in record.warnings],
        "request_id": record.request_id,
        "recorded_at": record.recorded_at,
        "superseded_by": superseded_by,
    }


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
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
