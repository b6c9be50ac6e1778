"""The options that several commands have, and how their values are read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from lottery import operations
from lottery.errors import KeyUnusable, quote
from lottery.operations import AccountOrder, Pooling, ZeroHit

BUNDLE_SUFFIX: Final = ".zip"

_LEDGER_HELP: Final = (
    "The ledger: a directory, or postgresql://…; $LOTTERY_LEDGER or ./lottery-ledger by default."
)
_OBJECTS_HELP: Final = (
    "A directory or bucket for evidence and the published log, with PostgreSQL; $LOTTERY_OBJECTS."
)
_ARCHIVE_HELP: Final = (
    "A second directory or bucket that gets all that is published; $LOTTERY_ARCHIVE."
)
_FIGURE: Final = re.compile(r"[0-9]{1,30}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Return the runs that a shell offers, the newest first."""
    # Loaded when a shell asks, and by nothing else.
    from lottery.cli.completion import runs_beginning  # noqa: PLC0415

    return runs_beginning(context, incomplete)


RootLedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="DIR", envvar="LOTTERY_LEDGER", show_envvar=False, help=_LEDGER_HELP
    ),
]
# Without the variable: after the command it would override the option before the command.
LedgerOption = Annotated[str | None, typer.Option("--ledger", metavar="DIR", help=_LEDGER_HELP)]
RootObjectsOption = Annotated[
    str | None,
    typer.Option(
        "--objects", metavar="URL", envvar="LOTTERY_OBJECTS", show_envvar=False, help=_OBJECTS_HELP
    ),
]
ObjectsOption = Annotated[str | None, typer.Option("--objects", metavar="URL", help=_OBJECTS_HELP)]
RootArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive", metavar="URL", envvar="LOTTERY_ARCHIVE", show_envvar=False, help=_ARCHIVE_HELP
    ),
]
ArchiveOption = Annotated[str | None, typer.Option("--archive", metavar="URL", help=_ARCHIVE_HELP)]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="Send the command to a server, over gRPC."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]

InForceDateOption = Annotated[
    str | None,
    typer.Option(
        "--date",
        metavar="YYYY-MM-DD",
        help="The business date: the method must be in force on it, and the file be of it.",
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(help="The run, such as 2024-09-16-001, or latest.", autocompletion=complete_run),
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first business date.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last business date.")
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="VKEY", help="The log's public key, as known from elsewhere."),
]
MakeOption = Annotated[
    Path | None,
    typer.Option("--make", metavar="FILE", help="Make a private key in this new file."),
]
NameOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name of the key; required with --make.")
]
PositionsOption = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="The file of short positions: .csv (also .csv.gz, .csv.zst) or .parquet.",
    ),
]
VolumesOption = Annotated[
    str, typer.Option(metavar="FILE", help="The file of the four ask prices: .csv or .json.")
]
ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=N",
        help="A control total, of whole files: notices, contracts (on notices), positions (rows) "
        "or shorts (contracts short); may be repeated.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="FILE",
        help="A mapping, .toml, that says what a .csv file is: delimiter, names, sign, encoding.",
    ),
]
OccAccountOption = Annotated[
    str | None,
    typer.Option(help="The pool's OCC account; needed if the series has several pools."),
]
AccountOrderOption = Annotated[
    AccountOrder, typer.Option(help="How accounts are compared (rule R2).")
]
ZeroHitOption = Annotated[
    ZeroHit, typer.Option(help="The number that a product below one hits (rule D2).")
]
PoolOption = Annotated[Pooling, typer.Option(help="What makes a pool (rule P3).")]


def read_date(text: str, option: str = "--date") -> dt.date:
    """Read a date written YYYY-MM-DD, of an option or an argument.

    Raises:
        typer.BadParameter: The text is not such a date.
    """
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise typer.BadParameter(f"{option}: expected a date as YYYY-MM-DD, got {quote(text)}")


def read_date_if_any(text: str | None, option: str = "--date") -> dt.date | None:
    """Read the date of an option that may be left out.

    Raises:
        typer.BadParameter: The text is not a date.
    """
    return None if text is None else read_date(text, option)


def read_dates(first: str | None, last: str | None) -> tuple[dt.date | None, dt.date | None]:
    """Read the dates of --from and --to.

    Raises:
        typer.BadParameter: One is not a date, or the last is before the first.
    """
    start, end = read_date_if_any(first, "--from"), read_date_if_any(last, "--to")
    if start is not None and end is not None and end < start:
        raise typer.BadParameter(f"--to must not be before --from, got {last} and {first}")
    return start, end


def read_keys(texts: list[str] | None, option: str = "--key") -> list[operations.VerifierKey]:
    """Read the public keys of --key, or of another option.

    Raises:
        typer.BadParameter: One is not a public key.
    """
    try:
        return [operations.VerifierKey.parse(text) for text in texts or ()]
    except KeyUnusable as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def read_new_key(make: Path | None, name: str | None) -> tuple[Path, str] | None:
    """Read --make and --name; None if neither is given.

    Raises:
        typer.BadParameter: One is given without the other.
    """
    if make is not None and name is not None:
        return make, name
    if make is None and name is None:
        return None
    raise typer.BadParameter("--make and --name go together")


def read_address(text: str) -> tuple[str, int]:
    """Return the host and the port of --listen.

    Raises:
        typer.BadParameter: The text is not HOST:PORT.
    """
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise typer.BadParameter(f"--listen: expected HOST:PORT, got {quote(text)}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def read_series(text: str) -> str:
    """Return the padded form of a series.

    Raises:
        typer.BadParameter: The text is not an OSI symbol.
    """
    try:
        return operations.padded_series(text)
    except ValueError as error:
        raise typer.BadParameter(f"--series: {error}") from None


def read_totals(texts: list[str] | None) -> operations.ControlTotals:
    """Read control totals written KEY=N.

    Raises:
        typer.BadParameter: One is not, or a key is given twice.
    """
    keys = [field.name for field in dataclasses.fields(operations.ControlTotals)]
    totals: dict[str, int] = {}
    for text in texts or ():
        key, _, figure = text.partition("=")
        if key not in keys or key in totals or not _FIGURE.fullmatch(figure):
            raise typer.BadParameter(
                f"--expect: expected KEY=N with a key of {', '.join(keys)}, each once, and a whole "
                f"number, got {quote(text)}"
            )
        totals[key] = int(figure)
    return operations.ControlTotals(**totals)


def methodology_of(
    account_order: AccountOrder, pool: Pooling, zero_hit: ZeroHit = ZeroHit.WRAP
) -> operations.Methodology:
    """Return the method with the decisions of --account-order, --pool and --zero-hit."""
    return dataclasses.replace(
        operations.JPMS_2024_09_06, account_order=account_order, pool=pool, zero_hit=zero_hit
    )
