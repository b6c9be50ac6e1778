"""The cost curve: what a day takes, unrecorded, from tens of thousands of positions to millions.

The days have the typical day's shape. Each is measured in a process of its own, whose first run is
not timed, so that the peak memory is that of its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.days import Days
from bench.process import Worker
from bench.sizes import DaySize
from bench.worker import OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A size, the seconds of every timed run, and the most memory of all of them."""

    size: DaySize
    positions_bytes: int
    seconds: Sequence[float]
    cpu_seconds: Sequence[float]
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveResult:
    """What was measured, by size."""

    points: Sequence[CurvePoint]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_curve(
    directory: Path,
    days: Days,
    sizes: Sequence[DaySize],
    *,
    rounds: int,
    report: Callable[[str], None],
) -> CurveResult:
    """Time a day of each size.

    Args:
        directory: A folder for what comes out.
        days: Where days come from.
        sizes: The sizes, ascending.
        rounds: Timed runs of each.
        report: Receives what goes on, as text.
    """
    points = []
    for size in sizes:
        report(f"writing {size.positions:,} positions")
        files = days.of(size).files
        worker = Worker(OURS, directory)
        found = []
        try:
            for number in range(rounds + 1):
                report(f"{size.positions:,} positions, {number} of {rounds}")
                found.append(worker.measure(files, directory / "curve", number))
        finally:
            worker.stop()
        points.append(
            CurvePoint(
                size=size,
                positions_bytes=files.positions.stat().st_size,
                seconds=[one.seconds for one in found[1:]],
                cpu_seconds=[one.cpu_seconds for one in found[1:]],
                peak_bytes=max(one.peak_bytes for one in found),
            )
        )
    return CurveResult(points=points)
