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
    received = np.array(shorts, np.int64)
    rows, first_numbers, assigned = np.empty((3, len(shorts)), np.int64)
    total_short, first_hit, count, hit_count = map(
        int,
        loops.allocate_one(
            pool.order,
            received,
            assigned_quantity,
            ten_thousandths,
            zero_hit is ZeroHit.FIRST,
            rows,
            first_numbers,
            assigned,
        ),
    )
    if total_short < 0:
        raise OverflowError("the shorts add up to more than 2**63 - 1")
    if not first_hit:
        raise PoolBroken(
            break_reason(total_short),
            assigned_quantity=assigned_quantity,
            total_short=total_short,
        )
    rows, first_numbers = rows[:count], first_numbers[:count]
    return AllocatedPool(
        total_short=total_short,
        first_hit=first_hit,
        hit_account_count=hit_count,
        accounts=pool.accounts,
        shorts=received,
        rows=rows,
        first_numbers=first_numbers,
        last_numbers=first_numbers + received[rows] - 1,
        assigned=assigned[:count],
    )


def _doubled(numbers: Integers, order: Integers) -> tuple[Doubled, ...]:
    """Return the rows that repeat a number, by row."""
    in_order = numbers[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = in_order[1:] != in_order[:-1]
    first_rows = order[is_first][np.cumsum(is_first) - 1]
    pairs = zip(order[~is_first].tolist(), first_rows[~is_first].tolist(), strict=True)
    return tuple(Doubled(row=row, first_row=first) for row, first in sorted(pairs))
