"""How large the days are: those of the table of targets, and those of the cost curve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySize:
    """How large a day is.

    Attributes:
        positions: Rows of the positions file.
        series: Series with positions; their sizes follow Zipf's law.
        assigned: Series with notices.
        exceeding: How many of these are assigned more than they are short.
        without_position: How many of these have no position.
        digits: The least and the most digits of an account number.
        is_large: Whether the peers' processes would not all stay in memory beside each other.
    """

    positions: int = 2_000_000
    series: int = 30_000
    assigned: int = 5_000
    exceeding: int = 4
    without_position: int = 2
    digits: tuple[int, int] = (3, 10)
    is_large: bool = False

    def shrunk(self, divisor: int) -> DaySize:
        """Return a day of the same shape and so much smaller, to try the benchmarks themselves."""
        if self.series == 1:
            return replace(self, positions=self.positions // divisor)
        return replace(
            self,
            positions=self.positions // divisor,
            series=max(40, self.series // divisor),
            assigned=max(20, self.assigned // divisor),
        )


TYPICAL: Final = "typical"
FRIDAY: Final = "friday"
GIANT: Final = "giant"
LONG: Final = "long"
SIZES: Final = {
    TYPICAL: DaySize(),
    FRIDAY: DaySize(positions=20_000_000, series=300_000, assigned=100_000, is_large=True),
    GIANT: DaySize(
        positions=5_000_000, series=1, assigned=1, exceeding=0, without_position=0, is_large=True
    ),
    LONG: DaySize(digits=(17, 18)),
}
"""`long` is the typical day with account numbers so long that they are ranked: a number and the
index in its pool exceed 63 bits together."""

CURVE: Final = (20_000, 200_000, 2_000_000, 6_000_000, 20_000_000, 60_000_000)
"""Positions of each day of the cost curve."""


def curve_size(positions: int) -> DaySize:
    """Return the typical day's shape with so many positions."""
    typical = SIZES[TYPICAL]
    return replace(
        typical,
        positions=positions,
        series=max(40, positions * typical.series // typical.positions),
        assigned=max(20, positions * typical.assigned // typical.positions),
    )
