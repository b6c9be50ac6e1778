"""Calls at times that are fixed beforehand, whatever becomes of those before (an open loop).

A latency counts from the time when the call was due, so that queueing counts, here and at the
server; how late calls were sent is shown too, because a late caller is no open loop. Without a
rate, each connection sends its next call when the last one is answered (a closed loop).
"""

from __future__ import annotations

import select
import time
from collections import defaultdict
from typing import Final

from bench.http2 import Connection

LATE: Final = "sent late"
"""What stands for a code of the times by which calls were sent late."""
PATIENCE: Final = 60.0
"""Time in seconds for the last answers."""


def call_at_rate(
    target: str, method: str, message: bytes, *, connections: int, seconds: float, rate: float
) -> dict[str, list[float]]:
    """Call, and return the milliseconds of all calls by their code.

    Args:
        target: HOST:PORT.
        method: `/service/name`.
        message: The message of each call.
        connections: How many connections take turns.
        seconds: For how long calls are sent.
        rate: Calls a second; 0 sends the next call of a connection after its last one.
    """
    opened = {
        one.socket.fileno(): one
        for one in (Connection(target, method, message) for _ in range(connections))
    }
    files = list(opened)
    due: dict[tuple[int, int], float] = {}
    seen: dict[str, list[float]] = defaultdict(list)
    count, sent = int(rate * seconds), 0
    start = now = time.monotonic()
    until = start + seconds
    if not rate:
        due = {(file, opened[file].send()): now for file in files}
    while (due or sent < count) and now < until + PATIENCE:
        while sent < count and (planned := start + sent / rate) <= (now := time.monotonic()):
            seen[LATE].append((now - planned) * 1e3)
            file = files[sent % connections]
            due[file, opened[file].send()] = planned
            sent += 1
        pause = start + sent / rate - now if sent < count else until + PATIENCE - now
        for file in select.select(files, (), (), max(0.0, pause))[0]:
            for number, code in opened[file].receive():
                now = time.monotonic()
                began = due.pop((file, number), None)
                if began is None:
                    continue  # A refused call is reset too, once it has been answered.
                seen[code].append((now - began) * 1e3)
                if not rate and now < until:
                    due[file, opened[file].send()] = now
    seen["UNANSWERED"] += [(now - planned) * 1e3 for planned in due.values()]
    for connection in opened.values():
        connection.socket.close()
    return {code: times for code, times in seen.items() if times}
