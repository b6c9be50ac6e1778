"""The library's values, read from messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from google.type import date_pb2

from lottery.audit.explain import AccountWorking, PoolWorking
from lottery.audit.replay import Mismatch, Replayed
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.method.distribution import NumberRange
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.method.occ_wheel import OccWheelOdds
from lottery.method.odds import AccountOdds, Chance, NumbersHitFirst
from lottery.method.random_draw import RandomDrawOdds
from lottery.method.seed import ExchangeVolume, Seed
from lottery.operations import NamedOdds, SeriesOdds
from lottery.v1 import lottery_pb2, lottery_service_pb2


def date_of(date: dt.date | None) -> date_pb2.Date | None:
    """Return a date as a message; None is absent."""
    return None if date is None else date_pb2.Date(year=date.year, month=date.month, day=date.day)


def seed_of(seed: lottery_pb2.Seed) -> Seed:
    """Return a seed."""
    return Seed(
        volumes=tuple(
            ExchangeVolume(
                security_number=volume.security_number,
                ask_price=volume.ask_price,
                volume=volume.volume,
            )
            for volume in seed.volumes
        ),
        composite=int(seed.composite),
        length=seed.length,
        cut_position=seed.cut_position,
        digits=seed.digits,
    )


def pool_of(pool: lottery_pb2.Pool) -> dict[str, Any]:
    """Return a pool as a row of the pools file."""
    row = {name: getattr(pool, name) for name in POOLS.names}
    row["first_hit"] = pool.first_hit if pool.HasField("first_hit") else None
    row["break_reason"] = break_reason_of(pool.break_reason)
    return row


def break_reason_of(reason: lottery_pb2.BreakReason.ValueType) -> str | None:
    """Return the reason of a break; None if the pool was allocated."""
    if reason == lottery_pb2.BREAK_REASON_UNSPECIFIED:
        return None
    return lottery_pb2.BreakReason.Name(reason).removeprefix("BREAK_REASON_")


def allocation_of(row: lottery_pb2.Allocation) -> dict[str, Any]:
    """Return an allocation as a row of the allocations file."""
    return {name: getattr(row, name) for name in ALLOCATIONS.names}


def _ranges(ranges: Iterable[lottery_service_pb2.NumberRange]) -> tuple[NumberRange, ...]:
    return tuple(
        NumberRange(first_number=numbers.first_number, last_number=numbers.last_number)
        for numbers in ranges
    )


def working_of(working: lottery_service_pb2.PoolWorking) -> PoolWorking:
    """Return a pool's working."""
    date = working.business_date
    return PoolWorking(
        run=working.run,
        business_date=dt.date(date.year, date.month, date.day).isoformat(),
        method=working.method,
        zero_hit=_zero_hit(working.zero_hit),
        seed=seed_of(working.seed),
        product=working.product,
        ranges=_ranges(working.numbers_hit),
        accounts=tuple(
            AccountWorking(
                account=account.account,
                short_quantity=account.short_quantity,
                first_number=account.first_number,
                last_number=account.last_number,
                assigned_quantity=account.assigned_quantity,
                numbers_hit=_ranges(account.numbers_hit),
            )
            for account in working.accounts
        ),
        accounts_left_out=working.accounts_left_out,
        **pool_of(working.pool),
    )


def replayed_of(result: lottery_pb2.ReplayResult) -> Replayed:
    """Return a replay's result."""
    return Replayed(
        run=result.run,
        mismatches=tuple(
            Mismatch(
                run=mismatch.run,
                where=mismatch.where,
                recorded=mismatch.recorded,
                computed=mismatch.computed,
            )
            for mismatch in result.mismatches
        ),
    )


def odds_of(response: lottery_service_pb2.GetOddsResponse) -> SeriesOdds:
    """Return the odds in a pool."""
    return SeriesOdds(
        occ_account=response.occ_account,
        series=response.series,
        method=response.method,
        account_order=AccountOrder[
            lottery_pb2.AccountOrder.Name(response.account_order).removeprefix("ACCOUNT_ORDER_")
        ].value,
        zero_hit=_zero_hit(response.zero_hit),
        assigned_quantity=response.assigned_quantity,
        total_short=response.total_short,
        account_count=response.account_count,
        never_first=response.never_first,
        evenness=tuple(
            NumbersHitFirst(
                fraction_count=numbers.fraction_count, number_count=numbers.number_count
            )
            for numbers in response.evenness
        ),
        accounts=tuple(
            NamedOdds(account=account.account, odds=_account_odds(account))
            for account in response.accounts
        ),
    )


def _zero_hit(choice: lottery_pb2.ZeroHit.ValueType) -> str:
    return ZeroHit[lottery_pb2.ZeroHit.Name(choice).removeprefix("ZERO_HIT_")].value


def _account_odds(account: lottery_service_pb2.AccountOdds) -> AccountOdds:
    drawn, wheel = account.random_draw, account.occ_wheel
    return AccountOdds(
        owned=NumberRange(first_number=account.first_number, last_number=account.last_number),
        chances=tuple(
            Chance(assigned_quantity=chance.assigned_quantity, fraction_count=chance.fraction_count)
            for chance in account.chances
        ),
        share_quantity=Fraction(account.share_quantity.fraction),
        random_draw=RandomDrawOdds(
            none=Decimal(drawn.none.decimal),
            full=Decimal(drawn.full.decimal),
            mean=Fraction(drawn.mean.fraction),
            variance=Fraction(drawn.variance.fraction),
        ),
        occ_wheel=OccWheelOdds(
            none=Fraction(wheel.none.fraction),
            full=Fraction(wheel.full.fraction),
            mean=Fraction(wheel.mean.fraction),
            variance=Fraction(wheel.variance.fraction),
        )
        if account.HasField("occ_wheel")
        else None,
    )
