"""Compiling the loops ahead of the first day: at build time, or when a server starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.allocate import allocate
from lottery.day.arrange import Arrangement, arrange
from lottery.day.jit import compile_all
from lottery.day.single_pool import allocate_pool, arrange_pool
from lottery.day.tables import LABEL, NOTICES, POSITIONS
from lottery.method.methodology import AccountOrder, ZeroHit

_NOTICED = "AAPL  240920C00220000"
_OTHER = "AAPL  240920C00225000"


def warm_up() -> None:
    """Runs the published example, compiled: every loop's code is made, or loaded from its place.

    Besides it, one day has what most days do not: a long account number, and an account that stands
    twice in a series without a notice.
    """
    compile_all()
    accounts, shorts = ["1046", "1047", "1048"], [30, 30, 5]
    arrangement = _arranged([_NOTICED] * 3, accounts, shorts)
    allocate(arrangement, ten_thousandths=4314, zero_hit=ZeroHit.WRAP)
    _arranged([_NOTICED, _OTHER, _OTHER], ["9" * 30, "1046", "1046"], shorts)
    keys = np.arange(2)
    loops.sort_slots(keys, keys.copy(), 1)  # As of a pool too large for one thread.
    loops.merge_sorted(keys[:1], keys[1:], keys.copy())
    pool = arrange_pool(accounts, AccountOrder.NUMERIC)
    allocate_pool(pool, shorts, assigned_quantity=10, ten_thousandths=4314, zero_hit=ZeroHit.WRAP)


def _arranged(series: Sequence[str], accounts: Sequence[str], shorts: Sequence[int]) -> Arrangement:
    notices: dict[str, Sequence[object]] = {
        "notice_id": ["1"],
        "series": [_NOTICED],
        "quantity": [10],
        "occ_account": [""],
    }
    positions: dict[str, Sequence[object]] = {
        "series": series,
        "account": accounts,
        "short_quantity": shorts,
        "occ_account": [""] * len(series),
    }
    return arrange(_table(notices, NOTICES), _table(positions, POSITIONS), AccountOrder.NUMERIC)


def _table(columns: dict[str, Sequence[object]], schema: pa.Schema) -> pa.Table:
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.type == LABEL
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.table(arrays, schema)
