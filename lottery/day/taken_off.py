"""Gross positions: what was assigned before on their date, taken off.

A later cycle's positions may still have what an earlier one assigned (the contract's ledger
rule 3). Taken off, an account has the numbers of what it is still short; one that has nothing left
takes none (P2).
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
    """An account that was assigned more than its gross position has.

    Attributes:
        row: The position's row, from 0; None where the account has no position at all.
        short_quantity: Contracts of the position; 0 where there is none.
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
        unmatched: What cannot be taken off; such rows are as they were given.
    """

    positions: pa.Table
    taken_off: pa.Table
    unmatched: tuple[Unmatched, ...]


def take_off(positions: pa.Table, assigned: pa.Table) -> NetPositions:
    """Takes off what was assigned.

    Args:
        positions: `tables.POSITIONS`, one row for an account of a pool.
        assigned: `occ_account`, `series`, `account` and `assigned_quantity`, at least 1, one row
            for an account of a pool.
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
    place = positions.schema.get_field_index("short_quantity")
    return NetPositions(
        positions=positions.set_column(place, POSITIONS.field("short_quantity"), pa.array(shorts)),
        taken_off=taken.select(TAKEN_OFF.names).cast(TAKEN_OFF),
        unmatched=tuple(_unmatched(row) for row in matched.filter(pc.invert(fits)).to_pylist()),
    )


def put_back(positions: pa.Table, taken_off: pa.Table) -> pa.Table:
    """The gross positions that net ones came of.

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
    """The positions of some accounts: the keys as texts, the short quantity and the row."""
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
    place, short = row["row"], row["short_quantity"]
    assigned = row["taken_off_quantity"]
    assert isinstance(assigned, int)  # noqa: S101 - the column is int64 without nulls.
    return Unmatched(
        occ_account=str(row["occ_account"]),
        series=str(row["series"]),
        account=str(row["account"]),
        row=place if isinstance(place, int) else None,
        short_quantity=short if isinstance(short, int) else 0,
        assigned_quantity=assigned,
    )
