"""A draw contract by contract, against every draw there is and against exact binomials."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.method.random_draw import SMALLEST, RandomDrawOdds, random_draw_odds

HALF_A_FIGURE: Final = Fraction(5, 10**20)
"""A chance has 20 significant figures: so much of itself is it away from the exact one at most."""


def drawn(size: int, assigned_quantity: int, total_short: int) -> RandomDrawOdds:
    odds = random_draw_odds([size], assigned_quantity=assigned_quantity, total_short=total_short)
    return odds[size]


def is_rounded(chance: Decimal, exact: Fraction) -> bool:
    """Whether a chance is an exact one to 20 significant figures; zero is zero alone."""
    return abs(Fraction(chance) - exact) <= exact * HALF_A_FIGURE * (1 + Fraction(1, 10**20))


@st.composite
def draws(draw: st.DrawFn, largest: int) -> tuple[int, int, int]:
    """Draw the contracts of an account, those assigned and the total."""
    total_short = draw(st.integers(1, largest))
    contracts = st.integers(1, total_short)
    return draw(contracts), draw(contracts), total_short


@settings(deadline=None)
@given(draws(largest=9))
def test_the_odds_are_those_of_all_draws_there_are(given_draw: tuple[int, int, int]) -> None:
    """Law: enumerating every set of contracts that can be drawn gives the odds."""
    size, assigned_quantity, total_short = given_draw
    outcomes = Counter(
        sum(contract < size for contract in contracts)
        for contracts in combinations(range(total_short), assigned_quantity)
    )
    count = outcomes.total()
    mean = Fraction(sum(outcome * times for outcome, times in outcomes.items()), count)
    squares = Fraction(sum(outcome**2 * times for outcome, times in outcomes.items()), count)

    odds = drawn(size, assigned_quantity, total_short)

    assert is_rounded(odds.none, Fraction(outcomes[0], count))
    assert is_rounded(odds.full, Fraction(outcomes[size], count))
    assert (odds.mean, odds.variance) == (mean, squares - mean**2)


@settings(deadline=None)
@given(draws(largest=20_000))
def test_the_chances_are_exact_binomials_to_20_figures(given_draw: tuple[int, int, int]) -> None:
    """Law: nothing and everything are quotients of binomials, by `math.comb`."""
    size, assigned_quantity, total_short = given_draw
    ways = math.comb(total_short, assigned_quantity)
    others = total_short - size
    full = math.comb(others, assigned_quantity - size) if assigned_quantity >= size else 0

    odds = drawn(size, assigned_quantity, total_short)

    assert is_rounded(odds.none, Fraction(math.comb(others, assigned_quantity), ways))
    assert is_rounded(odds.full, Fraction(full, ways))


@given(size=st.integers(1, 60), assigned_quantity=st.integers(1, 60), data=st.data())
def test_totals_of_64_bits_keep_their_20_figures(
    size: int, assigned_quantity: int, data: st.DataObject
) -> None:
    """Law: the same where logarithms of 20 digits cancel, by a product of few factors."""
    total_short = data.draw(st.integers(120, 2**63 - 1))
    none = Fraction(1)
    for contract in range(size):
        none *= Fraction(total_short - assigned_quantity - contract, total_short - contract)

    odds = drawn(size, assigned_quantity, total_short)

    assert is_rounded(odds.none, none)


@pytest.mark.parametrize(
    ("size", "assigned_quantity", "total_short", "none", "full"),
    [
        (1, 1, 1, "0", "1"),
        (1, 1, 2, "0.5", "0.5"),
        (5, 10, 15, "0.000333", "0.0839"),
        (6, 10, 15, "0", "0.0420"),
        (11, 10, 30, "0.00307", "0"),
    ],
)
def test_small_draws_have_these_chances(
    size: int, assigned_quantity: int, total_short: int, none: str, full: str
) -> None:
    odds = drawn(size, assigned_quantity, total_short)

    assert odds.none.quantize(Decimal(none)) == Decimal(none)
    assert odds.full.quantize(Decimal(full)) == Decimal(full)


def test_a_chance_too_small_to_write_is_not_zero() -> None:
    odds = drawn(2**61, 2**61, 2**62)

    assert (odds.none, odds.full) == (SMALLEST, SMALLEST)
    assert SMALLEST > 0


def test_every_size_asked_for_is_answered() -> None:
    odds = random_draw_odds({1, 30, 65}, assigned_quantity=10, total_short=65)

    assert set(odds) == {1, 30, 65}
    assert odds[65] == RandomDrawOdds(
        none=Decimal(0), full=Decimal(0), mean=Fraction(10), variance=Fraction(0)
    )
