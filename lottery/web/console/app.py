"""The console's routes: each page, and the command that it asks as.

Invariants:
- A GET changes nothing; whatever enters something in the log is a POST, and comes from a page of
  the console itself.
- No account's number is in an address, which browsers and proxies keep: it is a POST too.
- No page runs a script; the audit page alone runs its own (`pages.audit_page`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lottery.errors import LotteryError, Problem, Refused, RoleMissing
from lottery.web.console import breaks, days, pages, pools, records, runs, search, verdicts
from lottery.web.console.asking import PREFIX, Ask, Backend
from lottery.web.console.errors import error_page
from lottery.web.console.html import stylesheet

BackendFor: TypeAlias = Callable[[Request], AbstractContextManager[Backend]]
"""Opens the backend of a request, for the person who makes it."""
FORM_BYTES: Final = 16_384
"""Maximum size of a form that is sent."""
FORM_FIELDS: Final = 20

_PAGES: Final[tuple[tuple[str, str, Callable[[Ask], Response]], ...]] = (
    ("/", "today", days.today),
    ("/days", "go-to-day", days.go_to_day),
    ("/days/{date}", "day", days.day),
    ("/breaks", "breaks", breaks.open_breaks_page),
    ("/holds", "holds", records.holds),
    ("/runs", "runs", runs.list_of_runs),
    ("/runs/{run}", "run", runs.run),
    ("/runs/{run}/pools/{series}", "pool", pools.pool),
    ("/runs/{run}/breaks/{series}", "break", breaks.one_break),
    ("/search", "search", search.search),
    ("/entries", "entries", records.entries),
    ("/proposals", "proposals", verdicts.proposals),
    ("/proposals/{run}", "proposal", verdicts.proposal),
    ("/status", "status", records.status),
)
_FORMS: Final[tuple[tuple[str, str, Callable[[Ask], Response]], ...]] = (
    ("/search", "search-account", search.search),
    ("/runs/{run}/account", "account", pools.account),
    ("/runs/{run}/audit", "audit", pages.audit_page),
    ("/runs/{run}/bundle", "bundle", pages.bundle),
    ("/proposals/{run}/approve", "approve", verdicts.approve),
    ("/proposals/{run}/reject", "reject", verdicts.reject),
)
_FORM: Final = re.compile(r"application/x-www-form-urlencoded(?: *;.*)?")


def console_routes(backend_for: BackendFor, *, about: str = "") -> list[BaseRoute]:
    """Return the routes of the console.

    Args:
        backend_for: Opens the backend of a request.
        about: Which ledger it is, and as whom: the last line of each page.
    """

    def endpoint(handler: Callable[[Ask], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await _answer(request, handler, backend_for, about)

        return answer

    return [
        Route("/console.css", endpoint(lambda _: stylesheet()), name=f"{PREFIX}stylesheet"),
        *(Route(path, endpoint(handler), name=PREFIX + name) for path, name, handler in _PAGES),
        *(
            Route(path, endpoint(handler), name=PREFIX + name, methods=["POST"])
            for path, name, handler in _FORMS
        ),
    ]


async def _answer(
    request: Request, handler: Callable[[Ask], Response], backend_for: BackendFor, about: str
) -> Response:
    """Answer a request, in a thread of its own: the backends wait."""
    try:
        form = await _form(request) if request.method == "POST" else {}
    except LotteryError as error:
        return error_page(request, error, about=about)

    def work() -> Response:
        try:
            with backend_for(request) as backend:
                return handler(Ask(request=request, backend=backend, form=form, about=about))
        except LotteryError as error:
            return error_page(request, error, about=about)

    return await run_in_threadpool(work)


async def _form(request: Request) -> Mapping[str, str]:
    """Return what a form of the console sends.

    Raises:
        RoleMissing: It comes from another page.
        Refused: It is no form, or too large.
    """
    if not _is_of_own_page(request):
        raise RoleMissing(
            "this was sent by a page that is not the console's; open the console and do it there",
            roles="",
        )
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise _no_form(f"at most {FORM_BYTES:,} bytes")
    if body and not _FORM.fullmatch(request.headers.get("content-type", "")):
        raise _no_form("the fields of a form")
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError:
        raise _no_form(f"the fields of a form, at most {FORM_FIELDS}") from None


def _no_form(expected: str) -> Refused:
    return Refused([Problem(source="form", message=f"expected {expected}")])


def _is_of_own_page(request: Request) -> bool:
    """Return whether a browser says where a request comes from; other sites never get here."""
    site = request.headers.get("sec-fetch-site")
    return site == "same-origin" or (site is None and "origin" in request.headers)
