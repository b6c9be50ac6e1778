"""What a server does between its calls: publish, archive, and measure how far both are behind.

A call publishes what it commits before it answers. What a killed process committed, and an archive
that is brought up after the answer, are for this thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread
from typing import Any, Final

import prometheus_client
import structlog

from lottery import operations
from lottery.errors import LotteryError
from lottery.operations import Ledger
from server.watched import Watched

SECONDS: Final = 5.0
"""How long it waits between two looks."""

_entries = prometheus_client.Gauge(
    "lottery_log_entries",
    "Entries of the log: committed, published as files, and archived.",
    labelnames=("state",),
)


class Keeper:
    """A thread that looks after the ledger of a server.

    Args:
        ledger: The ledger.
        also: The files that may change, to alarm also while nobody calls.
        seconds: How long it waits between two looks.
    """

    def __init__(
        self, ledger: Ledger, *, also: Sequence[Watched[Any]], seconds: float = SECONDS
    ) -> None:
        self._ledger = ledger
        self._also = also
        self._seconds = seconds
        self._stopped = Event()
        self._thread = Thread(target=self._keep, name="keeper", daemon=True)
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, once a look that has begun is done."""
        self._stopped.set()
        self._thread.join()

    def look(self) -> None:
        """Publish and archive what is behind, and measure; what goes wrong is logged."""
        for watched in self._also:
            watched.current()
        try:
            status = operations.bring_up(self._ledger)
        except (LotteryError, OSError) as error:
            self._log.warning("publishing is behind", problem=str(error))
            return
        for state in ("committed", "published", "archived"):
            size = getattr(status, state)
            if size is not None:
                _entries.labels(state).set(size)

    def _keep(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(self._seconds)
