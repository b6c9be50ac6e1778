"""Two threads share a loop: compiled loops release the GIL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final, TypeVar

THREADS: Final = 2
ROWS_WORTH_A_THREAD: Final = 50_000

_Result = TypeVar("_Result")


def split_rows(row_count: int) -> list[tuple[int, int]]:
    """Return ranges of rows (first, after last), one a thread, or a single one of few rows."""
    if row_count < ROWS_WORTH_A_THREAD:
        return [(0, row_count)]
    return list(pairwise(row_count * part // THREADS for part in range(THREADS + 1)))


def in_threads(
    work: Callable[[int, int], _Result], parts: Sequence[tuple[int, int]]
) -> list[_Result]:
    """Return `work(first, last)` of each part, two at a time; one alone in the caller's thread."""
    if len(parts) == 1:
        return [work(*parts[0])]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda part: work(*part), parts))
