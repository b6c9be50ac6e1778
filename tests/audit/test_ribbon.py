"""The ribbon: what is drawn of a pool's numbers, from three accounts to two hundred thousand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.audit.report.ribbon import COLUMNS, GRID, Label, Ribbon, draw_ribbon
from lottery.method.distribution import NumberRange, ranges_hit


def ribbon_of(shorts: Sequence[int], first_hit: int, assigned_quantity: int) -> Ribbon:
    lasts = np.cumsum(np.array(shorts, np.int64))
    total_short = int(lasts[-1])
    return draw_ribbon(
        first_numbers=lasts - np.array(shorts, np.int64) + 1,
        last_numbers=lasts,
        name=lambda index: f"10{46 + index}",
        ranges=ranges_hit(
            first_hit=first_hit, assigned_quantity=assigned_quantity, total_short=total_short
        ),
        first_hit=first_hit,
        total_short=total_short,
    )


def own_ribbon(owned: NumberRange, ranges: Sequence[NumberRange]) -> Ribbon:
    return draw_ribbon(
        first_numbers=np.array([owned.first_number]),
        last_numbers=np.array([owned.last_number]),
        name=lambda _: "1047",
        ranges=ranges,
        first_hit=28,
        total_short=65,
    )


def texts(*rows: Sequence[Label]) -> list[str]:
    return [label.text for row in rows for label in row]


def test_the_published_pool_is_drawn_with_its_accounts_its_first_hit_and_its_numbers() -> None:
    drawn = ribbon_of([30, 30, 5], 28, 10)

    def at(number: int) -> int:
        return number * GRID // 65

    assert drawn.even == ((0, at(30)), (at(60), GRID))
    assert drawn.odd == ((at(30), at(60)),)
    assert drawn.merged == ()
    assert drawn.ranges == ((at(27), at(37)),)
    assert drawn.seams == (at(27), at(30))
    assert at(27) < drawn.first_hit_offset < at(28)
    assert drawn.first_hit_align == "middle"
    assert texts(drawn.names) == ["1046", "1047", "1048"]
    assert texts(*drawn.hits) == ["28, 29, 30", "31 to 37"]
    # Neighbours in one row lean away from each other.
    (row,) = drawn.hits
    assert [(label.room[0], label.align) for label in row] == [(0, "end"), (at(31) - 1, "start")]
    assert len(drawn.cells) == 64
    assert not drawn.wraps
    assert drawn.description == (
        "The numbers 1 to 65 in a line. The first hit is 28. Numbers assigned: 28 to 37."
    )


def test_a_wrap_is_a_second_range_at_the_start() -> None:
    drawn = ribbon_of([12, 20, 5, 3], 17, 38)
    assert drawn.wraps
    assert drawn.ranges == ((40_000, GRID), (0, 35_000))
    assert "17 to 32, then 13, 14" in texts(*drawn.hits)


def test_accounts_too_narrow_to_be_seen_are_drawn_together_and_counted() -> None:
    shorts = [2] * 100_000 + [50_000] + [1] * 100_000 + [1_000]
    drawn = ribbon_of(shorts, 240_001, 60_000)
    assert drawn.merged_count == 200_000
    assert len(drawn.merged) == 2
    assert len(drawn.even) + len(drawn.odd) == 2
    assert drawn.cells == ()
    # Ten thousand accounts were hit: their numbers have no room, so the range is labelled.
    assert texts(*drawn.hits) == ["240,001 to 300,000"]


def test_one_narrow_account_between_wide_ones_is_not_drawn_as_many() -> None:
    drawn = ribbon_of([100_000, 1, 100_000], 1, 1)
    assert drawn.merged_count == 0
    assert len(drawn.even) == 2
    assert len(drawn.odd) == 1


def test_an_accounts_own_ribbon_has_its_range_and_its_numbers_alone() -> None:
    own = NumberRange(first_number=31, last_number=60)
    drawn = own_ribbon(own, [NumberRange(first_number=31, last_number=37)])
    assert drawn.even + drawn.odd == ((30 * GRID // 65, 60 * GRID // 65),)
    assert drawn.ranges == ((30 * GRID // 65, 37 * GRID // 65),)
    assert texts(drawn.names) == ["1047"]
    spared = own_ribbon(own, [])
    assert (spared.ranges, texts(*spared.hits)) == ((), [])
    assert spared.description.endswith("Numbers assigned: none.")


@pytest.mark.parametrize(
    ("first_hit", "room", "align"),
    [
        (1, (500, GRID), "start"),
        (25, (24_500, GRID), "start"),
        (50, (49_500, GRID), "middle"),
        (75, (0, 74_500), "end"),
        (100, (0, 99_500), "end"),
    ],
)
def test_a_name_has_the_larger_side_of_the_first_hit_and_the_label_of_that_stays_within(
    first_hit: int, room: tuple[int, int], align: str
) -> None:
    drawn = ribbon_of([100], first_hit, 1)
    (name,) = drawn.names
    assert name.room == room
    assert drawn.first_hit_align == align


@given(
    shorts=st.lists(st.one_of(st.integers(1, 4), st.integers(1, 50_000)), min_size=1, max_size=300),
    data=st.data(),
)
def test_blocks_cover_the_ribbon_without_overlap_and_nothing_lies_outside(
    shorts: list[int], data: st.DataObject
) -> None:
    """Law: however accounts are merged, their blocks are the whole ribbon, in order."""
    total = sum(shorts)
    first_hit = data.draw(st.integers(1, total))
    assigned_quantity = data.draw(st.integers(1, total))
    drawn = ribbon_of(shorts, first_hit, assigned_quantity)
    blocks = sorted(drawn.even + drawn.odd + drawn.merged)
    assert blocks[0][0] == 0
    assert blocks[-1][1] == GRID
    assert all(before[1] == after[0] for before, after in pairwise(blocks))
    assert len(blocks) <= 2 * COLUMNS + 1
    assert len(drawn.even) + len(drawn.odd) + drawn.merged_count == len(shorts)
    for start, end in drawn.ranges:
        assert 0 <= start <= end <= GRID
    length = sum(end - start for start, end in drawn.ranges)
    assert abs(length - assigned_quantity * GRID // total) <= 4


@given(
    shorts=st.lists(st.integers(1, 40), min_size=1, max_size=40),
    data=st.data(),
)
def test_labels_of_a_row_do_not_share_their_room(shorts: list[int], data: st.DataObject) -> None:
    """Law: the labels of a row are in order, and no two may use the same part of it."""
    total = sum(shorts)
    drawn = ribbon_of(shorts, data.draw(st.integers(1, total)), data.draw(st.integers(1, total)))
    for row in (drawn.names, *drawn.hits):
        bounds = [0, *(bound for label in row for bound in label.room), GRID]
        assert bounds == sorted(bounds)
