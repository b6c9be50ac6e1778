"""Loops: interpreted while they are short, compiled once they are long, and the same either way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import numpy.typing as npt
import pytest

from lottery.day import jit
from lottery.day.jit import Loop


def total_of(numbers: npt.NDArray[np.int64]) -> int:
    """Stand in for a loop, quick to compile."""
    total = 0
    for number in numbers:
        total += number
    return total


def twice(number: int) -> int:
    """Stand in for a rule that loops call."""
    return 2 * number


def twice_the_total(numbers: npt.NDArray[np.int64]) -> int:
    """Call the rules."""
    return twice(total_of_inlined(numbers))


def total_of_inlined(numbers: npt.NDArray[np.int64]) -> int:
    """Stand in for a rule with a loop in it."""
    total = 0
    for number in numbers:
        total += number
    return total


@pytest.fixture(autouse=True)
def ten_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile loops from the eleventh row on, and forget what a test registers."""
    monkeypatch.setattr(jit, "ROWS_WORTH_COMPILING", 10)
    loops = list(jit._loops)
    yield
    jit._loops[:] = loops


@pytest.fixture
def total() -> Loop:
    return jit.loop("const int64[]")(total_of)


def is_compiled(loop: Loop) -> bool:
    """Return whether a loop runs as machine code."""
    return loop._dispatcher is not None


@pytest.mark.parametrize(
    ("row_counts", "compiled"), [([10], False), ([11], True), ([4, 4], False), ([4, 4, 4], True)]
)
def test_a_loop_is_compiled_when_it_has_gone_over_many_rows(
    row_counts: list[int], *, compiled: bool, total: Loop
) -> None:
    for count in row_counts:
        assert total(np.arange(count)) == count * (count - 1) // 2

    assert is_compiled(total) is compiled


def test_the_longest_array_counts() -> None:
    def first_of(short: npt.NDArray[np.int64], long: npt.NDArray[np.int64]) -> int:
        return int(short[0] + long[0])

    loop = jit.loop("const int64[], const int64[]")(first_of)

    assert loop(np.arange(1), np.arange(11)) == 0
    assert is_compiled(loop)


def test_rules_are_compiled_into_the_loops_that_call_them() -> None:
    assert jit.inlined(twice) is twice
    assert jit.inlined(total_of_inlined) is total_of_inlined
    loop = jit.loop("const int64[]")(twice_the_total)

    assert loop(np.arange(4)) == 12
    assert loop(np.arange(11)) == 110
    assert is_compiled(loop)


def test_after_warming_up_nothing_is_interpreted(total: Loop) -> None:
    jit.warm_up()

    assert is_compiled(total)
    assert total(np.arange(3)) == 3


def test_a_loop_has_one_version_for_arrays_that_can_be_written_and_others(total: Loop) -> None:
    numbers = np.arange(11)
    total(numbers)
    numbers.flags.writeable = False

    assert total(numbers) == 55
    with pytest.raises(TypeError, match="No matching definition"):
        total(np.arange(3, dtype=np.int32))
    assert len(total.compiled().signatures) == 1  # type: ignore[attr-defined]


def test_a_loop_can_write_to_an_array_and_read_one_of_two_dimensions() -> None:
    def add_rows(table: npt.NDArray[np.int32], sums: npt.NDArray[np.int64], flag: bool) -> None:  # noqa: FBT001 - numba has no keywords.
        for row in range(len(table)):
            sums[row] = table[row, 0] + table[row, 1] if flag else 0

    sums = np.zeros(11, np.int64)
    jit.loop("const int32[,], int64[], bool")(add_rows)(np.ones((11, 2), np.int32), sums, True)  # noqa: FBT003 - as above.

    assert sums.tolist() == [2] * 11


def test_compiling_is_reported_once_to_whoever_asked_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jit, "code_folder", lambda: None)
    first: list[str] = []
    last: list[str] = []
    jit.report_compiling(first.append)
    jit.report_compiling(last.append)

    for _ in range(2):
        jit.loop("const int64[]")(total_of)(np.arange(11))

    assert (first, len(last)) == ([], 1)
    assert last[0].startswith("compiling the loops for large days")


def test_threads_that_call_a_loop_at_once_compile_it_once(total: Loop) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: total.compiled(), range(8)))

    assert found == {total._dispatcher}


def test_without_the_compiler_a_loop_is_interpreted(
    monkeypatch: pytest.MonkeyPatch, total: Loop
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)

    assert total(np.arange(11)) == 55
    assert total.compiled() == total.interpreted


def test_what_wraps_around_in_machine_code_does_so_interpreted() -> None:
    def product_of(numbers: npt.NDArray[np.uint64]) -> np.uint64:
        product = np.uint64(1)
        for number in numbers:
            product = product * number
        return product

    loop = jit.loop("const uint64[]")(product_of)
    numbers = np.array([2**63, 3], np.uint64)

    assert int(loop(numbers)) == int(loop.compiled()(numbers)) == 2**63


def test_a_small_day_does_not_load_the_compiler() -> None:
    program = """
import sys
from lottery import operations
from lottery.day.pool_loops import ASSIGNED
from lottery.day.single_pool import allocate_pool
from lottery.method.methodology import AccountOrder, ZeroHit

pool = allocate_pool(
    ["1046", "1047", "1048"],
    [30, 30, 5],
    account_order=AccountOrder.NUMERIC,
    assigned_quantity=10,
    ten_thousandths=4314,
    zero_hit=ZeroHit.WRAP,
)
print(pool.rows[:, ASSIGNED].tolist(), "numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.decode().split("] ") == ["[3, 7, 0", "False\n"]
