"""How values from outside are shown, and what a problem says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.errors import QUOTE_LIMIT, Problem, Refused, escape, quote


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("APPL", "'APPL'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("\x1b[31mred", r"'\x1b[31mred'"),
        ("a\nb\r\tc", r"'a\nb\r\tc'"),
        ("\x9b31m", r"'\x9b31m'"),
        ("\u202egnp", r"'\u202egnp'"),
        ("a\u2028b\u00a0c", r"'a\u2028b\xa0c'"),
        ("\ud800", r"'\ud800'"),
        ("\x00\x7f", r"'\x00\x7f'"),
        ("Zürich", "'Zürich'"),
        (b"\xff1046", "'\ufffd1046'"),
        (Path("day/posi\ntions.csv"), r"'day/posi\ntions.csv'"),
        (0, "0"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_on_one_line_without_control_characters(value: object, shown: str) -> None:
    assert quote(value) == shown
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["a" * 79, "a" * 1_000_000, "\x1b" * 30, "\U000e0001" * 1000])
@pytest.mark.parametrize("limit", [20, QUOTE_LIMIT, 200])
def test_a_shortened_value_keeps_to_its_limit_and_shows_its_beginning(
    text: str, limit: int
) -> None:
    for shown, inner in ((quote(text, limit), 1), (escape(text, limit), 0)):
        assert len(shown) <= limit
        assert shown.isprintable()
        assert shown[inner:].startswith((repr(text[0])[1:-1], "..."))
        assert shown.endswith("...") == (len(repr(text)) - 2 + 2 * inner > limit)


def test_a_value_that_just_fits_is_not_shortened() -> None:
    assert quote("a" * (QUOTE_LIMIT - 2)) == f"'{'a' * (QUOTE_LIMIT - 2)}'"
    assert escape("a" * QUOTE_LIMIT, QUOTE_LIMIT) == "a" * QUOTE_LIMIT


def test_a_problem_shows_no_escape_sequence_of_its_source_column_or_message() -> None:
    problem = Problem(
        source="day\x1b]0;.csv", message="got \x9b2J", row=3, line=4, column="acc\x1b[31mount"
    )
    assert str(problem) == r"day\x1b]0;.csv, row 3 (line 4), acc\x1b[31mount: got \x9b2J"
    assert str(Refused([problem])).isprintable()


def test_a_problem_shows_the_beginning_of_a_long_column_name() -> None:
    shown = str(Problem(source="positions.csv", message="unknown column", column="x" * 70_000))
    assert shown == f"positions.csv, {'x' * 77}...: unknown column"
