"""A day, end to end: Parquet in, Parquet out, against peers, the limit, and its own replay.

Every contender must first give exactly our tables; rounds run each once, in a rotated order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench.made_day import DayFiles, MadeDay
from bench.ours import RECORDED_FOLDER
from bench.outputs import Tables, compare, outputs
from bench.process import Measurement, Worker
from bench.sizes import DaySize
from bench.worker import DAY, LIMIT, OURS, PEERS, RECORDED, REPLAY

_PUTS_OUT_NOTHING: Final = frozenset({LIMIT, REPLAY})
"""The limit writes our tables again; the replay compares them itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayResult:
    """What was measured, and of how large a day.

    Attributes:
        size: How large it is.
        key_bits: As `MadeDay` says.
        positions_bytes: The positions file.
        allocation_rows: Rows put out.
        measurements: Every timed run.
    """

    size: DaySize
    key_bits: int
    positions_bytes: int
    allocation_rows: int
    measurements: Sequence[Measurement]

    def of(self, contender: str) -> list[Measurement]:
        """Return the runs of a contender."""
        return [found for found in self.measurements if found.contender == contender]

    @property
    def contenders(self) -> list[str]:
        """Those that were timed, in the order of their first runs."""
        return list(dict.fromkeys(found.contender for found in self.measurements))

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class _Day:
    """A day while it is measured.

    Attributes:
        files: Its files.
        directory: Where contenders put out.
        expected: Our tables.
        compared: The contenders whose tables were compared.
    """

    files: DayFiles
    directory: Path
    expected: Tables = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)

    @property
    def reference(self) -> Path:
        """Our output, and the ledger whose run is replayed."""
        return self.directory / "reference"

    def measure(self, worker: Worker, number: int) -> Measurement:
        """Measure one run; the output of a contender's first one is compared."""
        if worker.name in self.compared:
            return worker.measure(self.files, self.directory / "output", number)
        output = {OURS: self.reference, RECORDED: self.reference / RECORDED_FOLDER}.get(
            worker.name, self.directory / "output"
        )
        measurement = worker.measure(self.files, output, number)
        if worker.name == OURS:
            self.expected = outputs(output)
        elif worker.name not in _PUTS_OUT_NOTHING:
            compare(worker.name, outputs(output), self.expected)
        self.compared.add(worker.name)
        return measurement


def measure_day(
    directory: Path,
    made: MadeDay,
    *,
    small: DayFiles,
    rounds: Mapping[str, int],
    checkouts: Sequence[Path] = (),
    seconds: float | None = None,
    report: Callable[[str], None],
) -> DayResult:
    """Compare every contender's output with ours, and time them.

    Args:
        directory: A folder for what comes out.
        made: The day.
        small: A small day, which warms up the peers of a large one: each of their runs there has a
            process of its own, because together they would not stay in memory.
        rounds: Timed runs of each contender; who is not there does not run. Ours must be.
        checkouts: Others of this repository, whose library is a contender each, beside ours.
        seconds: No round but the first starts later than this after it; None: all of them run.
        report: Receives what goes on, as text.

    Raises:
        OutputsDiffer: A contender's tables are not ours, value by value.
    """
    day = _Day(files=made.files, directory=directory)
    workers = [
        Worker(name, day.reference, warm_up=small if made.size.is_large and name in PEERS else None)
        for name in DAY
        if rounds.get(name)
    ]
    others = [Worker(OURS, day.reference, checkout=checkout) for checkout in checkouts]
    rounds = {**rounds, **{worker.name: rounds[OURS] for worker in others}}
    workers[1:1] = others
    measurements = []
    # Of a process' first run, as a command has one: what is kept of it would count for the next.
    first_peaks = {}
    try:
        for worker in workers:
            if worker.is_kept:
                report(f"warming up {worker.name}")
                first_peaks[worker.name] = day.measure(worker, 0).peak_bytes
        most = max(rounds.values())
        until = math.inf if seconds is None else time.monotonic() + seconds
        for number in range(most):
            if number and time.monotonic() > until:
                break
            turn = number % len(workers)
            for worker in workers[turn:] + workers[:turn]:
                if number < rounds[worker.name]:
                    report(f"round {number + 1} of {most}: {worker.name}")
                    run = day.measure(worker, number + 1)
                    peak = first_peaks.get(worker.name, run.peak_bytes)
                    measurements.append(replace(run, peak_bytes=peak))
                elif worker.is_kept:
                    worker.stop()
    finally:
        for worker in workers:
            worker.stop()
    return DayResult(
        size=made.size,
        key_bits=made.key_bits,
        positions_bytes=made.files.positions.stat().st_size,
        allocation_rows=day.expected["allocations"].num_rows,
        measurements=measurements,
    )
