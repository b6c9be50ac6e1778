"""`lottery runs`, `show`, `explain`: what is recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
from rich.console import Console

from lottery.audit import wording
from lottery.audit.explain import PoolWorking
from lottery.audit.wording import count
from lottery.cli import text
from lottery.cli.opening import open_backend
from lottery.cli.shell import (
    FromOption,
    JsonOption,
    LedgerOption,
    ServerOption,
    ToOption,
    read_dates,
    reporting,
    shell_of,
)
from lottery.day.identifiers import padded_series
from lottery.ledger.run_record import RunRecord, summary


@reporting
def runs(
    context: typer.Context,
    first: FromOption = None,
    last: ToOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the recorded runs."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    dates = read_dates(first, last)
    with open_backend(shell.common) as backend:
        records = list(backend.runs(*dates))
    superseded = _superseded_by(records)
    documents = [summary(record, superseded_by=superseded.get(record.run)) for record in records]
    shell.say({"runs": documents}, text.printer(_show_runs, records, superseded, within=any(dates)))


@reporting
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run, as 2024-09-16-001, or latest.")],
    with_allocations: Annotated[
        bool, typer.Option("--allocations", help="List the accounts that were assigned, too.")
    ] = False,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a recorded run: its record and its pools."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    with open_backend(shell.common) as backend:
        record = backend.get(run)
        superseded = _superseded_by(backend.runs(record.business_date, record.business_date))
        document: dict[str, Any] = {
            **record.as_json(),
            "superseded_by": superseded.get(record.run),
            "pools": backend.pools(record.run).to_pylist(),
        }
        if with_allocations:
            rows = backend.allocations(record.run)
            hit = rows.filter(pc.greater(rows.column("assigned_quantity"), 0))
            document["allocations"] = (rows if shell.common.as_json else hit).to_pylist()
    shell.say(document, text.printer(_show_run, record, document))


@reporting
def explain(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run, as 2024-09-16-001, or latest.")],
    series: Annotated[
        str | None, typer.Option(help="The series: its padded or compact OSI symbol.")
    ] = None,
    occ_account: Annotated[
        str | None, typer.Option(help="The pool's OCC account, where the series has several pools.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Instead: every pool of this account, with it alone.")
    ] = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the working, step by step, as the document's example does."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    if (series is None) == (account is None):
        raise typer.BadParameter("either --series or --account is expected")
    if account is not None and occ_account is not None:
        raise typer.BadParameter("--account shows every pool; --occ-account goes with --series")
    if series is not None:
        try:
            padded_series(series)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    with open_backend(shell.common) as backend:
        workings = backend.explain(run, series=series, occ_account=occ_account, account=account)
    documents = [_working_document(working) for working in workings]
    shell.say(
        documents[0] if series is not None else {"account": account, "pools": documents},
        text.printer(_show_workings, workings, account),
    )


def _superseded_by(records: Iterable[RunRecord]) -> dict[str, str]:
    """Which run took the place of which; both are of one date."""
    return {old: record.run for record in records for old in record.supersedes}


def _show_runs(
    console: Console, records: list[RunRecord], superseded: Mapping[str, str], *, within: bool
) -> None:
    if not records:
        nothing = "no run is recorded between those dates" if within else "nothing is recorded yet"
        console.print(nothing)
        return
    numbers = ("cycle", "notices", "assigned", "breaks")
    chain = ("supersedes", "superseded by") if superseded else ()
    made = text.table("run", *numbers, "composite", "recorded (UTC)", *chain, right=numbers)
    for record in records:
        links = (", ".join(record.supersedes), superseded.get(record.run, ""))
        made.add_row(
            record.run,
            str(record.cycle),
            f"{record.notice_count:,}",
            f"{record.assigned_quantity:,}",
            f"{len(record.breaks):,}",
            wording.marked(record.seed),
            record.recorded_at[:16].replace("T", " "),
            *(links if chain else ()),
            style="dim" if record.run in superseded else None,
        )
    console.print(made)
    for record in records:
        if record.reason is not None:
            console.print(
                f"{record.run} supersedes {', '.join(record.supersedes)}: {record.reason}",
                soft_wrap=True,
            )


def _show_run(console: Console, record: RunRecord, document: dict[str, Any]) -> None:
    text.show_run(console, record, already_recorded=None, superseded_by=document["superseded_by"])
    text.show_pools(console, document["pools"])
    if "allocations" in document:
        text.show_allocations(console, document["allocations"])


def _show_workings(console: Console, workings: list[PoolWorking], account: str | None) -> None:
    if account is not None:
        _show_account(console, workings, account)
    for place, working in enumerate(workings):
        if place:
            console.print()
        text.show_working(console, working, with_seed=not place)


def _show_account(console: Console, workings: list[PoolWorking], account: str) -> None:
    """What an account was assigned in all, before the pools one by one."""
    assigned = [working.accounts[0].assigned_quantity for working in workings]
    pools, contracts = count(len(workings), "pool"), count(sum(assigned), "contract")
    console.print(
        f"Account {account} is in {pools} of run {workings[0].run}; assigned to it: {contracts}, "
        f"in {count(sum(map(bool, assigned)), 'pool')}",
        style="bold",
    )
    console.print("Its odds beforehand and the proof: lottery report RUN FILE.html --account A")
    console.print()


def _working_document(working: PoolWorking) -> dict[str, Any]:
    """A working as JSON values, with the seed's steps beside the pool's."""
    document = dataclasses.asdict(working)
    document["marked_composite"] = wording.marked(working.seed)
    document["wraps"] = working.wraps
    return document
