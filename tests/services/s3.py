"""An S3 of a test's own, by moto, and an HTTP proxy before it that fails as it is asked to."""

from __future__ import annotations

import abc
import contextlib
import enum
import http.client
import http.server
import itertools
import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Self

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tests.services.waiting import LOOPBACK

CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
_AUTHORIZATION: Final = (
    "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=00"
)
_POLL_SECONDS: Final = 0.02
_NUMBERS: Final = itertools.count(1)
_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding"}
_EMPTY_LIST: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name><Prefix/>'
    b"<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
    b"</ListBucketResult>"
)


class _OnLoopback(abc.ABC):
    """An S3 on loopback that runs in this process as long as the block does.

    Attributes:
        port: Its port.
    """

    port = 0

    @abc.abstractmethod
    def _made(self) -> http.server.HTTPServer:
        """Return the server, which listens already."""

    def __enter__(self) -> Self:
        self._server = self._made()
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which obstore finds this server."""
        return environment_of(self.port)


class S3Server(_OnLoopback):
    """A moto server.

    All servers of one process share moto's one state: `new_bucket` keeps tests apart.
    """

    def __init__(self, *, threaded: bool = True) -> None:
        """Prepare a server; one that is not threaded answers requests one after another.

        Only that one is right about races: moto looks for an object and writes it in two steps.
        """
        self._threaded = threaded

    def _made(self) -> http.server.HTTPServer:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        return make_server(
            LOOPBACK,
            0,
            DomainDispatcherApplication(create_backend_app),
            threaded=self._threaded,
            request_handler=MotoRequestHandler,
        )

    def new_bucket(self) -> str:
        """Make an empty bucket, and return its name."""
        name = f"ledger-{next(_NUMBERS)}"
        status, body = self.request("PUT", f"/{name}")
        if status != http.HTTPStatus.OK:
            raise RuntimeError(f"moto made no bucket {name}: {status} {body!r}")
        return name

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request by itself, for what obstore would not send; see `request`."""
        return request(self.port, method, path, body)


def request(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request to an S3 at a port of loopback, and return the answer's status and body."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Authorization": _AUTHORIZATION, "Content-Length": str(len(body))}
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def environment_of(port: int) -> dict[str, str]:
    """Return the variables by which obstore finds an S3 at a port of loopback."""
    return CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}"}


class Act(enum.Enum):
    """What becomes of a request."""

    ANSWER = enum.auto()
    """It is answered with `status`, and never arrives."""

    ANSWER_AFTER = enum.auto()
    """It is done, and answered with `status` all the same."""

    CUT = enum.auto()
    """The connection is cut before it arrives."""

    CUT_AFTER = enum.auto()
    """It is done, and the connection is cut instead of an answer."""

    HALF = enum.auto()
    """The connection is cut in the middle of the answer's body."""

    SLOW = enum.auto()
    """It is done, and the answer comes `seconds` later."""

    NOT_LISTED = enum.auto()
    """A list is answered as if there were nothing."""

    UNCONDITIONAL = enum.auto()
    """Its condition is dropped, as by a store that does not know it."""


@dataclass(kw_only=True)
class Fault:
    """What becomes of the next requests that match.

    Attributes:
        act: What happens.
        method: The method of a matching request; empty matches all.
        name: A part of its path and query.
        header: A header that it has; empty matches all.
        times: For how many requests; None for all.
        status: What is answered.
        seconds: How late an answer is.
    """

    act: Act
    method: str = ""
    name: str = ""
    header: str = ""
    times: int | None = 1
    status: int = 500
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    size: int


class FaultyS3(_OnLoopback):
    """An HTTP proxy before an S3 that applies faults to the requests that match them.

    Attributes:
        faults: What is to go wrong, the first that matches first; tests add to it.
        seen: The requests that came, with those that were sent again.
    """

    def __init__(self, behind: S3Server) -> None:
        """Take the server that answers."""
        self.behind = behind
        self.faults: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def _made(self) -> http.server.HTTPServer:
        return _Server(self)

    def __exit__(self, *raised: object) -> None:
        self.closing.set()
        super().__exit__(*raised)

    def add(self, act: Act, **parts: Any) -> None:
        """Add a fault; the arguments are those of `Fault`."""
        self.faults.append(Fault(act=act, **parts))

    def count(self, method: str, name: str = "") -> int:
        """Return how many requests of a method came for paths that have a text."""
        return sum(one.method == method and name in one.path for one in self.seen)

    def fault_for(self, seen: Seen) -> Fault | None:
        """Note a request, and return what is to become of it."""
        with self._lock:
            self.seen.append(seen)
            for fault in self.faults:
                if (
                    fault.method in {"", seen.method}
                    and fault.name in seen.path
                    and (not fault.header or fault.header.lower() in seen.headers)
                ):
                    if fault.times is not None:
                        fault.times -= 1
                        if not fault.times:
                            self.faults.remove(fault)
                    return fault
        return None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: FaultyS3) -> None:
        self.proxy = proxy
        super().__init__((LOOPBACK, 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away, which is what is tested."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class _Handler(http.server.BaseHTTPRequestHandler):
    """What handles a proxy's requests, each connection by a thread of its own."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server.proxy.fault_for(
            Seen(method=self.command, path=self.path, headers=headers, size=len(body))
        )
        if fault is None:
            self.answer(self.forwarded(body, headers))
        elif fault.act is Act.CUT:
            self.close_connection = True
        elif fault.act is Act.ANSWER:
            self.answer(_Answer(status=fault.status))
        else:
            if fault.act is Act.UNCONDITIONAL:
                headers.pop("if-none-match", None)
            self.after(fault, self.forwarded(body, headers))

    def after(self, fault: Fault, answer: _Answer) -> None:
        """Let a request fail that was done."""
        match fault.act:
            case Act.CUT_AFTER:
                self.close_connection = True
            case Act.HALF:
                self.answer(answer, sent=len(answer.body) // 2)
                self.close_connection = True
            case Act.ANSWER_AFTER:
                self.answer(_Answer(status=fault.status))
            case Act.NOT_LISTED:
                self.answer(_Answer(status=http.HTTPStatus.OK, body=_EMPTY_LIST))
            case Act.SLOW:
                self.server.proxy.closing.wait(fault.seconds)
                self.answer(answer)
            case _:
                self.answer(answer)

    def forwarded(self, body: bytes, headers: dict[str, str]) -> _Answer:
        """Return what the server answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.server.proxy.behind.port, timeout=30)
        with contextlib.closing(connection):
            kept = {name: text for name, text in headers.items() if name not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body=body, headers=kept)
            answer = connection.getresponse()
            return _Answer(status=answer.status, headers=answer.getheaders(), body=answer.read())

    def answer(self, answer: _Answer, *, sent: int | None = None) -> None:
        """Answer, with the first bytes of the body only if so many are given."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        length = len(answer.body)
        if self.command == "HEAD":
            length = int(dict(answer.headers).get("Content-Length", 0))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body[:sent])

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # noqa: N815 - http.server's names.
