"""One pool by its rows: what its odds and a trial allocation are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.day.identifiers import describe_account, describe_occ_account, is_occ_account
from lottery.day.single_pool import ArrangedPool
from lottery.day.tables import INT64_MAX
from lottery.errors import NO_PROBLEMS, Problem, Problems, Refused
from lottery.intake.sources import RowLocator
from lottery.method.methodology import JPMS_2024_09_06, Methodology, Pooling
from lottery.operations.validation import checked_series, repeated_account

_LOCATOR: Final = RowLocator(source="positions")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """One pool by its rows.

    Attributes:
        occ_account: The OCC account that comes along; where a pool is a series it changes nothing.
        accounts: Account numbers, one a row.
        shorts: Contracts short, in the order of `accounts`.
        problems: What is already known to be wrong.
    """

    series: str
    occ_account: str
    assigned_quantity: int
    accounts: Sequence[str]
    shorts: Sequence[int]
    methodology: Methodology = JPMS_2024_09_06
    problems: Problems = NO_PROBLEMS

    @property
    def pool_occ_account(self) -> str:
        """The OCC account of the pool (P3)."""
        return "" if self.methodology.pool is Pooling.SERIES else self.occ_account


def checked_pool(request: PoolRequest) -> tuple[str, Problems]:
    """Return the padded series, and what is wrong with a request apart from its rows."""
    found: list[Problem] = []
    series = request.series
    try:
        series = checked_series(series)
    except Refused as error:
        found += error.problems
    if not is_occ_account(request.occ_account):
        found.append(
            Problem(source="occ_account", message=describe_occ_account(request.occ_account))
        )
    if not 1 <= request.assigned_quantity <= INT64_MAX:
        message = f"assigned quantity must be at least 1, got {request.assigned_quantity}"
        found.append(Problem(source="assigned_quantity", message=message))
    return series, Problems.of(*found) if found else NO_PROBLEMS


def row_problems(request: PoolRequest, pool: ArrangedPool) -> Problems:
    """Return what is wrong with the rows of a request.

    Args:
        request: The request.
        pool: Its rows in order.
    """
    shorts = request.shorts
    negative = _LOCATOR.row_problems(
        [row for row, short in enumerate(shorts) if short < 0],
        lambda row: f"short quantity must not be negative, got {shorts[row]}",
        column="short_quantity",
        rule="P2",
    )
    accounts, order = request.accounts, request.methodology.account_order
    wrong = _LOCATOR.row_problems(
        pool.wrong_accounts,
        lambda row: describe_account(accounts[row], order),
        column="account",
        rule="R2",
    )
    doubled = Problems.of(
        *(
            repeated_account(
                _LOCATOR,
                again.row,
                accounts[again.row],
                accounts[again.first_row],
                f"row {_LOCATOR.row(again.first_row)}",
            )
            for again in pool.doubled
        )
    )
    return negative + wrong + doubled


def too_short(message: str) -> Problem:
    """Return the problem of a pool whose total short exceeds what a number can hold."""
    return Problem(source="positions", message=message, column="short_quantity", rule="R3")
