"""`lottery run`: a day's files in, a recorded run out."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Final

import typer
from rich.console import Console

from lottery import operations
from lottery.cli import exits, output, text
from lottery.cli.backend import open_backend
from lottery.cli.inputs import local_files
from lottery.cli.options import (
    ColumnsOption,
    ExpectOption,
    PositionsOption,
    RunArgument,
    VolumesOption,
    read_date,
    read_totals,
)
from lottery.cli.session import Session, command
from lottery.cli.variables import memory_limit
from lottery.cli.webhooks import announcing
from lottery.errors import quote
from lottery.operations.events import Asked
from lottery.operations.inputs import NamedMember
from lottery.operations.requester import system_identity
from lottery.operations.runs import summary
from lottery.operations.validation import CYCLES

STEPS: Final = 7
_CODE: Final = re.compile("[A-Z_]+")


def _checked_cycle(cycle: int) -> int:
    if cycle < 1:
        raise typer.BadParameter(f"cycle must be 1 to {CYCLES}, got {cycle}")
    return cycle


@command
def run(
    session: Session,
    date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The business date.")],
    notices: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The file of OCC's notices: .csv, .parquet or .xml (FIXML); text also .gz, .zst.",
        ),
    ],
    positions: PositionsOption,
    volumes: VolumesOption,
    cycle: Annotated[
        int, typer.Option(callback=_checked_cycle, help="The assignment cycle of that date.")
    ] = 1,
    output_directory: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Write allocations, pools and run.json to this folder or bucket.",
        ),
    ] = None,
    output_format: output.FormatOption = output.OutputFormat.CSV,
    assigned_only: output.AssignedOnlyOption = False,
    run_columns: output.RunColumnsOption = False,
    supersede: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN…", help="Supersede this run of the date; may be repeated."),
    ] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE…", help="Let the run go on although this holds it; may be repeated."
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why; required with --supersede and --acknowledge."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Record nothing; say what would be recorded.")
    ] = False,
    occ_positions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="OCC's position reports, .xml (FIXML), to compare with the positions' totals.",
        ),
    ] = None,
    expect: ExpectOption = None,
    columns: ColumnsOption = None,
    clearing_member: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Whose notices count, if the charter names nobody (rule P8)."
        ),
    ] = "",
    more: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="RUN|CODE")] = None,
) -> None:
    """Allocate a business date, or one cycle of it, and record the run.

    Where the charter has four eyes, the run is proposed, and no output is written: once another
    person has approved it, the same command writes it.

    Exit codes: 0 done, 2 wrong usage, 3 input refused, 4 recorded with breaks, 5 conflict with a
    recorded run, 7 held until it is acknowledged, 75 try again later.
    """
    business_date = read_date(date)
    if output_directory is not None:
        if dry_run:
            raise typer.BadParameter("--output goes with a recorded run, not with --dry-run")
        output.prepare(output_directory)
    elif assigned_only or run_columns:
        raise typer.BadParameter("--assigned-only and --run-columns go with --output")
    superseded, acknowledged = _listed(supersede, acknowledge, more, reason)
    totals, written = read_totals(expect), ""
    memory = memory_limit()
    asked = Asked(business_date=business_date, cycle=cycle, is_rehearsal=dry_run)
    with (
        announcing(session, asked) as announced,
        local_files(notices, positions, volumes, occ_positions, columns) as files,
        open_backend(session) as backend,
        session.progress(STEPS) as step,
    ):
        request = operations.read_request(
            operations.RunFiles(
                notices=files[notices],
                positions=files[positions],
                volumes=files[volumes],
                occ_positions=files.get(occ_positions or ""),
                mappings=operations.read_mapping(files.get(columns or "")),
            ),
            business_date=business_date,
            methodology=backend.methodology(business_date),
            requested_by=system_identity(),
            memory=memory,
            progress=step,
            totals=totals,
            named=NamedMember.of(backend.clearing_member(business_date), clearing_member),
        )
        request = dataclasses.replace(
            request,
            cycle=cycle,
            supersedes=superseded,
            reason=reason if superseded else None,
            acknowledged=dict.fromkeys(acknowledged, reason or ""),
        )
        announced.read(request, backend.origin)
        recorded = backend.run(request, step, dry_run=dry_run)
        announced.recorded(recorded)
        record = recorded.record
        if output_directory is not None and recorded.counts:
            step("writing the output")
            allocations, pools = backend.allocations(record.run), backend.pools(record.run)
            whole = output.output_of_run(record, allocations, pools)
            chosen = output.chosen(whole, assigned_only=assigned_only, run_columns=run_columns)
            written = output.write_output(output_directory, output_format, chosen)
    document = {**summary(recorded), **({"output": output_directory} if written else {})}

    def as_text(console: Console) -> None:
        text.show_run(console, recorded, is_repeated=recorded.already_recorded)
        if written:
            console.print(written, soft_wrap=True)

    session.show(document, as_text)
    raise typer.Exit(exits.BREAKS if record.break_count else exits.DONE)


@command
def withdraw(
    session: Session,
    run: RunArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why OCC took its notices back.")],
) -> None:
    """Take a run back whose notices OCC has taken back.

    It stays on the record; a run without notices supersedes it.

    Exit codes: 0 done, 2 no such run, 3 it has no notices, 5 superseded already, or another run
    rests on it, 75 try again later.
    """
    with open_backend(session) as backend:
        recorded = backend.withdraw_run(run, reason)
    session.show(
        summary(recorded),
        lambda console: text.show_run(console, recorded, is_repeated=recorded.already_recorded),
    )


def _listed(
    supersede: list[str] | None,
    acknowledge: list[str] | None,
    more: list[str] | None,
    reason: str | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the runs of `--supersede RUN…` and the codes of `--acknowledge CODE…`.

    Either option may be repeated or take several; what comes after the first one of an option is
    a run or a code by its form.

    Raises:
        typer.BadParameter: There are runs or codes without their option, or one of them and reason
            without the other.
    """
    codes = [each for each in more or () if _CODE.fullmatch(each)]
    runs = [each for each in more or () if each not in codes]
    unexpected = [*(runs if not supersede else ()), *(codes if not acknowledge else ())]
    if unexpected:
        raise typer.BadParameter(f"unexpected argument {quote(' '.join(unexpected))}")
    if (supersede or acknowledge) and not (reason or "").strip():
        option = "--supersede" if supersede else "--acknowledge"
        raise typer.BadParameter(f"{option} needs a --reason")
    if reason is not None and not (supersede or acknowledge):
        raise typer.BadParameter("--reason goes with --supersede or --acknowledge")
    return (*(supersede or ()), *runs), (*(acknowledge or ()), *codes)
