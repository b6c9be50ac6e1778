"""`lottery run` and `lottery seed`: files in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from lottery import operations
from lottery.cli import exits, output, text
from lottery.cli.opening import memory_limit, open_backend
from lottery.cli.shell import (
    JsonOption,
    LedgerOption,
    ServerOption,
    read_date,
    reporting,
    shell_of,
)
from lottery.errors import Problems
from lottery.intake import files
from lottery.ledger.run_record import GROSS, NET, summary
from lottery.ledger.trail import system_identity
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder, ZeroHit

STEPS: Final = 7


class PositionsBasis(StrEnum):
    """What the positions of pools that were allocated before on their date have in them."""

    NET = NET
    GROSS = GROSS


@reporting
def run(
    context: typer.Context,
    date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The business date.")],
    notices: Annotated[Path, typer.Option(help="OCC's notices: .csv, .parquet or .xml (FIXML).")],
    positions: Annotated[Path, typer.Option(help="The short positions: .csv or .parquet.")],
    volumes: Annotated[Path, typer.Option(help="The four ask prices: .csv or .json.")],
    cycle: Annotated[int, typer.Option(min=1, help="The cycle of that date.")] = 1,
    output_directory: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Write allocations, pools and run.json here."),
    ] = None,
    output_format: Annotated[
        output.OutputFormat,
        typer.Option("--format", help="The format of --output; xlsx is for people."),
    ] = output.OutputFormat.CSV,
    supersede: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN…", help="Take the place of this run of the date; can be given again."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; needed with --supersede.")
    ] = None,
    positions_basis: Annotated[
        PositionsBasis | None,
        typer.Option(
            help="For pools that were allocated before on the date: the positions have that taken "
            "off already (net), or it is taken off here (gross)."
        ),
    ] = None,
    occ_positions: Annotated[
        Path | None,
        typer.Option(
            help="OCC's position reports, .xml (FIXML): a pool that is short another quantity by "
            "the positions file is warned of."
        ),
    ] = None,
    account_order: Annotated[
        AccountOrder, typer.Option(help="How accounts are compared (rule R2).")
    ] = AccountOrder.NUMERIC,
    zero_hit: Annotated[
        ZeroHit, typer.Option(help="The number that a product below one hits (rule D2).")
    ] = ZeroHit.WRAP,
    more_superseded: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="RUN")] = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allocate a day, or a cycle of it, and record it.

    Exit codes: 0 done, 2 wrong usage, 3 input refused, 4 recorded with breaks, 5 conflict with what
    stands recorded, 75 try again later.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    business_date = read_date(date)
    if output_directory is not None:
        output.prepare(output_directory)
    superseded = _superseded(supersede, more_superseded, reason)
    methodology = JPMS_2024_09_06.deciding(
        {"account_order": account_order.value, "zero_hit": zero_hit.value}
    )
    problems, memory = Problems(), memory_limit()
    with open_backend(shell.common) as backend, shell.progress(STEPS) as step:
        called = _called(volumes, notices, positions, occ_positions)
        step("reading the volumes")
        read_volumes = files.read_volumes(
            volumes, methodology.securities, problems, called=called[0]
        )
        step("reading the notices")
        read_notices = files.read_notices(
            notices, problems, called=called[1], business_date=business_date
        )
        step("reading the positions")
        read_positions = files.read_positions_of(
            read_notices, positions, problems, called=called[2], memory=memory
        )
        read_occ_positions = None
        if occ_positions is not None:
            step("reading OCC's positions")
            read_occ_positions = files.read_occ_positions(
                occ_positions, business_date, problems, called=called[3]
            )
        outcome = backend.run(
            operations.RunRequest(
                business_date=business_date,
                cycle=cycle,
                notices=read_notices,
                positions=read_positions,
                volumes=read_volumes,
                problems=problems,
                requested_by=system_identity(),
                supersedes=superseded,
                reason=reason,
                positions_basis=None if positions_basis is None else positions_basis.value,
                occ_positions=read_occ_positions,
                methodology=methodology,
            ),
            step,
        )
        record = outcome.record
        if output_directory is not None:
            step("writing the output")
            output.write_output(
                output_directory,
                output_format,
                record,
                backend.allocations(record.run),
                backend.pools(record.run),
            )
    already_recorded, superseded_by = outcome.already_recorded, outcome.superseded_by
    shell.say(
        summary(record, already_recorded=already_recorded, superseded_by=superseded_by),
        text.printer(
            text.show_run,
            record,
            already_recorded=already_recorded,
            superseded_by=superseded_by,
        ),
    )
    raise typer.Exit(exits.BREAKS if record.breaks else exits.DONE)


@reporting
def seed(
    context: typer.Context,
    volumes: Annotated[Path, typer.Option(help="The four ask prices: .csv or .json.")],
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every step of the seed of four ask prices; record nothing."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    read = files.read_volumes(volumes, JPMS_2024_09_06.securities, Problems())
    with open_backend(shell.common) as backend:
        derived = backend.derive_seed(read)
    steps = derived.seed
    shell.say(
        {
            "volumes": [
                {
                    "security_number": volume.security_number,
                    "ask_price": volume.ask_price,
                    "volume": volume.volume,
                }
                for volume in steps.volumes
            ],
            "composite": str(steps.composite),
            "length": steps.length,
            "cut_position": steps.cut_position,
            "digits": steps.digits,
            "fraction": steps.fraction,
            "warnings": [
                {"code": warning.code, "rule": warning.rule, "message": warning.message}
                for warning in derived.warnings
            ],
        },
        text.printer(text.show_seed, steps, derived.warnings),
    )


def _superseded(
    supersede: list[str] | None, more: list[str] | None, reason: str | None
) -> tuple[str, ...]:
    """The runs of `--supersede RUN…`, each behind an option of its own or several behind one.

    Raises:
        typer.BadParameter: There is no option, or one of run and reason without the other.
    """
    if more and not supersede:
        raise typer.BadParameter(f"got unexpected extra argument ({' '.join(more)})")
    if supersede and not (reason or "").strip():
        raise typer.BadParameter("--supersede needs a --reason")
    if reason is not None and not supersede:
        raise typer.BadParameter("--reason goes with --supersede")
    return (*(supersede or ()), *(more or ()))


def _called(*paths: Path | None) -> list[str | None]:
    """What problems call the files: their base names, or their paths where two share a name."""
    given = {path for path in paths if path is not None}
    is_told_apart = len({path.name for path in given}) == len(given)
    return [None if path is None or is_told_apart else str(path) for path in paths]
