"""One kind of callers, in a process of its own: `python -m bench.load_caller JOB`.

It says `ready`, begins when its standard input has a line, and prints the milliseconds of its calls
by their code as JSON. Calls without TLS are sent by `bench.open_loop`, whose callers leave the
processors to the server; the others by gRPC's own client.
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
import numpy as np
import pyarrow as pa

from bench.open_loop import call_at_rate
from bench.series_server import series_request
from lottery.client import LotteryClient

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
        kind: `series`, `health`, `bad`, `bomb`, `silent`, `slow`, `random`, `handshakes` or `run`.
        target: HOST:PORT.
        seconds: For how long.
        rate: Calls a second; 0 sends the next call after the last one.
        callers: How many callers, each with a connection of its own; the positions of a run.
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
    call: Callable[[Job], Latencies] = {
        "bomb": _bombs,
        "silent": _silent,
        "slow": _slow,
        "random": _random,
        "handshakes": _handshakes,
    }.get(job.kind, _call)
    work = _prepared_runs(job) if job.kind == "run" else partial(call, job)
    print("ready", flush=True)
    sys.stdin.readline()
    json.dump(work(), sys.stdout)


def _call(job: Job) -> Latencies:
    method, message = {
        "series": (SERIES, series_request(ACCOUNTS).SerializeToString()),
        "health": (HEALTH, b""),
        "bad": (SERIES, b"\xff" * 100),
    }[job.kind]
    if job.certificates is not None:
        return _one_after_another(job, method, message)
    return call_at_rate(
        job.target,
        method,
        message,
        connections=job.callers,
        seconds=job.seconds,
        rate=job.rate,
    )


def _bombs(job: Job) -> Latencies:
    """Send messages of 40 MiB: of asks without anything in them."""
    return _one_after_another(job, SERIES, b"\x12\x00" * (20 << 20))


def _channel(job: Job) -> grpc.Channel:
    options = [("grpc.use_local_subchannel_pool", 1)]
    if job.certificates is None:
        return grpc.insecure_channel(job.target, options)
    names = ("authority.pem", "service.key", "service.pem")
    files = [Path(job.certificates, name).read_bytes() for name in names]
    return grpc.secure_channel(job.target, grpc.ssl_channel_credentials(*files), options)


def _one_after_another(job: Job, method: str, message: bytes) -> Latencies:
    """Have each caller send its next call when the last one is answered."""
    seen: Latencies = defaultdict(list)
    until = time.monotonic() + job.seconds

    def repeat() -> None:
        with _channel(job) as channel:
            call: Any = channel.unary_unary(method)
            while time.monotonic() < until:
                _measure(call, message, seen)

    _together(repeat for _ in range(job.callers))
    return seen


def _handshakes(job: Job) -> Latencies:
    """Connect anew for each of so many calls, a caller after the other, over all the time."""
    message = series_request(ACCOUNTS).SerializeToString()
    seen: Latencies = defaultdict(list)
    start = time.monotonic()
    count = int(job.rate * job.seconds)

    def repeat(caller: int) -> None:
        for number in range(caller, count, job.callers):
            time.sleep(max(0.0, start + number / job.rate - time.monotonic()))
            with _channel(job) as channel:
                _measure(channel.unary_unary(SERIES), message, seen)

    _together(partial(repeat, caller) for caller in range(job.callers))
    return seen


def _measure(call: Any, message: bytes, seen: Latencies) -> None:
    start = time.monotonic()
    try:
        call(message, timeout=PATIENCE)
        code = "OK"
    except grpc.RpcError as error:
        failed: Any = error
        code = failed.code().name
    seen[code].append((time.monotonic() - start) * 1e3)


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


def _prepared_runs(job: Job) -> Callable[[], Latencies]:
    """Return what records large runs, a date after the other, until the time is over."""
    series = [f"LOAD  991217C{number:08d}" for number in range(1, 1_001)]
    rows = np.arange(job.callers)
    positions = pa.table(
        {
            "series": pa.array(series).take(pa.array(rows % len(series))),
            "account": pa.array(100_000 + rows).cast(pa.string()),
            "short_quantity": pa.array(np.full(job.callers, 5)),
        }
    )

    def record() -> Latencies:
        times: list[float] = []
        until = time.monotonic() + job.seconds
        with LotteryClient(job.target) as client:
            while not times or time.monotonic() < until:
                number, begun = len(times), time.monotonic()
                week, day = divmod(number, 5)
                client.run_lottery(
                    business_date=dt.date(2024, 10, 7) + dt.timedelta(7 * week + day),
                    # No two dates have the same volumes or notices, which would hold a run.
                    asks={
                        ask.security_number: f"{ask.ask_price[:-2]}{number:02d}"
                        for ask in series_request(1).exchange_asks
                    },
                    notices=[
                        {"notice_id": f"N{number}-{one}", "series": one, "quantity": 3}
                        for one in series[:100]
                    ],
                    positions=positions,
                )
                times.append((time.monotonic() - begun) * 1e3)
        return {"OK": times}

    return record


def _together(works: Iterator[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
