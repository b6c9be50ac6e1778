"""One limit of memory over all workers: what each run in progress needs is reserved from it.

Invariants:
- All reservations, and what the workers need themselves, are never above the limit.
- A run that fits the limit by itself, and only now does not, is refused as one to try again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lottery.errors import Overloaded, escape
from lottery.operations.inputs import PROCESS_BYTES, MemoryLimit
from server.reservations import Reservations


class Budget:
    """The memory of all workers, for the runs of one.

    Args:
        limit_bytes: The limit over all workers.
        reservations: What is reserved.
        count: The number of workers.
        worker: Which of them this is.
    """

    def __init__(
        self, *, limit_bytes: int, reservations: Reservations, count: int, worker: int
    ) -> None:
        # A day's own check counts one process; the others need as much.
        self._limit_bytes = limit_bytes - (count - 1) * PROCESS_BYTES
        self._most = limit_bytes - count * PROCESS_BYTES
        self._reservations = reservations
        self._worker = worker

    @contextmanager
    def day(self) -> Iterator[MemoryLimit]:
        """Return the limit of one run, whose reservations last as long as the block."""
        reserved: dict[str, int] = {}

        def reserve(source: str, needed: int) -> None:
            more = needed - reserved.get(source, 0)
            if more and not self._reservations.add(self._worker, more, self._most):
                raise Overloaded(
                    f"{escape(source)}: the runs in progress leave too little memory for this one "
                    "now; nothing was recorded; try again in a second"
                )
            reserved[source] = needed

        try:
            yield _DayMemory(limit_bytes=self._limit_bytes, reserve=reserve)
        finally:
            self._reservations.add(self._worker, -sum(reserved.values()), self._most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DayMemory(MemoryLimit):
    """The limit of one run, whose need is reserved as it becomes known."""

    reserve: Callable[[str, int], None]

    def check(self, source: str, needed_bytes: int) -> None:
        """Refuse rows that need more than the limit, or more than is free now.

        Raises:
            LimitExceeded: They need more than the limit.
            Overloaded: They need more than the other runs leave.
        """
        MemoryLimit.check(self, source, needed_bytes)
        self.reserve(source, needed_bytes)
