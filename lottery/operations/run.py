"""The main job: a day allocated and recorded."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from lottery.day.allocate import Day, TotalTooLarge, allocate
from lottery.day.arrange import arrange
from lottery.day.assigned_pools import overflowing_pools
from lottery.day.tables import INT64_MAX
from lottery.day.taken_off import take_off
from lottery.errors import Problem, Problems
from lottery.intake.sources import Received, ReceivedVolumes, SourceFile
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger, Prepared
from lottery.ledger.content import content_sha256
from lottery.ledger.occ_positions import occ_shorts, warnings_of
from lottery.ledger.run_record import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    GROSS,
    NET,
    RECORD_FORMAT,
    BreakRecord,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    SeedRecord,
    Software,
    SourceRecord,
    Superseding,
    WarningRecord,
    is_run_id,
    occ_accounts_on_one_side,
)
from lottery.ledger.trail import utc_now
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import Seed
from lottery.operations.earlier_assignments import assigned_before, refuse_unmatched
from lottery.operations.validation import (
    CYCLES,
    check_date,
    derive_seed_of,
    pool_name,
    refuse_accounts,
    refuse_doubled_notices,
    refuse_doubled_pools,
)
from lottery.version import NAME, VERSION

REASON_CHARACTERS: Final = 1_000
"""Of the reason to supersede, at most."""

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")

Progress = Callable[[str], None]
"""Told the name of each step as it starts."""


def _silent(_: str) -> None:
    """Tells nobody."""


def _proceed() -> None:
    """Lets a run be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A day, or a cycle of it, to allocate and record.

    Attributes:
        business_date: The run's date.
        cycle: Its cycle, from 1.
        notices: What OCC assigned.
        positions: Who is short.
        volumes: The four ask prices.
        problems: What the intake found wrong; the run is refused with what is found later.
        requested_by: Who asks.
        request_id: Once-only id; None derives one from the content.
        supersedes: Runs of the date whose place it takes, by their ids or `latest`.
        reason: Why it takes their place.
        positions_basis: `net` or `gross`; needed where a pool was allocated before on its date.
        occ_positions: OCC's own figures, to compare the positions as given with.
        methodology: The method with its decisions.
    """

    business_date: dt.date
    cycle: int = 1
    notices: Received
    positions: Received
    volumes: ReceivedVolumes
    problems: Problems
    requested_by: Identity
    request_id: str | None = None
    supersedes: tuple[str, ...] = ()
    reason: str | None = None
    positions_basis: str | None = None
    occ_positions: Received | None = None
    methodology: Methodology = JPMS_2024_09_06


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A recorded run.

    Attributes:
        already_recorded: Whether it had been recorded before.
        superseded_by: The run that has taken its place since, if one has.
    """

    record: RunRecord
    already_recorded: bool
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedDay:
    """A day allocated and not recorded.

    Attributes:
        standing_runs: The runs of its date that stood then; None where the positions are not gross.
        taken_off: `tables.TAKEN_OFF`, where something was taken off gross positions.
        taken_off_runs: The runs whose assignments were taken off.
        occ_shorts: OCC's figures of the pools (`occ_positions.occ_shorts`), where there are any.
    """

    seed: Seed
    day: Day
    warnings: tuple[WarningRecord, ...]
    standing_runs: tuple[str, ...] | None = None
    taken_off: pa.Table | None = None
    taken_off_runs: tuple[str, ...] = ()
    occ_shorts: pa.Table | None = None


def run_lottery(
    open_ledger: Callable[[], Ledger],
    request: RunRequest,
    *,
    proceed: Callable[[], None] = _proceed,
    progress: Progress = _silent,
) -> RunOutcome:
    """Allocates a day and records it.

    Args:
        open_ledger: Opens the ledger for writing; called once nothing is left to refuse.
        request: The day.
        proceed: Called between the steps and right before the commit; raises to record nothing.
        progress: Told each step.

    Raises:
        Refused: Something that came in is wrong; every problem is listed.
        RunNotFound: A run that it is to supersede is not recorded.
        Conflict: It contradicts what stands recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    computed = compute_day(request, progress=progress)
    proceed()
    progress("recording")
    notices = evidence.sorted_notices(request.notices.table)
    ledger = open_ledger()

    def content_of(superseding: Superseding) -> str:
        return content_sha256(
            business_date=request.business_date.isoformat(),
            cycle=request.cycle,
            superseding=superseding,
            positions_basis=request.positions_basis,
            method=MethodRecord.of(request.methodology),
            seed=SeedRecord.of(computed.seed),
            notices=notices,
            day=computed.day,
            occ_shorts=computed.occ_shorts,
        )

    superseding = _superseding(ledger, request, content_of)
    content = content_of(superseding)
    request_id = request.request_id or f"content-{content}"
    known = ledger.known(request_id, content)
    if known is not None:
        superseded_by = ledger.superseded_by(known.run)
        return RunOutcome(record=known, already_recorded=True, superseded_by=superseded_by)
    computed = _net_day(ledger, request, computed, superseding)

    def record_of(run: str, evidence_files: tuple[EvidenceFile, ...]) -> RunRecord:
        return _record(request, computed, superseding, run, request_id, content, evidence_files)

    proceed()
    record, already_recorded = ledger.record(
        Prepared(
            business_date=request.business_date.isoformat(),
            request_id=request_id,
            content_sha256=content,
            superseding=superseding,
            positions_basis=request.positions_basis,
            standing=computed.standing_runs,
            seed=SeedRecord.of(computed.seed),
            notices=notices,
            day=computed.day,
            taken_off=computed.taken_off,
            occ_reports=request.notices.occ_reports,
            sources=_sources(request),
            requested_by=request.requested_by,
            record_of=record_of,
        ),
        proceed=proceed,
    )
    return RunOutcome(record=record, already_recorded=already_recorded)


def compute_day(request: RunRequest, *, progress: Progress = _silent) -> ComputedDay:
    """Allocates a day without recording it.

    Raises:
        Refused: Something that came in is wrong; every problem is listed.
    """
    problems = request.problems
    check_date(request.business_date, request.methodology, problems)
    if not 1 <= request.cycle <= CYCLES:
        message = f"{request.cycle} is no cycle: 1 to {CYCLES} are"
        problems.add(Problem(source="cycle", message=message))
    if request.request_id is not None and not _REQUEST_ID.fullmatch(request.request_id):
        message = "a request id is 1 to 128 printable ASCII characters without blanks"
        problems.add(Problem(source="request_id", message=message))
    _check_superseding(request)
    seed = derive_seed_of(request.volumes, request.methodology, problems)
    progress("arranging the accounts")
    day = _allocate(request, seed, request.positions.table, progress)
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    shorts = None
    warnings = _warnings(request, seed)
    if request.occ_positions is not None:
        shorts = occ_shorts(request.occ_positions.table, day.pools)
        warnings += warnings_of(shorts, day.pools)
    return ComputedDay(seed=seed, day=day, warnings=warnings, occ_shorts=shorts)


def _allocate(
    request: RunRequest, seed: Seed | None, positions: pa.Table, progress: Progress
) -> Day:
    """Allocates the request's notices to positions.

    Raises:
        Refused: Something that came in is wrong; every problem is listed.
    """
    problems = request.problems
    arrangement = arrange(request.notices.table, positions, request.methodology.account_order)
    refuse_doubled_notices(request.notices)
    if request.occ_positions is not None:
        refuse_doubled_pools(request.occ_positions)
    for pool in overflowing_pools(arrangement.assigned):
        request.notices.places[0].refuse(
            f"the notices of {pool_name(pool.occ_account, pool.series)} add up to more than "
            f"{INT64_MAX} contracts",
            column="quantity",
            rule="P5",
        )
    refuse_accounts(request.positions, arrangement, request.methodology.account_order)
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    progress("allocating")
    try:
        return allocate(
            arrangement,
            ten_thousandths=seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except TotalTooLarge as error:
        for pool in error.pools:
            request.positions.places[0].refuse(
                f"{pool_name(pool.occ_account, pool.series)} is short more than {INT64_MAX} "
                "contracts",
                column="short_quantity",
                rule="R3",
            )
        problems.refuse_if_any()
        raise


def _check_superseding(request: RunRequest) -> None:
    """Refuses what says of superseding and of the positions' basis what cannot be."""
    add = request.problems.add
    for run in request.supersedes:
        if run != "latest" and not is_run_id(run):
            add(Problem(source="supersede", message=f"{run!r} is no run's id"))
    reason = request.reason
    if request.supersedes and not (reason or "").strip():
        add(Problem(source="reason", message="a run that supersedes another one says why"))
    if reason is not None and not request.supersedes:
        add(Problem(source="reason", message="there is a reason and no run to supersede"))
    if reason is not None and not (reason.isprintable() and len(reason) <= REASON_CHARACTERS):
        message = f"a reason is one line of at most {REASON_CHARACTERS} printable characters"
        add(Problem(source="reason", message=message))
    if request.positions_basis not in (None, NET, GROSS):
        message = f"{request.positions_basis!r} is no basis: {NET} and {GROSS} are"
        add(Problem(source="positions_basis", message=message))


def _superseding(
    ledger: Ledger, request: RunRequest, content_of: Callable[[Superseding], str]
) -> Superseding:
    """The runs to supersede by their own ids, sorted.

    The same command again, which says `latest`, means the run that was the latest before its own.

    Raises:
        RunNotFound: `latest` is meant and nothing is recorded.
    """
    if not request.supersedes:
        return Superseding(reason=request.reason)
    runs = set(request.supersedes)
    if "latest" in runs:
        latest = ledger.get("latest")
        as_recorded = Superseding(runs=latest.supersedes, reason=request.reason)
        if latest.supersedes and content_of(as_recorded) == latest.content_sha256:
            return as_recorded
        runs = runs - {"latest"} | {latest.run}
    return Superseding(runs=tuple(sorted(runs)), reason=request.reason)


def _net_day(
    ledger: Ledger, request: RunRequest, computed: ComputedDay, superseding: Superseding
) -> ComputedDay:
    """The day again without what was assigned before on its date, where the positions are gross.

    Raises:
        Refused: An account was assigned more before than its gross position has.
    """
    if request.positions_basis != GROSS:
        return computed
    standing = ledger.standing(request.business_date.isoformat(), superseding)
    runs, assigned = assigned_before(ledger, standing, computed.day.pools)
    standing_runs = tuple(record.run for record in standing)
    if not runs:
        return replace(computed, standing_runs=standing_runs)
    net = take_off(request.positions.table, assigned)
    refuse_unmatched(request.positions, net.unmatched)
    request.problems.refuse_if_any()
    return replace(
        computed,
        day=_allocate(request, computed.seed, net.positions, _silent),
        standing_runs=standing_runs,
        taken_off=net.taken_off,
        taken_off_runs=runs,
    )


def _warnings(request: RunRequest, seed: Seed) -> tuple[WarningRecord, ...]:
    found = [WarningRecord.of(warning) for warning in seed.warnings()]
    one_side = occ_accounts_on_one_side(
        _has_occ_accounts(request.notices.table), _has_occ_accounts(request.positions.table)
    )
    return (*found, *one_side)


def _has_occ_accounts(table: pa.Table) -> bool:
    return any(any(chunk.dictionary.to_pylist()) for chunk in table.column("occ_account").chunks)


def _sources(request: RunRequest) -> tuple[SourceFile, ...]:
    return (
        *request.notices.sources,
        *request.positions.sources,
        *request.volumes.sources,
        *(request.occ_positions.sources if request.occ_positions is not None else ()),
    )


def _record(
    request: RunRequest,
    computed: ComputedDay,
    superseding: Superseding,
    run: str,
    request_id: str,
    content: str,
    evidence_files: tuple[EvidenceFile, ...],
) -> RunRecord:
    day = computed.day
    return RunRecord(
        format=RECORD_FORMAT,
        run=run,
        business_date=request.business_date,
        cycle=request.cycle,
        state=ALLOCATED_WITH_BREAKS if day.breaks else ALLOCATED,
        request_id=request_id,
        content_sha256=content,
        supersedes=superseding.runs,
        reason=superseding.reason,
        positions_basis=request.positions_basis,
        taken_off=computed.taken_off_runs,
        method=MethodRecord.of(request.methodology),
        seed=SeedRecord.of(computed.seed),
        pool_count=day.pools.num_rows,
        notice_count=request.notices.table.num_rows,
        assigned_quantity=sum(day.pools.column("assigned_quantity").to_pylist()),
        allocated_quantity=day.allocated_quantity,
        breaks=tuple(BreakRecord.of(broken) for broken in day.breaks),
        warnings=computed.warnings,
        sources=tuple(
            SourceRecord(
                role=source.role,
                name=source.name,
                sha256=source.sha256,
                size=source.size,
                kept_as=None if source.content is None else source.kept_as,
            )
            for source in _sources(request)
        ),
        evidence=evidence_files,
        requested_by=request.requested_by,
        recorded_at=utc_now(),
        software=Software(name=NAME, version=VERSION),
    )
