"""The main job: a business day allocated and recorded."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from lottery.day.allocate import Day, PositionsInvalid, allocate
from lottery.day.keys import KeyedPositions, key_table
from lottery.day.recheck import recheck
from lottery.day.tables import INT64_MAX
from lottery.day.taken_off import take_off
from lottery.errors import NO_PROBLEMS, Problem, ProblemCollector, Problems, quote
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received, ReceivedVolumes
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.content import content_sha256
from lottery.ledger.draft import RecordedRun, RunDraft, RunKey
from lottery.ledger.occ_positions import occ_shorts, warnings_of
from lottery.ledger.run_record import (
    GROSS,
    NET,
    Identity,
    MethodRecord,
    RunRecord,
    Superseding,
    is_run_id,
)
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import RuleWarning, Seed
from lottery.operations.earlier_assignments import assigned_before, unmatched_problems
from lottery.operations.validation import (
    CYCLES,
    check_date,
    derive_seed_of,
    invalid_positions,
    pool_name,
    repeated_notices,
    repeated_pools,
)

REASON_CHARACTERS: Final = 1_000
"""Maximum length of the reason to supersede."""

OCC_ACCOUNT_ON_ONE_SIDE: Final = "OCC_ACCOUNT_ON_ONE_SIDE"
"""Code of the warning that only one of notices and positions carries OCC accounts (P3)."""

DERIVED_ID: Final = "content-"
"""What the request ids begin with that are derived from the content, and no other."""

_REQUEST_ID: Final = re.compile(rf"(?!{DERIVED_ID})[!-~]{{1,128}}")

Progress = Callable[[str], None]
"""Receives the name of each step as it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A day, or a cycle of it, to allocate and record.

    Attributes:
        business_date: The run's date.
        cycle: Its cycle, from 1.
        notices: The assignment notices.
        positions: The short positions.
        volumes: The four ask prices.
        requested_by: The requester.
        problems: What is wrong with the request's own fields, as they were received.
        request_id: An id that makes the request once-only; None derives one from the content.
        supersedes: The runs of the date that it supersedes, by id or as `latest`.
        reason: Why it supersedes them.
        positions_basis: `net` or `gross`; required if a pool was already allocated on the date.
        occ_positions: OCC's own figures, to compare with the positions as given.
        methodology: The method with its decisions, which must be those of the charter (C1).
    """

    business_date: dt.date
    cycle: int = 1
    notices: Received
    positions: ReceivedPositions
    volumes: ReceivedVolumes
    requested_by: Identity
    problems: Problems = NO_PROBLEMS
    request_id: str | None = None
    supersedes: tuple[str, ...] = ()
    reason: str | None = None
    positions_basis: str | None = None
    occ_positions: Received | None = None
    methodology: Methodology = JPMS_2024_09_06

    @property
    def intake_problems(self) -> Problems:
        """Everything that was wrong as the request was received; with any the run is refused."""
        problems = self.problems + self.volumes.problems
        problems += self.notices.problems + self.positions.problems
        return problems if self.occ_positions is None else problems + self.occ_positions.problems


def run_lottery(
    ledger: Ledger,
    request: RunRequest,
    *,
    proceed: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> RecordedRun:
    """Allocate a day and record it.

    Args:
        ledger: The ledger.
        request: The day.
        proceed: Called between the steps and right before the commit; raises to record nothing.
        progress: Receives the name of each step.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
        RunNotFound: A run to supersede is not recorded.
        Conflict: The run contradicts what is recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    draft = compute_day(request, progress=progress)
    if proceed is not None:
        proceed()
    if progress is not None:
        progress("recording")
    draft, content = _superseding_draft(ledger, request, draft)
    key = RunKey(request_id=request.request_id or f"{DERIVED_ID}{content}", content_sha256=content)
    if request.positions_basis == GROSS:
        standing = ledger.standing(draft.business_date.isoformat(), draft.superseding)
        # Asked after the standing runs: where this very run is one of them, it is known.
        if ledger.known(key) is None:
            draft = _net_draft(ledger, request, draft, standing)
    if proceed is not None:
        proceed()
    return ledger.record(draft, key, proceed=proceed)


def compute_day(request: RunRequest, *, progress: Progress | None = None) -> RunDraft:
    """Allocate a day without recording it.

    Returns:
        The draft of the run as the request alone determines it: gross positions are as given, and
        it supersedes nothing yet.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
    """
    problems = request.intake_problems + check_date(request.business_date, request.methodology)
    seed, seed_problems = derive_seed_of(request.volumes, request.methodology)
    problems += _term_problems(request) + seed_problems
    if progress is not None:
        progress("arranging the accounts")
    problems += _row_problems(request)
    if progress is not None:
        progress("allocating")
    day = _allocate(request, seed, request.positions.positions, problems)
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    warnings = (*seed.warnings(), *_occ_account_warnings(request))
    shorts = None
    if request.occ_positions is not None:
        shorts = occ_shorts(request.occ_positions.table, day.pools)
        warnings += warnings_of(shorts, day.pools)
    occ_sources = () if request.occ_positions is None else request.occ_positions.sources
    return RunDraft(
        business_date=request.business_date,
        cycle=request.cycle,
        methodology=request.methodology,
        seed=seed,
        notices=evidence.sorted_notices(request.notices.table),
        day=day,
        warnings=warnings,
        sources=(
            *request.notices.sources,
            *request.positions.sources,
            *request.volumes.sources,
            *occ_sources,
        ),
        requested_by=request.requested_by,
        occ_reports=request.notices.occ_reports,
        occ_shorts=shorts,
        positions_basis=request.positions_basis,
    )


def _allocate(
    request: RunRequest,
    seed: Seed | None,
    positions: KeyedPositions,
    problems: Problems,
) -> Day:
    """Allocate the request's notices to positions.

    Args:
        request: The day.
        seed: Its seed, or None if it is refused.
        positions: The positions of the assigned pools, as given or net.
        problems: What is wrong with the request so far.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
    """
    received = request.positions
    try:
        day = allocate(
            received.assigned,
            positions,
            # Without a seed, for what is wrong with the positions.
            ten_thousandths=1 if seed is None else seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except PositionsInvalid as error:
        problems += invalid_positions(received, error)
        problems.refuse_if_any()
        raise
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    recheck(
        day,
        received.assigned,
        positions,
        ten_thousandths=seed.ten_thousandths,
        zero_hit=request.methodology.zero_hit,
    )
    return day


def _row_problems(request: RunRequest) -> Problems:
    """Return a problem for each repeated notice or pool, and for notices too large to add up."""
    problems = repeated_notices(request.notices)
    if request.occ_positions is not None:
        problems += repeated_pools(request.occ_positions)
    overflows = (
        request.notices.locators[0].problem(
            f"the notices of {pool_name(pool.occ_account, pool.series)} must add up to at most "
            f"{INT64_MAX} contracts",
            column="quantity",
            rule="P5",
        )
        for pool in request.positions.assigned.overflowing()
    )
    return problems + Problems.of(*overflows)


def _term_problems(request: RunRequest) -> Problems:
    """Return a problem for each value that is malformed or contradicts another."""
    found = ProblemCollector()

    def refuse(source: str, message: str) -> None:
        found.add(Problem(source=source, message=message))

    if not 1 <= request.cycle <= CYCLES:
        refuse("cycle", f"cycle must be 1 to {CYCLES}, got {request.cycle}")
    if request.request_id is not None and not _REQUEST_ID.fullmatch(request.request_id):
        refuse(
            "request_id",
            "a request id must be 1 to 128 printable ASCII characters without spaces, and must not "
            f"begin with {DERIVED_ID}, as derived ones do; got {quote(request.request_id)}",
        )
    for run in request.supersedes:
        if run != "latest" and not is_run_id(run):
            refuse("supersede", f"expected a run id or latest, got {quote(run)}")
    reason = request.reason
    if request.supersedes and not (reason or "").strip():
        refuse("reason", "a run that supersedes another one needs a reason")
    if reason is not None and not request.supersedes:
        refuse("reason", "a reason is given, but no run to supersede")
    if reason is not None and not (reason.isprintable() and len(reason) <= REASON_CHARACTERS):
        refuse(
            "reason",
            f"a reason must be one line of at most {REASON_CHARACTERS} printable characters",
        )
    basis = request.positions_basis
    if basis not in (None, NET, GROSS):
        refuse("positions_basis", f"positions basis must be {NET} or {GROSS}, got {quote(basis)}")
    return found.problems()


def _superseding_draft(
    ledger: Ledger, request: RunRequest, draft: RunDraft
) -> tuple[RunDraft, str]:
    """Resolve which runs a draft supersedes, and digest its content.

    A repeated request that says `latest` means what it meant when its own run was recorded.

    Returns:
        The draft with the ids of the runs that it supersedes, and its content's digest.

    Raises:
        RunNotFound: `latest` is requested and nothing is recorded.
    """
    runs = set(request.supersedes)
    if "latest" in runs:
        latest = ledger.get("latest")
        if latest.supersedes:
            repeated = replace(
                draft, superseding=Superseding(runs=latest.supersedes, reason=request.reason)
            )
            content = _content_of(repeated)
            if content == latest.content_sha256:
                return repeated, content
        runs = runs - {"latest"} | {latest.run}
    draft = replace(draft, superseding=Superseding(runs=tuple(sorted(runs)), reason=request.reason))
    return draft, _content_of(draft)


def _content_of(draft: RunDraft) -> str:
    return content_sha256(
        business_date=draft.business_date.isoformat(),
        cycle=draft.cycle,
        superseding=draft.superseding,
        positions_basis=draft.positions_basis,
        method=MethodRecord.of(draft.methodology),
        seed=draft.seed,
        notices=draft.notices,
        day=draft.day,
        occ_shorts=draft.occ_shorts,
    )


def _net_draft(
    ledger: Ledger, request: RunRequest, draft: RunDraft, standing: Sequence[RunRecord]
) -> RunDraft:
    """Allocate again without what was assigned earlier on the date: the positions are gross.

    Args:
        ledger: The ledger.
        request: The day.
        draft: Its draft with the positions as given.
        standing: The standing runs of the date, without those that it supersedes.

    Raises:
        Refused: An account was assigned more than its gross position.
    """
    draft = replace(draft, standing=tuple(record.run for record in standing))
    runs, assigned = assigned_before(ledger, standing, draft.day.pools)
    if not runs:
        return draft
    received = request.positions
    net = take_off(received.table(), assigned)
    unmatched_problems(received, net.unmatched).refuse_if_any()
    positions = key_table(net.positions, received.assigned, request.methodology.account_order)
    return replace(
        draft,
        day=_allocate(request, draft.seed, positions, NO_PROBLEMS),
        taken_off=net.taken_off,
        taken_off_runs=runs,
    )


def _occ_account_warnings(request: RunRequest) -> tuple[RuleWarning, ...]:
    """Return the warning that only one of notices and positions carries OCC accounts (P3)."""
    in_notices = _has_occ_accounts(request.notices.table)
    in_positions = request.positions.has_occ_accounts
    if in_notices == in_positions:
        return ()
    with_it, without = ("notices", "positions") if in_notices else ("positions", "notices")
    message = f"{with_it} carry an occ_account and {without} carry none: their pools do not meet"
    return (RuleWarning(code=OCC_ACCOUNT_ON_ONE_SIDE, rule="P3", message=message),)


def _has_occ_accounts(table: pa.Table) -> bool:
    return any(any(chunk.dictionary.to_pylist()) for chunk in table.column("occ_account").chunks)
