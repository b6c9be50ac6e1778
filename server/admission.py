"""Which calls are begun: each kind has threads and a short queue, and what is past both is refused.

gRPC decides on its serving thread where a call goes, before any thread is taken; that is `Door`.
What is refused is refused there and then: a refusal waits for nothing, and on a thread of its own
it would wait for Python's lock.
Who calls and may call is found out next, on a thread of the call's share, and `Admission` is the
last before the servicer: it reads the call's messages, at the pace that `server.pace` allows.

Invariants:
- A share is full or not whatever becomes of the others.
- A refused call waits for no other call, and nothing of it is read.
- A call whose deadline passed while it was queued is not begun.
- Messages are decoded on the thread of their call, not on gRPC's serving thread, and after the
  caller is known to have a role.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from functools import partial
from threading import Lock
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from lottery.errors import LotteryError, Overloaded, Problem, Refused, TooLate
from server import handlers
from server.message_size import parse_bounded
from server.pace import Pace, Waits
from server.settings import Settings
from server.status import abort

RUNS: Final = "runs"
READS: Final = "reads"
CALLS: Final = "calls"
REFLECTION: Final = "reflection"

_OURS: Final = "/lottery.v1."
_RECORDING: Final = frozenset(("RunLottery", "WithdrawRun", "ApproveRun", "RejectRun"))
_COMPUTING: Final = frozenset(("DeriveSeed", "AllocateSeries", "GetOdds"))
_REFLECTION_THREADS: Final = 2
_REFUSED_AT_ONCE: Final = 1_024
"""Maximum number of refusals that are on their way; past it gRPC itself refuses, in fewer words."""

_admitted: contextvars.ContextVar[bool] = contextvars.ContextVar("admitted", default=True)


def share_of(method: str) -> str:
    """Return the share of a method `/service/name`."""
    if not method.startswith(_OURS):
        return REFLECTION
    name = method.rpartition("/")[2]
    return RUNS if name in _RECORDING else CALLS if name in _COMPUTING else READS


class Share(futures.ThreadPoolExecutor):
    """The threads of a kind of calls, and how many calls may wait for them."""

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self.name = name
        self.threads = threads
        self.most = threads + queue
        self._present = 0
        self._lock = Lock()

    def submit(self, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call, when a thread is free."""
        with self._lock:
            self._present += 1
        future = super().submit(*args, **kwargs)
        future.add_done_callback(self._leave)
        return future

    def is_full(self) -> bool:
        """Return whether no further call is let in."""
        return self._present >= self.most

    def is_crowded(self) -> bool:
        """Return whether a call waits for a thread."""
        return self._present > self.threads

    def _leave(self, _: object) -> None:
        with self._lock:
            self._present -= 1


class AtOnce(futures.ThreadPoolExecutor):
    """Runs what it is given at once, on the thread that gives it."""

    def __init__(self) -> None:
        super().__init__(1)  # A thread that never starts: gRPC takes nothing but such a pool.

    def submit(self, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call."""
        work, *given = args
        future: futures.Future[Any] = futures.Future()
        try:
            future.set_result(work(*given, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the future's, as in any pool.
            future.set_exception(error)
        return future


class Shares:
    """The shares of a server, and what refuses."""

    def __init__(self, settings: Settings) -> None:
        runs, reads, calls = settings.run_threads, settings.read_threads, settings.call_threads
        self._shares: Mapping[str, Share] = {
            RUNS: Share(RUNS, threads=runs, queue=runs),
            READS: Share(READS, threads=reads, queue=reads),
            CALLS: Share(CALLS, threads=calls, queue=32 * calls),
            REFLECTION: Share(
                REFLECTION, threads=_REFLECTION_THREADS, queue=2 * _REFLECTION_THREADS
            ),
        }
        self.refusing = AtOnce()
        self.most = sum(share.most for share in self._shares.values()) + _REFUSED_AT_ONCE

    def finish_recording(self) -> None:
        """Wait for the calls that record: one that has begun to commit finishes."""
        self._shares[RUNS].shutdown()

    def of(self, method: str) -> Share:
        """Return the share of a method `/service/name`."""
        return self._shares[share_of(method)]


class Door(grpc.ServerInterceptor):
    """The outermost interceptor: sends a call to the threads of its share, or refuses it.

    It keeps the handlers, which the interceptors after it have wrapped.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._handlers: dict[tuple[str, bool], Any] = {}

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Return the handler of a call that is let in, or of one that is refused."""
        method = handler_call_details.method
        share = self._shares.of(method)
        admitted = not share.is_full()
        kept = self._handlers.get((method, admitted))
        if kept is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            threads = share if admitted else self._shares.refusing
            kept = handlers.wrapped(handler, partial(_begins, threads, admitted=admitted))
            self._handlers[method, admitted] = kept
        return kept


class Admission(handlers.Interceptor):
    """The innermost interceptor: begins a call, reads its messages and writes its answers."""

    def __init__(self, shares: Shares, waits: Waits) -> None:
        self._shares = shares
        self._waits = waits

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that takes and gives encoded messages, whatever the method's shape."""
        share = self._shares.of(method)
        # As a stream, so that a thread of ours waits for a single request too, not one of gRPC's.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(share, handler))
        return grpc.stream_unary_rpc_method_handler(self._answering(share, handler))

    def _answering(self, share: Share, handler: Any) -> Callable[..., Any]:
        behaviour = handler.stream_unary or handler.unary_unary

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            try:
                pace = self._begin(share, context)
                requests = _requests(handler, pace.received(messages))
                return handler.response_serializer(behaviour(requests, context))
            except LotteryError as error:
                abort(context, error)

        return answer

    def _streaming(self, share: Share, handler: Any) -> Callable[..., Any]:
        behaviour = handler.stream_stream or handler.unary_stream

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                pace = self._begin(share, context)
                requests = _requests(handler, pace.received(messages))
                yield from pace.sent(map(handler.response_serializer, behaviour(requests, context)))
            except LotteryError as error:
                abort(context, error)

        return answer

    def _begin(self, share: Share, context: grpc.ServicerContext) -> Pace:
        if not _admitted.get():
            raise Overloaded(
                f"the server has {share.most} calls of this kind in progress or waiting, and takes "
                "no more of them now; nothing of this one was done; try again in a second"
            )
        if not context.time_remaining():
            raise TooLate("the deadline passed before the call was begun; nothing was done")
        return Pace(self._waits, context, share.is_crowded)


def _begins(
    threads: futures.ThreadPoolExecutor, behaviour: Callable[..., Any], *, admitted: bool
) -> Callable[..., Any]:
    """Return a behaviour that gRPC runs on these threads, and that knows whether it is let in."""

    def begin(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        _admitted.set(admitted)
        return behaviour(messages, context)

    begin.experimental_thread_pool = threads  # type: ignore[attr-defined]
    return begin


def _requests(handler: Any, messages: Iterator[bytes]) -> Any:
    """Return the one request of a call, or an iterator of its requests.

    Raises:
        Refused: A message is none of this RPC, or there is none.
    """
    requests = (_decoded(handler, message) for message in messages)
    if handler.request_streaming:
        return requests
    for request in requests:
        return request
    raise Refused([Problem(source="request", message="expected one message, got none")])


def _decoded(handler: Any, message: bytes) -> Any:
    try:
        return parse_bounded(handler.request_deserializer, message)
    except DecodeError:
        problem = "expected a message of this RPC, got bytes that are none"
        raise Refused([Problem(source="request", message=problem)]) from None
