"""The command line's root: the global options and the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lottery.cli import look, run, serve
from lottery.cli.shell import Common, JsonOption, LedgerOption, ServerOption
from lottery.version import VERSION

app = typer.Typer(
    name="lottery",
    help="The options assignment lottery: OCC assignment notices to short accounts, on the record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's own signature.
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the global options; they may stand before or behind the command."""
    context.obj = Common(ledger=ledger, server=server, as_json=as_json)


app.command()(run.run)
app.command()(run.seed)
app.command()(look.runs)
app.command()(look.show)
app.command()(look.explain)
app.command()(look.replay)
app.command()(serve.serve)
app.command()(serve.health)


def main() -> None:
    """The entry point `lottery`."""
    app()


if __name__ == "__main__":
    main()
