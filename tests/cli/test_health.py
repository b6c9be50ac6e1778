"""`lottery health`: whether a server serves, for a container's or a supervisor's check."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import LotteryServer, create_server
from server.settings import Settings
from tests.cli.calls import LOOPBACK, lottery


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LotteryServer]:
    made = create_server(
        Settings(
            listen=LOOPBACK,
            health_listen=LOOPBACK,
            metrics_listen="",
            ledger=tmp_path / "ledger",
        )
    )
    made.start()
    yield made
    made.stop()


def test_a_server_that_serves_exits_0(server: LotteryServer) -> None:
    answer = lottery("health", "--listen", f"127.0.0.1:{server.health.port}")
    assert (answer.exit_code, answer.out, answer.err) == (0, "SERVING\n", "")


def test_a_server_that_drains_exits_75(server: LotteryServer) -> None:
    server.health.drain()
    answer = lottery("health", "--listen", f"127.0.0.1:{server.health.port}")
    assert (answer.exit_code, answer.out) == (75, "NOT_SERVING\n")


def test_where_nobody_answers_it_exits_75() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = lottery("health", "--listen", target)
    assert (answer.exit_code, answer.out) == (75, "")
    assert answer.told == f"no server answers at {target} (UNAVAILABLE) (SERVER_AWAY)"


def test_its_place_may_come_from_the_servers_own_setting(
    server: LotteryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_HEALTH_LISTEN", f"127.0.0.1:{server.health.port}")
    assert lottery("health").exit_code == 0


@pytest.mark.parametrize("place", ["before", "behind"])
def test_health_is_one_document_where_json_is_asked_for(server: LotteryServer, place: str) -> None:
    command = ["health", "--listen", f"127.0.0.1:{server.health.port}"]
    answer = lottery("--json", *command) if place == "before" else lottery(*command, "--json")
    assert answer.exit_code == 0
    assert answer.document == {"status": "SERVING"}


def test_no_answer_is_one_document_where_json_is_asked_for() -> None:
    answer = lottery("--json", "health", "--listen", "127.0.0.1:1")
    assert answer.exit_code == 75
    assert answer.document["reason"] == "SERVER_AWAY"
