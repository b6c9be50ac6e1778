"""The words of a working: numbers as people read them, and options in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lottery.audit import wording
from lottery.ledger.holds import HOLDS
from lottery.method.distribution import NumberRange

RUNBOOK = Path(__file__).parents[2] / "docs" / "OPERATIONS.md"


def ranges(*ends: tuple[int, int]) -> list[NumberRange]:
    return [NumberRange(first_number=first, last_number=last) for first, last in ends]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], "none"),
        ([(28, 28)], "28"),
        ([(28, 30)], "28, 29, 30"),
        ([(31, 37)], "31 to 37"),
        ([(1_000, 1_001)], "1,000, 1,001"),
        ([(38, 40), (1, 14)], "38, 39, 40, then 1 to 14"),
    ],
)
def test_numbers_hit_are_listed_up_to_three_and_shown_as_a_range_past_that(
    ends: list[tuple[int, int]], expected: str
) -> None:
    assert wording.hit_numbers(ranges(*ends)) == expected


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("AAPL  240920C00220000", "AAPL call at 220, expiring 20 September 2024"),
        ("GOOGL1240920P00155500", "GOOGL1 put at 155.5, expiring 20 September 2024"),
        ("SPXW  250101C05600000", "SPXW call at 5,600, expiring 1 January 2025"),
        ("F     241231P00000125", "F put at 0.125, expiring 31 December 2024"),
        ("BRKB  240920P00460000", "BRKB put at 460, expiring 20 September 2024"),
    ],
)
def test_a_series_is_described_in_words(series: str, expected: str) -> None:
    assert wording.contract(series) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 accounts"), (1, "1 account"), (1_046, "1,046 accounts")]
)
def test_one_is_not_written_as_several(number: int, expected: str) -> None:
    assert wording.count(number, "account") == expected


def rows_of_the_runbook(codes: set[str]) -> dict[str, tuple[str, str]]:
    """Return the rows of the runbook's tables about codes, as they are read."""
    text = RUNBOOK.read_text("utf-8").replace("`", "")
    rows = re.findall(r"(?m)^\| ([A-Z_]+) \| ([^|]+) \| ([^|]+) \|$", text)
    return {code: (first, second) for code, first, second in rows if code in codes}


def test_what_holds_and_what_to_check_is_what_the_runbook_says() -> None:
    assert rows_of_the_runbook({*HOLDS}) == wording.HOLD_TEXTS
    causes = {
        code: cause for code, (_, cause) in rows_of_the_runbook({*wording.BREAK_TEXTS}).items()
    }
    assert causes == wording.BREAK_CAUSES
