"""What the processes that are killed record: an endless list of small tasks, the same for all.

A task is known by its number. Five of them share a business date: three runs of a pool each, one
that supersedes the third, and one with the content of the second under another request id.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import cache
from typing import Any, Final, TypeAlias

from lottery import operations
from lottery.errors import RUN_SUPERSEDED, Conflict
from lottery.ledger.commit import Ledger
from lottery.ledger.draft import RecordedRun
from tests.builders import SmallDay, notice, positions_of, request_of_wire

TASKS_A_DATE: Final = 5
_PLAIN: Final = 3
"""Of a date's tasks, those that only allocate."""
_SUPERSEDING: Final = 3
_SUPERSEDED: Final = 2
_SAME_CONTENT: Final = 1
_FIRST: Final = dt.date(2024, 9, 9)

Shorts: TypeAlias = tuple[tuple[str, int], ...]
_SHORTS: Final[Shorts] = (("1046", 30), ("1047", 30), ("1048", 5))
_CORRECTED: Final[Shorts] = (*_SHORTS, ("1049", 2))


def request_id_of(task: int) -> str:
    return f"task-{task}"


def date_of(task: int) -> dt.date:
    return _FIRST + dt.timedelta(task // TASKS_A_DATE)


def recorded(ledger: Ledger, task: int) -> RecordedRun:
    """Record a task, or find that it is, be it superseded since."""
    try:
        return _recorded(ledger, task)
    except Conflict as conflict:
        if conflict.reason != RUN_SUPERSEDED:
            raise
        (superseded,) = ledger.get(conflict.run).supersedes
        return operations.recorded_run(ledger, superseded)


def _recorded(ledger: Ledger, task: int) -> RecordedRun:
    place = task % TASKS_A_DATE
    if place < _PLAIN:
        return _run(ledger, task, place, _SHORTS)
    if place == _SUPERSEDING:
        superseded = recorded(ledger, task - _SUPERSEDING + _SUPERSEDED).record.run
        more = {"supersedes": (superseded,), "reason": "an account was missing"}
        return _run(ledger, task, _SUPERSEDED, _CORRECTED, **more)
    return _run(ledger, task, _SAME_CONTENT, _SHORTS)


def _run(ledger: Ledger, task: int, pool: int, shorts: Shorts, **given: Any) -> RecordedRun:
    request = replace(
        _request(pool, shorts),
        business_date=date_of(task),
        request_id=request_id_of(task),
        **given,
    )
    return operations.run_lottery(ledger, request)


@cache
def _request(pool: int, shorts: Shorts) -> operations.RunRequest:
    """Return the request of a pool, read once: what is killed is to record, and not to read."""
    series = f"AAPL  240920C{200 + pool:05d}000"
    day = SmallDay(notices=[notice(f"A{pool}", series, 7)], positions=positions_of(series, shorts))
    return request_of_wire(day, as_arrow=True)
