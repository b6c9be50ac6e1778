"""`lottery odds`: what a pool's accounts have to expect before the fraction is known."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from lottery import operations
from lottery.cli import text
from lottery.cli.backend import memory_limit, open_backend
from lottery.cli.options import (
    AccountOrderOption,
    OccAccountOption,
    PositionsOption,
    ZeroHitOption,
    methodology_of,
    read_series,
)
from lottery.cli.session import Session, command
from lottery.operations import NamedOdds, SeriesOdds, decimal_text
from lottery.operations.explain import wording
from lottery.operations.inputs import AccountOrder, ZeroHit
from lottery.operations.odds import LOT_LIMIT, OccWheelOdds, RandomDrawOdds
from lottery.operations.seed import DENOMINATOR

_LEAST_PERCENT: Final = Fraction(1, DENOMINATOR)


@command
def odds(
    session: Session,
    positions: PositionsOption,
    series: Annotated[str, typer.Option(help="The series: its padded or compact OSI symbol.")],
    quantity: Annotated[int, typer.Option(min=1, help="Contracts assigned to the pool.")],
    occ_account: OccAccountOption = None,
    account: Annotated[
        str | None, typer.Option(help="Only this account, with its chance of each quantity.")
    ] = None,
    account_order: AccountOrderOption = AccountOrder.NUMERIC,
    zero_hit: ZeroHitOption = ZeroHit.WRAP,
) -> None:
    """Show each account's exact chances in a pool, over all 10,000 fractions; record nothing.

    For comparison, the chances are shown under a random draw contract by contract and under OCC's
    own wheel of 25 as well.

    Exit codes: 0 done, 2 wrong usage, 3 input refused, 4 the pool would be a break, 75 try again
    later.
    """
    read_series(series)
    with open_backend(session) as backend, session.progress() as step:
        step("reading the positions")
        request = operations.read_pool(
            positions,
            series=series,
            occ_account=occ_account,
            assigned_quantity=quantity,
            account=account or "",
            memory=memory_limit(),
            methodology=methodology_of(account_order, zero_hit),
        )
        step("counting the fractions")
        found = backend.pool_odds(request)
    session.show(
        _document(found), lambda console: _show(console, found, with_chances=account is not None)
    )


def _document(found: SeriesOdds) -> dict[str, Any]:
    """The odds as JSON values; figures are texts, exact and as decimals."""
    return {
        "occ_account": found.occ_account,
        "series": found.series,
        "method": found.method,
        "account_order": found.account_order,
        "zero_hit": found.zero_hit,
        "assigned_quantity": found.assigned_quantity,
        "total_short": found.total_short,
        "account_count": found.account_count,
        "never_first": found.never_first,
        "evenness": [
            {"fraction_count": numbers.fraction_count, "number_count": numbers.number_count}
            for numbers in found.evenness
        ],
        "accounts": [_account_document(named) for named in found.accounts],
    }


def _account_document(named: NamedOdds) -> dict[str, Any]:
    odds = named.odds
    return {
        "account": named.account,
        "short_quantity": odds.short_quantity,
        "first_number": odds.owned.first_number,
        "last_number": odds.owned.last_number,
        "none": _of_fractions(odds.none_count),
        "full": _of_fractions(odds.full_count),
        "mean": _figure(odds.mean),
        "variance": _figure(odds.variance),
        "share_quantity": _figure(odds.share_quantity),
        "mean_less_share": _figure(odds.mean_less_share),
        "chances": [
            {
                "assigned_quantity": chance.assigned_quantity,
                **_of_fractions(chance.fraction_count),
            }
            for chance in odds.chances
        ],
        "random_draw": _compared(odds.random_draw),
        "occ_wheel": None if odds.occ_wheel is None else _compared(odds.occ_wheel),
    }


def _compared(odds: RandomDrawOdds | OccWheelOdds) -> dict[str, Any]:
    return {
        "none": _figure(odds.none),
        "full": _figure(odds.full),
        "mean": _figure(odds.mean),
        "variance": _figure(odds.variance),
    }


def _of_fractions(count: int) -> dict[str, str]:
    """A chance as its count of the 10,000 fractions, as `153/10000`, and as decimals."""
    chance = Fraction(count, DENOMINATOR)
    return {"fraction": f"{count}/{DENOMINATOR}", "decimal": decimal_text(chance)}


def _figure(figure: Fraction | Decimal) -> dict[str, str]:
    """A figure as decimals, and exactly where it is a fraction."""
    exact = {"fraction": str(figure)} if isinstance(figure, Fraction) else {}
    return {**exact, "decimal": decimal_text(figure)}


def _show(console: Console, found: SeriesOdds, *, with_chances: bool) -> None:
    of = f", OCC account {found.occ_account}" if found.occ_account else ""
    console.print(f"Odds in series {found.series}{of}", style="bold")
    console.print(
        f"{found.assigned_quantity:,} assigned of {found.total_short:,} contracts short in "
        f"{found.account_count:,} account{'s' if found.account_count != 1 else ''}; "
        f"method {found.method}, account_order {found.account_order}, zero_hit {found.zero_hit}"
    )
    _show_method(console, found)
    if with_chances:
        _show_chances(console, found)
    _show_comparison(console, found)
    _show_nature(console, found)


def _show_method(console: Console, found: SeriesOdds) -> None:
    console.print("\nBy the method, all 10,000 fractions counted", style="bold")
    numbers = ("short", "none", "full", "mean", "mean - share", "variance")
    made = text.table("account", "short", "numbers", *numbers[1:], right=numbers)
    for named in found.accounts[: text.ROWS_SHOWN]:
        odds = named.odds
        made.add_row(
            named.account,
            f"{odds.short_quantity:,}",
            wording.number_range(odds.owned),
            _percent(odds.none),
            _percent(odds.full),
            _rounded(odds.mean),
            _signed(odds.mean_less_share),
            _rounded(odds.variance),
        )
    console.print(made)
    if len(found.accounts) > text.ROWS_SHOWN:
        console.print(f"and {len(found.accounts) - text.ROWS_SHOWN:,} more; --json has all")


def _show_chances(console: Console, found: SeriesOdds) -> None:
    for named in found.accounts:
        console.print(f"\nWhat {named.account} is assigned", style="bold")
        made = text.table(
            "assigned", "chance", "fractions", right=("assigned", "chance", "fractions")
        )
        for chance in named.odds.chances[: text.ROWS_SHOWN]:
            made.add_row(
                f"{chance.assigned_quantity:,}",
                _percent(Fraction(chance.fraction_count, DENOMINATOR)),
                f"{chance.fraction_count:,} of 10,000",
            )
        console.print(made)
        if len(named.odds.chances) > text.ROWS_SHOWN:
            console.print(f"and {len(named.odds.chances) - text.ROWS_SHOWN:,} more; --json has all")


def _show_comparison(console: Console, found: SeriesOdds) -> None:
    console.print("\nFor comparison, and the same mean for both: its share", style="bold")
    drawn = ("drawn: none", "full", "variance")
    wheel = ("wheel: none", "full", "variance")
    made = text.table("account", "share", *drawn, *wheel, right=("share", *drawn, *wheel))
    for named in found.accounts[: text.ROWS_SHOWN]:
        odds = named.odds
        made.add_row(
            named.account,
            _rounded(odds.share_quantity),
            *_compared_cells(odds.random_draw),
            *_compared_cells(odds.occ_wheel),
        )
    console.print(made)
    console.print(
        "Drawn: each contract by itself. Wheel: OCC's own standard procedure, increments of 25 "
        "from a random start, with this pool's accounts on it."
    )
    if any(named.odds.occ_wheel is None for named in found.accounts):
        console.print(f"The wheel is worked out for up to {LOT_LIMIT:,} increments.")


def _compared_cells(odds: RandomDrawOdds | OccWheelOdds | None) -> tuple[str, str, str]:
    if odds is None:
        return "-", "-", "-"
    return _percent(Fraction(odds.none)), _percent(Fraction(odds.full)), _rounded(odds.variance)


def _show_nature(console: Console, found: SeriesOdds) -> None:
    """What the method does by its nature, in figures of this pool."""
    own = Fraction(sum(named.odds.variance for named in found.accounts))
    drawn = Fraction(sum(named.odds.random_draw.variance for named in found.accounts))
    wheels = [named.odds.occ_wheel for named in found.accounts]
    wheel = Fraction(sum(odds.variance for odds in wheels if odds is not None))
    console.print()
    if drawn:
        beside = f", and {_decimal(own / wheel):,.1f} times that on OCC's wheel" if wheel else ""
        console.print(
            "An account's numbers stand together, and so do the contracts assigned: that "
            f"concentrates. The variance is {_decimal(own / drawn):,.1f} times that of a draw "
            f"contract by contract{beside}."
        )
    least, most = found.evenness[0].fraction_count, found.evenness[-1].fraction_count
    if found.never_first:
        reached = found.total_short - found.never_first
        console.print(
            f"{found.never_first:,} of the {found.total_short:,} numbers can never be the first "
            f"hit: 10,000 fractions reach {reached:,}."
        )
    else:
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        console.print(f"Each number is the first hit of {span} of the 10,000 fractions.")


def _percent(chance: Fraction) -> str:
    """A chance in percent with two decimals; 0% and 100% are exactly that."""
    if chance in {0, 1}:
        return f"{int(chance) * 100}%"
    if chance < _LEAST_PERCENT / 2:
        return "<0.01%"
    if chance > 1 - _LEAST_PERCENT / 2:
        return ">99.99%"
    return f"{_decimal(chance * 100):.2f}%"


def _rounded(figure: Fraction) -> str:
    return f"{_decimal(figure):,.4f}" if figure < DENOMINATOR else f"{_decimal(figure):,.0f}"


def _signed(figure: Fraction) -> str:
    """A small difference, with two significant figures."""
    if not figure:
        return "0"
    decimal = _decimal(figure)
    return f"{round(decimal, 1 - decimal.adjusted()):+,f}"


def _decimal(figure: Fraction) -> Decimal:
    return Decimal(figure.numerator) / Decimal(figure.denominator)
