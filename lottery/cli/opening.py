"""Opens the desk that a command works at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import typer

from lottery.cli.desk import Desk, LocalDesk, RemoteDesk
from lottery.cli.shell import DEFAULT_LEDGER, Common
from lottery.ledger.store import LOCK_SECONDS as DEFAULT_LOCK_SECONDS

LOCK_SECONDS: Final = "LOTTERY_LOCK_SECONDS"


def open_desk(common: Common) -> Desk:
    """The server where one is named, else the ledger's directory.

    Raises:
        typer.BadParameter: The ledger is no directory's path, or a setting of the environment that
            the work needs is none.
    """
    if common.server:
        try:
            return RemoteDesk(common.server)
        except OSError as error:
            raise typer.BadParameter(f"{error.filename}: {error.strerror}") from None
    ledger = common.ledger or DEFAULT_LEDGER
    if "://" in ledger:
        raise typer.BadParameter(f"{ledger}: only directories can be ledgers so far")
    if not ledger.isprintable():
        raise typer.BadParameter(f"{ledger!r}: a ledger's path must be printable text")
    return LocalDesk(Path(ledger), lock_seconds=_lock_seconds())


def _lock_seconds() -> float:
    given = os.environ.get(LOCK_SECONDS, "")
    try:
        return float(given) if given else DEFAULT_LOCK_SECONDS
    except ValueError:
        raise typer.BadParameter(f"{LOCK_SECONDS}={given} is no number of seconds") from None
