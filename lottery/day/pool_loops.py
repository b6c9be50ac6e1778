"""The loops of one pool on its own: its rows in order, and their allocation (R1 to D5).

Each is one compiled call, because a call costs as much as a small pool.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import loop
from lottery.day.loops import (
    BUCKET_BITS,
    INT64_MAX,
    KEY_BITS,
    MOST_DIGITS,
    assigned_in_range,
    first_hit_number,
    has_repeats,
    sort_by_digits,
)

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
            sound &= 1 <= index - offsets[row] <= MOST_DIGITS
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
        buckets = np.empty(1 << BUCKET_BITS, np.int64)
        keys[:] = sort_by_digits(
            keys, np.empty(keys.size, np.int64), keys.size, index_bits, buckets
        )
    return not has_repeats(keys, keys.size, index_bits)


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
        figures: out, int64[4]: total short (-1 past 2**63 - 1), first hit (0 for a break), open
            accounts and accounts hit.
    """
    index_mask = (np.int64(1) << index_bits) - 1
    total = np.int64(0)
    count = 0
    for key in keys:
        row = key & index_mask
        short = shorts[row]
        if short > INT64_MAX - total:
            total = np.int64(-1)
            break
        if short == 0:  # Not open: it takes no number (P2).
            continue
        columns[0, count] = row
        columns[1, count] = total + 1
        total += short
        columns[2, count] = total
        count += 1
    first_hit = np.int64(0)
    hit_count = 0
    if assigned <= total:
        first_hit = first_hit_number(ten_thousandths, total, zero_is_one)
        for index in range(count):
            quantity = assigned_in_range(
                columns[1, index], columns[2, index], first_hit, assigned, total
            )
            columns[3, index] = quantity
            hit_count += quantity > 0
    figures[0] = total
    figures[1] = first_hit
    figures[2] = count
    figures[3] = hit_count
