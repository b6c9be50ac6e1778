"""The process of the door over HTTP, JSON and the console: it asks the workers, and has no ledger.

The supervisor starts it where `LOTTERY_HTTP_LISTEN` is set. It reaches the workers on their sockets
in the server's own folder.

Invariants:
- A request goes to a worker that answers, if there is one; they take turns.
- Where the server has TLS, so has this port, with the same certificate.
"""

from __future__ import annotations

import itertools
import logging
import math
import socket
import ssl
import sys
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

import grpc
import structlog

from lottery.backends.remote import RemoteBackend
from lottery.extras import import_extra
from lottery.operations import MemoryLimit
from lottery.version import VERSION
from server import processes, security
from server.binding import listening
from server.monitor import ASK_SECONDS, Worker, ask_all
from server.processes import Orders
from server.watched import Watched

if TYPE_CHECKING:  # Of an extra.
    import uvicorn
    from starlette.requests import Request

    from lottery.web.console.app import BackendFor

ANSWER_BYTES: Final = 16 << 20
"""Maximum size in bytes of an answer, before it becomes JSON."""
CONNECTIONS: Final = 256
"""Maximum number of connections."""
CONSOLE_SECONDS: Final = 60.0
"""Time in seconds for each call that a page of the console makes."""


class Workers:
    """The workers, which take turns.

    Args:
        folder: The server's folder.
        count: Their number.
    """

    def __init__(self, folder: Path, count: int) -> None:
        options = [("grpc.max_receive_message_length", ANSWER_BYTES)]
        self._workers = [Worker(number, folder, options) for number in range(count)]
        self._turns = itertools.count()

    def ask(self) -> None:
        """Ask all whether they answer."""
        ask_all(self._workers)

    def channel(self) -> grpc.Channel:
        """Return the channel of the next worker that answers; of any, if none does."""
        up = [worker for worker in self._workers if worker.is_up] or self._workers
        return up[next(self._turns) % len(up)].channel


def main() -> None:
    """Serve until the supervisor ends or says so, then drain; each line of input asks at once."""
    orders = processes.begin()
    with processes.starting():
        listener = listening(orders.settings.http_listen)
        workers = Workers(orders.folder, orders.count)
        server = _server(orders, workers)
    _log_in_lines()
    asking = Thread(target=_keep_asking, args=(workers,), name="asking", daemon=True)
    serving = Thread(target=_serve, args=(server, listener), name="http", daemon=True)
    processes.report(http_port=listener.getsockname()[1])
    asking.start()
    serving.start()
    for line in sys.stdin:
        workers.ask()
        processes.report(done=line)
    server.should_exit = True
    serving.join()


def _server(orders: Orders, workers: Workers) -> uvicorn.Server:
    """Return the server of the application, which listens to no signal in a thread of its own.

    Raises:
        EngineMissing: What it needs is not installed.
    """
    import_extra("uvicorn")
    import_extra("starlette")
    from lottery.web.api import api_routes  # noqa: PLC0415 - an extra.
    from lottery.web.app import create_app  # noqa: PLC0415 - as above.
    from lottery.web.console.app import console_routes  # noqa: PLC0415 - as above.
    from lottery.web.serving import web_server  # noqa: PLC0415 - as above.

    settings = orders.settings
    contexts = security.web_contexts(settings)
    about = f"Server {VERSION} at {settings.listen}"
    pages = console_routes(_backends(workers, settings.memory_limit()), about=about)
    return web_server(
        create_app([*api_routes(workers.channel), *pages], hosts=security.local_hosts(settings)),
        connections=CONNECTIONS,
        grace_seconds=math.ceil(settings.grace_seconds),
        context=None if contexts is None else lambda: _changing(contexts),
    )


def _backends(workers: Workers, memory: MemoryLimit) -> BackendFor:
    """Return what opens the backend of a request: a worker, asked as the request's caller."""
    from lottery.web.calling import channel_of  # noqa: PLC0415 - an extra.

    def backend_for(request: Request) -> RemoteBackend:
        channel = channel_of(request, workers.channel())
        return RemoteBackend(channel, tls=None, memory=memory, timeout=CONSOLE_SECONDS)

    return backend_for


def _changing(contexts: Watched[ssl.SSLContext]) -> ssl.SSLContext:
    """Return a context that gives each handshake the present one."""

    def take(connection: ssl.SSLObject, *_: object) -> None:
        connection.context = contexts.current()

    first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    first.sni_callback = take  # Called for each handshake, also one without a name.
    return first


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve, and end the process with it, so that the supervisor sees it."""
    try:
        server.run(sockets=[listener])
    finally:
        processes.end()


def _keep_asking(workers: Workers) -> None:
    while True:
        workers.ask()
        time.sleep(ASK_SECONDS)


class _Lines(logging.Handler):
    """Writes what the library warns of as lines of the server's log."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().warning(
            "http", what=record.getMessage(), exc_info=record.exc_info or None
        )


def _log_in_lines() -> None:
    logger = logging.getLogger("uvicorn")
    logger.setLevel(logging.WARNING)
    logger.addHandler(_Lines())
    logger.propagate = False
