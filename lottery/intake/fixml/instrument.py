"""The series of an `Instrmt`: `Sym`, `MatDt`, `CFI` or `PutCall`, and `StrkPx`.

FIX 5.0 SP2, component Instrument; CFI is ISO 10962, where `OC` is a call and `OP` a put. What an
instrument says twice must agree. Only a listed option of one leg has a series.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Final, TypeAlias

from lottery.day.identifiers import ROOT_LENGTH
from lottery.errors import quote
from lottery.intake.fixml.target import Attributes

Faults: TypeAlias = tuple[tuple[str, str], ...]
"""Each attribute that is wrong, and what is wrong with it."""

PLACEHOLDER: Final = "X     240920C00001000"
"""Stands for the series of an instrument that has none."""

_Part: TypeAlias = tuple[str, Faults]
_REMEMBERED: Final = 1 << 14
_ONE_LEG: Final = (None, "OPT")
_ROOT: Final = re.compile(r"[A-Z0-9]{1,6}")
_DATE: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MONTH: Final = re.compile(r"([0-9]{6})([0-9]{2}|[wW][1-5])?")
_STRIKE: Final = re.compile(r"0*([0-9]{1,5})(?:\.([0-9]*))?")
_STRIKE_DECIMALS: Final = 3
_RIGHTS: Final = {"0": "P", "1": "C"}


def series_of(instrument: Attributes) -> tuple[str, Faults]:
    """Return the padded OSI symbol of an option, or a placeholder and what is wrong."""
    get = instrument.get
    root, root_faults = _root(get("Sym"))
    expiry, expiry_faults = _expiry(get("MatDt"), get("MMY"))
    right, right_faults = _right(get("CFI"), get("PutCall"))
    thousandths, strike_faults = _thousandths(get("StrkPx"))
    faults = root_faults + expiry_faults + right_faults + strike_faults
    kind = get("SecTyp")
    if kind not in _ONE_LEG:
        faults += _expected("SecTyp", "be OPT, or absent", kind)
    return (PLACEHOLDER, faults) if faults else (root + expiry + right + thousandths, ())


def is_other_than_option(instrument: Attributes) -> bool:
    """Return whether an instrument says that it is something else, such as a future."""
    cfi, kind = instrument.get("CFI"), instrument.get("SecTyp")
    return (cfi is not None and not cfi.startswith("O")) or kind not in _ONE_LEG


# A day has many notices but few roots, dates, rights and strikes: each is checked once.


@functools.lru_cache(_REMEMBERED)
def _root(symbol: str | None) -> _Part:
    """Return the padded root."""
    if symbol is None or not _ROOT.fullmatch(symbol):
        return "", _expected("Sym", "be an option root of up to 6 capitals and digits", symbol)
    return symbol.ljust(ROOT_LENGTH), ()


@functools.lru_cache(_REMEMBERED)
def _expiry(maturity: str | None, month: str | None) -> _Part:
    """Return YYMMDD."""
    if maturity is None or not _DATE.fullmatch(maturity) or not _is_date(maturity):
        return "", _expected("MatDt", "be a date of this century such as 2024-09-20", maturity)
    digits = maturity.replace("-", "")
    if month is not None:
        match = _MONTH.fullmatch(month)
        day = (match[2] or "") if match else ""
        if match is None or match[1] != digits[:6] or (day.isdigit() and day != digits[6:]):
            return "", _expected("MMY", f"be the month or day of MatDt {maturity}", month)
    return digits[2:], ()


@functools.lru_cache(_REMEMBERED)
def _right(cfi: str | None, put_call: str | None) -> _Part:
    """Return C or P."""
    given = None if put_call is None else _RIGHTS.get(put_call)
    faults: Faults = ()
    if put_call is not None and given is None:
        faults += _expected("PutCall", "be 0 for a put or 1 for a call", put_call)
    if cfi is None:
        if put_call is None:
            faults += (("CFI", "CFI or PutCall must be present, got neither"),)
        return given or "", faults
    if cfi[:2] not in {"OC", "OP"}:
        faults += _expected("CFI", "begin with OC for a call or OP for a put", cfi)
    elif given not in (None, cfi[1]):
        faults += _expected("PutCall", f"agree with CFI {quote(cfi)}", put_call)
    return cfi[1:2], faults


@functools.lru_cache(_REMEMBERED)
def _thousandths(strike: str | None) -> _Part:
    """Return the strike times 1000 in 8 digits."""
    match = _STRIKE.fullmatch(strike or "")
    if match is None:
        return "", _expected("StrkPx", "be a strike below 100,000 in plain decimals", strike)
    decimals = (match[2] or "").rstrip("0")
    if len(decimals) > _STRIKE_DECIMALS:
        return "", _expected("StrkPx", "have at most three decimals", strike)
    return match[1].zfill(5) + decimals.ljust(_STRIKE_DECIMALS, "0"), ()


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _expected(attribute: str, expected: str, value: str | None) -> Faults:
    got = "none" if value is None else quote(value)
    return ((attribute, f"{attribute} must {expected}, got {got}"),)
