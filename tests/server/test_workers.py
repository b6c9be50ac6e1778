"""Several workers on one port: they are started again, watched, and share one limit of memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lottery.errors import LimitExceeded, Overloaded
from lottery.operations.inputs import PROCESS_BYTES
from server.budget import Budget
from server.processes import Orders
from server.reservations import Reservations
from server.settings import WORKER_BYTES, Settings, processors
from tests.builders import PUBLISHED, made
from tests.server.calls import (
    PATIENCE,
    connected,
    run_count,
    run_day,
    series_request,
    wait_until,
)
from tests.server.processes import ServerProcess, server_process

MEBIBYTE = 1 << 20


def test_the_supervisor_and_its_settings_load_no_grpc() -> None:
    loaded = "import sys, server.__main__; print('grpc' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_workers_that_are_killed_are_started_again_and_the_log_says_so(tmp_path: Path) -> None:
    with server_process(tmp_path, processes="2") as server:
        before = set(server.workers())
        assert len(before) == 2
        with connected(server.port) as stubs:
            assert run_day(stubs, PUBLISHED).run.run == "2024-09-16-001"

        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: deaths(server) == {0, 1} and len(set(server.workers())) == 2)

        assert not before & set(server.workers())
        wait_until(lambda: answers(server))
        with connected(server.port) as stubs:
            again = run_day(stubs, PUBLISHED)
        assert (again.run.run, again.already_recorded) == ("2024-09-16-001", True)


def test_when_the_supervisor_is_killed_everything_ends(tmp_path: Path) -> None:
    with server_process(tmp_path, processes="2") as server:
        workers = set(server.workers())

        server.process.kill()

        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        with socket.socket() as free:
            free.bind(("127.0.0.1", server.port))


def test_health_is_not_serving_while_a_worker_hangs_and_answers_all_the_same(
    tmp_path: Path,
) -> None:
    with (
        server_process(tmp_path, processes="2") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.serving['health_port']}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        hanging = next(iter(set(server.workers())))
        assert is_serving(health)

        os.kill(hanging, signal.SIGSTOP)
        try:
            wait_until(lambda: not is_serving(health))
            assert metric(server, "lottery_worker_up") == {0.0, 1.0}
        finally:
            os.kill(hanging, signal.SIGCONT)

        wait_until(lambda: is_serving(health))


def test_a_server_on_ipv4_loopback_is_not_reached_over_ipv6(tmp_path: Path) -> None:
    with server_process(tmp_path, processes="1") as server:
        for port in ("port", "health_port", "metrics_port"):
            with pytest.raises(OSError, match=r"refused|unavailable|assign"):
                socket.create_connection(("::1", server.serving[port]), timeout=PATIENCE)


def test_a_unix_socket_has_one_worker_and_the_log_says_so(tmp_path: Path) -> None:
    address = f"unix:{os.path.relpath(tmp_path / 'socket')}"
    with server_process(tmp_path, processes="2", listen=address) as server:
        assert len(set(server.workers())) == 1
        assert server.has_logged("one worker")
        with grpc.insecure_channel(address) as channel:
            call: Any = channel.unary_unary("/lottery.v1.LotteryService/ListRuns")
            assert call(b"", timeout=PATIENCE) == b""


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({"processes": 5}, 5),
        ({"memory_limit_bytes": 1}, 1),
        ({"memory_limit_bytes": 1_000 * WORKER_BYTES}, processors()),
    ],
    ids=["set", "little memory", "much memory"],
)
def test_there_is_a_worker_for_each_processor_that_memory_allows(
    given: dict[str, Any], count: int
) -> None:
    assert Settings(**given).process_count() == count


def test_runs_of_all_workers_reserve_from_one_limit(tmp_path: Path) -> None:
    budgets = [budget_of(tmp_path, worker, free=100 * MEBIBYTE) for worker in range(2)]
    with budgets[0].day() as first, budgets[1].day() as second:
        first.check("positions", 30 * MEBIBYTE)
        first.check("positions", 60 * MEBIBYTE)
        second.check("positions", 40 * MEBIBYTE)
        with pytest.raises(Overloaded, match="try again"):
            second.check("notices", 1)
        with pytest.raises(LimitExceeded):
            second.check("notices", 101 * MEBIBYTE)

    with budgets[1].day() as third:
        third.check("positions", 100 * MEBIBYTE)


def test_what_a_dead_worker_reserved_is_given_back(tmp_path: Path) -> None:
    dead, other = (budget_of(tmp_path, worker, free=100 * MEBIBYTE) for worker in range(2))
    with dead.day() as killed:
        killed.check("positions", 100 * MEBIBYTE)
        reservations = Reservations(tmp_path, 2)
        reservations.clear(0)

        with other.day() as day:
            day.check("positions", 100 * MEBIBYTE)
    reservations.close()


def budget_of(folder: Path, worker: int, *, free: int) -> Budget:
    """Return the budget of one of two workers, whose runs have so much."""
    limit = 2 * PROCESS_BYTES + free
    reservations = Reservations(folder, 2)
    return Budget(limit_bytes=limit, reservations=reservations, count=2, worker=worker)


def deaths(server: ServerProcess) -> set[int]:
    """Return the numbers of the workers that the log says have died."""
    return {line["worker"] for line in server.lines() if line["event"] == "worker died"}


def answers(server: ServerProcess) -> bool:
    """Return whether a new connection is served."""
    with connected(server.port) as stubs:
        try:
            stubs.lottery.AllocateSeries(series_request(), timeout=PATIENCE)
        except grpc.RpcError:
            return False
        return run_count(stubs) == 1


def is_serving(health: Any) -> bool:
    status = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status
    return bool(status == health_pb2.HealthCheckResponse.SERVING)


def metric(server: ServerProcess, name: str) -> set[float]:
    """Return the values of a metric."""
    address = f"http://127.0.0.1:{server.serving['metrics_port']}/metrics"
    with urllib.request.urlopen(address, timeout=PATIENCE) as response:
        lines = response.read().decode().splitlines()
    return {float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{")}


def test_a_worker_whose_supervisor_ended_before_it_served_ends_too(tmp_path: Path) -> None:
    made(tmp_path / "ledger").close()
    settings = Settings(listen="127.0.0.1:0", ledger=str(tmp_path / "ledger"))
    orders = Orders(settings=settings, folder=tmp_path, count=1, number=0)
    process = subprocess.Popen(
        [sys.executable, "-c", "from server.worker import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(orders.to_line())
        process.stdin.close()
        try:
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
