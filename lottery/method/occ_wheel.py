"""OCC's own wheel of 25 with a pool's accounts on it: a comparison, which allocates nothing.

Published: "OCC's Standard Assignment Procedure" of The Options Clearing Corporation, as filed with
the SEC in SR-OCC-2002-19 (Release 34-46735, 67 FR 67434) and SR-OCC-2007-14 (Release 34-56845, 72
FR 67991). All short positions of a series are put on a wheel in a fixed order. With S contracts
exercised of T on the wheel, and S below T, they are assigned in increments of I = 25 from a random
starting point, with a skip between them:

1. T1 = S / I, rounded up to a whole number: the increments.
2. Initial skip = T / T1 - I with six decimals, 0 if that is negative.
3. Each skip is the initial skip plus the decimals left over from the one before; its own decimals
   are cut off and carried to the next one.

So increment k starts `25 k + floor(k * initial skip)` contracts after the first, and the last one
has the rest.

Choices made here: OCC assigns to its clearing members' accounts and puts those on the wheel; here a
member's own accounts are on it, in the order of the method (R1), as if the pool were the whole
series. The six decimals are cut, not rounded. Each of the T contracts is equally likely to be the
starting point. OCC may use another increment than 25, and assigns some products pro rata.

Invariants:
- No contract is assigned twice: the increments never reach their start again.
- The mean of every account is its share of the total short, wherever it is on the wheel.
- Its chances depend on its short quantity and on nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Final

INCREMENT: Final = 25
"""Contracts of an increment; the last one of an assignment can have fewer."""
INCREMENT_LIMIT: Final = 40_000
"""Maximum increments that are worked out: a million contracts assigned in one pool."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OccWheelOdds:
    """An account's chances on OCC's wheel.

    Attributes:
        none: The chance that it is assigned nothing.
        full: The chance that its whole short position is assigned.
        mean: The mean of its assigned quantity.
        variance: The variance of its assigned quantity.
    """

    none: Fraction
    full: Fraction
    mean: Fraction
    variance: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class OccWheel:
    """The contracts assigned on a wheel that starts at its first contract.

    Attributes:
        total_short: Contracts on the wheel.
        assigned_quantity: Contracts assigned.
        starts: Where each increment starts, the first contract of the wheel being 0, ascending.
    """

    total_short: int
    assigned_quantity: int
    starts: tuple[int, ...]

    @property
    def last_increment(self) -> int:
        """Contracts of the last increment."""
        return self.assigned_quantity - INCREMENT * (len(self.starts) - 1)

    def odds(self, sizes: Iterable[int]) -> dict[int, OccWheelOdds]:
        """Return the chances of accounts by their short quantity.

        Args:
            sizes: Short quantities of accounts, each 1 to `total_short`.
        """
        wanted = set(sizes)
        runs, gaps = _runs_and_gaps(self)
        squares = _sums_of_squares(self, wanted)
        found = {}
        for size in wanted:
            mean = Fraction(self.assigned_quantity * size, self.total_short)
            found[size] = OccWheelOdds(
                none=Fraction(_windows_within(gaps, size), self.total_short),
                full=Fraction(_windows_within(runs, size), self.total_short)
                if self.assigned_quantity < self.total_short
                else Fraction(1),
                mean=mean,
                variance=Fraction(squares[size], self.total_short) - mean**2,
            )
        return found


def occ_wheel(*, total_short: int, assigned_quantity: int) -> OccWheel | None:
    """Return the increments' positions, or None if there are more than `INCREMENT_LIMIT`.

    Args:
        total_short: Contracts on the wheel.
        assigned_quantity: Contracts assigned, 1 to `total_short`.
    """
    count = -(-assigned_quantity // INCREMENT)
    if count > INCREMENT_LIMIT:
        return None
    skip_millionths = max(0, total_short * _MILLION // count - INCREMENT * _MILLION)
    return OccWheel(
        total_short=total_short,
        assigned_quantity=assigned_quantity,
        starts=tuple(
            INCREMENT * index + index * skip_millionths // _MILLION for index in range(count)
        ),
    )


def _runs_and_gaps(wheel: OccWheel) -> tuple[Counter[int], Counter[int]]:
    """Count the lengths of the runs of contracts assigned, and of the gaps between them.

    Increments without a skip between them are one run. Before the start there is always a gap,
    unless the whole wheel is assigned.
    """
    runs: Counter[int] = Counter()
    gaps: Counter[int] = Counter()
    run_start = 0
    for start, following in pairwise(wheel.starts):
        if following > start + INCREMENT:
            runs[start + INCREMENT - run_start] += 1
            gaps[following - start - INCREMENT] += 1
            run_start = following
    end = wheel.starts[-1] + wheel.last_increment
    runs[end - run_start] += 1
    gaps[wheel.total_short - end] += 1
    return runs, gaps


def _windows_within(lengths: Mapping[int, int], size: int) -> int:
    """Return in how many positions an account's contracts fit whole into one of the lengths."""
    return sum(max(0, length - size + 1) * count for length, count in lengths.items())


def _sums_of_squares(wheel: OccWheel, sizes: Collection[int]) -> dict[int, int]:
    """Return by size the sum, over all starting points, of the squared assigned quantity.

    That is the number of ordered pairs of an account's contracts, times the starts that assign
    both. It depends on their distance d alone: C(d) contracts of the wheel are assigned together
    with the one d further on. So the sum for n contracts is the sum of (n - |d|) C(d), and C is
    linear between the distances of bounds of increments. One sweep over those serves all sizes.

    Args:
        wheel: The wheel.
        sizes: Short quantities, each once.
    """
    bends = _bends(wheel)
    both = wheel.assigned_quantity  # C(d)
    slope = -bends.pop(0, 0) // 2  # C(d + 1) - C(d); C is the same in both directions.
    total, growth = 0, both  # The sum for n = d, and what n = d + 1 adds to it.
    distance = 0
    largest = max(sizes, default=0)
    found = {}
    for stop in sorted({*sizes, *(bend for bend in bends if bend < largest)}):
        step = stop - distance
        total += (
            step * growth + step * (step - 1) * both + (step - 1) * step * (step + 1) // 3 * slope
        )
        growth += 2 * step * both + step * (step + 1) * slope
        both += step * slope
        slope -= bends.get(stop, 0)
        distance = stop
        found[stop] = total
    return {size: found[size] for size in sizes}


def _bends(wheel: OccWheel) -> Counter[int]:
    """Return by distance how much the slope of C decreases: 2 C(d) - C(d - 1) - C(d + 1).

    That is the number of pairs of bounds, the second d after the first, an end and a start counting
    as minus one. All increments are taken as whole first; then the last one is corrected.
    """
    starts, total_short = wheel.starts, wheel.total_short
    bends: Counter[int] = Counter()

    def count(distance: int, pairs: int) -> None:
        bends[distance % total_short] += pairs

    for distance, pairs in _distances_of_starts(starts):
        for way in {distance, -distance}:
            count(way, 2 * pairs)
            count(way - INCREMENT, -pairs)
            count(way + INCREMENT, -pairs)
    bounds = [(start + end, -1 if end else 1) for start in starts for end in (0, INCREMENT)]
    corrected = (
        (starts[-1] + INCREMENT, 1),
        (starts[-1] + wheel.last_increment, -1),
    )
    for bound, weight in corrected:
        for other, other_weight in bounds:
            count(bound - other, weight * other_weight)
            count(other - bound, weight * other_weight)
        for other, other_weight in corrected:
            count(bound - other, weight * other_weight)
    return bends


def _distances_of_starts(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the distances from each start to itself and to later ones, and how many have each.

    Starts with indices m apart are `starts[m]` contracts apart, or one more if the decimals carried
    make up a whole one. How many do follows from the sum of all these distances.
    """
    sums = list(accumulate(starts, initial=0))
    count = len(starts)
    for apart, distance in enumerate(starts):
        pairs = count - apart
        further = sums[count] - sums[apart] - sums[pairs] - pairs * distance
        yield distance, pairs - further
        yield distance + 1, further
