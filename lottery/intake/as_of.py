"""As-of times: of which date volumes and positions say that they are (rules P7, S8).

An ISO date (`2024-09-16`), or an RFC 3339 time with its offset (`2024-09-16T16:20:00-04:00`), which
is of the date that it is in New York, where the exchanges are. A file says it in a column `as_of`,
alike in every row.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

from lottery.errors import Problem, Problems, quote
from lottery.intake.sources import RowLocator, SourceFile

COLUMN: Final = "as_of"
NEW_YORK: Final = ZoneInfo("America/New_York")

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_RULES: Final = {"positions": "P7", "volumes": "S8"}


def date_of(as_of: str) -> dt.date | None:
    """Return the date of an as-of time in New York; None if the text is not one."""
    time = _TIME.fullmatch(as_of)
    try:
        if time is not None:
            return dt.datetime.fromisoformat("".join(time.groups())).astimezone(NEW_YORK).date()
        return dt.date.fromisoformat(as_of) if _DATE.fullmatch(as_of) else None
    except (ValueError, OverflowError):
        return None


def describe_as_of(as_of: str) -> str:
    """Return what is expected in place of a text that is not an as-of time."""
    expected = "a date, YYYY-MM-DD, or a time with its offset, as 2024-09-16T16:20:00-04:00"
    return f"as-of time must be {expected}, got {quote(as_of)}"


def one_as_of(
    found: Iterable[tuple[str, RowLocator, int]], role: str
) -> tuple[str | None, Problems]:
    """Return what all rows of a source say, or None and a problem for each that says otherwise.

    Args:
        found: Texts that are as-of times, in the order of their rows, each with its locator and
            its row's index; of a text that comes again the first is enough.
        role: `positions` or `volumes`.
    """
    first: str | None = None
    problems = []
    for text, locator, index in found:
        if first is None:
            first = text
        elif text != first:
            message = f"as-of time must be {quote(first)} as in the first row, got {quote(text)}"
            problem = locator.row_problem(index, message, column=COLUMN, rule=_RULES[role])
            problems.append(problem)
    return None if problems else first, Problems.of(*problems)


def as_of_problems(
    sources: Iterable[SourceFile], locator: RowLocator, business_date: dt.date
) -> Problems:
    """Return a problem for each source that says it is of another date (P7, S8)."""
    problems: list[Problem] = []
    for source in sources:
        if source.as_of is not None and date_of(source.as_of) != business_date:
            message = f"{source.role} must be of the business date {business_date}, "
            message += f"got those of {quote(source.as_of)}"
            rule = _RULES[source.role]
            problems.append(locator.problem(message, column=COLUMN, rule=rule))
    return Problems.of(*problems)
