"""What every command shares: the global options, the two ways to print, and reported errors."""

from __future__ import annotations

import functools
import inspect
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import typer

from lottery import operations
from lottery.cli.exits import exit_code
from lottery.cli.options import (
    ArchiveOption,
    JsonOption,
    LedgerOption,
    ObjectsOption,
    ServerOption,
)
from lottery.errors import (
    Conflict,
    Held,
    Hold,
    LedgerBusy,
    LedgerUnwritable,
    LotteryError,
    Refused,
)

if TYPE_CHECKING:
    from rich.console import Console

PROGRESS_AFTER: Final = 1.0
"""Seconds that work takes before a progress bar is shown."""

_RECORDS_NOTHING: Final = (Conflict, LedgerBusy, LedgerUnwritable)


class Step(Protocol):
    """Receives the name of each step as it starts."""

    def __call__(self, name: str, of: int | None = None) -> None:
        """Show which step starts, and of how many if that is known by now."""


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on, where they would end the process."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's global options, and its way to print: text for people, or JSON.

    Attributes:
        ledger: The ledger's directory or database; None for the default.
        objects: The directory or bucket of its files; None for the ledger's own directory.
        archive: The directory or bucket that gets all that is published; None for none.
        server: The server that does the work; None for this process.
        as_json: Whether standard output is one JSON document.
        command: The command's words, such as `keys rotate`.
        afterwards: What is done once the command's answer is printed, whatever it was.
    """

    ledger: str | None = None
    objects: str | None = None
    archive: str | None = None
    server: str | None = None
    as_json: bool = False
    command: str = ""
    afterwards: ExitStack = field(default_factory=ExitStack, compare=False, repr=False)

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        _console(sys.stderr).print(f"warning: {text}", style="yellow", soft_wrap=True)

    def note(self, text: str) -> None:
        """Print on standard error what takes its time."""
        _console(sys.stderr).print(text, soft_wrap=True)

    def show(self, document: Mapping[str, Any], as_text: Callable[[Console], None]) -> None:
        """Print a result as a document or as text."""
        if self.as_json:
            typer.echo(json.dumps(document, ensure_ascii=False, default=str))
        else:
            as_text(_console(sys.stdout))

    @contextmanager
    def progress(self, total: int | None = None) -> Iterator[Step]:
        """Show a bar on standard error, on a terminal, once the work takes over a second.

        Args:
            total: Steps in all; None if that is not known yet.

        Yields:
            A function that takes the name of the step that starts, and optionally how many there
            are.
        """
        # Imported here: the help loads this module too, and shows no bar.
        from rich.console import Console  # noqa: PLC0415 - as above.
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

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

    def fail(self, error: LotteryError, *, records: bool = False) -> NoReturn:
        """Print an error and exit with its code.

        Args:
            error: The error.
            records: Whether the command was to record something.

        Raises:
            typer.Exit: Always.
        """
        if self.as_json:
            typer.echo(json.dumps(_error_document(error), ensure_ascii=False))
        elif isinstance(error, Refused):
            count = f"{error.total} problem{'s' if error.total != 1 else ''}"
            stderr = _console(sys.stderr)
            stderr.print(f"Refused, nothing recorded: {count} ({error.reason})", style="bold red")
            for line in str(error).splitlines():
                stderr.print(f"  {line}", soft_wrap=True)
        elif isinstance(error, Held):
            stderr = _console(sys.stderr)
            stderr.print(f"Held, nothing recorded ({error.reason})", style="bold red")
            _show_holds(stderr, error.holds)
        else:
            nothing = records and isinstance(error, _RECORDS_NOTHING)
            text = f"{error}{'; nothing is recorded' if nothing else ''} ({error.reason})"
            stderr = _console(sys.stderr)
            stderr.print(text, style="red", soft_wrap=True)
            if isinstance(error, Conflict) and error.holds:
                stderr.print("It would be held too", style="bold red")
                _show_holds(stderr, error.holds)
        raise typer.Exit(exit_code(error))


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command, whose first parameter is its session.

    Typer sees the function's other parameters and, after them, the global options, which may stand
    before the command as well. The library's errors are printed and become exit codes.
    """

    @functools.wraps(function)
    def run(
        context: typer.Context,
        *,
        ledger: str | None,
        objects: str | None,
        archive: str | None,
        server: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        session = session_of(
            context,
            ledger=ledger,
            objects=objects,
            archive=archive,
            server=server,
            as_json=as_json,
        )
        if context.invoked_subcommand is not None:  # A group's options are its commands' too.
            context.obj = session
            return
        with session.afterwards:
            try:
                function(session, **arguments)
            except LotteryError as error:
                session.fail(
                    error, records=function.__name__ in ("run", "withdraw", "approve", "reject")
                )

    # Typer keeps the line breaks of a paragraph, which are those of the source.
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    run.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            _parameter("context", typer.Context, inspect.Parameter.empty),
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            _parameter("ledger", LedgerOption, None),
            _parameter("objects", ObjectsOption, None),
            _parameter("archive", ArchiveOption, None),
            _parameter("server", ServerOption, None),
            _parameter("as_json", JsonOption, default=False),
        ]
    )
    return run


def session_of(context: typer.Context, **options: Any) -> Session:
    """Return the session of a command; options after the command override those before it."""
    before: Session = context.obj
    given = {name: value for name, value in options.items() if value}
    session = replace(before, **given, command=_words_of(context))
    operations.report_compiling(session.note)
    return session


def _words_of(context: Any) -> str:
    """Return the words of a command, without the program's name."""
    above = context.parent
    return "" if above is None else f"{_words_of(above)} {context.info_name}".lstrip()


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _error_document(error: LotteryError) -> dict[str, Any]:
    """Return an error as JSON values."""
    document: dict[str, Any] = {
        "reason": error.reason,
        "message": str(error),
        **error.details(),
    }
    if isinstance(error, Held | Conflict) and error.holds:
        document["held"] = [
            {"code": hold.code, "message": hold.message, "acknowledge": hold.acknowledge}
            for hold in error.holds
        ]
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


def _show_holds(console: Console, holds: Sequence[Hold]) -> None:
    for hold in holds:
        console.print(f"  {hold.code}: {hold.message}", soft_wrap=True)
    codes = " ".join(f"--acknowledge {hold.code}" for hold in holds)
    console.print(f"If that is right: {codes} --reason TEXT", soft_wrap=True)


def _console(stream: Any) -> Console:
    # Imported here: the help loads this module too, and prints without it.
    from lottery.cli.console import console_on  # noqa: PLC0415

    return console_on(stream)
