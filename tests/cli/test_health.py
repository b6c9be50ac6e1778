"""`lottery health`: whether a server serves, for a container's or a supervisor's check."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import LotteryServer, create_server
from server.settings import Settings
from tests.builders import made
from tests.cli.calls import LOOPBACK, fails, lottery, succeeds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LotteryServer]:
    made(tmp_path / "ledger")
    ledger = str(tmp_path / "ledger")
    server = create_server(
        Settings(listen=LOOPBACK, health_listen=LOOPBACK, metrics_listen="", ledger=ledger)
    )
    server.start()
    yield server
    server.stop()


def test_a_server_that_serves_exits_0_and_one_that_drains_75(server: LotteryServer) -> None:
    command = ("health", "--listen", f"127.0.0.1:{server.health.port}")
    text, document = succeeds(lottery, *command)
    assert (text.out, document) == ("SERVING\n", {"status": "SERVING"})
    assert lottery("--json", *command).document == document
    server.health.drain()
    answer = lottery(*command)
    assert (answer.exit_code, answer.out) == (75, "NOT_SERVING\n")


def test_its_address_may_come_from_the_servers_own_setting(
    server: LotteryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_HEALTH_LISTEN", f"127.0.0.1:{server.health.port}")
    assert lottery("health").exit_code == 0


def test_if_nobody_answers_it_exits_75() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        command = ("health", "--listen", target)
        text, _ = fails(lottery, *command, exit_code=75, reason="SERVER_AWAY")
    assert text.message == f"no server answers at {target} (UNAVAILABLE) (SERVER_AWAY)"
