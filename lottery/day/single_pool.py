"""One pool on its own, for a call that brings its positions as rows: no tables, the same loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.account_keys import KEY_BITS, Integers, account_numbers, text_buffers
from lottery.day.allocate import break_reason
from lottery.day.arrange import Doubled, doubled_rows
from lottery.errors import PoolBroken
from lottery.method.methodology import AccountOrder, ZeroHit

_NONE: Final[Integers] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangedPool:
    """A pool's rows in the order of their accounts.

    Attributes:
        accounts: string[n], the rows' accounts.
        keys: int64[n], the sorted keys (`loops.scatter_rows`).
        index_bits: Bits of the row in `keys`.
        doubled: Rows that repeat an account (P4, R2).
        wrong_accounts: int64[], rows whose account is invalid (R2); the order is then void.
    """

    accounts: pa.StringArray
    keys: Integers
    index_bits: int
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
    count = len(accounts)
    index_bits = max(1, count.bit_length())
    texts = pa.array(accounts, pa.string())
    numbers = _short_numbers(texts, account_order, index_bits)
    wrong = _NONE
    if numbers is None:
        read = account_numbers(pa.chunked_array([texts]), account_order, spare_bits=index_bits)
        numbers, wrong = read.numbers, read.wrong
    rows = np.arange(count)
    keys = (numbers << index_bits) | rows
    starts = np.array((0, count), np.int64)
    repeated = np.zeros(1, np.bool_)
    loops.sort_pools(starts, 0, 1, index_bits, keys, repeated)
    doubled: tuple[Doubled, ...] = ()
    if repeated[0]:
        invalid = set(wrong.tolist())
        found = doubled_rows(np.zeros(1, np.int64), starts, keys, rows, index_bits)
        doubled = tuple(again for again in found if again.row not in invalid)
    return ArrangedPool(
        accounts=texts, keys=keys, index_bits=index_bits, doubled=doubled, wrong_accounts=wrong
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
    rows, short_of, first_numbers, assigned = np.empty((4, count), np.int64)
    starts = np.array((0, count), np.int64)
    loops.look_up_rows(
        starts, 0, count, pool.index_bits, pool.keys, np.arange(count), received, rows, short_of
    )
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


def _short_numbers(
    texts: pa.StringArray, account_order: AccountOrder, index_bits: int
) -> Integers | None:
    """Return the accounts as numbers directly, or None if they need `account_numbers`."""
    if account_order is not AccountOrder.NUMERIC:
        return None
    numbers = np.empty(len(texts), np.int64)
    if loops.read_digits(*text_buffers(texts), numbers):
        return None
    largest = int(numbers.max(initial=0))
    return numbers if largest.bit_length() + index_bits <= KEY_BITS else None
