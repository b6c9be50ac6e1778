"""The server as a process: it drains on SIGTERM, and refuses to start where it must not."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server import security
from server.app import create_server
from tests.builders import (
    PUBLISHED,
    made,
    opened,
)
from tests.server.calls import (
    PATIENCE,
    Stream,
    called,
    connected,
    failure_of,
    rows_of,
    run_count,
    run_day,
    serving,
    settings_of,
    spec_of,
    wait_until,
)
from tests.server.processes import environment_of, server_process, start_in_vain


def test_a_call_in_flight_finishes_when_the_server_is_stopped(tmp_path: Path) -> None:
    stream = Stream(spec_of(PUBLISHED))
    with (
        server_process(tmp_path) as server,
        connected(server.port) as stubs,
        grpc.insecure_channel(f"127.0.0.1:{server.serving['health_port']}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        assert health_of(health) == health_pb2.HealthCheckResponse.SERVING
        call = stubs.lottery.RunLottery.future(iter(stream), timeout=PATIENCE)
        assert stream.taken.acquire(timeout=PATIENCE)
        # One connection keeps its order: once this is answered, the server has the call above.
        assert run_count(stubs) == 0

        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: health_of(health) == health_pb2.HealthCheckResponse.NOT_SERVING)
        stream.send(*rows_of(PUBLISHED))
        stream.end()

        assert call.result(PATIENCE).run.run == "2024-09-16-001"
        assert server.process.wait(PATIENCE) == 0
        events = [line["event"] for line in server.lines()]
        # Where no code is kept yet, the first is that it is compiled.
        assert events[-5:] == ["serving", "call", "draining", "call", "stopped"]
        assert set(events[:-5]) - {"compiling"} == {"every local caller is trusted"}
    assert opened(tmp_path / "ledger").get("latest").run == "2024-09-16-001"


def test_a_call_past_the_grace_is_cut_off_and_records_nothing(tmp_path: Path) -> None:
    stream = Stream(spec_of(PUBLISHED), *rows_of(PUBLISHED))
    with (
        server_process(tmp_path, grace_seconds="0") as server,
        connected(server.port) as stubs,
    ):
        call = stubs.lottery.RunLottery.future(iter(stream), timeout=PATIENCE)
        for _ in range(5):
            assert stream.taken.acquire(timeout=PATIENCE)
        assert run_count(stubs) == 0

        server.process.send_signal(signal.SIGTERM)
        failure = failure_of(lambda: call.result(PATIENCE))
        stream.end()

        assert failure.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert server.process.wait(PATIENCE) == 0
    assert list(opened(tmp_path / "ledger").iterate()) == []


def test_an_interrupt_stops_the_server_as_well(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(PATIENCE) == 0
        assert server.has_logged("stopped")


def test_what_one_server_recorded_the_next_one_serves(tmp_path: Path) -> None:
    with called(tmp_path / "ledger") as stubs:
        first = run_day(stubs, PUBLISHED)
    with called(tmp_path / "ledger") as stubs:
        again = run_day(stubs, PUBLISHED)

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert again.run == first.run


@pytest.mark.parametrize(
    ("trust", "warning"),
    [("ann:operator", "every local caller is trusted"), ("", "nobody has a role")],
)
def test_the_log_says_at_the_start_who_is_trusted(tmp_path: Path, trust: str, warning: str) -> None:
    with server_process(tmp_path, trust_local=trust) as server:
        warnings = [line for line in server.lines() if line["level"] == "warning"]

    assert [line["event"] for line in warnings] == [warning]
    if trust:
        assert ":".join(warnings[0][name] for name in ("name", "roles")) == trust


def test_a_second_server_on_a_port_refuses_to_start(tmp_path: Path) -> None:
    with serving(tmp_path / "first") as server:
        taken = f"127.0.0.1:{server.port}"

        made(tmp_path / "second")
        second = start_in_vain(environment_of(tmp_path / "second", listen=taken))

        assert second.returncode == 2, second.stderr
        (line,) = problems_of(second.stderr)
        assert taken in line["problem"]


def test_no_port_is_shared_with_another_server(tmp_path: Path) -> None:
    made(tmp_path / "second")
    with server_process(tmp_path) as server:
        for setting in ("listen", "health_listen", "metrics_listen"):
            taken = f"127.0.0.1:{server.serving[setting.replace('listen', 'port')]}"

            second = start_in_vain(environment_of(tmp_path / "second", **{setting: taken}))

            assert second.returncode == 2, second.stderr
            (line,) = problems_of(second.stderr)
            assert taken in line["problem"]


@pytest.mark.parametrize("setting", ["listen", "health_listen", "metrics_listen"])
@pytest.mark.parametrize("address", ["192.0.2.1:0", "nowhere.invalid:0"])
def test_an_address_that_is_not_of_this_machine_is_refused(
    tmp_path: Path, setting: str, address: str
) -> None:
    made(tmp_path / "ledger")

    refused = start_in_vain(
        environment_of(
            tmp_path / "ledger",
            **{setting: address},
            trust_local="",
            allow_insecure_public="true",
        )
    )

    assert refused.returncode == 2
    (line,) = problems_of(refused.stderr)
    assert address in line["problem"]


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
def test_listening_beyond_loopback_without_tls_is_refused_by_name(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(security.InsecureListen) as refused:
        create_server(settings_of(tmp_path / "ledger", listen=address))

    assert address in str(refused.value)
    assert "LOTTERY_TLS_CERTIFICATE" in str(refused.value)
    assert "LOTTERY_ALLOW_INSECURE_PUBLIC" in str(refused.value)


def test_a_server_beyond_loopback_without_tls_exits_2(tmp_path: Path) -> None:
    refused = start_in_vain(environment_of(tmp_path / "ledger", listen="0.0.0.0:0"))

    assert refused.returncode == 2
    (line,) = problems_of(refused.stderr)
    assert "LOTTERY_ALLOW_INSECURE_PUBLIC" in line["problem"]
    assert not (tmp_path / "ledger").exists()


def test_listening_beyond_loopback_without_tls_can_be_allowed(tmp_path: Path) -> None:
    # Nothing is bound here: the tests' sockets stay on loopback.
    settings = settings_of(
        tmp_path / "ledger", listen="0.0.0.0:0", allow_insecure_public=True, trust_local=None
    )

    assert security.certificates(settings) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "127.8.8.8:50051", "localhost:0", "[::1]:0", "unix:/run/lottery"]
)
def test_loopback_needs_no_tls(tmp_path: Path, address: str) -> None:
    assert security.certificates(settings_of(tmp_path / "ledger", listen=address)) is None


@pytest.mark.parametrize("name", ["nowhere", "empty", "file/ledger"])
def test_a_server_never_makes_a_ledger_and_names_what_does(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "empty").mkdir()
    before = set(tmp_path.rglob("*"))

    refused = start_in_vain(environment_of(tmp_path / name))

    assert refused.returncode == 2
    (line,) = problems_of(refused.stderr)
    assert "lottery init" in line["problem"]
    assert set(tmp_path.rglob("*")) == before


def test_a_starting_server_publishes_what_was_committed_and_not_published(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger")
    before = {
        path: path.read_bytes() for path in (tmp_path / "ledger/log").rglob("*") if path.is_file()
    }
    shutil.rmtree(tmp_path / "ledger/log")
    with called(tmp_path / "ledger"):
        pass

    assert {path: path.read_bytes() for path in before} == before
    ledger.close()


def health_of(stub: Any) -> int:
    status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status
    return status


def problems_of(stderr: str) -> list[dict[str, Any]]:
    """Return the log lines of a server that did not start, without those of gRPC's core."""
    lines = [json.loads(line) for line in stderr.splitlines() if not line.startswith("E")]
    assert {line["event"] for line in lines} == {"not started"}
    return lines
