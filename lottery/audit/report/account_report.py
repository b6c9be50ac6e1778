"""One account's page: its positions, its numbers, what hit them, its odds beforehand, the proof.

Nothing is said about anyone else: of its pools there are the totals and the first hit, without
which its own numbers cannot be understood, and neither other accounts nor their ranges. What
people wrote about the run, and the run's breaks elsewhere, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lottery.audit.bundle import ProvenRun
from lottery.audit.explain import PoolWorking, explain_account
from lottery.audit.report.masking import AccountNames, masked_record
from lottery.audit.report.ribbon import Ribbon, account_ribbon
from lottery.audit.report.run_report import Proof, ReportRequest, Standing, proven, reader_of
from lottery.audit.report.shown_pools import LeftOut
from lottery.errors import NotInRun
from lottery.ledger.run_record import RunRecord
from lottery.method.distribution import NumberRange
from lottery.method.methodology import ZeroHit
from lottery.method.odds import AccountOdds, pool_odds

POSITIONS_SHOWN: Final = 40
"""Positions with their ribbon and odds; those asked for are shown past it."""
POSITIONS_LISTED: Final = 5_000
"""Rows of the table of positions."""
SEED_WARNINGS: Final = frozenset({"ZERO_ASK", "LOW_PRECISION_COMPOSITE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPosition:
    """A position of the account in one pool.

    Attributes:
        anchor: Its place on the page.
        working: The pool's steps, with this account alone.
        ribbon: Its own numbers among all; None for a break.
        odds: Its chances before the fraction was known; None for a break.
    """

    anchor: str
    working: PoolWorking
    ribbon: Ribbon | None
    odds: AccountOdds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """A page about one account.

    Attributes:
        account: What it is called on the page.
        record: The run's record, without what is about others.
        shown: Its positions, or those of them with the most contracts assigned.
        listed: Every position that is listed, in the order of the evidence.
        listed_left_out: The others.
        pool_count: Pools that it is in.
        assigned_quantity: Contracts assigned to it in all of them.
    """

    account: str
    record: RunRecord
    standing: Standing
    proof: Proof
    masked: bool
    shown: tuple[ShownPosition, ...]
    listed: tuple[PoolWorking, ...]
    listed_left_out: LeftOut
    pool_count: int
    assigned_quantity: int


def account_report(
    run: ProvenRun, account: str, request: ReportRequest, standing: Standing
) -> AccountReport:
    """The page of one account in a run.

    Args:
        run: The run and what proves it.
        account: The account's number.
        request: Where it names series, only these pools of the account are shown.
        standing: Whether the run was superseded.

    Raises:
        NotInRun: The account is in no pool of the run, or in none of a series asked for.
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    proof = proven(run)
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
    listed = workings[:POSITIONS_LISTED]
    left_out = workings[POSITIONS_LISTED:]
    return AccountReport(
        account=name,
        record=_about_the_run(run.record, masked=request.mask_accounts),
        standing=standing,
        proof=proof,
        masked=request.mask_accounts,
        shown=tuple(
            _shown(working, place)
            for place, working in enumerate((one for one in workings if id(one) in most), 1)
        ),
        listed=tuple(listed),
        listed_left_out=LeftOut(
            count=len(left_out), assigned_quantity=sum(map(_assigned, left_out))
        ),
        pool_count=pool_count,
        assigned_quantity=assigned_quantity,
    )


def account_odds(working: PoolWorking) -> AccountOdds:
    """The chances of the one account of a working, of its range and the pool's totals alone."""
    (account,) = working.accounts
    before = account.first_number - 1
    behind = working.total_short - account.last_number
    # What others are short counts by its sum: where their ranges end changes nothing for this one.
    shorts = [short for short in (before, account.short_quantity, behind) if short]
    place = 1 if before else 0
    odds = pool_odds(
        shorts,
        assigned_quantity=working.assigned_quantity,
        zero_hit=ZeroHit(working.zero_hit),
        only=[place],
    )
    return odds.accounts[place]


def _of_series(
    run: str, account: str, workings: Sequence[PoolWorking], series: Sequence[str]
) -> list[PoolWorking]:
    found = {working.series for working in workings}
    missing = [repr(one) for one in series if one not in found]
    if missing:
        raise NotInRun(
            f"account {account!r} is in no pool of series {', '.join(missing)} of run {run}"
        )
    return [working for working in workings if working.series in set(series)]


def _assigned(working: PoolWorking) -> int:
    return working.accounts[0].assigned_quantity


def _about_the_run(record: RunRecord, *, masked: bool) -> RunRecord:
    """The record without what people wrote and without what is about other accounts' pools."""
    if masked:
        record = masked_record(record)
    return replace(
        record,
        reason=None,
        breaks=(),
        sources=(),
        warnings=tuple(one for one in record.warnings if one.code in SEED_WARNINGS),
    )


def _shown(working: PoolWorking, place: int) -> ShownPosition:
    (account,) = working.accounts
    anchor = f"pool-{place}"
    if working.first_hit is None:
        return ShownPosition(anchor=anchor, working=working, ribbon=None, odds=None)
    owned = NumberRange(first_number=account.first_number, last_number=account.last_number)
    return ShownPosition(
        anchor=anchor,
        working=working,
        ribbon=account_ribbon(
            owned=owned,
            name=account.account,
            hits=account.numbers_hit,
            first_hit=working.first_hit,
            total_short=working.total_short,
        ),
        odds=account_odds(working),
    )
