"""The run record: the log's entry of a run.

It states who asked for what, the steps of the seed, the decisions, and the SHA-256 of every
evidence file. Its breaks are in the evidence's pools, because an entry is small.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import rfc8785
from pydantic import AfterValidator, SerializerFunctionWrapHandler, WrapSerializer

from lottery.errors import LedgerDamaged, quote
from lottery.method.methodology import METHODOLOGIES, Methodology, Pooling
from lottery.method.seed import RuleWarning, Seed
from lottery.version import NAME, VERSION

RUN: Final = "run"
ALLOCATED: Final = "ALLOCATED"
ALLOCATED_WITH_BREAKS: Final = "ALLOCATED_WITH_BREAKS"
NOTHING_ASSIGNED: Final = "NOTHING_ASSIGNED"
WITHDRAWN: Final = "WITHDRAWN"

EVIDENCE_NAME: Final = (
    r"(?:(?:sources/)?[A-Za-z0-9_][A-Za-z0-9_.-]*|[a-z_]+/part-(?:0|[1-9][0-9]{0,4})\.parquet)"
)
"""The only file names that a record may refer to, as a pattern; all are in the run's own folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A requester: a system user on a host, a certificate's subject, or an unknown peer."""

    kind: str
    name: str
    host: str

    def is_same_person(self, other: Identity) -> bool:
        """Return whether two requesters are one person: a name is, of any kind and on any host."""
        return self.name.casefold() == other.name.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """The software that computed a run."""

    name: str
    version: str


SOFTWARE: Final = Software(name=NAME, version=VERSION)
"""This software."""


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

    @property
    def pooling(self) -> Pooling:
        """What makes a pool (P3), also for a method that is unknown to this software."""
        is_series = self.decisions.get("pool") == Pooling.SERIES
        return Pooling.SERIES if is_series else Pooling.OCC_ACCOUNT

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
    """A source that was received: its digest, and the name it is kept under, if it is kept.

    Attributes:
        as_of: Of which date or time it says that it is (P7, S8), as it was written; None if it
            does not say.
    """

    role: str
    name: str
    sha256: str
    size: int
    kept_as: str | None
    as_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseding:
    """The sorted ids of the runs that a run supersedes, and the reason; empty by default."""

    runs: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A hold that the requester acknowledged (H1).

    Attributes:
        code: The hold.
        message: What was found.
        reason: Why the run was right all the same.
    """

    code: str
    message: str
    reason: str


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
        previous: The SHA-256 of the entry before it of its date, None for the first: the runs of a
            date are a chain, so that none of them can be overlooked.
        charter: The SHA-256 of the charter that was in force.
        supersedes: The runs of its date that it supersedes, sorted.
        reason: Why it supersedes them.
        rests_on: The runs whose draws it continues, in the order of recording (P6, H2).
        clearing_member: The clearing member whose notices they are (P8): the one that was named, or
            the only one that they name; None if neither is there.
        assigned_quantity: Contracts of all notices, including those of broken pools.
        allocated_quantity: Contracts allocated to accounts.
        break_count: Pools that are breaks; `pools.parquet` has them with both figures (D5).
        content_sha256: The digest of what the run's result follows from (`ledger.content`).
        evidence: Every file of its evidence, sorted by name.
    """

    type: Literal["run"] = RUN
    run: str
    previous: str | None
    charter: str
    business_date: dt.date
    cycle: int
    state: str
    request_id: str
    content_sha256: str
    supersedes: tuple[str, ...]
    reason: str | None
    acknowledgements: tuple[Acknowledgement, ...]
    rests_on: tuple[str, ...]
    method: MethodRecord
    seed: Annotated[Seed, AfterValidator(_with_four_digits), WrapSerializer(_seed_document)]
    clearing_member: str | None
    pool_count: int
    notice_count: int
    assigned_quantity: int
    allocated_quantity: int
    break_count: int
    warnings: tuple[RuleWarning, ...]
    sources: tuple[SourceRecord, ...]
    evidence: tuple[EvidenceFile, ...]
    requested_by: Identity
    recorded_at: str
    software: Software

    @property
    def folder(self) -> str:
        """The name of its evidence folder among the objects."""
        return evidence_folder(self.business_date, self.evidence)

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


@functools.lru_cache(maxsize=64)  # A record is asked for it with each of its files.
def evidence_folder(business_date: dt.date, files: tuple[EvidenceFile, ...]) -> str:
    """Return the folder of evidence files among the objects: its name is its content.

    The last part of it is the first 16 hexadecimal digits of the SHA-256 of the file list, the
    member `evidence` of the entry in canonical form (RFC 8785).
    """
    listed: Any = [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in files]
    digest = hashlib.sha256(rfc8785.dumps(listed)).hexdigest()
    return f"evidence/{business_date.isoformat()}/{digest[:16]}"


def state_of(*, notice_count: int, break_count: int, supersedes: bool) -> str:
    """Return the state of a run.

    A run without notices says that nothing was assigned, or, if it supersedes one, that OCC has
    taken that one's notices back (N1).
    """
    if not notice_count:
        return WITHDRAWN if supersedes else NOTHING_ASSIGNED
    return ALLOCATED_WITH_BREAKS if break_count else ALLOCATED


def supersedings(records: Iterable[RunRecord]) -> dict[str, str]:
    """Return every superseded run with the run that supersedes it, both of one date."""
    return {run: record.run for record in records for run in record.supersedes}


def is_run_id(text: str) -> bool:
    """Return whether a text has the form of a run id, such as `2024-09-16-001`."""
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{3,9}", text) is not None
