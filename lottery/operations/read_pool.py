"""One pool of a positions file, whose odds are asked for."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.arrange import arrange
from lottery.day.tables import NOTICES
from lottery.errors import NO_PROBLEMS, Problem, Problems, quote
from lottery.intake import files
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.sources import Received
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.operations.odds import OddsRequest
from lottery.operations.validation import account_problems, checked_series


def read_pool(
    path: Path,
    *,
    series: str,
    occ_account: str | None,
    assigned_quantity: int,
    account: str = "",
    methodology: Methodology = JPMS_2024_09_06,
    memory: MemoryLimit | None = None,
) -> OddsRequest:
    """Read one pool of a positions file, which is refused for whatever a run would refuse it for.

    Args:
        path: The file.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None if the series has one pool only in the file.
        assigned_quantity: Contracts assigned.
        account: The one account to return; empty for all of them.
        methodology: The method with its decisions.
        memory: What reading the file may take.

    Raises:
        LimitExceeded: The file would take more.
        Refused: The file or the series is wrong, or the series has several pools and none is named.
    """
    series = checked_series(series)
    problems = NO_PROBLEMS
    if occ_account is None:
        positions = files.read_positions(path, memory=memory or UNLIMITED)
        occ_account, problems = _only_occ_account(positions, series)
        notices = _notice(occ_account, series)
    else:
        notices = _notice(occ_account, series)
        received = Received(table=notices, sources=(), locators=())
        positions = files.read_positions_of(received, path, memory=memory or UNLIMITED)
    arrangement = arrange(notices, positions.table, methodology.account_order)
    problems += account_problems(positions, arrangement, methodology.account_order)
    (positions.problems + problems).refuse_if_any()
    rows = positions.table.filter(
        (pc.field("series") == series) & (pc.field("occ_account") == occ_account)
    )
    return OddsRequest(
        series=series,
        occ_account=occ_account,
        assigned_quantity=assigned_quantity,
        accounts=rows.column("account").to_pylist(),
        shorts=rows.column("short_quantity").to_pylist(),
        account=account,
        methodology=methodology,
    )


def _only_occ_account(positions: Received, series: str) -> tuple[str, Problems]:
    """Return the OCC account of the series' one pool; several of them are a problem."""
    of_series = positions.table.filter(pc.field("series") == series).column("occ_account")
    found = sorted(of_series.unique().cast(pa.string()).to_pylist())
    if len(found) > 1:
        names = ", ".join(map(quote, found))
        message = f"series {quote(series)} has several OCC accounts; name one of {names}"
        return found[0], Problems.of(Problem(source="occ_account", message=message))
    return found[0] if found else "", NO_PROBLEMS


def _notice(occ_account: str, series: str) -> pa.Table:
    """Return `tables.NOTICES` with one notice of the pool: the readers keep its rows alone."""
    row = {"notice_id": "odds", "series": series, "quantity": 1, "occ_account": occ_account}
    return pa.Table.from_pylist([row], NOTICES)
