"""The exchanges' trading days, as holds know them (H1).

The holidays are those of the New York Stock Exchange, as the package `holidays` lists them; a
charter names dates on which the exchanges were closed or open otherwise.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from lottery.intake.as_of import NEW_YORK
from lottery.ledger.entry import Charter

EXCHANGE: Final = "NYSE"

_SATURDAY: Final = 5


def why_closed(date: dt.date, charter: Charter) -> str | None:
    """Return why the exchanges are closed on a date, or None on a trading day."""
    if date in charter.trading_dates:
        return None
    if date in charter.closed_dates:
        return "the charter names it as closed"
    if date.weekday() >= _SATURDAY:
        return f"it is a {date:%A}"
    # Imported here: it takes longer than reading a small day, and few commands need it.
    from holidays import financial_holidays  # noqa: PLC0415

    name = financial_holidays(EXCHANGE, years=date.year).get(date)
    return None if name is None else f"it is a holiday of the exchanges, {name}"


def date_in_new_york(time: dt.datetime) -> dt.date:
    """Return the date of a time, UTC, in New York."""
    return time.astimezone(NEW_YORK).date()
