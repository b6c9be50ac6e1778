"""`lottery runs`, `show`, `explain`: what is recorded."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
from rich.console import Console

from lottery.cli import text
from lottery.cli.backend import open_backend
from lottery.cli.options import (
    FromOption,
    OccAccountOption,
    RunArgument,
    ToOption,
    read_dates,
    read_series,
)
from lottery.cli.seeds import seed_document
from lottery.cli.session import Session, command
from lottery.operations import RecordedRun
from lottery.operations.runs import as_json, brief, four_eyes_document
from lottery.operations.workings import PoolWorking, wording


@command
def runs(session: Session, first: FromOption = None, last: ToOption = None) -> None:
    """List the recorded runs."""
    dates = read_dates(first, last)
    with open_backend(session) as backend:
        found = list(backend.list_runs(first=dates[0], last=dates[1]))
    session.show(
        {"runs": [brief(recorded) for recorded in found]},
        lambda console: _show_runs(console, found, within=any(dates)),
    )


@command
def show(
    session: Session,
    run: RunArgument,
    with_allocations: Annotated[
        bool, typer.Option("--allocations", help="List the accounts with assigned contracts too.")
    ] = False,
) -> None:
    """Show a recorded run: its record and its pools."""
    with open_backend(session) as backend:
        recorded = backend.get_run(run)
        record = recorded.record
        document: dict[str, Any] = {
            **as_json(record),
            "state": recorded.state,
            "breaks": [dataclasses.asdict(broken) for broken in recorded.breaks],
            "superseded_by": recorded.superseded_by,
            **four_eyes_document(recorded),
            "pools": backend.pools(record.run).to_pylist(),
        }
        if with_allocations:
            rows = backend.allocations(record.run)
            if not session.as_json:
                rows = rows.filter(pc.field("assigned_quantity") > 0)
            document["allocations"] = rows.to_pylist()

    def as_text(console: Console) -> None:
        text.show_run(console, recorded, is_repeated=False)
        text.show_pools(console, document["pools"])
        if with_allocations:
            text.show_allocations(console, document["allocations"])

    session.show(document, as_text)


@command
def explain(
    session: Session,
    run: RunArgument,
    series: Annotated[
        str | None, typer.Option(help="The series: its padded or compact OSI symbol.")
    ] = None,
    occ_account: OccAccountOption = None,
    account: Annotated[
        str | None, typer.Option(help="Instead of a series: every pool of this account.")
    ] = None,
) -> None:
    """Show the working step by step, as the published example does."""
    if (series is None) == (account is None):
        raise typer.BadParameter("expected either --series or --account")
    if account is not None and occ_account is not None:
        raise typer.BadParameter("--occ-account goes with --series; --account shows every pool")
    if series is not None:
        read_series(series)
    with open_backend(session) as backend:
        workings = backend.explain(run, series=series, occ_account=occ_account, account=account)
    documents = [_working_document(working) for working in workings]
    session.show(
        documents[0] if series is not None else {"account": account, "pools": documents},
        lambda console: _show_workings(console, workings, account),
    )


def _show_runs(console: Console, found: list[RecordedRun], *, within: bool) -> None:
    if not found:
        text.show_nothing(console, within=within)
        return
    numbers = ("cycle", "notices", "assigned", "breaks")
    links = ("supersedes", "superseded by") if any(one.superseded_by for one in found) else ()
    # Where nothing waits or waited, every run counts.
    states = ("state",) if not all(one.counts for one in found) else ()
    made = text.table(
        "run", *numbers, "composite", "recorded (UTC)", *links, *states, right=numbers
    )
    for one in found:
        record = one.record
        linked = (", ".join(record.supersedes), one.superseded_by or "")
        made.add_row(
            record.run,
            str(record.cycle),
            f"{record.notice_count:,}",
            f"{record.assigned_quantity:,}",
            f"{record.break_count:,}",
            record.seed.composite_with_cut,
            record.recorded_at[:16].replace("T", " "),
            *(linked if links else ()),
            *([one.state] if states else []),
            style="dim" if one.superseded_by or not one.counts else None,
        )
    console.print(made)
    for record in (one.record for one in found):
        if record.reason is not None:
            console.print(
                f"{record.run} supersedes {', '.join(record.supersedes)}: {record.reason}",
                soft_wrap=True,
            )


def _show_workings(console: Console, workings: list[PoolWorking], account: str | None) -> None:
    if account is not None:
        _show_account(console, workings, account)
    for index, working in enumerate(workings):
        if index:
            console.print()
        text.show_working(console, working, with_seed=not index)


def _show_account(console: Console, workings: list[PoolWorking], account: str) -> None:
    """Print what an account was assigned in all, before its pools one by one."""
    assigned = [working.accounts[0].assigned_quantity for working in workings]
    pools = wording.count(len(workings), "pool")
    contracts = wording.count(sum(assigned), "contract")
    console.print(
        f"Account {account} is in {pools} of run {workings[0].run}; assigned to it: {contracts}, "
        f"in {wording.count(sum(map(bool, assigned)), 'pool')}",
        style="bold",
    )
    console.print("Its odds beforehand and the proof: lottery report RUN FILE.html --account A")
    console.print()


def _working_document(working: PoolWorking) -> dict[str, Any]:
    """Return a working as JSON values, with two figures that its properties compute."""
    document = dataclasses.asdict(working)
    document["seed"] = seed_document(working.seed)
    document["marked_composite"] = working.seed.composite_with_cut
    document["wraps"] = working.wraps
    return document
