"""Control totals: what the sender of a day's notices and positions says that they come to.

Invariants:
- Rows of pools without notices take no part (P1), and count here all the same: totals are of whole
  files.
- What has problems in its rows is not compared: its totals would only repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import Problem, Problems
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received

KEYS: Final[Mapping[str, str]] = {
    "notices": "notices",
    "contracts": "contracts on all notices",
    "positions": "rows of positions",
    "shorts": "contracts short on all rows of positions",
}
"""Each total's name, and what it counts."""

Figures = Mapping[str, tuple[str, int]]
"""By the total's name: what problems call the source, and what it comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTotals:
    """What notices and positions must come to; None says nothing.

    Attributes:
        notices: The number of notices.
        contracts: The sum of their quantities.
        positions: The number of rows of positions, those of other pools too.
        shorts: The sum of their short quantities.
    """

    notices: int | None = None
    contracts: int | None = None
    positions: int | None = None
    shorts: int | None = None

    @property
    def adds_up_shorts(self) -> bool:
        """Whether every row's short quantity is to be read."""
        return self.shorts is not None

    def covers(self, role: str) -> bool:
        """Return whether a total of the notices or of the positions is given."""
        given = {
            "notices": (self.notices, self.contracts),
            "positions": (self.positions, self.shorts),
        }
        return any(total is not None for total in given.get(role, ()))

    def problems(self, figures: Figures) -> Problems:
        """Return a problem for each figure that is not what was said.

        Args:
            figures: What came; a total that is missing there is not compared.
        """
        found = []
        for key, expected in asdict(self).items():
            if expected is None or key not in figures:
                continue
            source, came = figures[key]
            if came != expected:
                message = f"expected {expected} {KEYS[key]}, as announced, got {came}"
                found.append(Problem(source=source, message=message))
        return Problems.of(*found)


NO_TOTALS: Final = ControlTotals()
"""Nothing is said of what came."""


def figures_of_notices(notices: Received) -> Figures:
    """Return what notices come to; nothing if a row of them is refused, or the source."""
    if _is_refused(notices):
        return {}
    source = notices.locator.source
    return {
        "notices": (source, notices.table.num_rows),
        "contracts": (source, exact_sum(notices.table.column("quantity"))),
    }


def figures_of_positions(positions: ReceivedPositions) -> Figures:
    """Return what positions come to; nothing if a row of them is refused, or the source."""
    if _is_refused(positions):
        return {}
    source = positions.locator.source
    figures = {"positions": (source, positions.row_count)}
    if positions.total_short is not None:
        figures["shorts"] = (source, positions.total_short)
    return figures


def exact_sum(values: pa.Array | pa.ChunkedArray) -> int:
    """Return the sum of integers, which may exceed 64 bits."""
    total = pc.sum(values.cast(pa.decimal128(38))).as_py()
    return int(total or 0)


def _is_refused(received: Received | ReceivedPositions) -> bool:
    is_missing = not received.sources and bool(received.problems)
    return is_missing or any(problem.row is not None for problem in received.problems)
