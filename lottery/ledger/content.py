"""The digest of a run's business content: everything that its result follows from.

The same day has the same digest as CSV, Parquet, rows or Arrow, in any row order, so that a
repeated request is recognized. The digest covers:
- the date, the cycle, the superseded runs and the reason;
- the method, its decisions, and the volumes;
- the notices, and the open positions of their pools as they were given, so that a request is
  recognized after its own run was recorded;
- OCC's own figures of the assigned pools, if they are compared, because warnings follow from them.

Positions of other pools, OCC's further statements about notices, and OCC accounts where a pool is a
series (P3) decide nothing and are not covered.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import rfc8785

from lottery.day.assigned_pools import pooled
from lottery.day.population import POOL
from lottery.ledger.evidence import sorted_notices
from lottery.ledger.run_record import MethodRecord, Superseding
from lottery.method.methodology import Pooling
from lottery.method.seed import Seed


def content_sha256(
    *,
    business_date: str,
    cycle: int,
    superseding: Superseding,
    method: MethodRecord,
    seed: Seed,
    notices: pa.Table,
    positions: pa.Table,
    occ_shorts: pa.Table | None = None,
) -> str:
    """Return the content's SHA-256, hexadecimal.

    Args:
        business_date: ISO date.
        cycle: The cycle of the date.
        superseding: The runs that it supersedes, and why.
        method: The method and its decisions.
        seed: The seed, of which only the volumes are covered.
        notices: `tables.NOTICES`, sorted (`evidence.sorted_notices`).
        positions: `tables.POSITIONS`, open, by pool and in account order, as they were given.
        occ_shorts: OCC's figures of its pools (`occ_positions.occ_shorts`), if compared.
    """
    terms: dict[str, Any] = {
        "business_date": business_date,
        "cycle": cycle,
        "supersedes": list(superseding.runs),
        "reason": superseding.reason,
        "method": method.id,
        "decisions": method.decisions,
        "volumes": {name: str(volume) for name, volume in seed.volume_of.items()},
    }
    digest = hashlib.sha256(rfc8785.dumps(terms))
    if method.pooling is Pooling.SERIES:
        notices, positions = (pooled(rows, method.pooling) for rows in (notices, positions))
        notices = sorted_notices(notices)
    _add_table(digest, notices, ("occ_account", "series", "notice_id", "quantity"))
    _add_table(digest, _pool_sizes(positions), ("occ_account", "series", "account_count"))
    _add_table(digest, positions, ("account", "short_quantity"))
    if occ_shorts is not None:
        figures = occ_shorts.column("occ_short").fill_null(-1)
        _add_table(digest, pa.table({"occ_short": figures}), ("occ_short",))
    return digest.hexdigest()


def _pool_sizes(positions: pa.Table) -> pa.Table:
    """Return each pool of positions and how many there are of it, sorted."""
    sizes = (
        positions.select(POOL)
        .unify_dictionaries()
        .group_by(list(POOL))
        .aggregate([([], "count_all")])
    )
    plain = sizes.rename_columns([*POOL, "account_count"])
    plain = plain.cast(
        pa.schema([*((name, pa.string()) for name in POOL), ("account_count", pa.int64())])
    )
    return plain.sort_by([(name, "ascending") for name in POOL])


def _add_table(digest: Any, table: pa.Table, columns: tuple[str, ...]) -> None:
    """Add row count and columns: integers as 64-bit little-endian, texts as lengths and bytes."""
    digest.update(table.num_rows.to_bytes(8, "little"))
    for name in columns:
        column = table.column(name)
        if pa.types.is_integer(column.type):
            digest.update(np.ascontiguousarray(column.to_numpy(), "<i8"))
            continue
        texts = column.cast(pa.large_binary()).combine_chunks()
        _, offsets, data = texts.buffers()
        bounds = np.frombuffer(offsets, "<i8", len(texts) + 1, texts.offset * 8)
        digest.update(np.ascontiguousarray(np.diff(bounds)))
        digest.update(memoryview(data)[int(bounds[0]) : int(bounds[-1])])
