"""Everything measured in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.cold import ColdResult
from bench.curve import CurveResult
from bench.day import DayResult
from bench.fixml import FixmlResult
from bench.log import LogResult
from bench.loopback import LoopbackResult
from bench.replicas import ReplicasResult
from bench.series import SeriesResult
from bench.stream import StreamResult


@dataclass(slots=True, kw_only=True)
class Results:
    """The result of each benchmark; None where it did not run.

    Attributes:
        days: By the name of their size.
    """

    days: dict[str, DayResult] = field(default_factory=dict)
    loopback: LoopbackResult | None = None
    stream: StreamResult | None = None
    series: SeriesResult | None = None
    cold: ColdResult | None = None
    log: LogResult | None = None
    replicas: ReplicasResult | None = None
    fixml: FixmlResult | None = None
    curve: CurveResult | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        others = {
            "run_lottery": self.loopback,
            "stream_allocations": self.stream,
            "allocate_series": self.series,
            "cold": self.cold,
            "log": self.log,
            "replicas": self.replicas,
            "fixml": self.fixml,
            "curve": self.curve,
        }
        return {
            "days": {name: day.as_json() for name, day in self.days.items()},
            **{
                name: None if result is None else result.as_json()
                for name, result in others.items()
            },
        }
