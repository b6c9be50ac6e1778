"""What is said of each call: its line of the log, and its metrics.

Invariants:
- Every call is logged as one canonical line.
- Account numbers are never logged and never label a metric.
"""

from __future__ import annotations

import contextvars
import functools
import time
from typing import Any

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


class CanonicalLog(handlers.Observer):
    """Log and count every call: its method, its code, its duration and what was noted."""

    def __init__(self) -> None:
        self._log = structlog.get_logger().bind()

    def begin(self, service: str, name: str, context: grpc.ServicerContext) -> Any:  # noqa: ARG002 - an observer's.
        """Return the method, when its call began, and what is noted of it from now on."""
        notes: dict[str, Any] = {}
        _notes.set(notes)
        return name, time.perf_counter(), notes

    def end(self, begun: Any, context: grpc.ServicerContext) -> None:
        """Log and count a call."""
        name, start, notes = begun
        seconds = time.perf_counter() - start
        code = handlers.code_of(context).name
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
