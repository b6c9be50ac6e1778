"""One pool of a positions file, whose odds are asked for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.assigned_pools import assigned_pools, pooled
from lottery.day.tables import NOTICES
from lottery.errors import Problem, Problems, quote
from lottery.intake import files
from lottery.intake.as_of import as_of_problems
from lottery.intake.mapping import NO_MAPPINGS, PLAIN, Mappings
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.method.methodology import JPMS_2024_09_06, Methodology, Pooling
from lottery.operations.odds import OddsRequest
from lottery.operations.validation import checked_series, position_problems


def read_pool(  # noqa: PLR0913 - one a term of the question.
    path: Path,
    *,
    series: str,
    occ_account: str | None,
    assigned_quantity: int,
    business_date: dt.date | None = None,
    account: str = "",
    methodology: Methodology = JPMS_2024_09_06,
    memory: MemoryLimit | None = None,
    mappings: Mappings = NO_MAPPINGS,
) -> OddsRequest:
    """Read one pool of a positions file, which is refused for whatever a run would refuse it for.

    Args:
        path: The file.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None if the series has one pool only in the file. Where
            a pool is a series it changes nothing (P3).
        assigned_quantity: Contracts assigned.
        business_date: The date, if it is to be checked (F1, P7).
        account: The one account to return; empty for all of them.
        methodology: The method with its decisions.
        memory: What reading the file may take.
        mappings: What the file is, if it is not as it is wanted.

    Raises:
        LimitExceeded: The file would take more.
        Refused: The file or the series is wrong, or the series has several pools and none is named.
    """
    series = checked_series(series)
    pooling = methodology.pool
    pools = None
    if pooling is Pooling.SERIES:
        occ_account = ""
    if occ_account is not None:
        row = {"notice_id": "1", "series": series, "quantity": 1, "occ_account": occ_account}
        pools = assigned_pools(pa.Table.from_pylist([row], NOTICES), pooling)
    order = methodology.account_order
    positions = files.read_positions(
        path,
        pools,
        order,
        memory=memory or UNLIMITED,
        mapping=mappings.of_role.get("positions", PLAIN),
    )
    problems = positions.problems
    if occ_account is None:
        names = sorted(pool.occ_account for pool in positions.assigned if pool.series == series)
        occ_account = names[0] if names else ""
        if len(names) > 1:
            listed = ", ".join(map(quote, names))
            message = f"series {quote(series)} has several OCC accounts; name one of {listed}"
            problems += Problems.of(Problem(source="occ_account", message=message))
    if business_date is not None:
        problems += as_of_problems(positions.sources, positions.locator, business_date)
    problems += position_problems(positions, methodology)
    problems.refuse_if_any()
    table = pooled(positions.table(), pooling)
    rows = table.filter((pc.field("series") == series) & (pc.field("occ_account") == occ_account))
    return OddsRequest(
        series=series,
        occ_account=occ_account,
        assigned_quantity=assigned_quantity,
        business_date=business_date,
        accounts=rows.column("account").to_pylist(),
        shorts=rows.column("short_quantity").to_pylist(),
        account=account,
        methodology=methodology,
    )
