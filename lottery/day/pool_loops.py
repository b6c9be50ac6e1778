"""The loop of one pool on its own: its rows in order, and their allocation (R1 to D5).

It is one compiled call, because a call costs as much as a small pool.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
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

START: Final = 0
"""Column of an allocated row: where the account's text starts."""
END: Final = 1
"""Column: where it ends."""
SHORT: Final = 2
"""Column: contracts short."""
LAST: Final = 3
"""Column: the last number (R3); the first one is `LAST - SHORT + 1`."""
ASSIGNED: Final = 4
"""Column: contracts assigned."""
COLUMNS: Final = 5


@inlined
def read_numbers(data, ends, keys, bits):
    """Find the accounts in their bytes, and read them as numbers.

    Args:
        data: uint8[], the accounts, each followed by a newline.
        ends: out, int64[n], where each account ends.
        keys: out, int64[n], `number << bits | row`.
        bits: Bits of the row in a key.

    Returns:
        Whether the keys are sound: each account is a number of up to 18 digits, and fits a key.
    """
    sound = True
    largest = np.int64(0)
    start = 0
    row = 0
    number = np.int64(0)
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
            sound &= 1 <= index - start <= MOST_DIGITS
            largest = max(largest, number)
            keys[row] = number << bits | row
            ends[row] = index
            number = np.int64(0)
            start = index + 1
            row += 1
    return sound and not largest >> (KEY_BITS - bits)


@inlined
def rows_in_order(data, order, ends, bits):
    """Find the accounts, and return the rows in their order, each in the low bits of a key (R1).

    Args:
        data: uint8[], the accounts, each followed by a newline.
        order: int64[n], the rows in order; empty if the accounts are to be read and sorted here.
        ends: out, int64[n], where each account ends.
        bits: Bits of the row in a key.

    Returns:
        int64[n], and whether they are sound: without an order, accounts must be as `read_numbers`
        has them, none repeated.
    """
    keys = np.empty(ends.size, np.int64)
    sound = read_numbers(data, ends, keys, bits)
    if order.size:
        keys[:] = order
        return keys, True
    if sound and keys.size < RADIX_ROWS:
        keys.sort()
    elif sound:
        buckets = np.empty(1 << BUCKET_BITS, np.int64)
        spare = np.empty(keys.size, np.int64)
        keys = sort_by_digits(keys, spare, keys.size, bits, buckets)
    return keys, sound and not has_repeats(keys, keys.size, bits)


@loop("const uint8[], const int64[], const int64[], int64, int64, bool, int64[,]")
def allocate_rows(data, shorts, order, assigned, ten_thousandths, zero_is_one, rows):
    """Allocate one pool (R1, R3, D1 to D5).

    Args:
        data: uint8[], the accounts, each followed by a newline.
        shorts: int64[n], contracts short of each.
        order: int64[n], the rows in the order of their accounts; empty if the accounts are numbers
            of up to 18 digits, to be read and sorted here.
        assigned: Contracts assigned to the pool.
        ten_thousandths: The fraction's numerator.
        zero_is_one: The choice of D2, as `first_hit_number` takes it.
        rows: out, int64[n, COLUMNS], the open accounts in order.

    Returns:
        Whether the rows are sound; total short (-1 past 2**63 - 1); first hit (0 for a break); open
        accounts; accounts hit. Rows are not sound if a quantity is negative, an account is repeated
        or, without an order, is no such number or does not fit 63 bits together with its row.
    """
    count = shorts.size
    bits = 1
    while 1 << bits < count:
        bits += 1
    ends = np.empty(count, np.int64)
    keys, sound = rows_in_order(data, order, ends, bits)
    if not sound:
        return False, 0, 0, 0, 0
    mask = (np.int64(1) << bits) - 1
    total = np.int64(0)
    open_count = 0
    for index in range(count):
        row = keys[index] & mask
        short = shorts[row]
        if short < 0:
            return False, 0, 0, 0, 0
        if short > INT64_MAX - total:
            return True, -1, 0, 0, 0
        if short == 0:  # Not open: it takes no number (P2).
            continue
        total += short
        rows[open_count, START] = ends[row - 1] + 1 if row else 0
        rows[open_count, END] = ends[row]
        rows[open_count, SHORT] = short
        rows[open_count, LAST] = total
        open_count += 1
    if assigned > total:
        return True, total, 0, open_count, 0
    first_hit = first_hit_number(ten_thousandths, total, zero_is_one)
    hit_count = 0
    for index in range(open_count):
        last = rows[index, LAST]
        first = last - rows[index, SHORT] + 1
        quantity = assigned_in_range(first, last, first_hit, assigned, total)
        rows[index, ASSIGNED] = quantity
        hit_count += quantity > 0
    return True, total, first_hit, open_count, hit_count
