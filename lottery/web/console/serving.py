"""The console on loopback: its socket, and its server until it is stopped."""

from __future__ import annotations

import socket
import threading
from typing import Final

from starlette.middleware import Middleware

from lottery.web.app import create_app
from lottery.web.console.app import BackendFor, console_routes
from lottery.web.console.gate import Entrance, Gate
from lottery.web.serving import web_server

CONNECTIONS: Final = 64
"""Maximum number of connections."""
GRACE_SECONDS: Final = 5
"""How long requests that were read may take when the console ends."""


class ConsoleServer:
    """The console of one person on one machine.

    Args:
        address: Host and port, of loopback; port 0 for one that is free.
        backend_for: Opens the backend of a request.
        about: Which ledger it is, and as whom.

    Raises:
        OSError: The address cannot be listened at.
    """

    def __init__(self, address: tuple[str, int], backend_for: BackendFor, *, about: str) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.create_server(address, family=family)
        host, port = self._socket.getsockname()[:2]
        self._entrance = Entrance(host, port)
        app = create_app(
            console_routes(backend_for, about=about),
            hosts=frozenset({host, "localhost"}),
            inside=[Middleware(Gate, entrance=self._entrance)],
        )
        self._server = web_server(app, connections=CONNECTIONS, grace_seconds=GRACE_SECONDS)

    @property
    def url(self) -> str:
        """The address to open, with the secret."""
        return self._entrance.url

    def serve_until(self, stopping: threading.Event) -> None:
        """Serve until an event is set, and let requests that were read be answered."""

        def serve() -> None:
            try:
                self._server.run(sockets=[self._socket])
            finally:
                stopping.set()

        # Signals go to the main thread, which waits here.
        thread = threading.Thread(target=serve, name="console")
        thread.start()
        stopping.wait()
        self._server.should_exit = True
        thread.join()
        self._socket.close()
