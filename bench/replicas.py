"""Many machines: a recorded day on PostgreSQL and S3, and small runs over three replicas.

Both services are the tests' own, on loopback: a PostgreSQL that syncs, and an S3 in Python, which
costs a processor of its own. A replica is a process that opens the ledger and records days that
were read beforehand, each under a date of its own.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from bench.log import example_request, ratio_of_medians, timed
from bench.made_day import DayFiles
from bench.ours import BENCH, made_ledger, read_request
from lottery import operations
from lottery.operations.ledgers import (
    CharterTerms,
    LedgerSettings,
    init_ledger,
    open_ledger,
    probe_objects,
)
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

REPLICAS: Final = 3
FIRST_DATE: Final = dt.date(2024, 9, 9)
_THREADS: Final = 4
"""Calls that a replica has in progress at one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicasResult:
    """Seconds of each recorded day, and the small runs of all replicas.

    Attributes:
        directory_seconds: On SQLite and a directory.
        bucket_seconds: On PostgreSQL and S3.
        runs: Small runs recorded by all replicas together.
        seconds: How long that took.
    """

    directory_seconds: list[float]
    bucket_seconds: list[float]
    runs: int
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times as long a day takes on PostgreSQL and S3."""
        return ratio_of_medians(self.bucket_seconds, self.directory_seconds)

    @property
    def runs_a_second(self) -> float:
        """Small runs a second, over all replicas."""
        return self.runs / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


def measure_replicas(
    folder: Path, day: DayFiles, *, rounds: int, report: Callable[[str], None]
) -> ReplicasResult:
    """Measure both.

    Args:
        folder: Where the ledger of the one machine is made.
        day: The day that is recorded.
        rounds: Timed runs on each.
        report: Receives what is being done, as text.
    """
    with _services(folder) as settings:
        one = made_ledger(folder / "one")
        many = init_ledger(settings, CharterTerms(decisions={}), BENCH)
        probe_objects(many)
        results: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds + 1):
            report(f"a day on one machine and on PostgreSQL with S3, {turn} of {rounds}")
            request = replace(
                read_request(day.positions, day.notices, day.volumes),
                business_date=FIRST_DATE + dt.timedelta(turn),
            )
            for ledger, seconds in zip((one, many), results, strict=True):
                taken = timed(partial(operations.run_lottery, ledger, request))
                if turn:  # The first of each is not counted.
                    seconds.append(taken)
        report("small runs over the replicas")
        runs, small_seconds = _small_runs(settings, runs_each=20 * rounds)
    return ReplicasResult(
        directory_seconds=results[0],
        bucket_seconds=results[1],
        runs=runs,
        seconds=small_seconds,
    )


@contextmanager
def _services(folder: Path) -> Iterator[LedgerSettings]:
    """Start PostgreSQL and S3; yield the settings of a ledger on them."""
    with PostgresServer() as postgres, S3Server() as s3:
        os.environ.update(s3.environment)
        yield LedgerSettings(
            ledger=postgres.create_database("bench"),
            objects=f"s3://{s3.new_bucket()}/ledger",
            key_file=folder / "signing.key",
        )


def _small_runs(settings: LedgerSettings, *, runs_each: int) -> tuple[int, float]:
    """Record small days with every replica at once; return their number and the seconds."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(REPLICAS + 1)
    processes = [
        context.Process(target=_replica, args=(settings, number, runs_each, ready))
        for number in range(REPLICAS)
    ]
    for process in processes:
        process.start()
    ready.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - start
    assert all(process.exitcode == 0 for process in processes)
    return REPLICAS * runs_each, seconds


def _replica(settings: LedgerSettings, number: int, runs: int, ready: Barrier) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - in the new process alone.

    ledger = open_ledger(settings)
    probe_objects(ledger)
    request = example_request()
    first = FIRST_DATE + dt.timedelta(days=10_000 * (number + 1))
    days = [replace(request, business_date=first + dt.timedelta(run)) for run in range(runs)]
    operations.compute_day(days[0])  # Loads what a first run would wait for.
    with ThreadPoolExecutor(_THREADS) as pool:
        ready.wait()
        results: Sequence[operations.RecordedRun] = list(
            pool.map(partial(operations.run_lottery, ledger), days)
        )
    assert not any(result.already_recorded for result in results)
    ledger.close()
