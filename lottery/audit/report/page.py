"""A report's HTML: one page that holds all it needs and asks for nothing from elsewhere.

Text is escaped wherever it comes from, and a name that a template does not know is an error. The
one style and the one script are allowed by their digests (Content Security Policy, Level 3), so
that a browser runs nothing else, whatever a record may hold.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lottery.audit import wording
from lottery.audit.report.account_report import AccountReport
from lottery.audit.report.labels import GRID, Block
from lottery.audit.report.run_report import Report
from lottery.method.odds import AccountOdds
from lottery.version import NAME, VERSION

STYLE_FILE: Final = "page.css"
SCRIPT_FILE: Final = "page.js"
ASK_DECIMALS: Final = 5

_FIGURE_SPACE: Final = "\u2007"
_POINT_SPACE: Final = "\u2008"
_TIMES: Final = " \u00d7 "
_MINUS: Final = " \u2212 "
_PERCENT_DECIMALS: Final = 2
_MEAN_DECIMALS: Final = 4


def run_page(report: Report) -> str:
    """The page of a run."""
    return _rendered("run.html.j2", report)


def account_page(report: AccountReport) -> str:
    """The page of one account."""
    return _rendered("account.html.j2", report)


def _rendered(template: str, report: Report | AccountReport) -> str:
    return _environment().get_template(template).render(report=report)


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("lottery.audit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _shipped(STYLE_FILE), _shipped(SCRIPT_FILE)
    made.globals |= {
        "wording": wording,
        # Both are this package's own files, and no part of them comes from a record.
        "style": Markup(style),  # noqa: S704
        "style_digest": _digest(style),
        "script": Markup(script),  # noqa: S704
        "script_digest": _digest(script),
        "software": f"{NAME} {VERSION}",
        "grid": GRID,
    }
    made.filters |= {
        "number": lambda number: f"{number:,}",
        "at": _at,
        "blocks": _path,
        "bands": functools.partial(_path, top=3, bottom=7),
        "aligned_ask": aligned_ask,
        "percent": percent,
        "decimal": decimal,
        "at_least": chance_of_at_least,
        "ticks": lambda places: "".join(f"M{place} 0V10" for place in places),
        "typeset": lambda text: text.replace(" x ", _TIMES).replace(" - ", _MINUS),
        "moment": lambda text: f"{text[:10]} {text[11:19]} UTC",
    }
    return made


def aligned_ask(ask_price: str) -> str:
    """An ask price with blanks as wide as digits behind it, so that points stand in a line."""
    whole, point, decimals = ask_price.partition(".")
    missing = _FIGURE_SPACE * (ASK_DECIMALS - len(decimals))
    return whole + (point or _POINT_SPACE) + decimals + missing


def percent(chance: Fraction | Decimal) -> str:
    """A chance as a percentage; one that is neither nothing nor certain never looks so."""
    exact = Fraction(chance) * 100
    smallest = Fraction(1, 10**_PERCENT_DECIMALS)
    if 0 < exact < smallest:
        return f"below {decimal(smallest, _PERCENT_DECIMALS)} %"
    if 100 - smallest < exact < 100:  # noqa: PLR2004 - percent.
        return f"above {decimal(100 - smallest, _PERCENT_DECIMALS)} %"
    return f"{decimal(exact, _PERCENT_DECIMALS)} %"


def decimal(value: Fraction, decimals: int = _MEAN_DECIMALS) -> str:
    """A fraction as decimal text, rounded half up in its last place."""
    scale = 10**decimals
    scaled = (value.numerator * scale * 2 + value.denominator) // (2 * value.denominator)
    sign, (whole, rest) = "-" if scaled < 0 else "", divmod(abs(scaled), scale)
    return f"{sign}{whole:,}.{rest:0{decimals}d}"


def chance_of_at_least(odds: AccountOdds, assigned_quantity: int) -> int:
    """In how many of the 10,000 fractions an account is assigned a quantity or more."""
    return sum(
        chance.fraction_count
        for chance in odds.chances
        if chance.assigned_quantity >= assigned_quantity
    )


def _at(position: int) -> str:
    """A position of a ribbon as a percentage of its width."""
    return f"{Decimal(position) * 100 / GRID:f}%"


def _path(blocks: Iterable[Block], top: int = 0, bottom: int = 10) -> str:
    """A ribbon's blocks as the data of one SVG path."""
    return "".join(f"M{start} {top}H{end}V{bottom}H{start}Z" for start, end in blocks)


def _shipped(name: str) -> str:
    text: Any = (
        resources.files("lottery.audit.report").joinpath("templates", name).read_text("utf-8")
    )
    return str(text)


def _digest(text: str) -> str:
    """An inline element's digest as Content Security Policy has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
