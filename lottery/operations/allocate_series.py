"""Questions that record nothing: a seed, one pool."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lottery.day.identifiers import describe_account, describe_occ_account, is_occ_account
from lottery.day.single_pool import AllocatedPool, ArrangedPool, allocate_pool, arrange_pool
from lottery.day.tables import INT64_MAX
from lottery.errors import Problem, Problems, Refused
from lottery.intake import files
from lottery.intake.columns import shorten
from lottery.intake.sources import Place, ReceivedVolumes
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import ExchangeAsk, RuleWarning, Seed
from lottery.operations.validation import (
    check_date,
    checked_series,
    derive_seed_of,
    refuse_doubled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedSeed:
    """A seed as it goes on the record, and what is worth a look."""

    seed: Seed
    warnings: tuple[RuleWarning, ...]


def read_seed(path: Path, methodology: Methodology = JPMS_2024_09_06) -> Seed:
    """Every step of the seed of a file of volumes; records nothing.

    Raises:
        Refused: The file or an ask in it is wrong.
    """
    problems = Problems()
    volumes = files.read_volumes(path, methodology.securities, problems)
    return seed_of(volumes, methodology)


def seed_of(volumes: ReceivedVolumes, methodology: Methodology = JPMS_2024_09_06) -> Seed:
    """Every step of the seed of ask prices as received; records nothing.

    Raises:
        Refused: An ask or the set of them is wrong; problems say their places in the source.
    """
    problems = volumes.place.problems
    seed = derive_seed_of(volumes, methodology, problems)
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    return seed


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """One pool by its rows.

    Attributes:
        accounts: Account numbers, one a row.
        shorts: Contracts short, beside `accounts`.
        problems: What was found wrong before.
    """

    series: str
    occ_account: str
    assigned_quantity: int
    accounts: Sequence[str]
    shorts: Sequence[int]
    methodology: Methodology = JPMS_2024_09_06
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest(PoolRequest):
    """One pool to allocate without recording it."""

    business_date: dt.date
    asks: Sequence[ExchangeAsk]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAllocation:
    """One pool allocated: its seed, its padded series and its accounts in order."""

    seed: Seed
    series: str
    pool: AllocatedPool


def allocate_series(request: SeriesRequest) -> SeriesAllocation:
    """Allocates one pool; records nothing.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
        PoolBroken: The pool is a break (D5).
    """
    problems = request.problems
    check_date(request.business_date, request.methodology, problems)
    seed = derive_seed_of(
        ReceivedVolumes(
            asks=tuple(request.asks),
            sources=(),
            place=Place(source="exchange_asks", problems=problems),
        ),
        request.methodology,
        problems,
    )
    series, pool = arranged_pool(request)
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    try:
        allocated = allocate_pool(
            pool,
            request.shorts,
            assigned_quantity=request.assigned_quantity,
            ten_thousandths=seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except OverflowError as error:
        problems.add(too_short(str(error)))
        raise Refused(problems) from error
    return SeriesAllocation(seed=seed, series=series, pool=allocated)


def arranged_pool(request: PoolRequest) -> tuple[str, ArrangedPool]:
    """The padded series and the rows in order; what is wrong goes to the request's problems."""
    problems = request.problems
    place = Place(source="positions", problems=problems)
    series = request.series
    try:
        series = checked_series(series)
    except Refused as error:
        problems.add(error.problems[0])
    if not is_occ_account(request.occ_account):
        problems.add(
            Problem(source="occ_account", message=describe_occ_account(request.occ_account))
        )
    if not 1 <= request.assigned_quantity <= INT64_MAX:
        message = f"{request.assigned_quantity} is no quantity: at least 1 is expected"
        problems.add(Problem(source="assigned_quantity", message=message))
    if min(request.shorts, default=0) < 0:
        for row, short in enumerate(request.shorts):
            if short < 0:
                place.refuse_row(row, f"{short} is negative", column="short_quantity", rule="P2")
    order = request.methodology.account_order
    pool = arrange_pool(request.accounts, order)
    if pool.wrong_accounts.size:
        place.refuse_rows(
            pool.wrong_accounts,
            lambda row: describe_account(shorten(request.accounts[row]), order),
            column="account",
            rule="R2",
        )
    for doubled in pool.doubled:
        refuse_doubled(
            place,
            doubled.row,
            request.accounts[doubled.row],
            request.accounts[doubled.first_row],
            f"row {place.row(doubled.first_row)}",
        )
    return series, pool


def too_short(message: str) -> Problem:
    """A pool that is short more than there are numbers for."""
    return Problem(source="positions", message=message, column="short_quantity", rule="R3")
