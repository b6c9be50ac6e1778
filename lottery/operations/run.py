"""The main job: a day allocated and recorded."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from lottery.day.allocate import Day, TotalTooLarge, allocate
from lottery.day.pools import arrange, overflowing_pools
from lottery.day.tables import INT64_MAX
from lottery.errors import Problem, Problems
from lottery.intake.received import Received, ReceivedVolumes, SourceFile
from lottery.ledger import evidence
from lottery.ledger.content import content_sha256
from lottery.ledger.run import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    RECORD_FORMAT,
    BreakRecord,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    SeedRecord,
    Software,
    SourceRecord,
    WarningRecord,
    occ_accounts_on_one_side,
)
from lottery.ledger.store import Ledger, Prepared
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import Seed
from lottery.operations.checks import (
    CYCLES,
    check_date,
    derive_seed_of,
    pool_name,
    refuse_accounts,
    refuse_doubled_notices,
)
from lottery.version import NAME, VERSION

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
    methodology: Methodology = JPMS_2024_09_06


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A recorded run, and whether it had been recorded before."""

    record: RunRecord
    already_recorded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedDay:
    """A day allocated and not recorded."""

    seed: Seed
    day: Day
    warnings: tuple[WarningRecord, ...]


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
        Conflict: It contradicts what stands recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    computed = compute_day(request, progress=progress)
    proceed()
    progress("recording")
    notices = evidence.sorted_notices(request.notices.table)
    method = MethodRecord.of(request.methodology)
    seed = SeedRecord.of(computed.seed)
    content = content_sha256(
        business_date=request.business_date.isoformat(),
        cycle=request.cycle,
        method=method,
        seed=seed,
        notices=notices,
        day=computed.day,
    )
    request_id = request.request_id or f"content-{content}"

    def record_of(run: str, evidence_files: tuple[EvidenceFile, ...]) -> RunRecord:
        return _record(request, computed, run, request_id, content, evidence_files)

    ledger = open_ledger()
    proceed()
    record, already_recorded = ledger.record(
        Prepared(
            business_date=request.business_date.isoformat(),
            request_id=request_id,
            content_sha256=content,
            seed=seed,
            notices=notices,
            day=computed.day,
            sources=_sources(request),
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
    seed = derive_seed_of(request.volumes, request.methodology, problems)
    progress("arranging the accounts")
    arrangement = arrange(
        request.notices.table, request.positions.table, request.methodology.account_order
    )
    refuse_doubled_notices(request.notices)
    for pool in overflowing_pools(arrangement.noticed):
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
        day = allocate(
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
    return ComputedDay(seed=seed, day=day, warnings=_warnings(request, seed))


def system_identity() -> Identity:
    """Who runs this process: the system's user on its host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user need not have a name.
        name = f"uid {os.getuid()}"
    return Identity(kind="system-user", name=name, host=socket.gethostname())


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
    )


def _record(
    request: RunRequest,
    computed: ComputedDay,
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
        recorded_at=dt.datetime.now(dt.UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z"),
        software=Software(name=NAME, version=VERSION),
    )
