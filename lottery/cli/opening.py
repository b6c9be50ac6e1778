"""Opens the desk that a command works at."""

from __future__ import annotations

import typer

from lottery.cli.desk import Desk, LocalDesk, RemoteDesk
from lottery.cli.shell import DEFAULT_LEDGER, Common


def open_desk(common: Common) -> Desk:
    """The server where one is named, else the ledger's directory.

    Raises:
        typer.BadParameter: The ledger is no directory's path.
    """
    if common.server:
        return RemoteDesk(common.server)
    ledger = common.ledger or DEFAULT_LEDGER
    if "://" in str(ledger) or str(ledger).startswith("postgresql:"):
        raise typer.BadParameter(f"{ledger}: only directories are read as ledgers so far")
    return LocalDesk(ledger)
