"""How much memory a day takes, and the limit over which it is refused before a machine swaps.

The figures are of the peak of a process, measured and rounded up by half
(`docs/PERFORMANCE.md`); they depend on the rows alone, and memory grows no faster than they do.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lottery.errors import LimitExceeded

VARIABLE: Final = "LOTTERY_MEMORY_LIMIT_BYTES"

PROCESS_BYTES: Final = 400 << 20
"""Python, Arrow and the compiled loops, and two row groups that are being decoded."""
CHECKED_ROW_BYTES: Final = 20
"""A position of a pool without notices that is looked at as its file is decoded, and dropped."""
KEPT_ROW_BYTES: Final = 190
"""A position that is kept: of a assigned pool, or of a file or a stream that is read whole."""
TEXT_FACTOR: Final = 5
"""A byte of a CSV file, read whole."""

_SHARE: Final = 0.8
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_GIBIBYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """What a day may take.

    Attributes:
        limit_bytes: The process' memory at its peak; None says nothing.
    """

    limit_bytes: int | None

    @classmethod
    def of_machine(cls) -> MemoryLimit:
        """Four fifths of the machine's memory, or of the container's where it has less."""
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with suppress(OSError, ValueError):  # There is no such file, or it says `max`.
            most = min(most, int(_CGROUP.read_text(encoding="ascii")))
        return cls(limit_bytes=int(most * _SHARE))

    def check(self, source: str, needed_bytes: int) -> None:
        """Refuses what would take more than the limit, besides the process itself.

        Args:
            source: The file or the field.
            needed_bytes: What its rows take.

        Raises:
            LimitExceeded: They pass the limit.
        """
        peak = PROCESS_BYTES + needed_bytes
        if self.limit_bytes is not None and peak > self.limit_bytes:
            raise LimitExceeded(
                f"{source}: the day would take about {peak / _GIBIBYTE:,.1f} GiB of memory; the "
                f"limit is {self.limit_bytes / _GIBIBYTE:,.1f} GiB ({VARIABLE})",
                limit=f"memory_limit_bytes={self.limit_bytes}",
            )


UNLIMITED: Final = MemoryLimit(limit_bytes=None)
