"""The odds (R3, S6, D1 to D5) against the allocation itself, over all 10,000 fractions."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from typing import Final, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lottery.day import single_pool
from lottery.day.pool_loops import ASSIGNED
from lottery.method.distribution import NumberRange, allocate_pool
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.method.odds import (
    AccountOdds,
    Chance,
    NumbersHitFirst,
    PoolOdds,
    first_hits_of,
    pool_odds,
)
from tests import reference

NUMERIC: Final = AccountOrder.NUMERIC
FRACTIONS: Final = range(1, 10_001)
ZERO_HITS: Final[dict[ZeroHit, Literal["wrap", "first"]]] = {
    ZeroHit.WRAP: "wrap",
    ZeroHit.FIRST: "first",
}

Pool = tuple[list[int], int]


@st.composite
def pools(draw: st.DrawFn, largest: int = 2**40) -> Pool:
    """Draw the shorts of a pool, of any size, and a quantity that it can be assigned."""
    size = st.one_of(st.integers(1, 6), st.integers(1, 400), st.integers(1, largest))
    shorts = draw(st.lists(size, min_size=1, max_size=6))
    total_short = sum(shorts)
    quantity = st.one_of(
        st.integers(1, total_short), st.just(total_short), st.integers(1, min(30, total_short))
    )
    return shorts, draw(quantity)


def odds_of(pool: Pool, zero_hit: ZeroHit = ZeroHit.WRAP) -> PoolOdds:
    shorts, assigned_quantity = pool
    return pool_odds(shorts, assigned_quantity=assigned_quantity, zero_hit=zero_hit)


def counted(odds: PoolOdds) -> list[Counter[int]]:
    """By account, how many fractions assign it how much."""
    return [
        Counter({chance.assigned_quantity: chance.fraction_count for chance in account.chances})
        for account in odds.accounts.values()
    ]


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@settings(max_examples=4, deadline=None)
@given(pool=pools())
@example(pool=([1], 1))
@example(pool=([1, 1], 1))
@example(pool=([30, 30, 5], 10))
@example(pool=([30, 30, 5], 65))
@example(pool=([3, 4_000, 3_000, 2_999], 3_500))
@example(pool=([5_000, 20_000, 7], 12_000))
def test_the_odds_are_what_the_allocation_gives_over_all_fractions(
    pool: Pool, zero_hit: ZeroHit
) -> None:
    """Law: enumerating the 10,000 fractions by `allocate_pool` gives the odds."""
    shorts, assigned_quantity = pool
    enumerated: list[Counter[int]] = [Counter() for _ in shorts]
    for ten_thousandths in FRACTIONS:
        allocation = allocate_pool(
            shorts,
            assigned_quantity=assigned_quantity,
            ten_thousandths=ten_thousandths,
            zero_hit=zero_hit,
        )
        for counter, assigned in zip(enumerated, allocation.assigned, strict=True):
            counter[assigned] += 1

    assert counted(odds_of(pool, zero_hit)) == enumerated


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@settings(max_examples=3, deadline=None)
@given(pool=pools())
@example(pool=([30, 30, 5], 10))
def test_the_odds_are_what_the_days_own_loop_gives_over_all_fractions(
    pool: Pool, zero_hit: ZeroHit
) -> None:
    """Law: enumerating the 10,000 fractions by the compiled allocation gives the odds."""
    shorts, assigned_quantity = pool
    accounts = [str(account + 1) for account in range(len(shorts))]
    enumerated: list[Counter[int]] = [Counter() for _ in shorts]
    for ten_thousandths in FRACTIONS:
        allocated = single_pool.allocate_pool(
            accounts,
            shorts,
            account_order=NUMERIC,
            assigned_quantity=assigned_quantity,
            ten_thousandths=ten_thousandths,
            zero_hit=zero_hit,
        )
        assert allocated is not None
        assigned_quantities = allocated.rows[:, ASSIGNED].tolist()
        for counter, assigned in zip(enumerated, assigned_quantities, strict=True):
            counter[assigned] += 1

    assert counted(odds_of(pool, zero_hit)) == enumerated


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@settings(max_examples=3, deadline=None)
@given(shorts=st.lists(st.integers(1, 40), min_size=1, max_size=5), data=st.data())
@example(shorts=[30, 30, 5], data=None)
def test_the_odds_are_what_the_reference_gives_over_all_fractions(
    shorts: list[int], data: st.DataObject | None, zero_hit: ZeroHit
) -> None:
    """Law: enumerating the 10,000 fractions contract by contract gives the odds."""
    assigned_quantity = 10 if data is None else data.draw(st.integers(1, min(12, sum(shorts))))
    positions = [(str(account + 1), short) for account, short in enumerate(shorts)]
    enumerated: list[Counter[int]] = [Counter() for _ in shorts]
    for ten_thousandths in FRACTIONS:
        pool = reference.allocate_pool(
            positions,
            assigned_quantity,
            Fraction(ten_thousandths, 10_000),
            zero_hit=ZERO_HITS[zero_hit],
        )
        for counter, account in zip(enumerated, pool.accounts, strict=True):
            counter[account.assigned_quantity] += 1

    assert counted(odds_of((shorts, assigned_quantity), zero_hit)) == enumerated


@given(zero_hit=st.sampled_from(ZeroHit), share=st.integers(0, 100))
@settings(max_examples=6, deadline=None)
def test_the_odds_of_late_notices_are_what_the_reference_gives_over_all_fractions(
    zero_hit: ZeroHit, share: int
) -> None:
    """Law P6: they count the numbers from which the late contracts are assigned."""
    shorts, quantity = [7, 30, 5], 6
    before = (sum(shorts) - quantity) * share // 100
    odds = pool_odds(shorts, assigned_quantity=quantity, zero_hit=zero_hit, assigned_before=before)
    expected: list[Counter[int]] = [Counter() for _ in shorts]
    for fraction in FRACTIONS:
        pool = reference.allocate_pool(
            [(str(index), short) for index, short in enumerate(shorts)],
            quantity,
            Fraction(fraction, 10_000),
            zero_hit=ZERO_HITS[zero_hit],
            assigned_before=before,
        )
        for index, row in enumerate(pool.accounts):
            expected[index][row.assigned_quantity] += 1

    assert counted(odds) == expected


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@settings(max_examples=40, deadline=None)
@given(pool=pools(largest=2**61))
def test_the_odds_of_every_account_sum_to_exactly_one(pool: Pool, zero_hit: ZeroHit) -> None:
    """Law: an account's chances are a distribution, and none of them is empty."""
    for account in odds_of(pool, zero_hit).accounts.values():
        assert sum(chance.fraction_count for chance in account.chances) == 10_000
        assert all(chance.fraction_count > 0 for chance in account.chances)
        quantities = [chance.assigned_quantity for chance in account.chances]
        assert quantities == sorted(set(quantities))
        assert 0 <= quantities[0] <= quantities[-1] <= account.short_quantity


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@settings(max_examples=40, deadline=None)
@given(pool=pools(largest=2**61))
def test_the_means_of_a_pool_add_up_to_what_is_assigned(pool: Pool, zero_hit: ZeroHit) -> None:
    """Law: nothing is lost or won in the mean, by the method or by what it is compared with."""
    accounts = odds_of(pool, zero_hit).accounts.values()

    assert sum(account.mean for account in accounts) == pool[1]
    assert sum(account.share_quantity for account in accounts) == pool[1]
    assert sum(account.mean_less_share for account in accounts) == 0
    assert all(account.random_draw.mean == account.share_quantity for account in accounts)


@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_mean_and_variance_are_those_of_the_distribution(pool: Pool) -> None:
    """Law: they follow from the chances, worked fraction by fraction."""
    for account in odds_of(pool).accounts.values():
        outcomes = [
            chance.assigned_quantity
            for chance in account.chances
            for _ in range(chance.fraction_count)
        ]
        mean = Fraction(sum(outcomes), 10_000)
        squares = Fraction(sum(outcome**2 for outcome in outcomes), 10_000)

        assert (account.mean, account.variance) == (mean, squares - mean**2)
        assert account.none == Fraction(outcomes.count(0), 10_000)
        assert account.full == Fraction(outcomes.count(account.short_quantity), 10_000)


@given(pool=pools(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_an_account_alone_has_the_odds_that_it_has_among_all(
    pool: Pool, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(pool[0]) - 1))

    alone = pool_odds(pool[0], assigned_quantity=pool[1], zero_hit=ZeroHit.WRAP, only=[index])

    assert alone.accounts == {index: odds_of(pool).accounts[index]}


def test_a_pool_may_be_asked_for_no_account_at_all() -> None:
    odds = pool_odds([30, 30, 5], assigned_quantity=10, zero_hit=ZeroHit.WRAP, only=[])

    assert odds.accounts == {}
    assert odds.first_hits == odds_of(([30, 30, 5], 10)).first_hits


def test_the_published_pool_has_these_odds() -> None:
    odds = odds_of(([30, 30, 5], 10))
    account = odds.accounts[2]

    assert (odds.assigned_quantity, odds.total_short) == (10, 65)
    assert account.owned == NumberRange(first_number=61, last_number=65)
    assert (account.none_count, account.full_count) == (7_846, 923)
    assert account.chances == tuple(
        Chance(assigned_quantity=quantity, fraction_count=count)
        for quantity, count in enumerate([7_846, 308, 307, 308, 308, 923])
    )
    assert account.mean == Fraction(7_693, 10_000)
    assert account.mean_less_share == Fraction(7_693, 10_000) - Fraction(50, 65)


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
@pytest.mark.parametrize("shorts", [[1], [7], [30, 30, 5], [20_000, 1]])
def test_where_everything_is_assigned_everyone_is_certain_to_get_it_all(
    shorts: list[int], zero_hit: ZeroHit
) -> None:
    for account in odds_of((shorts, sum(shorts)), zero_hit).accounts.values():
        assert account.occ_wheel is not None
        for odds in (account, account.random_draw, account.occ_wheel):
            assert odds.none == 0
            assert odds.full == 1
            assert odds.mean == account.short_quantity
            assert odds.variance == 0


@pytest.mark.parametrize("total_short", [1, 2, 65, 9_999, 10_000, 10_001, 30_000, 2**62])
@pytest.mark.parametrize("zero_hit", list(ZeroHit))
def test_every_number_is_counted_once_in_how_evenly_they_are_hit_first(
    total_short: int, zero_hit: ZeroHit
) -> None:
    hits = first_hits_of(total_short, zero_hit)

    assert sum(numbers.number_count for numbers in hits.evenness) == total_short
    assert sum(each.number_count * each.fraction_count for each in hits.evenness) == 10_000
    assert hits.counts_before[-1] == 10_000
    assert hits.never_first == total_short - len(set(hits.numbers))


def test_a_pool_over_10_000_contracts_has_numbers_that_are_never_hit_first() -> None:
    assert first_hits_of(30_000, ZeroHit.WRAP).evenness == (
        NumbersHitFirst(fraction_count=0, number_count=20_000),
        NumbersHitFirst(fraction_count=1, number_count=10_000),
    )
    assert first_hits_of(10_000, ZeroHit.WRAP).never_first == 0


def test_under_wrap_the_numbers_of_65_are_hit_first_by_153_or_154_fractions() -> None:
    assert first_hits_of(65, ZeroHit.WRAP).evenness == (
        NumbersHitFirst(fraction_count=153, number_count=10),
        NumbersHitFirst(fraction_count=154, number_count=55),
    )


def test_under_first_the_only_other_contract_is_hit_first_by_one_fraction() -> None:
    odds = odds_of(([1, 1], 1), ZeroHit.FIRST)

    assert [account.full_count for account in odds.accounts.values()] == [9_999, 1]


def test_a_pool_of_10_000_accounts_sums_up_as_a_small_one_does() -> None:
    shorts = [1 + account % 60 for account in range(10_000)]
    odds = odds_of((shorts, 30_000))

    assert len(odds.accounts) == 10_000
    assert all(sum(counter.values()) == 10_000 for counter in counted(odds))
    assert sum(account.mean for account in odds.accounts.values()) == 30_000


def test_past_a_million_contracts_assigned_the_wheel_is_left_out() -> None:
    account: AccountOdds = odds_of(([2_000_000, 5], 1_000_001)).accounts[1]

    assert account.occ_wheel is None
    assert sum(chance.fraction_count for chance in account.chances) == 10_000


@pytest.mark.parametrize(
    ("shorts", "assigned_quantity", "message"),
    [
        ([], 1, "total short of 0 (D5), got 1"),
        ([30, 0], 1, "at least 1 (P2), got 0"),
        ([30, -1], 1, "at least 1 (P2), got -1"),
        ([30], 0, "total short of 30 (D5), got 0"),
        ([30], 31, "total short of 30 (D5), got 31"),
    ],
)
def test_a_pool_without_odds_is_a_value_error(
    shorts: list[int], assigned_quantity: int, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        odds_of((shorts, assigned_quantity))
