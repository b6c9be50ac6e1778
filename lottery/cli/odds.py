"""`lottery odds`: what a pool's accounts can expect before the fraction is known."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.console import Console

from lottery import operations
from lottery.cli import text
from lottery.cli.backend import open_backend
from lottery.cli.inputs import local_files
from lottery.cli.options import (
    AccountOrderOption,
    ColumnsOption,
    InForceDateOption,
    OccAccountOption,
    PoolOption,
    PositionsOption,
    ZeroHitOption,
    methodology_of,
    read_date_if_any,
    read_series,
)
from lottery.cli.session import Session, command
from lottery.cli.variables import memory_limit
from lottery.operations import NamedOdds, SeriesOdds, decimal_text
from lottery.operations.inputs import AccountOrder, Pooling, ZeroHit
from lottery.operations.odds import INCREMENT_LIMIT, OccWheelOdds, RandomDrawOdds
from lottery.operations.seed import DENOMINATOR
from lottery.operations.workings import wording


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
    date: InForceDateOption = None,
    account_order: AccountOrderOption = AccountOrder.NUMERIC,
    zero_hit: ZeroHitOption = ZeroHit.WRAP,
    pool: PoolOption = Pooling.OCC_ACCOUNT,
    columns: ColumnsOption = None,
) -> None:
    """Show each account's exact chances in a pool, over all 10,000 fractions; record nothing.

    For comparison, the chances are shown under a random draw contract by contract and under OCC's
    own wheel of 25 as well.

    Exit codes: 0 done, 2 wrong usage, 3 input refused, 4 the pool would be a break, 75 try again
    later.
    """
    read_series(series)
    business_date = read_date_if_any(date)
    with (
        local_files(positions, columns) as files,
        open_backend(session) as backend,
        session.progress() as step,
    ):
        step("reading the positions")
        request = operations.read_pool(
            files[positions],
            series=series,
            occ_account=occ_account,
            assigned_quantity=quantity,
            business_date=business_date,
            account=account or "",
            memory=memory_limit(),
            methodology=methodology_of(account_order, pool, zero_hit),
            mappings=operations.read_mapping(files.get(columns or "")),
        )
        step("counting the fractions")
        found = backend.pool_odds(request)
    session.show(
        _document(found), lambda console: _show(console, found, with_chances=account is not None)
    )


def _document(found: SeriesOdds) -> dict[str, Any]:
    """Return the odds as JSON values; figures are texts, exact and as decimals."""
    return {
        **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
        "evenness": [dataclasses.asdict(numbers) for numbers in found.evenness],
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
    return {name: _figure(getattr(odds, name)) for name in ("none", "full", "mean", "variance")}


def _of_fractions(count: int) -> dict[str, str]:
    """Return a chance as its count of the 10,000 fractions, `153/10000`, and as decimals."""
    chance = Fraction(count, DENOMINATOR)
    return {"fraction": f"{count}/{DENOMINATOR}", "decimal": decimal_text(chance)}


def _figure(figure: Fraction | Decimal) -> dict[str, str]:
    """Return a figure as decimals, and exactly if it is a fraction."""
    exact = {"fraction": str(figure)} if isinstance(figure, Fraction) else {}
    return {**exact, "decimal": decimal_text(figure)}


def _show(console: Console, found: SeriesOdds, *, with_chances: bool) -> None:
    pool = f", OCC account {found.occ_account}" if found.occ_account else ""
    console.print(f"Odds in series {found.series}{pool}", style="bold")
    console.print(
        f"{found.assigned_quantity:,} assigned of {found.total_short:,} contracts short in "
        f"{wording.count(found.account_count, 'account')}; "
        f"method {found.method}, account_order {found.account_order}, zero_hit {found.zero_hit}"
    )
    _show_method(console, found)
    if with_chances:
        for named in found.accounts:
            _show_chances(console, named)
    _show_comparison(console, found)
    _show_concentration(console, found)


def _show_method(console: Console, found: SeriesOdds) -> None:
    numbers = ("short", "none", "full", "mean", "mean - share", "variance")
    made = text.table("account", "short", "numbers", *numbers[1:], right=numbers)
    for named in found.accounts[: text.ROWS_SHOWN]:
        odds = named.odds
        made.add_row(
            named.account,
            f"{odds.short_quantity:,}",
            wording.number_range(odds.owned),
            wording.percent(odds.none),
            wording.percent(odds.full),
            _rounded(odds.mean),
            _signed(odds.mean_less_share),
            _rounded(odds.variance),
        )
    text.show_rows(console, "By the method, over all 10,000 fractions", made, len(found.accounts))


def _show_chances(console: Console, named: NamedOdds) -> None:
    columns = ("assigned", "chance", "fractions")
    made = text.table(*columns, right=columns)
    for chance in named.odds.chances[: text.ROWS_SHOWN]:
        made.add_row(
            f"{chance.assigned_quantity:,}",
            wording.percent(Fraction(chance.fraction_count, DENOMINATOR)),
            f"{chance.fraction_count:,} of 10,000",
        )
    text.show_rows(console, f"What {named.account} is assigned", made, len(named.odds.chances))


def _show_comparison(console: Console, found: SeriesOdds) -> None:
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
    title = "For comparison, two procedures whose mean is the share"
    text.show_rows(console, title, made, len(found.accounts))
    console.print(
        "Drawn: each contract by itself. Wheel: OCC's own standard procedure, increments of 25 "
        "from a random start, with this pool's accounts on it."
    )
    if any(named.odds.occ_wheel is None for named in found.accounts):
        console.print(f"The wheel is computed for up to {INCREMENT_LIMIT:,} increments.")


def _compared_cells(odds: RandomDrawOdds | OccWheelOdds | None) -> tuple[str, str, str]:
    if odds is None:
        return "-", "-", "-"
    return wording.percent(odds.none), wording.percent(odds.full), _rounded(odds.variance)


def _show_concentration(console: Console, found: SeriesOdds) -> None:
    """Print how the method concentrates assignments, in figures of this pool."""
    own = Fraction(sum(named.odds.variance for named in found.accounts))
    drawn = Fraction(sum(named.odds.random_draw.variance for named in found.accounts))
    wheels = [named.odds.occ_wheel for named in found.accounts]
    wheel = Fraction(sum(odds.variance for odds in wheels if odds is not None))
    console.print()
    if drawn:
        than_wheel = (
            f", and {wording.decimal(own / wheel, 1)} times that of OCC's wheel" if wheel else ""
        )
        console.print(
            "An account's numbers are consecutive, and so are the contracts assigned, which "
            f"concentrates them: the variance is {wording.decimal(own / drawn, 1)} times that of "
            f"a draw contract by contract{than_wheel}."
        )
    least, most = found.evenness[0].fraction_count, found.evenness[-1].fraction_count
    if found.never_first:
        reached = found.total_short - found.never_first
        console.print(
            f"{found.never_first:,} of the {found.total_short:,} numbers can never be the first "
            f"hit: 10,000 fractions reach {reached:,}."
        )
    else:
        counts = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        console.print(f"Each number is the first hit of {counts} of the 10,000 fractions.")


def _rounded(figure: Fraction) -> str:
    return wording.decimal(figure, 4 if figure < DENOMINATOR else 0)


def _signed(figure: Fraction) -> str:
    """Format a small difference with two significant digits."""
    if not figure:
        return "0"
    decimal = Decimal(figure.numerator) / Decimal(figure.denominator)
    return f"{round(decimal, 1 - decimal.adjusted()):+,f}"
