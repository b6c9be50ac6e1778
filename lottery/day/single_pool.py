"""One pool on its own, for a call that brings its positions as rows: no tables, the same loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.allocate import break_reason
from lottery.day.assigned_pools import Integers
from lottery.day.identifiers import wrong_accounts
from lottery.day.keys import TextBlock, key_positions
from lottery.errors import PoolBroken
from lottery.method.methodology import AccountOrder, ZeroHit


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has an earlier row in the same pool (P4, R2)."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangedPool:
    """A pool's rows in the order of their accounts.

    Attributes:
        accounts: string[n], the rows' accounts.
        order: int64[n], the rows in the order of their accounts.
        doubled: Rows that repeat an account (P4, R2).
        wrong_accounts: int64[], rows whose account is invalid (R2); the order is then void.
    """

    accounts: pa.StringArray
    order: Integers
    doubled: tuple[Doubled, ...]
    wrong_accounts: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatedPool:
    """A pool allocated; arrays of k are its open accounts in order (R1).

    Attributes:
        accounts: string[n], as received.
        shorts: int64[n], the short quantity of each row as received.
        rows: int64[k], the row of each open account.
        first_numbers: int64[k], the ranges' first numbers (R3).
        last_numbers: int64[k], their last numbers, inclusive.
        assigned: int64[k], assigned quantities.
    """

    total_short: int
    first_hit: int
    hit_account_count: int
    accounts: pa.StringArray
    shorts: Integers
    rows: Integers
    first_numbers: Integers
    last_numbers: Integers
    assigned: Integers


def arrange_pool(accounts: Sequence[str], account_order: AccountOrder) -> ArrangedPool:
    """Bring one pool's rows into the order of their accounts (R1, R2).

    Args:
        accounts: Account numbers, one a row.
        account_order: The choice of R2.
    """
    texts = pa.array(accounts, pa.string())
    wrong = wrong_accounts(pa.chunked_array([texts]), account_order)
    if wrong.size:
        return ArrangedPool(
            accounts=texts, order=np.arange(len(texts)), doubled=(), wrong_accounts=wrong
        )
    rows = np.arange(len(texts), dtype=np.int32)
    block = TextBlock(
        pools=np.zeros_like(rows), accounts=texts, shorts=np.zeros(len(texts), np.int64), rows=rows
    )
    numbers = key_positions([block], account_order).blocks[0].keys >> loops.LENGTH_BITS
    order = np.argsort(numbers, kind="stable")
    return ArrangedPool(
        accounts=texts, order=order, doubled=_doubled(numbers, order), wrong_accounts=wrong
    )


def allocate_pool(
    pool: ArrangedPool,
    shorts: Sequence[int],
    *,
    assigned_quantity: int,
    ten_thousandths: int,
    zero_hit: ZeroHit,
) -> AllocatedPool:
    """Allocate one pool by the day's loop (R3, D1 to D5).

    Args:
        pool: The rows in order, without repeated or invalid accounts.
        shorts: The short quantity of each row, 0 to 2**63 - 1; zero is not open (P2).
        assigned_quantity: Contracts assigned, at least 1.
        ten_thousandths: The fraction's numerator over 10,000.
        zero_hit: The choice of D2.

    Raises:
        PoolBroken: More is assigned than the total short, or there is no open position (D5).
        OverflowError: The shorts add up to more than 2**63 - 1.
    """
    count = len(shorts)
    received = np.array(shorts, np.int64)
    totals, first_hits, account_counts, hit_counts = np.zeros((4, 1), np.int64)
    first_numbers, assigned = np.empty((2, count), np.int64)
    rows, short_of = pool.order.copy(), received[pool.order]
    starts = np.array((0, count), np.int64)
    loops.allocate_pools(
        starts,
        0,
        1,
        np.array((assigned_quantity,), np.int64),
        ten_thousandths,
        zero_hit is ZeroHit.FIRST,
        totals,
        first_hits,
        account_counts,
        hit_counts,
        rows,
        short_of,
        first_numbers,
        assigned,
    )
    total_short = int(totals[0])
    if total_short < 0:
        raise OverflowError("the shorts add up to more than 2**63 - 1")
    if assigned_quantity > total_short:
        raise PoolBroken(
            break_reason(total_short),
            assigned_quantity=assigned_quantity,
            total_short=total_short,
        )
    open_accounts = int(account_counts[0])
    return AllocatedPool(
        total_short=total_short,
        first_hit=int(first_hits[0]),
        hit_account_count=int(hit_counts[0]),
        accounts=pool.accounts,
        shorts=received,
        rows=rows[:open_accounts],
        first_numbers=first_numbers[:open_accounts],
        last_numbers=(first_numbers + short_of - 1)[:open_accounts],
        assigned=assigned[:open_accounts],
    )


def _doubled(numbers: Integers, order: Integers) -> tuple[Doubled, ...]:
    """Return the rows that repeat a number, by row."""
    in_order = numbers[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = in_order[1:] != in_order[:-1]
    first_rows = order[is_first][np.cumsum(is_first) - 1]
    pairs = zip(order[~is_first].tolist(), first_rows[~is_first].tolist(), strict=True)
    return tuple(Doubled(row=row, first_row=first) for row, first in sorted(pairs))
