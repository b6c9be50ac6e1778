"""Four eyes: what waits for an approval, and the verdict of another person on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lottery.errors import Problem, Refused
from lottery.ledger.commit import Ledger
from lottery.ledger.decide import Decision, decide
from lottery.ledger.draft import RecordedRun
from lottery.ledger.run_record import Identity
from lottery.operations.answers import Proposals
from lottery.operations.run import A_REASON, is_reason


def list_proposals(ledger: Ledger) -> Proposals:
    """Return the proposals that wait for a verdict."""
    return Proposals(
        waiting=tuple(ledger.described(proposal) for proposal in ledger.proposals()),
        four_eyes=any(charter.four_eyes for charter in ledger.charters()),
    )


def approve_run(
    ledger: Ledger,
    run: str,
    *,
    record_sha256: str,
    by: Identity,
    proceed: Callable[[], None] | None = None,
) -> RecordedRun:
    """Make a proposal stand, or return it if the same person has approved it before.

    Args:
        ledger: The ledger.
        run: The proposal.
        record_sha256: The SHA-256 of its record, which was looked at.
        by: Who approves it: another person than its proposer.
        proceed: Called right before the commit; raises to record nothing.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It cannot be approved, or not by this person; the reason says why.
        LedgerDamaged: Its evidence is not what was recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    decision = Decision(run=run, record_sha256=record_sha256, reason=None, by=by)
    decided = decide(ledger, decision, proceed=proceed)
    return replace(decided, breaks=ledger.breaks_of(decided.record))


def reject_run(
    ledger: Ledger,
    run: str,
    *,
    record_sha256: str,
    reason: str,
    by: Identity,
    proceed: Callable[[], None] | None = None,
) -> RecordedRun:
    """End a proposal, or return it if the same person has rejected it before.

    Args:
        ledger: The ledger.
        run: The proposal.
        record_sha256: The SHA-256 of its record, which was looked at.
        reason: Why.
        by: Who rejects it: another person than its proposer.
        proceed: Called right before the commit; raises to record nothing.

    Raises:
        RunNotFound: There is no such run.
        Refused: The reason is not one line of text.
        Conflict: It cannot be rejected, or not by this person; the reason says why.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    if not is_reason(reason):
        raise Refused([Problem(source="reason", message=f"a reason must be {A_REASON}")])
    decision = Decision(run=run, record_sha256=record_sha256, reason=reason, by=by)
    decided = decide(ledger, decision, proceed=proceed)
    return replace(decided, breaks=ledger.breaks_of(decided.record))
