"""The day's loops, compiled by numba: they read like the document, one pass over rows in order.

The rules themselves are `lottery.method.distribution`'s functions, compiled here; this module adds
the passes around them. Every loop releases the GIL, so that two threads can share the work, and
none starts threads of its own: a gRPC server calls them from many threads at once.

Traps, each guarded here or by the caller: packed keys overflow 64 bits for long account numbers;
running totals overflow past 2**63 - 1; floating point gives wrong first hits.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
from lottery.method import distribution

first_hit_number = inlined(distribution.first_hit_number)
assigned_in_range = inlined(distribution.assigned_in_range)


@inlined
def mixed(code, number):
    """64 well mixed bits of a pool's code and an account's number (a multiply-xorshift hash)."""
    mark = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    mark ^= np.uint64(code) * np.uint64(0xC2B2AE3D27D4EB4F)
    mark ^= mark >> np.uint64(32)
    mark *= np.uint64(0xD6E8FEB86659FD93)
    return mark ^ (mark >> np.uint64(32))


LOW_DIGITS: Final = 18
"""Decimal digits of a number's low part: 10**18 fits 64 bits twice over."""
MAX_DIGITS: Final = 30
INT64_MAX: Final = 2**63 - 1


@loop("const int32[], const uint8[], int64[]")
def read_digits(offsets, data, low):
    """Reads texts of 1 to 18 plain ASCII digits as numbers.

    Args:
        offsets: integer[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        low: out, int64[n]; -1 where the text is none of these.

    Returns:
        How many texts are none of these.
    """
    unread = 0
    for row in range(low.size):
        start, end = offsets[row], offsets[row + 1]
        number = np.int64(0)
        odd = end - start < 1 or end - start > LOW_DIGITS
        if not odd:
            for place in range(start, end):
                digit = data[place] - np.uint8(48)
                odd |= digit > np.uint8(9)
                number = number * 10 + np.int64(digit)
        if odd:
            unread += 1
            number = np.int64(-1)
        low[row] = number
    return unread


@loop("const int32[], const uint8[], int64[], int64[]")
def read_long_digits(offsets, data, high, low):
    """Reads texts of 1 to 30 plain ASCII digits as numbers, value = high * 10**18 + low.

    Args:
        offsets: integer[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        high: out, int64[n], the digits above the lowest 18; -1 where the text is no such number.
        low: out, int64[n], the lowest 18 digits.
    """
    for row in range(low.size):
        start, end = offsets[row], offsets[row + 1]
        number = np.int64(0)
        high_number = np.int64(0)
        odd = end - start < 1 or end - start > MAX_DIGITS
        if not odd:
            split = max(start, end - LOW_DIGITS)
            for place in range(start, end):
                digit = data[place] - np.uint8(48)
                odd |= digit > np.uint8(9)
                if place < split:
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
    """Gives every row its pool's code and counts the rows of the assigned pools.

    Args:
        series: int32[n], indices into the series dictionary.
        occ_accounts: int32[n], indices into the occ_account dictionary.
        pool_of: int32[occ_accounts, series], the code of each pair; assigned pools have the first.
        codes: out, int32[n].
        counts: in and out, int64[assigned pools].
    """
    for row in range(codes.size):
        code = pool_of[occ_accounts[row], series[row]]
        codes[row] = code
        if code < counts.size:
            counts[code] += 1


@loop("const int32[], const int64[], const int64[], int64[], int64, int64, int64[], int64[]")
def scatter_rows(codes, numbers, starts, places, index_bits, first_row, keys, rows):
    """Puts every row of a assigned pool into the pool's slots, as `number << index_bits | place`.

    Args:
        codes: int32[n], each row's pool; -1 for a row that belongs nowhere.
        numbers: int64[n], each row's account number or rank; packed it must fit 63 bits.
        starts: int64[pools + 1], where each pool's slots start.
        places: in and out, int64[pools], the next free slot of each pool.
        index_bits: Bits of the place within a pool.
        first_row: The day's row of this block's first row.
        keys: out, int64[slots].
        rows: out, int64[slots], the day's row in each slot.
    """
    for row in range(codes.size):
        code = codes[row]
        if 0 <= code < places.size:
            slot = places[code]
            places[code] = slot + 1
            keys[slot] = (numbers[row] << index_bits) | (slot - starts[code])
            rows[slot] = first_row + row


@loop("const int32[], const int64[], int64, int64, int64, uint64[], uint64[]")
def mark_repeats(codes, numbers, first_code, part, parts, seen, again):
    """Marks in `again` every (pool, account) of a pool without notices that may come twice.

    Two rows that are equal have one mark. Two that are not may share one, seldom: whoever is marked
    is looked at exactly afterwards (`list_repeats`), and nobody who repeats is missed.

    Args:
        codes: int32[n], each row's pool.
        numbers: int64[n], each row's account number or rank.
        first_code: The first code of a pool without notices.
        part: Which share of the marks to look after: each thread has its own words.
        parts: In how many shares, a power of two.
        seen: in and out, uint64[words], a power of two; one bit a mark.
        again: in and out, uint64[words].
    """
    mask = np.uint64(seen.size - 1)
    for row in range(codes.size):
        if codes[row] < first_code:
            continue
        mark = mixed(codes[row], numbers[row])
        word = (mark >> np.uint64(6)) & mask
        if word & np.uint64(parts - 1) != np.uint64(part):
            continue
        bit = np.uint64(1) << (mark & np.uint64(63))
        if seen[word] & bit:
            again[word] |= bit
        else:
            seen[word] |= bit


@loop("const int32[], const int64[], int64, const uint64[], int64[], uint64[]")
def list_repeats(codes, numbers, first_code, again, rows, marks):
    """Lists the rows that `mark_repeats` marked, and their marks.

    Args:
        codes: int32[n], each row's pool.
        numbers: int64[n], each row's account number or rank.
        first_code: The first code of a pool without notices.
        again: uint64[words].
        rows: out, int64[n], from its start.
        marks: out, uint64[n], beside `rows`.

    Returns:
        How many they are.
    """
    mask = np.uint64(again.size - 1)
    count = 0
    for row in range(codes.size):
        if codes[row] < first_code:
            continue
        mark = mixed(codes[row], numbers[row])
        bit = np.uint64(1) << (mark & np.uint64(63))
        if again[(mark >> np.uint64(6)) & mask] & bit:
            rows[count] = row
            marks[count] = mark
            count += 1
    return count


RADIX_BITS: Final = 11
RADIX: Final = 1 << RADIX_BITS
RADIX_SLOTS: Final = 16_384
"""A pool of that many slots and more is sorted digit by digit, which costs the same a slot."""


@inlined
def sort_by_digits(slots, spare, low_bit):
    """Sorts keys by their bits from `low_bit` on, digit by digit from the lowest (a radix sort).

    Keys of equal bits stay in their order.

    Args:
        slots: in and out, int64[n].
        spare: int64[n], overwritten.
        low_bit: The lowest bit that counts.
    """
    largest = np.int64(0)
    for key in slots:
        largest |= key
    counts = np.empty(RADIX, np.int64)
    shift = low_bit
    source, target = slots, spare
    swapped = False
    while largest >> shift:
        counts[:] = 0
        for key in source:
            counts[(key >> shift) & (RADIX - 1)] += 1
        place = np.int64(0)
        for digit in range(RADIX):
            count = counts[digit]
            counts[digit] = place
            place += count
        for key in source:
            digit = (key >> shift) & (RADIX - 1)
            target[counts[digit]] = key
            counts[digit] += 1
        source, target = target, source
        swapped = not swapped
        shift += RADIX_BITS
    if swapped:
        slots[:] = source


@loop("const int64[], const int64[], int64[]")
def merge_sorted(first, second, merged):
    """Merges two sorted arrays.

    Args:
        first: int64[n].
        second: int64[m].
        merged: out, int64[n + m].
    """
    left, right = 0, 0
    for place in range(merged.size):
        if right == second.size or (left < first.size and first[left] <= second[right]):
            merged[place] = first[left]
            left += 1
        else:
            merged[place] = second[right]
            right += 1


@loop("int64[], int64[], int64")
def sort_slots(slots, spare, low_bit):
    """Sorts a part of one large pool's keys, as `sort_by_digits`."""
    sort_by_digits(slots, spare, low_bit)


@loop("const int64[], int64, int64, int64, int64[], bool[]")
def sort_pools(starts, first_pool, last_pool, index_bits, keys, doubled):
    """Sorts each pool's slots by account (R1) and marks pools with a doubled account (P4, R2).

    Args:
        starts: int64[pools + 1].
        first_pool: The first pool to sort.
        last_pool: The pool after the last one to sort.
        index_bits: As `scatter_rows` packed them.
        keys: in and out, int64[slots].
        doubled: out, bool[pools].
    """
    for pool in range(first_pool, last_pool):
        slots = keys[starts[pool] : starts[pool + 1]]
        if slots.size < 2:
            continue
        in_order = True
        for slot in range(1, slots.size):
            if slots[slot] < slots[slot - 1]:
                in_order = False
                break
        if not in_order and slots.size < RADIX_SLOTS:
            slots.sort()
        elif not in_order:
            sort_by_digits(slots, np.empty(slots.size, np.int64), index_bits)
        for slot in range(1, slots.size):
            if slots[slot] >> index_bits == slots[slot - 1] >> index_bits:
                doubled[pool] = True
                break


@loop(
    "const int64[], int64, int64, int64, const int64[], const int64[], const int64[], int64[], "
    "int64[]"
)
def gather_rows(starts, first_slot, last_slot, index_bits, keys, rows, shorts, row_of, short_of):
    """Looks up each sorted slot's row and its contracts: nothing but reading from anywhere.

    Apart from the sums, so that many of these reads are on their way at a time.

    Args:
        starts: int64[pools + 1], where each pool's slots start.
        first_slot: The first slot to look up.
        last_slot: The slot after the last one.
        index_bits: Bits of the place within a pool in `keys`.
        keys: int64[slots], sorted by `sort_pools`.
        rows: int64[slots], the day's row in each unsorted slot.
        shorts: int64[rows], contracts short in each row of the day.
        row_of: out, int64[slots], the day's row in each sorted slot.
        short_of: out, int64[slots], its contracts.
    """
    place_mask = (np.int64(1) << index_bits) - 1
    pool = np.searchsorted(starts, first_slot, side="right") - 1
    slot = first_slot
    while slot < last_slot:
        start = starts[pool]
        end = min(last_slot, starts[pool + 1])
        for at in range(slot, end):
            row = rows[start + (keys[at] & place_mask)]
            row_of[at] = row
            short_of[at] = shorts[row]
        slot = end
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
    """The method: for every pool its ranges, its first hit, its distribution (R3, D1 to D5).

    Args:
        starts: int64[pools + 1], where each pool's slots start.
        first_pool: The first pool to allocate.
        last_pool: The pool after the last one.
        assigned: int64[pools], contracts assigned to each pool.
        ten_thousandths: The fraction's numerator.
        zero_is_one: The choice of D2, as `first_hit_number` takes it.
        totals: out, int64[pools], total short; -1 where it passes 2**63 - 1.
        first_hits: out, int64[pools]; 0 for a break (D5).
        account_counts: out, int64[pools], open accounts.
        hit_counts: out, int64[pools], accounts with an assigned contract.
        row_of: in and out, int64[slots], as `gather_rows` left it; then the rows of each pool's
            open accounts in order, from its start.
        short_of: in and out, int64[slots], as well; zero contracts are not open (P2).
        first_numbers: out, int64[slots], beside `row_of`; a range ends with its short.
        assigned_of: out, int64[slots], beside `row_of`; 0 for a break.
    """
    for pool in range(first_pool, last_pool):
        start = starts[pool]
        out = start
        last_number = np.int64(0)
        for slot in range(start, starts[pool + 1]):
            short = short_of[slot]
            if short == 0:
                continue
            if last_number > INT64_MAX - short:
                last_number = np.int64(-1)
                break
            row_of[out] = row_of[slot]
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
        for slot in range(start, out):
            first_number = first_numbers[slot]
            hit = assigned_in_range(
                first_number,
                first_number + short_of[slot] - 1,
                first_hit,
                assigned[pool],
                total_short,
            )
            assigned_of[slot] = hit
            hit_counts[pool] += hit > 0


@loop("const int64[], const int64[], const bool[], int64[]")
def gather_slots(starts, counts, chosen, slots):
    """Lists the slots in use of the chosen pools, pool after pool.

    Args:
        starts: int64[pools + 1].
        counts: int64[pools], slots in use of each pool, from its start.
        chosen: bool[pools].
        slots: out, int64[sum of the chosen counts].
    """
    out = 0
    for pool in range(counts.size):
        if chosen[pool]:
            for slot in range(starts[pool], starts[pool] + counts[pool]):
                slots[out] = slot
                out += 1


@loop("const int64[], const int64[], const bool[], int64[]")
def close_up(starts, counts, chosen, values):
    """Moves the values of the chosen pools' slots in use to the front, in place and in order.

    Args:
        starts: int64[pools + 1].
        counts: int64[pools], slots in use of each pool, from its start.
        chosen: bool[pools].
        values: in and out, int64[slots]; then the first are those of the slots.
    """
    out = 0
    for pool in range(counts.size):
        if chosen[pool]:
            start = starts[pool]
            for slot in range(start, start + counts[pool]):
                values[out] = values[slot]
                out += 1
