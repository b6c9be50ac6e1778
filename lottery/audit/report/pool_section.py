"""The pools that an audit page shows in full: each one's working, its ribbon and its accounts.

Of a pool with more accounts than the page has room for, those that were hit come first, with the
accounts next to them and the first and last of the pool; the rest are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.explain import PoolWorking, Reader, Row, pool_working
from lottery.audit.report.masking import AccountNames
from lottery.audit.report.ribbon import Ribbon, draw_ribbon
from lottery.day.population import Pool, by_pool
from lottery.ledger import evidence
from lottery.ledger.continuing import drawn_positions
from lottery.ledger.run_record import RunRecord
from lottery.method.distribution import continued_number

ACCOUNTS_LISTED: Final = 6_000
"""Maximum rows of accounts of all pools together."""
ACCOUNTS_OF_A_POOL: Final = 400
"""Maximum rows of accounts of one pool."""
FEWEST_OF_A_POOL: Final = 20
"""Rows that each pool may have, however many pools there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What a table leaves out: how many rows, and their contracts assigned."""

    count: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSection:
    """A pool with its working.

    Attributes:
        anchor: Its element's id on the page.
        working: Its steps, and those of its accounts that are listed.
        ribbon: None for a break.
        hit_left_out: The accounts left out that were assigned something.
    """

    anchor: str
    working: PoolWorking
    ribbon: Ribbon | None
    hit_left_out: LeftOut


def pool_sections(
    record: RunRecord, read: Reader, pools: Sequence[Row], names: AccountNames
) -> Iterator[PoolSection]:
    """Yield the sections of pools.

    Args:
        record: The run.
        read: Reads a table of its evidence.
        pools: Rows of `tables.POOLS`.
        names: What accounts are called.
    """
    limit = max(FEWEST_OF_A_POOL, min(ACCOUNTS_OF_A_POOL, ACCOUNTS_LISTED // max(1, len(pools))))
    broken = [pool["series"] for pool in pools if pool["break_reason"] is not None]
    rows_of: dict[Pool, pa.Table] = {}
    if broken:
        rows_of = dict(by_pool(drawn_positions(record, read, _is_in(broken))))
    if len(pools) > len(broken):
        allocated = [pool["series"] for pool in pools if pool["break_reason"] is None]
        rows_of |= dict(by_pool(read(evidence.ALLOCATIONS_FILE, _is_in(allocated))))
    nobody = pa.table({"account": pa.array([], pa.string())})
    for number, pool in enumerate(pools, start=1):
        rows = rows_of.get((pool["occ_account"], pool["series"]), nobody)
        listed = rows.take(pa.array(_accounts_listed(rows, pool, limit), pa.int64())).to_pylist()
        working = pool_working(record, pool, listed)
        # Named before the ribbon is drawn, so that labels count up in the order of the table.
        named = tuple(replace(one, account=names(one.account)) for one in working.accounts)
        working = replace(working, accounts=named)
        yield PoolSection(
            anchor=f"pool-{number}",
            working=working,
            ribbon=_ribbon(rows, working, names),
            hit_left_out=_hit_left_out(working),
        )


def _ribbon(rows: pa.Table, working: PoolWorking, names: AccountNames) -> Ribbon | None:
    if working.first_hit is None:
        return None
    accounts = rows.column("account")
    return draw_ribbon(
        first_numbers=_integers(rows, "first_number"),
        last_numbers=_integers(rows, "last_number"),
        name=lambda index: names(accounts[index].as_py()),
        ranges=working.ranges,
        first_hit=working.first_hit,
        total_short=working.total_short,
    )


def _hit_left_out(working: PoolWorking) -> LeftOut:
    if working.break_reason is not None:
        return LeftOut(count=0, assigned_quantity=0)
    hit = [one.assigned_quantity for one in working.accounts if one.assigned_quantity]
    return LeftOut(
        count=working.hit_account_count - len(hit),
        assigned_quantity=working.assigned_quantity - sum(hit),
    )


def _accounts_listed(rows: pa.Table, pool: Row, limit: int) -> list[int]:
    """Return the indices of the accounts to list, ascending."""
    if rows.num_rows <= limit or pool["break_reason"] is not None:
        return list(range(min(rows.num_rows, limit)))
    hit = np.flatnonzero(_integers(rows, "assigned_quantity"))
    start = continued_number(pool["first_hit"], pool["assigned_before"], pool["total_short"])
    before = np.searchsorted(_integers(rows, "last_number")[hit], start)
    in_order = np.roll(hit, -int(before))[: limit - 4].tolist()  # Leaves room for these four:
    others = (in_order[0] - 1, in_order[-1] + 1, 0, rows.num_rows - 1)
    return sorted({*in_order, *(index for index in others if 0 <= index < rows.num_rows)})


def _is_in(series: Sequence[str]) -> pc.Expression:
    return pc.field("series").isin(sorted(set(series)))


def _integers(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(rows.column(name).to_numpy(), np.int64)
