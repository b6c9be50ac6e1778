"""OCC's own wheel of 25, with a pool's accounts on it: for comparison, nothing is allocated so.

Published: "OCC's Standard Assignment Procedure" of The Options Clearing Corporation, as filed with
the SEC in SR-OCC-2002-19 (Release 34-46735, 67 FR 67434) and SR-OCC-2007-14 (Release 34-56845, 72
FR 67991). All short positions of a series are put on a wheel in a fixed order. With S contracts
exercised of T on the wheel, and S below T, they are assigned in increments of I = 25 from a random
starting point on, with a skip between them:

1. T1 = S / I, rounded up to a whole number: the increments.
2. Initial skip = T / T1 - I with six decimals, 0 if that is negative.
3. Each skip is the initial skip plus the decimals left over from the one before; its own decimals
   are cut off and carried to the next one.

So increment k starts `25 k + floor(k * initial skip)` contracts after the first, and the last one
has what is left.

Ours: OCC assigns to its clearing members' accounts, and puts those on the wheel; here a member's
own accounts are put there, in the order of the method (R1), as if the pool were the whole series.
The six decimals are cut, not rounded. The starting point is each of the T contracts with the same
chance. OCC may use another increment than 25, and assigns some products pro rata.

Invariants:
- No contract is assigned twice: the increments never lap their start.
- The mean of every account is its share of the shorts, whatever its place on the wheel.
- Its chances depend on how many contracts it is short and on nothing else.
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
LOT_LIMIT: Final = 40_000
"""Increments that are worked out at most: a million contracts assigned in one pool."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OccWheelOdds:
    """An account's chances on OCC's wheel.

    Attributes:
        none: The chance that it is assigned nothing.
        full: The chance that its whole short position is assigned.
        mean: The mean of its assigned quantity.
        variance: The variance of it.
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
        """The chances of accounts of some sizes.

        Args:
            sizes: Contracts short of an account, each 1 to `total_short`.
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
    """Where the increments stand; None where there are more than `LOT_LIMIT`.

    Args:
        total_short: Contracts on the wheel.
        assigned_quantity: Contracts assigned, 1 to `total_short`.
    """
    count = -(-assigned_quantity // INCREMENT)
    if count > LOT_LIMIT:
        return None
    skip_millionths = max(0, total_short * _MILLION // count - INCREMENT * _MILLION)
    return OccWheel(
        total_short=total_short,
        assigned_quantity=assigned_quantity,
        starts=tuple(
            INCREMENT * place + place * skip_millionths // _MILLION for place in range(count)
        ),
    )


def _runs_and_gaps(wheel: OccWheel) -> tuple[Counter[int], Counter[int]]:
    """Lengths of the ranges assigned and of those left, and how many there are of each.

    Increments without a skip between them are one range. Before the start there is always
    something left, but where the whole wheel is assigned.
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
    """In how many places consecutive contracts fit whole into one of some ranges."""
    return sum(max(0, length - size + 1) * count for length, count in lengths.items())


def _sums_of_squares(wheel: OccWheel, sizes: Collection[int]) -> dict[int, int]:
    """By size the sum, over all starting points, of the squared assigned quantity.

    That is the number of ordered pairs of an account's contracts, times the starts that assign
    both. It depends on their distance d alone: C(d) contracts of the wheel are assigned together
    with the one d further on. So the sum for n contracts is the sum of (n - |d|) C(d), and C runs
    straight between the distances of edges of increments. One sweep over those serves all sizes.

    Args:
        wheel: The wheel.
        sizes: Contracts short, each once.
    """
    bends = _bends(wheel)
    both = wheel.assigned_quantity  # C(d)
    course = -bends.pop(0, 0) // 2  # C(d + 1) - C(d); C is the same in both directions.
    total, growth = 0, both  # The sum for n = d, and what n = d + 1 adds to it.
    distance = 0
    largest = max(sizes, default=0)
    found = {}
    for stop in sorted({*sizes, *(bend for bend in bends if bend < largest)}):
        step = stop - distance
        total += (
            step * growth + step * (step - 1) * both + (step - 1) * step * (step + 1) // 3 * course
        )
        growth += 2 * step * both + step * (step + 1) * course
        both += step * course
        course -= bends.get(stop, 0)
        distance = stop
        found[stop] = total
    return {size: found[size] for size in sizes}


def _bends(wheel: OccWheel) -> Counter[int]:
    """By distance how much C turns down there: 2 C(d) - C(d - 1) - C(d + 1).

    That is the number of pairs of edges, the second d after the first, an end and a start counting
    as minus one. All increments are taken as whole ones first; then the last one is put right.
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
    edges = [(start + end, -1 if end else 1) for start in starts for end in (0, INCREMENT)]
    righted = (
        (starts[-1] + INCREMENT, 1),
        (starts[-1] + wheel.last_increment, -1),
    )
    for place, weight in righted:
        for other, other_weight in edges:
            count(place - other, weight * other_weight)
            count(other - place, weight * other_weight)
        for other, other_weight in righted:
            count(place - other, weight * other_weight)
    return bends


def _distances_of_starts(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """From each start to itself and to those after it: the distances, and how many have each.

    Starts m places apart are `starts[m]` contracts apart, or one more where the decimals carried
    make up a whole one. How many do, the sum of all these distances tells.
    """
    sums = list(accumulate(starts, initial=0))
    count = len(starts)
    for apart, distance in enumerate(starts):
        pairs = count - apart
        further = sums[count] - sums[apart] - sums[pairs] - pairs * distance
        yield distance, pairs - further
        yield distance + 1, further
