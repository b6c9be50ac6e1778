"""Whatever is killed when: what was acknowledged is there, nothing half-done shows, and the same
request goes through afterwards.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lottery.errors import LedgerNotFound
from lottery.ledger import write_transaction
from lottery.ledger.commit import Ledger
from lottery.ledger.trail import WRITE_RECOVERED
from lottery.ledger.write_transaction import DATABASE
from tests.apart import run_apart
from tests.builders import FULL, assert_sound, record_in, write_files
from tests.faults import worker

KILLS = 60
FIRST = dt.date(2024, 9, 6)


def start(
    ledger: Path, sources: Path, dates: Sequence[str], reported: Path, dies_at: str | None = None
) -> BaseProcess:
    """A process of its own, with no thread of ours in it."""
    process = multiprocessing.get_context("forkserver").Process(
        target=worker.record_days, args=(ledger, sources, dates, reported, dies_at)
    )
    process.start()
    return process


def reported_in(path: Path) -> list[tuple[str, str, bool]]:
    """Date, run and newness of every run that a worker was reported is recorded."""
    if not path.exists():
        return []
    lines = [line.split(" ") for line in path.read_text().splitlines(keepends=True)]
    return [(date, run, new == "True\n") for date, run, new in lines if new.endswith("\n")]


def check(ledger: Path, reported: Path) -> list[str]:
    """Checks a ledger after a kill and lists its runs."""
    try:
        opened = Ledger.open(ledger)
    except LedgerNotFound:
        assert reported_in(reported) == []
        return []
    runs = [record.run for record in opened.iterate()]
    assert {run for _, run, _ in reported_in(reported)} <= set(runs)
    assert len(set(runs)) == len(runs)
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return runs


def days_from(first: dt.date, count: int) -> list[str]:
    return [(first + dt.timedelta(day)).isoformat() for day in range(count)]


@pytest.mark.parametrize("step", worker.STEPS)
def test_a_process_killed_at_a_step_has_recorded_all_or_nothing(tmp_path: Path, step: str) -> None:
    ledger, sources, reported = tmp_path / "ledger", tmp_path / "in", tmp_path / "reported"
    write_files(FULL, sources)
    record_in(ledger, replace(worker.request_of(sources), business_date=dt.date(2024, 9, 10)))

    before = (ledger / DATABASE).read_bytes()
    process = start(ledger, sources, ["2024-09-16"], reported, step)
    process.join(60)

    assert process.exitcode == -signal.SIGKILL
    committed = step in {**worker.COMMITTED, **worker.DONE}
    interrupted = step in {**worker.UNCOMMITTED, **worker.COMMITTED}
    assert write_transaction.is_unfinished(ledger) == interrupted
    is_written = (ledger / DATABASE).read_bytes() != before
    assert is_written == (committed or step == "the database is half written")
    is_mirrored = (ledger / write_transaction.MIRROR).read_bytes() != before
    assert is_mirrored == (committed and step != "the run is committed")
    assert reported_in(reported) == []

    again = record_in(ledger, worker.request_of(sources))

    assert (again.record.run, again.already_recorded) == ("2024-09-16-001", committed)
    assert check(ledger, reported) == ["2024-09-10-001", "2024-09-16-001"]
    recovered = [
        entry.subject
        for entry in Ledger.open(ledger).trail_entries()
        if entry.operation == WRITE_RECOVERED
    ]
    subject = "the recording of 2024-09-16-001" + ("" if committed else ", given up")
    if step == "the write is half announced":
        subject = "a write"
    assert recovered == ([subject] if interrupted else [])
    assert_sound(ledger)


@pytest.mark.slow
def test_a_ledger_whose_writers_are_killed_at_random_keeps_what_it_acknowledged(
    tmp_path: Path,
) -> None:
    run_apart(_one_writer_after_another, tmp_path)


@pytest.mark.slow
def test_two_writers_of_the_same_days_killed_at_random_record_each_day_once(
    tmp_path: Path,
) -> None:
    run_apart(_two_writers_at_once, tmp_path)


def _one_writer_after_another(folder: Path) -> None:
    ledger, sources, reported = folder / "ledger", folder / "in", folder / "reported"
    a_day_takes = _warm_up(folder, sources)
    generator = random.Random(20_240_916)  # noqa: S311 - moments to kill at.
    for _ in range(KILLS):
        begun = FIRST + dt.timedelta(len(check(ledger, reported)))
        writer = _forked(ledger, sources, days_from(begun, 100), reported)
        time.sleep(generator.uniform(0.0, 3 * a_day_takes))
        os.kill(writer, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL

    runs = check(ledger, reported)
    assert runs, "a writer that is left alone for up to three days' time records some"
    # Each writer began at the first date without a run: none was recorded in part, none twice.
    assert runs == [f"{date}-001" for date in days_from(FIRST, len(runs))]
    assert_sound(ledger)
    next_day = FIRST + dt.timedelta(len(runs))
    request = replace(worker.request_of(sources), business_date=next_day)
    assert not record_in(ledger, request).already_recorded
    assert record_in(ledger, request).already_recorded


def _two_writers_at_once(folder: Path) -> None:
    ledger, sources, reported = folder / "ledger", folder / "in", folder / "reported"
    a_day_takes = _warm_up(folder, sources)
    generator = random.Random(6)  # noqa: S311 - moments to kill at.
    dates = days_from(FIRST, 40)
    for _ in range(20):
        writers = [_forked(ledger, sources, dates, reported) for _ in range(2)]
        for writer in writers:
            time.sleep(generator.uniform(0.0, 3 * a_day_takes))
            os.kill(writer, signal.SIGKILL)
        for writer in writers:
            os.waitpid(writer, 0)
        check(ledger, reported)
    worker.record_days(ledger, sources, dates, reported)

    assert check(ledger, reported) == [f"{date}-001" for date in dates]
    assert_sound(ledger)
    new = [run for _, run, is_new in reported_in(reported) if is_new]
    assert len(new) == len(set(new))


def _warm_up(folder: Path, sources: Path) -> float:
    """Loads the machine code, so that what is killed is the recording; seconds that a day takes.

    The moments to kill at follow from what a day takes on this machine at this time.
    """
    write_files(FULL, sources)
    request = worker.request_of(sources)
    record_in(folder / "warm", request)
    start = time.perf_counter()
    record_in(folder / "warm", replace(request, business_date=dt.date(2024, 9, 17)))
    return time.perf_counter() - start


def _forked(ledger: Path, sources: Path, dates: Sequence[str], reported: Path) -> int:
    """A writer's process id; it goes on until it is killed."""
    process = os.fork()
    if process == 0:
        try:
            worker.record_days(ledger, sources, dates, reported)
            time.sleep(60)
        finally:
            os._exit(1)
    return process
