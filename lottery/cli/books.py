"""`lottery day`, `diff`, `history`: what to book, what changed, and what happened."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
from rich.console import Console

from lottery.cli import output, text
from lottery.cli.backend import open_backend
from lottery.cli.options import FromOption, ToOption, read_date, read_dates, read_series
from lottery.cli.session import Session, command
from lottery.errors import escape
from lottery.operations import Difference, HistoryRow, StandingDay
from lottery.operations.days import day_document
from lottery.operations.differences import difference_document
from lottery.operations.histories import history_document
from lottery.operations.workings import wording


@command
def day(
    session: Session,
    date: Annotated[str, typer.Argument(metavar="DATE", help="The business date, YYYY-MM-DD.")],
    output_directory: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Write allocations, pools and day.json to this folder or bucket.",
        ),
    ] = None,
    output_format: output.FormatOption = output.OutputFormat.CSV,
    assigned_only: output.AssignedOnlyOption = False,
    run_columns: output.RunColumnsOption = False,
    with_allocations: Annotated[
        bool, typer.Option("--allocations", help="List the accounts with assigned contracts too.")
    ] = False,
) -> None:
    """Show what stands for a date, over all cycles: what is to be booked.

    Superseded runs are left out, and late notices are added to the draw that they continue. A break
    whose notices were allocated later is no break any more.
    """
    business_date = read_date(date, "DATE")
    if output_directory is not None:
        output.prepare(output_directory)
    elif assigned_only or run_columns:
        raise typer.BadParameter("--assigned-only and --run-columns go with --output")
    written = ""
    with open_backend(session) as backend:
        found = backend.get_day(business_date)
    if output_directory is not None:
        whole = output.output_of_day(found)
        asked = output.chosen(whole, assigned_only=assigned_only, run_columns=run_columns)
        written = output.write_output(output_directory, output_format, asked)
    document: dict[str, Any] = {
        **day_document(found),
        **({"output": output_directory} if written else {}),
        "pools": found.pools.to_pylist(),
    }
    if with_allocations:
        rows = found.allocations
        if not session.as_json:
            rows = rows.filter(pc.field("assigned_quantity") > 0)
        document["allocations"] = rows.to_pylist()

    def as_text(console: Console) -> None:
        _show_day(console, found)
        if document["pools"]:
            text.show_pools(console, document["pools"])
        if with_allocations:
            text.show_allocations(console, document["allocations"])
        if written:
            console.print(written, soft_wrap=True)

    session.show(document, as_text)


@command
def diff(
    session: Session,
    first: Annotated[
        str,
        typer.Argument(metavar="RUN|DATE", help="The first run, or the date that --since is of."),
    ],
    second: Annotated[
        str | None, typer.Argument(metavar="RUN", help="The second run, of the same date.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Instead of a second run: compare what stands now with what was standing when "
            "this run was the last of the date.",
        ),
    ] = None,
) -> None:
    """Show what changed for whom: between two runs of a date, or since a run was its last.

    Two runs are compared each by itself; of runs that both stand, --since says more.
    """
    if (second is None) == (since is None):
        raise typer.BadParameter("expected either a second run or --since")
    business_date = None if since is None else read_date(first, "DATE")
    with open_backend(session) as backend:
        found = (
            backend.diff_runs(first, second or "")
            if business_date is None
            else backend.diff_since(business_date, since or "")
        )
    changes = found.changes.to_pylist()
    session.show(
        {**difference_document(found), "changes": changes},
        lambda console: _show_difference(console, found, changes),
    )


@command
def history(
    session: Session,
    account: Annotated[str | None, typer.Option(help="The account, in all of its pools.")] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Instead of an account: a series, as its padded or compact OSI symbol."),
    ] = None,
    first: FromOption = None,
    last: ToOption = None,
) -> None:
    """Show what happened to an account or a series over the dates, run by run."""
    if bool(account) == bool(series):
        raise typer.BadParameter("expected either --account or --series")
    padded = None if account else read_series(series or "")
    dates = read_dates(first, last)
    with open_backend(session) as backend:
        rows = backend.history(account=account, series=padded, first=dates[0], last=dates[1])
        if session.as_json:
            _print_rows({"account": account, "series": padded}, rows)
        else:
            session.show(
                {}, lambda console: _show_history(console, escape(account or padded or ""), rows)
            )


def _show_day(console: Console, found: StandingDay) -> None:
    console.print(f"What stands for {found.business_date}: {found.state}", style="bold")
    console.print(f"  standing: {', '.join(found.runs)}", soft_wrap=True)
    for run, later in found.superseded_by.items():
        console.print(f"  {run} is superseded by {later}", style="dim")
    console.print(f"  the last run, {found.last_run}, was recorded {found.recorded_at}")
    if not found.pools.num_rows:
        console.print("  no pool is assigned: there is nothing to book")
        return
    broken = found.assigned_quantity - found.allocated_quantity
    breaks = wording.count(len(found.breaks), "break")
    console.print(
        f"  {wording.count(found.notice_count, 'notice')} for "
        f"{wording.count(found.pool_count, 'pool')}, "
        f"{wording.count(found.assigned_quantity, 'contract')}: "
        f"{found.allocated_quantity:,} allocated"
        + (f", {broken:,} in {breaks}" if found.breaks else "")
    )
    text.show_breaks(console, found.breaks)


def _show_difference(console: Console, found: Difference, changes: list[dict[str, Any]]) -> None:
    console.print(f"What changed for {found.business_date}", style="bold")
    console.print(f"  before: {', '.join(found.before_runs)}", soft_wrap=True)
    console.print(f"  after: {', '.join(found.after_runs)}", soft_wrap=True)
    if not changes:
        console.print("  no account is assigned another quantity")
        return
    console.print(
        f"  {found.before:,} allocated before, {found.after:,} after: "
        f"{found.increase:,} more and {found.decrease:,} less, "
        f"in {wording.count(len(changes), 'row')}"
    )
    numbers = ("before", "after", "difference")
    made = text.table("OCC", "series", "account", *numbers, right=numbers)
    for row in changes[: text.ROWS_SHOWN]:
        made.add_row(
            row["occ_account"],
            row["series"],
            row["account"],
            f"{row['before']:,}",
            f"{row['after']:,}",
            f"{row['difference']:+,}",
        )
    text.show_rows(console, "Accounts whose quantity differs", made, len(changes))


def _show_history(console: Console, subject: str, rows: Iterator[HistoryRow]) -> None:
    numbers = ("short", "assigned")
    made = text.table("date", "run", "OCC", "series", *numbers, "state", right=numbers)
    standing_quantity = count = 0
    for row in islice(rows, text.ROWS_SHOWN):
        made.add_row(
            row.business_date.isoformat(),
            row.run,
            row.occ_account,
            row.series,
            f"{row.short_quantity:,}",
            f"{row.assigned_quantity:,}",
            _state(row),
            style="dim" if row.superseded_by else "red" if row.break_reason else None,
        )
        standing_quantity += row.standing_quantity
        count += 1
    for row in rows:  # Which are only counted: there may be very many.
        standing_quantity += row.standing_quantity
        count += 1
    if not count:
        console.print(f"no run between these dates has {subject} in an assigned pool")
        return
    text.show_rows(console, f"History of {subject}", made, count)
    contracts = wording.count(standing_quantity, "contract")
    console.print(f"{contracts} allocated by runs that stand")


def _state(row: HistoryRow) -> str:
    """Return whether a row stands, and whether its pool is a break."""
    stands = f"superseded by {row.superseded_by}" if row.superseded_by else "stands"
    return f"{stands}, {row.break_reason}" if row.break_reason else stands


def _print_rows(subject: dict[str, str | None], rows: Iterable[HistoryRow]) -> None:
    """Print a history as one document, of which one row at a time is in memory.

    It is on disk before the first byte is printed: an error on the way is a document of its own.
    """
    standing_quantity = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as kept:
        kept.write(json.dumps(subject, ensure_ascii=False)[:-1] + ', "rows": [')
        separator = "\n"
        for row in rows:
            kept.write(separator + json.dumps(history_document(row), ensure_ascii=False))
            separator = ",\n"
            standing_quantity += row.standing_quantity
        kept.write(f'], "standing_quantity": {standing_quantity}}}\n')
        kept.seek(0)
        for line in kept:
            typer.echo(line, nl=False)
