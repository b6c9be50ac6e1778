"""A draw contract by contract: what accounts may expect of the plainest random selection.

Each of the assigned contracts is drawn from all contracts short, each as likely as any other and
none twice. An account's assigned quantity is then hypergeometric. Its mean and variance are exact
fractions. The chances of nothing and of everything are quotients of factorials, whose exact texts
would run to as many digits as the pool has contracts: they are worked to 20 significant figures.

The logarithms of large factorials come from Stirling's series, whose error is smaller than its
first omitted term (NIST Digital Library of Mathematical Functions, 5.11(ii)); small ones are taken
of the factorial itself. Working with 80 figures leaves more than 50 right after all cancellation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Final

FIGURES: Final = 20
"""Significant figures of a chance."""
SMALLEST: Final = Decimal("1E-999999")
"""What a smaller chance is given as: it is not zero."""

_WORKING: Final = Context(prec=80, Emin=-(10**12), Emax=10**12)
_ROUNDED: Final = Context(prec=FIGURES, Emin=-(10**12), Emax=10**12)
_FROM_SERIES: Final = 1_000
_HALF_LN_TWO_PI: Final = Decimal(
    "0.91893853320467274178032973640561763986139747363778341281715154048276569592726039769"
)
_BERNOULLI: Final = (
    Fraction(1, 6),
    Fraction(-1, 30),
    Fraction(1, 42),
    Fraction(-1, 30),
    Fraction(5, 66),
    Fraction(-691, 2730),
    Fraction(7, 6),
    Fraction(-3617, 510),
    Fraction(43867, 798),
    Fraction(-174611, 330),
)
"""B2, B4 to B20: at 1,000 the first omitted term is below 1E-61."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDrawOdds:
    """An account's chances where every contract is drawn by itself.

    Attributes:
        none: The chance that it is assigned nothing, to 20 significant figures; 0 where that cannot
            be, and nowhere else.
        full: The chance that its whole short position is assigned, the same way.
        mean: The mean of its assigned quantity.
        variance: The variance of it.
    """

    none: Decimal
    full: Decimal
    mean: Fraction
    variance: Fraction


def random_draw_odds(
    sizes: Iterable[int], *, assigned_quantity: int, total_short: int
) -> dict[int, RandomDrawOdds]:
    """The chances of accounts of some sizes.

    Args:
        sizes: Contracts short of an account, each 1 to `total_short`.
        assigned_quantity: Contracts assigned to the pool, 1 to `total_short`.
        total_short: Contracts short in the pool.
    """
    left = total_short - assigned_quantity
    found = {}
    with localcontext(_WORKING):
        ways = (
            _log_factorial(total_short) - _log_factorial(assigned_quantity) - _log_factorial(left)
        )
        for size in sizes:
            others = total_short - size
            all_others = _log_factorial(others)
            found[size] = RandomDrawOdds(
                # Of the other contracts all that are assigned are drawn, or all that are left.
                none=_chance(all_others, assigned_quantity, left - size, ways),
                full=_chance(all_others, assigned_quantity - size, left, ways),
                mean=Fraction(assigned_quantity * size, total_short),
                variance=_variance(size, assigned_quantity, total_short),
            )
    return found


def _chance(all_others: Decimal, drawn: int, left: int, ways: Decimal) -> Decimal:
    """The ways to draw some of the other contracts, of all ways; 0 where there is none."""
    if drawn < 0 or left < 0:
        return Decimal(0)
    chance = (all_others - _log_factorial(drawn) - _log_factorial(left) - ways).exp()
    return max(_ROUNDED.plus(chance), SMALLEST)


def _variance(size: int, assigned_quantity: int, total_short: int) -> Fraction:
    if total_short == 1:
        return Fraction(0)
    left = total_short - assigned_quantity
    return Fraction(
        assigned_quantity * size * (total_short - size) * left, total_short**2 * (total_short - 1)
    )


def _log_factorial(number: int) -> Decimal:
    """The natural logarithm of number!, in the working context."""
    if number < _FROM_SERIES:
        return Decimal(math.factorial(number)).ln()
    # ln Gamma(z) with z = number + 1.
    z = Decimal(number + 1)
    total = (z - Decimal("0.5")) * z.ln() - z + _HALF_LN_TWO_PI
    power = z
    for place, bernoulli in enumerate(_BERNOULLI, start=1):
        divisor = 2 * place * (2 * place - 1) * bernoulli.denominator
        total += Decimal(bernoulli.numerator) / (divisor * power)
        power *= z * z
    return total
