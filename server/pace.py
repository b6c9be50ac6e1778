"""Waiting for the other side of a call: for its messages, and for it to take ours, never for ever.

gRPC's threads wait without a limit. Here every such wait is entered, and one thread looks over all
of them and cancels the calls that wait for too long, which frees their threads.

Invariants:
- No wait of a call is longer than `silent_seconds`.
- All waits of a call together are no longer than `slow_grace_seconds`, and a second more for each
  `slow_bytes_per_second` that have moved.
- While other calls queue for the threads of its share, no wait is longer than `CROWDED_SECONDS`:
  who says nothing gives way to those who came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

import grpc

from lottery.errors import Silent
from server import telemetry

CROWDED_SECONDS: Final = 2.0
"""How long a call waits for its caller while others queue for its thread."""
LOOK_SECONDS: Final = 0.25
"""Time in seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a call waits for its caller; the settings of these names say what each is."""

    silent_seconds: float
    slow_grace_seconds: float
    slow_bytes_per_second: int


class Pace:
    """The waits of one call for its caller.

    Args:
        waits: Those of all calls.
        context: The call.
        is_crowded: Returns whether others queue for its thread.
    """

    __slots__ = (
        "_context",
        "_ended",
        "_is_crowded",
        "_moved",
        "_since",
        "_until",
        "_waited",
        "_waits",
    )

    def __init__(
        self, waits: Waits, context: grpc.ServicerContext, is_crowded: Callable[[], bool]
    ) -> None:
        self._waits = waits
        self._context = context
        self._is_crowded = is_crowded
        self._moved = 0
        self._since = self._until = self._waited = 0.0
        self._ended = ""

    def received(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the caller's messages.

        Raises:
            Silent: They come too slowly, or not at all; the call is cancelled.
        """
        while True:
            self._enter()
            try:
                message = next(messages, None)
            except grpc.RpcError:
                self._require_in_time()
                raise
            finally:
                self._leave()
            if message is None:  # The end, or the call was cancelled.
                self._require_in_time()
                return
            self._moved += len(message)
            yield message

    def sent(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        """Yield messages for the caller, who takes each before the next is asked for.

        If it takes them too slowly, or not at all, the call is cancelled.
        """
        for message in messages:
            self._enter()
            try:
                yield message
            except GeneratorExit:  # gRPC drops the messages of a call that is cancelled.
                if self._ended:
                    telemetry.note(reason=Silent.reason)
                raise
            finally:
                self._leave()
            self._moved += len(message)

    def end_if_late(self, now: float) -> None:
        """Cancel the call if it waits for too long."""
        if now >= self._until:
            self._ended = f"the caller was silent, or too slow, for {now - self._since:.0f} s"
        elif now >= self._since + CROWDED_SECONDS and self._is_crowded():
            self._ended = f"the caller was silent for {now - self._since:.0f} s while others queued"
        else:
            return
        self._context.cancel()

    def _enter(self) -> None:
        limits = self._waits.limits
        self._since = time.monotonic()
        allowed = limits.slow_grace_seconds + self._moved / limits.slow_bytes_per_second
        self._until = self._since + min(limits.silent_seconds, allowed - self._waited)
        self._waits.entered[id(self)] = self

    def _leave(self) -> None:
        del self._waits.entered[id(self)]
        self._waited += time.monotonic() - self._since

    def _require_in_time(self) -> None:
        if self._ended:
            raise Silent(self._ended)


class Waits:
    """The waits of all calls, and the thread that looks over them.

    Attributes:
        limits: How long a call waits for its caller.
        entered: The calls that wait now.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entered: dict[int, Pace] = {}
        self._stopped = Event()
        self._thread = Thread(target=self._look, name="waits", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            now = time.monotonic()
            for pace in list(self.entered.values()):
                pace.end_if_late(now)
