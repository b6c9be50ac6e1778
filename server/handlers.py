"""Handlers of RPCs, whose behaviour an interceptor wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

_SHAPES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
"""The attributes of a handler for its behaviour, of which one is set."""


def wrapped(handler: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    """Return a handler of the same shape, messages and wrapped behaviour.

    Args:
        handler: The handler.
        wrap: Returns what is called in place of the handler's behaviour.
    """
    shape = next(shape for shape in _SHAPES if getattr(handler, shape) is not None)
    return getattr(grpc, f"{shape}_rpc_method_handler")(
        wrap(getattr(handler, shape)), handler.request_deserializer, handler.response_serializer
    )
