"""OCC's wheel of 25, against a wheel that is turned contract by contract."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lottery.method.occ_wheel import INCREMENT_LIMIT, OccWheel, OccWheelOdds, occ_wheel


def turned(total_short: int, assigned_quantity: int) -> list[bool]:
    """Assigns on a wheel as OCC's procedure says it, from its first contract on.

    The formulas are the published ones in decimals, each skip after the one before, and contracts
    are assigned one at a time, none twice.
    """
    six = Decimal("0.000001")
    increments = Decimal(-(-assigned_quantity // 25))
    initial_skip = max(
        Decimal(0), (Decimal(total_short) / increments).quantize(six, ROUND_DOWN) - 25
    )
    wheel = [False] * total_short
    at, left, carried = 0, assigned_quantity, Decimal(0)
    while left:
        for _ in range(min(25, left)):
            assert not wheel[at % total_short], "a contract is assigned twice"
            wheel[at % total_short] = True
            at += 1
            left -= 1
        skip = initial_skip + carried
        carried = skip % 1
        at += int(skip)
    return wheel


def odds_of(wheel: list[bool], size: int) -> OccWheelOdds:
    """An account's odds over all starting points."""
    total_short = len(wheel)
    outcomes = Counter(
        sum(wheel[(start + contract) % total_short] for contract in range(size))
        for start in range(total_short)
    )
    mean = Fraction(sum(outcome * times for outcome, times in outcomes.items()), total_short)
    squares = sum(outcome**2 * times for outcome, times in outcomes.items())
    return OccWheelOdds(
        none=Fraction(outcomes[0], total_short),
        full=Fraction(outcomes[size], total_short),
        mean=mean,
        variance=Fraction(squares, total_short) - mean**2,
    )


def wheel_of(total_short: int, assigned_quantity: int) -> OccWheel:
    wheel = occ_wheel(total_short=total_short, assigned_quantity=assigned_quantity)
    assert wheel is not None
    return wheel


@st.composite
def wheels(draw: st.DrawFn, largest: int) -> tuple[int, int]:
    """Draw a total and what is assigned of it."""
    total_short = draw(st.integers(1, largest))
    return total_short, draw(st.integers(1, total_short))


@settings(deadline=None)
@given(wheels(largest=2_000))
@example((65, 10))
@example((65, 65))
@example((100, 75))
@example((101, 100))
@example((77, 51))
def test_the_increments_stand_where_the_published_procedure_puts_them(
    wheel: tuple[int, int],
) -> None:
    """Law: turning the wheel contract by contract assigns the same ones, and none twice."""
    total_short, assigned_quantity = wheel
    made = wheel_of(total_short, assigned_quantity)
    lengths = [25] * (len(made.starts) - 1) + [made.last_increment]
    assigned = {
        contract
        for start, length in zip(made.starts, lengths, strict=True)
        for contract in range(start, start + length)
    }

    turned_wheel = turned(total_short, assigned_quantity)
    assert assigned == {contract for contract, hit in enumerate(turned_wheel) if hit}
    assert len(assigned) == assigned_quantity


@settings(deadline=None, max_examples=200)
@given(wheels(largest=160), st.data())
@example((65, 10), None)
@example((65, 65), None)
@example((101, 100), None)
@example((77, 51), None)
@example((3, 2), None)
@example((1, 1), None)
def test_the_odds_are_those_of_all_starting_points(
    wheel: tuple[int, int], data: st.DataObject | None
) -> None:
    """Law: enumerating every starting point gives none, full, mean and variance."""
    total_short, assigned_quantity = wheel
    sizes = st.lists(st.integers(1, total_short), min_size=1, max_size=4)
    asked = {1, total_short} if data is None else set(data.draw(sizes))
    turned_wheel = turned(total_short, assigned_quantity)

    odds = wheel_of(total_short, assigned_quantity).odds(asked)

    assert odds == {size: odds_of(turned_wheel, size) for size in asked}


@settings(deadline=None, max_examples=20)
@given(wheels(largest=1_500), st.data())
def test_many_increments_and_carried_decimals_change_nothing_of_that(
    wheel: tuple[int, int], data: st.DataObject
) -> None:
    """Law: the same on wheels with up to sixty increments."""
    total_short, assigned_quantity = wheel
    size = data.draw(st.integers(1, min(90, total_short)))

    odds = wheel_of(total_short, assigned_quantity).odds([size])

    assert odds[size] == odds_of(turned(total_short, assigned_quantity), size)


@given(wheels(largest=10**9))
@settings(deadline=None)
def test_every_account_has_its_share_in_the_mean(wheel: tuple[int, int]) -> None:
    """Law: the position on the wheel does not matter, for any start is as likely as any other."""
    total_short, assigned_quantity = wheel
    assigned_quantity = min(assigned_quantity, 25 * 200)
    odds = wheel_of(total_short, assigned_quantity).odds([1, total_short])

    assert odds[1].mean == odds[1].full == 1 - odds[1].none
    assert odds[1].mean == Fraction(assigned_quantity, total_short)
    assert odds[total_short].mean == assigned_quantity
    assert odds[total_short].variance == 0


def test_up_to_25_contracts_are_one_increment_and_stand_together() -> None:
    wheel = wheel_of(65, 10)

    assert (wheel.starts, wheel.last_increment) == ((0,), 10)
    assert wheel.odds([5])[5].none == Fraction(65 - 10 - 5 + 1, 65)


def test_skips_carry_their_decimals_on() -> None:
    # Three increments on 100: 100 / 3 - 25 = 8.333333, so the skips are 8, 8 and, carried, 8.
    assert wheel_of(100, 75).starts == (0, 33, 66)
    # Three on 101: 8.666666, so 8 and then 17.333332 in all.
    assert wheel_of(101, 75).starts == (0, 33, 67)


def test_without_room_for_skips_the_increments_are_one_run() -> None:
    wheel = wheel_of(101, 99)

    assert wheel.starts == (0, 25, 50, 75)
    assert wheel.odds([99])[99].full == Fraction(1, 101)


@pytest.mark.parametrize(("assigned_quantity", "is_there"), [(0, True), (1, False)])
def test_more_increments_than_the_limit_are_not_worked_out(
    assigned_quantity: int, *, is_there: bool
) -> None:
    quantity = 25 * INCREMENT_LIMIT + assigned_quantity
    wheel = occ_wheel(total_short=2**40, assigned_quantity=quantity)

    assert (wheel is not None) is is_there
