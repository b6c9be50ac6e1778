"""`RunLottery` over loopback with Arrow against the same files recorded locally.

The server is `python -m server`, the client a process of its own that reads the files into Arrow
tables, which counts; the local contender does what `lottery run` does. Both record every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.made_day import MadeDay
from bench.ours import LEDGER, made_ledger
from bench.outputs import compare, outputs
from bench.process import Measurement, Worker, serving
from bench.sizes import DaySize
from bench.wire import TARGET
from bench.worker import LOCAL, REMOTE, peak_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackResult:
    """What was measured.

    Attributes:
        size: How large the day is.
        server_peak_bytes: The server's memory; the client's is among the measurements.
        measurements: Every timed run.
    """

    size: DaySize
    server_peak_bytes: int
    measurements: Sequence[Measurement]

    def of(self, contender: str) -> list[Measurement]:
        """Return the runs of a contender."""
        return [found for found in self.measurements if found.contender == contender]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_loopback(
    directory: Path, made: MadeDay, *, rounds: int, report: Callable[[str], None]
) -> LoopbackResult:
    """Time both in turns, after each ran once and the recorded tables were compared.

    Args:
        directory: A folder for both ledgers.
        made: The day.
        rounds: Timed runs of each.
        report: Receives what goes on, as text.

    Raises:
        OutputsDiffer: The server recorded something else.
    """
    remote, local = directory / "remote", directory / "local"
    remote.mkdir(parents=True)
    local.mkdir()
    made_ledger(remote / LEDGER).close()  # A server makes none.
    report("starting the server")
    with serving(directory, remote / LEDGER) as served:
        (remote / TARGET).write_text(served.target, encoding="utf-8")
        workers = [Worker(LOCAL, local), Worker(REMOTE, remote)]
        output = directory / "output"
        try:
            for worker in workers:
                report(f"warming up {worker.name}")
                worker.measure(made.files, output, 0)
            compare(REMOTE, outputs(remote / LEDGER), outputs(local / LEDGER))
            measurements = []
            for number in range(rounds):
                for worker in workers if number % 2 else workers[::-1]:
                    report(f"round {number + 1} of {rounds}: {worker.name}")
                    measurements.append(worker.measure(made.files, output, number + 1))
            server_peak_bytes = peak_bytes(served.process)
        finally:
            for worker in workers:
                worker.stop()
    return LoopbackResult(
        size=made.size, server_peak_bytes=server_peak_bytes, measurements=measurements
    )
