"""Loops over the bytes of a file: the quotes of CSV, and the positions of one row group.

A pool's series is known by its text in padded form: the root, padded with blanks to six characters,
and the tail. Both forms of a symbol have the same fingerprint.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lottery.day.jit import inlined, loop
from lottery.day.loops import LOW_DIGITS, fingerprint_of

_TAIL: Final = 15
_ROOT: Final = 6
_BLANK: Final = 0x20


@inlined
def is_yymmdd(data, start):
    """Return whether six digits are a calendar date of this century."""
    year = (data[start] - 48) * 10 + data[start + 1] - 48
    month = (data[start + 2] - 48) * 10 + data[start + 3] - 48
    day = (data[start + 4] - 48) * 10 + data[start + 5] - 48
    days = 31
    if month in (4, 6, 9, 11):
        days = 30
    elif month == 2:
        days = 29 if year % 4 == 0 else 28
    return 1 <= month <= 12 and 1 <= day <= days


@inlined
def root_end_of(offsets, data, index):
    """Return where a symbol's root ends, without blanks; -1 if the text is not an OSI symbol."""
    start, tail = offsets[index], offsets[index + 1] - _TAIL
    end = tail
    if end - start < 1 or end - start > _ROOT:
        return -1
    if end - start == _ROOT:  # Padded with blanks at its end; a compact root has none.
        while end - start > 1 and data[end - 1] == _BLANK:
            end -= 1
    for offset in range(start, end):
        byte = data[offset]
        if not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A):
            return -1
    for offset in range(tail, tail + _TAIL):
        byte = data[offset]
        if offset == tail + 6:
            if byte not in (0x43, 0x50):
                return -1
        elif not 0x30 <= byte <= 0x39:
            return -1
    return end if is_yymmdd(data, tail) else -1


@inlined
def fingerprint_of_symbol(data, start, root_end, tail):
    """Return 64 bits for a symbol, never 0; its blanks do not count."""
    value = np.uint64(0xCBF29CE484222325)
    for offset in range(start, root_end):
        value = (value ^ np.uint64(data[offset])) * np.uint64(0x100000001B3)
    for offset in range(tail, tail + _TAIL):
        value = (value ^ np.uint64(data[offset] + 0x80)) * np.uint64(0x100000001B3)
    return fingerprint_of(0, value) | np.uint64(1)


@loop("const uint8[,], uint64[], int32[]")
def fill_buckets(padded, buckets, bucket_codes):
    """Put symbols into a hash table of their fingerprints.

    Args:
        padded: uint8[k, 21], their characters.
        buckets: in and out, uint64[a power of two, more than k], all 0.
        bucket_codes: out, int32[], the symbol of each bucket.
    """
    mask = np.uint64(buckets.size - 1)
    for code in range(len(padded)):
        root_end = _ROOT
        while padded[code, root_end - 1] == _BLANK:
            root_end -= 1
        fingerprint = fingerprint_of_symbol(padded[code], 0, root_end, _ROOT)
        bucket = fingerprint & mask
        while buckets[bucket] != 0:
            bucket = (bucket + np.uint64(1)) & mask
        buckets[bucket] = fingerprint
        bucket_codes[bucket] = code


@loop(
    "const int32[], const uint8[], const uint8[,], const uint64[], const int32[], int32[], uint64[]"
)
def read_symbols(offsets, data, padded, buckets, bucket_codes, codes, fingerprints):
    """Read a dictionary of OSI symbols: which of them are wanted, and a fingerprint of each.

    Args:
        offsets: int32[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        padded: uint8[k, 21], the wanted symbols.
        buckets: uint64[], as `fill_buckets` left them.
        bucket_codes: int32[], likewise.
        codes: out, int32[n], the wanted symbol; -1 for any other.
        fingerprints: out, uint64[n].

    Returns:
        How many texts are not OSI symbols.
    """
    wrong = 0
    mask = np.uint64(buckets.size - 1)
    for index in range(codes.size):
        codes[index] = -1
        fingerprints[index] = 0
        root_end = root_end_of(offsets, data, index)
        if root_end < 0:
            wrong += 1
            continue
        start, tail = offsets[index], offsets[index + 1] - _TAIL
        fingerprint = fingerprint_of_symbol(data, start, root_end, tail)
        fingerprints[index] = fingerprint
        bucket = fingerprint & mask
        while buckets[bucket] != 0:
            if buckets[bucket] == fingerprint:
                code = bucket_codes[bucket]
                same = True
                for offset in range(_ROOT):
                    byte = data[start + offset] if start + offset < root_end else _BLANK
                    same &= padded[code, offset] == byte
                for offset in range(_TAIL):
                    same &= padded[code, _ROOT + offset] == data[tail + offset]
                if same:
                    codes[index] = code
                    break
            bucket = (bucket + np.uint64(1)) & mask
    return wrong


@loop(
    "const int32[], const int32[], const uint64[], const int32[], const int32[], "
    "const uint64[], const bool[,], const int32[], const uint8[], const int64[], int32[], "
    "uint64[], int64[]"
)
def keep_assigned(
    series,
    codes,
    symbol_fingerprints,
    occ_accounts,
    pool_rows,
    occ_fingerprints,
    pools,
    offsets,
    data,
    shorts,
    kept,
    fingerprints,
    counts,
):
    """Check every row, list those of assigned pools, and take fingerprints of the others.

    Args:
        series: int32[n], indices into the dictionary of series.
        codes: int32[k], as `read_symbols` gives them.
        symbol_fingerprints: uint64[k], likewise.
        occ_accounts: int32[n], indices into the OCC accounts of these rows.
        pool_rows: int32[OCC accounts], the row of each in `pools`.
        occ_fingerprints: uint64[OCC accounts].
        pools: bool[assigned OCC accounts + 1, assigned series], the pools with notices.
        offsets: int32[n + 1], where each account starts in `data`.
        data: uint8[], the accounts' bytes.
        shorts: int64[n], contracts short.
        kept: out, int32[n], the rows of assigned pools from its start on.
        fingerprints: out, uint64[n], one of pool and account for each other row.
        counts: out, int64[2], the rows kept and the others.

    Returns:
        Whether every account is a number of up to 18 digits and no quantity is negative.
    """
    sound = True
    keep = 0
    other = 0
    for row in range(series.size):
        start, end = offsets[row], offsets[row + 1]
        sound &= 1 <= end - start <= LOW_DIGITS and shorts[row] >= 0
        number = np.int64(0)
        for offset in range(start, end):
            digit = data[offset] - np.uint8(48)
            sound &= digit <= np.uint8(9)
            number = number * 10 + np.int64(digit)
        label, occ_account = series[row], occ_accounts[row]
        code = codes[label]
        if code >= 0 and pools[pool_rows[occ_account], code]:
            kept[keep] = row
            keep += 1
        else:
            pool = symbol_fingerprints[label] ^ occ_fingerprints[occ_account]
            fingerprints[other] = fingerprint_of(pool, number)
            other += 1
    counts[0] = keep
    counts[1] = other
    return sound


@loop("const uint64[], int64, int64, uint64[], uint64[]")
def flag_repeats(fingerprints, part, parts, seen, repeated):
    """Flag the fingerprints that may have come before, one bit for each.

    Args:
        fingerprints: uint64[n].
        part: The share of the words that this call handles.
        parts: The number of shares, a power of two.
        seen: in and out, uint64[words], a power of two.
        repeated: in and out, uint64[words].
    """
    mask = np.uint64(seen.size - 1)
    for fingerprint in fingerprints:
        word = (fingerprint >> np.uint64(6)) & mask
        if word & np.uint64(parts - 1) != np.uint64(part):
            continue
        bit = np.uint64(1) << (fingerprint & np.uint64(63))
        if seen[word] & bit:
            repeated[word] |= bit
        else:
            seen[word] |= bit


@loop("const uint64[], const uint64[], uint64[]")
def list_repeats(fingerprints, repeated, found):
    """List the fingerprints that may have come twice.

    Args:
        fingerprints: uint64[n].
        repeated: uint64[words], as `flag_repeats` left it.
        found: out, uint64[n], filled from its start on.

    Returns:
        How many there are.
    """
    mask = np.uint64(repeated.size - 1)
    count = 0
    for fingerprint in fingerprints:
        if repeated[(fingerprint >> np.uint64(6)) & mask] & (
            np.uint64(1) << (fingerprint & np.uint64(63))
        ):
            found[count] = fingerprint
            count += 1
    return count


@loop("const uint8[]")
def has_valid_quotes(data):
    """Return whether quotes are where RFC 4180 has them: around a value, or doubled within one.

    Nothing follows a closing quote within its value, and no value holds a line break. Arrow's
    reader is lenient: it takes `""1047` for 1047, and an open quote at the end for a value.

    Args:
        data: uint8[n], the file.
    """
    at_start, unquoted, quoted, closing = 0, 1, 2, 3
    state = at_start
    for byte in data:
        is_quote = byte == 0x22
        is_break = byte in (0x0A, 0x0D)
        is_end = is_break or byte == 0x2C
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
