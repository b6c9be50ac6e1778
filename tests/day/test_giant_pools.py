"""A pool too large for one thread is sorted by two, to the same order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day import arrange as arrange_module
from lottery.day import loops, threads
from lottery.method.methodology import AccountOrder
from tests.builders import AAPL, notices_table, positions_table


@settings(deadline=None)  # The first example may compile the loop.
@given(
    numbers=st.lists(st.integers(0, 2**40), max_size=60),
    index_bits=st.integers(6, 20),
)
def test_sorting_digit_by_digit_gives_the_order_of_the_keys(
    numbers: list[int], index_bits: int
) -> None:
    """Law: as a sort by value, because indices ascend in keys of one number."""
    keys = (np.array(numbers, np.int64) << index_bits) | np.arange(len(numbers))
    expected = np.sort(keys)

    for sort in (loops.sort_part, loops.sort_part.interpreted):
        sorted_keys = keys.copy()
        sort(sorted_keys, np.empty_like(sorted_keys), index_bits)
        assert sorted_keys.tolist() == expected.tolist()


@settings(deadline=None)
@given(first=st.lists(st.integers(0, 99)), second=st.lists(st.integers(0, 99)))
def test_two_sorted_halves_are_merged_into_one_order(first: list[int], second: list[int]) -> None:
    halves = [np.array(sorted(half), np.int64) for half in (first, second)]

    for merge in (loops.merge_sorted, loops.merge_sorted.interpreted):
        merged = np.empty(len(first) + len(second), np.int64)
        merge(*halves, merged)
        assert merged.tolist() == sorted([*first, *second])


@pytest.mark.parametrize("rows_a_thread", [1, 50_000])
def test_a_giant_pool_is_arranged_as_a_small_one(
    rows_a_thread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(7)
    accounts = generator.permutation(10_000)[:500].tolist()
    notices = notices_table([{"notice_id": "1", "series": AAPL, "quantity": 9, "occ_account": ""}])
    positions = positions_table(
        [
            {"series": AAPL, "account": str(account), "short_quantity": 2, "occ_account": ""}
            for account in accounts
        ]
    )
    small = arrange_module.arrange(notices, positions, AccountOrder.NUMERIC)
    monkeypatch.setattr(threads, "ROWS_WORTH_A_THREAD", rows_a_thread)
    monkeypatch.setattr(arrange_module, "_GIANT_ROWS", 2)

    giant = arrange_module.arrange(notices, positions, AccountOrder.NUMERIC)

    assert giant.keys.tolist() == small.keys.tolist() == sorted(small.keys.tolist())
    assert giant.rows.tolist() == small.rows.tolist()
    assert giant.doubled == ()


def test_a_large_pool_is_sorted_by_digits_within_the_loop() -> None:
    count = loops.RADIX_ROWS + 1
    generator = np.random.default_rng(11)
    keys = (generator.permutation(10 * count)[:count].astype(np.int64) << 15) | np.arange(count)
    starts = np.array([0, 3, 3 + count], np.int64)
    sorted_keys = np.concatenate([np.array([5 << 15, 1 << 15 | 1, 3 << 15 | 2], np.int64), keys])
    doubled = np.zeros(2, np.bool_)

    loops.sort_pools(starts, 0, 2, 15, sorted_keys, doubled)

    assert sorted_keys[:3].tolist() == [1 << 15 | 1, 3 << 15 | 2, 5 << 15]
    assert sorted_keys[3:].tolist() == sorted(keys.tolist())
    assert not doubled.any()
