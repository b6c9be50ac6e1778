"""What a shell offers while a command is typed: the ids of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import typer

from lottery.cli.backend import open_backend
from lottery.cli.session import Session
from lottery.errors import LotteryError

OFFERED: Final = 50
"""Maximum number of runs that are offered."""
LOOKED_AT: Final = 1_000
"""Maximum number of runs that are looked at, the newest first."""
_OPTIONS: Final = ("ledger", "objects", "archive", "server")


def runs_beginning(context: typer.Context, incomplete: str) -> list[str]:
    """Return `latest` and the newest runs that begin so; nothing if the ledger cannot be read.

    Args:
        context: The command as far as it is typed.
        incomplete: What is typed of the run.
    """
    found: list[str] = []
    with suppress(LotteryError, typer.BadParameter, OSError):
        found += islice(
            (run for run in _newest(_session_of(context)) if run.startswith(incomplete)), OFFERED
        )
    return [*(["latest"] if "latest".startswith(incomplete) else []), *found]


def _newest(session: Session) -> Iterator[str]:
    with open_backend(session) as backend:
        for recorded in islice(backend.list_runs(newest_first=True), LOOKED_AT):
            yield recorded.record.run


def _session_of(context: Any) -> Session:
    """Return the session of a command that is not whole: its options, else those before it."""
    given: dict[str, Any] = {}
    while context is not None:
        for name in _OPTIONS:
            given[name] = given.get(name) or context.params.get(name)
        context = context.parent
    return Session(**given, command="runs")
