"""Who gets into a console on loopback: whoever has the address that was printed, once.

Everybody on a machine reaches its loopback, and so does every page that a browser on it shows. So
the printed address has a secret, which the first browser that opens it exchanges for a cookie.
Other sites, and other names of this address, are refused before (`lottery.web.app`).

Invariants:
- Without the cookie nothing but the stylesheet is answered, and no backend is opened.
- The secret is worth nothing once it was used, and neither it nor the cookie is written anywhere.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

ENTRANCE: Final = "/enter"
STYLESHEET: Final = "/console.css"
_SECRET_BYTES: Final = 32


class Entrance:
    """The secret of a console, and the cookie that it is exchanged for.

    Args:
        host: The address that the console listens at, of loopback.
        port: The port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._home = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        # A browser sends cookies to every port of a host: the name keeps two consoles apart.
        self._cookie_name = f"lottery_console_{port}"
        self._cookie = secrets.token_urlsafe(_SECRET_BYTES)
        self._secret: str | None = secrets.token_urlsafe(_SECRET_BYTES)

    @property
    def url(self) -> str:
        """The address to print, with the secret unless it was used."""
        return f"{self._home}{ENTRANCE}?secret={self._secret}" if self._secret else self._home

    def answer(self, request: Request) -> Response | None:
        """Return the answer to who may not in; None if the console is to answer."""
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


class Gate:
    """Answers who may not in, and leaves the others to the console.

    Args:
        app: The console.
        entrance: Its entrance.
    """

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        answer = self._entrance.answer(Request(scope)) or self._app
        await answer(scope, receive, send)


def _is_same(given: str | None, secret: str | None) -> bool:
    """Compare in a time that does not say how much is right."""
    if given is None or secret is None:
        return False
    return hmac.compare_digest(given.encode(), secret.encode())
