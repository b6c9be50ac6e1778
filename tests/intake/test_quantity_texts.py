"""Quantities that come as text: whole numbers of up to 63 bits, in any chunks, by any threads."""

from __future__ import annotations

import string

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lottery.day import threads
from lottery.day.tables import INT64_MAX
from lottery.intake.columns import quantities
from lottery.intake.sources import Reading, RowLocator
from tests.loops import interpreted_loops

TEXTS = st.one_of(
    st.none(),
    st.text("0189/:x", max_size=32),
    st.text(string.digits, max_size=32),
    st.integers(INT64_MAX - 2, INT64_MAX + 2).map(str),
    st.integers(INT64_MAX - 2, INT64_MAX + 2).map(lambda number: str(number).zfill(30)),
)
LARGE = [str(INT64_MAX), str(INT64_MAX + 1), "0" * 29 + "7", "0" * 30 + "7", "9" * 18, "1" * 19]


@given(
    texts=st.lists(TEXTS),
    least=st.sampled_from([0, 1]),
    rows_a_thread=st.sampled_from([1, 50_000]),
    cut=st.integers(0, 20),
    is_interpreted=st.booleans(),
)
@example(texts=LARGE, least=1, rows_a_thread=1, cut=2, is_interpreted=True)
@example(
    texts=["1\n", "\n1", " 1", "+1", "-1", ""],
    least=0,
    rows_a_thread=9,
    cut=0,
    is_interpreted=False,
)
@settings(deadline=None)
def test_a_text_is_its_whole_number_or_is_refused_with_its_row(
    texts: list[str | None], least: int, rows_a_thread: int, cut: int, *, is_interpreted: bool
) -> None:
    """Law: 1 to 30 digits up to 2**63 - 1 are their number; any other text becomes the least."""
    column = pa.chunked_array([texts[:cut], [], texts[cut:]], pa.string())
    raw = Reading(locator=RowLocator(source="file"), table=pa.table({"quantity": column}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "ROWS_WORTH_A_THREAD", rows_a_thread)
        if is_interpreted:
            with interpreted_loops():
                read, problems = quantities(raw, "quantity", least)
        else:
            read, problems = quantities(raw, "quantity", least)

    expected = [
        int(text)
        if text and len(text) <= 30 and {*text} <= {*string.digits} and least <= int(text) < 2**63
        else None
        for text in texts
    ]
    assert read.to_pylist() == [least if number is None else number for number in expected]
    wrong = [row for row, number in enumerate(expected) if number is None]
    assert [problem.row for problem in problems.listed] == [row + 1 for row in wrong][:100]
    assert len(problems.listed) + problems.unlisted == len(wrong)
