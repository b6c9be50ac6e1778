"""Compiling ahead: a server takes no call before its loops are there."""

from __future__ import annotations

import datetime as dt

from lottery import operations
from lottery.method.seed import ExchangeAsk
from server.responses import from_series_allocation


def warm_up() -> None:
    """Compiles every loop of a day and of an answer, or loads it from where its code is kept."""
    operations.warm_up()
    asks = ("862.45713", "118.20946", "407.93388", "1435.71263")
    numbers = ("Z901803", "Z901439", "Z901466", "Z901448")
    request = operations.SeriesRequest(
        business_date=dt.date(2024, 9, 16),
        asks=[
            ExchangeAsk(security_number=number, ask_price=ask)
            for number, ask in zip(numbers, asks, strict=True)
        ],
        series="AAPL  240920C00220000",
        occ_account="",
        assigned_quantity=10,
        accounts=["1046", "1047", "1048"],
        shorts=[30, 30, 5],
    )
    from_series_allocation(request, operations.allocate_series(request))
