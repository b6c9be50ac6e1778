"""What the supervisor and the processes that it starts say to each other.

A process gets its orders as the first line of its standard input, and says on standard output what
became of its start. The end of its input, which comes with the supervisor's own end however that
came about, is the order to stop; signals, which a terminal or systemd sends to all, are not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lottery.errors import LotteryError
from server.logs import configure_logging
from server.settings import Settings

STOP_SIGNALS: Final = frozenset((signal.SIGTERM, signal.SIGINT))
"""Signals that stop the server."""
ASK: Final = "ask\n"
"""The line that has the monitor, or the door over HTTP, ask the workers at once."""
DRAIN: Final = "drain\n"
"""The line that has the monitor report NOT_SERVING from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a process is started for.

    Attributes:
        settings: The settings of the server.
        folder: A folder of the server's own, for sockets and what workers share.
        count: The number of workers.
        number: Which worker it is, from 0; None for the others.
    """

    settings: Settings
    folder: Path
    count: int
    number: int | None = None

    def to_line(self) -> str:
        """Return the orders as a line."""
        given = {"folder": str(self.folder), "count": self.count, "number": self.number}
        return json.dumps({"settings": self.settings.model_dump(mode="json"), **given}) + "\n"

    @classmethod
    def of_line(cls, line: str) -> Orders:
        """Return the orders of a line."""
        given = json.loads(line)
        return cls(
            settings=Settings(**given.pop("settings")), folder=Path(given.pop("folder")), **given
        )


def begin() -> Orders:
    """Read the orders of this process; its logs and signals are as a worker has them."""
    for stop in STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    orders = Orders.of_line(sys.stdin.readline())
    configure_logging(orders.settings, worker=orders.number)
    return orders


@contextmanager
def starting() -> Iterator[None]:
    """Report what keeps this process from starting, and exit with 2."""
    try:
        yield
    except (OSError, ValueError, LotteryError) as error:
        report(problem=str(error))
        raise SystemExit(2) from None


def report(**said: Any) -> None:
    """Say something to the supervisor; if it has ended, the end of the input says so next."""
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def end() -> None:
    """End this process, without waiting for threads that only read."""
    sys.stderr.flush()
    os._exit(0)
