"""Traces of calls: a span each, in the caller's trace, with no text that could name an account."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, Final

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lottery.ledger.commit import Ledger
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc
from server import telemetry, tracing
from server.lottery_service import LotteryService
from tests.builders import TESTER, made
from tests.server.calls import (
    LOOPBACK,
    PATIENCE,
    Stubs,
    connected,
    failure_to,
    read,
    send,
    series_request,
)
from tests.server.processes import server_process

ACCOUNT: Final = "83920174650192"
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = "b7ad6b7169203331"
METADATA: Final = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
"""What a caller sends whose own span this is (W3C Trace Context)."""


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def stubs(tmp_path: Path, spans: InMemorySpanExporter) -> Iterator[Stubs]:
    """Connect to the service over an empty ledger, with traces that stay here."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    interceptors: list[grpc.ServerInterceptor] = [
        telemetry.CanonicalLog(),
        tracing.Tracing(provider),
    ]
    ledger: Ledger = made(tmp_path / "ledger")
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=interceptors)
    service = LotteryService(ledger, max_rows=1_000, identify=lambda: TESTER)
    lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(service, server)
    port = server.add_insecure_port(LOOPBACK)
    server.start()
    try:
        with connected(port) as stubs:
            yield stubs
    finally:
        server.stop(None).wait()
        ledger.close()


def test_a_call_is_one_span_in_the_trace_of_its_caller(
    stubs: Stubs, spans: InMemorySpanExporter
) -> None:
    stubs.lottery.AllocateSeries(series_request(), timeout=PATIENCE, metadata=METADATA)

    (span,) = spans.get_finished_spans()
    assert span.name == "lottery.v1.LotteryService/AllocateSeries"
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}-{span.parent.span_id:016x}" == f"{TRACE}-{PARENT}"
    assert span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "lottery.v1.LotteryService",
        "rpc.method": "AllocateSeries",
        "rpc.grpc.status_code": 0,
    }


def test_a_call_that_fails_has_its_code_and_a_stream_too(
    stubs: Stubs, spans: InMemorySpanExporter
) -> None:
    failure_to(stubs, series_request(positions={ACCOUNT: -1}))
    failure_to(stubs, pb.StreamAllocationsRequest(run="latest", account=ACCOUNT))

    codes = [(span.attributes or {})["rpc.grpc.status_code"] for span in spans.get_finished_spans()]
    assert codes == [
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        grpc.StatusCode.NOT_FOUND.value[0],
    ]


def test_no_text_of_a_call_is_in_its_span(stubs: Stubs, spans: InMemorySpanExporter) -> None:
    read(send(stubs, series_request(positions={ACCOUNT: 30})))
    failure_to(stubs, series_request(positions={ACCOUNT: -1}))
    failure_to(stubs, pb.GetRunRequest(run=ACCOUNT))

    finished = spans.get_finished_spans()
    assert len(finished) == 3
    assert all(ACCOUNT not in span.to_json() for span in finished)
    assert all(not span.events for span in finished)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """A receiver of traces over OTLP."""

    def __init__(self) -> None:
        self.spans: Queue[Any] = Queue()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002 - gRPC's.
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put((resource.resource, span))
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def receiving() -> Iterator[tuple[Receiver, int]]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    receiver = Receiver()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        receiver, server
    )
    port = server.add_insecure_port(LOOPBACK)
    server.start()
    try:
        yield receiver, port
    finally:
        server.stop(None).wait()


def test_a_server_sends_its_spans_to_the_receiver_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as (receiver, port):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with server_process(tmp_path) as server, connected(server.port) as stubs:
            stubs.lottery.AllocateSeries(series_request(), timeout=PATIENCE, metadata=METADATA)
            resource, span = receiver.spans.get(timeout=PATIENCE)
        (line,) = [line for line in server.lines() if line["event"] == "call"]

    assert span.name == "lottery.v1.LotteryService/AllocateSeries"
    assert span.trace_id.hex() == line["trace_id"] == TRACE
    names = {each.key: each.value.string_value for each in resource.attributes}
    assert names["service.name"] == "options-assignment-lottery"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off_unless_a_receiver_is_named(environment: dict[str, str]) -> None:
    assert tracing.interceptors(environment) == []


def test_a_server_without_traces_imports_nothing_of_them() -> None:
    ask = (
        "import sys; import server.app; from server import tracing; tracing.interceptors({});"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0


def test_a_server_without_the_extra_says_so_and_serves() -> None:
    ask = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None; from server import tracing;"
        "sys.exit(len(tracing.interceptors({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://[::1]:9'})))"
    )

    done = subprocess.run([sys.executable, "-c", ask], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "install the extra otel" in done.stdout + done.stderr
