"""The second look at a day: it agrees with every right one, and finds every wrong value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day import recheck as module
from lottery.day.allocate import Day, allocate
from lottery.day.assigned_pools import AssignedPools, Integers, assigned_pools
from lottery.day.keys import KeyedPositions, key_table
from lottery.day.recheck import recheck
from lottery.errors import AllocationWrong
from lottery.method.methodology import AccountOrder, ZeroHit
from tests.builders import (
    AAPL,
    FULL,
    GE,
    META,
    SmallDay,
    in_chunks,
    notice,
    notices_table,
    positions_of,
    positions_table,
)


def _parts(day: SmallDay) -> tuple[AssignedPools, KeyedPositions]:
    assigned = assigned_pools(notices_table(day.notices))
    return assigned, key_table(positions_table(day.positions), assigned, AccountOrder.NUMERIC)


def _checked(
    day: SmallDay,
    ten_thousandths: int,
    zero_hit: ZeroHit,
    changed: Day | None = None,
    assigned_before: Integers | None = None,
) -> Day:
    assigned, positions = _parts(day)
    given: dict[str, Any] = {
        "ten_thousandths": ten_thousandths,
        "zero_hit": zero_hit,
        "assigned_before": assigned_before,
    }
    computed = allocate(assigned, positions, **given)
    recheck(changed or computed, assigned, positions, **given)
    return computed


_shorts = st.lists(st.integers(0, 12) | st.integers(2**40, 2**55), min_size=0, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    pools=st.lists(_shorts, min_size=1, max_size=3),
    parts=st.lists(st.integers(1, 100), min_size=3, max_size=3),
    before=st.lists(st.integers(0, 100), min_size=3, max_size=3),
    ten_thousandths=st.integers(1, 10_000),
    zero_hit=st.sampled_from(ZeroHit),
    rows=st.integers(1, 5),
)
def test_every_day_of_the_loops_passes(
    pools: list[list[int]],
    parts: list[int],
    before: list[int],
    ten_thousandths: int,
    zero_hit: ZeroHit,
    rows: int,
) -> None:
    """Law: what the compiled loops allocate is what the rules say to other code, in any chunks."""
    series = (AAPL, GE, META)[: len(pools)]
    day = SmallDay(
        notices=[
            notice(f"N{index}", one, max(1, sum(shorts) * part // 90))
            for index, (one, shorts, part) in enumerate(zip(series, pools, parts, strict=False))
        ],
        positions=[
            row
            for one, shorts in zip(series, pools, strict=True)
            for row in positions_of(one, ((str(n + 1), short) for n, short in enumerate(shorts)))
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", rows)
        shares = [sum(shorts) * part // 100 for shorts, part in zip(pools, before, strict=False)]
        _checked(day, ten_thousandths, zero_hit, assigned_before=np.array(shares, np.int64))


def _with_row(table: pa.Table, row: int, name: str, more: int) -> pa.Table:
    values = np.array(table.column(name).to_numpy())
    values[row] += more
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(name), pa.chunked_array([values]))


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize(
    "name", ["short_quantity", "first_number", "last_number", "assigned_quantity"]
)
def test_every_changed_number_of_an_allocation_is_found(name: str, more: int) -> None:
    computed = _checked(FULL, 4314, ZeroHit.WRAP)
    for row in range(computed.allocations.num_rows):
        wrong = replace(computed, allocations=_with_row(computed.allocations, row, name, more))
        with pytest.raises(AllocationWrong, match="nothing is recorded"):
            _checked(FULL, 4314, ZeroHit.WRAP, wrong)


@pytest.mark.parametrize(
    "name",
    ["assigned_quantity", "total_short", "assigned_before", "first_hit", "account_count"],
)
def test_every_changed_number_of_a_pool_is_found(name: str) -> None:
    computed = _checked(FULL, 4314, ZeroHit.WRAP)
    for row in range(computed.pools.num_rows):
        if computed.pools.column(name)[row].as_py() is None:
            continue
        values = computed.pools.column(name).to_pylist()
        values[row] += 1
        index = computed.pools.schema.get_field_index(name)
        field = computed.pools.schema.field(name)
        pools = computed.pools.set_column(index, field, pa.array(values, field.type))
        with pytest.raises(AllocationWrong):
            _checked(FULL, 4314, ZeroHit.WRAP, replace(computed, pools=pools))


def test_late_contracts_from_another_number_are_found() -> None:
    """Also those of a draw that does not go on, and of one that goes on too early."""
    before = np.array([10, 0, 0, 2], np.int64)
    late = replace(FULL, notices=[notice("B1", AAPL, 24, "C"), *FULL.notices[1:]])
    computed = _checked(late, 4314, ZeroHit.WRAP, assigned_before=before)
    for other in (None, before - 1 * (before > 0), before + 1):
        wrong = _checked(late, 4314, ZeroHit.WRAP, assigned_before=other)
        pools = wrong.pools.set_column(
            wrong.pools.schema.get_field_index("assigned_before"),
            wrong.pools.schema.field("assigned_before"),
            computed.pools.column("assigned_before"),
        )
        with pytest.raises(AllocationWrong):
            _checked(late, 4314, ZeroHit.WRAP, replace(wrong, pools=pools), before)


def test_rows_of_another_pool_and_missing_rows_are_found() -> None:
    computed = _checked(FULL, 4314, ZeroHit.WRAP)
    rows = computed.allocations
    swapped = pa.concat_tables([rows.slice(3), rows.slice(0, 3)])
    for wrong in (swapped, rows.slice(1), pa.concat_tables([rows, rows.slice(0, 1)])):
        with pytest.raises(AllocationWrong):
            _checked(FULL, 4314, ZeroHit.WRAP, replace(computed, allocations=wrong))
    positions = computed.positions
    last = positions.num_rows - 1
    turned = pa.concat_tables([positions.slice(last), positions.slice(0, last)])
    for wrong in (positions.slice(1), positions.slice(0, last), turned):
        with pytest.raises(AllocationWrong):
            _checked(FULL, 4314, ZeroHit.WRAP, replace(computed, positions=wrong))


def test_a_day_in_chunks_of_any_size_is_right_too() -> None:
    computed = _checked(FULL, 4314, ZeroHit.WRAP)
    for rows_a_chunk in (1, 2, 5):
        cut = replace(
            computed,
            allocations=in_chunks(computed.allocations, rows_a_chunk),
            positions=in_chunks(computed.positions, rows_a_chunk),
        )
        assert _checked(FULL, 4314, ZeroHit.WRAP, cut) == computed
    rows = computed.allocations
    with_an_empty_one = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 0), rows.slice(1)])
    _checked(FULL, 4314, ZeroHit.WRAP, replace(computed, allocations=with_an_empty_one))


def test_a_break_that_is_none_is_found() -> None:
    computed = _checked(FULL, 4314, ZeroHit.WRAP)
    reasons = pa.nulls(computed.pools.num_rows, pa.string())
    index = computed.pools.schema.get_field_index("break_reason")
    pools = computed.pools.set_column(index, "break_reason", reasons)
    with pytest.raises(AllocationWrong, match="a break if more is assigned than is left"):
        _checked(FULL, 4314, ZeroHit.WRAP, replace(computed, pools=pools))
