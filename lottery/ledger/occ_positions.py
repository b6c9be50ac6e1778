"""Comparing the total short of assigned pools with OCC's own figures (rule P1).

OCC reports pools by OCC account. A pool without one (P3) is compared with the sum of OCC's figures
of the series. A pool that OCC does not report, and one without positions, is short 0 there.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.population import POOL, pool_name
from lottery.ledger.warning_codes import OCC_SHORT_DIFFERS, OCC_SHORT_DIFFERS_MORE
from lottery.method.seed import RuleWarning

RULE: Final = "P1"
WARNINGS_LISTED: Final = 20
"""Maximum number of warnings about single pools; one more counts the rest."""


def occ_shorts(positions: pa.Table, pools: pa.Table) -> pa.Table:
    """Return OCC's figure of each pool.

    Args:
        positions: `tables.OCC_POSITIONS`, no pool twice.
        pools: `tables.POOLS`.

    Returns:
        `occ_account`, `series` and `occ_short`, int64, in the order of the pools; null if OCC
        does not report the pool.
    """
    keys = list(POOL)
    plain = pa.table(
        {
            "series": positions.column("series").cast(pa.string()),
            "occ_account": positions.column("occ_account").cast(pa.string()),
            "occ_short": positions.column("short_quantity"),
        }
    )
    wanted = pools.select(keys).append_column("index", pa.array(range(pools.num_rows), pa.int64()))
    plain = plain.filter(pc.is_in(plain.column("series"), value_set=_texts(pools, "series")))
    without = plain.set_column(1, "occ_account", pa.array([""] * plain.num_rows, pa.string()))
    named = plain.filter(pc.not_equal(plain.column("occ_account"), ""))
    figures = (
        pa.concat_tables([named, without])
        .group_by(keys)
        .aggregate([("occ_short", "sum")])
        .rename_columns([*POOL, "occ_short"])
    )
    joined = wanted.join(figures, keys, None, "left outer").sort_by("index")
    return joined.select([*POOL, "occ_short"]).combine_chunks()


def warnings_of(shorts: pa.Table, pools: pa.Table) -> tuple[RuleWarning, ...]:
    """Return a warning for each pool that differs, up to the limit, and one for the rest.

    Args:
        shorts: The result of `occ_shorts`.
        pools: `tables.POOLS`; of a continued draw OCC may report what is left (P6).
    """
    ours, theirs = pools.column("total_short"), shorts.column("occ_short").fill_null(0)
    left = pc.subtract(ours, pools.column("assigned_before"))
    differs = pc.invert(pc.or_(pc.equal(ours, theirs), pc.equal(left, theirs)))
    found = shorts.append_column("total_short", ours).filter(differs)
    warnings = [_warning(pool) for pool in found.slice(0, WARNINGS_LISTED).to_pylist()]
    more = found.num_rows - len(warnings)
    if more:
        message = f"{more} more pools differ from OCC's figures, {found.num_rows} in all"
        warnings.append(RuleWarning(code=OCC_SHORT_DIFFERS_MORE, rule=RULE, message=message))
    return tuple(warnings)


def _warning(pool: dict[str, Any]) -> RuleWarning:
    name = pool_name(pool["occ_account"], pool["series"])
    theirs = "none by OCC" if pool["occ_short"] is None else f"{pool['occ_short']} by OCC"
    return RuleWarning(
        code=OCC_SHORT_DIFFERS,
        rule=RULE,
        message=f"{name} is short {pool['total_short']} by the positions and {theirs}",
    )


def _texts(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).cast(pa.string()).combine_chunks()
