"""The approval in a bundle: that another person approved the run, by an entry of the same log.

Not here: whether the approver had the role for it, which the ledger's doors decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lottery.audit.bundle import APPROVAL_FILE, APPROVAL_PROOF_FILE, PROOF_FILE
from lottery.audit.replay import Mismatch
from lottery.errors import LotteryError
from lottery.ledger.entry import digest_of, read_entry
from lottery.ledger.four_eyes import Proposal, Verdict, wrong_in
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof, verify_entry


def approval_mismatches(
    proposal: Proposal, canonical: bytes, directory: Path, proof: LogProof, key: VerifierKey
) -> Iterator[Mismatch]:
    """Yield what keeps a bundle's approval from approving its run.

    Args:
        proposal: The run, as it was proposed.
        canonical: The bytes of its entry.
        directory: The bundle's files.
        proof: The verified proof of the run's entry.
        key: The key of the log.
    """

    def mismatch(where: str, recorded: str, computed: object) -> Mismatch:
        return Mismatch(run=proposal.run, where=where, recorded=recorded, computed=str(computed))

    try:
        encoded = (directory / APPROVAL_FILE).read_bytes()
        own = LogProof.parse((directory / APPROVAL_PROOF_FILE).read_text("utf-8"))
        verify_entry(
            encoded,
            index=own.index,
            hashes=own.hashes,
            note=own.note,
            keys=[key],
            origin=key.name,
        )
        approval = read_entry(encoded)
    except (OSError, UnicodeDecodeError, LotteryError) as error:
        yield mismatch(APPROVAL_PROOF_FILE, f"a proof of {APPROVAL_FILE}", error)
        return
    if own.note != proof.note:
        yield mismatch(APPROVAL_PROOF_FILE, f"the checkpoint of {PROOF_FILE}", "another checkpoint")
    is_of_run = isinstance(approval, Verdict) and approval.run == proposal.run
    if not (isinstance(approval, Verdict) and is_of_run and approval.is_approval):
        yield mismatch(APPROVAL_FILE, f"the approval of run {proposal.run}", "another entry")
        return
    for expected, got in wrong_in(approval, proposal, digest_of(canonical)):
        yield mismatch(APPROVAL_FILE, expected, got)
    if not proposal.recorded_at <= approval.recorded_at < proposal.expires_at:
        times = f"a time from {proposal.recorded_at} to {proposal.expires_at}"
        yield mismatch(APPROVAL_FILE, times, approval.recorded_at)


def approval_in(directory: Path) -> Verdict:
    """Return the approval of a bundle that has no mismatches."""
    approval = read_entry((directory / APPROVAL_FILE).read_bytes())
    assert isinstance(approval, Verdict)  # noqa: S101 - `approval_mismatches` has looked.
    return approval
