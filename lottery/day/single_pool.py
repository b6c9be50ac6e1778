"""One pool on its own, for a call that brings its positions as rows: no tables, two loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from lottery.day.allocate import break_reason
from lottery.day.assigned_pools import Integers
from lottery.day.identifiers import wrong_accounts
from lottery.day.keys import TextBlock, key_positions
from lottery.day.loops import LENGTH_BITS
from lottery.day.pool_loops import allocate_rows, arrange_rows
from lottery.errors import PoolBroken
from lottery.method.methodology import AccountOrder, ZeroHit

if TYPE_CHECKING:  # It imports much that only types need.
    import numpy.typing as npt

_NONE: Final[Integers] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has an earlier row in the same pool (P4, R2)."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTexts:
    """The accounts of a pool's rows as received, each followed by a newline.

    Attributes:
        offsets: int32[n + 1], where each account starts; it ends one byte before the next offset.
        data: uint8[], the bytes.
    """

    offsets: npt.NDArray[np.int32]
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrangedPool:
    """A pool's rows in the order of their accounts.

    Attributes:
        texts: The rows' accounts.
        keys: int64[n], sorted: a number or rank of the account, and below it the row.
        index_bits: Bits of the row in `keys`.
        doubled: Rows that repeat an account (P4, R2).
        wrong_accounts: int64[], rows whose account is invalid (R2); the order is then void.
    """

    texts: AccountTexts
    keys: Integers
    index_bits: int
    doubled: tuple[Doubled, ...] = ()
    wrong_accounts: Integers = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatedPool:
    """A pool allocated; arrays of k are its open accounts in order (R1).

    Attributes:
        texts: The rows' accounts.
        shorts: int64[n], the short quantity of each row as received.
        rows: int64[k], the row of each open account.
        first_numbers: int64[k], the ranges' first numbers (R3).
        last_numbers: int64[k], their last numbers, inclusive.
        assigned: int64[k], assigned quantities.
    """

    total_short: int
    first_hit: int
    hit_account_count: int
    texts: AccountTexts
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
    data = np.frombuffer(("\n".join(accounts) + "\n").encode(), np.uint8)
    texts = AccountTexts(offsets=np.empty(count + 1, np.int32), data=data)
    keys = np.empty(count, np.int64)
    is_sorted = arrange_rows(data, index_bits, texts.offsets, keys)
    if is_sorted and account_order is AccountOrder.NUMERIC:
        return ArrangedPool(texts=texts, keys=keys, index_bits=index_bits)
    return _arrange_any(accounts, account_order, texts, index_bits)


def _arrange_any(
    accounts: Sequence[str], account_order: AccountOrder, texts: AccountTexts, index_bits: int
) -> ArrangedPool:
    """Arrange accounts of any length and form, and find what is wrong with them."""
    column = pa.array(accounts, pa.string())
    wrong = wrong_accounts(column, account_order)
    valid = np.delete(np.arange(len(accounts), dtype=np.int32), wrong)
    block = TextBlock(
        pools=np.zeros_like(valid),
        accounts=column.take(pa.array(valid)),
        shorts=np.zeros(len(valid), np.int64),
        rows=valid,
    )
    numbers = key_positions([block], account_order).blocks[0].keys >> LENGTH_BITS
    _, first_indices, ranks = np.unique(numbers, return_index=True, return_inverse=True)
    again = np.delete(np.arange(len(valid)), first_indices)
    return ArrangedPool(
        texts=texts,
        keys=np.sort(ranks << index_bits | valid),
        index_bits=index_bits,
        doubled=tuple(
            Doubled(row=int(valid[index]), first_row=int(valid[first_indices[ranks[index]]]))
            for index in again.tolist()
        ),
        wrong_accounts=wrong,
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
    columns = np.empty((4, len(shorts)), np.int64)
    figures = np.empty(4, np.int64)
    allocate_rows(
        pool.keys,
        pool.index_bits,
        received,
        assigned_quantity,
        ten_thousandths,
        zero_hit is ZeroHit.FIRST,
        columns,
        figures,
    )
    total_short, first_hit, open_accounts, hit_account_count = figures.tolist()
    if total_short < 0:
        raise OverflowError("the shorts add up to more than 2**63 - 1")
    if assigned_quantity > total_short:
        raise PoolBroken(
            break_reason(total_short),
            assigned_quantity=assigned_quantity,
            total_short=total_short,
        )
    rows, first_numbers, last_numbers, assigned = columns[:, :open_accounts]
    return AllocatedPool(
        total_short=total_short,
        first_hit=first_hit,
        hit_account_count=hit_account_count,
        texts=pool.texts,
        shorts=received,
        rows=rows,
        first_numbers=first_numbers,
        last_numbers=last_numbers,
        assigned=assigned,
    )
