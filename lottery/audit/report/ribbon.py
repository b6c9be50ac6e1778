"""Geometry of a pool's ribbon: its numbers from 1 to the total short, in one line (R3, D1 to D4).

Values only, which the page's template writes as SVG. Blocks are the accounts' ranges in account
order; the assigned numbers lie beneath them. How wide a text is only the browser knows: a label is
a text with the room that it may use, and the page's style hides a text that does not fit. The table
below the ribbon has all of them.

Invariants:
- Offsets are whole `GRID` units, rounded down from integers, so that neighbouring blocks meet.
- What is drawn is bounded, however many accounts there are: ranges narrower than one of `COLUMNS`
  are merged, and the accounts in them counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from lottery.audit.wording import hit_numbers, number_range
from lottery.method.distribution import NumberRange

GRID: Final = 100_000
"""Units of a ribbon's width."""
COLUMNS: Final = 1_000
"""A range narrower than one part in this many is merged with its neighbours."""
NAMES: Final = 60
"""A block narrower than one part in this many has no room for a name on any screen."""
HITS: Final = 60
"""Maximum number of accounts whose assigned numbers are drawn apart."""
HIT_LABELS: Final = 24
"""Accounts hit are labelled one by one if each has one part in this many on average."""
CELLS: Final = 130
"""Maximum total short of a pool whose numbers are divided one by one."""

Block = tuple[int, int]
"""Start and end in `GRID` units."""
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text along the ribbon.

    Attributes:
        room: What the text may use of the ribbon's width.
        align: Where the text stands in it: `start`, `middle` or `end`.
        text: The text.
    """

    room: Block
    align: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ribbon:
    """What is drawn of a pool; offsets in `GRID` units.

    Attributes:
        total_short: The last number.
        first_hit: The first number hit.
        first_hit_offset: The middle of its cell.
        even: Blocks of every second account that is drawn by itself.
        odd: Blocks of the others.
        merged: Blocks of several accounts that are too narrow to be drawn one by one.
        merged_count: How many accounts these are.
        names: The names of accounts, within their blocks.
        ranges: The assigned numbers in the order of assignment; a second block is the wrap.
        seams: Where the assigned numbers of an account begin, for the first `HITS` accounts.
        hits: Labels of the assigned numbers, in one row or two.
        description: All of it as text, for readers who cannot see it.
    """

    total_short: int
    first_hit: int
    first_hit_offset: int
    even: tuple[Block, ...]
    odd: tuple[Block, ...]
    merged: tuple[Block, ...]
    merged_count: int
    names: tuple[Label, ...]
    ranges: tuple[Block, ...]
    seams: tuple[int, ...]
    hits: tuple[tuple[Label, ...], ...]
    description: str

    @property
    def first_hit_align(self) -> str:
        """The end of the first hit's label that stands at its offset, by thirds of the ribbon."""
        return ("start", "middle", "end")[self.first_hit_offset * 3 // GRID]

    @property
    def cells(self) -> tuple[int, ...]:
        """The bounds between numbers, if there are few enough to draw."""
        if self.total_short > CELLS:
            return ()
        return tuple(number * GRID // self.total_short for number in range(1, self.total_short))

    @property
    def wraps(self) -> bool:
        """Whether the assignment goes on from number 1 (D4)."""
        return len(self.ranges) > 1


def draw_ribbon(
    *,
    first_numbers: Integers,
    last_numbers: Integers,
    name: Callable[[int], str],
    ranges: Sequence[NumberRange],
    first_hit: int,
    total_short: int,
) -> Ribbon:
    """Return the ribbon of an allocated pool, or of one account's part of it.

    Args:
        first_numbers: int64[n], the first number of each account to draw, in account order.
        last_numbers: int64[n], its last number, inclusive.
        name: Returns what the account at an index is called.
        ranges: The assigned numbers to draw, in the order of assignment.
        first_hit: The pool's first number hit.
        total_short: Contracts short in the pool, at least 1.
    """
    first_cell = _block(NumberRange(first_number=first_hit, last_number=first_hit), total_short)
    first_hit_offset = sum(first_cell) // 2
    single: tuple[list[Block], list[Block]] = ([], [])
    merged, names, merged_count = [], [], 0
    for drawn, (index, count) in enumerate(_groups(first_numbers, last_numbers, total_short)):
        group = NumberRange(
            first_number=int(first_numbers[index]),
            last_number=int(last_numbers[index + count - 1]),
        )
        block = _block(group, total_short)
        if count > 1:
            merged.append(block)
            merged_count += count
            continue
        single[drawn % 2].append(block)
        room = _beside(block, first_hit_offset)
        if room[1] - room[0] >= GRID // NAMES:
            names.append(Label(room=room, align="middle", text=name(index)))
    hits = _hits_by_account(first_numbers, last_numbers, ranges)
    return Ribbon(
        total_short=total_short,
        first_hit=first_hit,
        first_hit_offset=first_hit_offset,
        even=tuple(single[0]),
        odd=tuple(single[1]),
        merged=tuple(merged),
        merged_count=merged_count,
        names=tuple(names),
        ranges=tuple(_block(hit_range, total_short) for hit_range in ranges),
        seams=tuple(_block(part, total_short)[0] for hit in hits for part in hit),
        hits=_hit_labels(hits, ranges, total_short),
        description=(
            f"The numbers 1 to {total_short:,} in a line. The first hit is {first_hit:,}. "
            f"Numbers assigned: {hit_numbers(ranges)}."
        ),
    )


def _block(numbers: NumberRange, total_short: int) -> Block:
    """Return a range's start and end; Python's integers, because the product may be long."""
    return (
        (numbers.first_number - 1) * GRID // total_short,
        numbers.last_number * GRID // total_short,
    )


def _groups(
    first_numbers: Integers, last_numbers: Integers, total_short: int
) -> Iterator[tuple[int, int]]:
    """Yield index and count of accounts to draw as one block: one, or narrow neighbours."""
    wide = (last_numbers - first_numbers + 1) > total_short // COLUMNS
    starts = wide.copy()
    starts[0] = True
    starts[1:] |= wide[:-1]
    indices = np.flatnonzero(starts)
    counts = np.diff(indices, append=len(first_numbers))
    return zip(indices.tolist(), counts.tolist(), strict=True)


def _beside(block: Block, offset: int) -> Block:
    """Return the larger part of a block on one side of an offset, or all of it."""
    start, end = block
    if not start < offset < end:
        return block
    return (start, offset) if offset - start > end - offset else (offset, end)


def _hits_by_account(
    first_numbers: Integers, last_numbers: Integers, ranges: Sequence[NumberRange]
) -> list[list[NumberRange]]:
    """Return each account's assigned numbers, for the first `HITS` accounts hit."""
    hits: dict[int, list[NumberRange]] = {}
    for hit_range in ranges:
        first = int(np.searchsorted(last_numbers, hit_range.first_number))
        last = int(np.searchsorted(first_numbers, hit_range.last_number, side="right"))
        for index in range(first, min(last, first + HITS)):
            part = NumberRange(
                first_number=max(int(first_numbers[index]), hit_range.first_number),
                last_number=min(int(last_numbers[index]), hit_range.last_number),
            )
            hits.setdefault(index, []).append(part)
    return list(hits.values())[:HITS]


def _hit_labels(
    hits: Sequence[Sequence[NumberRange]], ranges: Sequence[NumberRange], total_short: int
) -> tuple[tuple[Label, ...], ...]:
    """Return labels of each account's numbers, or of the ranges if these have too little room."""
    assigned_quantity = sum(hit_range.quantity for hit_range in ranges)
    if len(hits) <= 2 or len(hits) * total_short <= assigned_quantity * HIT_LABELS:  # noqa: PLR2004 - two always have room.
        return _in_rows([(_block(hit[0], total_short), hit_numbers(hit)) for hit in hits])
    return _in_rows([(_block(one, total_short), number_range(one)) for one in ranges])


def _in_rows(texts: Sequence[tuple[Block, str]]) -> tuple[tuple[Label, ...], ...]:
    """Put texts beneath their blocks: two at most in one row, more in two rows by turns."""
    texts = sorted(texts)
    count = 1 if len(texts) <= 2 else 2  # noqa: PLR2004 - two lean away from each other.
    return tuple(tuple(_in_a_row(texts[row::count])) for row in range(min(count, len(texts))))


def _in_a_row(texts: Sequence[tuple[Block, str]]) -> Iterator[Label]:
    """Yield labels that share a row: the room between two is divided midway."""
    middles = [sum(block) // 2 for block, _ in texts]
    bounds = [0, *((left + right) // 2 for left, right in pairwise(middles)), GRID]
    for (block, text), middle, (low, high) in zip(texts, middles, pairwise(bounds), strict=True):
        half = min(middle - low, high - middle)
        if half >= 2 * GRID // HIT_LABELS:
            yield Label(room=(middle - half, middle + half), align="middle", text=text)
        elif middle - low < high - middle:
            yield Label(room=(max(low, block[0]), high), align="start", text=text)
        else:
            yield Label(room=(low, min(high, block[1])), align="end", text=text)
