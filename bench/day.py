"""A typical day, end to end: Parquet in, Parquet out, against peers and the limit.

Every contender must first give exactly our tables; then rounds run each once, in a rotated order.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.made_day import DayFiles, DaySize, write_day
from bench.plain import ALLOCATION_COLUMNS, POOL_COLUMNS
from bench.worker import CONTENDERS, LIMIT, OURS, PLAIN

_TABLES = {"allocations": ALLOCATION_COLUMNS, "pools": POOL_COLUMNS}


class OutputsDiffer(AssertionError):
    """A contender's output is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One timed run."""

    contender: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayResult:
    """What was measured, and of how large a day."""

    size: DaySize
    positions_bytes: int
    allocation_rows: int
    measurements: list[Measurement]

    def as_json(self) -> dict[str, Any]:
        """All of it for a JSON file."""
        return asdict(self)


class _Worker:
    """A contender's process."""

    def __init__(self, name: str, reference: Path) -> None:
        self.name = name
        command = [sys.executable, "-m", "bench.worker", name, str(reference)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, files: DayFiles, output: Path) -> dict[str, Any]:
        """One run into an empty folder."""
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        asked = {name: str(path) for name, path in asdict(files).items()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**asked, "output": str(output)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed:\n{answer['error']}")
        return answer

    def stop(self) -> None:
        """Lets the process end."""
        self._process.communicate()


def measure_day(
    directory: Path,
    *,
    size: DaySize,
    rounds: int,
    plain_rounds: int,
    tell: Callable[[str], None],
) -> DayResult:
    """Writes the day, compares every contender's output with ours, and times them.

    Args:
        directory: An empty folder.
        size: How large the day is.
        rounds: Timed runs of each contender.
        plain_rounds: Timed runs of plain Python, which takes longest.
        tell: Told what goes on.

    Raises:
        OutputsDiffer: A contender's tables are not ours, value by value.
    """
    tell("writing the day")
    files = write_day(directory, size)
    reference, output = directory / "reference", directory / "output"
    workers: list[_Worker] = []
    measurements: list[Measurement] = []
    try:
        expected: dict[str, pa.Table] = {}
        for name in CONTENDERS:
            tell(f"warming up {name}")
            workers.append(_Worker(name, reference))
            workers[-1].run(files, reference if name == OURS else output)
            if name == OURS:
                expected = _outputs(reference)
            elif name != LIMIT:
                _compare(name, _outputs(output), expected)
        for number in range(rounds):
            turn = number % len(workers)
            for worker in workers[turn:] + workers[:turn]:
                if worker.name == PLAIN and number >= plain_rounds:
                    continue
                tell(f"round {number + 1} of {rounds}: {worker.name}")
                answer = worker.run(files, output)
                measurements.append(Measurement(contender=worker.name, round=number + 1, **answer))
    finally:
        for worker in workers:
            worker.stop()
    return DayResult(
        size=size,
        positions_bytes=files.positions.stat().st_size,
        allocation_rows=expected["allocations"].num_rows,
        measurements=measurements,
    )


def _outputs(directory: Path) -> dict[str, pa.Table]:
    """The two tables found in a folder, every text plain and every number of 64 bits."""
    tables = {}
    for name, columns in _TABLES.items():
        (path,) = directory.rglob(f"{name}.parquet")
        table = pq.read_table(path).replace_schema_metadata(None)
        if table.column_names != list(columns):
            raise OutputsDiffer(f"{path.name} has the columns {table.column_names}")
        tables[name] = table.cast(pa.schema(columns.items())).combine_chunks()
    return tables


def _compare(name: str, found: dict[str, pa.Table], expected: dict[str, pa.Table]) -> None:
    for table, ours in expected.items():
        theirs = found[table]
        if theirs.num_rows != ours.num_rows:
            raise OutputsDiffer(f"{name}: {theirs.num_rows} {table}, ours {ours.num_rows}")
        for column in ours.column_names:
            if theirs.column(column).equals(ours.column(column)):
                continue
            pairs = zip(
                theirs.column(column).to_pylist(), ours.column(column).to_pylist(), strict=True
            )
            row, (got, wanted) = next(
                (row, pair) for row, pair in enumerate(pairs) if pair[0] != pair[1]
            )
            raise OutputsDiffer(f"{name}: {table} row {row} {column}: {got!r}, ours {wanted!r}")
