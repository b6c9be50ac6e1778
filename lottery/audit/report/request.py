"""What a reader asks of an audit page, and what only the ledger can add to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What a page is to show.

    Attributes:
        series: Pools to show whatever else is shown, by their padded symbols.
        account: The one account that the page is about; None for a page about the run.
        mask_accounts: Whether to name accounts by labels instead of their numbers.
    """

    series: tuple[str, ...] = ()
    account: str | None = None
    mask_accounts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Supersession:
    """Whether a run was superseded; a bundle alone cannot say."""

    is_known: bool
    superseded_by: str | None = None
