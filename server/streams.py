"""Whole runs that were streamed before, kept as they went over the wire.

A recorded run never changes, and several services ask for the same one within minutes of each
other. The first answer is read from the evidence and checked as ever; the next ones are its bytes.

Invariants:
- Only whole streams that ended well are kept, and never more bytes than was said.
- What is asked for least recently goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message


class SentStreams:
    """The streams that were sent last.

    Args:
        most_bytes: How many bytes are kept at most, all streams together; 0 keeps none.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._streams: OrderedDict[Hashable, list[bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def messages(self, key: Hashable, make: Callable[[], Iterable[Message]]) -> Iterator[Any]:
        """The messages of a stream, each as its bytes, which `WireBytes` sends as they are.

        Args:
            key: What the stream depends on.
            make: Makes it, where it was not sent before.
        """
        with self._lock:
            kept = self._streams.get(key)
            if kept is not None:
                self._streams.move_to_end(key)
        if kept is not None:
            yield from kept
            return
        sent: list[bytes] = []
        size = 0
        for message in make():
            wire = message.SerializeToString()
            size += len(wire)
            if size <= self._most_bytes:
                sent.append(wire)
            else:
                sent.clear()
            yield wire
        if size <= self._most_bytes:
            self._keep(key, sent, size)

    def _keep(self, key: Hashable, sent: list[bytes], size: int) -> None:
        with self._lock:
            if key in self._streams:  # Two callers were the first.
                return
            self._streams[key] = sent
            self._bytes += size
            while self._bytes > self._most_bytes:
                _, oldest = self._streams.popitem(last=False)
                self._bytes -= sum(map(len, oldest))


class WireBytes(grpc.ServerInterceptor):
    """Lets a streaming method answer with bytes that are on the wire already."""

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wraps the serializer of a streaming method."""
        handler = continuation(handler_call_details)
        if handler is None or not handler.response_streaming or handler.request_streaming:
            return handler
        serialize = handler.response_serializer

        def wire_of(answer: Message | bytes) -> bytes:
            return answer if isinstance(answer, bytes) else serialize(answer)

        return grpc.unary_stream_rpc_method_handler(
            handler.unary_stream, handler.request_deserializer, wire_of
        )
