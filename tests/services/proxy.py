"""A TCP proxy that breaks connections when it is asked to, for any server and protocol."""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, Self

from tests.services.waiting import LOOPBACK

PG8000_COMMIT: Final = (b"commit\0", b"E\0\0\0\x09\0\0\0\0\0")
"""What pg8000 sends at a commit: it is parsed first, and executed two round trips later."""

_RESET: Final = struct.pack("ii", 1, 0)


class Cut(enum.Enum):
    """When a connection is cut, as seen from a request."""

    UNSENT = enum.auto()
    """The request never arrives."""

    SENT = enum.auto()
    """The request arrives, and nobody waits for the answer."""

    ANSWERED = enum.auto()
    """The request was answered, and the answer is lost."""


class TcpProxy:
    """Passes bytes on, until it is asked for something else; it lives as long as the block does.

    Attributes:
        host: Where it listens.
        port: Its port, which it keeps.
        accepted: The number of connections that it accepted.
        cuts: The number of connections that were cut by a rule.
        delay_seconds: How long each piece of an answer is held back.
        resets: Whether a client whose connection is cut gets a reset, and not an end of file.
    """

    def __init__(self, host: str, port: int) -> None:
        """Take the address of the server."""
        self._server = (host, port)
        self._lock = threading.RLock()
        self._pairs: list[_Pair] = []
        self._closed = threading.Event()
        self._moving = threading.Event()
        self._listener: socket.socket | None = None
        self.host = LOOPBACK
        self.port = 0
        self.accepted = 0
        self.cuts = 0
        self.delay_seconds = 0.0
        self.resets = False
        self.rules: list[_Rule] = []

    def __enter__(self) -> Self:
        self._moving.set()
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._moving.set()
        self.refuse()
        self.cut()

    def accept(self) -> None:
        """Accept connections, on the same port as before."""
        if self._listener is not None:
            return
        self._listener = socket.create_server((self.host, self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse new connections; those on which something was passed on stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # Which ends an accept that waits.
            listener.close()

    def cut(self) -> int:
        """Cut all connections now, and return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()
        return len(pairs)

    def freeze(self) -> None:
        """Pass nothing on, either way, while connections stay open: as behind a lost route."""
        self._moving.clear()

    def thaw(self) -> None:
        """Pass on what was held back."""
        self._moving.set()

    def cut_at(self, *patterns: bytes, when: Cut) -> None:
        """Cut the next connection on which a client sends these texts one after another.

        Args:
            patterns: Texts that the client sends, in this order.
            when: Before the last of them arrives, after it, or when it was answered.
        """
        with self._lock:
            self.rules.append(_Rule(patterns=patterns, when=when))

    def cut_after(self, client_bytes: int) -> None:
        """Cut the next connection on which a client sends more, after as many bytes arrived."""
        with self._lock:
            self.rules.append(_Rule(client_bytes=client_bytes))

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            pair = _Pair(self, client, server)
            with self._lock:
                self.accepted += 1
                self._pairs.append(pair)
            pair.start()

    def held_back(self) -> None:
        """Wait while frozen, and for the delay."""
        self._moving.wait()
        if self.delay_seconds:
            self._closed.wait(self.delay_seconds)

    def moving(self) -> None:
        """Wait while frozen."""
        self._moving.wait()

    def rule_for(self, sent: bytearray) -> _Rule | None:
        """Return the first rule that what a client sent fulfils, and forget it."""
        with self._lock:
            for rule in self.rules:
                if rule.fulfilled(sent):
                    self.rules.remove(rule)
                    self.cuts += 1
                    return rule
        return None

    def forget(self, pair: _Pair) -> None:
        """Drop a connection that ended."""
        with self._lock, contextlib.suppress(ValueError):
            self._pairs.remove(pair)


class _Rule:
    """What a client has to send for its connection to be cut."""

    def __init__(
        self,
        *,
        patterns: tuple[bytes, ...] = (),
        client_bytes: int | None = None,
        when: Cut = Cut.SENT,
    ) -> None:
        self._patterns = patterns
        self.client_bytes = client_bytes
        self.when = when

    def fulfilled(self, sent: bytearray) -> bool:
        if self.client_bytes is not None:
            return len(sent) > self.client_bytes
        offset = 0
        for pattern in self._patterns:
            found = sent.find(pattern, offset)
            if found < 0:
                return False
            offset = found + len(pattern)
        return True


class _Pair:
    """A client's connection and the one to the server."""

    def __init__(self, proxy: TcpProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._answer_is_lost = threading.Event()
        self._closed = False
        self._pumps_left = 2
        self._lock = threading.Lock()

    def start(self) -> None:
        for pump in (self._to_server, self._to_client):
            threading.Thread(target=self._until_closed, args=(pump,), daemon=True).start()

    def close(self) -> None:
        """End both connections, the client's by a reset if the proxy resets."""
        with self._lock:
            self._closed = True
        how = socket.SHUT_RDWR
        if self._proxy.resets:
            with contextlib.suppress(OSError):
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            how = socket.SHUT_RD  # Which wakes the thread that reads, and sends nothing.
        for end, ending in ((self._client, how), (self._server, socket.SHUT_RDWR)):
            with contextlib.suppress(OSError):
                end.shutdown(ending)
            end.close()
        self._proxy.forget(self)

    def _until_closed(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except OSError:  # One side is gone, and the other one hears of it.
            self.close()
        with self._lock:
            self._pumps_left -= 1
            is_last = self._pumps_left == 0
        if is_last:
            self.close()

    def _to_server(self) -> None:
        sent = bytearray()
        while data := self._client.recv(65536):
            self._proxy.moving()
            before = len(sent)
            sent += data
            rule = self._proxy.rule_for(sent)
            if rule is None:
                if not self._proxy.rules:
                    sent.clear()  # A rule is about what is sent after it was made.
                self._server.sendall(data)
                continue
            self._answer_is_lost.set()
            if rule.client_bytes is not None:
                self._server.sendall(data[: max(rule.client_bytes - before, 0)])
            elif rule.when is not Cut.UNSENT:
                self._server.sendall(data)
            if rule.when is not Cut.ANSWERED:
                self.close()
                return
        self._end(self._server)

    def _to_client(self) -> None:
        while data := self._server.recv(65536):
            if self._answer_is_lost.is_set():
                self.close()
                return
            self._proxy.held_back()
            self._client.sendall(data)
        self._end(self._client)

    def _end(self, receiver: socket.socket) -> None:
        """Pass on that nothing more comes, unless the connection is being cut."""
        with self._lock:
            if not self._closed:
                receiver.shutdown(socket.SHUT_WR)
