"""Four eyes: a run that one person proposes, and the verdict of another one on it.

Where the charter has four eyes, what a run records is a proposal: the whole record, with its
evidence. An approval makes that very record stand; a rejection or its expiry ends it. Nothing is
computed again.

Invariants:
- A proposal has at most one verdict, by another person than its proposer, before it expires.
- Until it is approved a proposal counts for nobody; while it waits, nobody else has its notices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from lottery.errors import quote
from lottery.ledger.ports import rfc3339
from lottery.ledger.run_record import RUN, Identity, RunRecord, Software

PROPOSAL: Final = "proposal"
APPROVAL: Final = "approval"
REJECTION: Final = "rejection"

RUN_TYPES: Final = (RUN, PROPOSAL)
"""The types of the entries that are records of runs."""
VERDICT_TYPES: Final = (APPROVAL, REJECTION)
"""The types of the entries that are verdicts."""

PROPOSED: Final = "PROPOSED"
REJECTED: Final = "REJECTED"
EXPIRED: Final = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(RunRecord):
    """A run that is proposed; its members are those of a run, and its state is what it would be.

    Attributes:
        expires_at: Until when it can be approved, UTC (RFC 3339).
    """

    type: Literal["proposal"] = PROPOSAL  # type: ignore[assignment] # The entry's discriminator.
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The approval or the rejection of a proposal.

    Attributes:
        run: The proposal.
        record_sha256: The SHA-256 of its entry, as the approver named it.
        reason: Why it is rejected; None for an approval.
        previous: The SHA-256 of the entry before it of its date.
    """

    type: Literal["approval", "rejection"]
    run: str
    record_sha256: str
    reason: str | None
    previous: str
    requested_by: Identity
    recorded_at: str
    software: Software

    @property
    def is_approval(self) -> bool:
        """Whether it makes the proposal stand."""
        return self.type == APPROVAL


def wrong_in(verdict: Verdict, proposal: Proposal, digest: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a verdict on a proposal, whatever else there is of its date.

    Args:
        verdict: The verdict.
        proposal: What it is on.
        digest: The SHA-256 of the proposal's entry.

    Yields:
        What was expected, and what came.
    """
    if verdict.record_sha256 != digest:
        yield f"the record {digest}", verdict.record_sha256
    if proposal.requested_by.is_same_person(verdict.requested_by):
        yield "another person than the proposer", "the same"
    if verdict.is_approval != (verdict.reason is None):
        yield "a reason exactly if it rejects", quote(verdict.reason or "")


def expiry(recorded_at: str, hours: int) -> str:
    """Return until when a proposal can be approved.

    Args:
        recorded_at: When it was recorded.
        hours: How long a proposal waits, by its charter.

    Raises:
        ValueError: The time is malformed.
    """
    until = dt.datetime.fromisoformat(recorded_at) + dt.timedelta(hours=hours)
    return rfc3339(lambda: until)
