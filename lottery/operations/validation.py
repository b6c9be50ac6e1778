"""What is wrong with a request beyond its columns: the date, the seed, repeated rows, accounts.

Every function returns its problems; only `checked_series`, which checks a single text, raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import PositionsInvalid, allocate
from lottery.day.assigned_pools import pooled
from lottery.day.identifiers import padded_series
from lottery.day.population import POOL, pool_name
from lottery.day.tables import INT64_MAX
from lottery.errors import (
    METHOD_NOT_IN_FORCE,
    Problem,
    ProblemCollector,
    Problems,
    Refused,
    escape,
    quote,
)
from lottery.intake.positions import FoundRow, ReceivedPositions
from lottery.intake.sources import Received, ReceivedVolumes, RowLocator
from lottery.method.methodology import Methodology, Pooling
from lottery.method.seed import Seed, derive_seed

CYCLES: Final = 999
"""Maximum number of cycles of a date."""
_NOTICE: Final = ("occ_account", "notice_id")
_MAX_SUM: Final = 1 << 62


def check_date(business_date: dt.date, methodology: Methodology) -> Problems:
    """Return a problem if a date is before the method came into force (F1)."""
    if business_date >= methodology.effective:
        return Problems()
    return Problems.of(
        Problem(
            source="business_date",
            message=f"business date must be {methodology.effective} or later, when "
            f"{methodology.id} came into force, got {business_date}",
            rule="F1",
            reason=METHOD_NOT_IN_FORCE,
        )
    )


def derive_seed_of(
    volumes: ReceivedVolumes, methodology: Methodology
) -> tuple[Seed | None, Problems]:
    """Return the seed, or None and its problems located in the source."""
    if volumes.problems and not volumes.asks:
        return None, Problems()  # The source itself was refused; that it has no asks adds nothing.
    locator = volumes.locator
    try:
        seed = derive_seed(volumes.asks, methodology.securities, source=locator.source)
    except Refused as error:
        located = [_located(problem, locator) for problem in error.problems]
        return None, Problems.of(*located)
    return seed, Problems()


def _located(problem: Problem, locator: RowLocator) -> Problem:
    if problem.row is None:
        return problem
    row = locator.row(problem.row - 1)
    return replace(problem, row=row, line=locator.line(row))


def repeated_notices(notices: Received, pooling: Pooling) -> Problems:
    """Return a problem for each notice id that appears again within its OCC account.

    An id with and without an OCC account is one notice. Where a pool is a series, an id appears
    once, whatever OCC account comes along (P3).
    """
    table = pooled(notices.table, pooling)
    if pc.count_distinct(table.column("notice_id")).as_py() == table.num_rows:
        return Problems()
    found = ProblemCollector()
    columns = (table.column(name).cast(pa.string()).to_pylist() for name in _NOTICE)
    rows_of: dict[str, dict[str, int]] = {}
    for index, (occ_account, notice_id) in enumerate(zip(*columns, strict=True)):
        rows = rows_of.setdefault(notice_id, {})
        first = rows.get(occ_account, rows.get(""))
        if first is None and rows and not occ_account:
            first = min(rows.values())
        rows.setdefault(occ_account, index)
        if notice_id and first is not None:
            owner = f" for OCC account {quote(occ_account)}" if occ_account else ""
            message = f"duplicate notice id {quote(notice_id)}{owner}; it is also on "
            message += _location(notices, first)
            found.add(notices.row_problem(index, message, column="notice_id"))
    return found.problems()


def repeated_pools(occ_positions: Received) -> Problems:
    """Return a problem for each pool that OCC reports again, and for figures too large to add."""
    table = occ_positions.table
    found = ProblemCollector()
    # A sum in 64 bits would wrap; this one is near enough.
    quantities = table.column("short_quantity").cast(pa.float64(), safe=False)
    if (pc.sum(quantities).as_py() or 0) > _MAX_SUM:
        message = f"short quantities must add up to at most {_MAX_SUM}, got more"
        found.add(occ_positions.locators[0].problem(message, column="short_quantity"))
    plain = pa.table({name: table.column(name).cast(pa.string()) for name in POOL})
    if plain.group_by(list(POOL)).aggregate([]).num_rows < table.num_rows:
        for pool, index, first in _repeated(table, POOL):
            message = f"duplicate pool {pool_name(*pool)}; it is also on "
            message += _location(occ_positions, first)
            found.add(occ_positions.row_problem(index, message, column="series"))
    return found.problems()


def position_problems(positions: ReceivedPositions, methodology: Methodology) -> Problems:
    """Return what is wrong with positions that are not allocated, as `invalid_positions` does."""
    try:
        # Any fraction finds the same.
        allocate(
            positions.assigned,
            positions.positions,
            ten_thousandths=1,
            zero_hit=methodology.zero_hit,
        )
    except PositionsInvalid as error:
        return invalid_positions(positions, error)
    return Problems()


def invalid_positions(positions: ReceivedPositions, error: PositionsInvalid) -> Problems:
    """Return what is wrong with positions that cannot be allocated.

    That is a problem for each row but the first of an account of a pool (P4, R2), and for each pool
    whose total exceeds 63 bits.
    """
    found = ProblemCollector()
    for pool in error.too_large:
        message = (
            f"the positions of {pool_name(pool.occ_account, pool.series)} must add up to at most "
            f"{INT64_MAX} contracts"
        )
        found.add(positions.locator.problem(message, column="short_quantity", rule="R3"))
    first_of: dict[tuple[int, int], FoundRow] = {}
    for row in positions.find(error.repeated):
        first = first_of.setdefault((row.pool, row.number), row)
        if first is not row:
            location = f"row {first.locator.row(first.index)}"
            if first.locator.source != row.locator.source:
                location += f" of {escape(first.locator.source)}"
            if first.occ_account != row.occ_account:
                location += f" with the OCC account {quote(first.occ_account)}, and here with "
                location += quote(row.occ_account)
            found.add(
                repeated_account(row.locator, row.index, row.account, first.account, location)
            )
    return found.problems()


def repeated_account(
    locator: RowLocator, index: int, account: str, first: str, location: str
) -> Problem:
    """Return the problem of an account that a pool has already, alike (P4) or not (R2).

    Args:
        locator: Locates the row.
        index: The row's index.
        account: The account as it is on that row.
        first: The account as it is on its first row.
        location: The first row.
    """
    if account == first:
        message, rule = f"account {account} appears twice in this pool; it is also on", "P4"
    else:
        message = f"account {account} appears twice in this pool; it is {first} on"
        rule = "R2"
    return locator.row_problem(index, f"{message} {location}", column="account", rule=rule)


def checked_series(symbol: str) -> str:
    """Return the padded form of a series.

    Raises:
        Refused: The text is not an OSI symbol.
    """
    try:
        return padded_series(symbol)
    except ValueError as error:
        raise Refused([Problem(source="series", message=str(error))]) from error


def _repeated(table: pa.Table, key: Sequence[str]) -> list[tuple[tuple[str, ...], int, int]]:
    """Return each key that appears again, with its row's index and that of its first row."""
    columns = (table.column(name).cast(pa.string()).to_pylist() for name in key)
    first_of: dict[tuple[str, ...], int] = {}
    repeated = []
    for index, values in enumerate(zip(*columns, strict=True)):
        first = first_of.setdefault(values, index)
        if first != index:
            repeated.append((values, index, first))
    return repeated


def _location(received: Received, index: int) -> str:
    locator, row_index = received.locate(index)
    return f"row {locator.row(row_index)} of {escape(locator.source)}"
