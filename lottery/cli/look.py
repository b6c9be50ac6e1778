"""`lottery runs`, `show`, `explain`, `replay`: what is recorded, and whether it holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
from rich.console import Console

from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Replayed
from lottery.cli import exits, text
from lottery.cli.opening import open_desk
from lottery.cli.shell import (
    JsonOption,
    LedgerOption,
    ServerOption,
    read_optional_date,
    reporting,
    shell_of,
)
from lottery.day.series import padded_series
from lottery.errors import RunNotFound
from lottery.ledger.run import RunRecord, summary

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first business date.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last business date.")
]


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
    dates = _dates(first, last)
    with open_desk(shell.common) as desk:
        records = list(desk.runs(*dates))
    shell.say(
        {"runs": [summary(record) for record in records]},
        text.printer(_show_runs, records, within=any(dates)),
    )


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
    with open_desk(shell.common) as desk:
        record = desk.get(run)
        document: dict[str, Any] = {
            **record.as_json(),
            "pools": desk.pools(record.run).to_pylist(),
        }
        if with_allocations:
            rows = desk.allocations(record.run)
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
    with open_desk(shell.common) as desk:
        workings = desk.explain(run, series=series, occ_account=occ_account, account=account)
    documents = [_working_document(working) for working in workings]
    shell.say(
        documents[0] if series is not None else {"account": account, "pools": documents},
        text.printer(_show_workings, workings),
    )


@reporting
def replay(
    context: typer.Context,
    run: Annotated[
        list[str] | None, typer.Argument(metavar="RUN…", help="Runs, or latest.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every recorded run.")] = False,
    first: FromOption = None,
    last: ToOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute recorded runs again from their evidence and compare every value.

    Exit codes: 0 all match, 6 something differs.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    if sum((bool(run), every, first is not None or last is not None)) != 1:
        raise typer.BadParameter("name runs, or --all, or --from and --to")
    dates = _dates(first, last)
    results = []
    with open_desk(shell.common) as desk:
        count = len(run) if run else sum(1 for _ in desk.runs(*dates))
        if not count and any(dates):
            raise RunNotFound("", "no run is recorded between those dates")
        replays = (desk.replay_run(name) for name in run) if run else desk.replay_dates(*dates)
        with shell.progress(count) as step:
            for replayed in replays:
                step(f"replayed {replayed.run}")
                results.append(replayed)
    differing = [replayed for replayed in results if not replayed.matched]
    document = {
        "replayed": len(results),
        "matched": len(results) - len(differing),
        "mismatches": [
            dataclasses.asdict(mismatch)
            for replayed in differing
            for mismatch in replayed.mismatches
        ],
    }
    shell.say(document, text.printer(_show_replays, results))
    raise typer.Exit(exits.MISMATCH if differing else exits.DONE)


def _dates(first: str | None, last: str | None) -> tuple[dt.date | None, dt.date | None]:
    """The dates of --from and --to.

    Raises:
        typer.BadParameter: One is no date, or the last is before the first.
    """
    dates = read_optional_date(first), read_optional_date(last)
    if dates[0] is not None and dates[1] is not None and dates[1] < dates[0]:
        raise typer.BadParameter(f"--to {last} is before --from {first}")
    return dates


def _show_runs(console: Console, records: list[RunRecord], *, within: bool) -> None:
    numbers = ("cycle", "notices", "assigned", "breaks")
    made = text.table("run", *numbers, "composite", "recorded (UTC)", right=numbers)
    for record in records:
        made.add_row(
            record.run,
            str(record.cycle),
            f"{record.notice_count:,}",
            f"{record.assigned_quantity:,}",
            f"{len(record.breaks):,}",
            text.marked(record.seed),
            record.recorded_at[:16].replace("T", " "),
        )
    nothing = "no run is recorded between those dates" if within else "nothing is recorded yet"
    console.print(made if records else nothing)


def _show_run(console: Console, record: RunRecord, document: dict[str, Any]) -> None:
    text.show_run(console, record, already_recorded=None)
    text.show_pools(console, document["pools"])
    if "allocations" in document:
        text.show_allocations(console, document["allocations"])


def _show_workings(console: Console, workings: list[PoolWorking]) -> None:
    for place, working in enumerate(workings):
        if place:
            console.print()
        text.show_working(console, working, with_seed=not place)


def _show_replays(console: Console, results: list[Replayed]) -> None:
    for replayed in results:
        text.show_replayed(console, replayed)
    matched = sum(replayed.matched for replayed in results)
    console.print(f"{len(results)} replayed, {matched} matched", style="bold")


def _working_document(working: PoolWorking) -> dict[str, Any]:
    """A working as JSON values, with the seed's steps beside the pool's."""
    document = dataclasses.asdict(working)
    document["marked_composite"] = text.marked(working.seed)
    document["wraps"] = working.wraps
    return document
