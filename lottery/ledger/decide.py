"""The verdict on a proposal: another person makes that very record stand, or ends it.

Nothing is computed again. At its approval every rule of the ledger is checked again, under the lock
that the insert needs, against what stands by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from lottery.errors import (
    NOT_PROPOSED,
    PROPOSAL_DECIDED,
    PROPOSAL_EXPIRED,
    PROPOSAL_OUTDATED,
    RECORD_DIFFERS,
    SAME_PERSON,
    Conflict,
    RunNotFound,
    StandingChanged,
    quote,
)
from lottery.ledger import log, queries
from lottery.ledger.claim import claim_of_record
from lottery.ledger.date_runs import DateRuns, described
from lottery.ledger.draft import RecordedRun
from lottery.ledger.entry import canonical, digest_of
from lottery.ledger.four_eyes import APPROVAL, PROPOSED, REJECTION, Proposal, Verdict
from lottery.ledger.holds import holds_by_record
from lottery.ledger.log_writer import LogWriter
from lottery.ledger.rules import judge
from lottery.ledger.run_record import SOFTWARE, Identity, is_run_id

_PROPOSE_AGAIN: Final = "reject it, and propose it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody decides about a proposal.

    Attributes:
        run: The proposal.
        record_sha256: The SHA-256 of its entry: what was looked at.
        reason: Why it is rejected; None approves it.
        by: Who decides.
    """

    run: str
    record_sha256: str
    reason: str | None
    by: Identity


def decide(
    ledger: LogWriter, decision: Decision, *, proceed: Callable[[], None] | None = None
) -> RecordedRun:
    """Record a verdict, or return what the same person has decided in the same way before.

    Args:
        ledger: The ledger.
        decision: What is decided.
        proceed: Called right before the verdict is inserted; raises to record nothing.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It is no proposal, another record than was named, decided already or expired; or
            the approver is its proposer; or it contradicts what stands since.
        LedgerBusy: Another process holds the write lock.
        LedgerUnfinished: The verdict is committed, but cannot be published now.
        LedgerDamaged: The ledger is not what was signed; nothing more is recorded.
    """

    def compose(
        connection: sa.Connection, signer: log.Log, head: log.Head
    ) -> Verdict | RecordedRun:
        if not is_run_id(decision.run):
            raise RunNotFound(decision.run)
        date = decision.run.rpartition("-")[0]
        runs = queries.proved_runs_of_date(connection, signer, head, date)
        proposal = _proposal(runs, decision)
        earlier = runs.verdicts.get(decision.run)
        if earlier is not None:
            _refuse_other(earlier, decision)
            return described(runs, proposal, ledger.now())
        now = ledger.now()
        _refuse_unfit(runs, proposal, decision, now)
        if decision.reason is None:
            _judge_again(ledger, connection, runs, proposal, now)
        if proceed is not None:
            proceed()
        assert runs.last_digest is not None, "there is the proposal"  # noqa: S101
        return Verdict(
            type=APPROVAL if decision.reason is None else REJECTION,
            run=decision.run,
            record_sha256=decision.record_sha256,
            reason=decision.reason,
            previous=runs.last_digest,
            requested_by=decision.by,
            recorded_at=now,
            software=SOFTWARE,
        )

    done = ledger.append(compose)
    if isinstance(done, RecordedRun):
        return done
    return replace(ledger.described(ledger.get(decision.run)), already_recorded=False)


def _proposal(runs: DateRuns, decision: Decision) -> Proposal:
    """Return the proposal that is decided about.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It is no proposal, or not the record that was named.
    """
    found = [record for record in runs.records if record.run == decision.run]
    if not found:
        raise RunNotFound(decision.run)
    (record,) = found
    if not isinstance(record, Proposal):
        raise Conflict(
            NOT_PROPOSED,
            f"run {record.run} is no proposal: the charter of {record.business_date} asks for no "
            "four eyes, and the run counts without an approval",
            run=record.run,
        )
    digest = digest_of(canonical(record))
    if decision.record_sha256 != digest:
        raise Conflict(
            RECORD_DIFFERS,
            f"expected {digest}, the SHA-256 of the record of run {record.run}, got "
            f"{quote(decision.record_sha256)}; look at the record again: lottery show {record.run}",
            run=record.run,
        )
    return record


def _refuse_other(earlier: Verdict, decision: Decision) -> None:
    """Refuse another verdict than the one that is recorded.

    Raises:
        Conflict: It is another one, or somebody else's.
    """
    is_same = earlier.is_approval == (decision.reason is None)
    if not is_same or not earlier.requested_by.is_same_person(decision.by):
        was = "approved" if earlier.is_approval else "rejected"
        raise Conflict(
            PROPOSAL_DECIDED,
            f"proposal {earlier.run} was {was} by {quote(earlier.requested_by.name)} at "
            f"{earlier.recorded_at}; a proposal has one verdict",
            run=earlier.run,
        )


def _refuse_unfit(runs: DateRuns, proposal: Proposal, decision: Decision, now: str) -> None:
    """Refuse a verdict that comes too late, or from the proposer.

    Raises:
        Conflict: It does.
    """
    if runs.state_of(proposal, now) != PROPOSED:
        raise Conflict(
            PROPOSAL_EXPIRED,
            f"proposal {proposal.run} expired at {proposal.expires_at}; propose it again",
            run=proposal.run,
        )
    if proposal.requested_by.is_same_person(decision.by):
        raise Conflict(
            SAME_PERSON,
            f"proposal {proposal.run} is by {quote(proposal.requested_by.name)}: expected the "
            "verdict of another person",
            run=proposal.run,
        )


def _judge_again(
    ledger: LogWriter, connection: sa.Connection, runs: DateRuns, proposal: Proposal, now: str
) -> None:
    """Judge a proposal by what stands now, and look for holds that nobody has acknowledged.

    Raises:
        Conflict: It contradicts what stands, or is held.
    """
    claim = claim_of_record(proposal, ledger.read)
    try:
        judge(claim, runs, ledger.allocated, now)
    except StandingChanged as changed:
        said = str(changed).removesuffix("; try again")
        raise _outdated(proposal, said) from changed
    except Conflict as conflict:
        message = f"{conflict}; {_PROPOSE_AGAIN}"
        raise Conflict(conflict.reason, message, run=conflict.run) from conflict
    known = {one.code for one in proposal.acknowledgements}
    keys = log.notice_keys(claim.notices)
    for hold in holds_by_record(connection, ledger.read, claim, keys):
        if hold.code not in known:
            raise _outdated(proposal, f"{hold.code}: {hold.message}")


def _outdated(proposal: Proposal, said: str) -> Conflict:
    return Conflict(
        PROPOSAL_OUTDATED,
        f"proposal {proposal.run} is outdated: {said}; {_PROPOSE_AGAIN}",
        run=proposal.run,
    )
