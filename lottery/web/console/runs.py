"""The runs, by date, and one of them: its record in figures, and its pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow.compute as pc
from starlette.responses import Response

from lottery.operations.runs import Proposal, pool_name, record_sha256
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN, Rows


def list_of_runs(ask: Ask) -> Response:
    """List the runs, the newest first."""
    first, last = ask.date("from"), ask.date("to")
    runs = ask.giving("runs").list_runs(first=first, last=last, newest_first=True)
    start = (ask.page_number - 1) * ROWS_SHOWN
    found = list(islice(runs, start, start + ROWS_SHOWN + 1))
    return ask.page(
        "runs",
        runs=found[:ROWS_SHOWN],
        number=ask.page_number,
        has_more=len(found) > ROWS_SHOWN,
        first=first,
        last=last,
    )


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
