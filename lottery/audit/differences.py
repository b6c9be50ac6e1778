"""Comparing recorded values with computed ones: what differs, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_LISTED: Final = 20
"""Maximum number of differing rows listed of one column; the rest are counted."""


class Difference(NamedTuple):
    """A recorded value and the computed one; `where` names the file or member they are of."""

    where: str
    recorded: object
    computed: object


def compare(where: str, recorded: object, computed: object) -> Iterator[Difference]:
    """Yield the difference of two values, if there is one."""
    if recorded != computed:
        yield Difference(where, recorded, computed)


def compare_members(
    where: str, recorded: Mapping[str, Any], computed: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield the differences of two mappings, member by member."""
    for name in dict.fromkeys((*recorded, *computed)):
        yield from compare(f"{where} {name}", recorded.get(name), computed.get(name))


def compare_tables(where: str, recorded: pa.Table, computed: pa.Table) -> Iterator[Difference]:
    """Yield the differences of two tables of one schema: row counts, then column by column."""
    yield from compare(f"{where} rows", recorded.num_rows, computed.num_rows)
    rows = min(recorded.num_rows, computed.num_rows)
    for name in computed.column_names:
        old, new = (table.column(name)[:rows] for table in (recorded, computed))
        if pa.types.is_dictionary(old.type):
            old, new = old.cast(pa.string()), new.cast(pa.string())
        differs = pc.or_(
            pc.fill_null(pc.not_equal(old, new), False),  # noqa: FBT003
            pc.xor(old.is_null(), new.is_null()),
        )
        found = np.flatnonzero(differs.to_numpy())
        for row in found[:ROWS_LISTED]:
            yield Difference(f"{where} row {row + 1} {name}", old[row], new[row])
        if len(found) > ROWS_LISTED:
            yield Difference(f"{where} {name}", "as computed", f"{len(found)} rows differ in all")
