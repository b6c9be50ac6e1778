"""Events on their way: a short queue and a thread for each receiver.

Not here: how one of them is sent (`post`).

Invariants:
- Who announces an event never waits.
- A receiver that is slow or away holds up no other one, and no process that ends.
- Of each event that a receiver asked for, it is reported once what came of it. Only a process that
  is killed says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from lottery.errors import escape
from lottery.operations.events import Event
from lottery.operations.webhooks import Delivery, Receiver

QUEUED: Final = 100
"""Maximum number of events on their way to one receiver."""


class Outbox:
    """Sends events to those who asked for them.

    Args:
        receivers: Who is called.
        report: Takes what came of an event for a receiver; it is called in other threads too.
    """

    def __init__(self, receivers: Iterable[Receiver], report: Callable[[Delivery], object]) -> None:
        self._lanes = [_Lane(receiver, report) for receiver in receivers]

    def start(self) -> None:
        """Start sending."""
        for lane in self._lanes:
            lane.thread.start()

    def put(self, event: Event) -> None:
        """Announce an event to those who asked for it, and return at once."""
        for lane in self._lanes:
            if event.said.type in lane.receiver.events:
                lane.put(event)

    def close(self, seconds: float) -> None:
        """Send what is on its way, for so many seconds at most, and give up the rest."""
        until = time.monotonic() + seconds
        for lane in self._lanes:
            lane.queue.put(None)
        for lane in self._lanes:
            lane.thread.join(max(0.0, until - time.monotonic()))
            lane.give_up()


class _Lane:
    """The events on their way to one receiver, and the thread that sends them."""

    def __init__(self, receiver: Receiver, report: Callable[[Delivery], object]) -> None:
        self.receiver = receiver
        # A daemon: a process that ends does not wait for a receiver that is slow.
        self.thread = Thread(target=self._send, name="webhook", daemon=True)
        self.queue: SimpleQueue[Event | None] = SimpleQueue()
        self._report = report
        self._under_way: list[Event] = []
        self._lock = Lock()

    def put(self, event: Event) -> None:
        """Queue an event, or give it up if too many are on their way."""
        with self._lock:
            has_room = len(self._under_way) < QUEUED
            if has_room:
                self._under_way.append(event)
        if has_room:
            self.queue.put(event)
        else:
            self._report(self._given_up(event, f"{QUEUED} events are on their way already"))

    def give_up(self) -> None:
        """Give up what has not been taken."""
        with self._lock:
            left, self._under_way = self._under_way, []
        for event in left:
            self._report(self._given_up(event, "it did not take it before this process ended"))

    def _send(self) -> None:
        # The library is an extra: it is here if there is a receiver.
        from lottery.operations.post import post  # noqa: PLC0415

        while (event := self.queue.get()) is not None:
            try:
                delivery = post(self.receiver, event)
            except Exception as error:  # noqa: BLE001 - the next event is to be sent all the same.
                problem = escape(f"{type(error).__name__}: {error}", 200)
                delivery = self._given_up(event, problem)
            with self._lock:
                is_open = event in self._under_way
                if is_open:
                    self._under_way.remove(event)
            if is_open:
                self._report(delivery)

    def _given_up(self, event: Event, problem: str) -> Delivery:
        return Delivery(receiver=self.receiver.name, event=event, attempts=0, problem=problem)
