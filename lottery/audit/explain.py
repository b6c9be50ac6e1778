"""Explain a recorded pool: its working, step by step as the published example shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import NotInRun, quote
from lottery.ledger import evidence
from lottery.ledger.continuing import drawn_positions
from lottery.ledger.run_record import RunRecord
from lottery.method.distribution import NumberRange, continued_number, numbers_hit, ranges_hit
from lottery.method.seed import DENOMINATOR, Seed

Reader = Callable[[str, pc.Expression | None], pa.Table]
"""Reads a table of a run's evidence, by its name and which rows; None for all."""

Row = dict[str, Any]
"""A row of a table, by column."""

ACCOUNTS_SHOWN: Final = 1_000
"""Maximum number of accounts of a working; of a larger pool, those that were hit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountWorking:
    """One account of a pool: its range, and its numbers hit in the order of assignment.

    In a break both numbers of the range are 0.
    """

    account: str
    short_quantity: int
    first_number: int
    last_number: int
    assigned_quantity: int
    numbers_hit: tuple[NumberRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWorking:
    """A pool's working.

    Attributes:
        product: Fraction times total short, exact, as text; D1 removes its decimals.
        assigned_before: What earlier cycles of the date assigned from the first hit on (P6).
        first_hit: The first number hit on the date; None for a break.
        ranges: All numbers hit, in the order of assignment: a second one is the wrap (D4).
        accounts: The accounts in account order: at most `ACCOUNTS_SHOWN`, or the one asked for.
        accounts_left_out: How many other accounts the pool has.
    """

    run: str
    business_date: str
    method: str
    zero_hit: str
    seed: Seed
    occ_account: str
    series: str
    notice_count: int
    assigned_quantity: int
    total_short: int
    assigned_before: int
    account_count: int
    hit_account_count: int
    product: str
    first_hit: int | None
    break_reason: str | None
    ranges: tuple[NumberRange, ...]
    accounts: tuple[AccountWorking, ...]
    accounts_left_out: int

    @property
    def wraps(self) -> bool:
        """Whether the assignment continues from number 1 after the last number (D4)."""
        return len(self.ranges) > 1

    @property
    def is_zero_hit(self) -> bool:
        """Whether the product is below one, so that D2 decides the first hit."""
        return self.break_reason is None and self.product.startswith("0")


def explain_pool(
    record: RunRecord, read: Reader, series: str, occ_account: str | None
) -> PoolWorking:
    """Return the working of one pool of a run.

    Args:
        record: The run.
        read: Reads a table of its evidence.
        series: The padded symbol.
        occ_account: The pool's OCC account; None if the series has one pool only.

    Raises:
        NotInRun: The run has no such pool, or several and `occ_account` names none.
    """
    pools = pools_of(record, read, series=series, occ_account=occ_account).to_pylist()
    if len(pools) > 1:
        names = ", ".join(quote(pool["occ_account"]) for pool in pools)
        raise NotInRun(
            f"run {record.run} has several pools of series {quote(series)}; "
            f"name one of the OCC accounts {names}"
        )
    (pool,) = pools
    if pool["break_reason"] is not None:
        rows = drawn_positions(record, read, pc.field("series") == series)
        rows = rows.filter(pc.field("occ_account") == pool["occ_account"])
    else:
        wanted = evidence.matching(series=series, occ_account=pool["occ_account"])
        rows = read(evidence.ALLOCATIONS_FILE, wanted)
        if rows.num_rows > ACCOUNTS_SHOWN:
            rows = rows.filter(pc.greater(rows.column("assigned_quantity"), 0))
    return pool_working(record, pool, rows.slice(0, ACCOUNTS_SHOWN).to_pylist())


def explain_account(record: RunRecord, read: Reader, account: str) -> Iterator[PoolWorking]:
    """Yield the working of every pool that an account is in, with that account alone.

    Raises:
        NotInRun: The account is in no assigned pool of the run.
    """
    of_account = pc.field("account") == account
    drawn = drawn_positions(record, read, of_account)
    rows_of = {
        (row["occ_account"], row["series"]): row
        for rows in (drawn, read(evidence.ALLOCATIONS_FILE, of_account))
        for row in rows.to_pylist()
    }
    if not rows_of:
        raise NotInRun(f"account {quote(account)} is in no pool of run {record.run}")
    series = sorted({series for _, series in rows_of})
    pools = read(evidence.POOLS_FILE, pc.field("series").isin(series))
    for pool in pools.sort_by([("occ_account", "ascending"), ("series", "ascending")]).to_pylist():
        row = rows_of.get((pool["occ_account"], pool["series"]))
        if row is not None:
            yield pool_working(record, pool, [row])


def pools_of(
    record: RunRecord, read: Reader, *, series: str | None = None, occ_account: str | None = None
) -> pa.Table:
    """Return the pools of a run, all or those of a series or an OCC account.

    Args:
        record: The run.
        read: Reads a table of its evidence.
        series: The padded symbol; None for every series.
        occ_account: The OCC account; None for every one.

    Returns:
        `tables.POOLS`.

    Raises:
        NotInRun: The run has no such pool.
    """
    wanted = {"series": series, "occ_account": occ_account}
    where = evidence.matching(**wanted)
    pools = read(evidence.POOLS_FILE, where)
    if where is not None and not pools.num_rows:
        raise not_in_run(record, "pool", **wanted)
    return pools


def not_in_run(record: RunRecord, what: str, **wanted: str | None) -> NotInRun:
    """Return the error of a run that has none of what was asked for, by column."""
    names = {"occ_account": "OCC account"}
    of = ", ".join(
        f"{names.get(name, name)} {quote(value)}"
        for name, value in wanted.items()
        if value is not None
    )
    return NotInRun(f"run {record.run} has no {what} of {of}")


def pool_working(record: RunRecord, pool: Row, shown: Sequence[Row]) -> PoolWorking:
    """Return the working of one pool, with the accounts to show.

    Args:
        record: The run.
        pool: The pool's row of `tables.POOLS`.
        shown: Rows of `tables.ALLOCATIONS`, or of `tables.POSITIONS` for a break.
    """
    allocated = pool["break_reason"] is None
    figures = {name: pool[name] for name in ("assigned_quantity", "total_short")}
    if allocated:
        figures["first_hit"] = continued_number(
            pool["first_hit"], pool["assigned_before"], pool["total_short"]
        )
    return PoolWorking(
        run=record.run,
        business_date=record.business_date.isoformat(),
        method=record.method.id,
        zero_hit=record.method.decisions["zero_hit"],
        seed=record.seed,
        product=exact_product(record.seed.ten_thousandths, pool["total_short"]),
        ranges=tuple(ranges_hit(**figures)) if allocated else (),
        accounts=tuple(_account(row, figures if allocated else None) for row in shown),
        accounts_left_out=pool["account_count"] - len(shown),
        **pool,
    )


def exact_product(ten_thousandths: int, total_short: int) -> str:
    """Return fraction times total as decimal text without trailing zeros, as `28.041` (D1)."""
    whole, rest = divmod(ten_thousandths * total_short, DENOMINATOR)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def _account(row: Row, figures: dict[str, Any] | None) -> AccountWorking:
    hit: list[NumberRange] = []
    if figures is not None:
        owned = NumberRange(first_number=row["first_number"], last_number=row["last_number"])
        hit = numbers_hit(owned, **figures)
    return AccountWorking(
        account=row["account"],
        short_quantity=row["short_quantity"],
        first_number=row.get("first_number", 0),
        last_number=row.get("last_number", 0),
        assigned_quantity=row.get("assigned_quantity", 0),
        numbers_hit=tuple(hit),
    )
