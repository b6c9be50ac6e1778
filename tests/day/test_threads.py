"""Sharing a loop between two threads: who gets which rows, and whose failure it is."""

from __future__ import annotations

import sys
import threading
from array import array
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.threads import in_threads, owned_by_arrow, split_rows, split_sizes


@given(row_count=st.integers(0, 2**40))
def test_every_row_is_one_threads_and_the_parts_are_of_one_size(row_count: int) -> None:
    """Law: the parts follow each other through all rows, and no two differ by more than one."""
    parts = split_rows(row_count)

    assert (parts[0][0], parts[-1][1]) == (0, row_count)
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    sizes = {last - first for first, last in parts}
    assert max(sizes) - min(sizes) <= 1


def test_few_rows_are_one_part() -> None:
    assert split_rows(0) == [(0, 0)]
    assert split_rows(49_999) == [(0, 49_999)]
    assert split_rows(50_000) == [(0, 25_000), (25_000, 50_000)]


@given(sizes=st.lists(st.integers(0, 60_000), max_size=12), count=st.integers(1, 4))
def test_sizes_are_shared_out_in_their_order(sizes: list[int], count: int) -> None:
    """Law: the ranges follow each other through all sizes; none exceeds its share by a size."""
    parts = split_sizes(np.array(sizes, np.int64), count)

    assert [index for first, last in parts for index in range(first, last)] == [*range(len(sizes))]
    assert len(parts) == count
    largest = max(sum(sizes[first:last]) for first, last in parts)
    assert largest <= sum(sizes) / count + max(sizes, default=0) + 1


def test_one_part_is_worked_in_the_callers_thread() -> None:
    assert in_threads(lambda *_: threading.current_thread(), [(0, 9)]) == [
        threading.current_thread()
    ]


def test_two_parts_are_worked_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def wait_for_the_other(first: int, last: int) -> int:
        both.wait()
        return last - first

    assert in_threads(wait_for_the_other, [(0, 3), (3, 5)]) == [3, 2]


def test_the_results_come_in_the_order_of_the_parts() -> None:
    parts = [(part, part + 1) for part in range(9)]

    assert in_threads(lambda first, _: first, parts) == list(range(9))
    assert in_threads(lambda first, _: first, []) == []


def test_a_failure_in_one_thread_is_the_callers() -> None:
    done = Counter[int]()

    def fail_at_two(first: int, last: int) -> None:
        done.update(range(first, last))
        if first == 2:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        in_threads(fail_at_two, [(0, 2), (2, 3)])
    assert done == dict.fromkeys(range(3), 1)


@pytest.mark.parametrize("content", [b"", b"a,b\n", bytes(range(256)) * 300])
def test_what_arrow_s_threads_read_keeps_nothing_of_python_s_alive(content: bytes) -> None:
    source = array("B", content)
    references = sys.getrefcount(source)
    buffer = owned_by_arrow(memoryview(source).cast("b"))
    assert sys.getrefcount(source) == references
    source[:] = array("B", bytes(len(content)))
    assert buffer.to_pybytes() == content
