"""The values of one account's page: its positions, its numbers, what hit it, its odds, the proof.

Nothing is said about anyone else. Of the account's pools the page has the totals and the first hit,
without which its own numbers cannot be understood, but no other account and no other range. What
people wrote about the run and its breaks elsewhere are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lottery.audit.bundle import ProvenRun
from lottery.audit.explain import PoolWorking, explain_account
from lottery.audit.report.masking import AccountNames, masked_record
from lottery.audit.report.pool_section import LeftOut
from lottery.audit.report.request import PageRequest, Supersession
from lottery.audit.report.ribbon import Ribbon, draw_ribbon
from lottery.audit.report.run_page import PageProof, reader_of, verified_proof
from lottery.errors import NotInRun, quote
from lottery.ledger.run_record import RunRecord
from lottery.ledger.warning_codes import SEED_WARNINGS
from lottery.method.methodology import ZeroHit
from lottery.method.odds import AccountOdds, pool_odds

POSITIONS_SHOWN: Final = 40
"""Maximum number of positions with ribbon and odds, unless more are asked for."""
POSITIONS_LISTED: Final = 5_000
"""Maximum rows of the table of positions."""
"""Codes of the warnings that are about the whole date and about no other account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSection:
    """A position of the account in one pool.

    Attributes:
        anchor: Its element's id on the page.
        working: The pool's steps, with this account alone.
        ribbon: Its own numbers among all; None for a break.
        odds: Its chances before the fraction was known; None for a break.
    """

    anchor: str
    working: PoolWorking
    ribbon: Ribbon | None
    odds: AccountOdds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """A page about one account.

    Attributes:
        account: What it is called on the page.
        record: The run's record, without what is about others.
        shown: Its positions, or those of them with the most contracts assigned.
        listed: Every position that is listed, in the order of the evidence.
        listed_left_out: The other positions.
        pool_count: Pools that it is in.
        assigned_quantity: Contracts assigned to it in all of them.
    """

    account: str
    record: RunRecord
    supersession: Supersession
    proof: PageProof
    masked: bool
    shown: tuple[PositionSection, ...]
    listed: tuple[PoolWorking, ...]
    listed_left_out: LeftOut
    pool_count: int
    assigned_quantity: int

    @property
    def anchors(self) -> dict[tuple[str, str], str]:
        """The anchor of each pool that is shown, by OCC account and series."""
        return {(one.working.occ_account, one.working.series): one.anchor for one in self.shown}


def account_page(
    run: ProvenRun, account: str, request: PageRequest, supersession: Supersession
) -> AccountPage:
    """Return the page of one account in a run.

    Args:
        run: The run and what proves it.
        account: The account's number.
        request: If it names series, only these pools of the account are shown.
        supersession: Whether the run was superseded.

    Raises:
        NotInRun: The account is in no pool of the run, or in none of a series asked for.
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    proof = verified_proof(run, with_entry=False)
    name = AccountNames(masked=request.mask_accounts)(account)
    workings = [
        replace(working, accounts=tuple(replace(one, account=name) for one in working.accounts))
        for working in explain_account(run.record, reader_of(run), account)
    ]
    assigned_quantity = sum(map(_assigned, workings))
    pool_count = len(workings)
    if request.series:
        workings = _of_series(run.record.run, account, workings, request.series)
    limit = max(POSITIONS_SHOWN, len(request.series))
    most = {id(one) for one in sorted(workings, key=_assigned, reverse=True)[:limit]}
    shown = (working for working in workings if id(working) in most)
    left_out = workings[POSITIONS_LISTED:]
    return AccountPage(
        account=name,
        record=_without_others(run.record, masked=request.mask_accounts),
        supersession=supersession,
        proof=proof,
        masked=request.mask_accounts,
        shown=tuple(_section(working, f"pool-{number}") for number, working in enumerate(shown, 1)),
        listed=tuple(workings[:POSITIONS_LISTED]),
        listed_left_out=LeftOut(
            count=len(left_out), assigned_quantity=sum(map(_assigned, left_out))
        ),
        pool_count=pool_count,
        assigned_quantity=assigned_quantity,
    )


def _of_series(
    run: str, account: str, workings: Sequence[PoolWorking], series: Sequence[str]
) -> list[PoolWorking]:
    found = {working.series for working in workings}
    missing = [quote(one) for one in series if one not in found]
    if missing:
        raise NotInRun(
            f"account {quote(account)} is in no pool of series {', '.join(missing)} of run {run}"
        )
    return [working for working in workings if working.series in series]


def _assigned(working: PoolWorking) -> int:
    return working.accounts[0].assigned_quantity


def _without_others(record: RunRecord, *, masked: bool) -> RunRecord:
    """Return the record without what people wrote and what is about other accounts' pools."""
    return replace(
        masked_record(record) if masked else record,
        reason=None,
        sources=(),
        warnings=tuple(one for one in record.warnings if one.code in SEED_WARNINGS),
    )


def _section(working: PoolWorking, anchor: str) -> PositionSection:
    (account,) = working.accounts
    if working.first_hit is None:
        return PositionSection(anchor=anchor, working=working, ribbon=None, odds=None)
    ribbon = draw_ribbon(
        first_numbers=np.array([account.first_number], np.int64),
        last_numbers=np.array([account.last_number], np.int64),
        name=lambda _: account.account,
        ranges=account.numbers_hit,
        first_hit=working.first_hit,
        total_short=working.total_short,
    )
    return PositionSection(
        anchor=anchor, working=working, ribbon=ribbon, odds=_account_odds(working)
    )


def _account_odds(working: PoolWorking) -> AccountOdds:
    """Return the chances of the one account of a working.

    Others count by the sum of their short quantities: where their ranges end changes nothing.
    """
    (account,) = working.accounts
    before = account.first_number - 1
    after = working.total_short - account.last_number
    index = 1 if before else 0
    odds = pool_odds(
        [short for short in (before, account.short_quantity, after) if short],
        assigned_quantity=working.assigned_quantity,
        zero_hit=ZeroHit(working.zero_hit),
        only=[index],
        assigned_before=working.assigned_before,
    )
    return odds.accounts[index]
