"""Logs, Prometheus metrics and health of the server.

Invariants:
- Every call is logged as one canonical line.
- Account numbers are never logged and never label a metric.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, Final, cast

import grpc
import orjson
import prometheus_client
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from lottery.errors import quote
from server import handlers
from server.binding import OWN_PORT, bind, host_and_port
from server.settings import Settings

SERVICES: Final = ("", "lottery.v1.LotteryService", "lottery.v1.AuditService")
"""Names that health checks know; the empty one is the server as a whole."""

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


def configure_logging(settings: Settings) -> None:
    """Log to standard error, as JSON or as text."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    processors: list[Any] = [structlog.processors.format_exc_info, _as_json]
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if text:
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def _as_json(_: object, level: str, event: structlog.typing.EventDict) -> bytes:
    """Return an event as a line of JSON, in one step: each step is a good part of a small call."""
    event["level"], event["timestamp"] = level, dt.datetime.now(dt.UTC)
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z)


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


class HealthServer:
    """`grpc.health.v1` on a port of its own, so that no limit on calls rejects health checks."""

    def __init__(self, listen: str) -> None:
        self._servicer = health.HealthServicer()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(2, thread_name_prefix="health"), options=[OWN_PORT]
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        self.port = bind(self._server, listen)

    def start(self) -> None:
        """Start answering; every service is SERVING."""
        for service in SERVICES:
            self._servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()

    def drain(self) -> None:
        """Report every service as NOT_SERVING from now on."""
        self._servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()


class MetricsServer:
    """Prometheus metrics over HTTP, on a port of their own."""

    def __init__(self, listen: str) -> None:
        host, port = host_and_port(listen)
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, addr=host)
        except OSError as error:
            raise OSError(f"cannot bind {quote(listen)}: {error}") from error
        self.port: int = self._server.server_port

    def stop(self) -> None:
        """Stop at once."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
