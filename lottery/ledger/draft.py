"""The draft of a run, and the record that the ledger makes of it.

A draft is complete but for what only the ledger knows: the run's id, the digests of its evidence,
and the time of recording.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from lottery.day.allocate import Break, Day
from lottery.day.tables import CONTINUED, POSITIONS
from lottery.intake.sources import SourceFile
from lottery.ledger.four_eyes import EXPIRED, PROPOSED, REJECTED, Proposal, Verdict
from lottery.ledger.run_record import (
    SOFTWARE,
    Acknowledgement,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    SourceRecord,
    Superseding,
    state_of,
)
from lottery.method.methodology import Methodology
from lottery.method.seed import RuleWarning, Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDraft:
    """A run that is computed and not yet recorded.

    Attributes:
        business_date: Its date.
        cycle: Its cycle, from 1.
        methodology: The method with its decisions.
        seed: Its seed.
        notices: `tables.NOTICES`, sorted (`evidence.sorted_notices`).
        positions: `tables.POSITIONS`, the open positions of its pools as they were given, by pool
            and in account order.
        day: The allocated day.
        warnings: What deserves attention.
        sources: Everything that was received.
        requested_by: The requester.
        clearing_member: The clearing member whose notices they are (P8), or None.
        occ_reports: `tables.OCC_REPORTS`, or None if OCC reports nothing else about the notices.
        occ_shorts: OCC's figures of the pools (`occ_positions.occ_shorts`), if they are compared.
        superseding: The runs that it supersedes.
        acknowledged: The holds that its requester acknowledges, by code, each with the reason (H1).
        may_be_cut_off: The text files that may have lost their end, by name.
        rests_on: The runs whose draws it continues (P6).
        continued: `tables.CONTINUED`, the pools of these draws.
        population: `tables.POSITIONS`, the first population of these pools.
    """

    business_date: dt.date
    cycle: int
    methodology: Methodology
    seed: Seed
    notices: pa.Table
    positions: pa.Table
    day: Day
    warnings: tuple[RuleWarning, ...]
    sources: tuple[SourceFile, ...]
    requested_by: Identity
    clearing_member: str | None = None
    occ_reports: pa.Table | None = None
    occ_shorts: pa.Table | None = None
    superseding: Superseding = field(default_factory=Superseding)
    acknowledged: Mapping[str, str] = field(default_factory=dict)
    may_be_cut_off: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    continued: pa.Table = field(default_factory=CONTINUED.empty_table)
    population: pa.Table = field(default_factory=POSITIONS.empty_table)

    @property
    def takes_back(self) -> bool:
        """Whether it only takes notices back and allocates nothing (N1)."""
        return bool(self.superseding.runs) and not self.notices.num_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What makes a run recorded only once.

    Attributes:
        request_id: The request's id, of the requester's choice or derived from the content.
        content_sha256: The digest of what the result follows from (`ledger.content`).
    """

    request_id: str
    content_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A recorded run, and what became of it.

    Attributes:
        record: The run's record.
        state: Its state: that of its record, unless it is a proposal that is not approved.
        already_recorded: Whether the run had been recorded before.
        superseded_by: The run that supersedes it since.
        verdict: The verdict on it, if it is a proposal that has one.
        breaks: Its pools that are breaks.
        is_named: Whether the request's own id has been answered before.
        is_rehearsed: Whether it is not recorded, and only what the record would be.
    """

    record: RunRecord
    state: str
    already_recorded: bool
    superseded_by: str | None = None
    verdict: Verdict | None = None
    breaks: tuple[Break, ...] = ()
    is_named: bool = True
    is_rehearsed: bool = False

    @property
    def counts(self) -> bool:
        """Whether it counts: it needs no approval, or has it."""
        return self.state not in (PROPOSED, REJECTED, EXPIRED)

    @property
    def is_over(self) -> bool:
        """Whether it is a proposal that can be approved no more."""
        return self.state in (REJECTED, EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a draft gets its place in the log, known under the writer's lock alone.

    Attributes:
        run: The run's id.
        previous: The SHA-256 of the entry before it of its date, or None.
        charter: The SHA-256 of the charter in force.
        recorded_at: The time, UTC (RFC 3339).
        acknowledgements: What would have held it and was acknowledged.
        expires_at: Until when it can be approved; None if it needs no approval.
    """

    run: str
    previous: str | None
    charter: str
    recorded_at: str
    acknowledgements: tuple[Acknowledgement, ...]
    expires_at: str | None = None


def finished_record(
    draft: RunDraft, key: RunKey, place: Place, evidence: tuple[EvidenceFile, ...]
) -> RunRecord:
    """Return the record of a draft; a proposal, if it can expire.

    Args:
        draft: The draft.
        key: What makes it recorded only once.
        place: Its place in the log.
        evidence: Its evidence files.
    """
    day = draft.day
    make: Callable[..., RunRecord] = RunRecord
    if place.expires_at is not None:
        make = partial(Proposal, expires_at=place.expires_at)
    return make(
        run=place.run,
        previous=place.previous,
        charter=place.charter,
        business_date=draft.business_date,
        cycle=draft.cycle,
        state=state_of(
            notice_count=draft.notices.num_rows,
            break_count=len(day.breaks),
            supersedes=bool(draft.superseding.runs),
        ),
        request_id=key.request_id,
        content_sha256=key.content_sha256,
        supersedes=draft.superseding.runs,
        reason=draft.superseding.reason,
        acknowledgements=place.acknowledgements,
        rests_on=draft.rests_on,
        method=MethodRecord.of(draft.methodology),
        seed=draft.seed,
        clearing_member=draft.clearing_member,
        pool_count=day.pools.num_rows,
        notice_count=draft.notices.num_rows,
        assigned_quantity=sum(day.pools.column("assigned_quantity").to_pylist()),
        allocated_quantity=day.allocated_quantity,
        break_count=len(day.breaks),
        warnings=draft.warnings,
        sources=tuple(
            SourceRecord(
                role=source.role,
                name=source.name,
                sha256=source.sha256,
                size=source.size,
                kept_as=None if source.content is None else source.kept_as,
                as_of=source.as_of,
            )
            for source in draft.sources
        ),
        evidence=evidence,
        requested_by=draft.requested_by,
        recorded_at=place.recorded_at,
        software=SOFTWARE,
    )
