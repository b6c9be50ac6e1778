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
from lottery.audit.replay_inputs import received_occ_positions, recorded_taken_off
from lottery.day.allocate import Day, PositionsInvalid, allocate
from lottery.day.assigned_pools import assigned_pools
from lottery.day.identifiers import wrong_accounts
from lottery.day.keys import key_table
from lottery.day.tables import BROKEN_POSITIONS, POSITIONS
from lottery.day.taken_off import put_back, take_off
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
    given = positions = pa.concat_tables([allocations.select(BROKEN_POSITIONS.names), broken])
    taken_off = recorded_taken_off(record, directory)
    if taken_off is not None:
        given, positions, differences = _take_off_again(positions, taken_off)
        yield from differences
    day, differences = _allocate_again(record, notices, positions)
    yield from differences
    if day is None:
        return
    yield from _day(record, directory, day)
    if taken_off is not None:
        # The business content is that of the positions as they were given.
        day, differences = _allocate_again(record, notices, given)
        yield from differences
        if day is None:
            return
    occ_positions, _ = received_occ_positions(record, directory)
    computed = content_sha256(
        business_date=record.business_date.isoformat(),
        cycle=record.cycle,
        superseding=Superseding(runs=record.supersedes, reason=record.reason),
        positions_basis=record.positions_basis,
        method=record.method,
        seed=record.seed,
        notices=notices,
        day=day,
        occ_shorts=None if occ_positions is None else occ.occ_shorts(occ_positions, day.pools),
    )
    yield from compare("run.json content_sha256", record.content_sha256, computed)


def compare_allocation_by_sql(record: RunRecord, directory: Path) -> Iterator[Difference]:
    """Compare the allocation; the content's digest and gross positions are not for SQL."""
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


def _take_off_again(
    positions: pa.Table, taken_off: pa.Table
) -> tuple[pa.Table, pa.Table, list[Difference]]:
    """Return the gross positions as given, and net of what was assigned before."""
    given = put_back(positions, taken_off).select(POSITIONS.names).cast(POSITIONS)
    net = take_off(given, taken_off.rename_columns([*BROKEN_POSITIONS.names, "assigned_quantity"]))
    differences = [
        Difference(
            f"{evidence.TAKEN_OFF_FILE} account {account.account}",
            account.assigned_quantity,
            f"at most {account.short_quantity}",
        )
        for account in net.unmatched[:ROWS_LISTED]
    ]
    differences += compare_tables(evidence.TAKEN_OFF_FILE, taken_off, net.taken_off)
    return given, net.positions, differences


def _allocate_again(
    record: RunRecord, notices: pa.Table, positions: pa.Table
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
