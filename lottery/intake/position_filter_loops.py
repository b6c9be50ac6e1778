"""The compiled passes over one row group of positions: what is checked, kept and marked.

A pool's series is known by its text in padded form: the root, blank to six characters, and the
tail. Both forms of a symbol have one hash.
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
    """Whether six digits are a calendar date of this century."""
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
    """Where the root of a symbol ends, without its blanks; -1 where a text is no OSI symbol."""
    start, tail = offsets[index], offsets[index + 1] - _TAIL
    end = tail
    if end - start < 1 or end - start > _ROOT:
        return -1
    if end - start == _ROOT:  # Padded: blank behind its characters. A compact one has no blank.
        while end - start > 1 and data[end - 1] == _BLANK:
            end -= 1
    for place in range(start, end):
        byte = data[place]
        if not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A):
            return -1
    for place in range(tail, tail + _TAIL):
        byte = data[place]
        if place == tail + 6:
            if byte not in (0x43, 0x50):
                return -1
        elif not 0x30 <= byte <= 0x39:
            return -1
    return end if is_yymmdd(data, tail) else -1


@inlined
def hash_symbol(data, start, root_end, tail):
    """64 bits of a symbol, never 0; its blanks do not count."""
    value = np.uint64(0xCBF29CE484222325)
    for place in range(start, root_end):
        value = (value ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
    for place in range(tail, tail + _TAIL):
        value = (value ^ np.uint64(data[place] + 0x80)) * np.uint64(0x100000001B3)
    return fingerprint_of(0, value) | np.uint64(1)


@loop("const uint8[,], uint64[], int32[]")
def fill_slots(padded, slots, slot_codes):
    """Puts symbols into a table of their hashes.

    Args:
        padded: uint8[k, 21], their characters.
        slots: in and out, uint64[a power of two, more than k], all 0.
        slot_codes: out, int32[], the symbol of each slot.
    """
    mask = np.uint64(slots.size - 1)
    for code in range(len(padded)):
        root_end = _ROOT
        while padded[code, root_end - 1] == _BLANK:
            root_end -= 1
        mark = hash_symbol(padded[code], 0, root_end, _ROOT)
        slot = mark & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = mark
        slot_codes[slot] = code


@loop(
    "const int32[], const uint8[], const uint8[,], const uint64[], const int32[], int32[], uint64[]"
)
def read_symbols(offsets, data, padded, slots, slot_codes, codes, hashes):
    """Reads a dictionary of OSI symbols: which of them are wanted, and a hash of each.

    Args:
        offsets: int32[n + 1], where each text starts in `data`.
        data: uint8[], the texts' bytes.
        padded: uint8[k, 21], the wanted symbols.
        slots: uint64[], as `fill_slots` left them.
        slot_codes: int32[], as well.
        codes: out, int32[n], the wanted symbol; -1 for another one.
        hashes: out, uint64[n].

    Returns:
        How many texts are no OSI symbol.
    """
    wrong = 0
    mask = np.uint64(slots.size - 1)
    for index in range(codes.size):
        codes[index] = -1
        hashes[index] = 0
        root_end = root_end_of(offsets, data, index)
        if root_end < 0:
            wrong += 1
            continue
        start, tail = offsets[index], offsets[index + 1] - _TAIL
        mark = hash_symbol(data, start, root_end, tail)
        hashes[index] = mark
        slot = mark & mask
        while slots[slot] != 0:
            if slots[slot] == mark:
                code = slot_codes[slot]
                same = True
                for place in range(_ROOT):
                    byte = data[start + place] if start + place < root_end else _BLANK
                    same &= padded[code, place] == byte
                for place in range(_TAIL):
                    same &= padded[code, _ROOT + place] == data[tail + place]
                if same:
                    codes[index] = code
                    break
            slot = (slot + np.uint64(1)) & mask
    return wrong


@loop(
    "const int32[], const int32[], const uint64[], const int32[], const int32[], "
    "const uint64[], const bool[,], const int32[], const uint8[], const int64[], int32[], "
    "uint64[], int64[]"
)
def keep_assigned(
    series,
    codes,
    hashes,
    occ_accounts,
    pool_rows,
    occ_hashes,
    pools,
    offsets,
    data,
    shorts,
    kept,
    marks,
    counts,
):
    """Checks every row, lists those of assigned pools, and marks the others.

    Args:
        series: int32[n], indices into the dictionary of series.
        codes: int32[k], as `read_symbols` gives them.
        hashes: uint64[k], as well.
        occ_accounts: int32[n], indices into the OCC accounts of these rows.
        pool_rows: int32[OCC accounts], the row of each in `pools`.
        occ_hashes: uint64[OCC accounts].
        pools: bool[assigned OCC accounts + 1, assigned series], the pools with notices.
        offsets: int32[n + 1], where each account starts in `data`.
        data: uint8[], the accounts' bytes.
        shorts: int64[n], contracts short.
        kept: out, int32[n], from its start, the rows of assigned pools.
        marks: out, uint64[n], from its start, a hash of pool and account of each other row.
        counts: out, int64[2], how many are kept and how many marked.

    Returns:
        Whether every account is a number of up to 18 digits, and no quantity is negative.
    """
    sound = True
    keep = 0
    other = 0
    for row in range(series.size):
        start, end = offsets[row], offsets[row + 1]
        sound &= 1 <= end - start <= LOW_DIGITS and shorts[row] >= 0
        number = np.int64(0)
        for place in range(start, end):
            digit = data[place] - np.uint8(48)
            sound &= digit <= np.uint8(9)
            number = number * 10 + np.int64(digit)
        label, occ_account = series[row], occ_accounts[row]
        code = codes[label]
        if code >= 0 and pools[pool_rows[occ_account], code]:
            kept[keep] = row
            keep += 1
        else:
            marks[other] = fingerprint_of(hashes[label] ^ occ_hashes[occ_account], number)
            other += 1
    counts[0] = keep
    counts[1] = other
    return sound


@loop("const uint64[], int64, int64, uint64[], uint64[]")
def mark_again(marks, part, parts, seen, again):
    """Notes which marks may have come before; one bit a mark, as `loops.flag_repeats`.

    Args:
        marks: uint64[n].
        part: Which share of the words to look after.
        parts: In how many shares, a power of two.
        seen: in and out, uint64[words], a power of two.
        again: in and out, uint64[words].
    """
    mask = np.uint64(seen.size - 1)
    for mark in marks:
        word = (mark >> np.uint64(6)) & mask
        if word & np.uint64(parts - 1) != np.uint64(part):
            continue
        bit = np.uint64(1) << (mark & np.uint64(63))
        if seen[word] & bit:
            again[word] |= bit
        else:
            seen[word] |= bit


@loop("const uint64[], const uint64[], uint64[]")
def list_again(marks, again, found):
    """Lists the marks that may have come twice.

    Args:
        marks: uint64[n].
        again: uint64[words], as `mark_again` left it.
        found: out, uint64[n], from its start.

    Returns:
        How many they are.
    """
    mask = np.uint64(again.size - 1)
    count = 0
    for mark in marks:
        if again[(mark >> np.uint64(6)) & mask] & (np.uint64(1) << (mark & np.uint64(63))):
            found[count] = mark
            count += 1
    return count
