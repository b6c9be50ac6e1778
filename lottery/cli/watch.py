"""`lottery watch`: a process that publishes and archives what is behind, and says how it stands."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from lottery import operations
from lottery.cli.backend import open_local_backend
from lottery.cli.session import Session, command, stop_event
from lottery.errors import LotteryError
from lottery.operations.care import status_line


@command
def watch(
    session: Session,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.01, help="How often to look.")
    ] = 10.0,
) -> None:
    """Publish and archive what is behind; print a line whenever the figures change.

    It ends with SIGINT or SIGTERM.
    """
    ledger = open_local_backend(session).ledger()
    stopping = stop_event()
    last = None
    while not stopping.is_set():
        try:
            found = operations.bring_up(ledger)
        except (LotteryError, OSError) as error:
            session.warn(str(error))
        else:
            if found != last:
                line = status_line(found)
                session.show(dataclasses.asdict(found), lambda console: console.print(line))  # noqa: B023
                sys.stdout.flush()
            last = found
        stopping.wait(interval)
