"""One kind of callers, in a process of its own: `python -m bench.load_caller JOB`.

With a rate, calls are sent at times that are fixed beforehand, whatever becomes of those before,
and a latency counts from the planned time, so that queueing counts, here and at the server; how
late they were sent is shown too. Without, each caller sends its next call when the last one is
answered. It prints what it saw as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pyarrow as pa

from bench.series_server import series_request
from lottery.client import LotteryClient
from lottery.method.seed import ExchangeAsk

SERIES: Final = "/lottery.v1.LotteryService/AllocateSeries"
RUN: Final = "/lottery.v1.LotteryService/RunLottery"
HEALTH: Final = "/grpc.health.v1.Health/Check"
REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
PATIENCE: Final = 60.0
ACCOUNTS: Final = 10

Latencies = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is called.

    Attributes:
        kind: `series`, `health`, `bad`, `bomb`, `silent`, `slow`, `random` or `run`.
        target: HOST:PORT.
        seconds: For how long.
        rate: Calls a second; 0 sends the next call after the last one.
        callers: How many callers, each with a connection of its own.
        certificates: The folder of `trial_files` for mutual TLS; None for none.
    """

    kind: str
    target: str
    seconds: float
    rate: float = 0.0
    callers: int = 16
    certificates: str | None = None


def main() -> None:
    """Call, and print the milliseconds of all calls by their code."""
    job = Job(**json.loads(sys.argv[1]))
    did = {"silent": _silent, "slow": _slow, "random": _random, "run": _run}.get(job.kind, _call)
    json.dump(did(job), sys.stdout)


def _call(job: Job) -> Latencies:
    method, message = {
        "series": (SERIES, series_request(ACCOUNTS).SerializeToString()),
        "health": (HEALTH, b""),
        "bad": (SERIES, b"\xff" * 100),
        "bomb": (SERIES, b"\x12\x00" * (20 << 20)),  # Of asks without anything in them.
    }[job.kind]
    channels = [_channel(job) for _ in range(job.callers)]
    calls: list[Any] = [channel.unary_unary(method) for channel in channels]
    seen: Latencies = defaultdict(list)
    (_at_a_rate if job.rate else _one_after_another)(job, calls, message, seen)
    for channel in channels:
        channel.close()
    return seen


def _channel(job: Job) -> grpc.Channel:
    options = [("grpc.use_local_subchannel_pool", 1)]
    if job.certificates is None:
        return grpc.insecure_channel(job.target, options)
    names = ("authority.pem", "service.key", "service.pem")
    files = [Path(job.certificates, name).read_bytes() for name in names]
    return grpc.secure_channel(job.target, grpc.ssl_channel_credentials(*files), options)


def _at_a_rate(job: Job, calls: list[Any], message: bytes, seen: Latencies) -> None:
    count = int(job.rate * job.seconds)
    left = threading.Semaphore(0)

    def done(planned: float, answer: Any) -> None:
        seen[answer.code().name].append((time.monotonic() - planned) * 1e3)
        left.release()

    start = time.monotonic()
    for number in range(count):
        planned = start + number / job.rate
        time.sleep(max(0.0, planned - time.monotonic()))
        seen["sent late"].append((time.monotonic() - planned) * 1e3)
        sent = calls[number % len(calls)].future(message, timeout=PATIENCE)
        sent.add_done_callback(partial(done, planned))
    for _ in range(count):
        left.acquire()


def _one_after_another(job: Job, calls: list[Any], message: bytes, seen: Latencies) -> None:
    until = time.monotonic() + job.seconds

    def repeat(call: Any) -> None:
        while (start := time.monotonic()) < until:
            try:
                call(message, timeout=PATIENCE)
                code = "OK"
            except grpc.RpcError as error:
                failed: Any = error
                code = failed.code().name
            seen[code].append((time.monotonic() - start) * 1e3)

    _together(partial(repeat, call) for call in calls)


def _silent(job: Job) -> Latencies:
    """Open streams, of runs and of reflection, and send nothing."""
    stop = threading.Event()

    def nothing() -> Any:
        stop.wait(job.seconds)
        yield from ()

    with grpc.insecure_channel(job.target) as channel:
        opened: list[Any] = [
            channel.stream_stream(RUN if number % 2 else REFLECTION)(nothing())
            for number in range(job.callers)
        ]
        time.sleep(job.seconds)
        stop.set()
        for call in opened:
            call.cancel()
    return {}


def _slow(job: Job) -> Latencies:
    """Send a byte of HTTP/2 now and then."""
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    _connections(job, lambda number: greeting[number % len(greeting) :][:1])
    return {}


def _random(job: Job) -> Latencies:
    """Send bytes that are nothing."""
    choice = random.Random(0)
    _connections(job, lambda _: choice.randbytes(1_000))
    return {}


def _connections(job: Job, sent: Callable[[int], bytes]) -> None:
    host, _, port = job.target.rpartition(":")
    until = time.monotonic() + job.seconds

    def repeat() -> None:
        number = 0
        while time.monotonic() < until:
            try:
                with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
                    while time.monotonic() < until:
                        connection.sendall(sent(number))
                        number += 1
                        time.sleep(0.1)
            except OSError:
                time.sleep(0.1)  # The server has closed it.

    _together(repeat for _ in range(job.callers))


def _run(job: Job) -> Latencies:
    """Send one large run, of as many positions as `callers` says."""
    series = [f"LOAD  991217C{number:08d}" for number in range(1, 1_001)]
    positions = pa.table(
        {
            "series": [series[number % len(series)] for number in range(job.callers)],
            "account": [str(100_000 + number) for number in range(job.callers)],
            "short_quantity": pa.array([5] * job.callers, pa.int64()),
        }
    )
    notices = [
        {"notice_id": f"N{number}", "series": one, "quantity": 3, "occ_account": ""}
        for number, one in enumerate(series[:100])
    ]
    request = series_request(1)
    asks = [
        ExchangeAsk(security_number=ask.security_number, ask_price=ask.ask_price)
        for ask in request.exchange_asks
    ]
    start = time.monotonic()
    with LotteryClient(job.target) as client:
        client.run_lottery(
            business_date=dt.date(2024, 9, 16), asks=asks, notices=notices, positions=positions
        )
    return {"OK": [(time.monotonic() - start) * 1e3]}


def _together(works: Iterator[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
