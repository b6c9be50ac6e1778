"""A date: its state in one sentence, what to do next, its runs and its open breaks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from starlette.responses import RedirectResponse, Response

from lottery.operations import RecordedRun
from lottery.operations.workings import wording
from lottery.web.console.asking import Ask, read_date
from lottery.web.console.breaks import OpenBreak, open_breaks, standing_of
from lottery.web.console.html import ROWS_SHOWN

_NEW_YORK: Final = ZoneInfo("America/New_York")
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DateState:
    """How a date stands.

    Attributes:
        sentence: In one sentence.
        tone: `right`, `open` or `wrong`, which a page says in words too.
        next_step: What to do, in words.
        command: The command that does it, or None.
    """

    sentence: str
    tone: str
    next_step: str
    command: str | None = None


def today(ask: Ask) -> Response:
    """Show the newest date that has a run, or the date in New York if none has."""
    newest = next(iter(ask.giving("runs").list_runs(newest_first=True)), None)
    return _page(ask, _today() if newest is None else newest.record.business_date)


def go_to_day(ask: Ask) -> Response:
    """Go to the date that the form of each date gives."""
    date = ask.date("date")
    there = ask.link("today") if date is None else ask.link("day", date=date.isoformat())
    return RedirectResponse(there, status_code=303)


def day(ask: Ask) -> Response:
    """Show a date."""
    return _page(ask, read_date(ask.path("date"), "date"))


def state_of(date: dt.date, runs: Sequence[RecordedRun], breaks: Sequence[OpenBreak]) -> DateState:
    """Return how a date stands, given all of its runs and its open breaks."""
    standing, waiting = standing_of(runs), [run for run in runs if run.state == "PROPOSED"]
    proposals = wording.count(len(waiting), "proposal")
    waits = f"{proposals} {'waits' if len(waiting) == 1 else 'wait'} for approval"
    if breaks:
        contracts = wording.count(sum(one.broken.assigned_quantity for one in breaks), "contract")
        opened = wording.count(len(breaks), "break")
        sentence = f"Recorded, with {opened} open: {contracts} not allocated"
        if waiting:
            return DateState(
                sentence=f"{sentence}; {waits}.",
                tone="wrong",
                next_step="Another person looks at what waits first: it may allocate the breaks.",
            )
        cycle = max(run.record.cycle for run in standing) + 1
        return DateState(
            sentence=f"{sentence}.",
            tone="wrong",
            next_step="Book what is allocated. Look at each break below, have the positions "
            "corrected or ask OCC, and allocate its notices in a cycle of their own.",
            command=f"lottery run --date {date} --cycle {cycle} --notices F --positions F "
            "--volumes F",
        )
    if waiting:
        return DateState(
            sentence=waits + ("; the other runs stand." if standing else "; nothing stands yet."),
            tone="open",
            next_step="Another person than the proposer looks at it, and approves or rejects it.",
        )
    if not standing:
        return _without_runs(date, runs)
    if any(run.record.pool_count for run in standing):
        return DateState(
            sentence="Recorded, and it stands: every assigned contract is allocated.",
            tone="right",
            next_step="Write what is to be booked.",
            command=f"lottery day {date} --output DIR",
        )
    return DateState(
        sentence=f"{wording.STATE_TEXTS[standing[-1].state]}: there is nothing to book.",
        tone="right",
        next_step="Nothing.",
    )


def _without_runs(date: dt.date, runs: Sequence[RecordedRun]) -> DateState:
    command = f"lottery run --date {date} --notices F --positions F --volumes F"
    if runs:
        return DateState(
            sentence="Nothing stands: what was proposed is rejected or has expired.",
            tone="wrong",
            next_step="Propose it again, with the files corrected if that was the reason.",
            command=command,
        )
    return DateState(
        sentence="Nothing is recorded.",
        tone="open",
        next_step="Allocate the date. A run that was refused or held has recorded nothing; with "
        "--dry-run the same command says what it would do.",
        command=command,
    )


def _page(ask: Ask, date: dt.date) -> Response:
    backend = ask.giving("runs")
    found = list(backend.list_runs(first=date, last=date))
    breaks, whole = open_breaks(ask, date, found)
    records = [run.record for run in standing_of(found)]
    totals = (
        (whole.notice_count, whole.assigned_quantity, whole.allocated_quantity)
        if whole is not None
        else (
            sum(record.notice_count for record in records),
            sum(record.assigned_quantity for record in records),
            sum(record.allocated_quantity for record in records),
        )
    )
    before, after = _neighbors(ask, date)
    return ask.page(
        "day",
        date=date,
        state=state_of(date, found, breaks),
        runs=found[-ROWS_SHOWN:],
        runs_left_out=max(len(found) - ROWS_SHOWN, 0),
        totals=totals,
        breaks=breaks,
        before=before,
        after=after,
        now=_today(),
    )


def _neighbors(ask: Ask, date: dt.date) -> tuple[dt.date | None, dt.date | None]:
    """Return the dates before and after: those with a run, or the next weekday up to today."""
    backend, one = ask.giving("runs"), dt.timedelta(days=1)
    earlier = iter(backend.list_runs(last=date - one, newest_first=True))
    before = next((run.record.business_date for run in earlier), None)
    later = iter(backend.list_runs(first=date + one))
    after = next((run.record.business_date for run in later), None)
    if after is None:
        following = date + one
        while following.weekday() >= _SATURDAY:
            following += one
        after = following if following <= _today() else None
    return before, after


def _today() -> dt.date:
    """Return today's date in New York."""
    return dt.datetime.now(_NEW_YORK).date()
