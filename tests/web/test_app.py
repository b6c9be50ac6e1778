"""The application over a socket, with routes and services that fail, wait and answer too much."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, Final

import grpc
import httpx
import pytest
import structlog
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lottery.v1 import lottery_service_pb2 as pb
from lottery.web import PEER_KEY, app
from lottery.web.api import api_routes
from server.binding import listening
from tests.server.calls import LOOPBACK, PATIENCE, wait_until
from tests.server.over_http import reason

TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@contextmanager
def serving(routes: list[Route]) -> Iterator[httpx.Client]:
    """Serve routes during the block, and return a client of them."""
    listener = listening(LOOPBACK)
    config = uvicorn.Config(
        app.create_app(routes, hosts=None),
        log_config=None,
        ws="none",
        lifespan="off",
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def api_of(
    behaviour: Callable[[pb.ListRunsRequest, grpc.ServicerContext], pb.ListRunsResponse],
    options: list[tuple[str, int]] | None = None,
) -> Iterator[httpx.Client]:
    """Serve the API in front of a service that lists runs in this way, and does nothing else."""
    handler: Any = grpc.unary_unary_rpc_method_handler(
        behaviour, pb.ListRunsRequest.FromString, pb.ListRunsResponse.SerializeToString
    )
    with futures.ThreadPoolExecutor(2) as threads:
        service = grpc.server(threads)
        service.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "lottery.v1.LotteryService", {"ListRuns": handler}
                ),
            )
        )
        port = service.add_insecure_port(LOOPBACK)
        service.start()
        try:
            with (
                grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel,
                serving(api_routes(lambda: channel)) as client,
            ):
                yield client
        finally:
            service.stop(None).wait()


def test_what_nobody_expected_is_logged_and_reveals_nothing() -> None:
    def fail(_: Request) -> Response:
        raise RuntimeError("account 1046")

    with structlog.testing.capture_logs() as lines, serving([Route("/fail", fail)]) as client:
        failed = client.get("/fail")

    assert reason(failed) == (500, "INTERNAL", "SERVER_FAILED")
    assert "1046" not in failed.text
    assert failed.headers["cache-control"] == "no-store"
    assert [line["event"] for line in lines] == ["unexpected error"]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)

    async def read(request: Request) -> Response:
        return Response(await request.body())

    with serving([Route("/read", read, methods=["POST"])]) as client:
        address = client.base_url.host, client.base_url.port
        with socket.create_connection(address, timeout=PATIENCE) as silent:
            silent.sendall(b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nsome")
            said = silent.recv(1_000)
        assert client.post("/read", content=b"something").content == b"something"

    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_length_that_is_no_number_is_refused() -> None:
    with serving([]) as client:
        address = client.base_url.host, client.base_url.port
        with socket.create_connection(address, timeout=PATIENCE) as sender:
            sender.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n")
            assert sender.recv(1_000).startswith(b"HTTP/1.1 4")


def test_a_route_may_say_for_itself_what_a_browser_may_do_with_its_answer() -> None:
    def answer(_: Request) -> Response:
        return Response(headers={"Cache-Control": "no-cache"})

    with serving([Route("/", answer)]) as client:
        assert client.get("/").headers["cache-control"] == "no-cache"


def test_the_services_are_told_token_trace_and_address_of_the_caller_and_no_more() -> None:
    told: list[dict[str, str | bytes]] = []

    def listing(_: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        told.append(dict(context.invocation_metadata()))
        return pb.ListRunsResponse()

    shown = {"Authorization": "Bearer abc", "traceparent": TRACE, "Cookie": "a=b", PEER_KEY: "me"}
    with api_of(listing) as client:
        assert client.get("/v1/runs", headers=shown).status_code == httpx.codes.OK
        assert client.get("/v1/runs", headers={"traceparent": "00-x"}).status_code == httpx.codes.OK
        refused = client.get("/v1/runs", headers=[(b"Authorization", b"Bearer \xe4")])

    (first, second) = (
        {name: one for name, one in each.items() if name != "user-agent"} for each in told
    )
    assert str(first.pop(PEER_KEY)).startswith("ipv4:127.0.0.1:")
    assert first == {"authorization": "Bearer abc", "traceparent": TRACE}
    assert list(second) == [PEER_KEY]
    assert reason(refused) == (400, "INVALID_ARGUMENT", "INVALID_INPUT")


def test_a_call_ends_when_its_caller_goes_away() -> None:
    begun, ended = threading.Event(), threading.Event()

    def listing(_: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        context.add_callback(ended.set)
        begun.set()
        ended.wait(PATIENCE)
        return pb.ListRunsResponse()

    with api_of(listing) as client:
        address = client.base_url.host, client.base_url.port
        with socket.create_connection(address, timeout=PATIENCE) as leaving:
            leaving.sendall(b"GET /v1/runs HTTP/1.1\r\nHost: here\r\n\r\n")
            assert begun.wait(PATIENCE)
        wait_until(ended.is_set)


def test_an_answer_that_is_too_large_for_json_says_to_ask_over_grpc() -> None:
    def listing(_: pb.ListRunsRequest, __: grpc.ServicerContext) -> pb.ListRunsResponse:
        response = pb.ListRunsResponse()
        response.runs.add(reason="x" * 2_000)
        return response

    with api_of(listing, [("grpc.max_receive_message_length", 1_000)]) as client:
        refused = client.get("/v1/runs")

    assert reason(refused) == (429, "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert "over gRPC" in refused.json()["message"]


def test_what_grpc_says_by_itself_is_not_passed_on() -> None:
    def listing(_: pb.ListRunsRequest, __: grpc.ServicerContext) -> pb.ListRunsResponse:
        raise RuntimeError("account 1046")

    logging.getLogger("grpc._server").disabled = True  # It logs what its behaviours raise.
    try:
        with api_of(listing) as client:
            failed = client.get("/v1/runs")
            missing = client.get("/v1/proposals")
    finally:
        logging.getLogger("grpc._server").disabled = False

    for each in (failed, missing):
        assert reason(each) == (500, "INTERNAL", "SERVER_FAILED")
        assert "1046" not in each.text
    assert json.loads(failed.text)["message"] == "the call failed; see the server's log"
