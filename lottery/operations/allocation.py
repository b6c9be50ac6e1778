"""A business day allocated from frames or rows, without recording anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lottery.day.allocate import Break
from lottery.day.assigned_pools import assigned_pools
from lottery.errors import NO_PROBLEMS, Problem, Problems
from lottery.intake.dates import read_date
from lottery.intake.frames import (
    Asks,
    Rows,
    read_asks,
    read_rows,
    received_positions,
    received_rows,
)
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import RuleWarning, Seed
from lottery.operations.request import RunRequest
from lottery.operations.requester import system_identity
from lottery.operations.run import compute_day


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllocatedDay:
    """A business day as it was allocated.

    The tables are Arrow, which frames take as they are: `polars.DataFrame(day.allocations)`,
    `pandas.DataFrame.from_arrow(day.allocations)`, or by name in a statement of DuckDB.

    Attributes:
        seed: Its seed, with every step.
        allocations: `tables.ALLOCATIONS`, every open account of every allocated pool.
        pools: `tables.POOLS`, every assigned pool.
        breaks: The broken pools (D5).
        warnings: What deserves attention.
    """

    seed: Seed
    allocations: pa.Table
    pools: pa.Table
    breaks: tuple[Break, ...]
    warnings: tuple[RuleWarning, ...]


def allocate(
    *,
    business_date: dt.date | str,
    asks: Asks,
    positions: Rows,
    notices: Rows,
    decisions: Mapping[str, str] | None = None,
) -> AllocatedDay:
    """Allocate a business day, and record nothing.

    Args:
        business_date: The date, or its text as `2024-09-16`.
        asks: The four ask prices as text, by security number; or the rows of a volumes file.
        positions: The columns of a positions file.
        notices: The columns of a notices file.
        decisions: Decisions that differ from the defaults, by name (C1).

    Raises:
        Refused: Something is wrong; every problem is listed with its row.
    """
    date, problems = read_date(business_date)
    methodology, decision_problems = _methodology(decisions or {})
    received = received_rows(read_rows(notices, "notices"), "notices")
    assigned = assigned_pools(received.table, methodology.pool)
    order = methodology.account_order
    request = RunRequest(
        business_date=date,
        notices=received,
        positions=received_positions(read_rows(positions, "positions"), assigned, order),
        volumes=read_asks(asks, methodology.securities),
        requested_by=system_identity(),
        problems=problems + decision_problems,
        methodology=methodology,
    )
    draft = compute_day(request)
    return AllocatedDay(
        seed=draft.seed,
        allocations=draft.day.allocations,
        pools=draft.day.pools,
        breaks=draft.day.breaks,
        warnings=draft.warnings,
    )


def _methodology(decisions: Mapping[str, str]) -> tuple[Methodology, Problems]:
    try:
        return JPMS_2024_09_06.deciding(decisions), NO_PROBLEMS
    except ValueError as error:
        problem = Problem(source="decisions", message=str(error))
        return JPMS_2024_09_06, Problems.of(problem)
