"""Gross positions: what earlier cycles of their date assigned is taken off.

A later cycle's positions may still contain what an earlier one assigned (the contract's ledger
rule 3). An account then has numbers for what is left, and none if nothing is left (P2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import BROKEN_POSITIONS, POSITIONS, TAKEN_OFF

_KEYS: Final = ["occ_account", "series", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """An account that was assigned more than its gross position.

    Attributes:
        row: The index of the position's row; None if the account has no position.
        short_quantity: Contracts of the position; 0 if the account has none.
        assigned_quantity: Contracts assigned to it before.
    """

    occ_account: str
    series: str
    account: str
    row: int | None
    short_quantity: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPositions:
    """Positions less what was assigned.

    Attributes:
        positions: `tables.POSITIONS`, the same rows.
        taken_off: `tables.TAKEN_OFF`, by occ_account, series and account.
        unmatched: What cannot be taken off; such rows are left as they were.
    """

    positions: pa.Table
    taken_off: pa.Table
    unmatched: tuple[Unmatched, ...]


def take_off(positions: pa.Table, assigned: pa.Table) -> NetPositions:
    """Take off what was assigned.

    Args:
        positions: `tables.POSITIONS`, one row for an account of a pool.
        assigned: `tables.EARLIER_ASSIGNMENTS`, each quantity at least 1.
    """
    wanted = pa.table(
        [
            *(assigned.column(name).cast(pa.string()) for name in _KEYS),
            assigned.column("assigned_quantity").cast(pa.int64()),
        ],
        names=[*_KEYS, "taken_off_quantity"],
    )
    matched = _rows_of(positions, wanted.column("account")).join(
        wanted, _KEYS, join_type="right outer"
    )
    matched = matched.sort_by([(name, "ascending") for name in _KEYS])
    given = pc.fill_null(matched.column("short_quantity"), 0)
    fits = pc.greater_equal(given, matched.column("taken_off_quantity"))
    taken = matched.filter(fits)
    shorts = positions.column("short_quantity").to_numpy().copy()
    shorts[taken.column("row").to_numpy()] -= taken.column("taken_off_quantity").to_numpy()
    column = positions.schema.get_field_index("short_quantity")
    return NetPositions(
        positions=positions.set_column(column, POSITIONS.field("short_quantity"), pa.array(shorts)),
        taken_off=taken.select(TAKEN_OFF.names).cast(TAKEN_OFF),
        unmatched=tuple(_unmatched(row) for row in matched.filter(pc.invert(fits)).to_pylist()),
    )


def put_back(positions: pa.Table, taken_off: pa.Table) -> pa.Table:
    """Return the gross positions that net ones were made of.

    Args:
        positions: `tables.BROKEN_POSITIONS`, the open net positions.
        taken_off: `tables.TAKEN_OFF`.

    Returns:
        `tables.BROKEN_POSITIONS`, with the accounts that had nothing left.
    """
    plain = pa.table({name: taken_off.column(name).cast(pa.string()) for name in _KEYS})
    candidates = _rows_of(positions, plain.column("account")).join(plain, _KEYS, join_type="inner")
    untouched = np.ones(positions.num_rows, np.bool_)
    untouched[candidates.column("row").to_numpy()] = False
    given = taken_off.select(BROKEN_POSITIONS.names).cast(BROKEN_POSITIONS)
    return pa.concat_tables([positions.filter(pa.array(untouched)), given])


def _rows_of(positions: pa.Table, accounts: pa.ChunkedArray) -> pa.Table:
    """Return the positions of some accounts: the keys as texts, the short quantity, the row."""
    rows = np.flatnonzero(
        pc.is_in(positions.column("account"), value_set=accounts.combine_chunks()).to_numpy()
    )
    found = positions.select([*_KEYS, "short_quantity"]).take(pa.array(rows, pa.int64()))
    plain = {name: found.column(name).cast(pa.string()) for name in _KEYS}
    return pa.table(
        {
            **plain,
            "short_quantity": found.column("short_quantity"),
            "row": pa.array(rows, pa.int64()),
        }
    )


def _unmatched(row: dict[str, object]) -> Unmatched:
    index, short, assigned = row["row"], row["short_quantity"], row["taken_off_quantity"]
    assert isinstance(assigned, int)  # noqa: S101 - the column is int64 without nulls.
    return Unmatched(
        occ_account=str(row["occ_account"]),
        series=str(row["series"]),
        account=str(row["account"]),
        row=index if isinstance(index, int) else None,
        short_quantity=short if isinstance(short, int) else 0,
        assigned_quantity=assigned,
    )
