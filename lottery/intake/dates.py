"""A business date as a Python program gives it: a date, or its text."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from lottery.errors import NO_PROBLEMS, Problem, Problems, quote

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_date(given: dt.date | str, source: str = "business_date") -> tuple[dt.date, Problems]:
    """Read a date or its text, as `2024-09-16`.

    A time is refused: of which date it is depends on where it is read.

    Args:
        given: The date.
        source: What a problem calls it.

    Returns:
        The date, or the last of all dates and a problem.
    """
    if isinstance(given, dt.date) and not isinstance(given, dt.datetime):
        return given, NO_PROBLEMS
    try:
        if isinstance(given, str) and _DATE.fullmatch(given):
            return dt.date.fromisoformat(given), NO_PROBLEMS
    except ValueError:
        pass
    message = f"expected a date, or its text as 2024-09-16; got {quote(given)}"
    return dt.date.max, Problems.of(Problem(source=source, message=message))
