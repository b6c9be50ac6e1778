"""The day's loops, compiled by numba: they read like the document, one pass over rows in order.

The rules themselves are `lottery.method.distribution`'s functions, compiled here; this module adds
the passes around them. Every loop releases the GIL, so that two threads can share the work, and
none starts threads of its own: a gRPC server calls them from many threads at once.

An account is one number here, its *key*: `number << 5 | length`, where `length` counts its digits,
so that leading zeros survive. Keys sort as accounts do (R1, R2), and two spellings of one number
(R2) are neighbours that differ in the length alone.

Traps, each guarded here or by the caller: keys packed with an index overflow 63 bits for long
account numbers; running totals overflow past 2**63 - 1; floating point gives wrong first hits.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
from lottery.method import distribution

first_hit_number = inlined(distribution.first_hit_number)
assigned_in_range = inlined(distribution.assigned_in_range)

LENGTH_BITS: Final = 5
"""Bits of an account's length in its key: up to 31 characters."""
LENGTH_MASK: Final = (1 << LENGTH_BITS) - 1
KEYED_DIGITS: Final = 16
"""Most digits of an account whose number is in its key; longer ones are ranked."""
INT64_MAX: Final = 2**63 - 1
MOST_DIGITS: Final = 18
"""Most digits of a number that fits 64 bits, whatever they are."""
BUCKET_BITS: Final = 11
"""Bits of a key that one pass of the radix sort looks at."""
KEY_BITS: Final = 63
"""Bits of a key or number with the index of its row below it."""
SLACK: Final = 8
"""Bytes after the last text: a text is written by words."""
INSERTION_ROWS: Final = 24
"""A pool of that many accounts or fewer is sorted by insertion."""

# Eight digits at a time: a word is eight bytes, the first in the lowest byte.
ZEROS = np.uint64(0x3030303030303030)
_HIGH_BITS = np.uint64(0x8080808080808080)
_ABOVE_NINE = np.uint64(0x7676767676767676)


@inlined
def wrong_digits(word):
    """Return the high bit of each byte of a word that is not a digit, of a word less '0's."""
    return ((word + _ABOVE_NINE) | word) & _HIGH_BITS


@inlined
def eight_digits(word):
    """Return the number of the eight digits in a word less '0's."""
    word = word * np.uint64(10) + (word >> np.uint64(8))
    pairs = (word & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    others = ((word >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(
        0x0000271000000001
    )
    return (pairs + others) >> np.uint64(32)


@inlined
def last_digits(words, end, count):
    """Return the last `count` (1 to 8) characters before `end`, less '0's, filled up by zeros."""
    kept = np.uint64(64 - 8 * count)
    return ((words[end - 8] ^ ZEROS) >> kept) << kept


@inlined
def key_of(data, words, start, end):
    """Return the key of an account of 1 to 16 digits; -1 for any other text.

    Args:
        data: uint8[], the texts' bytes.
        words: uint64[bytes - 7], the word at each byte of `data`.
        start: Where the text starts in `data`.
        end: Where it ends.
    """
    size = end - start
    if size < 1 or size > KEYED_DIGITS:
        return np.int64(-1)
    if end < KEYED_DIGITS:  # A word would begin before the data.
        value = np.int64(0)
        for index in range(start, end):
            digit = np.int64(data[index]) - 48
            if digit < 0 or digit > 9:
                return np.int64(-1)
            value = value * 10 + digit
        return value << LENGTH_BITS | size
    low = min(size, 8)
    word = last_digits(words, end, low)
    wrong = wrong_digits(word)
    number = eight_digits(word)
    if size > low:
        word = last_digits(words, end - 8, size - low)
        wrong |= wrong_digits(word)
        number += eight_digits(word) * np.uint64(100_000_000)
    if wrong:
        return np.int64(-1)
    return np.int64(number << np.uint64(LENGTH_BITS) | np.uint64(size))


@loop("const int32[], const uint8[], const words, int64[]")
def read_keys(offsets, data, words, keys):
    """Read the keys of accounts.

    Args:
        offsets: int32[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        words: uint64[bytes - 7], the word at each byte of `data`.
        keys: out, int64[n]; -1 for a text that is not 1 to 16 digits.

    Returns:
        How many texts have no key.
    """
    unread = 0
    for row in range(keys.size):
        key = key_of(data, words, np.int64(offsets[row]), np.int64(offsets[row + 1]))
        keys[row] = key
        unread += key < 0
    return unread


@loop("const int32[], const int64[], const int64[], const int64[], int32[], int64[]")
def count_segments(pools, keys, first_segments, bounds, segments, counts):
    """Give every row its segment, and count the rows of each.

    A pool is one segment; a giant pool has several, cut by account number at its bounds.

    Args:
        pools: int32[n], the pool of each row.
        keys: int64[n], its account's key.
        first_segments: int64[pools + 1], the first segment of each pool.
        bounds: int64[segments], the lowest number of each segment of a giant pool.
        segments: out, int32[n].
        counts: in and out, int64[segments].
    """
    for row in range(pools.size):
        first, last = first_segments[pools[row]], first_segments[pools[row] + 1] - 1
        number = keys[row] >> LENGTH_BITS
        while first < last:  # The last segment whose bound is not above the number.
            middle = (first + last + 1) >> 1
            if bounds[middle] <= number:
                first = middle
            else:
                last = middle - 1
        segments[row] = first
        counts[first] += 1


@loop("const int32[], const int64[], const int64[], int64[], int64[,]")
def scatter_rows(segments, keys, shorts, free, rows):
    """Put every row into its segment.

    Args:
        segments: int32[n], the segment of each row.
        keys: int64[n].
        shorts: int64[n].
        free: in and out, int64[segments], the next free index of each.
        rows: out, int64[total, 2], key and contracts.
    """
    for row in range(segments.size):
        index = free[segments[row]]
        free[segments[row]] = index + 1
        rows[index, 0] = keys[row]
        rows[index, 1] = shorts[row]


@loop("const int64[], int64, int64, const int64[,], int64[], int64[], int64[]")
def sum_segments(starts, first, last, rows, totals, account_counts, text_sizes):
    """Sum up the open positions of segments (P2).

    Args:
        starts: int64[segments + 1], where the rows of each start.
        first: The first segment.
        last: The segment after the last one.
        rows: int64[total, 2], key and contracts.
        totals: out, int64[segments], contracts short; -1 past 2**63 - 1.
        account_counts: out, int64[segments], open positions.
        text_sizes: out, int64[segments], characters of their accounts.
    """
    for segment in range(first, last):
        total = np.int64(0)
        count = np.int64(0)
        size = np.int64(0)
        for index in range(starts[segment], starts[segment + 1]):
            short = rows[index, 1]
            if short > INT64_MAX - total:
                total = np.int64(-1)
                break
            is_open = short > 0
            total += short
            count += is_open
            size += (rows[index, 0] & LENGTH_MASK) * is_open
        totals[segment] = total
        account_counts[segment] = count
        text_sizes[segment] = size


@loop("const int64[], const int64[], int64, bool, int64[]")
def first_hits(totals, assigned, ten_thousandths, zero_is_one, hits):
    """Compute the first hit of every pool (D1, D2, D5).

    Args:
        totals: int64[pools], contracts short.
        assigned: int64[pools], contracts assigned.
        ten_thousandths: The fraction's numerator.
        zero_is_one: The choice of D2, as `first_hit_number` takes it.
        hits: out, int64[pools]; 0 for a break.
    """
    for pool in range(totals.size):
        hits[pool] = 0
        if assigned[pool] <= totals[pool]:
            hits[pool] = first_hit_number(ten_thousandths, totals[pool], zero_is_one)


@inlined
def sort_by_insertion(keys, count):
    """Sort the first keys in place."""
    for index in range(1, count):
        key = keys[index]
        before = index - 1
        while before >= 0 and keys[before] > key:
            keys[before + 1] = keys[before]
            before -= 1
        keys[before + 1] = key


@inlined
def sort_by_digits(keys, spare, count, low_bit, buckets):
    """Sort the first keys by their bits from `low_bit` on, lowest digit first (a radix sort).

    Args:
        keys: int64[], overwritten.
        spare: int64[], overwritten.
        count: How many keys there are.
        low_bit: The lowest bit that counts; keys of equal bits stay in their order.
        buckets: int64[2**BUCKET_BITS], overwritten.

    Returns:
        `keys` or `spare`: the one that holds the result.
    """
    used = np.int64(0)
    for index in range(count):
        used |= keys[index]
    bits = 8 if count < 2_048 else BUCKET_BITS
    mask = (1 << bits) - 1
    shift = low_bit
    source, target = keys, spare
    while shift < KEY_BITS and used >> shift:  # Machine code shifts by the lowest six bits alone.
        for digit in range(mask + 1):
            buckets[digit] = 0
        for index in range(count):
            buckets[(source[index] >> shift) & mask] += 1
        free = np.int64(0)
        for digit in range(mask + 1):
            size = buckets[digit]
            buckets[digit] = free
            free += size
        for index in range(count):
            digit = (source[index] >> shift) & mask
            target[buckets[digit]] = source[index]
            buckets[digit] += 1
        source, target = target, source
        shift += bits
    return source


@inlined
def largest_size(starts, first, last):
    """Return the rows of the largest segment."""
    largest = 0
    for segment in range(first, last):
        largest = max(largest, starts[segment + 1] - starts[segment])
    return largest


@inlined
def has_repeats(keys, count, number_bit):
    """Return whether two sorted keys have the same number, their bits from `number_bit` on."""
    repeats = False
    for index in range(1, count):
        repeats |= keys[index] >> number_bit == keys[index - 1] >> number_bit
    return repeats


@inlined
def eight_characters(number):
    """Return a number below 10**8 as a word of eight digits."""
    high = number // np.uint64(10_000)
    word = high | (number - high * np.uint64(10_000)) << np.uint64(32)
    tens = ((word * np.uint64(10_486)) >> np.uint64(20)) & np.uint64(0x0000007F0000007F)
    word = tens | (word - tens * np.uint64(100)) << np.uint64(16)
    tens = ((word * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    return (tens | (word - tens * np.uint64(10)) << np.uint64(8)) + ZEROS


@inlined
def write_number(words, at, number, size):
    """Write the last `size` (1 to 16) digits of a number at a byte; up to 8 bytes after it change.

    Args:
        words: uint64[bytes - 7], in and out, the word at each byte.
        at: The byte.
        number: The number.
        size: How many digits.
    """
    if size <= 8:
        words[at] = eight_characters(np.uint64(number)) >> np.uint64(64 - 8 * size)
        return
    high = np.uint64(number) // np.uint64(100_000_000)
    low = np.uint64(number) - high * np.uint64(100_000_000)
    words[at] = eight_characters(high) >> np.uint64(8 * (KEYED_DIGITS - size))
    words[at + size - 8] = eight_characters(low)


@inlined
def write_ranked(text, at, rank, size, rank_offsets, rank_text):
    """Write the text of a rank at a byte, filled up on its left by '0's to `size` characters."""
    start, end = rank_offsets[rank], rank_offsets[rank + 1]
    for index in range(size - (end - start)):
        text[at + index] = 48
    at += size - (end - start)
    for index in range(start, end):
        text[at + index - start] = rank_text[index]


@loop("const int64[], const int32[], const uint8[], const int32[], uint8[], words")
def write_accounts(keys, rank_offsets, rank_text, offsets, text, words):
    """Write accounts out of their keys.

    Args:
        keys: int64[n].
        rank_offsets: int32[ranks + 1], where the text of each rank starts; empty without ranks.
        rank_text: uint8[], these texts.
        offsets: int32[n + 1], where each account starts in `text`.
        text: out, uint8[characters + SLACK].
        words: uint64[], the word at each byte of `text`.
    """
    for row in range(keys.size):
        size = keys[row] & LENGTH_MASK
        if rank_offsets.size:
            number = keys[row] >> LENGTH_BITS
            write_ranked(text, np.int64(offsets[row]), number, size, rank_offsets, rank_text)
        else:
            write_number(words, np.int64(offsets[row]), keys[row] >> LENGTH_BITS, size)


@loop(
    "const int64[], int64, int64, const int64[,], const int32[], const int64[], const int64[], "
    "const int64[], const int64[], const int32[], const uint8[], int32[], int32[], uint8[], words, "
    "int64[], int64[], int64[], int64[], int64[], bool[]"
)
def allocate_segments(
    starts,
    first,
    last,
    rows,
    pool_of,
    numbers_before,
    totals,
    hit_from,
    assigned,
    rank_offsets,
    rank_text,
    out_pool,
    out_offsets,
    out_text,
    out_words,
    out_short,
    out_first,
    out_last,
    out_assigned,
    hit_counts,
    repeated,
):
    """Put accounts in order, give them their ranges, and distribute (R1, R3, D1 to D4).

    Args:
        starts: int64[segments + 1], where the rows of each segment start.
        first: The first segment.
        last: The segment after the last one.
        rows: int64[total, 2], key and contracts.
        pool_of: int32[segments], the pool of each segment.
        numbers_before: int64[segments], the numbers of the same pool in earlier segments.
        totals: int64[pools], contracts short.
        hit_from: int64[pools], the number that contracts are assigned from (D1, P6); 0 for a
            break, of which nothing is assigned.
        assigned: int64[pools], contracts assigned.
        rank_offsets: int32[ranks + 1], where the text of each rank starts, if accounts are ranked;
            else empty.
        rank_text: uint8[], these texts.
        out_pool: out, int32[m], the pool of each open position, in order.
        out_offsets: out, int32[m + 1], where each account's text starts.
        out_text: out, uint8[characters + 8], the texts.
        out_words: uint64[characters + 1], the word at each byte of `out_text`.
        out_short: out, int64[m], contracts short.
        out_first: out, int64[m], first numbers (R3).
        out_last: out, int64[m], last numbers.
        out_assigned: out, int64[m], contracts assigned.
        hit_counts: out, int64[segments], accounts with an assigned contract.
        repeated: out, bool[segments], whether an account comes twice (P4, R2).
    """
    largest = largest_size(starts, first, last)
    keys = np.empty(largest, np.int64)
    spare = np.empty(largest, np.int64)
    buckets = np.empty(1 << BUCKET_BITS, np.int64)
    out = 0
    at = 0
    for segment in range(first, last):
        pool = pool_of[segment]
        start = starts[segment]
        count = starts[segment + 1] - start
        if count == 0:
            continue
        # Below each key its index in the segment, so that values are sorted and nothing follows.
        bits = np.int64(1)
        while np.int64(1) << bits < count:
            bits += 1
        for index in range(count):
            keys[index] = rows[start + index, 0] << bits | index
        if count <= INSERTION_ROWS:
            sort_by_insertion(keys, count)
            ordered = keys
        else:
            ordered = sort_by_digits(keys, spare, count, bits, buckets)
        number_bit = bits + LENGTH_BITS
        repeated[segment] = has_repeats(ordered, count, number_bit)
        mask = (np.int64(1) << bits) - 1
        last_number = numbers_before[segment]
        hit_count = np.int64(0)
        for index in range(count):
            key = ordered[index]
            short = rows[start + (key & mask), 1]
            if short == 0:  # Not open: it takes no number (P2).
                continue
            size = key >> bits & LENGTH_MASK
            out_pool[out] = pool
            out_offsets[out] = at
            if rank_offsets.size:
                write_ranked(out_text, at, key >> number_bit, size, rank_offsets, rank_text)
            else:
                write_number(out_words, at, key >> number_bit, size)
            at += size
            out_short[out] = short
            out_first[out] = last_number + 1
            last_number += short
            out_last[out] = last_number
            quantity = np.int64(0)
            if hit_from[pool] > 0:
                quantity = assigned_in_range(
                    last_number - short + 1,
                    last_number,
                    hit_from[pool],
                    assigned[pool],
                    totals[pool],
                )
                hit_count += quantity > 0
            out_assigned[out] = quantity
            out += 1
        hit_counts[segment] = hit_count
    out_offsets[out] = at
