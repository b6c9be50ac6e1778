"""`StreamAllocations` in Arrow, rows a second, against Arrow Flight sending the same table.

Both servers are processes of their own on loopback. Flight holds the table in memory, or reads the
file at each call as the lottery must; only the lottery looks whether it is what was recorded.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pyarrow as pa
import pyarrow.flight

from bench.flight_server import FILE, MEMORY
from bench.made_day import MadeDay
from bench.ours import LEDGER
from bench.outputs import compare_table, plain
from bench.process import Worker, serving
from bench.sizes import DaySize
from bench.worker import RECORDED
from lottery.client import LotteryClient
from lottery.client.connection import MESSAGE_BYTES
from lottery.intake.arrow import read_arrow_table
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc as pb_grpc

STREAM: Final = "StreamAllocations"
CLIENT: Final = "LotteryClient.allocations"
FLIGHT: Final = "Arrow Flight, from memory"
FLIGHT_FILE: Final = "Arrow Flight, from the file"

_Receive = Callable[[], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """What was measured.

    Attributes:
        size: How large the day is.
        rows: Rows of the table that is sent.
        seconds: Of every timed call, by contender.
    """

    size: DaySize
    rows: int
    seconds: Mapping[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_stream(
    directory: Path, made: MadeDay, *, rounds: int, report: Callable[[str], None]
) -> StreamResult:
    """Time calls to both servers in rotated turns, after each answer was compared.

    Args:
        directory: A folder for the ledger.
        made: The day.
        rounds: Timed calls of each contender.
        report: Receives what goes on, as text.

    Raises:
        OutputsDiffer: Two contenders received different tables.
    """
    report("recording the day")
    recorder = Worker(RECORDED, directory)
    recorder.measure(made.files, directory / "recorded", 0)
    recorder.stop()
    ledger = directory / "recorded" / LEDGER
    report("starting both servers")
    with ExitStack() as stack:
        target = stack.enter_context(serving(directory, ledger)).target
        flight = stack.enter_context(pa.flight.connect(stack.enter_context(_flight(ledger))))
        client = stack.enter_context(LotteryClient(target))
        limit = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
        channel = stack.enter_context(grpc.insecure_channel(target, limit))
        contenders: dict[str, _Receive] = {
            STREAM: lambda: _stream(pb_grpc.LotteryServiceStub(channel)),
            CLIENT: lambda: client.allocations("latest"),
            FLIGHT: lambda: flight.do_get(pa.flight.Ticket(MEMORY)).read_all(),
            FLIGHT_FILE: lambda: flight.do_get(pa.flight.Ticket(FILE)).read_all(),
        }
        rows = _compare(contenders)
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        names = list(contenders)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                report(f"call {number + 1} of {rounds}: {name}")
                start = time.perf_counter()
                contenders[name]()
                seconds[name].append(time.perf_counter() - start)
    return StreamResult(size=made.size, rows=rows, seconds=seconds)


def _compare(contenders: Mapping[str, _Receive]) -> int:
    """Return the rows that every contender receives alike."""
    expected = plain(contenders[STREAM]())
    for name, receive in contenders.items():
        compare_table(name, plain(receive()), expected)
    rows: int = expected.num_rows
    return rows


def _stream(stub: pb_grpc.LotteryServiceStub) -> pa.Table:
    """Return the table as it arrives, a chunk a message, as Flight's client gives it."""
    request = pb.StreamAllocationsRequest(run="latest", format=pb.ROW_FORMAT_ARROW)
    return pa.concat_tables(
        [read_arrow_table(message.arrow_allocations) for message in stub.StreamAllocations(request)]
    )


@contextmanager
def _flight(ledger: Path) -> Iterator[str]:
    """Yield the location of a Flight server that sends a ledger's allocations."""
    command = [sys.executable, "-m", "bench.flight_server", str(ledger)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().decode().strip()
        if not port:
            raise RuntimeError("the Flight server did not start")
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            process.stdin.close()
