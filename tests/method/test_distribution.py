"""One pool's wheel (R3, D1 to D5): ranges, first hit, distribution."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.method.distribution import (
    NumberRange,
    PoolAllocation,
    allocate_pool,
    assigned_in_range,
    first_hit_number,
    numbers_hit,
    ranges_hit,
)
from lottery.method.methodology import ZeroHit
from tests import reference

TEN_THOUSANDTHS = st.integers(1, 10_000)
LARGEST_TOTAL = 2**63 - 1


def allocated(
    shorts: list[int],
    assigned_quantity: int,
    ten_thousandths: int,
    zero_hit: ZeroHit = ZeroHit.WRAP,
) -> PoolAllocation:
    """Allocate a pool."""
    return allocate_pool(
        shorts,
        assigned_quantity=assigned_quantity,
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
    )


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw the shorts of a small pool and a quantity that it can be assigned."""
    shorts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
    return shorts, draw(st.integers(1, sum(shorts)))


def numbers_of(ranges: list[NumberRange]) -> list[int]:
    """List every number of ranges, in their order."""
    return [
        number
        for hit_range in ranges
        for number in range(hit_range.first_number, hit_range.last_number + 1)
    ]


def naive_walk(first_hit: int, assigned_quantity: int, total_short: int) -> list[int]:
    """Walk the circle one number at a time."""
    walked = []
    number = first_hit
    for _ in range(assigned_quantity):
        walked.append(number)
        number = 1 if number == total_short else number + 1
    return walked


def first_hits(total_short: int, zero_hit: ZeroHit) -> Counter[int]:
    """Count the first hits of all 10,000 fractions."""
    return Counter(
        first_hit_number(ten_thousandths, total_short, zero_hit is ZeroHit.FIRST)
        for ten_thousandths in range(1, 10_001)
    )


def test_the_published_pool_is_hit_first_at_28_and_assigned_3_7_and_0() -> None:
    allocation = allocate_pool(
        [30, 30, 5], assigned_quantity=10, ten_thousandths=4314, zero_hit=ZeroHit.WRAP
    )

    assert allocation == PoolAllocation(
        ranges=(
            NumberRange(first_number=1, last_number=30),
            NumberRange(first_number=31, last_number=60),
            NumberRange(first_number=61, last_number=65),
        ),
        first_hit=28,
        assigned=(3, 7, 0),
    )
    assert [hit_range.quantity for hit_range in allocation.ranges] == [30, 30, 5]


def test_the_published_account_1047_is_hit_at_31_to_37() -> None:
    _, owned, unhit = allocate_pool(
        [30, 30, 5], assigned_quantity=10, ten_thousandths=4314, zero_hit=ZeroHit.WRAP
    ).ranges

    assert numbers_hit(owned, first_hit=28, assigned_quantity=10, total_short=65) == [
        NumberRange(first_number=31, last_number=37)
    ]
    assert numbers_hit(unhit, first_hit=28, assigned_quantity=10, total_short=65) == []


def test_under_wrap_each_of_65_numbers_gets_153_or_154_of_the_fractions() -> None:
    hits = first_hits(65, ZeroHit.WRAP)

    assert set(hits) == set(range(1, 66))
    assert Counter(hits.values()) == {153: 10, 154: 55}


def test_under_first_number_1_is_doubled_and_the_last_of_65_gets_one_fraction() -> None:
    hits = first_hits(65, ZeroHit.FIRST)

    assert hits[1] == 153 + 154
    assert hits[65] == 1
    assert {hits[number] for number in range(2, 65)} == {153, 154}
    assert hits.total() == 10_000


def test_under_first_the_first_of_two_contracts_is_hit_in_9_999_of_10_000_draws() -> None:
    assert first_hits(2, ZeroHit.FIRST) == {1: 9_999, 2: 1}
    assert first_hits(2, ZeroHit.WRAP) == {1: 5_000, 2: 5_000}


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
def test_the_only_contract_is_always_hit(zero_hit: ZeroHit) -> None:
    assert first_hits(1, zero_hit) == {1: 10_000}


def test_the_digits_zero_give_a_zero_hit_for_every_total_up_to_9_999() -> None:
    for total_short in range(1, 10_000):
        assert first_hit_number(1, total_short, zero_is_one=False) == total_short
        assert first_hit_number(1, total_short, zero_is_one=True) == 1
    assert first_hit_number(1, 10_000, zero_is_one=False) == 1
    assert first_hit_number(1, 19_999, zero_is_one=False) == 1
    assert first_hit_number(1, 20_000, zero_is_one=False) == 2


def test_digits_2899_at_total_100_give_exactly_29() -> None:
    # Floating point gives 28 here: 0.29 * 100 is 28.999999999999996.
    assert first_hit_number(2900, 100, zero_is_one=False) == 29


def test_the_fraction_one_hits_the_last_number() -> None:
    for total_short in (1, 65, 9_999, 10_000, 2**31, LARGEST_TOTAL):
        assert first_hit_number(10_000, total_short, zero_is_one=False) == total_short


@given(
    ten_thousandths=TEN_THOUSANDTHS,
    total_short=st.one_of(
        st.integers(1, 20_000), st.integers(1, LARGEST_TOTAL), st.just(LARGEST_TOTAL)
    ),
)
def test_the_first_hit_is_the_exact_product_with_its_decimals_removed(
    ten_thousandths: int, total_short: int
) -> None:
    """Law D1, D2: the split division equals exact fractions, for totals up to 2**63 - 1."""
    product = Fraction(ten_thousandths, 10_000) * total_short
    exact = product.numerator // product.denominator

    wrapped = first_hit_number(ten_thousandths, total_short, zero_is_one=False)
    first = first_hit_number(ten_thousandths, total_short, zero_is_one=True)

    assert wrapped == (exact or total_short)
    assert first == (exact or 1)
    assert 1 <= wrapped <= total_short


def test_after_the_last_number_comes_number_1() -> None:
    # 0.95 x 20 = 19, so 19 and 20, then 1 to 10, then 11 and 12.
    assert ranges_hit(first_hit=19, assigned_quantity=14, total_short=20) == [
        NumberRange(first_number=19, last_number=20),
        NumberRange(first_number=1, last_number=12),
    ]
    allocation = allocate_pool(
        [10, 5, 5], assigned_quantity=14, ten_thousandths=9_500, zero_hit=ZeroHit.WRAP
    )
    assert (allocation.first_hit, allocation.assigned) == (19, (10, 2, 2))


def test_a_stretch_that_ends_at_the_last_number_does_not_wrap() -> None:
    assert ranges_hit(first_hit=19, assigned_quantity=2, total_short=20) == [
        NumberRange(first_number=19, last_number=20)
    ]


def test_the_first_account_hit_is_hit_again_at_its_low_numbers() -> None:
    # 0.4314 x 20 = 8.628, so 8, 9, 10, then 11 to 20, then 1, 2, 3.
    allocation = allocate_pool(
        [10, 5, 5], assigned_quantity=16, ten_thousandths=4314, zero_hit=ZeroHit.WRAP
    )

    assert (allocation.first_hit, allocation.assigned) == (8, (6, 5, 5))
    assert numbers_hit(allocation.ranges[0], first_hit=8, assigned_quantity=16, total_short=20) == [
        NumberRange(first_number=8, last_number=10),
        NumberRange(first_number=1, last_number=3),
    ]


@pytest.mark.parametrize(
    ("zero_hit", "first_hit", "assigned"),
    [(ZeroHit.WRAP, 3, (1, 0, 1)), (ZeroHit.FIRST, 1, (1, 1, 0))],
)
def test_a_product_below_one_hits_the_number_that_was_decided(
    zero_hit: ZeroHit, first_hit: int, assigned: tuple[int, ...]
) -> None:
    allocation = allocate_pool(
        [1, 1, 1], assigned_quantity=2, ten_thousandths=3333, zero_hit=zero_hit
    )

    assert (allocation.first_hit, allocation.assigned) == (first_hit, assigned)


def test_an_empty_range_is_hit_by_nothing() -> None:
    assert [
        assigned_in_range(first_number, first_number - 1, first_hit, assigned_quantity, 4)
        for first_number in range(1, 6)
        for first_hit in range(1, 5)
        for assigned_quantity in range(1, 5)
    ] == [0] * 80


def test_a_pool_of_the_largest_total_is_assigned_without_overflow() -> None:
    half = 2**62
    allocation = allocate_pool(
        [half, half - 1],
        assigned_quantity=LARGEST_TOTAL,
        ten_thousandths=10_000,
        zero_hit=ZeroHit.WRAP,
    )

    assert (allocation.first_hit, allocation.assigned) == (LARGEST_TOTAL, (half, half - 1))


@given(pool=pools(), ten_thousandths=TEN_THOUSANDTHS, zero_hit=st.sampled_from(ZeroHit))
def test_the_numbers_hit_are_those_of_a_naive_walk(
    pool: tuple[list[int], int], ten_thousandths: int, zero_hit: ZeroHit
) -> None:
    """Law D3, D4: the ranges are the circle's numbers one by one, and each account has its own.

    Ranges hit, an account's numbers and the counts of `allocate_pool` are views of one walk.
    """
    shorts, assigned_quantity = pool
    total_short = sum(shorts)
    allocation = allocated(shorts, assigned_quantity, ten_thousandths, zero_hit)
    walked = naive_walk(allocation.first_hit, assigned_quantity, total_short)

    ranges = ranges_hit(
        first_hit=allocation.first_hit, assigned_quantity=assigned_quantity, total_short=total_short
    )
    assert numbers_of(ranges) == walked
    assert len(ranges) == 1 + (allocation.first_hit + assigned_quantity - 1 > total_short)
    for owned, assigned in zip(allocation.ranges, allocation.assigned, strict=True):
        hit = numbers_hit(
            owned,
            first_hit=allocation.first_hit,
            assigned_quantity=assigned_quantity,
            total_short=total_short,
        )
        own = range(owned.first_number, owned.last_number + 1)
        assert numbers_of(hit) == [number for number in walked if number in own]
        assert sum(hit_range.quantity for hit_range in hit) == assigned


@given(pool=pools(), ten_thousandths=TEN_THOUSANDTHS, zero_hit=st.sampled_from(ZeroHit))
def test_a_spin_adds_up_and_gives_nobody_more_than_its_short(
    pool: tuple[list[int], int], ten_thousandths: int, zero_hit: ZeroHit
) -> None:
    """Laws R3 and D6: ranges follow each other from 1; assigned adds up; none exceeds its short."""
    shorts, assigned_quantity = pool

    allocation = allocated(shorts, assigned_quantity, ten_thousandths, zero_hit)

    assert [owned.quantity for owned in allocation.ranges] == shorts
    assert allocation.ranges[0].first_number == 1
    assert all(
        after.first_number == before.last_number + 1
        for before, after in pairwise(allocation.ranges)
    )
    assert sum(allocation.assigned) == assigned_quantity
    assert all(0 <= hit <= short for hit, short in zip(allocation.assigned, shorts, strict=True))


@given(
    shorts=st.lists(st.integers(1, 2**58), min_size=1, max_size=6),
    quantity=st.integers(1, 40),
    ten_thousandths=TEN_THOUSANDTHS,
    zero_hit=st.sampled_from(ZeroHit),
)
def test_a_pool_is_allocated_as_by_the_reference(
    shorts: list[int], quantity: int, ten_thousandths: int, zero_hit: ZeroHit
) -> None:
    """Law R3, D1 to D4: contracts handed out one at a time come out the same."""
    assigned_quantity = min(quantity, sum(shorts))
    expected = reference.allocate_pool(
        [(str(account), short) for account, short in enumerate(shorts, start=1)],
        assigned_quantity,
        Fraction(ten_thousandths, 10_000),
        zero_hit=zero_hit.value,
    )

    allocation = allocated(shorts, assigned_quantity, ten_thousandths, zero_hit)

    assert allocation.first_hit == expected.first_hit
    assert [
        (owned.first_number, owned.last_number, assigned)
        for owned, assigned in zip(allocation.ranges, allocation.assigned, strict=True)
    ] == [(row.first_number, row.last_number, row.assigned_quantity) for row in expected.accounts]


@pytest.mark.parametrize("shorts", [[0], [1, 0, 1], [3, -1]])
def test_a_position_without_contracts_is_not_allocated(shorts: list[int]) -> None:
    with pytest.raises(ValueError, match="P2"):
        allocated(shorts, 1, 1)


@pytest.mark.parametrize(
    ("shorts", "assigned_quantity"), [([], 1), ([], 0), ([2], 0), ([2], -1), ([2, 3], 6)]
)
def test_a_quantity_of_nothing_or_above_the_total_is_not_allocated(
    shorts: list[int], assigned_quantity: int
) -> None:
    with pytest.raises(ValueError, match=rf"must be 1 to .* \(D5\), got {assigned_quantity}$"):
        allocated(shorts, assigned_quantity, 1)


@pytest.mark.parametrize("ten_thousandths", [-1, 0, 10_001])
def test_a_fraction_out_of_bounds_allocates_nothing(ten_thousandths: int) -> None:
    with pytest.raises(ValueError, match="S6"):
        allocate_pool(
            [2], assigned_quantity=1, ten_thousandths=ten_thousandths, zero_hit=ZeroHit.WRAP
        )
