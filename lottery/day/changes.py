"""What two states of a date assign differently, account by account."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.identifiers import plain_accounts
from lottery.day.population import POOL, by_pool
from lottery.day.tables import CHANGES
from lottery.method.methodology import AccountOrder


def changes(before: pa.Table, after: pa.Table, order: AccountOrder) -> pa.Table:
    """Return the accounts that two states assign different quantities to.

    Args:
        before: `tables.ALLOCATIONS`.
        after: `tables.ALLOCATIONS`.
        order: The choice of R2.

    Returns:
        `tables.CHANGES`, by occ_account, series and account order; an account that a state does not
        have is assigned 0 there.
    """
    parts = list(_by_pool(before, after, order))
    if not parts:
        return CHANGES.empty_table()
    return pa.concat_tables(parts).combine_chunks().cast(CHANGES)


def _by_pool(before: pa.Table, after: pa.Table, order: AccountOrder) -> Iterator[pa.Table]:
    first, second = dict(by_pool(before)), dict(by_pool(after))
    for pool in sorted({*first, *second}):
        both = _both(
            first.get(pool, before.slice(0, 0)), second.get(pool, after.slice(0, 0)), order
        )
        rows = both.filter(pc.not_equal(both.column("before"), both.column("after")))
        labels = {
            name: pa.repeat(text, rows.num_rows) for name, text in zip(POOL, pool, strict=True)
        }
        difference = pc.subtract_checked(rows.column("after"), rows.column("before"))
        columns = {name: rows.column(name) for name in rows.column_names}
        yield pa.table({**labels, **columns, "difference": difference})


def _both(first: pa.Table, second: pa.Table, order: AccountOrder) -> pa.Table:
    """Return `account`, `before` and `after` of a pool's accounts, in account order (R1)."""
    before, after = (
        table.select(["account", "assigned_quantity"]).rename_columns(["account", name])
        for table, name in ((first, "before"), (second, "after"))
    )
    if before.column("account").equals(after.column("account")):  # Which is usual, and faster.
        return before.append_column("after", after.column("after"))
    both = before.join(after, "account", join_type="full outer")
    account = both.column("account")
    plain = plain_accounts(account, order)
    # Without leading zeros, a number of more digits is the larger one.
    digits = pc.utf8_length(plain) if order is AccountOrder.NUMERIC else pa.repeat(0, len(plain))
    columns = {
        "account": account,
        "before": pc.fill_null(both.column("before"), 0),
        "after": pc.fill_null(both.column("after"), 0),
        "digits": digits,
        "plain": plain,
    }
    keys = [(name, "ascending") for name in ("digits", "plain", "account")]
    return pa.table(columns).sort_by(keys).select(["account", "before", "after"])
