"""`lottery health`: whether a server serves, for a container's or a supervisor's check."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from server.monitor import HealthServer
from tests.cli.calls import LOOPBACK, fails, lottery, succeeds


@pytest.fixture
def health() -> Iterator[HealthServer]:
    server = HealthServer(LOOPBACK)
    server.start()
    server.report(is_serving=True)
    yield server
    server.stop()


def test_a_server_that_serves_exits_0_and_one_that_drains_75(health: HealthServer) -> None:
    command = ("health", "--listen", f"127.0.0.1:{health.port}")
    text, document = succeeds(lottery, *command)
    assert (text.out, document) == ("SERVING\n", {"status": "SERVING"})
    assert lottery("--json", *command).document == document
    health.drain()
    health.report(is_serving=True)
    answer = lottery(*command)
    assert (answer.exit_code, answer.out) == (75, "NOT_SERVING\n")


def test_its_address_may_come_from_the_servers_own_setting(
    health: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_HEALTH_LISTEN", f"127.0.0.1:{health.port}")
    assert lottery("health").exit_code == 0


def test_if_nobody_answers_it_exits_75() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ("health", "--listen", target)
        text, _ = fails(lottery, *command, exit_code=75, reason="SERVER_AWAY")
    assert text.message == f"no server answers at {target} (UNAVAILABLE) (SERVER_AWAY)"
