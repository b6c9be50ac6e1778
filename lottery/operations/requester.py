"""Who asks for an operation that records no run, but is an entry of the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lottery.errors import LotteryError
from lottery.ledger.run_record import Identity
from lottery.stores.system import system_identity

if TYPE_CHECKING:  # What works without a ledger loads none.
    from lottery.ledger.commit import Ledger

__all__ = ["Identity", "Requester", "system_identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks.

    Attributes:
        by: Who it is.
        warn: Receives a warning when an operation could not be entered in the log: the ledger is on
            a read-only medium, or the log's key is not here.
    """

    by: Identity
    warn: Callable[[str], None] = lambda _: None

    def enter(self, ledger: Ledger, kind: str, subject: str, outcome: str) -> None:
        """Enter an operation in the log, or warn that this was not possible."""
        try:
            ledger.enter(kind, subject, outcome, self.by)
        except LotteryError as error:
            self.warn(f"this {kind} of {subject} is not in the log: {error}")
