"""The HTML of an audit page: one file that holds all it needs and loads nothing.

All text is escaped, and a name that a template does not know is an error. Its styles and its
scripts are allowed by their digests (Content Security Policy, Level 3), so that a browser runs
nothing else, whatever a record may hold.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable
from decimal import Decimal
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lottery.audit import wording
from lottery.audit.report.account_page import AccountPage
from lottery.audit.report.ribbon import GRID, Block
from lottery.audit.report.run_page import RunPage
from lottery.errors import quote
from lottery.ledger.run_record import is_run_id
from lottery.method.odds import AccountOdds
from lottery.version import NAME, VERSION

STYLE_FILE: Final = "page.css"
SCRIPT_FILES: Final = ("log.js", "rules.js", "checks.js", "page.js")
"""The page's scripts in the order in which they run."""
ASK_DECIMALS: Final = 5
"""Decimals that an ask price may have (S2)."""

_FIGURE_SPACE: Final = "\u2007"
_POINT_SPACE: Final = "\u2008"
_TIMES: Final = " \u00d7 "
_MINUS: Final = " \u2212 "


def page_html(page: RunPage | AccountPage) -> str:
    """Return a page's HTML."""
    template = "run.html.j2" if isinstance(page, RunPage) else "account.html.j2"
    return _environment().get_template(template).render(page=page)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lottery.audit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = _shipped(STYLE_FILE)
    environment.globals |= {
        "wording": wording,
        # These are this package's own files, and no part of them comes from a record.
        "style": Markup(style),  # noqa: S704
        "style_digest": _digest(style),
        "scripts": [Markup(_shipped(name)) for name in SCRIPT_FILES],  # noqa: S704
        "digest": _digest,
        "running_title": running_title,
        "software": f"{NAME} {VERSION}",
        "grid": GRID,
    }
    environment.filters |= {
        "number": lambda number: f"{number:,}",
        "at": _at,
        "blocks": _path,
        "bands": functools.partial(_path, top=3, bottom=7),
        "aligned_ask": aligned_ask,
        "percent": wording.percent,
        "decimal": wording.decimal,
        "at_least": chance_of_at_least,
        "ticks": lambda offsets: "".join(f"M{offset} 0V10" for offset in offsets),
        "typeset": lambda text: text.replace(" x ", _TIMES).replace(" - ", _MINUS),
        "moment": lambda text: f"{text[:10]} {text[11:19]} UTC",
    }
    return environment


def running_title(page: RunPage | AccountPage) -> Markup:
    """Return the style that prints a run's id and page numbers on every sheet.

    Raises:
        ValueError: The id is not one, so that it may not stand in a style.
    """
    run = page.record.run
    if not is_run_id(run):
        raise ValueError(f"expected a run id, got {quote(run)}")
    return Markup(  # noqa: S704 - digits and hyphens.
        f'@page{{@top-left{{content:"Run {run}"}}'
        '@bottom-right{content:"Page " counter(page) " of " counter(pages)}}'
    )


def aligned_ask(ask_price: str) -> str:
    """Pad an ask price with blanks as wide as digits, so that decimal points line up."""
    whole, point, decimals = ask_price.partition(".")
    missing = _FIGURE_SPACE * (ASK_DECIMALS - len(decimals))
    return whole + (point or _POINT_SPACE) + decimals + missing


def chance_of_at_least(odds: AccountOdds, assigned_quantity: int) -> int:
    """Return how many of the 10,000 fractions assign an account a quantity or more."""
    return sum(
        chance.fraction_count
        for chance in odds.chances
        if chance.assigned_quantity >= assigned_quantity
    )


def _at(offset: int) -> str:
    """Format an offset on a ribbon as a percentage of its width."""
    return f"{Decimal(offset) * 100 / GRID:f}%"


def _path(blocks: Iterable[Block], top: int = 0, bottom: int = 10) -> str:
    """Return a ribbon's blocks as the data of one SVG path."""
    return "".join(f"M{start} {top}H{end}V{bottom}H{start}Z" for start, end in blocks)


def _shipped(name: str) -> str:
    return resources.files("lottery.audit.report").joinpath("templates", name).read_text("utf-8")


def _digest(text: str) -> str:
    """Return an inline element's digest in the form of Content Security Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
