"""The main job: a business day allocated and recorded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa

from lottery.day.allocate import Day, PositionsInvalid, allocate
from lottery.day.assigned_pools import Integers
from lottery.day.keys import KeyedPositions, key_table
from lottery.day.own_occ_accounts import with_own_occ_accounts
from lottery.day.population import (
    assigned_before,
    differing_pools,
    drawn_from,
    of_pools,
    pool_name,
    pools_in,
)
from lottery.day.recheck import recheck
from lottery.day.tables import INT64_MAX
from lottery.errors import (
    NO_PROBLEMS,
    POPULATION_DIFFERS,
    PROPOSAL_DECIDED,
    PROPOSAL_EXPIRED,
    RUN_SUPERSEDED,
    Conflict,
    Problem,
    ProblemCollector,
    Problems,
    StandingChanged,
    quote,
)
from lottery.intake.as_of import as_of_problems
from lottery.intake.members import COLUMN, choose_member
from lottery.ledger import evidence
from lottery.ledger.claim import claim_of_draft
from lottery.ledger.commit import Ledger
from lottery.ledger.content import content_sha256
from lottery.ledger.continuing import continuation
from lottery.ledger.draft import RecordedRun, RunDraft, RunKey
from lottery.ledger.holds import HOLDS
from lottery.ledger.log_writer import ATTEMPTS
from lottery.ledger.occ_positions import occ_shorts, warnings_of
from lottery.ledger.rules import refuse_conflicts
from lottery.ledger.run_record import (
    MethodRecord,
    Superseding,
    is_run_id,
)
from lottery.ledger.warning_codes import OCC_ACCOUNT_ON_ONE_SIDE, OCC_SHORT_WARNINGS, WARNINGS
from lottery.method.methodology import OtherMembers, Pooling
from lottery.method.seed import RuleWarning, Seed
from lottery.operations.request import Progress, RunRequest
from lottery.operations.validation import (
    CYCLES,
    check_date,
    derive_seed_of,
    invalid_positions,
    repeated_notices,
    repeated_pools,
)

REASON_CHARACTERS: Final = 1_000
"""Maximum length of the reason to supersede or to acknowledge."""
A_REASON: Final = f"one line of 1 to {REASON_CHARACTERS} printable characters"

DERIVED_ID: Final = "content-"
"""What the request ids begin with that are derived from the content, and no other."""

_REQUEST_ID: Final = re.compile(rf"(?!{DERIVED_ID})[!-~]{{1,128}}")


def run_lottery(
    ledger: Ledger,
    request: RunRequest,
    *,
    dry_run: bool = False,
    proceed: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> RecordedRun:
    """Allocate a day and record it; as a proposal where the charter has four eyes.

    Args:
        ledger: The ledger.
        request: The day.
        dry_run: Whether to record nothing and to say what would have been.
        proceed: Called between the steps and right before the commit; raises to record nothing.
        progress: Receives the name of each step.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
        RunNotFound: A run to supersede is not recorded.
        Conflict: The run contradicts what is recorded, or is recorded and superseded since, or its
            request id's proposal can be approved no more; what would hold it is said too.
        Held: The run is held, and that is not acknowledged (H1).
        LedgerBusy: Another process holds the ledger's write lock.
    """
    draft = compute_day(request, progress=progress)
    if proceed is not None:
        proceed()
    if progress is not None:
        progress("checking" if dry_run else "recording")
    draft, content = _superseding_draft(ledger, request, draft)
    key = _key_of(ledger, request, content)
    record = ledger.rehearse if dry_run else partial(ledger.record, proceed=proceed)
    try:
        recorded = _recorded(ledger, request, draft, key, record, proceed)
    except Conflict as conflict:
        conflict.holds = ledger.holds(draft)
        raise
    if recorded.is_over:
        raise _over(recorded)
    if recorded.superseded_by is not None:
        raise Conflict(
            RUN_SUPERSEDED,
            f"run {recorded.record.run}, which this request recorded, is superseded by run "
            f"{recorded.superseded_by}",
            run=recorded.superseded_by,
        )
    return recorded


def compute_day(request: RunRequest, *, progress: Progress | None = None) -> RunDraft:
    """Allocate a day without recording it.

    Returns:
        The draft of the run as the request alone determines it: it continues and supersedes
        nothing yet.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
    """
    problems = request.intake_problems + check_date(request.business_date, request.methodology)
    seed, seed_problems = derive_seed_of(request.volumes, request.methodology)
    problems += _term_problems(request) + seed_problems
    for received in (request.volumes, request.positions):
        problems += as_of_problems(received.sources, received.locator, request.business_date)
    member, member_problems = _clearing_member(request)
    problems += member_problems
    if progress is not None:
        progress("arranging the accounts")
    problems += _row_problems(request)
    if progress is not None:
        progress("allocating")
    day = _allocate(request, seed, request.positions.positions, problems)
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    warnings = (*seed.warnings(), *request.warnings, *_occ_account_warnings(request))
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
        positions=with_own_occ_accounts(day.positions, request.positions.positions),
        day=day,
        warnings=warnings,
        sources=(
            *request.notices.sources,
            *request.positions.sources,
            *request.volumes.sources,
            *occ_sources,
            *request.mapping,
        ),
        requested_by=request.requested_by,
        clearing_member=member,
        occ_reports=request.notices.occ_reports,
        occ_shorts=shorts,
        acknowledged=request.acknowledged,
        may_be_cut_off=request.may_be_cut_off,
    )


def _allocate(
    request: RunRequest,
    seed: Seed | None,
    positions: KeyedPositions,
    problems: Problems,
    *,
    assigned_before: Integers | None = None,
) -> Day:
    """Allocate the request's notices to positions.

    Args:
        request: The day.
        seed: Its seed, or None if it is refused.
        positions: The positions of the assigned pools.
        problems: What is wrong with the request so far.
        assigned_before: What earlier cycles assigned of each pool (P6).

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
            assigned_before=assigned_before,
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
        assigned_before=assigned_before,
    )
    return day


def _clearing_member(request: RunRequest) -> tuple[str | None, Problems]:
    """Return the clearing member of the request's notices, and a problem if they are of several."""
    received = request.notices
    choice = choose_member(
        received.table, received.occ_reports, request.clearing_member, OtherMembers.REFUSE
    )
    is_known = any(problem.rule == "P8" for problem in received.problems)
    if choice.problem is None or is_known:
        return choice.member, NO_PROBLEMS
    return None, Problems.of(received.locator.problem(choice.problem, column=COLUMN, rule="P8"))


def _row_problems(request: RunRequest) -> Problems:
    """Return a problem for each repeated notice or pool, and for notices too large to add up."""
    problems = repeated_notices(request.notices, request.methodology.pool)
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
    return found.problems() + _reason_problems(request)


def _reason_problems(request: RunRequest) -> Problems:
    """Return a problem for each reason that is missing or malformed, and for unknown holds."""
    found = ProblemCollector()
    for code, why in request.acknowledged.items():
        if code not in HOLDS | WARNINGS:
            message = f"expected a hold, one of {', '.join(sorted(HOLDS))}; got {quote(code)}"
            found.add(Problem(source="acknowledge", message=message, rule="H1"))
        elif not is_reason(why):
            message = f"expected a reason for {code}, {A_REASON}"
            found.add(Problem(source="acknowledge", message=message, rule="H1"))
    reason = request.reason
    if request.supersedes and not (reason or "").strip():
        message = "a run that supersedes another one needs a reason"
        found.add(Problem(source="reason", message=message))
    elif reason is not None and not request.supersedes:
        message = "a reason is given, but no run to supersede"
        found.add(Problem(source="reason", message=message))
    elif reason is not None and not is_reason(reason):
        found.add(Problem(source="reason", message=f"a reason must be {A_REASON}"))
    return found.problems()


def is_reason(text: str) -> bool:
    """Return whether a text can be a reason: one line of printable characters."""
    return bool(text.strip()) and text.isprintable() and len(text) <= REASON_CHARACTERS


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


def _key_of(ledger: Ledger, request: RunRequest, content: str) -> RunKey:
    """Return what makes a request recorded only once.

    A derived id names the proposal before it if that can be approved no more: then the same command
    proposes the same content again, and once.
    """
    if request.request_id is not None:
        return RunKey(request_id=request.request_id, content_sha256=content)
    key = RunKey(request_id=f"{DERIVED_ID}{content}", content_sha256=content)
    while (known := ledger.known(key)) is not None and known.is_over:
        key = replace(key, request_id=f"{DERIVED_ID}{content}-{known.record.run}")
    return key


def _over(recorded: RecordedRun) -> Conflict:
    """Return the conflict of a request whose proposal can be approved no more."""
    run, verdict = recorded.record.run, recorded.verdict
    again = "propose it again with another request id"
    if verdict is None:
        return Conflict(
            PROPOSAL_EXPIRED,
            f"proposal {run}, which this request recorded, expired; {again}",
            run=run,
        )
    return Conflict(
        PROPOSAL_DECIDED,
        f"proposal {run}, which this request recorded, was rejected: {verdict.reason}; {again}",
        run=run,
    )


def _content_of(draft: RunDraft) -> str:
    return content_sha256(
        business_date=draft.business_date.isoformat(),
        cycle=draft.cycle,
        superseding=draft.superseding,
        method=MethodRecord.of(draft.methodology),
        seed=draft.seed,
        notices=draft.notices,
        positions=draft.day.positions,
        occ_shorts=draft.occ_shorts,
    )


def _recorded(
    ledger: Ledger,
    request: RunRequest,
    draft: RunDraft,
    key: RunKey,
    record: Callable[[RunDraft, RunKey], RecordedRun],
    proceed: Callable[[], None] | None,
) -> RecordedRun:
    """Record a draft, continuing the date's draws, again where another run was faster."""
    if ledger.known(key) is not None:  # It is answered with what is recorded.
        return record(draft, key)
    changed: StandingChanged | None = None
    for _ in range(ATTEMPTS):
        try:
            try:
                continued = _continued_draft(ledger, request, draft)
            except Conflict:
                if ledger.known(key) is None:
                    raise
                continued = draft  # The same request was faster; its run is the answer.
            if proceed is not None:
                proceed()
            return record(continued, key)
        except StandingChanged as error:  # Another run of the date was faster.
            changed = error
    assert changed is not None, "there was an attempt"  # noqa: S101
    raise changed


def _continued_draft(ledger: Ledger, request: RunRequest, draft: RunDraft) -> RunDraft:
    """Return the draft of a run whose late notices continue the date's draws (P6).

    Raises:
        Conflict: Positions of a pool are neither its first population nor what is left of it, or
            the runs to supersede cannot be.
        RunNotFound: A run to supersede is not recorded.
        Refused: A run to supersede is of another date.
    """
    standing = ledger.left_standing(draft.business_date.isoformat(), draft.superseding)
    pools = draft.day.pools
    names = pools_in(pools)
    drawn = continuation(standing, ledger.read, ledger.allocated, names)
    if not drawn.runs:
        return draft
    given = of_pools(draft.day.positions, drawn.continued, are_in=True)
    for difference in differing_pools(given, drawn.population):
        # That the very notices are allocated, or with another seed, says more than this.
        runs = tuple(record.run for record in standing)
        claim = replace(claim_of_draft(draft), rests_on=runs)
        refuse_conflicts(standing, ledger.allocated, claim)
        raise _population_differs(drawn.continued, *difference)
    population = drawn.positions()
    positions = drawn_from(draft.day.positions, drawn.continued, population)
    assigned = request.positions.assigned
    day = _allocate(
        request,
        draft.seed,
        key_table(positions, assigned, request.methodology.account_order),
        NO_PROBLEMS,
        assigned_before=assigned_before(names, drawn.continued),
    )
    return replace(
        draft,
        day=day,
        warnings=_with_occ_warnings(draft, day),
        rests_on=drawn.runs,
        continued=drawn.continued,
        population=population,
    )


def _population_differs(
    continued: pa.Table,
    pool: tuple[str, str],
    account: str,
    short: int,
    given: int | None,
    assigned: int,
) -> Conflict:
    """Return the conflict of a pool whose positions are another population (P6)."""
    (run,) = [
        row["first_run"]
        for row in continued.to_pylist()
        if (row["occ_account"], row["series"]) == pool
    ]
    had = f"{short}, or {short - assigned} without what was assigned since" if assigned else short
    expected = f"account {account} short {had}, got {'none' if given is None else given}"
    if (given or 0) in (short, short - assigned):
        expected = (
            "every account with what was assigned since, or every one without it, got account "
            f"{account} with it and others without"
        )
    return Conflict(
        POPULATION_DIFFERS,
        f"run {run} has drawn {pool_name(*pool)} from other positions: expected {expected}; leave "
        "the pool out of the file, or supersede that run to draw from others [P6]",
        run=run,
    )


def _with_occ_warnings(draft: RunDraft, day: Day) -> tuple[RuleWarning, ...]:
    """Return a draft's warnings, those about OCC's own figures by another day's pools."""
    if draft.occ_shorts is None:
        return draft.warnings
    others = tuple(one for one in draft.warnings if one.code not in OCC_SHORT_WARNINGS)
    return (*others, *warnings_of(draft.occ_shorts, day.pools))


def _occ_account_warnings(request: RunRequest) -> tuple[RuleWarning, ...]:
    """Return the warning that only one of notices and positions carries OCC accounts (P3)."""
    if request.methodology.pool is Pooling.SERIES:
        return ()
    in_notices = _has_occ_accounts(request.notices.table)
    in_positions = request.positions.has_occ_accounts
    if in_notices == in_positions or not request.notices.table.num_rows:
        return ()
    with_it, without = ("notices", "positions") if in_notices else ("positions", "notices")
    message = f"{with_it} carry an occ_account and {without} carry none: their pools do not meet"
    return (RuleWarning(code=OCC_ACCOUNT_ON_ONE_SIDE, rule="P3", message=message),)


def _has_occ_accounts(table: pa.Table) -> bool:
    return any(any(chunk.dictionary.to_pylist()) for chunk in table.column("occ_account").chunks)
