"""One pool allocated for a business date, without recording anything."""

from __future__ import annotations

from dataclasses import dataclass

from lottery.day.jit import inlined, loop
from lottery.day.pool_loops import ASSIGNED, END, LAST, SHORT, START
from lottery.day.single_pool import AllocatedPool, allocate_pool, arrange_pool
from lottery.errors import Refused
from lottery.method.seed import Seed
from lottery.operations.pool import PoolRequest, checked_pool, row_problems, too_short

__all__ = [
    "ASSIGNED",
    "END",
    "LAST",
    "SHORT",
    "START",
    "AllocatedPool",
    "SeriesAllocation",
    "SeriesRequest",
    "allocate_series",
    "inlined",
    "loop",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest(PoolRequest):
    """One pool to allocate without recording it.

    Attributes:
        seed: The seed of its date; None if that is refused, of which `problems` says why.
    """

    seed: Seed | None


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
    methodology = request.methodology
    series, pool_problems = checked_pool(request)
    problems = request.problems + pool_problems
    if request.seed is not None and not problems:
        try:
            pool = allocate_pool(
                request.accounts,
                request.shorts,
                account_order=methodology.account_order,
                assigned_quantity=request.assigned_quantity,
                ten_thousandths=request.seed.ten_thousandths,
                zero_hit=methodology.zero_hit,
            )
        except OverflowError as error:
            raise Refused([too_short(str(error))]) from error
        if pool is not None:
            return SeriesAllocation(seed=request.seed, series=series, pool=pool)
    problems += row_problems(request, arrange_pool(request.accounts, methodology.account_order))
    raise Refused(problems.listed, total=problems.total)
