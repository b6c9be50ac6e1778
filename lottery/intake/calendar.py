"""The dates by which a charter overrules the exchanges' calendar (H1): a CSV file.

The columns are `date`, YYYY-MM-DD, and `exchanges`, which are `open` or `closed` on it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path
from typing import Final

from lottery.durable import read_file
from lottery.errors import Problem, ProblemCollector, Refused, quote

COLUMNS: Final = ("date", "exchanges")
STATES: Final = ("open", "closed")


def read_calendar(path: Path) -> tuple[tuple[dt.date, ...], tuple[dt.date, ...]]:
    """Return the dates on which the exchanges are open, and those on which they are closed, sorted.

    Raises:
        Refused: The file cannot be read, or is not such a file; every problem is listed.
    """
    source, found = path.name, ProblemCollector()
    try:
        rows = list(csv.reader(io.StringIO(read_file(path).decode("utf-8-sig")), strict=True))
    except OSError as error:
        raise Refused([Problem(source=source, message=f"{error.strerror}")]) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(
            [Problem(source=source, message=f"expected CSV in UTF-8: {error}")]
        ) from error
    if not rows or tuple(rows[0]) != COLUMNS:
        got = quote(",".join(rows[0])) if rows else "an empty file"
        message = f"expected the header {','.join(COLUMNS)}, got {got}"
        raise Refused([Problem(source=source, message=message)])
    dates: dict[dt.date, str] = {}
    for row, values in enumerate(rows[1:], 1):
        if len(values) != len(COLUMNS) or values[1] not in STATES:
            message = f"expected a date and open or closed, got {quote(','.join(values))}"
        elif (date := _date(values[0])) is None:
            message = f"expected a date YYYY-MM-DD, got {quote(values[0])}"
        elif date in dates:
            message = f"{date} is listed already"
        else:
            dates[date] = values[1]
            continue
        found.add(Problem(source=source, row=row, line=row + 1, message=message))
    found.problems().refuse_if_any()
    opened, closed = (
        tuple(sorted(date for date, kind in dates.items() if kind == state)) for state in STATES
    )
    return opened, closed


def _date(text: str) -> dt.date | None:
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        return None
    return date if date.isoformat() == text else None
