"""Explain: a recorded pool's working, step by step as the published example shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import NotInRun
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from lottery.method.distribution import NumberRange, numbers_hit, ranges_hit
from lottery.method.seed import DENOMINATOR, Seed

Reader = Callable[[str, pc.Expression | None], pa.Table]
"""Reads a table of a run's evidence: its name, and which rows; None for all."""

Row = dict[str, Any]
"""A row of a table, by its columns."""

ACCOUNTS_SHOWN: Final = 1_000
"""Accounts of a working at most; past it those that were hit come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountWorking:
    """One account of a pool: its range, and its numbers hit in the order of assignment."""

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
        product: Fraction times total short, exact, as text; the decimals are what D1 removes.
        first_hit: The first number hit; None for a break.
        ranges: All numbers hit, in the order of assignment: a second one is the wrap (D4).
        accounts: The accounts in order; at most `ACCOUNTS_SHOWN`, or the one asked for.
        accounts_left_out: How many of the pool's accounts are not among them.
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
        """Whether the assignment goes past the last number and on from number 1 (D4)."""
        return len(self.ranges) > 1

    @property
    def is_zero_hit(self) -> bool:
        """Whether the product is below one, so that D2 decides the first hit."""
        return self.break_reason is None and self.product.startswith("0")


def explain_pool(
    record: RunRecord, read: Reader, series: str, occ_account: str | None
) -> PoolWorking:
    """The working of one pool of a run.

    Args:
        record: The run.
        read: Reads a table of its evidence, by name and by which rows.
        series: The padded symbol.
        occ_account: The pool's OCC account; None where the series has one pool only.

    Raises:
        NotInRun: The run has no such pool, or several and none was named.
    """
    where = pc.field("series") == series
    if occ_account is not None:
        where &= pc.field("occ_account") == occ_account
    pools = read(evidence.POOLS_FILE, where).to_pylist()
    if not pools:
        of = f" of OCC account {occ_account!r}" if occ_account is not None else ""
        raise NotInRun(f"run {record.run} has no pool of series {series!r}{of}")
    if len(pools) > 1:
        names = ", ".join(repr(pool["occ_account"]) for pool in pools)
        raise NotInRun(
            f"run {record.run} has several pools of series {series!r}; "
            f"name one of the OCC accounts {names}"
        )
    (pool,) = pools
    rows = _rows(read, pool)
    if pool["break_reason"] is None and rows.num_rows > ACCOUNTS_SHOWN:
        rows = rows.filter(pc.greater(rows.column("assigned_quantity"), 0))
    return pool_working(record, pool, rows.slice(0, ACCOUNTS_SHOWN).to_pylist())


def explain_account(record: RunRecord, read: Reader, account: str) -> Iterator[PoolWorking]:
    """The workings of every pool that an account is in, with that account alone.

    Raises:
        NotInRun: The account is in no assigned pool of the run.
    """
    rows_of = {
        (row["occ_account"], row["series"]): row
        for name in (evidence.ALLOCATIONS_FILE, evidence.BROKEN_POSITIONS_FILE)
        for row in read(name, pc.field("account") == account).to_pylist()
    }
    if not rows_of:
        raise NotInRun(f"account {account!r} is in no pool of run {record.run}")
    series = sorted({series for _, series in rows_of})
    pools = read(evidence.POOLS_FILE, pc.field("series").isin(series))
    for pool in pools.sort_by([("occ_account", "ascending"), ("series", "ascending")]).to_pylist():
        row = rows_of.get((pool["occ_account"], pool["series"]))
        if row is not None:
            yield pool_working(record, pool, [row])


def pool_working(record: RunRecord, pool: Row, shown: Sequence[Row]) -> PoolWorking:
    """The working of one pool, with the accounts that are to be shown.

    Args:
        record: The run.
        pool: The pool's row of `tables.POOLS`.
        shown: Rows of `tables.ALLOCATIONS`, or of `tables.BROKEN_POSITIONS` for a break.
    """
    allocated = pool["break_reason"] is None
    wheel = {name: pool[name] for name in ("first_hit", "assigned_quantity", "total_short")}
    return PoolWorking(
        run=record.run,
        business_date=record.business_date.isoformat(),
        method=record.method.id,
        zero_hit=record.method.decisions["zero_hit"],
        seed=record.seed,
        product=exact_product(record.seed.ten_thousandths, pool["total_short"]),
        ranges=tuple(ranges_hit(**wheel)) if allocated else (),
        accounts=tuple(_account(row, wheel if allocated else None) for row in shown),
        accounts_left_out=pool["account_count"] - len(shown),
        **pool,
    )


def exact_product(ten_thousandths: int, total_short: int) -> str:
    """Fraction times total as decimal text without idle zeros, as `28.041` (D1)."""
    whole, rest = divmod(ten_thousandths * total_short, DENOMINATOR)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")


def _rows(read: Reader, pool: Row) -> pa.Table:
    """The pool's accounts; a broken pool's have no numbers."""
    where = (pc.field("series") == pool["series"]) & (
        pc.field("occ_account") == pool["occ_account"]
    )
    allocated = pool["break_reason"] is None
    name = evidence.ALLOCATIONS_FILE if allocated else evidence.BROKEN_POSITIONS_FILE
    return read(name, where)


def _account(row: Row, wheel: dict[str, Any] | None) -> AccountWorking:
    if wheel is None:
        return AccountWorking(
            account=row["account"],
            short_quantity=row["short_quantity"],
            first_number=0,
            last_number=0,
            assigned_quantity=0,
            numbers_hit=(),
        )
    owned = NumberRange(first_number=row["first_number"], last_number=row["last_number"])
    return AccountWorking(
        account=row["account"],
        short_quantity=row["short_quantity"],
        first_number=owned.first_number,
        last_number=owned.last_number,
        assigned_quantity=row["assigned_quantity"],
        numbers_hit=tuple(numbers_hit(owned, **wheel)),
    )
