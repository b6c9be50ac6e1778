"""One pool: ranges, first hit, distribution (rules R3, P6, D1 to D5).

The first two functions are the rules themselves, in 64-bit integer arithmetic that cannot overflow
for totals up to 2**63 - 1, because `lottery.day` compiles these very functions into its loops: each
rule is written once.

Invariants:
- Numbers start at 1, and both ends of a range are inclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from lottery.method.methodology import ZeroHit
from lottery.method.seed import DENOMINATOR


def first_hit_number(ten_thousandths: int, total_short: int, zero_is_one: bool) -> int:  # noqa: FBT001
    """Return the first number hit: the fraction of the total, decimals removed (D1, D2).

    The division is split so that no product exceeds the total: with total = 10,000 q + r,
    n * total // 10,000 = n * q + n * r // 10,000.

    Args:
        ten_thousandths: The fraction's numerator, 1 to 10,000.
        total_short: Contracts short in the pool, 1 to 2**63 - 1.
        zero_is_one: Whether a product below one hits number 1 (`zero_hit = first`) or the last
            number (`zero_hit = wrap`).
    """
    hit = (
        ten_thousandths * (total_short // 10_000)
        + ten_thousandths * (total_short % 10_000) // 10_000
    )
    if hit > 0:
        return hit
    return 1 if zero_is_one else total_short


def assigned_in_range(
    first_number: int, last_number: int, first_hit: int, assigned_quantity: int, total_short: int
) -> int:
    """Return how many numbers of a range are hit (D3, D4).

    Hits run from the first one; those that do not fit before the last number continue from number
    1. No number is hit twice, because no more is assigned than the total (D5).

    Args:
        first_number: The range's first number.
        last_number: Its last, inclusive; one less than the first for an empty range.
        first_hit: The first number hit, 1 to `total_short`.
        assigned_quantity: Contracts assigned to the pool, at most `total_short`.
        total_short: Contracts short in the pool.
    """
    before_wrap = min(assigned_quantity, total_short - first_hit + 1)
    after_wrap = assigned_quantity - before_wrap
    hit = max(0, min(last_number, first_hit + before_wrap - 1) - max(first_number, first_hit) + 1)
    return hit + max(0, min(last_number, after_wrap) - first_number + 1)


def continued_number(first_hit: int, assigned_before: int, total_short: int) -> int:
    """Return the number that late notices continue from: the one after the last hit (P6, D4).

    Args:
        first_hit: The pool's first number hit on the date, 1 to `total_short`.
        assigned_before: Contracts assigned from there by earlier cycles, less than `total_short`;
            with none this is the first hit itself.
        total_short: Contracts short in the pool.
    """
    left = total_short - first_hit
    return first_hit + assigned_before if assigned_before <= left else assigned_before - left


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """Consecutive numbers, both ends inclusive."""

    first_number: int
    last_number: int

    @property
    def quantity(self) -> int:
        """How many numbers there are."""
        return self.last_number - self.first_number + 1


def ranges_hit(*, first_hit: int, assigned_quantity: int, total_short: int) -> list[NumberRange]:
    """Return the numbers hit in the order of assignment: one range, or two with a wrap (D4)."""
    before_wrap = min(assigned_quantity, total_short - first_hit + 1)
    ranges = [NumberRange(first_number=first_hit, last_number=first_hit + before_wrap - 1)]
    if assigned_quantity > before_wrap:
        ranges.append(NumberRange(first_number=1, last_number=assigned_quantity - before_wrap))
    return ranges


def numbers_hit(
    owned: NumberRange, *, first_hit: int, assigned_quantity: int, total_short: int
) -> list[NumberRange]:
    """Return the numbers hit of an account's range, in the order of assignment (D3, D4)."""
    found = []
    for hit in ranges_hit(
        first_hit=first_hit, assigned_quantity=assigned_quantity, total_short=total_short
    ):
        first = max(owned.first_number, hit.first_number)
        last = min(owned.last_number, hit.last_number)
        if first <= last:
            found.append(NumberRange(first_number=first, last_number=last))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAllocation:
    """One pool allocated.

    Attributes:
        ranges: Each account's numbers, in the order of the accounts (R3).
        first_hit: The first number hit (D1, D2).
        assigned: Each account's assigned quantity, in the same order (D3, D4).
    """

    ranges: tuple[NumberRange, ...]
    first_hit: int
    assigned: tuple[int, ...]


def allocate_pool(
    shorts: Sequence[int], *, assigned_quantity: int, ten_thousandths: int, zero_hit: ZeroHit
) -> PoolAllocation:
    """Allocate one pool: the whole method in a few lines.

    Args:
        shorts: Each account's short quantity, in the order of the accounts (R1), each at least 1.
        assigned_quantity: Contracts assigned, 1 to the sum of `shorts`.
        ten_thousandths: The fraction's numerator over 10,000.
        zero_hit: The choice of D2.

    Raises:
        ValueError: An argument is outside of these bounds; that more is assigned than the total
            (a break, D5) is for the caller to find.
    """
    total_short = check_pool(shorts, assigned_quantity)
    if not 1 <= ten_thousandths <= DENOMINATOR:
        raise ValueError(f"ten_thousandths must be 1 to 10,000 (S6), got {ten_thousandths}")
    first_hit = first_hit_number(ten_thousandths, total_short, zero_hit is ZeroHit.FIRST)
    ranges = number_ranges(shorts)
    assigned = tuple(
        assigned_in_range(
            owned.first_number, owned.last_number, first_hit, assigned_quantity, total_short
        )
        for owned in ranges
    )
    return PoolAllocation(ranges=ranges, first_hit=first_hit, assigned=assigned)


def number_ranges(shorts: Sequence[int]) -> tuple[NumberRange, ...]:
    """Return each account's numbers, in the order of the accounts (R3)."""
    return tuple(
        NumberRange(first_number=last_number - short + 1, last_number=last_number)
        for short, last_number in zip(shorts, accumulate(shorts), strict=True)
    )


def check_pool(shorts: Sequence[int], assigned_quantity: int) -> int:
    """Return a pool's total short.

    Raises:
        ValueError: A short quantity is below 1 (P2), or the assigned quantity is not 1 to the
            total (D5).
    """
    total_short = sum(shorts)
    if min(shorts, default=1) < 1:
        raise ValueError(f"short quantities must be at least 1 (P2), got {min(shorts)}")
    if not 1 <= assigned_quantity <= total_short:
        raise ValueError(
            f"assigned quantity must be 1 to the total short of {total_short} (D5), "
            f"got {assigned_quantity}"
        )
    return total_short
