"""One request to the console: whom it asks, what was given, and how it links to other pages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote as quoted
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from lottery.backends.local import LocalBackend
from lottery.errors import Problem, Refused, quote
from lottery.web.console.html import html_page

if TYPE_CHECKING:
    from lottery.backends.remote import RemoteBackend

Backend: TypeAlias = "LocalBackend | RemoteBackend"

PREFIX: Final = "console."
"""What the names of the console's routes begin with, among those of any application."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PAGE: Final = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request.

    Attributes:
        request: The request.
        backend: The backend of the person who makes it.
        form: The fields that a form sends.
        about: Which ledger it is, and as whom.
    """

    request: Request
    backend: Backend
    form: Mapping[str, str]
    about: str

    def giving(self, command: str) -> Backend:
        """Return the backend as a command of the command line asks it."""
        return self.backend.giving(command)

    def path(self, name: str) -> str:
        """Return a part of the request's path."""
        return str(self.request.path_params[name])

    def given(self, name: str) -> str:
        """Return what a form or the address gives; empty if neither does."""
        return (self.form.get(name) or self.request.query_params.get(name, "")).strip()

    def date(self, name: str) -> dt.date | None:
        """Return a date that is given, or None.

        Raises:
            Refused: It is no date.
        """
        text = self.given(name)
        return read_date(text, name) if text else None

    @property
    def page_number(self) -> int:
        """The page of a long table, from 1."""
        text = self.given("page")
        return int(text) if _PAGE.fullmatch(text) else 1

    def link(self, name: str, query: Mapping[str, object] | None = None, **parts: str) -> str:
        """Return the path of another page."""
        return link(self.request, name, query, **parts)

    def page(self, template: str, **values: Any) -> Response:
        """Return a page."""
        return html_page(self.request, template, about=self.about, link=self.link, **values)


def link(
    request: Request, name: str, query: Mapping[str, object] | None = None, **parts: str
) -> str:
    """Return the path of a page, wherever the console is mounted.

    Args:
        request: Any request to the console.
        name: The page's name in `app`.
        query: What comes after the question mark; None and empty texts of it are left out, but
            an OCC account may be empty.
        parts: The parts of the path.
    """
    path = request.url_for(
        PREFIX + name, **{each: quoted(text, safe="") for each, text in parts.items()}
    )
    given = {
        key: value
        for key, value in (query or {}).items()
        if value is not None and (value != "" or key == "occ_account")
    }
    return path.path + (f"?{urlencode(given)}" if given else "")


def read_date(text: str, source: str) -> dt.date:
    """Read a date, YYYY-MM-DD.

    Raises:
        Refused: It is none.
    """
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    message = f"expected a date, YYYY-MM-DD, got {quote(text)}"
    raise Refused([Problem(source=source, message=message)])
