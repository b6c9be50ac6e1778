"""The OCC accounts that positions came with, where a pool is a series (P3).

They are kept as evidence and change nothing: a day's tables have the OCC account of each pool,
which is empty then.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import allocate
from lottery.day.assigned_pools import AssignedPools
from lottery.day.keys import KeyedPositions
from lottery.day.tables import LABEL
from lottery.method.methodology import ZeroHit


def with_own_occ_accounts(rows: pa.Table, positions: KeyedPositions) -> pa.Table:
    """Return a day's positions, each with the OCC account that it came with.

    Args:
        rows: `Day.positions`: by pool, in account order, none twice.
        positions: What the day was allocated from.
    """
    labels = [block.occ_accounts for block in positions.blocks if block.occ_accounts is not None]
    texts = pa.array(sorted({text for each in labels for text in each.dictionary.to_pylist()}))
    if not any(texts.to_pylist()):
        return rows  # Every OCC account is that of its pool.
    codes = np.concatenate(
        [
            pc.index_in(each.dictionary, value_set=texts).to_numpy()[each.indices.to_numpy()]
            for each in labels
        ]
    )
    pools, keys, shorts = (
        np.concatenate([getattr(block, name) for block in positions.blocks])
        for name in ("pools", "keys", "shorts")
    )
    is_open = shorts > 0
    order = np.lexsort((keys[is_open], pools[is_open]))
    in_use, in_order = np.unique(codes[is_open][order], return_inverse=True)
    own = pa.DictionaryArray.from_arrays(
        in_order.astype(np.int32), texts.take(pa.array(in_use))
    ).cast(LABEL)
    return rows.set_column(
        rows.schema.get_field_index("occ_account"), rows.schema.field("occ_account"), own
    )


def arranged_positions(assigned: AssignedPools, positions: KeyedPositions) -> pa.Table:
    """Return the open positions of the assigned pools as evidence has them: `tables.POSITIONS`.

    Raises:
        PositionsInvalid: They cannot be allocated.
    """
    # Any fraction puts them in the same order.
    day = allocate(assigned, positions, ten_thousandths=1, zero_hit=ZeroHit.WRAP)
    return with_own_occ_accounts(day.positions, positions)
