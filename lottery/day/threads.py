"""Two threads share a loop, as compiled loops release the GIL; Arrow's threads get own bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

THREADS: Final = 2
ROWS_WORTH_A_THREAD: Final = 50_000

_Result = TypeVar("_Result")


def split_rows(row_count: int) -> list[tuple[int, int]]:
    """Return ranges of rows (first, after last), one a thread, or a single one of few rows."""
    if row_count < ROWS_WORTH_A_THREAD:
        return [(0, row_count)]
    return list(pairwise(row_count * part // THREADS for part in range(THREADS + 1)))


def split_sizes(sizes: npt.NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Return `count` ranges of indices (first, after last) whose sizes add up to about as much.

    Args:
        sizes: int64[n].
        count: How many ranges.
    """
    ends = np.cumsum(sizes)
    total = int(sizes.sum())
    cuts = np.searchsorted(ends, [total * part // count for part in range(1, count)])
    return list(pairwise([0, *cuts.tolist(), len(sizes)]))


def in_threads(work: Callable[..., _Result], parts: Sequence[tuple[object, ...]]) -> list[_Result]:
    """Return `work(*part)` of each part, two at a time; one alone in the caller's thread."""
    if len(parts) == 1:
        return [work(*parts[0])]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda part: work(*part), parts))


def owned_by_arrow(content: bytes | memoryview) -> pa.Buffer:
    """Return a copy of bytes that a thread of Arrow's may free.

    A buffer over an object of Python's takes the GIL to free it. A thread of Arrow's that gets so
    far only when the interpreter ends, as on a busy machine, aborts the process (before
    Python 3.14), after all that it should do was done.
    """
    buffer = pa.allocate_buffer(len(content))
    if content:  # An empty buffer is read-only.
        memoryview(buffer).cast("B")[:] = memoryview(content).cast("B")
    return buffer
