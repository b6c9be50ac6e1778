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

from lottery.audit.wording import hit_numbers
from lottery.method.wheel import Stretch, numbers_hit, stretches_hit

GRID: Final = 100_000
"""Units of a ribbon's width."""
COLUMNS: Final = 1_000
"""A range narrower than one part in so many is drawn together with its like."""
HITS_LABELLED: Final = 60
"""Accounts at most whose numbers hit may get a label; labels without room are left out."""

WIDE: Final = 880
"""Pixels of a ribbon on a desk or on paper, for deciding which labels have room."""
NARROW: Final = 300
"""As `WIDE`, on a telephone."""

_CHARACTER: Final = 7.4
"""Pixels of one character of a label."""
_GAP: Final = 8
_EDGE: Final = 0.06
"""Closer to an end than this part of the width, a label begins or ends there."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text at a place of the ribbon.

    Attributes:
        at: Its place in `GRID` units.
        anchor: `start`, `middle` or `end`: which part of the text stands there.
        text: The text.
        narrow: Whether it has room on a telephone too.
    """

    at: int
    anchor: str
    text: str
    narrow: bool


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
        stretches: The numbers assigned, in the order of assignment; a second one is the wrap.
        hits: The numbers assigned to one account each, where there is room for them.
        description: All of it as a sentence, for those who do not see it.
    """

    total_short: int
    first_hit: int
    first_hit_mark: int
    first_hit_label: Label
    even: tuple[tuple[int, int], ...]
    odd: tuple[tuple[int, int], ...]
    merged: tuple[tuple[int, int], ...]
    merged_count: int
    accounts: tuple[Label, ...]
    stretches: tuple[tuple[int, int], ...]
    hits: tuple[Label, ...]
    description: str

    @property
    def wraps(self) -> bool:
        """Whether the assignment goes on from number 1 (D4)."""
        return len(self.stretches) > 1


def pool_ribbon(
    *,
    first_numbers: Integers,
    last_numbers: Integers,
    first_hit: int,
    assigned_quantity: int,
    total_short: int,
    name: Callable[[int], str | None],
) -> Ribbon:
    """The ribbon of an allocated pool.

    Args:
        first_numbers: int64[n], each account's first number, in the order of the accounts.
        last_numbers: int64[n], its last, inclusive.
        first_hit: The first number hit.
        assigned_quantity: Contracts assigned to the pool, at most its total.
        total_short: Contracts short in the pool, at least 1.
        name: What the account at a place is called; None where it is not to be named.
    """
    wheel = {
        "first_hit": first_hit,
        "assigned_quantity": assigned_quantity,
        "total_short": total_short,
    }
    stretches = stretches_hit(**wheel)
    places = _places_hit(first_numbers, last_numbers, stretches)
    owned = (_stretch(first_numbers, last_numbers, place) for place in places)
    return _drawn(
        first_numbers,
        last_numbers,
        total_short,
        first_hit=first_hit,
        stretches=stretches,
        hits=[numbers_hit(one, **wheel) for one in owned],
        name=name,
    )


def account_ribbon(
    *, owned: Stretch, name: str, hits: Sequence[Stretch], first_hit: int, total_short: int
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
        stretches=hits,
        hits=[hits] if hits else [],
        name=lambda _: name,
    )


def _drawn(
    first_numbers: Integers,
    last_numbers: Integers,
    total_short: int,
    *,
    first_hit: int,
    stretches: Sequence[Stretch],
    hits: Iterable[Sequence[Stretch]],
    name: Callable[[int], str | None],
) -> Ribbon:
    blocks: tuple[list[tuple[int, int]], ...] = ([], [])
    merged, names, merged_count = [], [], 0
    runs = _runs(first_numbers, last_numbers, total_short)
    for drawn, (place, count) in enumerate(runs):
        last = place + count - 1
        run = Stretch(first_number=int(first_numbers[place]), last_number=int(last_numbers[last]))
        block = _block(run, total_short)
        if count > 1:
            merged.append(block)
            merged_count += count
            continue
        blocks[drawn % 2].append(block)
        label = _within(block, name(place)) if _may_have_room(block) else None
        if label is not None:
            names.append(label)
    mark = _block(Stretch(first_number=first_hit, last_number=first_hit), total_short)
    return Ribbon(
        total_short=total_short,
        first_hit=first_hit,
        first_hit_mark=sum(mark) // 2,
        first_hit_label=_label(mark, f"first hit {first_hit:,}"),
        even=tuple(blocks[0]),
        odd=tuple(blocks[1]),
        merged=tuple(merged),
        merged_count=merged_count,
        accounts=tuple(names),
        stretches=tuple(_block(stretch, total_short) for stretch in stretches),
        hits=tuple(_with_room([_hit_label(hit, total_short) for hit in hits])),
        description=(
            f"The numbers 1 to {total_short:,} in a line. The first hit is {first_hit:,}. "
            f"Numbers assigned: {hit_numbers(stretches)}."
        ),
    )


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
    first_numbers: Integers, last_numbers: Integers, stretches: Iterable[Stretch]
) -> list[int]:
    """The first accounts hit, in the order of assignment, at most `HITS_LABELLED`."""
    places: dict[int, None] = {}
    for stretch in stretches:
        first = int(np.searchsorted(last_numbers, stretch.first_number))
        last = int(np.searchsorted(first_numbers, stretch.last_number, side="right"))
        places |= dict.fromkeys(range(first, min(last, first + HITS_LABELLED)))
    return list(places)[:HITS_LABELLED]


def _stretch(first_numbers: Any, last_numbers: Any, place: int) -> Stretch:
    return Stretch(first_number=int(first_numbers[place]), last_number=int(last_numbers[place]))


def _block(stretch: Stretch, total_short: int) -> tuple[int, int]:
    """A stretch's start and end on the grid; Python's integers, as the product may be long."""
    return (
        (stretch.first_number - 1) * GRID // total_short,
        stretch.last_number * GRID // total_short,
    )


def _hit_label(hit: Sequence[Stretch], total_short: int) -> Label:
    """The label of an account's numbers hit, below the first of them."""
    return _label(_block(hit[0], total_short), hit_numbers(hit))


def _label(block: tuple[int, int], text: str) -> Label:
    middle = sum(block) // 2
    anchor = "middle"
    if middle < GRID * _EDGE:
        anchor = "start"
    elif middle > GRID * (1 - _EDGE):
        anchor = "end"
    at = {"start": block[0], "middle": middle, "end": block[1]}[anchor]
    return Label(at=at, anchor=anchor, text=text, narrow=True)


def _may_have_room(block: tuple[int, int]) -> bool:
    """Whether a name of one character would have room in a block."""
    return (block[1] - block[0]) * WIDE > (_CHARACTER + _GAP) * GRID


def _within(block: tuple[int, int], text: str | None) -> Label | None:
    """A name in the middle of its block, if it has room there."""
    if text is None:
        return None
    needed = len(text) * _CHARACTER + _GAP
    part = (block[1] - block[0]) / GRID
    if part * WIDE < needed:
        return None
    return Label(at=sum(block) // 2, anchor="middle", text=text, narrow=part * NARROW >= needed)


def _with_room(labels: list[Label]) -> Iterator[Label]:
    """The labels that do not run into each other, the earlier ones first."""
    wide, narrow = _Row(WIDE), _Row(NARROW)
    for label in labels:
        if wide.takes(label):
            yield Label(
                at=label.at, anchor=label.anchor, text=label.text, narrow=narrow.takes(label)
            )


class _Row:
    """A row of labels on a ribbon of a width."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._taken: list[tuple[float, float]] = []

    def takes(self, label: Label) -> bool:
        """Takes a label in where there is room for it."""
        length = len(label.text) * _CHARACTER + _GAP
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[label.anchor]
        start = label.at * self._width / GRID - before * length
        end = start + length
        fits = start >= -_GAP and end <= self._width + _GAP
        if not fits or any(start < other[1] and other[0] < end for other in self._taken):
            return False
        self._taken.append((start, end))
        return True
