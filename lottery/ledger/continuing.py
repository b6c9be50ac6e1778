"""Late notices continue the draw: what earlier cycles of a date drew of a run's pools (P6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.assigned_pools import pooled
from lottery.day.population import (
    POOL,
    Pool,
    by_pool,
    drawn_from,
    population_sha256,
)
from lottery.day.tables import CONTINUED, POSITIONS
from lottery.ledger import evidence
from lottery.ledger.allocated import AllocatedBy
from lottery.ledger.evidence import Reader
from lottery.ledger.run_record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The draws that a run continues.

    Attributes:
        runs: The runs that drew before it, in the order of recording: it rests on them (H2).
        continued: `tables.CONTINUED`, sorted.
        population: `occ_account`, `series`, `account`, `short_quantity` and `assigned_quantity`:
            the first population of these pools, by pool and in account order, and what was
            assigned of it since.
    """

    runs: tuple[str, ...]
    continued: pa.Table
    population: pa.Table

    def positions(self) -> pa.Table:
        """Return the first population as `tables.POSITIONS`."""
        return self.population.select(POSITIONS.names).combine_chunks().cast(POSITIONS)


def continuation(
    standing: Iterable[RunRecord], read: Reader, allocated: AllocatedBy, pools: Iterable[Pool]
) -> Continuation:
    """Return what the standing runs of a date have drawn of some pools.

    Args:
        standing: The runs, in the order of recording.
        read: Reads their evidence.
        allocated: Returns what one of them has allocated.
        pools: OCC account and series of each pool.

    Raises:
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    wanted = set(pools)
    runs: list[str] = []
    drawn: dict[Pool, dict[str, Any]] = {}
    first: dict[Pool, pa.Table] = {}
    assigned: list[pa.Table] = []
    for record in standing:
        assigned_to = allocated(record).pools
        quantity_of = {pool: assigned_to[pool] for pool in wanted & assigned_to.keys()}
        if not quantity_of:
            continue
        runs.append(record.run)
        series = pc.field("series").isin(sorted({series for _, series in quantity_of}))
        for pool, rows in by_pool(read(record, evidence.ALLOCATIONS_FILE, series)):
            if pool not in quantity_of:
                continue
            if pool not in drawn:
                digest = population_sha256(rows.column("account"), rows.column("short_quantity"))
                drawn[pool] = {
                    **dict(zip(POOL, pool, strict=True)),
                    "first_run": record.run,
                    "assigned_before": 0,
                    "population_sha256": digest,
                }
                first[pool] = rows.select([*POOL, "account", "short_quantity"])
            drawn[pool]["assigned_before"] += quantity_of[pool]
            assigned.append(rows.select([*POOL, "account", "assigned_quantity"]))
    continued = pa.Table.from_pylist([drawn[pool] for pool in sorted(drawn)], CONTINUED)
    return Continuation(
        runs=tuple(runs),
        continued=continued,
        population=_population([first[pool] for pool in sorted(first)], assigned),
    )


def _population(first: list[pa.Table], assigned: list[pa.Table]) -> pa.Table:
    """Return the first populations with what was assigned since."""
    keys = [*POOL, "account"]
    if not first:
        return pa.table(
            {
                **{name: pa.array([], pa.string()) for name in keys},
                "short_quantity": pa.array([], pa.int64()),
                "assigned_quantity": pa.array([], pa.int64()),
            }
        )
    sums = pa.concat_tables(assigned).group_by(keys).aggregate([("assigned_quantity", "sum")])
    sums = sums.rename_columns([*keys, "assigned_quantity"])
    rows = pa.concat_tables(first)
    rows = rows.append_column("index", pa.array(range(rows.num_rows), pa.int64()))
    return rows.join(sums, keys, None, "left outer").sort_by("index").drop_columns("index")


def drawn_positions(
    record: RunRecord,
    read: Callable[[str, pc.Expression | None], pa.Table],
    where: pc.Expression | None,
) -> pa.Table:
    """Return what a run's pools were drawn from, each row with the OCC account of its pool.

    Args:
        record: The run.
        read: Reads a table of its evidence.
        where: Which rows, by series or account; None for all.

    Returns:
        `tables.POSITIONS`; a pool's rows lie together, in the order of accounts.
    """
    return drawn_from(
        pooled(read(evidence.POSITIONS_FILE, where), record.method.pooling),
        read(evidence.CONTINUED_FILE, None),
        read(evidence.POPULATION_FILE, where),
    )
