"""The population of a pool: its digest, and whether a later file says the same (P6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import Break
from lottery.day.assigned_pools import Integers

POOL: Final = ("occ_account", "series")
Pool: TypeAlias = tuple[str, str]
"""OCC account and series."""


def pool_name(occ_account: str, series: str) -> str:
    """Return what people call a pool."""
    return f"{occ_account} {series}".strip()


def population_sha256(accounts: pa.ChunkedArray, shorts: pa.ChunkedArray) -> str:
    """Return the digest of a pool's population: a line `ACCOUNT,SHORT` for each open account.

    Args:
        accounts: string[n], in the order of accounts (R1).
        shorts: int64[n], contracts short.
    """
    lines = (
        f"{account},{short}\n"
        for account, short in zip(accounts.to_pylist(), shorts.to_pylist(), strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pools_in(rows: pa.Table) -> list[Pool]:
    """Return the pool of each row."""
    return list(zip(*(rows.column(name).to_pylist() for name in POOL), strict=True))


def allocated_pools(pools: pa.Table) -> pa.Table:
    """Return the rows of `tables.POOLS` that are not breaks."""
    return pools.filter(pc.is_null(pools.column("break_reason")))


def assigned_before(pools: Iterable[Pool], continued: pa.Table) -> Integers:
    """Return what earlier cycles assigned of each pool, in the order of the pools: int64[pools].

    Args:
        pools: The pools.
        continued: `tables.CONTINUED`.
    """
    quantities = continued.column("assigned_before").to_pylist()
    before_of = dict(zip(pools_in(continued), quantities, strict=True))
    return np.array([before_of.get(pool, 0) for pool in pools], np.int64)


def by_pool(rows: pa.Table) -> Iterator[tuple[Pool, pa.Table]]:
    """Yield each pool with its rows, which lie together and in order."""
    if not rows.num_rows:
        return
    plain = rows
    for name in POOL:
        index = plain.schema.get_field_index(name)
        plain = plain.set_column(index, name, plain.column(name).cast(pa.string()))
    changes = np.zeros(rows.num_rows, np.bool_)
    changes[0] = True
    for name in POOL:
        codes = plain.column(name).combine_chunks().dictionary_encode().indices.to_numpy()
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes).tolist()
    for start, end in zip(starts, [*starts[1:], rows.num_rows], strict=True):
        part = plain.slice(start, end - start)
        yield (part.column(POOL[0])[0].as_py(), part.column(POOL[1])[0].as_py()), part


def of_pools(rows: pa.Table, pools: pa.Table, *, are_in: bool) -> pa.Table:
    """Return the rows of some pools, or those of all others, in their order."""
    names = pa.table({name: rows.column(name).cast(pa.string()) for name in POOL})
    wanted = pools.select(POOL)
    kept = names.append_column("index", pa.array(range(rows.num_rows), pa.int64())).join(
        wanted, list(POOL), None, "left semi" if are_in else "left anti"
    )
    return rows.take(kept.column("index").combine_chunks().sort())


def drawn_from(given: pa.Table, continued: pa.Table, population: pa.Table) -> pa.Table:
    """Return what pools are drawn from: of those whose draw continues the first population (P6).

    Args:
        given: `tables.POSITIONS` as they were given, each with the OCC account of its pool.
        continued: `tables.CONTINUED`.
        population: `tables.POSITIONS`, the first population of the continued pools.
    """
    if not continued.num_rows:
        return given
    return pa.concat_tables([of_pools(given, continued, are_in=False), population])


def differing_pools(
    given: pa.Table, population: pa.Table
) -> Iterator[tuple[tuple[str, str], str, int, int | None, int]]:
    """Yield each pool of which a later file says neither the first population nor what is left.

    A pool of which the file says nothing is left out by it, which is right too.

    Args:
        given: `tables.POSITIONS`, open positions of the pools, as the file has them.
        population: The first population, `account` and `short_quantity`, and its
            `assigned_quantity` since, by pool.

    Yields:
        The pool, an account that differs, its first short quantity (0 if it had none), the one
        given (None if there is none), and what it was assigned.
    """
    plain = pa.table({name: given.column(name).cast(pa.string()) for name in (*POOL, "account")})
    given = plain.append_column("given", given.column("short_quantity"))
    reported = given.group_by(list(POOL)).aggregate([])
    first = population.join(reported, list(POOL), None, "inner")
    both = first.join(given, [*POOL, "account"], None, "full outer")
    short = both.column("short_quantity").fill_null(0)
    assigned = both.column("assigned_quantity").fill_null(0)
    said = both.column("given").fill_null(0)
    both = both.append_column("as_it_was", pc.equal(said, short))
    both = both.append_column("what_is_left", pc.equal(said, pc.subtract(short, assigned)))
    found = both.group_by(list(POOL)).aggregate([("as_it_was", "all"), ("what_is_left", "all")])
    wrong = found.filter(
        pc.invert(pc.or_(found.column("as_it_was_all"), found.column("what_is_left_all")))
    )
    for pool in wrong.sort_by([(name, "ascending") for name in POOL]).select(POOL).to_pylist():
        key = (pool["occ_account"], pool["series"])
        is_pool = pc.and_(pc.equal(both["occ_account"], key[0]), pc.equal(both["series"], key[1]))
        rows = both.filter(is_pool).sort_by("account").to_pylist()
        # In a mixture every account is one of the two: one that is as it was is named.
        row = min(rows, key=lambda one: (one["what_is_left"], one["as_it_was"]))
        yield (
            key,
            row["account"],
            row["short_quantity"] or 0,
            row["given"],
            row["assigned_quantity"] or 0,
        )


def breaks_in(pools: pa.Table) -> tuple[Break, ...]:
    """Return the breaks among pools, `tables.POOLS`."""
    broken = pools.filter(pc.is_valid(pools.column("break_reason")))
    return tuple(
        Break(
            occ_account=pool["occ_account"],
            series=pool["series"],
            reason=pool["break_reason"],
            assigned_quantity=pool["assigned_quantity"],
            total_short=pool["total_short"],
            assigned_before=pool["assigned_before"],
        )
        for pool in broken.to_pylist()
    )


def allocated_quantity(pools: pa.Table) -> int:
    """Return the contracts of the pools that are not breaks: `tables.POOLS`."""
    return sum(allocated_pools(pools).column("assigned_quantity").to_pylist())
