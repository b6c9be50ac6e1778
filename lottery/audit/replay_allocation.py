"""Replay of a run's allocation, by the compiled loop or by one SQL statement (R1 to D5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from lottery.audit import sql_replay
from lottery.audit.differences import (
    ROWS_LISTED,
    Difference,
    compare,
    compare_members,
    compare_tables,
)
from lottery.audit.replay_inputs import received_occ_positions
from lottery.day.allocate import Day, PositionsInvalid, allocate
from lottery.day.assigned_pools import assigned_pools, pooled
from lottery.day.identifiers import wrong_accounts
from lottery.day.keys import key_table
from lottery.day.population import (
    assigned_before,
    breaks_in,
    by_pool,
    drawn_from,
    pool_name,
    population_sha256,
)
from lottery.errors import quote
from lottery.intake.memory import MemoryLimit
from lottery.ledger import evidence
from lottery.ledger import occ_positions as occ
from lottery.ledger.content import content_sha256
from lottery.ledger.entry import canonical
from lottery.ledger.run_record import RunRecord, Superseding, state_of

_INPUTS: Final = (
    evidence.NOTICES_FILE,
    evidence.POSITIONS_FILE,
    evidence.CONTINUED_FILE,
    evidence.POPULATION_FILE,
)
"""The tables that an allocation follows from."""


def compare_allocation(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> Iterator[Difference]:
    """Compare the allocation, and the digest of the business content."""
    notices, given, continued, population = (
        evidence.read_table(directory, name, memory=memory) for name in _INPUTS
    )
    yield from _populations(population, continued)
    drawn = drawn_from(pooled(given, record.method.pooling), continued, population)
    day, differences = _allocate_again(record, notices, drawn, continued)
    yield from differences
    if day is None:
        return
    yield from _tables(record, directory, memory, day.pools, day.allocations)
    occ_positions, _ = received_occ_positions(record, directory, memory)
    computed = content_sha256(
        business_date=record.business_date.isoformat(),
        cycle=record.cycle,
        superseding=Superseding(runs=record.supersedes, reason=record.reason),
        method=record.method,
        seed=record.seed,
        notices=notices,
        positions=given,
        occ_shorts=None if occ_positions is None else occ.occ_shorts(occ_positions, day.pools),
    )
    yield from compare("run.json content_sha256", record.content_sha256, computed)


def compare_allocation_by_sql(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> Iterator[Difference]:
    """Compare the allocation; the digests of content and populations are not for SQL."""
    for name in _INPUTS:
        evidence.check_table(directory, name, memory)
    computed = sql_replay.compute(directory, canonical(record))
    yield from _tables(record, directory, memory, computed.pools, computed.allocations)


def _tables(
    record: RunRecord,
    directory: Path,
    memory: MemoryLimit,
    pools: pa.Table,
    allocations: pa.Table,
) -> Iterator[Difference]:
    """Compare what was computed of a day, and the record's figures of it."""
    for name, computed in ((evidence.POOLS_FILE, pools), (evidence.ALLOCATIONS_FILE, allocations)):
        recorded_table = evidence.read_table(directory, name, memory=memory)
        yield from compare_tables(name, recorded_table, computed)
    breaks = breaks_in(pools)
    notice_count = sum(pools.column("notice_count").to_pylist())
    assigned_quantity = sum(pools.column("assigned_quantity").to_pylist())
    figures: Mapping[str, Any] = {
        "state": state_of(
            notice_count=notice_count,
            break_count=len(breaks),
            supersedes=bool(record.supersedes),
        ),
        "pool_count": pools.num_rows,
        "notice_count": notice_count,
        "assigned_quantity": assigned_quantity,
        "allocated_quantity": assigned_quantity - sum(one.assigned_quantity for one in breaks),
        "break_count": len(breaks),
    }
    recorded = {name: getattr(record, name) for name in figures}
    yield from compare_members("run.json", recorded, figures)


def _populations(population: pa.Table, continued: pa.Table) -> Iterator[Difference]:
    """Compare the digest of each continued pool's population, and that there is no other (P6)."""
    digests = {
        pool: population_sha256(rows.column("account"), rows.column("short_quantity"))
        for pool, rows in by_pool(population)
    }
    for row in continued.to_pylist():
        pool = (row["occ_account"], row["series"])
        where = f"{evidence.CONTINUED_FILE} {pool_name(*pool)} population_sha256"
        yield from compare(where, row["population_sha256"], digests.pop(pool, "no positions"))
    for pool in digests:
        where = f"{evidence.POPULATION_FILE} {pool_name(*pool)}"
        yield Difference(where, "a population", "a pool whose draw is not continued")


def _allocate_again(
    record: RunRecord, notices: pa.Table, positions: pa.Table, continued: pa.Table
) -> tuple[Day | None, list[Difference]]:
    """Return the day allocated, or None and why it cannot be."""
    methodology = record.method.methodology()
    invalid = wrong_accounts(positions.column("account"), methodology.account_order)
    if invalid.size:
        accounts = positions.column("account").take(pa.array(invalid[:ROWS_LISTED])).to_pylist()
        return None, [Difference("positions", "accounts", quote(text)) for text in accounts]
    pools = assigned_pools(notices, methodology.pool)
    keyed = key_table(positions, pools, methodology.account_order)
    try:
        day = allocate(
            pools,
            keyed,
            ten_thousandths=record.seed.ten_thousandths,
            zero_hit=methodology.zero_hit,
            assigned_before=assigned_before(
                ((pool.occ_account, pool.series) for pool in pools), continued
            ),
        )
    except PositionsInvalid as error:
        accounts = sorted(frozenset().union(*error.repeated.values()))[:ROWS_LISTED]
        differences = [
            Difference("positions", "one row for each account", f"{text} appears twice")
            for text in accounts
        ]
        if error.too_large:
            differences.append(Difference(evidence.POOLS_FILE, "totals of 64 bits", error))
        return None, differences
    return day, []
