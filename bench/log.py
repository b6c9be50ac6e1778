"""The log: appending to a short and to a long one, and verifying ledgers of several lengths.

Both logs have as many entries in their last tile, so that publishing writes as much. The long one
is filled in one go, with rows that nobody reads back, so that only what an append itself costs is
timed: in turns with the short one, in one process.
"""

from __future__ import annotations

import datetime as dt
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.ours import ACKNOWLEDGED, BENCH, made_ledger
from lottery import operations
from lottery.day.assigned_pools import assigned_pools
from lottery.intake import files
from lottery.ledger import log
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import REPLAY
from lottery.ledger.publish import CHECKPOINT, head_name
from lottery.ledger.schema import ENTRIES, HEADS, NODES, REQUESTS, RUNS
from lottery.method.methodology import JPMS_2024_09_06
from lottery.operations.ledgers import LedgerSettings
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import read_key_file

EXAMPLE = Path(__file__).parents[1] / "examples" / "2024-09-16"
FIRST_DATE = dt.date(2024, 9, 9)
_BATCH = 20_000
_FILLER = b"\0" * 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """Seconds of each append to a log of so many records."""

    records: int
    run_seconds: list[float]
    entry_seconds: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """Seconds of each verification of a ledger of so many runs."""

    runs: int
    seconds: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogResult:
    """Everything measured of the log."""

    appends: Sequence[AppendResult]
    verifications: Sequence[VerifyResult]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


def measure_log(
    folder: Path, *, quick: bool, rounds: int, report: Callable[[str], None]
) -> LogResult:
    """Measure appends and verifications.

    Args:
        folder: Where ledgers are made.
        quick: Shorter logs, for a look.
        rounds: Appends are 4 times as many to each log.
        report: Receives what is being done, as text.
    """
    return LogResult(
        appends=_measure_appends(
            folder, (1_000, 20_200 if quick else 1_000_168), appends=4 * rounds, report=report
        ),
        verifications=_measure_verify(
            folder, (25, 50) if quick else (250, 500, 1_000), rounds=3, report=report
        ),
    )


def _measure_appends(
    folder: Path, lengths: Sequence[int], *, appends: int, report: Callable[[str], None]
) -> list[AppendResult]:
    ledgers = []
    for length in lengths:
        report(f"filling a log of {length:,} records")
        ledgers.append(filled_ledger(folder / f"log-{length}", length))
    results = [AppendResult(records=length, run_seconds=[], entry_seconds=[]) for length in lengths]
    request = example_request()
    for turn in range(appends + 1):
        report(f"appending, {turn} of {appends}")
        day = replace(request, business_date=FIRST_DATE + dt.timedelta(turn))
        for ledger, result in zip(ledgers, results, strict=True):
            run_seconds = timed(partial(record, ledger, day))
            entry_seconds = timed(partial(ledger.enter, REPLAY, "a benchmark", "nothing", BENCH))
            if turn:  # The first of each is not counted.
                result.run_seconds.append(run_seconds)
                result.entry_seconds.append(entry_seconds)
    return results


def _measure_verify(
    folder: Path, lengths: Sequence[int], *, rounds: int, report: Callable[[str], None]
) -> list[VerifyResult]:
    ledger = made_ledger(folder / "verified")
    request = example_request()
    results = []
    for runs in lengths:
        for number in range(sum(1 for _ in ledger.iterate()), runs):
            report(f"recording run {number + 1:,} of {lengths[-1]:,}")
            day = replace(request, business_date=FIRST_DATE + dt.timedelta(number))
            record(ledger, day)
        report(f"verifying {runs:,} runs")
        seconds = [timed(partial(verify, ledger)) for _ in range(rounds)]
        results.append(VerifyResult(runs=runs, seconds=seconds))
    shutil.rmtree(folder / "verified")
    return results


def record(ledger: Ledger, request: operations.RunRequest) -> None:
    """Record a run."""
    operations.run_lottery(ledger, request)


def verify(ledger: Ledger) -> None:
    """Verify a ledger that must be sound."""
    settings = LedgerSettings(ledger=ledger.ports.objects.place)
    faults = list(operations.verify_ledger(settings))
    assert not faults, faults


def example_request() -> operations.RunRequest:
    """Return the example day, read once."""
    notices = files.read_notices(EXAMPLE / "notices.csv")
    return operations.RunRequest(
        business_date=FIRST_DATE,
        notices=notices,
        positions=files.read_positions(
            EXAMPLE / "positions.csv",
            assigned_pools(notices.table),
            JPMS_2024_09_06.account_order,
        ),
        volumes=files.read_volumes(EXAMPLE / "volumes.csv", JPMS_2024_09_06.securities),
        requested_by=BENCH,
        acknowledged=ACKNOWLEDGED,
    )


def filled_ledger(directory: Path, length: int) -> Ledger:
    """Return a ledger whose log has so many entries, which say nothing and are never read."""
    ledger = made_ledger(directory)
    key, signer = read_key_file(ledger.key_file), ledger.log()
    leaf = merkle.leaf_hash(_FILLER)
    with ledger.ports.database.writing() as connection:
        compact = log.read_head(connection, signer).compact_range
        for start in range(log.read_size(connection), length, _BATCH):
            nodes: list[Mapping[str, Any]] = []
            indices = range(start, min(start + _BATCH, length))
            for index in indices:
                compact, completed = merkle.append(index, compact, leaf)
                nodes += map(log.node_row, completed)
            for table, rows in _filler_rows(indices).items():
                connection.execute(sa.insert(table), rows)
            connection.execute(sa.insert(NODES), nodes)
        root = merkle.root_of_compact_range(compact)
        note = sign_checkpoint(Checkpoint(origin=signer.origin, size=length, root=root), key)
        connection.execute(sa.insert(HEADS).values(tree_size=length, note=note))
    # What is before the last head counts as published.
    ledger.ports.objects.create(head_name(length), note)
    ledger.ports.objects.put(CHECKPOINT, note)
    return ledger


def _filler_rows(indices: range) -> Mapping[sa.Table, list[dict[str, Any]]]:
    rows: dict[sa.Table, list[dict[str, Any]]] = {ENTRIES: [], HEADS: [], RUNS: [], REQUESTS: []}
    for index in indices:
        run = f"filler-{index}"
        rows[ENTRIES].append({"log_index": index, "type": "filler", "entry": _FILLER})
        if index > 1:  # The head of the charter is there, and the last one comes in the end.
            rows[HEADS].append({"tree_size": index, "note": _FILLER})
        request_id = f"filler-{index * 7_919 % 1_000_003:07d}-{index}"
        rows[REQUESTS].append({"request_id": request_id, "run": run})
        rows[RUNS].append(
            {
                "run": run,
                "log_index": index,
                "business_date": run,
                "sequence": 1,
                "content_sha256": f"{index * 104_729 % 1_000_003:064x}",
                "composite": str(index),
            }
        )
    return rows


def timed(call: Callable[[], object]) -> float:
    """Return seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratio_of_medians(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return how many times as long the median of the one is as that of the other."""
    return statistics.median(ones) / statistics.median(others)
