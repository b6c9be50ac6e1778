"""What every command shares: the global options, the consoles, errors and progress."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, Protocol, TypeVar, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lottery.cli.exits import exit_code
from lottery.day.jit import report_compiling
from lottery.errors import (
    Conflict,
    KeyUnusable,
    LedgerBusy,
    LedgerUnwritable,
    LotteryError,
    Refused,
)
from lottery.tlog.keys import VerifierKey

PROGRESS_AFTER: Final = 1.0
"""Seconds that work takes before a progress bar shows."""
PIPED_WIDTH: Final = 160
"""Columns of text that goes to a file or a pipe, where there is no terminal to ask."""
DEFAULT_LEDGER: Final = "lottery-ledger"

_RECORDS_NOTHING: Final = (Conflict, LedgerBusy, LedgerUnwritable)

_Command = TypeVar("_Command", bound=Callable[..., None])

_LEDGER_HELP: Final = "The ledger's directory; $LOTTERY_LEDGER or ./lottery-ledger by default."

RootLedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="DIR", envvar="LOTTERY_LEDGER", show_envvar=False, help=_LEDGER_HELP
    ),
]
# Without the variable: behind the subcommand it would take the place of the option before it.
LedgerOption = Annotated[str | None, typer.Option("--ledger", metavar="DIR", help=_LEDGER_HELP)]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="Have a server do it, over gRPC."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]


class Step(Protocol):
    """Told the name of each step as it starts."""

    def __call__(self, name: str, of: int | None = None) -> None:
        """Says which step starts, and of how many where that is known by now."""


FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first business date.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last business date.")
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="VKEY", help="The log's public key, as you know it from elsewhere."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The global options; they may stand before or after the subcommand."""

    ledger: str | None = None
    server: str | None = None
    as_json: bool = False

    def then(self, ledger: str | None, server: str | None, *, as_json: bool) -> Common:
        """These options, with those behind the subcommand taking their place."""
        return Common(
            ledger=ledger or self.ledger,
            server=server or self.server,
            as_json=as_json or self.as_json,
        )


@dataclass(frozen=True, slots=True)
class Shell:
    """One command's way to talk: text for people, or one JSON document."""

    common: Common

    @property
    def out(self) -> Console:
        """Standard output."""
        return _console(sys.stdout)

    def warn(self, text: str) -> None:
        """Says on standard error what did not hinder the command."""
        _console(sys.stderr).print(f"warning: {text}", style="yellow", soft_wrap=True)

    def note(self, text: str) -> None:
        """Says on standard error what the command is about."""
        _console(sys.stderr).print(text, soft_wrap=True)

    def say(self, document: Mapping[str, Any], text: Callable[[Console], None]) -> None:
        """Prints the document, or the text of it."""
        if self.common.as_json:
            typer.echo(json.dumps(document, ensure_ascii=False, default=str))
        else:
            text(self.out)

    @contextmanager
    def progress(self, total: int | None = None) -> Iterator[Step]:
        """A bar on standard error, on a terminal, once the work takes over a second.

        Args:
            total: Steps in all; None where nobody knows.

        Yields:
            A function that takes the name of the step that starts, and how many there are where
            that is known only by then.
        """
        console = Console(stderr=True)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        task = bar.add_task("", total=total)
        timer = threading.Timer(PROGRESS_AFTER, bar.start)
        timer.daemon = True
        if console.is_terminal:
            timer.start()

        def step(name: str, of: int | None = None) -> None:
            bar.update(task, description=name, advance=1, total=of)

        try:
            yield step
        finally:
            if timer.ident is not None:
                timer.cancel()
                timer.join()
                if bar.live.is_started:
                    bar.stop()


def shell_of(
    context: typer.Context, ledger: str | None, server: str | None, *, as_json: bool
) -> Shell:
    """The shell of a command, of the options before and behind it."""
    shell = Shell(cast("Common", context.obj).then(ledger, server, as_json=as_json))
    context.obj = shell.common
    report_compiling(shell.note)
    return shell


def reporting(command: _Command) -> _Command:
    """Decorates a command: the library's errors become a report and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        context: typer.Context = options.get("context") or arguments[0]
        try:
            command(*arguments, **options)
        except LotteryError as error:
            records = context.info_name == "run"
            report(error, as_json=cast("Common", context.obj).as_json, records=records)

    return cast("_Command", run)


def report(error: LotteryError, *, as_json: bool, records: bool) -> NoReturn:
    """Prints an error and exits with its code.

    Args:
        error: The error.
        as_json: Whether as a document.
        records: Whether the command was to record something.

    Raises:
        typer.Exit: Always.
    """
    if as_json:
        typer.echo(json.dumps(error_document(error), ensure_ascii=False))
    else:
        stderr = _console(sys.stderr)
        if isinstance(error, Refused):
            count = f"{error.total} problem{'s' if error.total != 1 else ''}"
            stderr.print(f"Refused, nothing recorded: {count} ({error.reason})", style="bold red")
            for line in str(error).splitlines():
                stderr.print(f"  {line}", soft_wrap=True)
        else:
            nothing = records and isinstance(error, _RECORDS_NOTHING)
            kept = "; nothing is recorded" if nothing else ""
            stderr.print(f"{error}{kept} ({error.reason})", style="red", soft_wrap=True)
    raise typer.Exit(exit_code(error))


def error_document(error: LotteryError) -> dict[str, Any]:
    """An error as JSON values."""
    document: dict[str, Any] = {
        "reason": error.reason,
        "message": str(error),
        **error.details(),
    }
    if isinstance(error, Refused):
        document["problem_count"] = error.total
        document["problems"] = [
            {
                "file": problem.source,
                "row": problem.row,
                "line": problem.line,
                "column": problem.column,
                "rule": problem.rule,
                "reason": problem.reason,
                "message": problem.message,
            }
            for problem in error.problems
        ]
    return document


def read_dates(first: str | None, last: str | None) -> tuple[dt.date | None, dt.date | None]:
    """The dates of --from and --to.

    Raises:
        typer.BadParameter: One is no date, or the last is before the first.
    """
    dates = read_optional_date(first), read_optional_date(last)
    if dates[0] is not None and dates[1] is not None and dates[1] < dates[0]:
        raise typer.BadParameter(f"--to {last} is before --from {first}")
    return dates


def read_optional_date(text: str | None) -> dt.date | None:
    """A date written YYYY-MM-DD, or None where none is given.

    Raises:
        typer.BadParameter: It is none.
    """
    return None if text is None else read_date(text)


def read_keys(texts: list[str] | None) -> list[VerifierKey]:
    """The keys of --key.

    Raises:
        typer.BadParameter: One is no public key.
    """
    try:
        return [VerifierKey.parse(text) for text in texts or ()]
    except KeyUnusable as error:
        raise typer.BadParameter(f"--key: {error}") from None


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_date(text: str) -> dt.date:
    """A date written YYYY-MM-DD.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no date: YYYY-MM-DD is expected")


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
