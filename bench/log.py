"""The log: appending to a short and to a long one, and verifying ledgers of several lengths.

The long log is filled in one go, with rows that nobody reads back, so that only what an append
itself costs is timed: in turns with the short one, in one process.
"""

from __future__ import annotations

import datetime as dt
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.ours import BENCH
from lottery import operations
from lottery.day.assigned_pools import assigned_pools
from lottery.intake import files
from lottery.ledger import log, trail, write_transaction
from lottery.ledger.commit import Ledger
from lottery.ledger.database import CHECKPOINTS, NODES, RUNS, TRAIL
from lottery.method.methodology import JPMS_2024_09_06
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import read_key_file
from lottery.tlog.note import join_notes

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
            folder, (1_000, 20_000 if quick else 1_000_000), appends=4 * rounds, report=report
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
        entry = trail.entry_now(trail.RUNS_REPLAYED, "a benchmark", "nothing", BENCH)
        for ledger, result in zip(ledgers, results, strict=True):
            run_seconds = timed(partial(record, ledger, day))
            entry_seconds = timed(partial(ledger.enter, entry))
            if turn:  # The first of each is not counted.
                result.run_seconds.append(run_seconds)
                result.entry_seconds.append(entry_seconds)
    return results


def _measure_verify(
    folder: Path, lengths: Sequence[int], *, rounds: int, report: Callable[[str], None]
) -> list[VerifyResult]:
    ledger = Ledger.create(folder / "verified")
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
    shutil.rmtree(ledger.directory)
    return results


def record(ledger: Ledger, request: operations.RunRequest) -> None:
    """Record a run."""
    operations.run_lottery(lambda: ledger, request)


def verify(ledger: Ledger) -> None:
    """Verify a ledger that must be sound."""
    faults = list(
        operations.verify_ledger(ledger.directory, key_file=ledger.key_file, lock_seconds=30.0)
    )
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
    )


def filled_ledger(directory: Path, length: int) -> Ledger:
    """Return a ledger whose log has so many records, which say nothing and are never read."""
    ledger = Ledger.create(directory)
    key = read_key_file(ledger.key_file)
    whose = ledger.log()
    with ledger._engine.connect().execution_options(lottery_writes=True) as connection:  # noqa: SLF001
        connection.begin()
        checkpoints = {}
        for tree, table in ((log.RUNS_TREE, RUNS), (log.TRAIL_TREE, TRAIL)):
            size = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            compact = merkle.compact_range_of(size, partial(log.node, connection, tree))
            leaf = merkle.leaf_hash(_FILLER)
            for start in range(size, length, _BATCH):
                nodes: list[dict[str, Any]] = []
                indices = range(start, min(start + _BATCH, length))
                for index in indices:
                    compact, completed = merkle.append(index, compact, leaf)
                    nodes += [{"tree": tree, **_columns(node)} for node in completed]
                connection.execute(sa.insert(table), list(_filler_rows(tree, indices)))
                connection.execute(sa.insert(NODES), nodes)
            root = merkle.root_of_compact_range(compact)
            checkpoints[tree] = Checkpoint(origin=whose.origin_of(tree), size=length, root=root)
        starts, note = _fill_checkpoints(
            connection, length, checkpoints, lambda checkpoint: sign_checkpoint(checkpoint, key)
        )
        connection.commit()
    with (directory / write_transaction.CHECKPOINT_FILE).open("r+b") as file:
        file.truncate(starts)  # What is before the last checkpoint is not read.
        file.seek(starts)
        file.write(note)
    shutil.copyfile(directory / write_transaction.DATABASE, directory / write_transaction.MIRROR)
    return ledger


def _columns(node: merkle.Node) -> dict[str, Any]:
    return {"level": node.level, "position": node.index, "hash": node.hash}


def _filler_rows(tree: str, indices: range) -> Iterator[dict[str, Any]]:
    for index in indices:
        if tree == log.TRAIL_TREE:
            yield {"trail_index": index, "entry": _FILLER}
            continue
        yield {
            "log_index": index,
            "run": f"filler-{index}",
            "business_date": f"filler-{index}",
            "sequence": 1,
            "request_id": f"filler-{index * 7_919 % 1_000_003:07d}-{index}",
            "content_sha256": f"{index * 104_729 % 1_000_003:064x}",
            "record": _FILLER,
        }


def _fill_checkpoints(
    connection: sa.Connection,
    length: int,
    checkpoints: dict[str, Checkpoint],
    sign: Callable[[Checkpoint], bytes],
) -> tuple[int, bytes]:
    """Write a checkpoint of each size of each tree, of which the last two are signed.

    Returns:
        Where the last one starts in the checkpoint file, and its bytes there.
    """
    last = log.last_checkpoint(connection)
    assert last is not None
    position, ends_at = last.position, last.ends_at
    filler = _FILLER
    for start in range(1, length, _BATCH):
        rows = []
        for size in range(start, min(start + _BATCH, length)):
            for tree in checkpoints:
                position, ends_at = position + 1, ends_at + len(filler)
                rows.append(_checkpoint_row(position, tree, size, filler, ends_at))
        connection.execute(sa.insert(CHECKPOINTS), rows)
    for tree, checkpoint in checkpoints.items():
        note = sign(checkpoint)
        starts, note_bytes = ends_at, join_notes([note])
        position, ends_at = position + 1, ends_at + len(note_bytes)
        connection.execute(
            sa.insert(CHECKPOINTS), [_checkpoint_row(position, tree, length, note, ends_at)]
        )
    return starts, note_bytes


def _checkpoint_row(
    position: int, tree: str, size: int, note: bytes, ends_at: int
) -> dict[str, Any]:
    return {
        "position": position,
        "tree": tree,
        "tree_size": size,
        "note": note,
        "ends_at": ends_at,
    }


def timed(call: Callable[[], object]) -> float:
    """Return seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratio_of_medians(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return how many times as long the median of the one is as that of the other."""
    return statistics.median(ones) / statistics.median(others)
