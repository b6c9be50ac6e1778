"""The same request at one time, or again after a fault: one run, published, with its breaks."""

from __future__ import annotations

import datetime as dt
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from lottery import operations
from lottery.errors import ConnectionLost, LedgerUnfinished, LedgerUnwritable, LotteryError
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import published_size
from lottery.ledger.run_record import GROSS
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    PUBLISHED,
    faults_of,
    made,
    notice,
    opened,
    request_of_wire,
)

SIZE_AFTER_A_RUN = 2


def test_the_same_command_publishes_what_is_committed_and_repeats_its_breaks(
    tmp_path: Path,
) -> None:
    made(tmp_path / "ledger")
    request = request_of_wire(FULL, as_arrow=True)
    ledger = opened(tmp_path / "ledger")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(ledger.ports.objects), "put", refuse)
        with pytest.raises(LedgerUnfinished, match="committed and not published yet"):
            operations.run_lottery(ledger, request)
    assert published_size(ledger.ports.objects) < SIZE_AFTER_A_RUN

    again = operations.run_lottery(opened(tmp_path / "ledger"), request)

    assert again.already_recorded
    assert [broken.reason for broken in again.breaks] == ["EXCEEDS_SHORT"]
    assert published_size(ledger.ports.objects) == SIZE_AFTER_A_RUN


def test_other_request_ids_of_one_content_are_answered_by_its_run_and_stay_its_own(
    tmp_path: Path,
) -> None:
    ledger = made(tmp_path / "ledger")
    request = request_of_wire(PUBLISHED, as_arrow=True)
    first = operations.run_lottery(ledger, replace(request, request_id="one"))

    second = operations.run_lottery(ledger, replace(request, request_id="two"))

    assert (second.record.run, second.already_recorded) == (first.record.run, True)
    named = [entry.request_id for entry in ledger.trail() if entry.type == "request"]
    assert named == ["two"]


class Raced(Ledger):
    """A ledger of which another process records a request before it is read for the nth time."""

    def __init__(self, there: Ledger, request: operations.RunRequest, left: int) -> None:
        super().__init__(there.ports, key_file=there.key_file)
        self.there = there
        self.request = request
        self.left = left
        self.other: operations.RecordedRun | None = None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        self.left -= 1
        if not self.left:
            self.other = operations.run_lottery(self.there, self.request)
        with super().reading() as connection:
            yield connection


@pytest.mark.parametrize("positions_basis", [None, GROSS])
def test_a_request_that_another_process_records_meanwhile_is_answered_by_that_run(
    tmp_path: Path, positions_basis: str | None
) -> None:
    # Of 65 contracts: too many to be taken off and assigned again.
    day = replace(PUBLISHED, notices=[notice("A1", AAPL, 60)])
    request = request_of_wire(day, as_arrow=True, positions_basis=positions_basis)
    there = made(tmp_path / "ledger")
    new = []
    for number in itertools.count(1):
        later = replace(request, business_date=DATE + dt.timedelta(number))
        ours = Raced(there, later, number)
        answered = operations.run_lottery(ours, later)
        if ours.other is None:  # It is not read as often.
            break
        assert ours.other.record == answered.record
        assert len(list(there.iterate(first=later.business_date))) == 1
        new.append((ours.other.already_recorded, answered.already_recorded))

    assert (False, True) in new
    assert set(new) <= {(False, True), (True, False)}


def _failing_commits(patch: pytest.MonkeyPatch, name: str, *, is_done: bool, times: int) -> None:
    """Let commits of what was written fail, after they are done or instead of that."""
    left = [times]

    def failing(_: object, connection: Any) -> None:
        fails = connection.total_changes > 0 and left[0] > 0
        if is_done or not fails:
            connection.commit()
        if fails:
            left[0] -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = name
            raise error

    patch.setattr(SQLiteDialect_pysqlite, "do_commit", failing)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_commit_of_which_it_is_not_known_whether_it_was_done_is_looked_for_and_done_once(
    tmp_path: Path, *, is_done: bool
) -> None:
    ledger = made(tmp_path / "ledger")
    with pytest.MonkeyPatch.context() as patch:
        _failing_commits(patch, "SQLITE_IOERR_DIR_FSYNC", is_done=is_done, times=1)
        recorded = operations.run_lottery(ledger, request_of_wire(PUBLISHED, as_arrow=True))

    assert not recorded.already_recorded
    assert [record.run for record in ledger.iterate()] == [recorded.record.run]
    assert faults_of(tmp_path / "ledger") == []


@pytest.mark.parametrize(
    ("name", "error"),
    [("SQLITE_IOERR_FSYNC", ConnectionLost), ("SQLITE_FULL", LedgerUnwritable)],
)
def test_a_commit_that_fails_again_and_again_is_told_and_records_nothing(
    tmp_path: Path, name: str, error: type[LotteryError]
) -> None:
    ledger = made(tmp_path / "ledger")
    request = request_of_wire(PUBLISHED, as_arrow=True)
    with pytest.MonkeyPatch.context() as patch:
        _failing_commits(patch, name, is_done=False, times=100)
        with pytest.raises(error, match="disk I/O error"):
            operations.run_lottery(ledger, request)

    assert list(ledger.iterate()) == []
    assert not operations.run_lottery(ledger, request).already_recorded
