"""What is wrong with a request beyond its columns: the date, the seed, doubled rows, accounts.

Everything goes to the collector of the request; nothing is raised here.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.arrange import Arrangement
from lottery.day.identifiers import describe_account, padded_series
from lottery.errors import METHOD_NOT_IN_FORCE, Problem, Problems, Refused
from lottery.intake.columns import shorten
from lottery.intake.sources import Place, Received, ReceivedVolumes
from lottery.method.methodology import AccountOrder, Methodology, Security
from lottery.method.seed import ExchangeAsk, Seed, derive_seed

CYCLES: Final = 999
"""Cycles of a date at most."""
_POOL: Final = ("occ_account", "series")
_SUMMED: Final = 2.0**62


def check_date(business_date: dt.date, methodology: Methodology, problems: Problems) -> None:
    """Refuses a date before the method is in force (F1)."""
    if business_date < methodology.effective:
        problems.add(
            Problem(
                source="business_date",
                message=f"{business_date} is before {methodology.effective}, when the method "
                f"{methodology.id} came into force",
                rule="F1",
                reason=METHOD_NOT_IN_FORCE,
            )
        )


def derive_seed_of(
    volumes: ReceivedVolumes, methodology: Methodology, problems: Problems
) -> Seed | None:
    """The seed, or None and its problems with their places in the source."""
    place = volumes.place
    if not volumes.asks and problems.counts.get(place.source):
        return None  # The file itself was refused: that nothing is in it goes without saying.
    try:
        return _known_seed(volumes.asks, methodology.securities, place.source)
    except Refused as error:
        for problem in error.problems:
            row = None if problem.row is None else place.row(problem.row - 1)
            line = None if row is None else place.line(row)
            problems.add(replace(problem, row=row, line=line))
        return None


@functools.lru_cache(maxsize=64)
def _known_seed(
    asks: tuple[ExchangeAsk, ...], securities: tuple[Security, ...], source: str
) -> Seed:
    """`derive_seed`, remembered: a date has one seed, and a server is asked for it all day."""
    return derive_seed(asks, securities, source=source)


def refuse_doubled_notices(notices: Received) -> None:
    """One notice id stands once within its OCC account."""
    if pc.count_distinct(notices.table.column("notice_id")).as_py() == notices.table.num_rows:
        return
    first_of: dict[tuple[str, str], int] = {}
    columns = (
        notices.table.column(name).cast(pa.string()).to_pylist()
        for name in ("occ_account", "notice_id")
    )
    for index, notice in enumerate(zip(*columns, strict=True)):
        first = first_of.setdefault(notice, index)
        if first != index and notice[1]:
            place, row = notices.place_of(index)
            first_place, first_row = notices.place_of(first)
            place.refuse_row(
                row,
                f"the notice {pool_name(*notice)} stands on row {first_place.row(first_row)} of "
                f"{first_place.source} already",
                column="notice_id",
            )


def refuse_doubled_pools(occ_positions: Received) -> None:
    """OCC reports a pool once, and no more than can be added up."""
    table = occ_positions.table
    # Near enough: a sum of 64 bits would wrap.
    figures = table.column("short_quantity").cast(pa.float64(), safe=False)
    if (pc.sum(figures).as_py() or 0) > _SUMMED:
        message = "the figures add up to more than 64 bits hold"
        occ_positions.places[0].refuse(message, column="short_quantity")
    plain = pa.table({name: table.column(name).cast(pa.string()) for name in _POOL})
    if plain.group_by(list(_POOL)).aggregate([]).num_rows == table.num_rows:
        return
    first_of: dict[tuple[str, str], int] = {}
    columns = (plain.column(name).to_pylist() for name in _POOL)
    for index, pool in enumerate(zip(*columns, strict=True)):
        first = first_of.setdefault(pool, index)
        if first != index:
            place, row = occ_positions.place_of(index)
            first_place, first_row = occ_positions.place_of(first)
            place.refuse_row(
                row,
                f"OCC reports the pool {pool_name(*pool)} on row {first_place.row(first_row)} of "
                f"{first_place.source} already",
                column="series",
            )


def refuse_accounts(positions: Received, arrangement: Arrangement, order: AccountOrder) -> None:
    """Refuses rows whose account is none (R2), and rows that repeat one of their pool (P4, R2)."""
    accounts = positions.table.column("account")
    for index in arrangement.wrong_accounts:
        place, row = positions.place_of(int(index))
        text = accounts[int(index)].cast(pa.binary()).as_py().decode("utf-8", "replace")
        place.refuse_row(row, describe_account(shorten(text), order), column="account", rule="R2")
    for doubled in arrangement.doubled:
        place, row = positions.place_of(doubled.row)
        first_place, first_row = positions.place_of(doubled.first_row)
        refuse_doubled(
            place,
            row,
            accounts[doubled.row].as_py(),
            accounts[doubled.first_row].as_py(),
            f"row {first_place.row(first_row)}"
            + (f" of {first_place.source}," if first_place.source != place.source else ""),
        )


def refuse_doubled(place: Place, index: int, account: str, first: str, where: str) -> None:
    """Refuses a row whose account stands already, alike (P4) or in another spelling (R2)."""
    if account == first:
        message, rule = f"account {account} is on {where} in this pool already", "P4"
    else:
        message = f"account {account} is the number of {first} on {where} in another spelling"
        rule = "R2"
    place.refuse_row(index, message, column="account", rule=rule)


def checked_series(symbol: str) -> str:
    """The padded form of a series.

    Raises:
        Refused: The text is no OSI symbol.
    """
    try:
        return padded_series(symbol)
    except ValueError as error:
        raise Refused([Problem(source="series", message=str(error))]) from error


def pool_name(occ_account: str, series: str) -> str:
    """What people call a pool."""
    return f"{occ_account} {series}".strip()
