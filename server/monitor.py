"""The process for health and metrics: it asks the workers, and no load on them slows it down.

The supervisor starts it. Neither port has TLS or asks who calls.

Invariants:
- Health is SERVING only while a worker answers, and none that listens fails to.
- A worker is asked on a socket of its own, by a call that gRPC's serving thread answers itself.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import grpc
import prometheus_client
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from lottery.errors import quote
from server import processes
from server.binding import OWN_PORT, UNIX, bind, host_and_port

SERVICES: Final = ("", "lottery.v1.LotteryService", "lottery.v1.AuditService")
"""Names that health checks know; the empty one is the server as a whole."""
ASK_SECONDS: Final = 0.5
"""Time in seconds between two rounds of questions."""
ANSWER_SECONDS: Final = 1.0
"""Time in seconds in which a worker answers."""
MISSED: Final = 2
"""Answers that a worker misses before it counts as one that hangs."""
_CONNECTING: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
"""Options of a channel to a worker that was started again."""
_QUESTION: Final = "/lottery.worker/Answer"
"""A method that there is not: gRPC says so by itself."""
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


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
        """Start answering; no service is SERVING yet."""
        self.report(is_serving=False)
        self._server.start()

    def report(self, *, is_serving: bool) -> None:
        """Report every service as SERVING or not, unless it drains."""
        for service in SERVICES:
            self._servicer.set(service, _SERVING if is_serving else _NOT_SERVING)

    def drain(self) -> None:
        """Report every service as NOT_SERVING from now on."""
        self._servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()


class Worker:
    """A worker, as it is seen from here.

    Attributes:
        is_up: Whether it answered the last question.
        missed: How many answers in a row it failed to give, though it listens.
        channel: The channel to it.

    Args:
        number: Its number.
        folder: The server's folder, with its socket.
        options: Further options of the channel.
    """

    def __init__(self, number: int, folder: Path, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.number = number
        self.is_up = False
        self.missed = 0
        self._metrics = folder / f"metrics-{number}"
        self.channel = grpc.insecure_channel(
            f"{UNIX}{folder / f'worker-{number}'}", [*_CONNECTING, *options]
        )
        self._question: Any = self.channel.unary_unary(_QUESTION)

    def ask(self) -> Any:
        """Ask it whether it answers."""
        return self._question.future(b"", timeout=ANSWER_SECONDS)

    def hear(self, asked: Any) -> None:
        """Wait for its answer, or for the time for it to pass."""
        code = getattr(asked.exception(), "code", lambda: None)()
        self.is_up = code is grpc.StatusCode.UNIMPLEMENTED
        self.missed = self.missed + 1 if code is grpc.StatusCode.DEADLINE_EXCEEDED else 0

    def metrics(self) -> str:
        """Return its metrics as text; nothing if it does not answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(self._metrics))
                with connection.makefile("rb") as text:
                    return text.read().decode()
            except OSError:
                return ""


def ask_all(workers: Sequence[Worker]) -> None:
    """Ask workers at once whether they answer, and wait for the answers or their time."""
    asked = [(worker, worker.ask()) for worker in workers]
    for worker, answer in asked:
        worker.hear(answer)


class Monitor:
    """Health and metrics of the workers.

    Args:
        workers: The workers.
        health_listen: The address of the health.
        metrics_listen: The address of the metrics; empty for none.

    Raises:
        OSError: A port is in use.
    """

    def __init__(self, workers: list[Worker], health_listen: str, metrics_listen: str) -> None:
        self._workers = workers
        self._stopped = Event()
        self._thread = Thread(target=self._watch, name="monitor", daemon=True)
        self.health = HealthServer(health_listen)
        self.metrics_port = _serve_metrics(self, metrics_listen) if metrics_listen else None

    def start(self) -> None:
        """Start answering and asking."""
        self.health.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop at once."""
        self._stopped.set()
        self._thread.join()
        self.health.stop()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers, each with its number."""
        answers = GaugeMetricFamily(
            "lottery_worker_up", "Whether the worker answers.", labels=["worker"]
        )
        found: dict[str, Metric] = {}
        for worker in self._workers:
            number = str(worker.number)
            answers.add_metric([number], worker.is_up)
            for family in text_string_to_metric_families(worker.metrics()):
                merged = found.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": number}
                    merged.add_sample(sample.name, labels, sample.value)
        yield answers
        yield from found.values()

    def _watch(self) -> None:
        while not self._stopped.wait(ASK_SECONDS):
            self.ask()

    def ask(self) -> None:
        """Ask all workers, and report what they answer."""
        ask_all(self._workers)
        hangs = any(worker.missed >= MISSED for worker in self._workers)
        is_up = any(worker.is_up or worker.missed for worker in self._workers)
        self.health.report(is_serving=is_up and not hangs)


def _serve_metrics(monitor: Monitor, listen: str) -> int:
    host, port = host_and_port(listen)
    registry: Any = prometheus_client.CollectorRegistry()
    registry.register(monitor)
    try:
        server, _ = prometheus_client.start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OSError(f"cannot bind {quote(listen)}: {error}") from error
    return int(server.server_port)


def main() -> None:
    """Answer until the supervisor ends; each line of standard input asks at once, or drains."""
    orders = processes.begin()
    workers = [Worker(number, orders.folder) for number in range(orders.count)]
    with processes.starting():
        monitor = Monitor(workers, orders.settings.health_listen, orders.settings.metrics_listen)
    processes.report(health_port=monitor.health.port, metrics_port=monitor.metrics_port)
    monitor.start()
    for line in sys.stdin:
        monitor.ask()
        if line == processes.DRAIN:
            monitor.health.drain()
        processes.report(done=line)
    monitor.stop()
