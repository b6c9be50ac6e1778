"""The identifiers of a day: series, account numbers (R2) and OCC accounts (P3).

Each identifier has one function that says which texts are valid, and one that describes what is
expected of a text that is not.

A series is an OSI symbol (the OCC's Options Symbology Initiative): root, expiration, put or call,
strike. It is read in its padded form of 21 characters (`AAPL  240920C00220000`) or its compact form
without blanks (`AAPL240920C00220000`) and written padded.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import QUOTE_LIMIT, quote
from lottery.method.methodology import AccountOrder

PADDED_LENGTH: Final = 21
"""Characters of a padded series."""
ROOT_LENGTH: Final = 6
"""Characters of its root, padded."""
_TAIL_LENGTH: Final = PADDED_LENGTH - ROOT_LENGTH

# A blank may stand between root and date only to fill the root to six characters.
_OSI: Final = r"(?:[A-Z0-9]{1,6}|[A-Z0-9]+ +)[0-9]{6}[CP][0-9]{8}"
_ACCOUNT: Final = {
    AccountOrder.NUMERIC: "[0-9]{1,30}",
    AccountOrder.CODE_POINT: "[0-9A-Za-z]{1,30}",
}
_OCC_ACCOUNT: Final = "(?:[A-Za-z0-9][A-Za-z0-9/._-]{0,31})?"


def pad_series(symbols: pa.Array) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Pad symbols, all at once.

    Args:
        symbols: string[n]; both forms may be mixed; null is not a symbol.

    Returns:
        string[n] of padded symbols, with invalid ones as they were, and bool[n], true for each
        invalid one.
    """
    symbols = symbols.cast(pa.string())
    length = pc.utf8_length(symbols)
    root = pc.utf8_slice_codeunits(symbols, 0, -_TAIL_LENGTH)
    tail = pc.utf8_slice_codeunits(symbols, -_TAIL_LENGTH)
    padded = pc.equal(length, PADDED_LENGTH)
    compact = pc.invert(pc.match_substring(symbols, " "))
    valid = pc.and_(_match(symbols, _OSI), pc.or_(padded, compact))
    valid = pc.and_(valid, _are_dates(pc.utf8_slice_codeunits(tail, 0, ROOT_LENGTH)))
    valid = pc.fill_null(valid, False)  # noqa: FBT003 - Arrow's own signature.
    joined = pc.binary_join_element_wise(pc.utf8_rpad(root, ROOT_LENGTH), tail, "")
    return (
        pc.if_else(valid, joined, symbols),
        np.asarray(pc.invert(valid).to_numpy(zero_copy_only=False)),
    )


@functools.lru_cache(maxsize=4_096)
def padded_series(symbol: str) -> str:
    """Return the padded form of one symbol, without making an array of it.

    A server is asked for the same ones all day; what is no symbol is not remembered.

    Raises:
        ValueError: The text is not an OSI symbol.
    """
    root, tail = symbol[:-_TAIL_LENGTH], symbol[-_TAIL_LENGTH:]
    in_form = len(symbol) == PADDED_LENGTH or " " not in symbol
    if in_form and re.fullmatch(_OSI, symbol) and _is_date(tail[:ROOT_LENGTH]):
        return root.ljust(ROOT_LENGTH) + tail
    raise ValueError(describe_series(symbol))


def expired_before(series: pa.Array, date: dt.date) -> pa.Array:
    """Return bool[n], true for each padded series that expired before a date."""
    expirations = pc.utf8_slice_codeunits(series, ROOT_LENGTH, 2 * ROOT_LENGTH).cast(pa.int32())
    return pc.less(expirations, (date.year - 2000) * 10_000 + date.month * 100 + date.day)


def describe_series(symbol: str | None) -> str:
    """Describe what is expected instead of an invalid series."""
    slip = describe_slip(symbol or "")
    if " " in (symbol or "").strip() and re.fullmatch(_OSI, symbol or ""):
        slip = ", with blanks that fill the root to 6 characters or with none"
    return (
        "expected an OSI symbol such as 'AAPL  240920C00220000' (a root of up to 6, YYMMDD, C or "
        f"P, the strike times 1000 in 8 digits){slip}, got {quote(symbol)}"
    )


def describe_slip(text: str) -> str:
    """Return what a value must not have, if it has what spreadsheets add to values; else nothing.

    Args:
        text: A value that is wrong.
    """
    if len(text) > QUOTE_LIMIT:
        return ""
    slips = (
        (r".*\u00a0.*", ", without no-break spaces"),
        (r"\s.*|.*\s", ", without blanks around it"),
        (r"[0-9](\.[0-9]+)?[Ee]\+?[0-9]+", ", not rounded by a spreadsheet (make its column text)"),
        (r"'.*|=.*", ", without a spreadsheet's sign of text"),
        (r"-[0-9][0-9.,]*|[0-9][0-9.,]*-|\([0-9][0-9.,]*\)", ", not negative"),
        (r"\+[0-9].*", ", without a plus, which a mapping gives to what must be negative"),
        (r"[0-9]{1,3}([,.' ][0-9]{3})+", ", without thousands separators"),
        (r"[0-9]+[.,][0-9]*", ", without decimals"),
    )
    return next((slip for pattern, slip in slips if re.fullmatch(pattern, text)), "")


def wrong_accounts(
    accounts: pa.Array | pa.ChunkedArray, order: AccountOrder
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows whose text is not an account number under an account order (R2).

    Args:
        accounts: string[n] without nulls; the texts need not be sound UTF-8.
        order: The choice of R2.
    """
    valid = _match(accounts, _ACCOUNT[order])
    return np.flatnonzero(~np.asarray(valid))


def describe_account(account: str, order: AccountOrder) -> str:
    """Describe what is expected instead of an invalid account number (R2)."""
    allowed = "digits" if order is AccountOrder.NUMERIC else "digits and ASCII letters"
    slip = describe_slip(account)
    if (
        not slip
        and order is AccountOrder.NUMERIC
        and re.fullmatch("[0-9]*[A-Za-z][0-9A-Za-z]*", account)
    ):
        slip = ", without letters unless the charter has account_order=code-point"
    return f"expected an account number of 1 to 30 {allowed}{slip}, got {quote(account)}"


def plain_accounts(accounts: pa.Array, order: AccountOrder) -> pa.StringArray:
    """Return valid accounts without leading zeros, if those do not count in their order (R2)."""
    return pc.utf8_ltrim(accounts, "0") if order is AccountOrder.NUMERIC else accounts


def wrong_occ_accounts(texts: pa.StringArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return bool[n], true for each text that is not an OCC account (P3); it may be empty."""
    valid = _match(texts, _OCC_ACCOUNT)
    return np.asarray(~valid.to_numpy(zero_copy_only=False).astype(bool))


def is_occ_account(text: str) -> bool:
    """Return whether one text is an OCC account (P3), as `wrong_occ_accounts` has it."""
    return re.fullmatch(_OCC_ACCOUNT, text) is not None


def describe_occ_account(text: str | None) -> str:
    """Describe what is expected instead of an invalid OCC account."""
    return (
        "expected an OCC account such as 'C' or 'F/ZZZ' (up to 32 letters, digits, '/', '.', '_', "
        f"'-') or nothing, got {quote(text)}"
    )


def _match(texts: pa.Array | pa.ChunkedArray, pattern: str) -> pa.Array | pa.ChunkedArray:
    """Return bool[n], true for each text that a pattern matches as a whole."""
    return pc.match_substring_regex(texts, f"^{pattern}$")


def _are_dates(texts: pa.Array) -> pa.Array:
    """Return bool[n], true for each calendar date YYMMDD; a day has few distinct ones."""
    dates = [text for text in texts.unique().to_pylist() if _is_date(text)]
    return pc.is_in(texts, value_set=pa.array(dates, pa.string()))


def _is_date(text: str | None) -> bool:
    if text is None or len(text) != ROOT_LENGTH or not (text.isascii() and text.isdigit()):
        return False
    try:
        dt.date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return False
    return True
