"""Account numbers as integers that sort as the accounts do (rules R1, R2).

`account_order = numeric`: accounts are compared as numbers; leading zeros belong to an account's
identity, yet all spellings of one number are equal in the order.
`account_order = code-point`: accounts are compared as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day import loops
from lottery.day.identifiers import wrong_accounts
from lottery.day.threads import in_threads, split_rows
from lottery.method.methodology import AccountOrder

if TYPE_CHECKING:  # It imports much that only types need.
    import numpy.typing as npt

KEY_BITS: Final = 63
"""Bits of a packed key: a number and what the caller packs below it."""

Integers: TypeAlias = "npt.NDArray[np.int64]"
_NONE: Final[Integers] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNumbers:
    """Accounts as integers that sort and compare as the accounts do.

    Attributes:
        numbers: int64[n], an order-preserving number of each row; equal for equal accounts.
        bits: Bits of the largest one.
        wrong: int64[], the rows whose text is not an account number.
    """

    numbers: Integers
    bits: int
    wrong: Integers


def account_numbers(
    accounts: pa.ChunkedArray, order: AccountOrder, *, spare_bits: int
) -> AccountNumbers:
    """Read accounts for sorting.

    Args:
        accounts: string[n].
        order: The choice of R2.
        spare_bits: Bits that the caller packs below each number. If both exceed 63 bits, distinct
            accounts are ranked instead.
    """
    if order is AccountOrder.CODE_POINT:
        return _ranked(_text_ranks(accounts), wrong_accounts(accounts, order))
    high, low = read_numbers(accounts)
    bits = int(low.max(initial=0)).bit_length()
    if high is None and bits + spare_bits <= KEY_BITS:
        return AccountNumbers(numbers=low, bits=bits, wrong=_NONE)
    if high is None:
        return _ranked(_number_ranks(np.zeros(len(low), np.int64), low), _NONE)
    return _ranked(_number_ranks(high, low), wrong_accounts(accounts, order))


def read_numbers(texts: pa.ChunkedArray) -> tuple[Integers | None, Integers]:
    """Read texts of ASCII digits.

    Returns:
        high and low of `loops.read_long_digits`; None for high if every text is a number of up to
        18 digits.
    """
    low = np.empty(len(texts), np.int64)
    parts = _text_parts(texts)
    unread = sum(
        in_threads(
            lambda first, last: loops.read_digits(*parts[first, last], low[first:last]), [*parts]
        )
    )
    if not unread:
        return None, low
    high = np.empty(len(texts), np.int64)
    for (first, last), buffers in parts.items():
        loops.read_long_digits(*buffers, high[first:last], low[first:last])
    return high, low


def _text_parts(
    texts: pa.ChunkedArray,
) -> dict[tuple[int, int], tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]]:
    """Return `text_buffers` by ranges of rows (first, after last), none of them very large."""
    parts = {}
    row = 0
    for chunk in texts.chunks:
        for first, last in split_rows(len(chunk)):
            if first < last:
                part = chunk.slice(first, last - first)
                parts[row + first, row + last] = text_buffers(part)
        row += len(chunk)
    return parts


def text_buffers(texts: pa.StringArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return the offsets (int32[n + 1]) and bytes (uint8[]) of a string array without nulls."""
    _, offsets, data = texts.buffers()
    width = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return width, np.frombuffer(data or b"", np.uint8)


def _ranked(ranks: Integers, wrong: Integers) -> AccountNumbers:
    return AccountNumbers(numbers=ranks, bits=int(ranks.max(initial=0)).bit_length(), wrong=wrong)


def _text_ranks(texts: pa.ChunkedArray) -> Integers:
    """Return int64[n], the rank of each text among the distinct ones, by code point.

    UTF-8 bytes and code points sort alike, and Arrow sorts texts by their bytes.
    """
    encoded = texts.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    ranks: Integers = rank_of[encoded.indices.to_numpy()]
    return ranks


def _number_ranks(high: Integers, low: Integers) -> Integers:
    """Return int64[n], the rank of each number among the distinct ones."""
    order = np.lexsort((low, high))
    sorted_high, sorted_low = high[order], low[order]
    larger = (sorted_high[1:] != sorted_high[:-1]) | (sorted_low[1:] != sorted_low[:-1])
    ranks = np.empty(len(order), np.int64)
    ranks[order[:1]] = 0
    ranks[order[1:]] = np.cumsum(larger)
    return ranks
