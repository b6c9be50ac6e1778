"""What a run claims, by which the rules judge it: a draft, or a proposal that is to be approved."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from lottery.day.assigned_pools import pooled
from lottery.ledger import evidence
from lottery.ledger.draft import RunDraft
from lottery.ledger.evidence import Reader
from lottery.ledger.run_record import WITHDRAWN, RunRecord, Superseding
from lottery.method.seed import Seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a run claims.

    Attributes:
        run: Its id, if it is recorded already.
        superseding: The runs that it supersedes.
        notices: Its `tables.NOTICES`, each with the OCC account of its pool.
        pools: Its `tables.POOLS`.
        rests_on: The runs whose draws it continues (P6).
        takes_back: Whether it only takes notices back and allocates nothing (N1).
    """

    run: str | None
    business_date: dt.date
    cycle: int
    superseding: Superseding
    seed: Seed
    notices: pa.Table
    pools: pa.Table
    rests_on: tuple[str, ...]
    takes_back: bool


def claim_of_draft(draft: RunDraft) -> Claim:
    """Return what a draft claims."""
    return Claim(
        run=None,
        business_date=draft.business_date,
        cycle=draft.cycle,
        superseding=draft.superseding,
        seed=draft.seed,
        notices=pooled(draft.notices, draft.methodology.pool),
        pools=draft.day.pools,
        rests_on=draft.rests_on,
        takes_back=draft.takes_back,
    )


def claim_of_record(record: RunRecord, read: Reader) -> Claim:
    """Return what a recorded run claims.

    Args:
        record: The run.
        read: Reads a table of its evidence.

    Raises:
        LedgerDamaged: The evidence is not what was recorded.
    """
    notices = read(record, evidence.NOTICES_FILE, None)
    return Claim(
        run=record.run,
        business_date=record.business_date,
        cycle=record.cycle,
        superseding=Superseding(runs=record.supersedes, reason=record.reason),
        seed=record.seed,
        notices=pooled(notices, record.method.pooling),
        pools=read(record, evidence.POOLS_FILE, None),
        rests_on=record.rests_on,
        takes_back=record.state == WITHDRAWN,
    )
