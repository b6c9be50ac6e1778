"""The digest of a run's content: what its result follows from, however it was sent.

The same day as CSV, as Parquet, as rows or as Arrow, in any row order, has one digest, so that a
repeated request is known by it. It covers the date, the cycle, what is superseded and why, the
positions' basis, the method and its decisions, the volumes, the notices, and the positions of the
pools that have notices; positions of other pools change nothing and do not count. Gross positions
count as they were given: the same command is known again once its own run stands. The digest of
the positions file itself is in the record besides.

OCC's own figures of the assigned pools count where they are compared, because the record's warnings
follow from them: a run without the comparison does not answer for one with it. What OCC says of a
notice besides decides nothing and does not count.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import rfc8785

from lottery.day.allocate import Day
from lottery.ledger.run_record import MethodRecord, Superseding
from lottery.method.seed import Seed


def content_sha256(  # noqa: PLR0913 - one a part of the content.
    *,
    business_date: str,
    cycle: int,
    superseding: Superseding,
    positions_basis: str | None,
    method: MethodRecord,
    seed: Seed,
    notices: pa.Table,
    day: Day,
    occ_shorts: pa.Table | None = None,
) -> str:
    """The content's SHA-256, hexadecimal.

    Args:
        business_date: ISO date.
        cycle: The cycle of the date.
        superseding: Which runs it takes the place of, and why.
        positions_basis: `net`, `gross` or None.
        method: The method and its decisions.
        seed: The seed; its volumes count, not how the asks are written.
        notices: `tables.NOTICES`, sorted (`evidence.sorted_notices`).
        day: The day allocated of the positions as given, whose tables hold them in order.
        occ_shorts: OCC's figures of its pools (`occ_positions.occ_shorts`), where compared.
    """
    head: dict[str, Any] = {
        "business_date": business_date,
        "cycle": cycle,
        "supersedes": list(superseding.runs),
        "reason": superseding.reason,
        "positions_basis": positions_basis,
        "method": method.id,
        "decisions": method.decisions,
        "volumes": {name: str(volume) for name, volume in seed.volume_of.items()},
    }
    digest = hashlib.sha256(rfc8785.dumps(head))
    _add_table(digest, notices, ("occ_account", "series", "notice_id", "quantity"))
    _add_table(digest, day.pools, ("occ_account", "series", "account_count"))
    for positions in (day.allocations, day.broken_positions):
        _add_table(digest, positions, ("account", "short_quantity"))
    if occ_shorts is not None:
        figures = occ_shorts.column("occ_short").fill_null(-1)
        _add_table(digest, pa.table({"occ_short": figures}), ("occ_short",))
    return digest.hexdigest()


def _add_table(digest: Any, table: pa.Table, columns: tuple[str, ...]) -> None:
    """Adds row count and columns: integers as 64-bit little-endian, texts as lengths and bytes."""
    digest.update(table.num_rows.to_bytes(8, "little"))
    for name in columns:
        column = table.column(name)
        if pa.types.is_integer(column.type):
            digest.update(np.ascontiguousarray(column.to_numpy(), "<i8"))
            continue
        texts = column.cast(pa.large_binary()).combine_chunks()
        _, offsets, data = texts.buffers()
        edges = np.frombuffer(offsets, "<i8", len(texts) + 1, texts.offset * 8)
        digest.update(np.ascontiguousarray(np.diff(edges)))
        digest.update(memoryview(data)[int(edges[0]) : int(edges[-1])])
