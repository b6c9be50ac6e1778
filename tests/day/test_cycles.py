"""A date's cycles, added up; the law of it is in `tests/property/test_what_stands.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lottery.day.cycles import Cycle, add_up
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.errors import AllocationWrong
from lottery.method.methodology import Pooling
from tests.builders import (
    AAPL,
    FULL,
    GE,
    PUBLISHED_POSITIONS,
    allocate_rows,
    notice,
    notices_table,
    positions_of,
    rows_of,
    tuples_of,
)
from tests.reference import Row

SHORT = positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5}, "C")


def cycle_of(notices: list[Row], positions: list[Row], *, before: int = 0) -> Cycle:
    """Return what a run did; earlier ones assigned so many contracts of each of its pools."""
    count = len({(row["occ_account"], row["series"]) for row in notices})
    day = allocate_rows(notices, positions, assigned_before=[before] * count)
    return Cycle(notices=notices_table(notices), pools=day.pools, allocations=day.allocations)


def test_a_date_without_a_pool_has_no_row() -> None:
    whole = add_up([])

    assert (whole.pools.num_rows, whole.pools.schema) == (0, POOLS)
    assert (whole.allocations.num_rows, whole.allocations.schema) == (0, ALLOCATIONS)


def test_one_run_is_its_own_date() -> None:
    cycle = cycle_of(list(FULL.notices), list(FULL.positions))

    whole = add_up([cycle])

    assert (whole.pools, whole.allocations) == (cycle.pools, cycle.allocations)


def test_late_notices_are_added_to_the_draw_that_they_continue() -> None:
    first = cycle_of([notice("A1", AAPL, 10, "C")], SHORT)
    late = cycle_of([notice("A2", AAPL, 2, "C"), notice("A3", AAPL, 3, "C")], SHORT, before=10)

    whole = add_up([first, late])

    once = allocate_rows([notice("A", AAPL, 15, "C")], SHORT)
    assert rows_of(whole.allocations) == rows_of(once.allocations)
    assert whole.allocations.schema == ALLOCATIONS
    (pool,) = rows_of(whole.pools)
    assert pool == {**rows_of(once.pools)[0], "notice_count": 3, "hit_account_count": 2}


def test_pools_of_several_runs_are_in_their_order() -> None:
    ge = cycle_of([notice("A2", GE, 4, "C")], positions_of(GE, {"7": 9, "11": 1}, "C"))
    published = cycle_of([notice("A1", AAPL, 10)], PUBLISHED_POSITIONS)
    aapl = cycle_of([notice("A3", AAPL, 10, "C")], SHORT)

    whole = add_up([ge, aapl, published])

    expected: list[tuple[str | int | None, ...]] = [("", AAPL), ("C", AAPL), ("C", GE)]
    assert tuples_of(whole.pools, "occ_account", "series") == expected
    assert sorted(set(tuples_of(whole.allocations, "occ_account", "series"))) == expected
    accounts = tuples_of(whole.allocations, "account")
    assert accounts[-2:] == [("7",), ("11",)]


def test_late_notices_that_are_too_many_are_a_break_after_what_the_pool_got() -> None:
    first = cycle_of([notice("A1", AAPL, 10, "C")], SHORT)
    late = cycle_of([notice("A2", AAPL, 56, "C")], SHORT, before=10)

    whole = add_up([first, late])

    assert tuples_of(
        whole.pools, "assigned_quantity", "total_short", "assigned_before", "break_reason"
    ) == [(10, 65, 0, None), (56, 65, 10, "EXCEEDS_SHORT")]
    assert rows_of(whole.allocations) == rows_of(first.allocations)


def test_a_break_that_was_allocated_later_is_none_and_the_rest_of_it_still_is() -> None:
    broken = cycle_of([notice("A1", AAPL, 60, "C"), notice("A2", AAPL, 6, "C")], SHORT)
    one = cycle_of([notice("A2", AAPL, 6, "C")], SHORT)

    assert rows_of(add_up([broken]).pools)[0]["assigned_quantity"] == 66
    whole = add_up([broken, one])

    names = ("notice_count", "assigned_quantity", "assigned_before", "break_reason")
    assert tuples_of(whole.pools, *names) == [(1, 6, 0, None), (1, 60, 0, "EXCEEDS_SHORT")]
    rest = cycle_of([notice("A1", AAPL, 59, "C")], SHORT, before=6)
    assert tuples_of(add_up([broken, one, rest]).pools, *names) == [(2, 65, 0, None)]


def test_a_break_that_came_again_counts_once_with_the_figures_of_the_last_run() -> None:
    broken = cycle_of([notice("A1", AAPL, 66, "C")], SHORT)
    again = cycle_of([notice("A1", AAPL, 66, "C"), notice("A2", AAPL, 1, "C")], SHORT[:2])

    whole = add_up([broken, again])

    names = ("notice_count", "assigned_quantity", "total_short")
    assert tuples_of(whole.pools, *names) == [(2, 67, 60)]
    assert whole.allocations.num_rows == 0


@pytest.mark.parametrize(("first", "second"), [("", "C"), ("C", "")])
def test_a_notice_with_and_without_an_occ_account_is_one(first: str, second: str) -> None:
    broken = cycle_of([notice("A1", AAPL, 66, first)], positions_of(AAPL, {"1": 1}, first))
    held = positions_of(AAPL, {"1": 70}, second)
    allocated = cycle_of([notice("A1", AAPL, 66, second)], held)

    whole = add_up([broken, allocated])

    assert tuples_of(whole.pools, "occ_account", "break_reason") == [(second, None)]


def test_a_notice_of_another_occ_account_with_the_same_id_is_another() -> None:
    broken = cycle_of([notice("A1", AAPL, 66, "F")], positions_of(AAPL, {"1": 1}, "F"))
    allocated = cycle_of([notice("A1", AAPL, 1, "C")], SHORT)

    whole = add_up([broken, allocated])

    assert tuples_of(whole.pools, "occ_account", "break_reason") == [
        ("C", None),
        ("F", "EXCEEDS_SHORT"),
    ]


def test_where_a_pool_is_a_series_notices_are_still_known_by_their_own_occ_accounts() -> None:
    def run(notices: list[Row]) -> Cycle:
        pooled = [{**row, "occ_account": ""} for row in notices]
        cycle = cycle_of(pooled, positions_of(AAPL, {"1": 10}))
        return replace(cycle, notices=notices_table(notices), pooling=Pooling.SERIES)

    broken = run([notice("A1", AAPL, 6, "C"), notice("A1", AAPL, 7, "F")])
    again = run([notice("A1", AAPL, 6, "C")])

    names = ("occ_account", "notice_count", "assigned_quantity", "break_reason")
    assert tuples_of(add_up([broken, broken]).pools, *names) == [("", 2, 13, "EXCEEDS_SHORT")]
    assert tuples_of(add_up([broken, again]).pools, *names) == [
        ("", 1, 6, None),
        ("", 1, 7, "EXCEEDS_SHORT"),
    ]


def test_other_accounts_of_a_pool_are_wrong() -> None:
    first = cycle_of([notice("A1", AAPL, 10, "C")], SHORT)
    other = cycle_of([notice("A2", AAPL, 10, "C")], SHORT[1:])

    with pytest.raises(AllocationWrong, match=f"the same accounts of C {AAPL} in every cycle"):
        add_up([first, other])
