"""The series of an `Instrmt`: `Sym`, `MatDt`, `CFI` or `PutCall`, and `StrkPx`.

FIX 5.0 SP2, component Instrument; CFI is ISO 10962, of which `OC` and `OP` are calls and puts. What
is said twice must agree; what is no listed option of one leg has no series.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Final, TypeAlias

from lottery.day.identifiers import ROOT_LENGTH
from lottery.intake.columns import shorten
from lottery.intake.fixml.target import Attributes

Wrong: TypeAlias = tuple[str, str]
"""An attribute, and what is wrong with it."""

PLACEHOLDER: Final = "X     240920C00001000"
"""Stands for the series of an instrument that has none."""

_Part: TypeAlias = tuple[str, tuple[Wrong, ...]]
_REMEMBERED: Final = 1 << 14
_ONE_LEG: Final = (None, "OPT")
_ROOT: Final = re.compile(r"[A-Z0-9]{1,6}")
_DATE: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MONTH: Final = re.compile(r"([0-9]{6})([0-9]{2}|[wW][1-5])?")
_STRIKE: Final = re.compile(r"0*([0-9]{1,5})(?:\.([0-9]*))?")
_STRIKE_DECIMALS: Final = 3
_RIGHTS: Final = {"0": "P", "1": "C"}


def series_of(instrument: Attributes) -> tuple[str, tuple[Wrong, ...]]:
    """The padded OSI symbol of an option, or a placeholder and what is wrong."""
    get = instrument.get
    root, wrong_root = _root(get("Sym"))
    expiry, wrong_expiry = _expiry(get("MatDt"), get("MMY"))
    right, wrong_right = _right(get("CFI"), get("PutCall"))
    thousandths, wrong_strike = _thousandths(get("StrkPx"))
    wrong = wrong_root + wrong_expiry + wrong_right + wrong_strike
    kind = get("SecTyp")
    if kind not in _ONE_LEG:
        wrong += (("SecTyp", f"{shorten(str(kind))!r} is no listed option of one leg"),)
    return (PLACEHOLDER, wrong) if wrong else (root + expiry + right + thousandths, ())


def is_other_than_option(instrument: Attributes) -> bool:
    """Whether it says of itself that it is something else, as a future."""
    cfi, kind = instrument.get("CFI"), instrument.get("SecTyp")
    return (cfi is not None and not cfi.startswith("O")) or kind not in _ONE_LEG


# A day has many notices, but few roots, dates, rights and strikes: each is looked at once.


@functools.lru_cache(_REMEMBERED)
def _root(symbol: str | None) -> _Part:
    """The root, padded."""
    if symbol is None or not _ROOT.fullmatch(symbol):
        return "", (("Sym", _told(symbol, "an option's root of up to 6 capitals and digits")),)
    return symbol.ljust(ROOT_LENGTH), ()


@functools.lru_cache(_REMEMBERED)
def _expiry(maturity: str | None, month: str | None) -> _Part:
    """YYMMDD."""
    if maturity is None or not _DATE.fullmatch(maturity) or not _is_date(maturity):
        return "", (("MatDt", _told(maturity, "a date of this century as 2024-09-20")),)
    digits = maturity.replace("-", "")
    if month is not None:
        match = _MONTH.fullmatch(month)
        day = (match[2] or "") if match else ""
        if match is None or match[1] != digits[:6] or (day.isdigit() and day != digits[6:]):
            told = f"{shorten(month)!r} is not the month or day of MatDt {maturity}"
            return "", (("MMY", told),)
    return digits[2:], ()


@functools.lru_cache(_REMEMBERED)
def _right(cfi: str | None, put_call: str | None) -> _Part:
    """C or P."""
    given = None if put_call is None else _RIGHTS.get(put_call)
    wrong: list[Wrong] = []
    if put_call is not None and given is None:
        wrong.append(("PutCall", _told(put_call, "0 for a put or 1 for a call")))
    if cfi is None:
        if put_call is None:
            wrong.append(("CFI", "there is neither CFI nor PutCall"))
        return given or "", tuple(wrong)
    if cfi[:2] not in {"OC", "OP"}:
        wrong.append(("CFI", _told(cfi, "an option's, OC… for a call or OP… for a put,")))
    elif given not in (None, cfi[1]):
        wrong.append(("PutCall", f"{put_call!r} contradicts CFI {shorten(cfi)!r}"))
    return cfi[1:2], tuple(wrong)


@functools.lru_cache(_REMEMBERED)
def _thousandths(strike: str | None) -> _Part:
    """The strike times 1000 in 8 digits."""
    match = _STRIKE.fullmatch(strike or "")
    if match is None:
        return "", (("StrkPx", _told(strike, "a strike below 100,000 in plain decimals")),)
    decimals = (match[2] or "").rstrip("0")
    if len(decimals) > _STRIKE_DECIMALS:
        told = f"{shorten(match[0])!r} has more than three decimals, and no OSI symbol"
        return "", (("StrkPx", told),)
    return match[1].zfill(5) + decimals.ljust(_STRIKE_DECIMALS, "0"), ()


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _told(text: str | None, expected: str) -> str:
    if text is None:
        return f"the attribute is missing; {expected} is expected"
    return f"{shorten(text)!r} is none: {expected} is expected"
