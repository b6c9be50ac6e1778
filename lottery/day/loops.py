"""The loops of a day: they read like the document, row after row in order (R1 to D5).

The rules themselves are functions of `lottery.method.distribution`, compiled into these loops.

Arrays of arranged rows hold the rows of the assigned pools, pool after pool: those of pool p are at
the indices from `starts[p]` to `starts[p + 1]`.

Invariants:
- A loop starts no threads, so that a server can call it from many; callers share large work.
- Everything is in 64-bit integers. Packed keys would overflow for long account numbers, which the
  caller guards against; running totals would beyond 2**63 - 1, which `allocate_pools` does.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
from lottery.method import distribution

first_hit_number = inlined(distribution.first_hit_number)
assigned_in_range = inlined(distribution.assigned_in_range)


LOW_DIGITS: Final = 18
"""Decimal digits that a number of 63 bits always holds."""
MAX_DIGITS: Final = 30
"""Maximum digits of an account number."""
INT64_MAX: Final = 2**63 - 1
RADIX_BITS: Final = 11
RADIX: Final = 1 << RADIX_BITS
RADIX_ROWS: Final = 16_384
"""Rows from which on a pool is sorted digit by digit, which costs the same for each row."""


@inlined
def fingerprint_of(code, number):
    """Return 64 well mixed bits of a pool's code and an account's number (multiply-xorshift)."""
    bits = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    bits ^= np.uint64(code) * np.uint64(0xC2B2AE3D27D4EB4F)
    bits ^= bits >> np.uint64(32)
    bits *= np.uint64(0xD6E8FEB86659FD93)
    return bits ^ (bits >> np.uint64(32))


@loop("const int32[], const uint8[], int64[]")
def read_digits(offsets, data, low):
    """Read texts of 1 to 18 ASCII digits as numbers.

    Args:
        offsets: integer[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        low: out, int64[n]; -1 for any other text.

    Returns:
        How many other texts there are.
    """
    unread = 0
    for row in range(low.size):
        start, end = offsets[row], offsets[row + 1]
        number = np.int64(0)
        odd = end - start < 1 or end - start > LOW_DIGITS
        if not odd:
            for at in range(start, end):
                digit = data[at] - np.uint8(48)
                odd |= digit > np.uint8(9)
                number = number * 10 + np.int64(digit)
        if odd:
            unread += 1
            number = np.int64(-1)
        low[row] = number
    return unread


@loop("const int32[], const uint8[], int64[], int64[]")
def read_long_digits(offsets, data, high, low):
    """Read texts of 1 to 30 ASCII digits as numbers, value = high * 10**18 + low.

    Args:
        offsets: integer[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        high: out, int64[n], the digits above the lowest 18; -1 for any other text.
        low: out, int64[n], the lowest 18 digits.
    """
    for row in range(low.size):
        start, end = offsets[row], offsets[row + 1]
        number = np.int64(0)
        high_number = np.int64(0)
        odd = end - start < 1 or end - start > MAX_DIGITS
        if not odd:
            split = max(start, end - LOW_DIGITS)
            for at in range(start, end):
                digit = data[at] - np.uint8(48)
                odd |= digit > np.uint8(9)
                if at < split:
                    high_number = high_number * 10 + np.int64(digit)
                else:
                    number = number * 10 + np.int64(digit)
        if odd:
            number = np.int64(0)
            high_number = np.int64(-1)
        low[row] = number
        high[row] = high_number


@loop("const int32[], const int32[], const int32[,], int32[], int64[]")
def count_rows(series, occ_accounts, pool_of, codes, counts):
    """Give every row its pool's code, and count the rows of the assigned pools.

    Args:
        series: int32[n], indices into the series dictionary.
        occ_accounts: int32[n], indices into the occ_account dictionary.
        pool_of: int32[OCC accounts, series], the code of each pair; assigned pools have the first
            codes.
        codes: out, int32[n].
        counts: in and out, int64[assigned pools].
    """
    for row in range(codes.size):
        code = pool_of[occ_accounts[row], series[row]]
        codes[row] = code
        if code < counts.size:
            counts[code] += 1


@loop("const int32[], const int64[], const int64[], int64[], int64, int64, int64[], int64[]")
def scatter_rows(codes, numbers, starts, free, index_bits, first_row, keys, rows):
    """Write the rows of the assigned pools to their pools' indices, in any order of accounts.

    A key is `number << index_bits | index within the pool`.

    Args:
        codes: int32[n], each row's pool; -1 for a row of none.
        numbers: int64[n], each row's account number or rank; packed it must fit 63 bits.
        starts: int64[pools + 1].
        free: in and out, int64[pools], the next free index of each pool.
        index_bits: Bits of the index within a pool.
        first_row: The day's row of this block's first row.
        keys: out, int64[arranged rows].
        rows: out, int64[arranged rows], the day's rows.
    """
    for row in range(codes.size):
        code = codes[row]
        if 0 <= code < free.size:
            index = free[code]
            free[code] = index + 1
            keys[index] = (numbers[row] << index_bits) | (index - starts[code])
            rows[index] = first_row + row


@loop("const int32[], const int64[], int64, int64, int64, uint64[], uint64[]")
def flag_repeats(codes, numbers, first_code, part, parts, seen, again):
    """Flag every account of a pool without notices that may have two rows there.

    Each fingerprint has a bit. Equal rows share theirs; others may too, but seldom: flagged rows
    are compared exactly afterwards (`list_repeats`), and no repeated row is missed.

    Args:
        codes: int32[n], each row's pool.
        numbers: int64[n], each row's account number or rank.
        first_code: The first code of a pool without notices.
        part: The share of the words to flag, of `parts`: each thread has its own.
        parts: How many shares there are, a power of two.
        seen: in and out, uint64[words], a power of two of them.
        again: in and out, uint64[words], the bits that were seen before.
    """
    mask = np.uint64(seen.size - 1)
    for row in range(codes.size):
        if codes[row] < first_code:
            continue
        fingerprint = fingerprint_of(codes[row], numbers[row])
        word = (fingerprint >> np.uint64(6)) & mask
        if word & np.uint64(parts - 1) != np.uint64(part):
            continue
        bit = np.uint64(1) << (fingerprint & np.uint64(63))
        if seen[word] & bit:
            again[word] |= bit
        else:
            seen[word] |= bit


@loop("const int32[], const int64[], int64, const uint64[], int64[], uint64[]")
def list_repeats(codes, numbers, first_code, again, rows, fingerprints):
    """List the rows that `flag_repeats` flagged, and their fingerprints.

    Args:
        codes: int32[n], each row's pool.
        numbers: int64[n], each row's account number or rank.
        first_code: The first code of a pool without notices.
        again: uint64[words].
        rows: out, int64[n], filled from its start.
        fingerprints: out, uint64[n], of these rows.

    Returns:
        How many rows there are.
    """
    mask = np.uint64(again.size - 1)
    count = 0
    for row in range(codes.size):
        if codes[row] < first_code:
            continue
        fingerprint = fingerprint_of(codes[row], numbers[row])
        bit = np.uint64(1) << (fingerprint & np.uint64(63))
        if again[(fingerprint >> np.uint64(6)) & mask] & bit:
            rows[count] = row
            fingerprints[count] = fingerprint
            count += 1
    return count


@inlined
def sort_by_digits(keys, spare, low_bit):
    """Sort keys by their bits from `low_bit` on, digit by digit from the lowest (a radix sort).

    Keys of equal bits stay in their order.

    Args:
        keys: in and out, int64[n].
        spare: int64[n], overwritten.
        low_bit: The lowest bit that counts.
    """
    largest = np.int64(0)
    for key in keys:
        largest |= key
    counts = np.empty(RADIX, np.int64)
    shift = low_bit
    source, target = keys, spare
    swapped = False
    while largest >> shift:
        counts[:] = 0
        for key in source:
            counts[(key >> shift) & (RADIX - 1)] += 1
        index = np.int64(0)
        for digit in range(RADIX):
            count = counts[digit]
            counts[digit] = index
            index += count
        for key in source:
            digit = (key >> shift) & (RADIX - 1)
            target[counts[digit]] = key
            counts[digit] += 1
        source, target = target, source
        swapped = not swapped
        shift += RADIX_BITS
    if swapped:
        keys[:] = source


@loop("const int64[], const int64[], int64[]")
def merge_sorted(first, second, merged):
    """Merge two sorted arrays.

    Args:
        first: int64[n].
        second: int64[m].
        merged: out, int64[n + m].
    """
    left, right = 0, 0
    for index in range(merged.size):
        if right == second.size or (left < first.size and first[left] <= second[right]):
            merged[index] = first[left]
            left += 1
        else:
            merged[index] = second[right]
            right += 1


@loop("int64[], int64[], int64")
def sort_part(keys, spare, low_bit):
    """Sort a part of one large pool's keys, as `sort_by_digits`."""
    sort_by_digits(keys, spare, low_bit)


@loop("const int64[], int64, int64, int64, int64[], bool[]")
def sort_pools(starts, first_pool, last_pool, index_bits, keys, repeated):
    """Sort each pool's keys by account (R1) and flag pools with a repeated account (P4, R2).

    Args:
        starts: int64[pools + 1].
        first_pool: The first pool to sort.
        last_pool: The pool after the last one to sort.
        index_bits: As `scatter_rows` packed them.
        keys: in and out, int64[arranged rows].
        repeated: out, bool[pools].
    """
    for pool in range(first_pool, last_pool):
        own = keys[starts[pool] : starts[pool + 1]]
        if own.size < 2:
            continue
        in_order = True
        for index in range(1, own.size):
            if own[index] < own[index - 1]:
                in_order = False
                break
        if not in_order and own.size < RADIX_ROWS:
            own.sort()
        elif not in_order:
            sort_by_digits(own, np.empty(own.size, np.int64), index_bits)
        for index in range(1, own.size):
            if own[index] >> index_bits == own[index - 1] >> index_bits:
                repeated[pool] = True
                break


@loop(
    "const int64[], int64, int64, int64, const int64[], const int64[], const int64[], int64[], "
    "int64[]"
)
def look_up_rows(starts, first, last, index_bits, keys, rows, shorts, row_of, short_of):
    """Look up the row and the short quantity of each sorted key.

    This does nothing but read from anywhere, so that many of the reads are under way at a time.

    Args:
        starts: int64[pools + 1].
        first: The first index to look up.
        last: The index after the last one.
        index_bits: Bits of the index within a pool in `keys`.
        keys: int64[arranged rows], sorted by `sort_pools`.
        rows: int64[arranged rows], the day's rows as `scatter_rows` wrote them.
        shorts: int64[rows], the day's short quantities.
        row_of: out, int64[arranged rows], the day's rows in order.
        short_of: out, int64[arranged rows], their short quantities.
    """
    index_mask = (np.int64(1) << index_bits) - 1
    pool = np.searchsorted(starts, first, side="right") - 1
    while first < last:
        start = starts[pool]
        end = min(last, starts[pool + 1])
        for index in range(first, end):
            row = rows[start + (keys[index] & index_mask)]
            row_of[index] = row
            short_of[index] = shorts[row]
        first = end
        pool += 1


@loop(
    "const int64[], int64, int64, const int64[], int64, bool, int64[], int64[], int64[], "
    "int64[], int64[], int64[], int64[], int64[]"
)
def allocate_pools(
    starts,
    first_pool,
    last_pool,
    assigned,
    ten_thousandths,
    zero_is_one,
    totals,
    first_hits,
    account_counts,
    hit_counts,
    row_of,
    short_of,
    first_numbers,
    assigned_of,
):
    """Allocate pools: ranges, first hit, distribution (R3, D1 to D5).

    Args:
        starts: int64[pools + 1].
        first_pool: The first pool to allocate.
        last_pool: The pool after the last one.
        assigned: int64[pools], contracts assigned to each pool.
        ten_thousandths: The fraction's numerator.
        zero_is_one: The choice of D2, as `first_hit_number` takes it.
        totals: out, int64[pools], total short; -1 if it exceeds 2**63 - 1.
        first_hits: out, int64[pools]; 0 for a break (D5).
        account_counts: out, int64[pools], open accounts.
        hit_counts: out, int64[pools], accounts with an assigned contract.
        row_of: in and out, int64[arranged rows], from `look_up_rows`; then the rows of each pool's
            open accounts in order, from its start.
        short_of: in and out, int64[arranged rows], likewise; a short of zero is not open (P2).
        first_numbers: out, int64[arranged rows], of the open accounts; the short quantity gives
            the range's end.
        assigned_of: out, int64[arranged rows], of the open accounts; 0 for a break.
    """
    for pool in range(first_pool, last_pool):
        start = starts[pool]
        out = start
        last_number = np.int64(0)
        for index in range(start, starts[pool + 1]):
            short = short_of[index]
            if short == 0:
                continue
            if last_number > INT64_MAX - short:
                last_number = np.int64(-1)
                break
            row_of[out] = row_of[index]
            short_of[out] = short
            first_numbers[out] = last_number + 1
            last_number += short
            assigned_of[out] = 0
            out += 1
        total_short = last_number
        totals[pool] = total_short
        account_counts[pool] = out - start
        hit_counts[pool] = 0
        first_hits[pool] = 0
        if assigned[pool] > total_short:
            continue
        first_hit = first_hit_number(ten_thousandths, total_short, zero_is_one)
        first_hits[pool] = first_hit
        for index in range(start, out):
            first_number = first_numbers[index]
            hit = assigned_in_range(
                first_number,
                first_number + short_of[index] - 1,
                first_hit,
                assigned[pool],
                total_short,
            )
            assigned_of[index] = hit
            hit_counts[pool] += hit > 0


@loop("const int64[], const int64[], const bool[], int64[]")
def list_indices(starts, counts, chosen, indices):
    """List the indices of the chosen pools' open accounts, pool after pool.

    Args:
        starts: int64[pools + 1].
        counts: int64[pools], open accounts of each pool, from its start.
        chosen: bool[pools].
        indices: out, int64[sum of the chosen counts].
    """
    out = 0
    for pool in range(counts.size):
        if chosen[pool]:
            for index in range(starts[pool], starts[pool] + counts[pool]):
                indices[out] = index
                out += 1


@loop("const int64[], const int64[], const bool[], int64[]")
def close_up(starts, counts, chosen, values):
    """Move the values of the chosen pools' open accounts to the front of their array, in order.

    Args:
        starts: int64[pools + 1].
        counts: int64[pools], open accounts of each pool, from its start.
        chosen: bool[pools].
        values: in and out, int64[arranged rows].
    """
    out = 0
    for pool in range(counts.size):
        if chosen[pool]:
            start = starts[pool]
            for index in range(start, start + counts[pool]):
                values[out] = values[index]
                out += 1
