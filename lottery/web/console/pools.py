"""The working of a pool, step by step, and every pool of an account in a run."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from lottery.errors import Problem, Refused
from lottery.operations.workings import wording
from lottery.web.console.asking import Ask
from lottery.web.console.html import ROWS_SHOWN, Rows


def pool(ask: Ask) -> Response:
    """Show how a pool was allocated."""
    run, series = ask.path("run"), ask.path("series")
    occ_account = ask.request.query_params.get("occ_account")
    (working,) = ask.giving("explain").explain(
        run, series=series, occ_account=occ_account, account=None
    )
    query = {"occ_account": working.occ_account}
    if working.break_reason is not None:
        return RedirectResponse(ask.link("break", query, run=run, series=series), status_code=303)
    return ask.page(
        "pool",
        working=working,
        query=query,
        series=series,
        accounts=Rows.of(working.accounts, ask.page_number),
        contract=wording.contract(working.series),
        steps=wording.first_hit_steps(working) + wording.distribution_steps(working),
    )


def account(ask: Ask) -> Response:
    """Show every pool of a run that an account is in."""
    run, name = ask.path("run"), ask.form.get("account", "").strip()
    if not name:
        raise Refused([Problem(source="account", message="expected an account, got none")])
    workings = ask.giving("explain").explain(run, series=None, occ_account=None, account=name)
    shown = workings[:ROWS_SHOWN]
    left_out = len(workings) - len(shown)
    return ask.page("account", run=run, account=name, workings=shown, left_out=left_out)
