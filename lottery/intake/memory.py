"""How much memory a day needs, and the limit above which it is refused before the machine swaps.

The figures are a process's peak, measured and rounded up by half (`docs/PERFORMANCE.md`). They
depend on the rows alone, and memory grows no faster than the rows: what makes more of itself than
its rows can need is refused as malformed, from the sizes that it announces, before it is decoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from lottery.errors import LimitExceeded, escape

VARIABLE: Final = "LOTTERY_MEMORY_LIMIT_BYTES"
"""The environment variable that sets the limit."""

PROCESS_BYTES: Final = 400 << 20
"""Bytes of Python, Arrow, the compiled loops, and two row groups that are being decoded."""
CHECKED_ROW_BYTES: Final = 20
"""Bytes of a position that is checked as its file is decoded and dropped: it has no notice."""
KEPT_ROW_BYTES: Final = 190
"""Bytes of a position that is kept: of an assigned pool, or of a file that is read whole."""
GROUP_BYTES: Final = 80 << 20
"""Bytes of a decoded row group of the usual size, for which a process has room."""
DECODED_ROW_BYTES: Final = 80
"""Bytes of a position while it is decoded, of a row group of more than the usual rows."""
TEXT_FACTOR: Final = 5
"""Bytes needed for each byte of a CSV file."""
LINE_BYTES: Final = 16
"""Bytes that each line of a CSV file counts for at least: a valid one has a series."""
DECODED_FACTOR: Final = 2
"""Bytes needed for each byte that rows come to once they are decoded: it is copied once."""
ROW_BYTES: Final = 1_024
"""Maximum size of a row in bytes once it is decoded, on average; the longest valid one has 600."""
SPARE_BYTES: Final = 16 << 20
"""Bytes that a source may come to beyond its rows: labels that no row has."""
PAYLOAD_BYTES: Final = 16 << 10
"""Bytes needed for each payload of a stream, however few rows it has."""

_SHARE: Final = 0.8
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_GIBIBYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """How much memory a day may take.

    Attributes:
        limit_bytes: Maximum of the process's memory at its peak; None for no limit.
    """

    limit_bytes: int | None

    @classmethod
    def of_machine(cls) -> MemoryLimit:
        """Return four fifths of the machine's memory, or of the container's if that is less."""
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with suppress(OSError, ValueError):  # The file is missing, or says `max`.
            most = min(most, int(_CGROUP.read_text(encoding="ascii")))
        return cls(limit_bytes=int(most * _SHARE))

    def day(self) -> AbstractContextManager[MemoryLimit]:
        """Return the limit of one run, for as long as the block lasts."""
        return nullcontext(self)

    def check(self, source: str, needed_bytes: int) -> None:
        """Refuse rows that, with the process itself, need more than the limit.

        Args:
            source: The file or the field.
            needed_bytes: What its rows need.

        Raises:
            LimitExceeded: They need more.
        """
        peak = PROCESS_BYTES + needed_bytes
        if self.limit_bytes is not None and peak > self.limit_bytes:
            raise LimitExceeded(
                f"{escape(source)}: the day needs about {peak / _GIBIBYTE:,.1f} GiB of memory, "
                f"more than the limit of {self.limit_bytes / _GIBIBYTE:,.1f} GiB; "
                f"set {VARIABLE} to change it",
                limit=f"memory_limit_bytes={self.limit_bytes}",
            )


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Say whose file it is that needs more memory, of several that have the same names.

    Raises:
        LimitExceeded: One does.
    """
    try:
        yield
    except LimitExceeded as error:
        raise LimitExceeded(f"{what}: {error}", limit=error.limit) from None


DayMemory: TypeAlias = Callable[[], AbstractContextManager[MemoryLimit]]
"""Gives each run its limit: `MemoryLimit.day`, or what reserves it of a server's."""
UNLIMITED: Final = MemoryLimit(limit_bytes=None)
