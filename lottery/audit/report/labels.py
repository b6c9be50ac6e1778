"""Texts along a ribbon: which have room, on a backend and on a telephone.

A page is read at any width, so that room is judged at two: `WIDE` and `NARROW`. A text that has
none is left out there; what it says stands in the table beneath the ribbon too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

GRID: Final = 100_000
"""Units of a ribbon's width."""
WIDE: Final = 880
"""Pixels of a ribbon on a backend."""
NARROW: Final = 300
"""As `WIDE`, on a telephone; paper and what lies between do as a telephone does."""

_SLIM: Final = frozenset(" ,ijlt")
_SLIM_PIXELS: Final = 4.4
_PIXELS: Final = 7.8
"""Of a character, at most, in the page's fonts at 12 pixels."""
_GAP: Final = 8
_EDGE: Final = 0.05
"""Closer to an end than this part of the width, a label begins or ends there."""

Block = tuple[int, int]
"""Start and end in `GRID` units."""


class Narrow(StrEnum):
    """What becomes of a label on a telephone."""

    SHOWN = "shown"
    LOWER = "lower"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text at a place of the ribbon.

    Attributes:
        at: Its place in `GRID` units.
        anchor: `start`, `middle` or `end`: which part of the text stands there.
        text: The text.
        narrow: What becomes of it on a telephone.
    """

    at: int
    anchor: str
    text: str
    narrow: Narrow = Narrow.SHOWN


def label_at(block: Block, text: str) -> Label:
    """The label of a block, in its middle but where that is too close to an end of the ribbon."""
    middle = sum(block) // 2
    anchor, at = "middle", middle
    if middle < GRID * _EDGE:
        anchor, at = "start", block[0]
    elif middle > GRID * (1 - _EDGE):
        anchor, at = "end", block[1]
    return Label(at=at, anchor=anchor, text=text)


def may_have_room(block: Block) -> bool:
    """Whether the shortest of texts would have room within a block."""
    return (block[1] - block[0]) * WIDE > (_PIXELS + _GAP) * GRID


def label_within(block: Block, text: str, mark: int) -> Label | None:
    """A text within a block, beside the mark if that lies in it; None where it has no room."""
    start, end = block
    if start < mark < end:
        start, end = (start, mark) if mark - start > end - mark else (mark, end)
    needed, part = _pixels(text), (end - start) / GRID
    if part * WIDE < needed:
        return None
    narrow = Narrow.SHOWN if part * NARROW >= needed else Narrow.HIDDEN
    return Label(at=(start + end) // 2, anchor="middle", text=text, narrow=narrow)


def with_room(labels: Iterable[Label]) -> Iterator[Label]:
    """The labels that do not run into each other, the earlier ones first."""
    wide, narrow, lower = _Row(WIDE), _Row(NARROW), _Row(NARROW)
    for label in labels:
        if not wide.takes(label):
            continue
        if narrow.takes(label):
            yield label
        elif label.anchor == "middle" and lower.takes(label):
            yield replace(label, narrow=Narrow.LOWER)
        else:
            yield replace(label, narrow=Narrow.HIDDEN)


class _Row:
    """A row of labels on a ribbon of a width."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._taken: list[tuple[float, float]] = []

    def takes(self, label: Label) -> bool:
        """Takes a label in where there is room for it."""
        length = _pixels(label.text)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[label.anchor]
        start = label.at * self._width / GRID - before * length
        end = start + length
        fits = start >= -_GAP and end <= self._width + _GAP
        if not fits or any(start < other[1] and other[0] < end for other in self._taken):
            return False
        self._taken.append((start, end))
        return True


def _pixels(text: str) -> float:
    return _GAP + sum(_SLIM_PIXELS if one in _SLIM else _PIXELS for one in text)
