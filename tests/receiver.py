"""A receiver of webhooks on loopback, and what a receiver has to know to trust one.

It shares no code with the sender: the signature is checked by the few lines of the specification
(Standard Webhooks 1.0.0).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.server.calls import wait_until
from tests.server.certificates import Certificate

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(64))).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def time(self) -> int:
        return int(self.headers["webhook-timestamp"])

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def is_signed(self, secret: str = SECRET) -> bool:
        """Return whether one of its signatures is by a secret."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.time}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses that it was given, one a request, and then with 204."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, statuses: Iterable[int], headers: Mapping[str, str], port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.statuses = list(statuses)
        self.headers = headers
        self.came: list[Request] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a sender that goes away is what some tests are about."""

    def wait_for(self, count: int) -> list[Request]:
        """Wait for so many requests, and return all that came."""
        wait_until(lambda: len(self.came) >= count)
        return list(self.came)

    def events(self) -> list[str]:
        return [request.document["type"] for request in self.came]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.came.append(Request(path=self.path, headers=headers, body=body))
        self.server.may_answer.wait()
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        for name, value in self.server.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - what a redirect could become.

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own names.
        """Say nothing."""


@contextmanager
def receiving(
    *statuses: int, certificate: Certificate | None = None, port: int = 0, **headers: str
) -> Iterator[Receiver]:
    """Receive webhooks during the block."""
    receiver = Receiver(statuses, headers, port)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def url_of(receiver: Receiver, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{receiver.server_port}/bell?token=hidden"


def webhooks_file(folder: Path, *urls: str, secrets: str = SECRET, **given: Any) -> Path:
    """Write the file of webhooks and return its path; what is given is a member of each."""
    secret_file = folder / "bell.secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text(secrets, "utf-8")
    rest = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())
    tables = [f'[[webhooks]]\nurl = "{url}"\nsecret_file = "bell.secret"\n{rest}' for url in urls]
    file = folder / "webhooks.toml"
    file.write_text("\n".join(tables), "utf-8")
    return file
