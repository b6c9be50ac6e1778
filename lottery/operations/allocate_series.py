"""One pool allocated for a business date, without recording anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.day.jit import inlined, loop
from lottery.day.single_pool import AllocatedPool, allocate_pool
from lottery.errors import NO_PROBLEMS, Refused
from lottery.intake.sources import ReceivedVolumes, RowLocator
from lottery.method.seed import ExchangeAsk, Seed
from lottery.operations.pool import PoolRequest, arranged_pool, too_short
from lottery.operations.validation import check_date, derive_seed_of

__all__ = [
    "AllocatedPool",
    "SeriesAllocation",
    "SeriesRequest",
    "allocate_series",
    "inlined",
    "loop",
]

_LOCATOR: Final = RowLocator(source="exchange_asks")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest(PoolRequest):
    """One pool to allocate without recording it."""

    business_date: dt.date
    asks: Sequence[ExchangeAsk]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAllocation:
    """One pool allocated: its seed, its padded series and its accounts in order."""

    seed: Seed
    series: str
    pool: AllocatedPool


def allocate_series(request: SeriesRequest) -> SeriesAllocation:
    """Allocate one pool.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
        PoolBroken: The pool is a break (D5).
    """
    volumes = ReceivedVolumes(asks=tuple(request.asks), sources=(), locator=_LOCATOR)
    seed, seed_problems = derive_seed_of(volumes, request.methodology)
    series, pool, pool_problems = arranged_pool(request)
    date_problems = check_date(request.business_date, request.methodology)
    found = (request.problems, date_problems, seed_problems, pool_problems)
    if any(found):
        sum(found, NO_PROBLEMS).refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    try:
        allocated = allocate_pool(
            pool,
            request.shorts,
            assigned_quantity=request.assigned_quantity,
            ten_thousandths=seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except OverflowError as error:
        raise Refused([too_short(str(error))]) from error
    return SeriesAllocation(seed=seed, series=series, pool=allocated)
