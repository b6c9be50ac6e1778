"""JSON over HTTP: it answers as gRPC does, whoever asks, and refuses as clearly."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import status_pb2

from lottery.ledger.entry import read_run
from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_service_pb2 as pb
from lottery.web.app import BODY_BYTES
from lottery.web.statuses import as_json
from tests.builders import ASKS, FULL, PUBLISHED, made
from tests.server.calls import (
    asks_of,
    connected,
    messages_of,
    run_messages,
    series_request,
    wait_until,
)
from tests.server.over_http import (
    BINDINGS,
    answered,
    ask,
    client_of,
    over_grpc,
    reason,
)
from tests.server.processes import ServerProcess, environment_of, server_process, start_in_vain
from tests.server.test_servicers import ANSWERS, REFUSALS, RUN

ROOT: Final = Path(__file__).parents[2]
HTTP: Final[dict[str, Any]] = {"http_listen": "127.0.0.1:0"}
DERIVE: Final = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))
REQUESTS: Final = [
    request
    for request, *_ in (*ANSWERS, *REFUSALS)
    if isinstance(request, Message) and request.DESCRIPTOR.full_name in BINDINGS
]
"""Every message that the tests of the servicers send, if its RPC has a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with two workers and one run, and how it is reached over gRPC and over HTTP."""

    server: ServerProcess
    channel: grpc.Channel
    http: httpx.Client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        server_process(tmp_path_factory.mktemp("http"), processes="2", **HTTP) as server,
        connected(server.port) as stubs,
        client_of(server) as client,
    ):
        run_messages(stubs, messages_of(FULL))
        yield Place(server=server, channel=stubs.channel, http=client)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.DESCRIPTOR.name)
def test_an_rpc_answers_over_http_what_it_answers_over_grpc(
    place: Place, request_: Message
) -> None:
    expected = over_grpc(place.channel, request_)

    response = ask(place.http, request_)

    assert response.headers["content-type"] == "application/json"
    if isinstance(expected, status_pb2.Status):
        assert response.json() == json.loads(as_json(expected))
        assert response.is_client_error
    else:
        assert settled(answered(request_, response)) == settled(expected)


def settled(answer: Message) -> Message:
    """Return an answer without the free bytes of the disk, to which others write meanwhile."""
    if isinstance(answer, audit.GetStatusResponse):
        assert answer.limits.free_bytes > 0
        answer.limits.ClearField("free_bytes")
    return answer


def test_every_rpc_that_has_a_path_is_asked_here() -> None:
    asked = {request.DESCRIPTOR.full_name for request in REQUESTS}

    # It records: below.
    assert asked == BINDINGS.keys() - {"lottery.v1.WithdrawRunRequest"}


def test_an_rpc_that_streams_has_no_path(place: Place) -> None:
    for path in ("/v1/days/2024-09-16", f"/v1/runs/{RUN}/allocations", f"/v1/runs/{RUN}:export"):
        response = place.http.get(path)
        assert response.status_code == httpx.codes.NOT_FOUND
        assert response.json()["details"]
    assert place.http.post("/v1/runs", json={}).status_code == httpx.codes.METHOD_NOT_ALLOWED


def test_the_server_describes_what_it_answers(place: Place) -> None:
    described = place.http.get("/openapi.json")

    assert described.headers["content-type"] == "application/json"
    assert described.text == (ROOT / "lottery" / "web" / "openapi.json").read_text("utf-8")


def test_a_run_is_withdrawn_over_http_and_the_record_says_from_where(tmp_path: Path) -> None:
    request = pb.WithdrawRunRequest(run="latest", reason="OCC took the notices back")
    with (
        server_process(tmp_path, **HTTP) as server,
        connected(server.port) as stubs,
        client_of(server) as client,
    ):
        run_messages(stubs, messages_of(PUBLISHED))
        first = answered(request, ask(client, request))
        again = over_grpc(stubs.channel, pb.WithdrawRunRequest(run=RUN, reason=request.reason))

    assert isinstance(first, pb.WithdrawRunResponse)
    assert isinstance(again, pb.WithdrawRunResponse)
    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert first.run == again.run
    by = read_run(first.run.record).requested_by
    assert (by.kind, by.name) == ("local", "tester")
    assert by.host.startswith("ipv4:127.0.0.1:")


def test_what_is_none_of_the_request_is_refused_with_every_problem(place: Place) -> None:
    given = {"exchange_asks": [{"security_number": 1, "price": "1"}], "bar": {}}

    refused = place.http.post("/v1:deriveSeed", json=given)

    assert reason(refused) == (400, "INVALID_ARGUMENT", "INVALID_INPUT")
    (bad,) = refused.json()["details"][1:]
    assert bad["@type"].endswith("google.rpc.BadRequest")
    assert [one["field"] for one in bad["field_violations"]] == [
        *("bar", "exchange_asks[0].security_number", "exchange_asks[0].price"),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"),
        *("application/json; charset=latin-1", "application/json; charset*", "text/json"),
    ],
)
def test_a_body_of_another_type_is_refused(place: Place, kind: str) -> None:
    refused = place.http.post("/v1:deriveSeed", content=b"{}", headers={"Content-Type": kind})

    assert reason(refused) == (415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(place: Place) -> None:
    lines = (
        "POST /v1:deriveSeed HTTP/1.1",
        f"Host: 127.0.0.1:{place.server.serving['http_port']}",
        "Content-Type: application/json",
        f"Content-Length: {BODY_BYTES + 1}",
    )
    address = ("127.0.0.1", place.server.serving["http_port"])
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        said = connection.recv(1_000)

    assert said.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_turns_out_too_large_is_refused(place: Place) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(BODY_BYTES // 65_536 + 1):
            yield b" " * 65_536

    refused = place.http.post(
        "/v1:deriveSeed", content=parts(), headers={"Content-Type": "application/json"}
    )

    assert reason(refused) == (413, "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")


@pytest.mark.parametrize("kind", ["application/json;charset=UTF-8", "Application/JSON"])
def test_a_type_is_json_however_it_is_written(place: Place, kind: str) -> None:
    content = json_format.MessageToJson(DERIVE)

    answer = place.http.post("/v1:deriveSeed", content=content, headers={"Content-Type": kind})

    assert answered(DERIVE, answer) == over_grpc(place.channel, DERIVE)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e3", "4000", "soon"])
def test_a_time_that_is_none_is_refused(place: Place, seconds: str) -> None:
    refused = ask(place.http, DERIVE, **{"X-Server-Timeout": seconds})

    assert reason(refused) == (400, "INVALID_ARGUMENT", "INVALID_INPUT")
    assert "X-Server-Timeout" in refused.json()["message"]


def test_a_call_that_takes_longer_than_its_caller_waits_is_ended(place: Place) -> None:
    ended = ask(place.http, audit.VerifyLedgerRequest(), **{"X-Server-Timeout": "0.001"})

    assert reason(ended) == (504, "DEADLINE_EXCEEDED", "TOO_LATE")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "lottery.evil.example"}, (421, "PERMISSION_DENIED", "FOREIGN_HOST")),
        ({"Host": "[::1"}, (421, "PERMISSION_DENIED", "FOREIGN_HOST")),
        ({"Origin": "https://evil.example"}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
        ({"Origin": "null"}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
        ({"Origin": "http://["}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
        ({"Origin": "http://127.0.0.1:1"}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
        ({"Sec-Fetch-Site": "cross-site"}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
        ({"Sec-Fetch-Site": "same-site"}, (403, "PERMISSION_DENIED", "FOREIGN_ORIGIN")),
    ],
)
def test_a_page_of_another_site_reaches_nothing(
    place: Place, headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    assert reason(place.http.get("/v1/runs", headers=headers)) == expected
    posted = place.http.post("/v1:deriveSeed", json={}, headers=headers)
    assert reason(posted) == expected
    assert not {name for name in posted.headers if name.startswith("access-control-")}


def test_a_page_of_this_site_reaches_what_others_reach(place: Place) -> None:
    own = {"Origin": str(place.http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}

    assert ask(place.http, DERIVE, **own).status_code == httpx.codes.OK
    local = {"Host": f"localhost:{place.server.serving['http_port']}"}
    assert ask(place.http, DERIVE, **local).status_code == httpx.codes.OK


def test_every_answer_tells_a_browser_to_keep_and_to_run_nothing(place: Place) -> None:
    for path in ("/v1/runs", "/v1/none", "/openapi.json"):
        headers = place.http.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    page = place.http.get("/v1/none", headers={"Sec-Fetch-Mode": "navigate"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "there is no such path" in page.text


def test_a_trace_goes_on_and_a_call_over_http_has_its_line_in_the_log(place: Place) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    before = len(place.server.lines())

    for given in (trace, "no trace"):
        assert ask(place.http, DERIVE, traceparent=given).status_code == httpx.codes.OK

    wait_until(lambda: len(place.server.lines()) >= before + 2)
    lines = place.server.lines()[before:]
    assert [line["method"] for line in lines if line["event"] == "call"] == ["DeriveSeed"] * 2


def test_workers_take_turns_and_one_that_hangs_is_passed_by(place: Place) -> None:
    hanging = place.server.workers()[0]
    before = len(place.server.lines())
    os.kill(hanging, signal.SIGSTOP)
    try:
        wait_until(lambda: all(answers_at_once(place.http) for _ in range(4)))
    finally:
        os.kill(hanging, signal.SIGCONT)

    def seen() -> set[int]:
        assert ask(place.http, DERIVE).status_code == httpx.codes.OK
        return {line["worker"] for line in place.server.lines()[before:] if "method" in line}

    wait_until(lambda: seen() == {0, 1})


def answers_at_once(client: httpx.Client) -> bool:
    seconds = {"X-Server-Timeout": "1"}
    return ask(client, DERIVE, **seconds).status_code == httpx.codes.OK


def test_where_no_worker_answers_the_caller_is_told_to_try_again(tmp_path: Path) -> None:
    with server_process(tmp_path, processes="1", **HTTP) as server, client_of(server) as client:
        assert ask(client, DERIVE).status_code == httpx.codes.OK
        found = []

        def refused() -> bool:
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)
            found.append(ask(client, DERIVE))
            return found[-1].status_code != httpx.codes.OK

        wait_until(refused)
        assert reason(found[-1]) == (503, "UNAVAILABLE", "SERVER_AWAY")
        assert found[-1].headers["retry-after"] == "1"
        assert str(tmp_path) not in found[-1].text
        assert "unix:" not in found[-1].text
        wait_until(lambda: ask(client, DERIVE).status_code == httpx.codes.OK)


def test_a_door_that_is_killed_is_started_again_on_its_port(tmp_path: Path) -> None:
    with server_process(tmp_path, **HTTP) as server, client_of(server) as client:
        assert ask(client, DERIVE).status_code == httpx.codes.OK

        os.kill(door_of(server), signal.SIGKILL)
        wait_until(lambda: server.has_logged("web died"))

        wait_until(lambda: is_reached(client))
        with connected(server.port) as stubs:
            stubs.lottery.AllocateSeries(series_request())


def test_a_server_that_is_stopped_ends_its_door_too(tmp_path: Path) -> None:
    with server_process(tmp_path, **HTTP) as server, client_of(server) as client:
        assert ask(client, DERIVE).status_code == httpx.codes.OK
        door = door_of(server)
        os.kill(door, signal.SIGTERM)  # As a terminal sends it to all: only the supervisor stops.
        assert ask(client, DERIVE).status_code == httpx.codes.OK

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(60) == 0
        assert not Path(f"/proc/{door}").exists()
        assert not is_reached(client)
        assert server.lines()[-1]["event"] == "stopped"


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:0"])
def test_http_beyond_loopback_without_tls_is_refused(tmp_path: Path, address: str) -> None:
    made(tmp_path / "ledger").close()

    refused = start_in_vain(
        environment_of(tmp_path / "ledger", trust_local="", http_listen=address)
    )

    assert refused.returncode == 2
    (line,) = [json.loads(line) for line in refused.stderr.splitlines()]
    assert address in line["problem"]
    assert "LOTTERY_ALLOW_INSECURE_PUBLIC" in line["problem"]


def test_local_callers_are_not_trusted_where_http_is_reached_from_elsewhere(tmp_path: Path) -> None:
    made(tmp_path / "ledger").close()
    public = {"http_listen": "0.0.0.0:0", "allow_insecure_public": "true"}

    refused = start_in_vain(environment_of(tmp_path / "ledger", **public))

    assert refused.returncode == 2
    assert "expected LOTTERY_TRUST_LOCAL on loopback" in refused.stderr


def test_a_port_of_http_that_is_taken_is_refused(place: Place, tmp_path: Path) -> None:
    made(tmp_path / "ledger").close()
    taken = f"127.0.0.1:{place.server.serving['http_port']}"

    refused = start_in_vain(environment_of(tmp_path / "ledger", http_listen=taken))

    assert refused.returncode == 2
    assert f"cannot bind '{taken}'" in refused.stderr


def test_services_on_a_unix_socket_are_reached_over_http(tmp_path: Path) -> None:
    address = f"unix:{os.path.relpath(tmp_path / 'socket')}"

    with (
        server_process(tmp_path, listen=address, **HTTP) as server,
        client_of(server) as client,
        grpc.insecure_channel(address) as channel,
    ):
        assert answered(DERIVE, ask(client, DERIVE)) == over_grpc(channel, DERIVE)


def test_without_what_http_needs_a_server_says_what_to_install(tmp_path: Path) -> None:
    made(tmp_path / "ledger").close()
    (tmp_path / "uvicorn.py").write_text("raise ImportError")
    environment = environment_of(tmp_path / "ledger", **HTTP)

    refused = start_in_vain({**environment, "PYTHONPATH": f"{tmp_path}:{ROOT}"})

    assert refused.returncode == 2
    (line,) = [json.loads(line) for line in refused.stderr.splitlines()]
    assert line["problem"] == "uvicorn is not installed; run pip install 'uvicorn>=0.54'"


def door_of(server: ServerProcess) -> int:
    """Return the process id of a server's door over HTTP."""
    (pid,) = server.children("server.web")
    return pid


def is_reached(client: httpx.Client) -> bool:
    try:
        response: Any = ask(client, DERIVE)
    except httpx.TransportError:
        return False
    return bool(response.status_code == httpx.codes.OK)
