"""Compiling the loops ahead of the first day: at build time, or when a server starts."""

from __future__ import annotations

import pyarrow as pa

from lottery.day.allocate import allocate
from lottery.day.one_pool import allocate_pool, arrange_pool
from lottery.day.pools import arrange
from lottery.day.tables import LABEL, NOTICES, POSITIONS
from lottery.method.methodology import AccountOrder, ZeroHit


def warm_up() -> None:
    """Runs the published example, so that every loop is compiled or loaded from numba's cache."""
    accounts, shorts = ["1046", "1047", "1048"], [30, 30, 5]
    notices = pa.table(
        {
            "notice_id": ["1"],
            "series": pa.array([_SERIES]).cast(LABEL),
            "quantity": [10],
            "occ_account": pa.array([""]).cast(LABEL),
        },
        NOTICES,
    )
    positions = pa.table(
        {
            "series": pa.array([_SERIES] * 3).cast(LABEL),
            "account": accounts,
            "short_quantity": shorts,
            "occ_account": pa.array([""] * 3).cast(LABEL),
        },
        POSITIONS,
    )
    arrangement = arrange(notices, positions, AccountOrder.NUMERIC)
    allocate(arrangement, ten_thousandths=4314, zero_hit=ZeroHit.WRAP)
    pool = arrange_pool(accounts, AccountOrder.NUMERIC)
    allocate_pool(pool, shorts, assigned_quantity=10, ten_thousandths=4314, zero_hit=ZeroHit.WRAP)


_SERIES = "AAPL  240920C00220000"
