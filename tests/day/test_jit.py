"""Loops: interpreted while they are short, compiled once they are long, and the same either way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from lottery.day import code_cache, jit
from lottery.day.jit import Loop


def total_of(numbers: npt.NDArray[np.int64]) -> int:
    """A loop's stand-in that is quick to compile."""
    total = 0
    for number in numbers:
        total += number
    return total


def twice(number: int) -> int:
    """A rule that loops call."""
    return 2 * number


def twice_the_total(numbers: npt.NDArray[np.int64]) -> int:
    """A loop that calls the rule."""
    return twice(total_of_inlined(numbers))


def total_of_inlined(numbers: npt.NDArray[np.int64]) -> int:
    """A rule with a loop in it."""
    total = 0
    for number in numbers:
        total += number
    return total


@pytest.fixture(autouse=True)
def ten_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has loops compiled from the eleventh row on; what a test registers is forgotten."""
    monkeypatch.setattr(jit, "ROWS_WORTH_COMPILING", 10)
    loops = list(jit._loops)
    yield
    jit._loops[:] = loops


def is_compiled(loop: Loop) -> bool:
    """Whether a loop runs as machine code."""
    return loop._dispatcher is not None


def test_a_loop_over_few_rows_is_interpreted() -> None:
    loop = jit.compiled(total_of)

    assert loop(np.arange(10)) == 45
    assert not is_compiled(loop)


def test_a_loop_over_many_rows_is_compiled() -> None:
    loop = jit.compiled(total_of)

    assert loop(np.arange(11)) == 55
    assert is_compiled(loop)


def test_many_calls_are_as_many_rows() -> None:
    loop = jit.compiled(total_of)

    assert [int(loop(np.arange(4))) for _ in range(3)] == [6, 6, 6]
    assert is_compiled(loop)


def test_the_longest_array_counts() -> None:
    def first_of(short: npt.NDArray[np.int64], long: npt.NDArray[np.int64]) -> int:
        return int(short[0] + long[0])

    loop = jit.compiled(first_of)

    assert loop(np.arange(1), np.arange(11)) == 0
    assert is_compiled(loop)


def test_rules_are_compiled_into_the_loops_that_call_them() -> None:
    assert jit.inlined(twice) is twice
    assert jit.inlined(total_of_inlined) is total_of_inlined
    loop = jit.compiled(twice_the_total)

    assert loop(np.arange(4)) == 12
    assert loop(np.arange(11)) == 110
    assert is_compiled(loop)


def test_after_compiling_all_nothing_is_interpreted() -> None:
    loop = jit.compiled(total_of)

    jit.compile_all()

    assert is_compiled(loop)
    assert loop(np.arange(3)) == 3


def test_compiling_is_told_once_to_whoever_listens_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_cache, "code_folder", lambda: None)
    first: list[str] = []
    last: list[str] = []
    jit.tell_when_compiling(first.append)
    jit.tell_when_compiling(last.append)

    for _ in range(2):
        jit.compiled(total_of)(np.arange(11))

    assert (first, len(last)) == ([], 1)
    assert last[0].startswith("compiling the loops for large days")


def test_threads_that_call_a_loop_at_once_compile_it_once() -> None:
    loop = jit.compiled(total_of)

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: loop.compiled(), range(8)))

    assert found == {loop._dispatcher}


def test_what_wraps_around_in_machine_code_does_so_interpreted() -> None:
    def product_of(numbers: npt.NDArray[np.uint64]) -> np.uint64:
        product = np.uint64(1)
        for number in numbers:
            product = product * number
        return product

    loop = jit.compiled(product_of)
    numbers = np.array([2**63, 3], np.uint64)

    assert int(loop(numbers)) == int(loop.compiled()(numbers)) == 2**63


def test_a_small_day_does_not_load_the_compiler() -> None:
    program = """
import sys
import numpy as np
from lottery.day import warm
from lottery.day.single_pool import allocate_pool, arrange_pool
from lottery.method.methodology import AccountOrder, ZeroHit

pool = arrange_pool(["1046", "1047", "1048"], AccountOrder.NUMERIC)
allocated = allocate_pool(
    pool, [30, 30, 5], assigned_quantity=10, ten_thousandths=4314, zero_hit=ZeroHit.WRAP
)
print(allocated.assigned.tolist(), "numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.decode().split("] ") == ["[3, 7, 0", "False\n"]
