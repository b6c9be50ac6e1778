"""Every account's exact chances before the day's fraction is known (rules R3, S6, D1 to D5).

The method's fraction is one of 10,000 (S6), and each is counted once: the chances are whole numbers
of 10,000, by the rules that allocate, and no fraction is drawn. Whether the day's volumes favor
some fractions is not examined here. Two other ways to assign the same contracts are given for
comparison: a draw contract by contract (`random_draw`) and OCC's own wheel (`occ_wheel`).

Invariants:
- An account's chances add up to 10,000.
- The means of a pool's accounts add up to the assigned quantity, for each of the three ways.
- The chances are those that `distribution.allocate_pool` gives over all 10,000 fractions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

from lottery.method.distribution import (
    NumberRange,
    assigned_in_range,
    check_pool,
    continued_number,
    first_hit_number,
    number_ranges,
)
from lottery.method.methodology import ZeroHit
from lottery.method.occ_wheel import OccWheelOdds, occ_wheel
from lottery.method.random_draw import RandomDrawOdds, random_draw_odds
from lottery.method.seed import DENOMINATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """In how many of the 10,000 fractions an account is assigned a quantity."""

    assigned_quantity: int
    fraction_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOdds:
    """One account's chances.

    Attributes:
        owned: Its numbers (R3).
        chances: By assigned quantity, ascending; quantities that no fraction gives are left out.
        share_quantity: The assigned quantity times its share of the pool's total short: its mean
            if every number were as likely to be hit as any other.
        random_draw: A draw contract by contract.
        occ_wheel: OCC's wheel; None beyond `occ_wheel.INCREMENT_LIMIT`.
    """

    owned: NumberRange
    chances: tuple[Chance, ...]
    share_quantity: Fraction
    random_draw: RandomDrawOdds
    occ_wheel: OccWheelOdds | None

    @property
    def short_quantity(self) -> int:
        """Its short quantity."""
        return self.owned.quantity

    @property
    def none_count(self) -> int:
        """How many of the 10,000 fractions assign it nothing."""
        return self._count_of(0)

    @property
    def full_count(self) -> int:
        """How many of the 10,000 fractions assign its whole short position."""
        return self._count_of(self.short_quantity)

    @property
    def none(self) -> Fraction:
        """The chance that it is assigned nothing."""
        return Fraction(self.none_count, DENOMINATOR)

    @property
    def full(self) -> Fraction:
        """The chance that its whole short position is assigned."""
        return Fraction(self.full_count, DENOMINATOR)

    @property
    def mean(self) -> Fraction:
        """The mean of its assigned quantity."""
        total = sum(chance.assigned_quantity * chance.fraction_count for chance in self.chances)
        return Fraction(total, DENOMINATOR)

    @property
    def variance(self) -> Fraction:
        """The variance of its assigned quantity."""
        squares = sum(
            chance.assigned_quantity**2 * chance.fraction_count for chance in self.chances
        )
        return Fraction(squares, DENOMINATOR) - self.mean**2

    @property
    def mean_less_share(self) -> Fraction:
        """By how much its mean exceeds `share_quantity`; negative if it is below."""
        return self.mean - self.share_quantity

    def _count_of(self, quantity: int) -> int:
        return sum(
            chance.fraction_count for chance in self.chances if chance.assigned_quantity == quantity
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersHitFirst:
    """How many numbers of a pool are hit first by the same count of the 10,000 fractions."""

    fraction_count: int
    number_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstHits:
    """The first hits of all 10,000 fractions in a pool (D1, D2).

    Attributes:
        total_short: Contracts short in the pool.
        numbers: The numbers that are hit first by some fraction, ascending.
        counts_before: How many fractions hit a number before each of them; one more at the end,
            which is 10,000.
    """

    total_short: int
    numbers: tuple[int, ...]
    counts_before: tuple[int, ...]

    @property
    def never_first(self) -> int:
        """How many numbers no fraction hits first: all but 10,000 at most of a larger pool."""
        return self.total_short - len(self.numbers)

    @property
    def evenness(self) -> tuple[NumbersHitFirst, ...]:
        """How evenly the numbers are hit first: every number counted once, ascending.

        Of a total of 65, under `zero_hit = wrap`, 10 numbers are hit first by 153 fractions each
        and 55 by 154.
        """
        counts = Counter(after - before for before, after in pairwise(self.counts_before))
        if self.never_first:
            counts[0] = self.never_first
        return tuple(
            NumbersHitFirst(fraction_count=fraction_count, number_count=number_count)
            for fraction_count, number_count in sorted(counts.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOdds:
    """The chances in one pool.

    Attributes:
        assigned_quantity: Contracts assigned to the pool.
        first_hits: The first hits of all fractions.
        accounts: The chances asked for, by the account's index in the pool.
    """

    assigned_quantity: int
    first_hits: FirstHits
    accounts: dict[int, AccountOdds]

    @property
    def total_short(self) -> int:
        """Contracts short in the pool."""
        return self.first_hits.total_short


def pool_odds(
    shorts: Sequence[int],
    *,
    assigned_quantity: int,
    zero_hit: ZeroHit,
    only: Collection[int] | None = None,
    assigned_before: int = 0,
) -> PoolOdds:
    """Return the chances of a pool's accounts.

    Args:
        shorts: Each account's short quantity, in the order of the accounts (R1), each at least 1.
        assigned_quantity: Contracts assigned, 1 to the sum of `shorts`.
        zero_hit: The choice of D2.
        only: The indices of the accounts asked for; None for all.
        assigned_before: Contracts that earlier cycles of the date assigned (P6), so that these are
            assigned from another number; with them at most the sum of `shorts`.

    Raises:
        ValueError: An argument is outside of these bounds.
        IndexError: There is no account of an index asked for.
    """
    total_short = check_pool(shorts, assigned_quantity)
    first_hits = first_hits_of(total_short, zero_hit, assigned_before)
    indices = range(len(shorts)) if only is None else sorted(set(only))
    ranges = number_ranges(shorts)
    sizes = {shorts[index] for index in indices}
    draws = random_draw_odds(sizes, assigned_quantity=assigned_quantity, total_short=total_short)
    wheel = occ_wheel(total_short=total_short, assigned_quantity=assigned_quantity)
    wheel_odds = {} if wheel is None else wheel.odds(sizes)
    return PoolOdds(
        assigned_quantity=assigned_quantity,
        first_hits=first_hits,
        accounts={
            index: AccountOdds(
                owned=ranges[index],
                chances=chances_of(ranges[index], first_hits, assigned_quantity),
                share_quantity=Fraction(assigned_quantity * shorts[index], total_short),
                random_draw=draws[shorts[index]],
                occ_wheel=wheel_odds.get(shorts[index]),
            )
            for index in indices
        },
    )


def first_hits_of(total_short: int, zero_hit: ZeroHit, assigned_before: int = 0) -> FirstHits:
    """Count the first hits of all 10,000 fractions, or the numbers that late notices go on from.

    Args:
        total_short: Contracts short in the pool, at least 1.
        zero_hit: The choice of D2.
        assigned_before: Contracts assigned by earlier cycles (P6), less than `total_short`.
    """
    zero_is_one = zero_hit is ZeroHit.FIRST
    counts = Counter(
        continued_number(
            first_hit_number(ten_thousandths, total_short, zero_is_one),
            assigned_before,
            total_short,
        )
        for ten_thousandths in range(1, DENOMINATOR + 1)
    )
    numbers = sorted(counts)
    return FirstHits(
        total_short=total_short,
        numbers=tuple(numbers),
        counts_before=tuple(accumulate((counts[number] for number in numbers), initial=0)),
    )


def chances_of(
    owned: NumberRange, first_hits: FirstHits, assigned_quantity: int
) -> tuple[Chance, ...]:
    """Return one account's chances by assigned quantity, ascending.

    As the first hit moves on by one, the numbers hit gain one at the front and lose one at the
    back. What an account is assigned changes its slope only when the first hit, or the number after
    the last hit, enters or leaves the account's range. Between two such turns it is constant, or
    rises or falls by one with each number: if it is constant, all fractions there are counted at
    once, otherwise each first hit by itself.

    Args:
        owned: The account's numbers.
        first_hits: The first hits of the pool.
        assigned_quantity: Contracts assigned to the pool, 1 to its total short.
    """
    total_short = first_hits.total_short
    counts: Counter[int] = Counter()

    def assigned(first_hit: int) -> int:
        return assigned_in_range(
            owned.first_number, owned.last_number, first_hit, assigned_quantity, total_short
        )

    turns = {1, total_short + 1}
    for bound in (owned.first_number, owned.last_number + 1):
        turns |= {_wrapped(bound, total_short), _wrapped(bound - assigned_quantity, total_short)}
    for start, after in pairwise(sorted(turns)):
        first = bisect_left(first_hits.numbers, start)
        last = bisect_left(first_hits.numbers, after)
        quantity = assigned(start)
        if quantity == assigned(after - 1):
            counts[quantity] += first_hits.counts_before[last] - first_hits.counts_before[first]
            continue
        for index in range(first, last):
            before, until = first_hits.counts_before[index : index + 2]
            counts[assigned(first_hits.numbers[index])] += until - before
    return tuple(
        Chance(assigned_quantity=quantity, fraction_count=count)
        for quantity, count in sorted(counts.items())
        if count
    )


def _wrapped(number: int, total_short: int) -> int:
    """Return the number from 1 to `total_short` that a number beyond them stands for (D4)."""
    return (number - 1) % total_short + 1
