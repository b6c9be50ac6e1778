"""The library's values, read from messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
from google.type import date_pb2

from lottery.audit.explain import AccountWorking, PoolWorking
from lottery.audit.replay import Mismatch, Replayed
from lottery.day.allocate import Break
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.intake.arrow import read_arrow_table
from lottery.intake.dates import read_date
from lottery.method.distribution import NumberRange
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.method.occ_wheel import OccWheelOdds
from lottery.method.odds import AccountOdds, Chance, NumbersHitFirst
from lottery.method.random_draw import RandomDrawOdds
from lottery.method.seed import ExchangeVolume, Seed
from lottery.operations import HistoryRow, NamedOdds, SeriesOdds
from lottery.v1 import lottery_pb2, lottery_service_pb2


def date_of(given: dt.date | str | None) -> date_pb2.Date | None:
    """Return a date or its text as a message; None is absent.

    Raises:
        Refused: It is neither.
    """
    if given is None:
        return None
    date, problems = read_date(given)
    problems.refuse_if_any()
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def calendar_date(date: date_pb2.Date) -> dt.date:
    """Return the date of a message."""
    return dt.date(date.year, date.month, date.day)


def joined(payloads: Iterable[bytes], schema: pa.Schema) -> pa.Table:
    """Return the table of a stream's Arrow payloads; a message without one has no row of it."""
    parts = [read_arrow_table(payload) for payload in payloads if payload]
    if not parts:
        return schema.empty_table()
    return pa.concat_tables(parts).cast(schema).unify_dictionaries().combine_chunks()


def history_row_of(row: lottery_service_pb2.HistoryRow) -> HistoryRow:
    """Return what one run did with one pool."""
    return HistoryRow(
        business_date=calendar_date(row.business_date),
        run=row.run,
        cycle=row.cycle,
        occ_account=row.occ_account,
        series=row.series,
        account=row.account or None,
        short_quantity=row.short_quantity,
        assigned_quantity=row.assigned_quantity,
        break_reason=break_reason_of(row.break_reason),
        superseded_by=row.superseded_by or None,
    )


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


def break_of(broken: lottery_pb2.Break) -> Break:
    """Return a break."""
    return Break(
        occ_account=broken.occ_account,
        series=broken.series,
        reason=break_reason_of(broken.reason) or "",
        assigned_quantity=broken.assigned_quantity,
        total_short=broken.total_short,
        assigned_before=broken.assigned_before,
    )


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
    return PoolWorking(
        run=working.run,
        business_date=calendar_date(working.business_date).isoformat(),
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
