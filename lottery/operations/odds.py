"""What a pool's accounts have to expect before the day's fraction is known; records nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import EXCEEDS_SHORT, NO_POSITION
from lottery.day.arrange import arrange
from lottery.day.tables import INT64_MAX, NOTICES
from lottery.errors import LimitExceeded, PoolBroken, Problem, Problems, Refused
from lottery.intake import files
from lottery.intake.columns import shorten
from lottery.intake.memory import MemoryLimit
from lottery.intake.sources import Received
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.odds import AccountOdds, NumbersHitFirst, pool_odds
from lottery.method.random_draw import FIGURES
from lottery.operations.allocate_series import PoolRequest, arranged_pool, too_short
from lottery.operations.validation import checked_series, refuse_accounts

ACCOUNTS_AT_ONCE: Final = 100_000
"""Accounts of one answer at most; a single account can be asked for in any pool."""

_LEAST_PLAIN: Final = Decimal("1E-6")
_FIGURES: Final = Context(prec=FIGURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsRequest(PoolRequest):
    """One pool whose odds are asked for.

    Attributes:
        account: Only this account, digit by digit; empty asks for all.
    """

    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOdds:
    """An account and its chances."""

    account: str
    odds: AccountOdds


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOdds:
    """The odds in one pool.

    Attributes:
        series: The padded symbol.
        method: The method's id; with `account_order` and `zero_hit` the choices of R2 and D2.
        account_count: Accounts with an open position.
        never_first: Numbers that no fraction hits first.
        evenness: How evenly the numbers are hit first.
        accounts: The accounts asked for, in order (R1).
    """

    occ_account: str
    series: str
    method: str
    account_order: str
    zero_hit: str
    assigned_quantity: int
    total_short: int
    account_count: int
    never_first: int
    evenness: tuple[NumbersHitFirst, ...]
    accounts: tuple[NamedOdds, ...]


def series_odds(request: OddsRequest) -> SeriesOdds:
    """The odds in one pool of its rows; records nothing.

    Raises:
        Refused: Something in the request is wrong, or the account has no open position in the pool.
        PoolBroken: The pool would be a break (D5).
        LimitExceeded: There are more than `ACCOUNTS_AT_ONCE` accounts, and none is named.
    """
    series, arranged = arranged_pool(request)
    request.problems.refuse_if_any()
    order = (arranged.keys & ((1 << arranged.index_bits) - 1)).tolist()
    rows = [row for row in order if request.shorts[row]]
    shorts = [request.shorts[row] for row in rows]
    total_short = sum(shorts)
    if total_short > INT64_MAX:
        raise Refused([too_short(f"the shorts add up to more than {INT64_MAX}")])
    if request.assigned_quantity > total_short:
        raise PoolBroken(
            EXCEEDS_SHORT if total_short else NO_POSITION,
            assigned_quantity=request.assigned_quantity,
            total_short=total_short,
        )
    odds = pool_odds(
        shorts,
        assigned_quantity=request.assigned_quantity,
        zero_hit=request.methodology.zero_hit,
        only=_places(request, rows),
    )
    return SeriesOdds(
        occ_account=request.occ_account,
        series=series,
        method=request.methodology.id,
        account_order=request.methodology.account_order.value,
        zero_hit=request.methodology.zero_hit.value,
        assigned_quantity=request.assigned_quantity,
        total_short=total_short,
        account_count=len(rows),
        never_first=odds.first_hits.never_first,
        evenness=odds.first_hits.evenness,
        accounts=tuple(
            NamedOdds(account=request.accounts[rows[place]], odds=account)
            for place, account in odds.accounts.items()
        ),
    )


def read_pool(
    path: Path,
    *,
    series: str,
    occ_account: str | None,
    assigned_quantity: int,
    account: str = "",
    methodology: Methodology = JPMS_2024_09_06,
    memory: MemoryLimit | None = None,
) -> OddsRequest:
    """One pool of a positions file, which is refused for whatever a run would refuse it for.

    Args:
        path: The file.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None where the series has one pool only in the file.
        assigned_quantity: Contracts assigned.
        account: Only this account; empty asks for all.
        methodology: The method with its decisions.
        memory: What reading the file may take.

    Raises:
        LimitExceeded: The file would take more.
        Refused: The file or the series is wrong, or the series has several pools and none is named.
    """
    series = checked_series(series)
    problems = Problems()
    if occ_account is None:
        positions = files.read_positions(path, problems, memory=memory)
        occ_account = _only_occ_account(positions, series, problems)
        notices = _notice_of(occ_account, series)
    else:
        notices = _notice_of(occ_account, series)
        positions = files.read_positions_of(
            Received(table=notices, sources=(), places=()), path, problems, memory=memory
        )
    arrangement = arrange(notices, positions.table, methodology.account_order)
    refuse_accounts(positions, arrangement, methodology.account_order)
    problems.refuse_if_any()
    first, last = arrangement.starts.tolist()
    places = arrangement.keys[first:last] & np.int64((1 << arrangement.index_bits) - 1)
    rows = positions.table.take(pa.array(arrangement.rows[first + places]))
    return OddsRequest(
        series=series,
        occ_account=occ_account,
        assigned_quantity=assigned_quantity,
        accounts=rows.column("account").to_pylist(),
        shorts=rows.column("short_quantity").to_pylist(),
        account=account,
        methodology=methodology,
    )


def decimal_text(figure: Fraction | Decimal) -> str:
    """A figure as decimal text, with 20 significant figures at most."""
    with localcontext(_FIGURES):
        if isinstance(figure, Fraction):
            figure = Decimal(figure.numerator) / Decimal(figure.denominator)
        figure = figure.normalize()
    plain = not figure or abs(figure) >= _LEAST_PLAIN
    return f"{figure:f}" if plain else str(figure)


def _places(request: OddsRequest, rows: list[int]) -> list[int] | None:
    """Where in the pool the account asked for stands; None asks for all."""
    if request.account:
        found = [
            place for place, row in enumerate(rows) if request.accounts[row] == request.account
        ]
        if not found:
            message = f"{shorten(request.account)!r} has no open position in the pool"
            raise Refused([Problem(source="account", message=message)])
        return found
    if len(rows) > ACCOUNTS_AT_ONCE:
        raise LimitExceeded(
            f"the pool has {len(rows)} accounts; {ACCOUNTS_AT_ONCE} are the limit of one answer: "
            "name one",
            limit=f"accounts_at_once={ACCOUNTS_AT_ONCE}",
        )
    return None


def _only_occ_account(positions: Received, series: str, problems: Problems) -> str:
    """The OCC account of the series' one pool; several of them are a problem."""
    of_series = positions.table.filter(pc.field("series") == series).column("occ_account")
    found = sorted(of_series.unique().cast(pa.string()).to_pylist())
    if len(found) > 1:
        names = ", ".join(repr(name) for name in found)
        message = f"{series!r} has positions of several OCC accounts; name one of {names}"
        problems.add(Problem(source="occ_account", message=message))
    return found[0] if found else ""


def _notice_of(occ_account: str, series: str) -> pa.Table:
    """`tables.NOTICES` with one notice of the pool: it tells the readers which rows matter."""
    return pa.table(
        {
            "notice_id": ["odds"],
            "series": [series],
            "quantity": [1],
            "occ_account": [occ_account],
        },
        NOTICES,
    )
