"""The loops of one pool on its own: its rows in order, and their allocation (R1 to D5).

Each is one compiled call, because a call costs as much as a small pool. The rules and the day's own
loop of them are compiled in.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day import loops
from lottery.day.account_keys import KEY_BITS
from lottery.day.jit import inlined, loop

allocate_pools = inlined(loops.allocate_pools.function)
sort_by_digits = loops.sort_by_digits

LOW_DIGITS: Final = loops.LOW_DIGITS
NEWLINE: Final = 10
"""The byte after each account."""
RADIX_ROWS: Final = 1_024
"""Rows from which on the accounts are sorted digit by digit."""


@loop("const uint8[], int64, int32[], int64[]")
def arrange_rows(data, index_bits, offsets, keys):
    """Find the accounts in their bytes, read them as numbers, and sort the rows by them (R1).

    Args:
        data: uint8[], the accounts, each followed by a newline.
        index_bits: Bits of the row in a key.
        offsets: out, int32[n + 1], where each account starts, and the size of the data.
        keys: out, int64[n], `number << index_bits | row`, sorted.

    Returns:
        Whether the keys are sound. They are void if an account is not a number of up to 18 digits,
        is repeated, or does not fit a key.
    """
    sound = True
    largest = np.int64(0)
    row = 0
    number = np.int64(0)
    offsets[0] = 0
    for index in range(data.size):
        digit = data[index] - np.uint8(48)
        if digit <= np.uint8(9):
            # The number of a longer text may wrap around; its length makes the keys void.
            number = number * 10 + np.int64(digit)
        elif data[index] != NEWLINE:
            sound = False
        elif row == keys.size:  # An account contains a newline.
            return False
        else:
            sound &= 1 <= index - offsets[row] <= LOW_DIGITS
            largest = max(largest, number)
            keys[row] = number << index_bits | row
            number = np.int64(0)
            row += 1
            offsets[row] = index + 1
    if not sound or largest >> (KEY_BITS - index_bits):
        return False
    if keys.size < RADIX_ROWS:
        keys.sort()
    else:
        sort_by_digits(keys, np.empty(keys.size, np.int64), index_bits)
    for index in range(1, keys.size):
        if keys[index] >> index_bits == keys[index - 1] >> index_bits:
            return False
    return True


@loop("const int64[], int64, const int64[], int64, int64, bool, int64[,], int64[]")
def allocate_rows(
    keys, index_bits, shorts, assigned, ten_thousandths, zero_is_one, columns, figures
):
    """Allocate one pool (R3, D1 to D5).

    Args:
        keys: int64[n], sorted by `arrange_rows`.
        index_bits: Bits of the row in a key.
        shorts: int64[n], the short quantity of each row.
        assigned: Contracts assigned to the pool.
        ten_thousandths: The fraction's numerator.
        zero_is_one: The choice of D2, as `first_hit_number` takes it.
        columns: out, int64[4, n]: the rows of the open accounts in order, their first and last
            numbers, and their assigned quantities.
        figures: out, int64[4]: total short, first hit, open accounts and accounts hit, as
            `loops.allocate_pools` has them.
    """
    count = keys.size
    index_mask = (np.int64(1) << index_bits) - 1
    for index in range(count):
        row = keys[index] & index_mask
        columns[0, index] = row
        columns[2, index] = shorts[row]
    allocate_pools(
        np.array((0, count), np.int64),
        0,
        1,
        np.full(1, assigned, np.int64),
        ten_thousandths,
        zero_is_one,
        figures[0:1],
        figures[1:2],
        figures[2:3],
        figures[3:4],
        columns[0],
        columns[2],
        columns[1],
        columns[3],
    )
    # So far the third column has the short quantities, which end each range.
    for index in range(figures[2]):
        columns[2, index] += columns[1, index] - 1
