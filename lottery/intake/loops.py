"""Loops over what was received: the quotes of CSV, and a block of positions.

A series is looked up by three words of its padded form, which begin at its characters 0, 8 and 13.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
from lottery.day.loops import MOST_DIGITS, ZEROS, key_of, wrong_digits

PADDED: Final = 21
"""Characters of a padded series."""
_ROOT: Final = 6
_TAIL: Final = 15
_BLANK: Final = 0x20
_BATCH: Final = 512
"""Texts that are looked up together."""
_ROOT_HIGH = np.uint64(0x808080808080)
_ROOT_MASK = np.uint64(0xFFFFFFFFFFFF)


@inlined
def word_of(box, at):
    """Return eight bytes as one number, the first in its lowest byte."""
    word = np.uint64(0)
    for index in range(8):
        word |= np.uint64(box[at + index]) << np.uint64(8 * index)
    return word


@inlined
def pad(data, start, end, box):
    """Put the padded form of a symbol into a box of 21 bytes; zeros if it cannot have one."""
    size = end - start
    for index in range(PADDED):
        box[index] = _BLANK
    if size == PADDED:
        for index in range(PADDED):
            box[index] = data[start + index]
        return
    root = size - _TAIL
    is_compact = 1 <= root < _ROOT
    for index in range(root if is_compact else 0):
        is_compact &= data[start + index] != _BLANK
    if not is_compact:
        box[0] = 0
        return
    for index in range(root):
        box[index] = data[start + index]
    for index in range(_TAIL):
        box[_ROOT + index] = data[start + root + index]


@inlined
def is_symbol(first, middle, last):
    """Return whether three words (characters 0, 8 and 13) are a padded OSI symbol."""
    date = first >> np.uint64(48) | (middle & np.uint64(0xFFFFFFFF)) << np.uint64(16)
    digits = (date ^ ZEROS) & _ROOT_MASK
    wrong = wrong_digits(last ^ ZEROS) | wrong_digits(digits)
    year = (digits & np.uint64(15)) * np.uint64(10) + (digits >> np.uint64(8) & np.uint64(15))
    month = (digits >> np.uint64(16) & np.uint64(15)) * np.uint64(10) + (
        digits >> np.uint64(24) & np.uint64(15)
    )
    day = (digits >> np.uint64(32) & np.uint64(15)) * np.uint64(10) + (
        digits >> np.uint64(40) & np.uint64(15)
    )
    # 31 days, but 30 in April, June, September and November, and 28 or 29 in February.
    days = (
        31
        - ((month == 4) | (month == 6) | (month == 9) | (month == 11))
        - 2 * (month == 2)
        - ((month == 2) & (year & np.uint64(3) != 0))
    )
    right = middle >> np.uint64(32) & np.uint64(0xFF)
    # The root: A to Z, 0 to 9, and blanks after them; each test leaves the high bit of a byte.
    root = first & _ROOT_MASK
    blank_bits = root ^ np.uint64(0x202020202020)
    blank = ~((blank_bits & np.uint64(0x7F7F7F7F7F7F)) + np.uint64(0x7F7F7F7F7F7F) | blank_bits)
    blank &= _ROOT_HIGH
    digit_bits = root ^ np.uint64(0x303030303030)
    digit = ~(digit_bits + np.uint64(0x767676767676) | digit_bits) & _ROOT_HIGH
    letter = (root + np.uint64(0x3F3F3F3F3F3F)) & ~(root + np.uint64(0x252525252525)) & _ROOT_HIGH
    # Without branches: nearly every symbol is one.
    return (
        (wrong == 0)
        & (root & _ROOT_HIGH == 0)
        & (blank | digit | letter == _ROOT_HIGH)
        & (blank & np.uint64(0x80) == 0)
        & (blank << np.uint64(8) & ~blank & _ROOT_HIGH == 0)
        & ((right == 0x43) | (right == 0x50))
        & (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (day <= days)
    )


@inlined
def hash_symbol(first, middle, last):
    """Return 64 well mixed bits of three words, never 0 (a multiply-xorshift hash)."""
    value = first * np.uint64(0x9E3779B97F4A7C15)
    value ^= value >> np.uint64(29)
    value = (value ^ middle) * np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(32)
    value = (value ^ last) * np.uint64(0x94D049BB133111EB)
    return value ^ value >> np.uint64(31) | np.uint64(1 << 63)


@loop("const uint8[,], uint64[,], uint64[], int32[]")
def fill_buckets(padded, symbols, hashes, codes):
    """Put the assigned series into a hash table.

    Args:
        padded: uint8[k, 21], their characters.
        symbols: out, uint64[k, 3], their words.
        hashes: in and out, uint64[a power of two, more than k], all 0: the hash in each bucket.
        codes: out, int32[buckets], the series in each.
    """
    mask = np.uint64(hashes.size - 1)
    for code in range(len(padded)):
        first, middle, last = (
            word_of(padded[code], 0),
            word_of(padded[code], 8),
            word_of(padded[code], 13),
        )
        symbols[code, 0], symbols[code, 1], symbols[code, 2] = first, middle, last
        value = hash_symbol(first, middle, last)
        bucket = value & mask
        while hashes[bucket] != 0:
            bucket = (bucket + np.uint64(1)) & mask
        hashes[bucket] = value
        codes[bucket] = code


@loop(
    "const int32[], const uint8[], const words, const uint64[,], const uint64[], const int32[], "
    "int32[]"
)
def find_series(offsets, data, words, symbols, hashes, codes, found):
    """Look up texts among the assigned series.

    Args:
        offsets: int32[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        words: uint64[bytes - 7], the word at each byte of `data`.
        symbols: uint64[k, 3], as `fill_buckets` left them.
        hashes: uint64[buckets], as well.
        codes: int32[buckets], as well.
        found: out, int32[n], the series of each text; -1 if it is not assigned.

    Returns:
        How many texts are not OSI symbols.
    """
    wrong = 0
    mask = np.uint64(hashes.size - 1)
    box = np.empty(PADDED, np.uint8)
    three = np.empty((_BATCH, 3), np.uint64)
    values = np.empty(_BATCH, np.uint64)
    buckets = np.empty(_BATCH, np.uint64)
    for batch in range(0, found.size, _BATCH):
        size = min(_BATCH, found.size - batch)
        for index in range(size):
            start, end = np.int64(offsets[batch + index]), np.int64(offsets[batch + index + 1])
            if end - start == PADDED:
                first, middle, last = words[start], words[start + 8], words[start + 13]
            else:
                pad(data, start, end, box)
                first, middle, last = word_of(box, 0), word_of(box, 8), word_of(box, 13)
            wrong += not is_symbol(first, middle, last)
            three[index, 0], three[index, 1], three[index, 2] = first, middle, last
            values[index] = hash_symbol(first, middle, last)
        # The table is larger than the cache: of a batch, many reads of it are on their way at once.
        for index in range(size):
            bucket = values[index] & mask
            while hashes[bucket] != 0 and hashes[bucket] != values[index]:
                bucket = (bucket + np.uint64(1)) & mask
            buckets[index] = bucket
        for index in range(size):
            bucket = buckets[index]
            found[batch + index] = -1
            while hashes[bucket] != 0:
                code = codes[bucket]
                if (
                    symbols[code, 0] == three[index, 0]
                    and symbols[code, 1] == three[index, 1]
                    and symbols[code, 2] == three[index, 2]
                ):
                    found[batch + index] = code
                    break
                bucket = (bucket + np.uint64(1)) & mask
    return wrong


@loop("const int32[], const int32[], const int32[,], int32[], int32[]")
def keep_assigned(codes, occ_rows, pool_of, kept, pools):
    """List the rows of assigned pools (P1).

    Args:
        codes: int32[n], the series of each row; -1 if it is not assigned.
        occ_rows: int32[n], the row of `pool_of` for its OCC account.
        pool_of: int32[OCC accounts, series + 1], pools; -1 for a pair without notices, and in the
            last column.
        kept: out, int32[n + 1], the rows, from its start.
        pools: out, int32[n + 1], their pools.

    Returns:
        How many there are.
    """
    count = 0
    for row in range(codes.size):
        pool = pool_of[occ_rows[row], codes[row]]
        kept[count] = row
        pools[count] = pool
        count += pool >= 0
    return count


@loop("const int32[], const int32[], const uint8[], const words, const int64[], int64[], int64[]")
def read_kept(kept, offsets, data, words, shorts, keys, kept_shorts):
    """Read account and contracts of the rows that are kept.

    Args:
        kept: int32[m], the rows.
        offsets: int32[n + 1], where each account starts in `data`.
        data: uint8[], the accounts' bytes.
        words: uint64[bytes - 7], the word at each byte of `data`.
        shorts: int64[n], contracts short.
        keys: out, int64[m].
        kept_shorts: out, int64[m].

    Returns:
        Whether every account has a key, and no quantity is negative.
    """
    sound = True
    for index in range(kept.size):
        row = kept[index]
        key = key_of(data, words, np.int64(offsets[row]), np.int64(offsets[row + 1]))
        keys[index] = key
        kept_shorts[index] = shorts[row]
        sound &= key >= 0 and shorts[row] >= 0
    return sound


@loop("const uint8[], int64")
def has_valid_quotes(data, delimiter):
    """Return whether quotes are where RFC 4180 has them: around a value, or doubled within one.

    Nothing follows a closing quote within its value, and no value holds a line break. Arrow's
    reader is lenient: it takes `""1047` for 1047, and an open quote at the end for a value.

    Args:
        data: uint8[n], the file.
        delimiter: The byte that separates values.
    """
    at_start, unquoted, quoted, closing = 0, 1, 2, 3
    state = at_start
    for byte in data:
        is_quote = byte == 0x22
        is_break = byte in (0x0A, 0x0D)
        is_end = is_break or byte == delimiter
        if state == quoted:
            if is_break:
                return False
            state = closing if is_quote else quoted
        elif is_quote:
            if state == unquoted:
                return False
            state = quoted
        elif is_end:
            state = at_start
        elif state == closing:
            return False
        else:
            state = unquoted
    return state != quoted


@loop("const int32[], const uint8[], int64[]")
def read_digits(offsets, data, numbers):
    """Read texts of 1 to 18 ASCII digits as numbers.

    Args:
        offsets: int32[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        numbers: out, int64[n]; -1 for any other text.

    Returns:
        How many other texts there are.
    """
    unread = 0
    for row in range(numbers.size):
        start, end = offsets[row], offsets[row + 1]
        number = np.int64(0)
        wrong = end - start < 1 or end - start > MOST_DIGITS
        if not wrong:
            for at in range(start, end):
                digit = data[at] - np.uint8(48)
                wrong |= digit > np.uint8(9)
                number = number * 10 + np.int64(digit)
        if wrong:
            unread += 1
            number = np.int64(-1)
        numbers[row] = number
    return unread


@loop("const uint8[]")
def longest_text(data):
    """Return the length of the longest of texts that each follow their length; -1 if cut short.

    Args:
        data: uint8[n], each length in four bytes, the lowest first.
    """
    longest = 0
    offset = 0
    while offset < data.size:
        if offset + 4 > data.size:
            return -1
        length = (
            int(data[offset])
            | int(data[offset + 1]) << 8
            | int(data[offset + 2]) << 16
            | int(data[offset + 3]) << 24
        )
        offset += 4 + length
        longest = max(longest, length)
    return longest if offset == data.size else -1
