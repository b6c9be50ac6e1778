"""Verify what a run claims: against what was standing when it was recorded, or approved.

The rules are those that it was recorded under (`ledger.rules`). Under four eyes they hold twice: as
a run is proposed, and as it is approved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lottery.audit.fault import NO_FAULTS
from lottery.day.assigned_pools import pooled
from lottery.day.population import differing_pools, of_pools, pool_name, pools_in
from lottery.errors import LedgerDamaged, LotteryError
from lottery.ledger.allocated import AllocatedBy
from lottery.ledger.claim import claim_of_record
from lottery.ledger.continuing import Continuation, continuation
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.entry import Charter, canonical, digest_of
from lottery.ledger.evidence import CONTINUED_FILE, POSITIONS_FILE, Reader
from lottery.ledger.four_eyes import PROPOSED, Proposal, Verdict, expiry, wrong_in
from lottery.ledger.rules import (
    refuse_conflicts,
    refuse_dependents,
    refuse_held_notices,
    refuse_superseding,
)
from lottery.ledger.run_record import RunRecord, Superseding


def contradictions(
    record: RunRecord, before: DateRuns, read: Reader, allocated: AllocatedBy, now: str
) -> Iterator[str]:
    """Yield how a run contradicts what was standing, and what was waiting.

    Args:
        record: The run.
        before: The runs of its date before it was recorded, or approved.
        read: Reads a table of a run's evidence.
        allocated: Returns what a run has allocated.
        now: When it was recorded, or approved.
    """
    superseding = Superseding(runs=record.supersedes)
    standing = before.standing(superseding)
    for superseded in record.supersedes:
        try:
            refuse_superseding(before, superseded, record.business_date.isoformat())
        except LotteryError as error:
            yield str(error)
    try:
        refuse_dependents(before, superseding)
    except LotteryError as error:
        yield _conflict(error)
    try:
        claim = claim_of_record(record, read)
        every = tuple(one.run for one in standing)  # Which of them it must is judged below.
        refuse_conflicts(standing, allocated, replace(claim, rests_on=every))
        waiting = [one for one in before.waiting(now) if one.run != record.run]
        refuse_held_notices(waiting, allocated, claim)
        drawn = continuation(standing, read, allocated, pools_in(claim.pools))
        yield from _wrong_continuation(record, drawn, read)
    except NO_FAULTS:
        raise
    except (LedgerDamaged, OSError):
        return  # The evidence is reported where every file of it is read.
    except LotteryError as error:
        yield _conflict(error)


def proposal_problems(record: RunRecord, charter: Charter) -> Iterator[str]:
    """Yield how a run is no proposal where the charter asks for one, or one that waits otherwise.

    Args:
        record: The run.
        charter: The charter in force.
    """
    if not isinstance(record, Proposal):
        if charter.four_eyes:
            yield "expected a proposal, since its charter has four eyes, got a run without approval"
        return
    if not charter.four_eyes:
        yield "expected a run, since its charter has no four eyes, got a proposal"
    try:
        expected = expiry(record.recorded_at, charter.proposal_hours)
    except ValueError:
        expected = f"{charter.proposal_hours} hours after a time"
    if record.expires_at != expected:
        yield f"expected that it expires at {expected}, got {record.expires_at}"


def verdict_problems(
    verdict: Verdict, before: DateRuns, read: Reader, allocated: AllocatedBy
) -> Iterator[str]:
    """Yield what is wrong with a verdict.

    Args:
        verdict: The approval or rejection.
        before: The runs of its date before it.
        read: Reads a table of a run's evidence.
        allocated: Returns what a run has allocated.
    """
    found = [one for one in before.records if one.run == verdict.run]
    if not found or not isinstance(found[0], Proposal):
        yield "expected the verdict on a proposal before it, got none"
        return
    proposal = found[0]
    for expected, got in wrong_in(verdict, proposal, digest_of(canonical(proposal))):
        yield f"expected {expected}, got {got}"
    if verdict.run in before.verdicts:
        yield "expected one verdict on a proposal, got another"
    elif before.state_of(proposal, verdict.recorded_at) != PROPOSED:
        yield f"expected it before {proposal.expires_at}, got {verdict.recorded_at}"
    if verdict.is_approval:
        yield from contradictions(proposal, before, read, allocated, verdict.recorded_at)


def _conflict(error: LotteryError) -> str:
    return f"expected no conflict with standing runs, got {error.reason}: {error}"


def _wrong_continuation(record: RunRecord, drawn: Continuation, read: Reader) -> Iterator[str]:
    """Yield how a run continues other draws than the standing ones (P6)."""
    if drawn.runs != record.rests_on:
        yield (
            f"expected that it continues {', '.join(drawn.runs) or 'no run'}, "
            f"got {', '.join(record.rests_on) or 'none'}"
        )
    if not drawn.continued.equals(read(record, CONTINUED_FILE, None)):
        yield f"expected in {CONTINUED_FILE} what was drawn before it, got something else"
    elif drawn.continued.num_rows:
        given = pooled(read(record, POSITIONS_FILE, None), record.method.pooling)
        given = of_pools(given, drawn.continued, are_in=True)
        for pool, account, *_ in differing_pools(given, drawn.population):
            yield (
                f"expected in {POSITIONS_FILE} the first population of "
                f"{pool_name(*pool)}, or what is left of it, got another at account {account}"
            )
