"""Search: what happened to an account or a series over the dates."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import Final

from starlette.responses import Response

from lottery.errors import Problem, Refused
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN

USUAL_DAYS: Final = dt.timedelta(days=31)
"""How far back a search looks unless it says otherwise: each run of these dates is read."""


def search(ask: Ask) -> Response:
    """Show the search, and what it finds."""
    account, series = ask.form.get("account", "").strip(), ask.given("series")
    first, last = ask.date("from"), ask.date("to")
    if first is None:
        newest = next(iter(ask.giving("runs").list_runs(last=last, newest_first=True)), None)
        first = None if newest is None else newest.record.business_date - USUAL_DAYS
    if account and series:
        raise Refused(
            [Problem(source="search", message="expected an account or a series, got both")]
        )
    rows = []
    if account or series:
        history = ask.giving("history").history(
            account=account or None, series=series or None, first=first, last=last
        )
        rows = list(islice(history, ROWS_SHOWN + 1))
    return ask.page(
        "search",
        account=account,
        series=series,
        first=first,
        last=last,
        rows=rows[:ROWS_SHOWN],
        has_more=len(rows) > ROWS_SHOWN,
        most=ROWS_SHOWN,
    )
