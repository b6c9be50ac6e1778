"""Odds to the wire; what comes in is converted by `convert`."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from lottery.method.occ_wheel import OccWheelOdds
from lottery.method.random_draw import RandomDrawOdds
from lottery.operations import NamedOdds, SeriesOdds, decimal_text
from lottery.v1 import lottery_service_pb2 as pb


def from_series_odds(found: SeriesOdds) -> pb.GetOddsResponse:
    """The odds in a pool as an answer."""
    return pb.GetOddsResponse(
        occ_account=found.occ_account,
        series=found.series,
        method=found.method,
        account_order=found.account_order,
        zero_hit=found.zero_hit,
        assigned_quantity=found.assigned_quantity,
        total_short=found.total_short,
        account_count=found.account_count,
        never_first=found.never_first,
        evenness=[
            pb.NumbersHitFirst(
                fraction_count=numbers.fraction_count, number_count=numbers.number_count
            )
            for numbers in found.evenness
        ],
        accounts=map(_account, found.accounts),
    )


def _account(named: NamedOdds) -> pb.AccountOdds:
    odds = named.odds
    return pb.AccountOdds(
        account=named.account,
        short_quantity=odds.short_quantity,
        first_number=odds.owned.first_number,
        last_number=odds.owned.last_number,
        none_count=odds.none_count,
        full_count=odds.full_count,
        chances=[
            pb.Chance(
                assigned_quantity=chance.assigned_quantity, fraction_count=chance.fraction_count
            )
            for chance in odds.chances
        ],
        mean=_figure(odds.mean),
        variance=_figure(odds.variance),
        share_quantity=_figure(odds.share_quantity),
        mean_less_share=_figure(odds.mean_less_share),
        random_draw=_compared(odds.random_draw),
        occ_wheel=None if odds.occ_wheel is None else _compared(odds.occ_wheel),
    )


def _compared(odds: RandomDrawOdds | OccWheelOdds) -> pb.ComparedOdds:
    return pb.ComparedOdds(
        none=_figure(odds.none),
        full=_figure(odds.full),
        mean=_figure(odds.mean),
        variance=_figure(odds.variance),
    )


def _figure(figure: Fraction | Decimal) -> pb.Figure:
    fraction = str(figure) if isinstance(figure, Fraction) else ""
    return pb.Figure(fraction=fraction, decimal=decimal_text(figure))
