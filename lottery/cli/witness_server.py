"""The HTTP server of a witness (c2sp.org/tlog-witness, "HTTP Interface").

Both prefixes of a witness are the server's root: `POST /add-checkpoint`, and
`GET /<hash of the origin>/checkpoint`.

Not here: what is cosigned (`lottery.operations.witness`), and TLS, which a proxy in front of the
server has.

Invariants:
- No request is read that is larger than a witness reads, and no more connections are held than
  `CONNECTION_LIMIT`.
- A request that was read is answered, also while the server stops.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from lottery.errors import QUOTE_LIMIT, escape
from lottery.operations.witness import REQUEST_SIZE_LIMIT, Response, Witness

CONNECTION_LIMIT: Final = 64
"""Maximum number of connections at a time; further ones are closed at once."""
IDLE_SECONDS: Final = 10.0
"""How long a client is waited for, within a request and between two of them."""

_ADD_CHECKPOINT: Final = "/add-checkpoint"
_CHECKPOINT: Final = "/checkpoint"
_BODY_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})
_LENGTH: Final = re.compile(r"[0-9]{1,15}")


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness, each connection in a thread of its own."""

    daemon_threads = False
    block_on_close = True

    def __init__(
        self,
        witness: Witness,
        address: tuple[str, int],
        *,
        clock: Callable[[], int],
        report: Callable[[str], None],
    ) -> None:
        """Listen.

        Args:
            witness: The witness.
            address: Host and port; port 0 for one that is free.
            clock: Returns the time, in seconds since 1970.
            report: Called with a line of text for each answer.

        Raises:
            OSError: The address cannot be listened at.
        """
        self.witness = witness
        self.clock = clock
        self.report = report
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """The URL to submit to and to monitor at."""
        host, port = self.server_address[:2]
        shown = str(host)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

    def stop(self) -> None:
        """Stop listening, let requests that were read be answered, and close."""
        self.shutdown()
        with self._lock:
            for connection in self._connections:
                # Ends the waiting for another request, and not the answer to the last one.
                with suppress(OSError):  # The client was faster.
                    connection.shutdown(socket.SHUT_RD)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or close it if there are too many."""
        with self._lock:
            is_taken = len(self._connections) < CONNECTION_LIMIT
            if is_taken:
                self._connections.add(request)
        if is_taken:
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - inherited.
        """Report a fault; a client that went away is none."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.report(f"{client_address[0]} failed: {escape(repr(error), QUOTE_LIMIT)}")


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # One packet an answer.

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not _LENGTH.fullmatch(length):
            self._answer(_problem(HTTPStatus.LENGTH_REQUIRED), closing=True)
        elif int(length) > REQUEST_SIZE_LIMIT:
            self._answer(_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), closing=True)
        elif len(body := self.rfile.read(int(length))) < int(length):
            self.close_connection = True
        elif self.path == _ADD_CHECKPOINT:
            self._answer(self.server.witness.add_checkpoint(body, self.server.clock()))
        else:
            self._answer(_problem(HTTPStatus.NOT_FOUND))

    def do_GET(self) -> None:
        if self.path.endswith(_CHECKPOINT):
            log_hash = self.path.removesuffix(_CHECKPOINT).removeprefix("/")
            response = self.server.witness.latest_checkpoint(log_hash)
        else:
            response = _problem(HTTPStatus.NOT_FOUND)
        # A body is not read, and must not be taken for the next request.
        self._answer(response, closing=bool(_BODY_HEADERS & {*map(str.lower, self.headers)}))

    def version_string(self) -> str:
        """Say what answers, and not which Python."""
        return "lottery-witness"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name.
        """Report nothing by itself: `_answer` does."""

    def _answer(self, response: Response, *, closing: bool = False) -> None:
        why = "" if response.status == HTTPStatus.OK else response.body.decode("utf-8", "replace")
        self.server.report(
            f"{self.client_address[0]} {self.command} {escape(self.path, QUOTE_LIMIT)} "
            f"{response.status} {escape(response.cause or why.strip())}".rstrip()
        )
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        if closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)


def _problem(status: HTTPStatus) -> Response:
    return Response(status=status, body=f"{status.phrase}\n".encode())
