"""The ribbon: what is drawn of a pool's numbers, from three accounts to two hundred thousand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lottery.audit.report.labels import GRID, NARROW, WIDE, Label, Narrow, label_within, with_room
from lottery.audit.report.ribbon import COLUMNS, Ribbon, account_ribbon, pool_ribbon
from lottery.method.distribution import NumberRange

PIXELS_AT_LEAST = 4
"""Of a character that is drawn: labels that come closer than that overlap in any font."""


def ribbon_of(shorts: Sequence[int], first_hit: int, assigned_quantity: int) -> Ribbon:
    lasts = np.cumsum(np.array(shorts, np.int64))
    return pool_ribbon(
        first_numbers=lasts - np.array(shorts, np.int64) + 1,
        last_numbers=lasts,
        first_hit=first_hit,
        assigned_quantity=assigned_quantity,
        total_short=int(lasts[-1]),
        name=lambda place: f"10{46 + place}",
    )


def texts(labels: Sequence[Label]) -> list[str]:
    return [label.text for label in labels]


def test_the_published_pool_is_drawn_with_its_accounts_its_first_hit_and_its_numbers() -> None:
    drawn = ribbon_of([30, 30, 5], 28, 10)

    def at(number: int) -> int:
        return number * GRID // 65

    assert drawn.even == ((0, at(30)), (at(60), GRID))
    assert drawn.odd == ((at(30), at(60)),)
    assert drawn.merged == ()
    assert drawn.ranges == ((at(27), at(37)),)
    assert drawn.seams == (at(27), at(30))
    assert at(27) < drawn.first_hit_mark < at(28)
    assert drawn.first_hit_label.text == "first hit 28"
    assert texts(drawn.accounts) == ["1046", "1047", "1048"]
    assert texts(drawn.hits) == ["28, 29, 30", "31 to 37"]
    assert [label.narrow for label in drawn.hits] == [Narrow.SHOWN, Narrow.LOWER]
    assert len(drawn.cells) == 64
    assert not drawn.wraps
    assert drawn.description == (
        "The numbers 1 to 65 in a line. The first hit is 28. Numbers assigned: 28 to 37."
    )


def test_a_wrap_is_a_second_stretch_at_the_start() -> None:
    drawn = ribbon_of([12, 20, 5, 3], 17, 38)
    assert drawn.wraps
    assert drawn.ranges == ((40_000, GRID), (0, 35_000))
    assert texts(drawn.hits)[0] == "17 to 32, then 13, 14"


def test_accounts_too_narrow_to_be_seen_are_drawn_together_and_counted() -> None:
    shorts = [2] * 100_000 + [50_000] + [1] * 100_000 + [1_000]
    drawn = ribbon_of(shorts, 240_001, 60_000)
    assert drawn.merged_count == 200_000
    assert len(drawn.merged) == 2
    assert len(drawn.even) + len(drawn.odd) == 2
    assert drawn.cells == ()
    # Ten thousand accounts were hit: their numbers have no room, and the range is told instead.
    assert texts(drawn.hits) == ["240,001 to 300,000"]


def test_one_narrow_account_between_wide_ones_is_not_drawn_as_many() -> None:
    drawn = ribbon_of([100_000, 1, 100_000], 1, 1)
    assert drawn.merged_count == 0
    assert len(drawn.even) == 2
    assert len(drawn.odd) == 1


def test_an_accounts_own_ribbon_has_its_range_and_its_numbers_alone() -> None:
    own = NumberRange(first_number=31, last_number=60)
    hits = [NumberRange(first_number=31, last_number=37)]
    drawn = account_ribbon(owned=own, name="1047", hits=hits, first_hit=28, total_short=65)
    assert drawn.even + drawn.odd == ((30 * GRID // 65, 60 * GRID // 65),)
    assert drawn.ranges == ((30 * GRID // 65, 37 * GRID // 65),)
    assert texts(drawn.accounts) == ["1047"]
    spared = account_ribbon(owned=own, name="1047", hits=[], first_hit=1, total_short=65)
    assert (spared.ranges, spared.hits) == ((), ())
    assert spared.description.endswith("Numbers assigned: none.")


def test_a_name_stands_beside_the_first_hit_and_not_under_it() -> None:
    whole = (0, GRID)
    for mark, at in ((GRID // 4, 62_500), (3 * GRID // 4, 37_500), (GRID, 50_000)):
        label = label_within(whole, "77032", mark)
        assert label is not None
        assert label.at == at
    assert label_within((0, 1_000), "77032", GRID) is None


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
    places=st.lists(st.integers(0, GRID), max_size=30),
    width=st.sampled_from([WIDE, NARROW]),
    characters=st.integers(1, 24),
)
def test_labels_do_not_run_into_each_other(places: list[int], width: int, characters: int) -> None:
    """Law: of the labels shown in one row, no two overlap; the first always has room."""
    labels = [Label(at=at, anchor="middle", text="8" * characters) for at in places]
    shown = list(with_room(labels))
    if width == NARROW:
        shown = [label for label in shown if label.narrow is Narrow.SHOWN]
    ends = sorted(
        (
            label.at * width / GRID - characters * PIXELS_AT_LEAST / 2,
            label.at * width / GRID + characters * PIXELS_AT_LEAST / 2,
        )
        for label in shown
    )
    assert all(before[1] < after[0] for before, after in pairwise(ends))
