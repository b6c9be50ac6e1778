"""A pool's ribbon: its sequential numbers from 1 to the total, drawn as one line (R3, D1 to D4).

This is geometry and no drawing: values that the page's template writes down as SVG. Blocks are the
accounts' ranges, in the order of the accounts; the numbers assigned lie beneath them.

Invariants:
- Positions are whole `GRID` units of the ribbon, rounded down by integers, so that neighbours meet.
- What is drawn is bounded, however many accounts there are: ranges narrower than one of `COLUMNS`
  are drawn together, and how many is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lottery.audit.report.labels import (
    GRID,
    Block,
    Label,
    label_at,
    label_within,
    may_have_room,
    with_room,
)
from lottery.audit.wording import hit_numbers, number_range
from lottery.method.distribution import NumberRange, numbers_hit, ranges_hit

COLUMNS: Final = 1_000
"""A range narrower than one part in so many is drawn together with its like."""
HITS_LABELLED: Final = 60
"""Accounts at most whose numbers hit may get a label; labels without room are left out."""

CELLS: Final = 130
"""Numbers at most that are marked off one by one."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ribbon:
    """What is drawn of a pool.

    Attributes:
        total_short: The last number.
        first_hit: The first number hit.
        first_hit_mark: The middle of its place.
        first_hit_label: Its label.
        even: Blocks of every second account, as `(start, end)` in `GRID` units.
        odd: Those of the others.
        merged: Blocks of many accounts that are too narrow to be drawn one by one.
        merged_count: How many accounts these are.
        accounts: The names of accounts whose blocks have room for them.
        ranges: The numbers assigned, in the order of assignment; a second one is the wrap.
        seams: Where the numbers assigned to one account begin, of as many as may get a label.
        hits: The numbers assigned to each account, or the ranges where these have no room.
        description: All of it as a sentence, for those who do not see it.
    """

    total_short: int
    first_hit: int
    first_hit_mark: int
    first_hit_label: Label
    even: tuple[Block, ...]
    odd: tuple[Block, ...]
    merged: tuple[Block, ...]
    merged_count: int
    accounts: tuple[Label, ...]
    ranges: tuple[Block, ...]
    seams: tuple[int, ...]
    hits: tuple[Label, ...]
    description: str

    @property
    def cells(self) -> tuple[int, ...]:
        """Where one number ends and the next begins, if there are few enough to be told apart."""
        if self.total_short > CELLS:
            return ()
        return tuple(number * GRID // self.total_short for number in range(1, self.total_short))

    @property
    def wraps(self) -> bool:
        """Whether the assignment goes on from number 1 (D4)."""
        return len(self.ranges) > 1


def pool_ribbon(
    *,
    first_numbers: Integers,
    last_numbers: Integers,
    first_hit: int,
    assigned_quantity: int,
    total_short: int,
    name: Callable[[int], str],
) -> Ribbon:
    """The ribbon of an allocated pool.

    Args:
        first_numbers: int64[n], each account's first number, in the order of the accounts.
        last_numbers: int64[n], its last, inclusive.
        first_hit: The first number hit.
        assigned_quantity: Contracts assigned to the pool, at most its total.
        total_short: Contracts short in the pool, at least 1.
        name: What the account at a place is called.
    """
    wheel = {
        "first_hit": first_hit,
        "assigned_quantity": assigned_quantity,
        "total_short": total_short,
    }
    ranges = ranges_hit(**wheel)
    places = _places_hit(first_numbers, last_numbers, ranges)
    owned = (_range(first_numbers, last_numbers, place) for place in places)
    return _drawn(
        first_numbers,
        last_numbers,
        total_short,
        first_hit=first_hit,
        ranges=ranges,
        hits=[numbers_hit(one, **wheel) for one in owned],
        name=name,
    )


def account_ribbon(
    *, owned: NumberRange, name: str, hits: Sequence[NumberRange], first_hit: int, total_short: int
) -> Ribbon:
    """The ribbon of one account alone: its own range and the numbers of it that were assigned.

    Args:
        owned: Its range.
        name: What it is called.
        hits: Its numbers assigned, in the order of assignment.
        first_hit: The pool's first number hit.
        total_short: Contracts short in the pool.
    """
    return _drawn(
        np.array([owned.first_number], np.int64),
        np.array([owned.last_number], np.int64),
        total_short,
        first_hit=first_hit,
        ranges=hits,
        hits=[hits] if hits else [],
        name=lambda _: name,
    )


def _drawn(
    first_numbers: Integers,
    last_numbers: Integers,
    total_short: int,
    *,
    first_hit: int,
    ranges: Sequence[NumberRange],
    hits: Sequence[Sequence[NumberRange]],
    name: Callable[[int], str],
) -> Ribbon:
    blocks: tuple[list[Block], ...] = ([], [])
    merged, names, merged_count = [], [], 0
    mark = _block(NumberRange(first_number=first_hit, last_number=first_hit), total_short)
    middle = sum(mark) // 2
    runs = _runs(first_numbers, last_numbers, total_short)
    for drawn, (place, count) in enumerate(runs):
        last = place + count - 1
        run = NumberRange(
            first_number=int(first_numbers[place]), last_number=int(last_numbers[last])
        )
        block = _block(run, total_short)
        if count > 1:
            merged.append(block)
            merged_count += count
            continue
        blocks[drawn % 2].append(block)
        label = label_within(block, name(place), middle) if may_have_room(block) else None
        if label is not None:
            names.append(label)
    return Ribbon(
        total_short=total_short,
        first_hit=first_hit,
        first_hit_mark=middle,
        first_hit_label=label_at(mark, f"first hit {first_hit:,}"),
        even=tuple(blocks[0]),
        odd=tuple(blocks[1]),
        merged=tuple(merged),
        merged_count=merged_count,
        accounts=tuple(names),
        ranges=tuple(_block(hit_range, total_short) for hit_range in ranges),
        seams=tuple(_block(part, total_short)[0] for hit in hits for part in hit),
        hits=_hit_labels(ranges, hits, total_short),
        description=(
            f"The numbers 1 to {total_short:,} in a line. The first hit is {first_hit:,}. "
            f"Numbers assigned: {hit_numbers(ranges)}."
        ),
    )


def _hit_labels(
    ranges: Sequence[NumberRange], hits: Sequence[Sequence[NumberRange]], total_short: int
) -> tuple[Label, ...]:
    """Labels of each account's numbers, or of the ranges where these have no room."""
    of_accounts = [label_at(_block(hit[0], total_short), hit_numbers(hit)) for hit in hits]
    fitting = tuple(with_room(of_accounts))
    if len(fitting) == len(hits) < HITS_LABELLED:
        return fitting
    of_ranges = (
        label_at(_block(hit_range, total_short), number_range(hit_range)) for hit_range in ranges
    )
    return tuple(with_room(of_ranges))


def _runs(
    first_numbers: Integers, last_numbers: Integers, total_short: int
) -> Iterator[tuple[int, int]]:
    """Place and count of accounts that are drawn as one block: one, or neighbours too narrow."""
    count = len(first_numbers)
    wide = (last_numbers - first_numbers + 1) > total_short // COLUMNS
    starts = wide.copy()
    starts[0] = True
    starts[1:] |= wide[:-1]
    places = np.flatnonzero(starts)
    counts = np.diff(places, append=count)
    return zip(map(int, places), map(int, counts), strict=True)


def _places_hit(
    first_numbers: Integers, last_numbers: Integers, ranges: Iterable[NumberRange]
) -> list[int]:
    """The first accounts hit, in the order of assignment, at most `HITS_LABELLED`."""
    places: dict[int, None] = {}
    for hit_range in ranges:
        first = int(np.searchsorted(last_numbers, hit_range.first_number))
        last = int(np.searchsorted(first_numbers, hit_range.last_number, side="right"))
        places |= dict.fromkeys(range(first, min(last, first + HITS_LABELLED)))
    return list(places)[:HITS_LABELLED]


def _range(first_numbers: Any, last_numbers: Any, place: int) -> NumberRange:
    return NumberRange(first_number=int(first_numbers[place]), last_number=int(last_numbers[place]))


def _block(hit_range: NumberRange, total_short: int) -> Block:
    """A range's start and end on the grid; Python's integers, as the product may be long."""
    return (
        (hit_range.first_number - 1) * GRID // total_short,
        hit_range.last_number * GRID // total_short,
    )
