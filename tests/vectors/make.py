"""Make the golden entries: `python -m tests.vectors.make`, from the top of the checkout.

Only where an entry's form changes on purpose: its bytes are what every ledger's digests cover.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from lottery.ledger.entry import (
    Activity,
    Charter,
    Entry,
    NamedRequest,
    NextKey,
    canonical,
)
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.ledger.run_record import (
    ALLOCATED_WITH_BREAKS,
    Acknowledgement,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    Software,
    SourceRecord,
)
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import ExchangeVolume, RuleWarning, Seed

GOLDEN = Path(__file__).parent / "entries"
"""A file for each entry of `ENTRIES`, by its type."""

WHO = Identity(kind="system-user", name="töster", host="desk")
WHEN = "2024-09-16T22:15:00.000001Z"
SOFTWARE = Software(name="options-assignment-lottery", version="0.1.0")
RECORD = RunRecord(
    run="2024-09-16-001",
    previous="0a" * 32,
    charter="0b" * 32,
    business_date=dt.date(2024, 9, 16),
    cycle=1,
    state=ALLOCATED_WITH_BREAKS,
    request_id="content-00",
    content_sha256="5e" * 32,
    supersedes=("2024-09-13-001", "2024-09-13-002"),
    reason="the “short” file was yesterday's",
    acknowledgements=(
        Acknowledgement(
            code="STALE_VOLUMES", message="the composite is that of a run", reason="checked, “ok”"
        ),
    ),
    rests_on=("2024-09-13-003",),
    method=MethodRecord.of(JPMS_2024_09_06),
    seed=Seed(
        volumes=(
            ExchangeVolume(
                security_number="Z901803", ask_price="90071992547.40991", volume=2**53 - 1
            ),
            ExchangeVolume(security_number="Z901439", ask_price="90071992547.40992", volume=2**53),
            ExchangeVolume(security_number="Z901466", ask_price="0", volume=0),
            ExchangeVolume(security_number="Z901448", ask_price="0.00001", volume=1),
        ),
        composite=2**54,
        length=17,
        cut_position=12,
        digits="4819",
    ),
    clearing_member="00099",
    pool_count=2,
    notice_count=3,
    assigned_quantity=2**63 - 1,
    allocated_quantity=10,
    break_count=1,
    warnings=(RuleWarning(code="ZERO_ASK", rule="S2", message="was “that” exchange closed?"),),
    sources=(
        SourceRecord(
            role="positions",
            name="pösitions.csv",
            sha256="ab" * 32,
            size=1234,
            kept_as=None,
            as_of="2024-09-16T20:15:00-04:00",
        ),
    ),
    evidence=(EvidenceFile(name="notices.parquet", sha256="cd" * 32, size=99),),
    requested_by=WHO,
    recorded_at=WHEN,
    software=SOFTWARE,
)
PROPOSAL = Proposal(
    **{name: getattr(RECORD, name) for name in RunRecord.__slots__ if name != "type"},
    expires_at="2024-09-17T10:15:00.000001Z",
)
ENTRIES: dict[str, Entry] = {
    "run": RECORD,
    "charter": Charter(
        origin="example.com/lottery",
        public_key="example.com/lottery+00000000+AQ==",
        method=MethodRecord.of(JPMS_2024_09_06),
        approval_reference="CBOE-2024-17",
        notice_version="2024/3 “Zuteilung”",
        clearing_member="00099",
        holds_from=dt.date(2024, 9, 16),
        closed_dates=(dt.date(2025, 1, 9),),
        trading_dates=(),
        holding_warnings=("ZERO_ASK",),
        four_eyes=True,
        proposal_hours=12,
        previous="0c" * 32,
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
    "proposal": PROPOSAL,
    "approval": Verdict(
        type="approval",
        run=PROPOSAL.run,
        record_sha256="0d" * 32,
        reason=None,
        previous="0d" * 32,
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
    "rejection": Verdict(
        type="rejection",
        run=PROPOSAL.run,
        record_sha256="0d" * 32,
        reason="the positions are “yesterday's”",
        previous="0d" * 32,
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
    "request": NamedRequest(
        request_id="yours",
        run="2024-09-16-001",
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
    "key": NextKey(
        public_key="example.com/lottery+00000000+AQ==",
        signs_from=43,
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
    "export": Activity(
        type="export",
        subject="2024-09-16-001",
        outcome="exported",
        requested_by=WHO,
        recorded_at=WHEN,
        software=SOFTWARE,
    ),
}


def main() -> None:
    """Write the entries' canonical bytes."""
    for name, entry in ENTRIES.items():
        (GOLDEN / f"{name}.json").write_bytes(canonical(entry))


if __name__ == "__main__":
    main()
