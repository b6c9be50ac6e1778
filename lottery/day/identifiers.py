"""OSI option symbols: root, expiration, put or call, strike (the OCC's Options Symbology).

A symbol is read in its padded form of 21 characters (`AAPL  240920C00220000`) or its compact form
without blanks (`AAPL240920C00220000`) and written padded.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PADDED_LENGTH: Final = 21
ROOT_LENGTH: Final = 6
_TAIL_LENGTH: Final = PADDED_LENGTH - ROOT_LENGTH

# A blank may stand between root and date only to fill the root to six characters.
_OSI: Final = r"^(?:[A-Z0-9]{1,6}|[A-Z0-9]+ +)[0-9]{6}[CP][0-9]{8}$"
_OSI_PATTERN: Final = re.compile(_OSI.removeprefix("^").removesuffix("$"))


def pad_series(symbols: pa.Array) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Brings symbols into the padded form, all at once.

    Args:
        symbols: string[n]; both forms may be mixed; null is no symbol.

    Returns:
        string[n] of padded symbols (those that are none are left as they are), and bool[n], true
        where a text is no OSI symbol.
    """
    symbols = symbols.cast(pa.string())
    length = pc.utf8_length(symbols)
    root = pc.utf8_slice_codeunits(symbols, 0, -_TAIL_LENGTH)
    tail = pc.utf8_slice_codeunits(symbols, -_TAIL_LENGTH)
    padded = pc.equal(length, PADDED_LENGTH)
    compact = pc.invert(pc.match_substring(symbols, " "))
    fits = pc.and_(pc.match_substring_regex(symbols, _OSI), pc.or_(padded, compact))
    fits = pc.and_(fits, _is_date(pc.utf8_slice_codeunits(tail, 0, ROOT_LENGTH)))
    fits = pc.fill_null(fits, False)  # noqa: FBT003 - Arrow's own signature.
    joined = pc.binary_join_element_wise(pc.utf8_rpad(root, ROOT_LENGTH), tail, "")
    return (
        pc.if_else(fits, joined, symbols),
        np.asarray(pc.invert(fits).to_numpy(zero_copy_only=False)),
    )


def padded_series(symbol: str) -> str:
    """The padded form of one symbol, without a table around it.

    Raises:
        ValueError: The text is no OSI symbol.
    """
    root, tail = symbol[:-_TAIL_LENGTH], symbol[-_TAIL_LENGTH:]
    in_form = len(symbol) == PADDED_LENGTH or " " not in symbol
    if in_form and _OSI_PATTERN.fullmatch(symbol) and _is_yymmdd(tail[:ROOT_LENGTH]):
        return root.ljust(ROOT_LENGTH) + tail
    raise ValueError(describe_wrong(symbol))


def describe_wrong(symbol: str | None) -> str:
    """Why a text is refused as a series."""
    return (
        f"{symbol!r} is no OSI symbol: a root of up to 6, YYMMDD, C or P, the strike times 1000 "
        "in 8 digits, as 'AAPL  240920C00220000'"
    )


def _is_date(dates: pa.Array) -> pa.Array:
    """bool[n]: which texts are a calendar date YYMMDD; a day has few distinct ones."""
    distinct = dates.unique()
    real = pa.array([text for text in distinct.to_pylist() if _is_yymmdd(text)], pa.string())
    return pc.is_in(dates, value_set=real)


def _is_yymmdd(text: str | None) -> bool:
    if text is None or len(text) != ROOT_LENGTH or not (text.isascii() and text.isdigit()):
        return False
    try:
        dt.date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return False
    return True
