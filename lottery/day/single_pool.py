"""One pool on its own, for a call that brings its positions as rows: no tables, one loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lottery.day.allocate import break_reason
from lottery.day.assigned_pools import Integers
from lottery.day.identifiers import wrong_accounts
from lottery.day.pool_loops import COLUMNS, allocate_rows
from lottery.errors import PoolBroken
from lottery.method.methodology import AccountOrder, ZeroHit

_READ_THERE: Final = np.empty(0, np.int64)
"""No order: the loop reads the accounts as numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has an earlier row in the same pool (P4, R2)."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangedPool:
    """A pool's rows in the order of their accounts.

    Attributes:
        rows: The rows with valid accounts, in order (R1).
        doubled: Rows that repeat an account (P4, R2).
        wrong_accounts: Rows whose account is invalid (R2).
    """

    rows: Sequence[int]
    doubled: Sequence[Doubled]
    wrong_accounts: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatedPool:
    """A pool allocated.

    Attributes:
        texts: The accounts as received, each followed by a newline.
        rows: int64[n, COLUMNS], the open accounts in order (R1), with the columns of `pool_loops`;
            those after the first `account_count` are void.
    """

    total_short: int
    first_hit: int
    account_count: int
    hit_account_count: int
    texts: bytes
    rows: Integers


def arrange_pool(accounts: Sequence[str], account_order: AccountOrder) -> ArrangedPool:
    """Bring one pool's rows into the order of their accounts, and find what is wrong (R1, R2, P4).

    Args:
        accounts: Account numbers, one a row.
        account_order: The choice of R2.
    """
    wrong = wrong_accounts(pa.array(accounts, pa.string()), account_order).tolist()
    is_numeric = account_order is AccountOrder.NUMERIC
    invalid = set(wrong)
    keys: dict[int, int | str] = {
        row: int(account) if is_numeric else account
        for row, account in enumerate(accounts)
        if row not in invalid
    }
    first_rows: dict[int | str, int] = {}
    doubled = [
        Doubled(row=row, first_row=first)
        for row, key in keys.items()
        if (first := first_rows.setdefault(key, row)) != row
    ]
    return ArrangedPool(
        rows=sorted(keys, key=keys.__getitem__), doubled=doubled, wrong_accounts=wrong
    )


def allocate_pool(
    accounts: Sequence[str],
    shorts: Sequence[int],
    *,
    account_order: AccountOrder,
    assigned_quantity: int,
    ten_thousandths: int,
    zero_hit: ZeroHit,
) -> AllocatedPool | None:
    """Allocate one pool by the day's loop (R1 to R3, D1 to D5).

    Args:
        accounts: Account numbers, one a row.
        shorts: The short quantity of each row, up to 2**63 - 1; zero is not open (P2).
        account_order: The choice of R2.
        assigned_quantity: Contracts assigned, at least 1.
        ten_thousandths: The fraction's numerator over 10,000.
        zero_hit: The choice of D2.

    Returns:
        The pool; None if an account is invalid or repeated, or a quantity negative.

    Raises:
        PoolBroken: More is assigned than the total short, or there is no open position (D5).
        OverflowError: The shorts add up to more than 2**63 - 1.
    """
    texts = "\n".join([*accounts, ""]).encode()
    data, quantities = np.frombuffer(texts, np.uint8), np.array(shorts, np.int64)
    rows = np.empty((len(shorts), COLUMNS), np.int64)
    figures = (assigned_quantity, ten_thousandths, zero_hit is ZeroHit.FIRST)
    sound = False
    if account_order is AccountOrder.NUMERIC:
        sound, *found = allocate_rows(data, quantities, _READ_THERE, *figures, rows)
    if not sound:
        pool = arrange_pool(accounts, account_order)
        if pool.wrong_accounts or pool.doubled:
            return None
        order = np.array(pool.rows, np.int64)
        sound, *found = allocate_rows(data, quantities, order, *figures, rows)
        if not sound:
            return None
    total_short, first_hit, account_count, hit_account_count = map(int, found)
    if total_short < 0:
        raise OverflowError("the shorts add up to more than 2**63 - 1")
    if assigned_quantity > total_short:
        raise PoolBroken(
            break_reason(total_short),
            assigned_quantity=assigned_quantity,
            total_short=total_short,
        )
    return AllocatedPool(
        total_short=total_short,
        first_hit=first_hit,
        account_count=account_count,
        hit_account_count=hit_account_count,
        texts=texts,
        rows=rows,
    )
