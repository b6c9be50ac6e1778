"""Dates whose standing runs have no pool: nothing was assigned, or all was withdrawn (N1)."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from rich.console import Console

from lottery import operations
from lottery.cli import books
from lottery.errors import RunNotFound
from lottery.ledger.commit import Ledger
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.run_record import RunRecord
from tests.builders import AAPL, DATE
from tests.vectors.make import RECORD

FIRST, SECOND = "2024-09-16-001", "2024-09-16-002"
ALLOCATED = replace(RECORD, run=FIRST, supersedes=())
WITHDRAWN = replace(
    RECORD, run=SECOND, state="WITHDRAWN", pool_count=0, break_count=0, supersedes=(FIRST,)
)


class RunsAlone(Ledger):
    """A ledger that has the records of its runs; what they have no pools in is not read."""

    def __init__(self, *records: RunRecord) -> None:
        self._records = records

    def runs_of(self, _: object) -> DateRuns:
        return DateRuns(entries=self._records)

    def get(self, run: str) -> RunRecord:
        return next(record for record in self._records if record.run == run)

    def iterate(self, **_: Any) -> Any:
        return iter(self._records)

    def read(self, record: RunRecord, name: str, where: object = None) -> NoReturn:
        raise AssertionError((record.run, name, where))


def test_a_date_that_was_withdrawn_stands_without_a_pool() -> None:
    day = operations.standing_day(RunsAlone(ALLOCATED, WITHDRAWN), DATE)

    assert (day.state, day.runs, day.superseded_by) == ("WITHDRAWN", (SECOND,), {FIRST: SECOND})
    assert (day.pool_count, day.notice_count, day.allocated_quantity) == (0, 0, 0)
    assert (day.pools.num_rows, day.allocations.num_rows, day.breaks) == (0, 0, ())
    printed = io.StringIO()
    books._show_day(Console(file=printed, width=160), day)
    assert printed.getvalue().splitlines()[0] == "What stands for 2024-09-16: WITHDRAWN"
    assert printed.getvalue().endswith("no pool is assigned: there is nothing to book\n")


def test_a_run_without_a_pool_has_no_row_in_a_history_and_nothing_to_compare() -> None:
    ledger = RunsAlone(replace(WITHDRAWN, run=FIRST, supersedes=()), WITHDRAWN)

    assert list(operations.history(ledger, account="1046")) == []
    assert list(operations.history(ledger, series=AAPL)) == []
    difference = operations.difference_of_runs(ledger, FIRST, SECOND)
    assert (difference.before, difference.after, difference.changes.num_rows) == (0, 0, 0)


def test_a_date_without_a_run_is_not_one_on_which_nothing_is_assigned() -> None:
    with pytest.raises(RunNotFound, match="no run is recorded for 2024-09-16"):
        operations.standing_day(RunsAlone(), DATE)
