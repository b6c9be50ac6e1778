"""JSON over HTTP: a route of every RPC that has a path, answered by the services themselves.

A request becomes a call over gRPC, with the token, the trace and the address of its caller, so that
identity, roles, admission, limits, the log and the metrics are those of the services.

Invariants:
- A call ends when its caller goes away.
- Only JSON is taken: another type, which a page of another site could send, is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lottery.errors import Problem, Refused, quote
from lottery.web import statuses
from lottery.web.bindings import Binding, bindings
from lottery.web.calling import metadata_of
from lottery.web.requests import of_body, of_query

TIMEOUT: Final = "X-Server-Timeout"
"""The header that says how many seconds a caller waits for the answer."""
TIMEOUT_SECONDS: Final = 60.0
"""How many they are if it does not."""
MOST_SECONDS: Final = 3_600.0
"""How many they are at most."""
CONVERTING: Final = 4
"""Threads that convert JSON: more would only keep the loop from the other requests."""
GONE: Final = 499
"""The HTTP status for a caller who has gone."""
_JSON: Final = re.compile(rf'{statuses.JSON} *(; *charset="?utf-8"? *)?', re.IGNORECASE)
_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?", re.ASCII)


def api_routes(channel: Callable[[], grpc.Channel]) -> list[Route]:
    """Return the routes of the API, and of what describes it.

    Args:
        channel: Returns the channel over which a request is called.
    """
    description = resources.files("lottery.web").joinpath("openapi.json").read_bytes()

    def describe(_: Request) -> Response:
        return Response(description, media_type=statuses.JSON)

    threads = ThreadPoolExecutor(CONVERTING, thread_name_prefix="json")
    routes = [
        Route(binding.path, _endpoint(binding, channel, threads), methods=[binding.verb])
        for binding in bindings()
    ]
    return [*routes, Route("/openapi.json", describe)]


def _endpoint(
    binding: Binding, channel: Callable[[], grpc.Channel], threads: Executor
) -> Callable[..., Any]:
    async def answer(request: Request) -> Response:
        seconds = TIMEOUT_SECONDS
        try:
            seconds = _seconds(request)
            message = await _message(binding, request, threads)
            call = _begun(binding, channel(), message, request, seconds)
            return await _answered(request, call, threads)
        except Refused as refused:
            return statuses.response_of(statuses.of_refusal(refused))
        except grpc.RpcError as error:
            return statuses.response_of(statuses.of_call(error, seconds))

    return answer


async def _message(binding: Binding, request: Request, threads: Executor) -> Message:
    """Return the message of a request.

    Raises:
        Refused: It is none of the RPC.
        HTTPException: Its body is of another type.
    """
    if binding.verb == "GET":
        return of_query(binding, request.path_params, request.query_params.multi_items())
    kind = request.headers.get("content-type", "")
    if not _JSON.fullmatch(kind):
        expected = f"expected the Content-Type {statuses.JSON} in UTF-8"
        raise HTTPException(415, f"{expected}, got {quote(kind)}")
    body = await request.body()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads, of_body, binding, request.path_params, body)


def _begun(
    binding: Binding, channel: grpc.Channel, message: Message, request: Request, seconds: float
) -> Any:
    """Begin a call, and return what will have its answer."""
    call: Any = channel.unary_unary(
        binding.rpc, type(message).SerializeToString, binding.response.FromString
    )
    return call.future(message, timeout=seconds, metadata=metadata_of(request))


async def _answered(request: Request, call: Any, threads: Executor) -> Response:
    """Wait for the answer of a call, or until its caller has gone.

    Raises:
        RpcError: The call failed.
    """
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # The loop has ended, with all that waited.
            loop.call_soon_threadsafe(answered.set)

    call.add_done_callback(wake)
    waits = [asyncio.ensure_future(wait) for wait in (answered.wait(), _gone(request))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        call.cancel()
    if not answered.is_set():
        return Response(status_code=GONE)  # Nobody reads it.
    body = await loop.run_in_executor(threads, lambda: statuses.as_json(call.result()))
    return Response(body, media_type=statuses.JSON)


async def _gone(request: Request) -> None:
    """Wait until the caller has gone, or sends no more of a body that nobody reads."""
    with suppress(HTTPException):
        while (await request.receive())["type"] != "http.disconnect":
            pass


def _seconds(request: Request) -> float:
    """Return how many seconds the caller waits.

    Raises:
        Refused: It says so, and not as a number in the range.
    """
    text = request.headers.get(TIMEOUT)
    if text is None:
        return TIMEOUT_SECONDS
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not 0 < seconds <= MOST_SECONDS:
        message = f"expected seconds, more than 0 and at most {MOST_SECONDS:,g}, got {quote(text)}"
        raise Refused([Problem(source=TIMEOUT, message=message)])
    return seconds
