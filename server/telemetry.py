"""What is said of each call: its line of the log, and its metrics.

Invariants:
- Every call is logged as one canonical line.
- Account numbers are never logged and never label a metric.
"""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import grpc
import prometheus_client
import structlog

from server import handlers

_notes: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "notes", default=None
)
_calls = prometheus_client.Counter(
    "lottery_rpc", "Calls answered, by method and status code.", labelnames=("method", "code")
)
_seconds = prometheus_client.Histogram(
    "lottery_rpc_seconds",
    "Seconds from the arrival of a call to its last response, by method.",
    labelnames=("method",),
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
_contracts = prometheus_client.Counter(
    "lottery_contracts", "Contracts of recorded runs, by outcome.", labelnames=("outcome",)
)


def note(**values: object) -> None:
    """Add values to the log line of the call that this thread serves."""
    notes = _notes.get()
    if notes is not None:
        notes.update(values)


def count_contracts(*, allocated: int, broken: int) -> None:
    """Count the contracts of a run that was recorded."""
    _contracts.labels("allocated").inc(allocated)
    _contracts.labels("broken").inc(broken)


class CanonicalLog(grpc.ServerInterceptor):
    """Log and count every call: its method, its code, its duration and what was noted."""

    def __init__(self) -> None:
        self._log = structlog.get_logger().bind()

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wrap the method's handler."""
        handler = continuation(handler_call_details)
        return None if handler is None else self._wrap(handler_call_details.method, handler)

    def _wrap(self, method: str, handler: Any) -> Any:
        _, service, name = method.split("/")
        if not service.startswith("lottery."):
            return handler
        logged = self._streaming if handler.response_streaming else self._answering
        return handlers.wrapped(handler, functools.partial(logged, name))

    def _answering(self, name: str, behaviour: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            start, notes = _begin()
            try:
                return behaviour(request, context)
            finally:
                self._end(name, context, start, notes)

        return answer

    def _streaming(
        self, name: str, behaviour: Callable[[Any, Any], Iterator[Any]]
    ) -> Callable[..., Iterator[Any]]:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start, notes = _begin()
            try:
                yield from behaviour(request, context)
            finally:
                self._end(name, context, start, notes)

        return answer

    def _end(
        self, name: str, context: grpc.ServicerContext, start: float, notes: Mapping[str, Any]
    ) -> None:
        seconds = time.perf_counter() - start
        code = _code_name(context)
        count, duration = _meters(name, code)
        count.inc()
        duration.observe(seconds)
        self._log.info(
            "call", method=name, code=code, milliseconds=round(seconds * 1e3, 3), **notes
        )
        _notes.set(None)


@functools.cache
def _meters(
    method: str, code: str
) -> tuple[prometheus_client.Counter, prometheus_client.Histogram]:
    """Return the counter and the histogram of a method's calls that end with a code."""
    return _calls.labels(method, code), _seconds.labels(method)


def _begin() -> tuple[float, dict[str, Any]]:
    """Return when a call began, and what is noted of it from now on."""
    notes: dict[str, Any] = {}
    _notes.set(notes)
    return time.perf_counter(), notes


def _code_name(context: grpc.ServicerContext) -> str:
    status = context.code()  # type: ignore[attr-defined]
    if status is not None:
        return cast("grpc.StatusCode", status).name
    return "OK" if context.is_active() else "CANCELLED"
