"""What a reader asks of an audit page, and what only the ledger can add to it."""

from __future__ import annotations

from dataclasses import dataclass

from lottery.ledger.four_eyes import Verdict


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
    """Whether a run was superseded, and who approved it; a bundle alone cannot say.

    Attributes:
        is_known: Whether it is known.
        superseded_by: The run that supersedes it, or None.
        verdict: The approval of a run that was proposed, or None.
    """

    is_known: bool
    superseded_by: str | None = None
    verdict: Verdict | None = None
