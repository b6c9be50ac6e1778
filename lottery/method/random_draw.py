"""A draw contract by contract: what accounts may expect of the plainest random selection.

Each of the assigned contracts is drawn from all contracts short, each as likely as any other and
none twice. An account's assigned quantity is then hypergeometric. Its mean and variance are exact
fractions. The chances of nothing and of everything are quotients of factorials, whose exact texts
would have as many digits as the pool has contracts: they are worked out to 20 significant figures.

The logarithm of the largest factorial, of 2**63 - 1, has 21 digits before its point, and four such
logarithms cancel: working with 80 figures leaves more than 50.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, Final

FIGURES: Final = 20
"""Significant figures of a chance."""
SMALLEST: Final = Decimal("1E-999999")
"""The chance that a smaller one is given as, because it is not zero."""

_WORKING_FIGURES: Final = 80
_ROUNDED: Final = Context(prec=FIGURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDrawOdds:
    """An account's chances if every contract is drawn by itself.

    Attributes:
        none: The chance that it is assigned nothing, to 20 significant figures; 0 only if that
            cannot be.
        full: The chance that its whole short position is assigned, likewise.
        mean: The mean of its assigned quantity.
        variance: The variance of its assigned quantity.
    """

    none: Decimal
    full: Decimal
    mean: Fraction
    variance: Fraction


def random_draw_odds(
    sizes: Iterable[int], *, assigned_quantity: int, total_short: int
) -> dict[int, RandomDrawOdds]:
    """Return the chances of accounts by their short quantity.

    Args:
        sizes: Short quantities of accounts, each 1 to `total_short`.
        assigned_quantity: Contracts assigned to the pool, 1 to `total_short`.
        total_short: Contracts short in the pool.
    """
    import mpmath  # noqa: PLC0415 - only odds need it, and it takes its time to load.

    working = mpmath.MPContext()  # Of this call alone: threads must not share one.
    working.dps = _WORKING_FIGURES

    def log_factorial(number: int) -> Any:
        return working.loggamma(number + 1)

    def chance(log_others: Any, drawn: int, left: int) -> Decimal:
        """Return the share of all draws that draw this many of the other contracts."""
        if drawn < 0 or left < 0:
            return Decimal(0)
        log_chance = log_others - log_factorial(drawn) - log_factorial(left) - log_draws
        if log_chance < log_smallest:
            return SMALLEST
        return _ROUNDED.create_decimal(working.nstr(working.exp(log_chance), _WORKING_FIGURES))

    left = total_short - assigned_quantity
    log_smallest = working.mpf(SMALLEST.adjusted()) * working.ln10
    log_draws = log_factorial(total_short) - log_factorial(assigned_quantity) - log_factorial(left)
    odds = {}
    for size in sizes:
        log_others = log_factorial(total_short - size)
        odds[size] = RandomDrawOdds(
            # Of the other contracts all that are assigned are drawn, or all that are left.
            none=chance(log_others, assigned_quantity, left - size),
            full=chance(log_others, assigned_quantity - size, left),
            mean=Fraction(assigned_quantity * size, total_short),
            variance=_variance(size, assigned_quantity, total_short),
        )
    return odds


def _variance(size: int, assigned_quantity: int, total_short: int) -> Fraction:
    if total_short == 1:
        return Fraction(0)
    left = total_short - assigned_quantity
    return Fraction(
        assigned_quantity * size * (total_short - size) * left, total_short**2 * (total_short - 1)
    )
