"""Who gets into a console on loopback: whoever has the address that was printed, once.

Everybody on a machine reaches its loopback, and so does every page that a browser on it shows. So
the printed address has a secret, which the first browser that opens it exchanges for a cookie; a
cookie's request must name this very address (against DNS rebinding), and forms are looked at by
their origin (`app`).

Invariants:
- Without the cookie nothing but the stylesheet is answered, and no backend is opened.
- The secret is worth nothing once it was used, and neither it nor the cookie is written anywhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

ENTRANCE: Final = "/enter"
STYLESHEET: Final = "/console.css"
_SECRET_BYTES: Final = 32
_HTTP_PORT: Final = 80


class Gate:
    """An application behind a secret.

    Args:
        app: The application.
        host: The address that it listens at, of loopback.
        port: The port.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        self._app = app
        self._names = frozenset(_names_of(host, port))
        self._home = f"http://{_in_url(host)}:{port}"
        # A browser sends cookies to every port of a host: the name keeps two consoles apart.
        self._cookie_name = f"lottery_console_{port}"
        self._cookie = secrets.token_urlsafe(_SECRET_BYTES)
        self._secret: str | None = secrets.token_urlsafe(_SECRET_BYTES)

    @property
    def url(self) -> str:
        """The address to print, with the secret unless it was used."""
        return f"{self._home}{ENTRANCE}?secret={self._secret}" if self._secret else self._home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        request = Request(scope)
        answer = self._answer(request)
        if answer is None:
            await self._app(scope, receive, send)
            return
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to who may not in; None if the application is to answer."""
        if request.headers.get("host", "").lower() not in self._names:
            return PlainTextResponse(
                f"expected this console's own address, {self._home}\n", status_code=421
            )
        if request.url.path == STYLESHEET:
            return None
        known = _is_same(request.cookies.get(self._cookie_name), self._cookie)
        if request.url.path == ENTRANCE and request.method == "GET":
            return self._enter(request, known=known)
        if known:
            return None
        return PlainTextResponse(
            "open the address that lottery console printed: it has a secret, which this browser "
            "has not shown\n",
            status_code=401,
        )

    def _enter(self, request: Request, *, known: bool) -> Response:
        """Exchange the secret for the cookie."""
        if not known and not _is_same(request.query_params.get("secret"), self._secret):
            return PlainTextResponse(
                "this address was used already, or is not what lottery console printed; end it "
                "and start it again for another one\n",
                status_code=401,
            )
        answer = RedirectResponse("/", status_code=303)
        if not known:
            self._secret = None
            answer.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict")
        return answer


def _is_same(given: str | None, secret: str | None) -> bool:
    """Compare in a time that does not say how much is right."""
    if given is None or secret is None:
        return False
    return hmac.compare_digest(given.encode(), secret.encode())


def _names_of(host: str, port: int) -> set[str]:
    """Return what a browser on this machine may call the console."""
    hosts = {"localhost", _in_url(host)}
    return {f"{one}:{port}" for one in hosts} | (hosts if port == _HTTP_PORT else set())


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
