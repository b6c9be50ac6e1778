"""Quotes where RFC 4180 has them, held against its grammar and against Python's own reader."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery.intake.loops import has_valid_quotes

BOUNDED: Final = settings(
    max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
FIELD: Final = r'(?:"(?:[^"\r\n]|"")*"|[^",\r\n]*)'
GRAMMAR: Final = re.compile(rf"(?:{FIELD}[,\r\n])*{FIELD}")
"""RFC 4180 without line breaks in values."""

contents = st.one_of(
    st.text(st.sampled_from('",\r\na'), max_size=12),
    st.text(st.sampled_from('"",\r\n a1\u00e9\u2028'), max_size=60),
)
values = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)


def is_sound(text: str) -> bool:
    return bool(has_valid_quotes(np.frombuffer(text.encode(), np.uint8), ord(",")))


def read_strictly(text: str) -> list[str] | None:
    """Every value as Python's reader has it; None where it refuses the text in strict mode."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None
    return [value for line in lines for value in line]


@BOUNDED
@given(text=contents)
def test_quotes_are_valid_if_the_grammar_has_the_text(text: str) -> None:
    assert is_sound(text) == (GRAMMAR.fullmatch(text) is not None)


@BOUNDED
@given(text=contents)
def test_what_is_sound_is_read_strictly_and_without_line_breaks_in_values(text: str) -> None:
    read = read_strictly(text)
    breaks = read is not None and any(set("\r\n") & set(value) for value in read)

    if is_sound(text):
        assert read is not None
        assert not breaks
    elif read is not None and not breaks:
        # Python's reader takes a quote inside a bare value for a character of it; the RFC does not.
        assert any('"' in value for value in read)


@BOUNDED
@given(
    lines=st.lists(st.lists(values, min_size=1, max_size=4), min_size=1, max_size=4),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_pythons_writer_writes_is_sound(
    lines: list[list[str]], quoting: int, ending: str
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting, lineterminator=ending).writerows(lines)  # type: ignore[arg-type]

    assert is_sound(written.getvalue())


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("", True),
        ('""', True),
        ('""""', True),
        ('"a,b","c""d"\r\n"e"', True),
        ('"', False),
        ('"""', False),
        ('a"b', False),
        ('a"', False),
        (' "a"', False),
        ('"a"b', False),
        ('"a" ', False),
        ('""1047', False),
        ('"a\nb"', False),
        ('"a\rb"', False),
        ('a,"b', False),
        ('a,"b\n', False),
    ],
)
def test_quotes_by_example(text: str, sound: bool) -> None:  # noqa: FBT001
    assert is_sound(text) == sound
