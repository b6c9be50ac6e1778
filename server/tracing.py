"""Traces of calls, by OpenTelemetry (the extra `otel`): one span a call, within its caller's trace.

They are on where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a
receiver, and off with `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none`; the rest is as the
other `OTEL_...` variables say. Off, nothing of it is imported.

Invariants:
- A span has the method and the status code, and no text of a request, an answer or an error: any
  of these may name an account.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import grpc
import structlog

from server import handlers, telemetry

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The variables that name a receiver of traces."""
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
"""The variable for the name of the service in its traces; that of the package by default."""
OUR_FAULTS: Final = frozenset(
    (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
"""Codes that make an error of a server's span, by the semantic conventions of OpenTelemetry."""


def interceptors(environment: Mapping[str, str] = os.environ) -> list[grpc.ServerInterceptor]:
    """Return what traces calls, if the environment turns it on.

    Where the extra is not installed, the log says so: such variables come by themselves where an
    operator sets them for every program.
    """
    is_off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
        or not any(environment.get(name) for name in ENDPOINTS)
    )
    if is_off:
        return []
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - an extra.
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above.
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above.
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above.
    except ImportError:
        structlog.get_logger().warning(
            "calls are not traced", advice="install the extra otel, or unset OTEL_EXPORTER_OTLP_..."
        )
        return []
    named = environment.get(SERVICE_NAME, "options-assignment-lottery")
    provider = TracerProvider(resource=Resource.create({"service.name": named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return [Tracing(provider)]


class Tracing(handlers.Observer):
    """Trace every call of the services.

    Args:
        provider: OpenTelemetry's provider of tracers.
    """

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("lottery")

    def begin(self, service: str, name: str, context: grpc.ServicerContext) -> Any:
        """Start the call's span."""
        from opentelemetry import propagate, trace  # noqa: PLC0415 - an extra.

        metadata = {key: value for key, value in context.invocation_metadata()}  # noqa: C416 - grpcio's own pairs.
        span = self._tracer.start_span(
            f"{service}/{name}",
            context=propagate.extract(metadata),
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        telemetry.note(trace_id=trace.format_trace_id(span.get_span_context().trace_id))
        return span

    def end(self, begun: Any, context: grpc.ServicerContext) -> None:
        """End the call's span, with its code."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra.

        code = handlers.code_of(context)
        begun.set_attribute("rpc.grpc.status_code", code.value[0])
        if code in OUR_FAULTS:
            begun.set_status(Status(StatusCode.ERROR))
        begun.end()
