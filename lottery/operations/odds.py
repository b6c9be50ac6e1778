"""What the accounts of a pool can expect before the day's fraction is known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Final

from lottery.day.allocate import EXCEEDS_SHORT, NO_POSITION
from lottery.day.single_pool import arrange_pool
from lottery.day.tables import INT64_MAX
from lottery.errors import LimitExceeded, PoolBroken, Problem, Refused, quote
from lottery.method.distribution import NumberRange
from lottery.method.occ_wheel import INCREMENT_LIMIT, OccWheelOdds
from lottery.method.odds import AccountOdds, Chance, NumbersHitFirst, pool_odds
from lottery.method.random_draw import FIGURES, RandomDrawOdds
from lottery.operations.answers import NamedOdds, SeriesOdds
from lottery.operations.pool import PoolRequest, checked_pool, row_problems, too_short
from lottery.operations.validation import check_date

__all__ = [
    "INCREMENT_LIMIT",
    "AccountOdds",
    "Chance",
    "NumberRange",
    "NumbersHitFirst",
    "OccWheelOdds",
    "OddsRequest",
    "RandomDrawOdds",
    "decimal_text",
    "series_odds",
]

ACCOUNTS_AT_ONCE: Final = 100_000
"""Maximum number of accounts in one answer; a single account can be asked for in any pool."""

_LEAST_PLAIN: Final = Decimal("1E-6")
_FIGURES: Final = Context(prec=FIGURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsRequest(PoolRequest):
    """One pool whose odds are asked for.

    Attributes:
        business_date: The date, if the method must be in force on it.
        account: The one account to return; empty for all of them.
    """

    business_date: dt.date | None = None
    account: str = ""


def series_odds(request: OddsRequest) -> SeriesOdds:
    """Return the odds in one pool.

    Raises:
        Refused: Something in the request is wrong, or the account has no open position in the pool.
        PoolBroken: The pool would be a break (D5).
        LimitExceeded: There are more than `ACCOUNTS_AT_ONCE` accounts and none is named.
    """
    methodology = request.methodology
    series, problems = checked_pool(request)
    pool = arrange_pool(request.accounts, methodology.account_order)
    problems += row_problems(request, pool)
    if request.business_date is not None:
        problems += check_date(request.business_date, methodology)
    (request.problems + problems).refuse_if_any()
    rows = [row for row in pool.rows if request.shorts[row]]
    shorts = [request.shorts[row] for row in rows]
    _refuse_break(request, sum(shorts))
    odds = pool_odds(
        shorts,
        assigned_quantity=request.assigned_quantity,
        zero_hit=methodology.zero_hit,
        only=_indices(request, rows),
    )
    return SeriesOdds(
        occ_account=request.pool_occ_account,
        series=series,
        method=methodology.id,
        account_order=methodology.account_order.value,
        zero_hit=methodology.zero_hit.value,
        assigned_quantity=request.assigned_quantity,
        total_short=odds.total_short,
        account_count=len(rows),
        never_first=odds.first_hits.never_first,
        evenness=odds.first_hits.evenness,
        accounts=tuple(
            NamedOdds(account=request.accounts[rows[index]], odds=account)
            for index, account in odds.accounts.items()
        ),
    )


def decimal_text(figure: Fraction | Decimal) -> str:
    """Return a figure as decimal text with at most 20 significant digits."""
    with localcontext(_FIGURES):
        if isinstance(figure, Fraction):
            figure = Decimal(figure.numerator) / Decimal(figure.denominator)
        figure = figure.normalize()
    is_plain = not figure or abs(figure) >= _LEAST_PLAIN
    return f"{figure:f}" if is_plain else str(figure)


def _refuse_break(request: OddsRequest, total_short: int) -> None:
    if total_short > INT64_MAX:
        raise Refused([too_short(f"the shorts add up to more than {INT64_MAX}")])
    if request.assigned_quantity > total_short:
        raise PoolBroken(
            EXCEEDS_SHORT if total_short else NO_POSITION,
            assigned_quantity=request.assigned_quantity,
            total_short=total_short,
        )


def _indices(request: OddsRequest, rows: list[int]) -> list[int] | None:
    """Return the index in the pool of the account asked for; None asks for all of them."""
    if request.account:
        found = [
            index for index, row in enumerate(rows) if request.accounts[row] == request.account
        ]
        if not found:
            message = f"{quote(request.account)} has no open position in the pool"
            raise Refused([Problem(source="account", message=message)])
        return found
    if len(rows) > ACCOUNTS_AT_ONCE:
        raise LimitExceeded(
            f"expected at most {ACCOUNTS_AT_ONCE} accounts in one answer, the pool has "
            f"{len(rows)}; name one",
            limit=f"accounts_at_once={ACCOUNTS_AT_ONCE}",
        )
    return None
