"""The console's HTML: templates whose texts are all escaped, and one stylesheet."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lottery.operations.workings import wording
from lottery.version import NAME, VERSION

ROWS_SHOWN: Final = 100
"""Maximum number of rows of a table on one page."""

NAVIGATION: Final = (
    ("today", "Today"),
    ("breaks", "Breaks"),
    ("holds", "Holds"),
    ("runs", "Runs"),
    ("search", "Search"),
    ("proposals", "Proposals"),
    ("entries", "Entries"),
    ("status", "Status"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page of a long table.

    Attributes:
        shown: The rows of this page.
        first: The first one's number in the table, from 1.
        count: Rows of the whole table.
        number: The number of this page, from 1.
    """

    shown: Sequence[Any]
    first: int
    count: int
    number: int

    @classmethod
    def of(cls, rows: Sequence[Any], number: int) -> Rows:
        """Return a page of rows; one after the last has none."""
        start = (number - 1) * ROWS_SHOWN
        shown = rows[start : start + ROWS_SHOWN]
        return cls(shown=shown, first=start + 1, count=len(rows), number=number)

    @property
    def last(self) -> int:
        """The last row's number in the table."""
        return self.first + len(self.shown) - 1

    @property
    def page_count(self) -> int:
        """Pages of the table."""
        return -(-self.count // ROWS_SHOWN)


def html_page(
    request: Request,
    template: str,
    *,
    link: Callable[..., str],
    status_code: int = 200,
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        request: What it answers.
        template: Its template, without suffixes.
        link: Returns the path of another page.
        status_code: The HTTP status code.
        values: What the template shows.
    """
    made = _environment().get_template(f"{template}.html.j2")
    html = made.render(link=link, here=request.url.path, **values)
    return HTMLResponse(html, status_code=status_code)


def stylesheet() -> Response:
    """Return the stylesheet of all pages."""
    return Response(_shipped("console.css"), media_type="text/css")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lottery.web.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "wording": wording,
        "navigation": NAVIGATION,
        "software": f"{NAME} {VERSION}",
        "compact": compact,
    }
    environment.filters |= {
        "number": lambda number: f"{number:,}",
        "moment": lambda text: f"{text[:10]} {text[11:19]} UTC",
    }
    return environment


def compact(series: str) -> str:
    """Return a series without its blanks, as an address has it."""
    return series.replace(" ", "")


@functools.cache
def _shipped(name: str) -> str:
    return resources.files("lottery.web.console").joinpath("templates", name).read_text("utf-8")
