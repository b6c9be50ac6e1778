"""What the server says of itself: one canonical log line an RPC, Prometheus metrics, health.

Account numbers are never logged and label no metric.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Final

import grpc
import orjson
import prometheus_client
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from server.binding import OWN_PORT, bind, host_and_port
from server.settings import Settings

SERVICES: Final = ("", "lottery.v1.LotteryService", "lottery.v1.AuditService")

_notes: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "notes", default=None
)
_calls = prometheus_client.Counter("lottery_rpc", "Calls answered.", labelnames=("method", "code"))
_seconds = prometheus_client.Histogram(
    "lottery_rpc_seconds",
    "Seconds from a call's arrival to its last answer.",
    labelnames=("method",),
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
_contracts = prometheus_client.Counter(
    "lottery_contracts", "Contracts of recorded runs.", labelnames=("outcome",)
)


def note(**values: object) -> None:
    """Adds values to the log line of the call that this thread serves."""
    notes = _notes.get()
    if notes is not None:
        notes.update(values)


@functools.cache
def _of_call(name: str, code: str) -> tuple[Any, Any]:
    """The counter and the histogram of a method and a code; there are few of them."""
    return _calls.labels(name, code), _seconds.labels(name)


def _count_call(name: str, code: str, seconds: float) -> None:
    calls, histogram = _of_call(name, code)
    calls.inc()
    histogram.observe(seconds)


def count_contracts(*, allocated: int, broken: int) -> None:
    """Counts a recorded run's contracts."""
    _contracts.labels("allocated").inc(allocated)
    _contracts.labels("broken").inc(broken)


def configure_logging(settings: Settings) -> None:
    """Logs to standard error: JSON, or text where it is a terminal and the format is `auto`."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    wrapper = structlog.make_filtering_bound_logger(level)
    if text:
        structlog.configure(
            processors=[
                *shared,
                structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
            ],
            wrapper_class=wrapper,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=False,
        )
        return
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=wrapper,
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )


class CanonicalLog(grpc.ServerInterceptor):
    """One log line and one count for every call: method, code, seconds, and what was noted."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}
        self._log = structlog.get_logger()

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wraps the method's handler once and keeps it."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._handlers[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        _, service, name = method.split("/")
        if not service.startswith("lottery."):
            return handler
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._answering(name, handler.stream_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(name, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._answering(name, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _answering(self, name: str, behaviour: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            start = time.perf_counter()
            token = _notes.set({})
            try:
                return behaviour(request, context)
            finally:
                self._finish(name, context, start)
                _notes.reset(token)

        return answer

    def _streaming(
        self, name: str, behaviour: Callable[[Any, Any], Iterator[Any]]
    ) -> Callable[..., Iterator[Any]]:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start = time.perf_counter()
            _notes.set({})
            try:
                yield from behaviour(request, context)
            finally:
                self._finish(name, context, start)
                _notes.set(None)

        return answer

    def _finish(self, name: str, context: grpc.ServicerContext, start: float) -> None:
        seconds = time.perf_counter() - start
        status = context.code()  # type: ignore[attr-defined]
        code = "OK" if status is None else status.name
        if status is None and not context.is_active():
            code = "CANCELLED"
        _count_call(name, code, seconds)
        self._log.info(
            "call",
            method=name,
            code=code,
            milliseconds=round(seconds * 1e3, 3),
            **(_notes.get() or {}),
        )


class HealthServer:
    """`grpc.health.v1` on a port of its own, which no limit of the services refuses."""

    def __init__(self, listen: str) -> None:
        self._servicer = health.HealthServicer()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(2, thread_name_prefix="health"), options=[OWN_PORT]
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        self.port = bind(self._server, listen)

    def start(self) -> None:
        """Serves; every service is SERVING."""
        for service in SERVICES:
            self._servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()

    def drain(self) -> None:
        """From now on, and whatever is set later, every service is NOT_SERVING."""
        self._servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        """Stops at once."""
        self._server.stop(None).wait()


class MetricsServer:
    """Prometheus metrics over HTTP on a port of their own."""

    def __init__(self, listen: str) -> None:
        host, port = host_and_port(listen)
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, addr=host)
        except OSError as error:
            raise OSError(f"{listen} cannot be bound: {error}") from error
        self.port: int = self._server.server_port

    def stop(self) -> None:
        """Stops at once."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
