"""Handlers of RPCs, which interceptors wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def code_of(context: Any) -> grpc.StatusCode:
    """Return the status code of a call that has ended."""
    code: grpc.StatusCode | None = context.code()
    if code is not None:
        return code
    return grpc.StatusCode.OK if context.is_active() else grpc.StatusCode.CANCELLED


class Interceptor(grpc.ServerInterceptor):
    """Wraps the handler of every method that there is."""

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Return the method's handler, wrapped."""
        handler = continuation(handler_call_details)
        return None if handler is None else self.wrap(handler_call_details.method, handler)

    def wrap(self, method: str, handler: Any) -> Any:
        """Return the wrapped handler of a method `/service/name`."""
        raise NotImplementedError


class Observer(Interceptor):
    """Sees every call of our services begin and end, whatever its shape."""

    def wrap(self, method: str, handler: Any) -> Any:
        """Return the observed handler of a method; that of somebody else's as it is."""
        _, service, name = method.split("/")
        if not service.startswith("lottery."):
            return handler

        def answering(behaviour: Callable[[Any, Any], Any]) -> Callable[..., Any]:
            def answer(request: Any, context: grpc.ServicerContext) -> Any:
                begun = self.begin(service, name, context)
                try:
                    return behaviour(request, context)
                finally:
                    self.end(begun, context)

            return answer

        def streaming(behaviour: Callable[[Any, Any], Iterator[Any]]) -> Callable[..., Any]:
            def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                begun = self.begin(service, name, context)
                try:
                    yield from behaviour(request, context)
                finally:
                    self.end(begun, context)

            return answer

        return wrapped(handler, streaming if handler.response_streaming else answering)

    def begin(self, service: str, name: str, context: grpc.ServicerContext) -> Any:
        """Return what `end` is given of a call that begins."""
        raise NotImplementedError

    def end(self, begun: Any, context: grpc.ServicerContext) -> None:
        """Take note of a call that has ended."""
        raise NotImplementedError
