"""How an application is served over HTTP/1.1, on loopback and by the server alike."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp


def web_server(
    app: ASGIApp,
    *,
    connections: int,
    grace_seconds: int,
    context: Callable[[], ssl.SSLContext] | None = None,
) -> uvicorn.Server:
    """Make the server of an application; it writes no line of its own for a request.

    Args:
        app: The application.
        connections: Maximum number of connections; who comes past it is answered with 503.
        grace_seconds: How long requests that were read may take when it ends.
        context: Returns the TLS context; None for plain text.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=connections,
            timeout_graceful_shutdown=grace_seconds,
            ssl_context_factory=None if context is None else lambda *_: context(),
        )
    )
