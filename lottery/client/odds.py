"""Odds from the wire to the library's values."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from lottery.method.distribution import NumberRange
from lottery.method.occ_wheel import OccWheelOdds
from lottery.method.odds import AccountOdds, Chance, NumbersHitFirst
from lottery.method.random_draw import RandomDrawOdds
from lottery.operations import NamedOdds, SeriesOdds
from lottery.v1 import lottery_service_pb2 as pb


def odds_of(response: pb.GetOddsResponse) -> SeriesOdds:
    """The odds in a pool."""
    return SeriesOdds(
        occ_account=response.occ_account,
        series=response.series,
        method=response.method,
        account_order=response.account_order,
        zero_hit=response.zero_hit,
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
            NamedOdds(account=account.account, odds=_account(account))
            for account in response.accounts
        ),
    )


def _account(account: pb.AccountOdds) -> AccountOdds:
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
