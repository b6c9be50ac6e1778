"""A pool's total short by the positions as they were given, beside OCC's own figure (rule P1).

The pools are those that have notices, and the positions are those of the positions file: gross ones
count before anything is taken off. OCC reports a pool by its OCC account; where ours carries none,
which is one pool for the series (P3), OCC's figure is that of all its accounts together.

A pool that OCC does not report, and one without positions, are short nothing there.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.method.seed import RuleWarning

DIFFERS: Final = "OCC_SHORT_DIFFERS"
MORE_DIFFER: Final = "OCC_SHORT_DIFFERS_MORE"
CODES: Final = frozenset({DIFFERS, MORE_DIFFER})
RULE: Final = "P1"
WARNINGS_LISTED: Final = 100
"""Pools that have a warning of their own; the rest are counted in one."""

_POOL: Final = ["occ_account", "series"]


def occ_shorts(positions: pa.Table, pools: pa.Table) -> pa.Table:
    """OCC's figure of each pool.

    Args:
        positions: `tables.OCC_POSITIONS`, no pool twice.
        pools: `tables.POOLS`.

    Returns:
        `occ_account`, `series` and `occ_short`, int64, in the order of the pools; null where OCC
        reports none.
    """
    plain = pa.table(
        {
            "series": positions.column("series").cast(pa.string()),
            "occ_account": positions.column("occ_account").cast(pa.string()),
            "occ_short": positions.column("short_quantity"),
        }
    )
    wanted = pools.select(_POOL).append_column("place", pa.array(range(pools.num_rows), pa.int64()))
    plain = plain.filter(pc.is_in(plain.column("series"), value_set=_texts(pools, "series")))
    without = plain.set_column(1, "occ_account", pa.array([""] * plain.num_rows, pa.string()))
    named = plain.filter(pc.not_equal(plain.column("occ_account"), ""))
    figures = (
        pa.concat_tables([named, without])
        .group_by(_POOL)
        .aggregate([("occ_short", "sum")])
        .rename_columns([*_POOL, "occ_short"])
    )
    joined = wanted.join(figures, _POOL, None, "left outer").sort_by("place")
    return joined.select([*_POOL, "occ_short"]).combine_chunks()


def as_given(pools: pa.Table, taken_off: pa.Table | None) -> pa.Table:
    """Pools with the total short that the positions as given have.

    Args:
        pools: `tables.POOLS`.
        taken_off: `tables.TAKEN_OFF`, what was taken off them since; None for nothing.
    """
    if taken_off is None:
        return pools
    place = pools.schema.get_field_index("total_short")
    wanted = pools.select(_POOL).append_column("place", pa.array(range(pools.num_rows), pa.int64()))
    plain = taken_off.set_column(
        0, "occ_account", taken_off.column("occ_account").cast(pa.string())
    )
    plain = plain.set_column(1, "series", plain.column("series").cast(pa.string()))
    less = plain.group_by(_POOL).aggregate([("taken_off_quantity", "sum")])
    joined = wanted.join(less, _POOL, None, "left outer").sort_by("place")
    more = joined.column("taken_off_quantity_sum").fill_null(0)
    total = pc.add_checked(pools.column("total_short"), more)
    return pools.set_column(place, pools.schema.field(place), total)


def warnings_of(shorts: pa.Table, pools: pa.Table) -> tuple[RuleWarning, ...]:
    """A warning for each pool that differs, with both figures; past the limit one for the rest.

    Args:
        shorts: What `occ_shorts` gives.
        pools: `tables.POOLS` of the positions as given.
    """
    ours = pools.column("total_short")
    differs = pc.not_equal(ours, shorts.column("occ_short").fill_null(0))
    found = shorts.append_column("total_short", ours).filter(differs)
    warnings = [_warning(pool) for pool in found.slice(0, WARNINGS_LISTED).to_pylist()]
    more = found.num_rows - len(warnings)
    if more:
        message = f"{more} more pools differ from OCC's figures, {found.num_rows} in all"
        warnings.append(RuleWarning(code=MORE_DIFFER, rule=RULE, message=message))
    return tuple(warnings)


def _warning(pool: dict[str, object]) -> RuleWarning:
    name = f"{pool['occ_account']} {pool['series']}".strip()
    theirs = "none by OCC" if pool["occ_short"] is None else f"{pool['occ_short']} by OCC"
    return RuleWarning(
        code=DIFFERS,
        rule=RULE,
        message=f"{name} is short {pool['total_short']} by the positions and {theirs}",
    )


def _texts(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).cast(pa.string()).combine_chunks()
