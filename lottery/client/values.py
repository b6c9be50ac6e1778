"""Messages to the library's values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from google.type import date_pb2

from lottery.audit.explain import AccountWorking, PoolWorking
from lottery.audit.replay import Mismatch, Replayed
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.method.distribution import NumberRange
from lottery.method.seed import ExchangeVolume, Seed
from lottery.v1 import lottery_pb2, lottery_service_pb2


def date_of(date: dt.date | None) -> date_pb2.Date | None:
    """A date as a message; None is absent."""
    return None if date is None else date_pb2.Date(year=date.year, month=date.month, day=date.day)


def seed_of(seed: lottery_pb2.Seed) -> Seed:
    """A seed."""
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
    """A pool as a row of the pools file."""
    row = {name: getattr(pool, name) for name in POOLS.names}
    row["first_hit"] = pool.first_hit if pool.HasField("first_hit") else None
    row["break_reason"] = pool.break_reason or None
    return row


def allocation_of(row: lottery_pb2.Allocation) -> dict[str, Any]:
    """An allocation as a row of the allocations file."""
    return {name: getattr(row, name) for name in ALLOCATIONS.names}


def _ranges(ranges: Iterable[lottery_service_pb2.NumberRange]) -> tuple[NumberRange, ...]:
    return tuple(
        NumberRange(first_number=numbers.first_number, last_number=numbers.last_number)
        for numbers in ranges
    )


def working_of(working: lottery_service_pb2.PoolWorking) -> PoolWorking:
    """A working."""
    date = working.business_date
    return PoolWorking(
        run=working.run,
        business_date=dt.date(date.year, date.month, date.day).isoformat(),
        method=working.method,
        zero_hit=working.zero_hit,
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
    """A replay's result."""
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
