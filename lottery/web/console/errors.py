"""The library's errors as pages, each with its HTTP status code."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lottery.errors import (
    Conflict,
    ConnectionLost,
    Held,
    LedgerBusy,
    LedgerNotFound,
    LedgerUnfinished,
    LedgerUnwritable,
    LotteryError,
    NotInRun,
    Overloaded,
    PoolBroken,
    Refused,
    RoleMissing,
    RunNotFound,
    ServerAway,
    ServerFailed,
    TlsMismatch,
    Unauthenticated,
)
from lottery.web.console.asking import link
from lottery.web.console.html import html_page

_CODES: Final[dict[type[LotteryError], int]] = {
    Refused: 400,
    Unauthenticated: 401,
    RoleMissing: 403,
    RunNotFound: 404,
    NotInRun: 404,
    Conflict: 409,
    Held: 409,
    PoolBroken: 409,
    ServerFailed: 502,
    TlsMismatch: 502,
    ConnectionLost: 503,
    LedgerBusy: 503,
    LedgerNotFound: 503,
    LedgerUnfinished: 503,
    LedgerUnwritable: 503,
    Overloaded: 503,
    ServerAway: 503,
}
_TITLES: Final = {
    400: "This cannot be asked",
    401: "Nobody vouches for you",
    403: "Not allowed",
    404: "Not found",
    409: "In conflict with the record",
    500: "This cannot be shown",
    502: "The server failed",
    503: "Try again later",
}


def status_code(error: LotteryError) -> int:
    """Return the HTTP status code of an error; 500 for what is wrong with the record itself."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 500)


def error_page(request: Request, error: LotteryError, *, about: str) -> Response:
    """Return the page of an error: its message, and what to do."""
    code = status_code(error)
    return html_page(
        request,
        "error",
        status_code=code,
        about=about,
        link=partial(link, request),
        title=_TITLES[code],
        lines=str(error).splitlines(),
        reason=error.reason,
    )
