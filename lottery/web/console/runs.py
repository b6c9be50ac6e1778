"""The runs, by date, and one of them: its record in figures, and its pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow.compute as pc
from starlette.responses import Response

from lottery.operations import RecordedRun
from lottery.operations.runs import Proposal, pool_name, record_sha256
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN, Rows

RUNS_SHOWN: Final = ROWS_SHOWN
"""Number of runs after which a page ends with the date."""
RUNS_LISTED: Final = 10 * RUNS_SHOWN
"""Maximum number of runs of a page, if one date has that many."""


def list_of_runs(ask: Ask) -> Response:
    """List the runs, the newest first; a page ends where a date does."""
    runs = ask.giving("runs").list_runs(
        first=ask.date("from"), last=ask.date("to"), newest_first=True
    )
    found: list[RecordedRun] = []
    earlier = None
    for run in runs:
        date = run.record.business_date
        is_new_date = bool(found) and date != found[-1].record.business_date
        if len(found) == RUNS_LISTED or (is_new_date and len(found) >= RUNS_SHOWN):
            earlier = date
            break
        found.append(run)
    return ask.page("runs", runs=found, earlier=earlier, first=ask.date("from"), to=ask.date("to"))


def run(ask: Ask) -> Response:
    """Show a run, with the pools that are searched for."""
    backend = ask.giving("show")
    found = backend.get_run(ask.path("run"))
    record = found.record
    text = ask.given("series")
    pools: Sequence[Mapping[str, Any]] = []
    if record.pool_count:
        table = backend.pools(record.run)
        if text:
            # As people write it: with blanks or without, in any case, a part of it.
            names = pc.replace_substring(table.column("series"), " ", "")
            table = table.filter(pc.match_substring(names, text.replace(" ", "").upper()))
        pools = table.to_pylist()
    return ask.page(
        "run",
        run=found,
        record=record,
        is_proposal=isinstance(record, Proposal),
        record_sha256=record_sha256(record),
        broken_quantity=record.assigned_quantity - record.allocated_quantity,
        pools=Rows.of(pools, ask.page_number),
        text=text,
        most=ROWS_SHOWN,
        pool_name=pool_name,
    )
