"""Who asks, for operations that record no run and are entries of the trail all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lottery.errors import LotteryError
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity
from lottery.ledger.trail import entry_now


def _tell_nobody(_: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks.

    Attributes:
        by: Who it is.
        warn: Told where a look at the ledger could not be entered in its trail: the ledger is
            on a medium that cannot be written, or the log's key is not here.
    """

    by: Identity
    warn: Callable[[str], None] = _tell_nobody

    def enter(self, ledger: Ledger, operation: str, subject: str, outcome: str) -> None:
        """Enters an operation in the trail, or complains that it could not be."""
        try:
            ledger.enter(entry_now(operation, subject, outcome, self.by))
        except LotteryError as error:
            self.warn(f"this {operation} of {subject} is not in the trail: {error}")
