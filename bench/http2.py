"""Unary gRPC calls over HTTP/2 that cost their caller little, which shares the processors.

A gRPC client in Python takes as long for a call as a server, so that on two processors it cannot
offer a server more than it bears. Here each call is two frames that were made beforehand, and of an
answer only its status is looked at (RFC 9113; PROTOCOL-HTTP2 of gRPC). Without TLS.

Invariants:
- No more is sent than the server's window lets, so that nothing is sent again.
- The server compresses no header (a table of size 0), so that a status is found as it is.
"""

from __future__ import annotations

import re
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Final

import grpc

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
"""Types of frames."""
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
"""Flags of frames."""
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TABLE_SIZE, _STREAM_WINDOW = 1, 4
"""Settings."""
_WIDE: Final = (1 << 31) - 1
_FIRST_WINDOW: Final = 65_535
_FRAME: Final = struct.Struct(">BHBBI")
_STATUS: Final = re.compile(rb"\x0bgrpc-status.(\d+)", re.DOTALL)
_CODES: Final = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}


class Connection:
    """A connection on which calls of one method are sent, all of the same message.

    Args:
        target: HOST:PORT.
        method: `/service/name`.
        message: The encoded message, of less than 16 KiB.
    """

    def __init__(self, target: str, method: str, message: bytes) -> None:
        host, _, port = target.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = _headers(target, method)
        self._message = struct.pack(">BI", 0, len(message)) + message
        self._stream = 1
        self._window = _FIRST_WINDOW
        self._waiting: deque[int] = deque()
        self._received = b""
        settings = struct.pack(">HIHI", _TABLE_SIZE, 0, _STREAM_WINDOW, _WIDE)
        self.socket.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW, 0, 0, struct.pack(">I", _WIDE - _FIRST_WINDOW))
        )

    def send(self) -> int:
        """Send a call, or have it wait for the server's window, and return its number."""
        number, self._stream = self._stream, self._stream + 2
        self._waiting.append(number)
        self._send_waiting()
        return number

    def receive(self) -> Iterator[tuple[int, str]]:
        """Read what has arrived, and yield each call that has ended, with its code.

        Raises:
            ConnectionError: The server has closed the connection.
        """
        arrived = self.socket.recv(1 << 18)
        if not arrived:
            raise ConnectionError("the server has closed the connection")
        data = self._received + arrived
        offset = 0
        while len(data) - offset >= _FRAME.size:
            high, low, kind, flags, number = _FRAME.unpack_from(data, offset)
            end = offset + _FRAME.size + (high << 16 | low)
            if end > len(data):
                break
            content, offset = data[offset + _FRAME.size : end], end
            if kind == _HEADERS and flags & _END_STREAM:
                found = _STATUS.search(content)
                yield number, "UNKNOWN" if found is None else _CODES[found[1]]
            elif kind == _RESET:
                yield number, "RESET"
            else:
                self._heed(kind, flags, number, content)
        self._received = data[offset:]

    def _heed(self, kind: int, flags: int, number: int, content: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            answer = content if kind == _PING else b""
            self.socket.sendall(_frame(kind, _ACK, 0, answer))
        elif kind == _WINDOW and number == 0:
            self._window += int.from_bytes(content, "big")
            self._send_waiting()
        elif kind == _GOAWAY:
            raise ConnectionError("the server ends the connection")

    def _send_waiting(self) -> None:
        while self._waiting and self._window >= len(self._message):
            number = self._waiting.popleft()
            self._window -= len(self._message)
            self.socket.sendall(
                _frame(_HEADERS, _END_HEADERS, number, self._headers)
                + _frame(_DATA, _END_STREAM, number, self._message)
            )


def _frame(kind: int, flags: int, number: int, content: bytes) -> bytes:
    size = len(content)
    return _FRAME.pack(size >> 16, size & 0xFFFF, kind, flags, number) + content


def _headers(target: str, method: str) -> bytes:
    """Return the headers of a call (RFC 7541), none of which is to be remembered."""
    post, http = b"\x83", b"\x86"
    named = {
        b"te": b"trailers",  # codespell:ignore te
        b"grpc-timeout": b"60S",
        b"content-type": b"application/grpc",
    }
    return b"".join(
        (
            post,
            http,
            b"\x04" + _text(method.encode()),
            b"\x01" + _text(target.encode()),
            *(b"\x00" + _text(name) + _text(value) for name, value in named.items()),
        )
    )


def _text(text: bytes) -> bytes:
    return bytes([len(text)]) + text
