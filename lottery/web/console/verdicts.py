"""Four eyes: what waits for approval, and the forms by which another person decides.

A form holds the SHA-256 of the record that was shown with it, so that nothing else is approved.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from lottery.errors import Problem, Refused
from lottery.operations.runs import Proposal, record_sha256
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN


def proposals(ask: Ask) -> Response:
    """List what waits for approval."""
    found = ask.giving("proposals").list_proposals()
    waiting = [(run, record_sha256(run.record)) for run in found.waiting[:ROWS_SHOWN]]
    return ask.page(
        "proposals",
        waiting=waiting,
        left_out=len(found.waiting) - len(waiting),
        four_eyes=found.four_eyes,
    )


def proposal(ask: Ask) -> Response:
    """Show a proposal with the forms that approve and reject it."""
    run = ask.giving("show").get_run(ask.path("run"))
    if not isinstance(run.record, Proposal) or run.state != "PROPOSED":
        there = ask.link("run", run=run.record.run)
        return RedirectResponse(there, status_code=303)
    return ask.page(
        "proposal",
        run=run,
        record=run.record,
        record_sha256=record_sha256(run.record),
        most=ROWS_SHOWN,
    )


def approve(ask: Ask) -> Response:
    """Approve a proposal, and show the run."""
    if ask.form.get("looked") != "yes":
        raise Refused(
            [Problem(source="form", message="confirm that you have looked at the record")]
        )
    run = ask.giving("approve").approve_run(ask.path("run"), ask.form.get("record_sha256", ""))
    return RedirectResponse(ask.link("run", run=run.record.run), status_code=303)


def reject(ask: Ask) -> Response:
    """Reject a proposal, and show it."""
    run = ask.giving("reject").reject_run(
        ask.path("run"), ask.form.get("record_sha256", ""), ask.form.get("reason", "").strip()
    )
    return RedirectResponse(ask.link("run", run=run.record.run), status_code=303)
