"""What a run has allocated, by which later runs of its date are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lottery.day.population import Pool, allocated_pools, pools_in
from lottery.ledger.claim import claim_of_record
from lottery.ledger.evidence import Reader
from lottery.ledger.run_record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """What a run has allocated, breaks left out.

    Attributes:
        pools: What was assigned to each pool, in contracts.
        notices: OCC account of the pool and id of each notice.
        notice_ids: The ids alone.
    """

    pools: Mapping[Pool, int]
    notices: frozenset[tuple[str, str]]
    notice_ids: frozenset[str]


AllocatedBy: TypeAlias = Callable[[RunRecord], Allocated]
"""Returns what a run has allocated."""


def allocated_by(record: RunRecord, read: Reader) -> Allocated:
    """Return what a recorded run has allocated.

    Args:
        record: The run.
        read: Reads a table of its evidence.

    Raises:
        LedgerDamaged: The evidence is not what was recorded.
    """
    claim = claim_of_record(record, read)
    rows = allocated_pools(claim.pools)
    assigned = rows.column("assigned_quantity").to_pylist()
    pools = dict(zip(pools_in(rows), assigned, strict=True))
    ids = claim.notices.column("notice_id").to_pylist()
    notices = frozenset(
        (pool[0], notice_id)
        for pool, notice_id in zip(pools_in(claim.notices), ids, strict=True)
        if pool in pools
    )
    return Allocated(
        pools=pools, notices=notices, notice_ids=frozenset(notice_id for _, notice_id in notices)
    )
