"""The command line's root: the global options, and what ends a command."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Final, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from lottery.cli import exits
from lottery.cli.commands import Commands
from lottery.cli.options import (
    JsonOption,
    RootArchiveOption,
    RootLedgerOption,
    RootObjectsOption,
    ServerOption,
)
from lottery.cli.session import Session

INTERRUPTED: Final = 130
UNHEARD: Final = 141

app = typer.Typer(
    name="lottery",
    cls=Commands,
    help="The options assignment lottery: OCC assignment notices to short accounts, on the record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # What it takes to frame the help is most of what the help takes.
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's own signature.
    if wanted:
        from lottery.version import VERSION  # noqa: PLC0415 - it is read from the installation.

        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    ledger: RootLedgerOption = None,
    objects: RootObjectsOption = None,
    archive: RootArchiveOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the global options, which may stand before or after the command."""
    context.obj = Session(
        ledger=ledger, objects=objects, archive=archive, server=server, as_json=as_json
    )


def main() -> None:
    """Run the entry point `lottery`.

    With `--json`, wrong usage too is one document on standard output. Nobody who reads any more,
    as after `| head`, ends it without a word.
    """
    out = sys.stdout
    try:
        try:
            if "--json" in sys.argv[1:]:
                sys.exit(_main_in_json())
            app()
        finally:
            out.flush()
    except BrokenPipeError:
        _end_unheard(out)
    except SystemExit:
        if sys.stdout is not out:  # Typer has met a pipe that nobody reads.
            _end_unheard(out)
        raise
    except OSError as error:  # For example a full disk under standard output.
        print(f"lottery: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(exits.exit_code_of_system(error))


def _end_unheard(out: TextIO) -> NoReturn:
    """End as a program does that is killed for writing to a pipe that nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # What is left is flushed to nowhere.
    sys.exit(UNHEARD)


def _main_in_json() -> int:
    try:
        code: int | None = app(standalone_mode=False)
    except TyperException as error:
        typer.echo(json.dumps({"reason": exits.WRONG_USAGE, "message": error.format_message()}))
        return exits.USAGE
    except typer.Abort:
        return INTERRUPTED
    return code or exits.DONE


if __name__ == "__main__":
    main()
