"""What the record says beside the runs: acknowledged holds, entries, and how the ledger stands."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from lottery.operations import RecordedRun
from lottery.operations.overview import overview_document
from lottery.operations.proofs import as_json
from lottery.operations.workings import wording
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN, Rows

RUNS_LOOKED_AT: Final = 1_000
"""Maximum number of runs that are looked at for acknowledged holds, for one page."""


def holds(ask: Ask) -> Response:
    """List the holds that were acknowledged, the newest first, and what each code says."""
    found: list[tuple[RecordedRun, Any]] = []
    earlier = None
    runs = ask.giving("runs").list_runs(last=ask.date("to"), newest_first=True)
    for number, run in enumerate(runs):
        if number >= RUNS_LOOKED_AT or len(found) >= ROWS_SHOWN:
            earlier = run.record.business_date
            break
        found += [(run, one) for one in run.record.acknowledgements]
    return ask.page("holds", found=found, earlier=earlier, codes=wording.HOLD_TEXTS)


def entries(ask: Ask) -> Response:
    """List who did what with the ledger, the newest first."""
    backend = ask.giving("trail")
    found = [as_json(entry) for entry in backend.trail()]
    return ask.page("entries", entries=Rows.of(found[::-1], ask.page_number))


def status(ask: Ask) -> Response:
    """Show how the ledger stands."""
    backend = ask.giving("status")
    return ask.page("status", found=overview_document(backend.status()))
