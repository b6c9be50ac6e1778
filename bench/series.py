"""Unary AllocateSeries over loopback, against an echo of the same sizes.

The echo takes the same message and answers a prepared one: what is left is the wire, gRPC and
protobuf. Blocks of calls alternate between the two servers; the client is a plain stub.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from bench.series_server import series_request
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc as pb_grpc

SIZES: Final = {3: 200, 100: 200, 10_000: 10}
"""Accounts of a request, and the calls of a block."""
_LARGEST: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeResult:
    """The nanoseconds of every call of one size."""

    accounts: int
    request_bytes: int
    response_bytes: int
    ours: list[int] = field(default_factory=list)
    echo: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesResult:
    """What was measured."""

    blocks: int
    sizes: list[SizeResult]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_series(directory: Path, *, blocks: int, report: Callable[[str], None]) -> SeriesResult:
    """Time calls of every size against both servers.

    Args:
        directory: A folder for the server's ledger and its log.
        blocks: Blocks of calls of each size and server.
        report: Receives what goes on, as text.
    """
    report("starting both servers")
    with ExitStack() as stack:
        log = stack.enter_context((directory / "server.log").open("wb"))
        stubs = {}
        for kind in ("ours", "echo"):
            command = [sys.executable, "-m", "bench.series_server", kind, str(directory / kind)]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, *(str(size) for size in SIZES)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            )
            assert process.stdin is not None
            stack.callback(process.stdin.close)
            assert process.stdout is not None
            port = process.stdout.readline().decode().strip()
            if not port:
                raise RuntimeError(f"the server of {kind} did not start: see {log.name}")
            channel = stack.enter_context(
                grpc.insecure_channel(
                    f"127.0.0.1:{port}", [("grpc.max_receive_message_length", _LARGEST)]
                )
            )
            stubs[kind] = pb_grpc.LotteryServiceStub(channel)
        return _measure(stubs, blocks, report)


def _measure(
    stubs: dict[str, pb_grpc.LotteryServiceStub], blocks: int, report: Callable[[str], None]
) -> SeriesResult:
    requests = {size: series_request(size) for size in SIZES}
    results = {}
    for size, request in requests.items():
        answers = [stub.AllocateSeries(request) for stub in stubs.values()]
        assert answers[0] == answers[1], "the echo answers what the server does"
        results[size] = SizeResult(
            accounts=size,
            request_bytes=request.ByteSize(),
            response_bytes=answers[0].ByteSize(),
        )
        for stub in stubs.values():
            _block(stub, request, SIZES[size])
    for block in range(blocks):
        report(f"calls, block {block + 1} of {blocks}")
        for size, request in requests.items():
            for kind in ("ours", "echo") if block % 2 else ("echo", "ours"):
                taken = results[size].ours if kind == "ours" else results[size].echo
                taken += _block(stubs[kind], request, SIZES[size])
    return SeriesResult(blocks=blocks, sizes=list(results.values()))


def _block(
    stub: pb_grpc.LotteryServiceStub, request: pb.AllocateSeriesRequest, calls: int
) -> list[int]:
    """Return the nanoseconds of each of so many calls in sequence."""
    call, clock = stub.AllocateSeries, time.perf_counter_ns
    taken = []
    for _ in range(calls):
        start = clock()
        call(request)
        taken.append(clock() - start)
    return taken
