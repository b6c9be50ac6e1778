"""Breaks: what is open, and what lies near one, so that the likely mistake is seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from starlette.responses import RedirectResponse, Response

from lottery.operations import Break, PoolWorking, RecordedRun, StandingDay
from lottery.operations.workings import wording
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN, Rows
from lottery.web.console.nearby import NearPool, letters_of, near_pools

DATES_SHOWN: Final = 5
"""Maximum number of dates with breaks on one page."""
BREAKS_OF_A_DATE: Final = 20
"""Maximum number of breaks listed of each."""
DATES_LOOKED_AT: Final = 250
"""Maximum number of dates that are looked at for one page."""
ACCOUNTS_SHOWN: Final = 20
"""Maximum number of accounts listed of a pool that lies near a break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreak:
    """A break whose notices no standing run has allocated.

    Attributes:
        run: The last standing run that has it.
        broken: The break.
    """

    run: str
    broken: Break


@dataclass(frozen=True, slots=True, kw_only=True)
class NearAccounts:
    """A pool near a break, with the accounts short in it.

    Attributes:
        near: The pool, and how it differs.
        working: Its working.
        left_out: How many accounts are not listed.
    """

    near: NearPool
    working: PoolWorking
    left_out: int


def standing_of(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """Return the runs of a date that count and that none supersedes."""
    return [run for run in runs if run.counts and run.superseded_by is None]


def open_breaks(
    ask: Ask, date: dt.date, runs: Sequence[RecordedRun]
) -> tuple[list[OpenBreak], StandingDay | None]:
    """Return the open breaks of a date, and what stands for it if that was needed to know them.

    Args:
        ask: The request.
        date: The date.
        runs: All of its runs.
    """
    broken = [run.record.run for run in standing_of(runs) if run.record.break_count]
    if not broken:
        return [], None
    day = ask.giving("day").get_day(date)
    run_of = {
        (one.occ_account, one.series): run
        for run in broken
        for one in ask.giving("show").get_run(run).breaks
    }
    found = [OpenBreak(run=run_of[one.occ_account, one.series], broken=one) for one in day.breaks]
    return found, day


def open_breaks_page(ask: Ask) -> Response:
    """List the open breaks, the newest date first."""
    found: list[tuple[dt.date, list[OpenBreak]]] = []
    earlier: dt.date | None = None
    runs = ask.giving("runs").list_runs(last=ask.date("to"), newest_first=True)
    by_date = groupby(runs, lambda run: run.record.business_date)
    for number, (date, of_date) in enumerate(by_date):
        if len(found) == DATES_SHOWN or number == DATES_LOOKED_AT:
            earlier = date
            break
        breaks, _ = open_breaks(ask, date, [*of_date][::-1])
        if breaks:
            found.append((date, breaks))
    return ask.page(
        "breaks", dates=found, earlier=earlier, to=ask.date("to"), most=BREAKS_OF_A_DATE
    )


def one_break(ask: Ask) -> Response:
    """Show a break: its figures, its notices, its accounts, and what lies near it."""
    run, series = ask.path("run"), ask.path("series")
    occ_account = ask.request.query_params.get("occ_account")
    backend = ask.giving("explain")
    (working,) = backend.explain(run, series=series, occ_account=occ_account, account=None)
    if working.break_reason is None:
        query = {"occ_account": working.occ_account}
        return RedirectResponse(ask.link("pool", query, run=run, series=series), status_code=303)
    recorded = ask.giving("show").get_run(run)
    date = recorded.record.business_date
    opened, _ = open_breaks(ask, date, list(ask.giving("runs").list_runs(first=date, last=date)))
    near = []
    for pool in near_pools(working, ask.giving("show").pools(run)):
        (there,) = backend.explain(
            run, series=pool.series, occ_account=pool.occ_account, account=None
        )
        listed = len(there.accounts[:ACCOUNTS_SHOWN])
        near.append(NearAccounts(near=pool, working=there, left_out=there.account_count - listed))
    return ask.page(
        "break",
        run=recorded,
        is_open=(working.occ_account, working.series)
        in {(one.broken.occ_account, one.broken.series) for one in opened},
        working=working,
        near=near,
        notices=Rows.of(
            backend.notices(run, series=series, occ_account=working.occ_account).to_pylist(),
            ask.page_number,
        ),
        query={"occ_account": working.occ_account},
        most=ACCOUNTS_SHOWN,
        rows=ROWS_SHOWN,
        contract=wording.contract(working.series),
        root=letters_of(working.series),
    )
