"""Replay of a run's allocation, by the compiled loop or by one SQL statement (R1 to D5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
from lottery.day.assigned_pools import assigned_pools
from lottery.day.identifiers import wrong_accounts
from lottery.day.keys import key_table
from lottery.day.population import assigned_before, by_pool, pools_in, population_sha256
from lottery.day.tables import BROKEN_POSITIONS, CONTINUED, POSITIONS
from lottery.errors import quote
from lottery.ledger import evidence
from lottery.ledger import occ_positions as occ
from lottery.ledger.content import content_sha256
from lottery.ledger.entry import canonical
from lottery.ledger.reader import breaks_in
from lottery.ledger.run_record import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    RunRecord,
    Superseding,
)


def compare_allocation(record: RunRecord, directory: Path) -> Iterator[Difference]:
    """Compare the allocation, and the digest of the business content."""
    notices = evidence.read_table(directory, evidence.NOTICES_FILE)
    allocations, broken = (
        evidence.read_table(directory, name)
        for name in (evidence.ALLOCATIONS_FILE, evidence.BROKEN_POSITIONS_FILE)
    )
    positions = pa.concat_tables([allocations.select(BROKEN_POSITIONS.names), broken])
    continued = evidence.read_table(directory, evidence.CONTINUED_FILE)
    yield from _populations(positions, continued)
    day, differences = _allocate_again(record, notices, positions, continued)
    yield from differences
    if day is None:
        return
    yield from _day(record, directory, day)
    if continued.num_rows:
        # The business content is that of the positions as they were given.
        given = _given(record, directory, positions, continued)
        day, differences = _allocate_again(record, notices, given, CONTINUED.empty_table())
        yield from differences
        if day is None:
            return
    occ_positions, _ = received_occ_positions(record, directory)
    computed = content_sha256(
        business_date=record.business_date.isoformat(),
        cycle=record.cycle,
        superseding=Superseding(runs=record.supersedes, reason=record.reason),
        method=record.method,
        seed=record.seed,
        notices=notices,
        day=day,
        occ_shorts=None if occ_positions is None else occ.occ_shorts(occ_positions, day.pools),
    )
    yield from compare("run.json content_sha256", record.content_sha256, computed)


def compare_allocation_by_sql(record: RunRecord, directory: Path) -> Iterator[Difference]:
    """Compare the allocation; the digests of content and populations are not for SQL."""
    computed = sql_replay.compute(directory, canonical(record))
    day = Day(
        pools=computed.pools,
        allocations=computed.allocations,
        broken_positions=computed.broken_positions,
        breaks=breaks_in(computed.pools),
    )
    yield from _day(record, directory, day)


def _day(record: RunRecord, directory: Path, day: Day) -> Iterator[Difference]:
    """Compare the tables of a day and the record's figures of it."""
    for name, computed in (
        (evidence.POOLS_FILE, day.pools),
        (evidence.ALLOCATIONS_FILE, day.allocations),
        (evidence.BROKEN_POSITIONS_FILE, day.broken_positions),
    ):
        yield from compare_tables(name, evidence.read_table(directory, name), computed)
    figures: Mapping[str, Any] = {
        "state": ALLOCATED_WITH_BREAKS if day.breaks else ALLOCATED,
        "pool_count": day.pools.num_rows,
        "notice_count": sum(day.pools.column("notice_count").to_pylist()),
        "assigned_quantity": sum(day.pools.column("assigned_quantity").to_pylist()),
        "allocated_quantity": day.allocated_quantity,
        "break_count": len(day.breaks),
    }
    recorded = {name: getattr(record, name) for name in figures}
    yield from compare_members("run.json", recorded, figures)


def _populations(positions: pa.Table, continued: pa.Table) -> Iterator[Difference]:
    """Compare the digest of each continued pool's population with its positions (P6)."""
    digests = {
        pool: population_sha256(rows.column("account"), rows.column("short_quantity"))
        for pool, rows in by_pool(positions)
    }
    for row in continued.to_pylist():
        pool = (row["occ_account"], row["series"])
        where = f"{evidence.CONTINUED_FILE} {' '.join(pool).strip()} population_sha256"
        yield from compare(where, row["population_sha256"], digests.get(pool, "no positions"))


def _given(
    record: RunRecord, directory: Path, positions: pa.Table, continued: pa.Table
) -> pa.Table:
    """Return the positions as they were given: of continued pools those of their own file."""
    pools = set(pools_in(continued))
    parts = [rows for pool, rows in by_pool(positions) if pool not in pools]
    if record.files_of(evidence.GIVEN_POSITIONS_FILE):
        parts.append(evidence.read_table(directory, evidence.GIVEN_POSITIONS_FILE))
    cast = [part.cast(BROKEN_POSITIONS) for part in parts]
    return pa.concat_tables([BROKEN_POSITIONS.empty_table(), *cast])


def _allocate_again(
    record: RunRecord, notices: pa.Table, positions: pa.Table, continued: pa.Table
) -> tuple[Day | None, list[Difference]]:
    """Return the day allocated, or None and why it cannot be."""
    methodology = record.method.methodology()
    invalid = wrong_accounts(positions.column("account"), methodology.account_order)
    if invalid.size:
        accounts = positions.column("account").take(pa.array(invalid[:ROWS_LISTED])).to_pylist()
        return None, [Difference("positions", "accounts", quote(text)) for text in accounts]
    pools = assigned_pools(notices)
    keyed = key_table(
        positions.select(POSITIONS.names).cast(POSITIONS), pools, methodology.account_order
    )
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
