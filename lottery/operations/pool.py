"""One pool by its rows: what its odds and a trial allocation are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.day.identifiers import describe_account, describe_occ_account, is_occ_account
from lottery.day.single_pool import ArrangedPool, arrange_pool
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


def arranged_pool(request: PoolRequest) -> tuple[str, ArrangedPool, Problems]:
    """Return the padded series, the rows in order, and what is wrong with them."""
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
    if min(request.shorts, default=0) < 0:
        for row, short in enumerate(request.shorts):
            if short < 0:
                message = f"short quantity must not be negative, got {short}"
                found.append(_LOCATOR.row_problem(row, message, column="short_quantity", rule="P2"))
    order = request.methodology.account_order
    pool = arrange_pool(request.accounts, order)
    if not found and not pool.wrong_accounts.size and not pool.doubled:
        return series, pool, NO_PROBLEMS
    wrong_accounts = _LOCATOR.row_problems(
        pool.wrong_accounts,
        lambda row: describe_account(request.accounts[row], order),
        column="account",
        rule="R2",
    )
    doubled = (
        repeated_account(
            _LOCATOR,
            doubled.row,
            request.accounts[doubled.row],
            request.accounts[doubled.first_row],
            f"row {_LOCATOR.row(doubled.first_row)}",
        )
        for doubled in pool.doubled
    )
    return series, pool, Problems.of(*found) + wrong_accounts + Problems.of(*doubled)


def too_short(message: str) -> Problem:
    """Return the problem of a pool whose total short exceeds what a number can hold."""
    return Problem(source="positions", message=message, column="short_quantity", rule="R3")
