"""The application: what every answer has, and what is refused before any route.

Invariants:
- A page of another site reaches nothing, whatever a browser lets it send: a request whose `Origin`
  is not the host that it asks, or that the browser says comes from another site, is refused; and,
  where the caller is trusted for being local, so is a host that is not this machine's (a name that
  an attacker points at loopback).
- No more of a body is read than the limit, and nothing if its length says that it is larger.
- An error is `google.rpc.Status` as JSON, or a page where a browser goes to a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import structlog
from markupsafe import escape
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lottery.errors import quote
from lottery.web import statuses

BODY_BYTES: Final = 4 << 20
"""Maximum size of a body in bytes: some 90,000 positions. More is for gRPC, in Arrow."""
BODY_SECONDS: Final = 30.0
"""Time in seconds in which a body has to be there."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer a browser would say that a form of our own comes from nowhere (Origin: null).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer that does not set them itself."""
_SENTENCES: Final = {
    404: "there is no such path",
    405: "expected another method at this path",
}
"""What an HTTP error means here, where who raised it does not say."""
_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><p>{0}</p></html>'
)


def create_app(
    routes: Sequence[BaseRoute],
    *,
    hosts: frozenset[str] | None,
    inside: Sequence[Middleware] = (),
) -> Starlette:
    """Make the application of these routes.

    Args:
        routes: The routes.
        hosts: The names under which it may be asked, without ports; None for any.
        inside: What else a request passes before its route.
    """
    handlers: Any = {HTTPException: _refused}  # Its type wants what takes any exception.
    guard = Middleware(Guard, hosts=hosts)
    app = Starlette(routes=routes, middleware=[guard, *inside], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class Guard:
    """Refuses what no route should see, and completes what routes answer.

    Args:
        app: What answers.
        hosts: The names under which it may be asked; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def complete(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
            await self._app(scope, _bounded(receive), complete)
        except HTTPException as refusal:
            await _refused(Request(scope), refusal)(scope, receive, complete)
        except Exception as error:
            structlog.get_logger().error("unexpected error", exc_info=error)
            if has_begun:
                raise
            failure = HTTPException(500, "internal error; see the server's log")
            await _refused(Request(scope), failure)(scope, receive, complete)

    def _check(self, verb: str, headers: Headers) -> None:
        """Raise an HTTP error if nothing of a request may be answered."""
        host = headers.get("host", "")
        asked = _address_of(f"//{host}")
        if self._hosts is not None and asked.hostname not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            raise HTTPException(421, f"expected a Host of {expected}, got {quote(host)}")
        origin = headers.get("origin")
        is_navigation = verb == "GET" and headers.get("sec-fetch-mode") == "navigate"
        is_foreign = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        if (origin is not None and _address_of(origin).netloc != asked.netloc) or (
            is_foreign and not is_navigation
        ):
            shown = "another site" if origin is None else quote(origin)
            raise HTTPException(403, f"expected a request of this site's own pages, got {shown}")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES:
            raise _too_large(length)


def _bounded(receive: Receive) -> Receive:
    """Return what receives no more of a body than the limits allow, and then as before."""
    size = 0
    is_whole = False
    ends = asyncio.get_running_loop().time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal size, is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout_at(ends):
                message = await receive()
        except TimeoutError:
            expected = f"expected the whole body within {BODY_SECONDS:g} seconds"
            raise HTTPException(408, f"{expected}; send it again") from None
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if size > BODY_BYTES:
            raise _too_large(f"{size} or more")
        return message

    return bounded


def _refused(request: Request, error: HTTPException) -> Response:
    """Return an HTTP error as JSON, or as a page where a browser goes to a page."""
    text = error.detail
    if text == HTTPStatus(error.status_code).phrase:
        text = _SENTENCES.get(error.status_code, text)
    if request.headers.get("sec-fetch-mode") == "navigate":
        return HTMLResponse(_PAGE.format(escape(text)), error.status_code, error.headers)
    return statuses.response_of(
        statuses.of_http(error.status_code, text), error.status_code, error.headers or {}
    )


def _too_large(length: str) -> HTTPException:
    expected = f"expected a body of at most {BODY_BYTES:,} bytes, got {length}"
    return HTTPException(413, f"{expected}; ask over gRPC, which takes Arrow")


def _address_of(url: str) -> SplitResult:
    """Return the parts of a URL, in small letters; those of none if it is malformed."""
    try:
        return urlsplit(url.lower())
    except ValueError:
        return urlsplit("")
