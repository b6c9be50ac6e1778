"""The services, asked as the caller of a request over HTTP: with its token, trace and address."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from starlette.requests import Request

from lottery.errors import Problem, Refused
from lottery.web import PEER_KEY

_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def metadata_of(request: Request) -> list[tuple[str, str]]:
    """Return what the services are to know of a request, as a call's metadata.

    Raises:
        Refused: The token has characters that none has.
    """
    metadata = [("authorization", text) for text in request.headers.getlist("authorization")]
    if not all(text.isascii() and text.isprintable() for _, text in metadata):
        message = "expected printable ASCII characters alone"
        raise Refused([Problem(source="Authorization", message=message)])
    trace = request.headers.get("traceparent", "")
    if _TRACE.fullmatch(trace):  # A trace that is malformed is none, by W3C's own rule.
        metadata.append(("traceparent", trace))
    if request.client is not None:
        host, port = request.client
        peer = f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
        metadata.append((PEER_KEY, peer))
    return metadata


def channel_of(request: Request, channel: grpc.Channel) -> grpc.Channel:
    """Return a channel whose calls are those of a request's caller.

    Raises:
        Refused: As `metadata_of`.
    """
    return grpc.intercept_channel(channel, _AsCaller(metadata_of(request)))


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    """What differs of a call; gRPC has the rest from the call itself."""

    metadata: tuple[tuple[str, str | bytes], ...]


class _AsCaller(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds metadata to each call; no page sends a stream."""

    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self._metadata = metadata

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Make a call."""
        given = client_call_details.metadata or ()
        return continuation(_Details((*given, *self._metadata)), request)

    intercept_unary_stream = intercept_unary_unary
