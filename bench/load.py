"""How the server bears load: `make load-test`, or `python -m bench.load [--quick]`.

Callers are processes of their own (`bench.load_caller`) on the same machine, so that they take
processors from the server: the capacities are lower than with callers elsewhere.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from bench.load_caller import Job, Latencies
from bench.ours import made_ledger
from bench.process import Served, serving

CALLERS: Final = 16
SILENT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a test takes.

    Attributes:
        seconds: Length of each part.
        minute: Length of the part below capacity.
        positions: Positions of the run beside it.
        bad: Bad messages.
        calls: Calls whose memory is measured.
    """

    seconds: float
    minute: float
    positions: int
    bad: int
    calls: int


FULL: Final = Size(seconds=10.0, minute=60.0, positions=20_000_000, bad=10_000, calls=100_000)
QUICK: Final = Size(seconds=3.0, minute=5.0, positions=200_000, bad=1_000, calls=4_000)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    size = QUICK if parser.parse_args().quick else FULL
    table = Table("what", "answered", "OK/s", "p50 ms", "p99 ms", "other codes: p99 ms")
    with tempfile.TemporaryDirectory(prefix="lottery-load-") as folder:
        measure(Path(folder), size, table)
    Console(width=140).print(table)


def measure(folder: Path, size: Size, table: Table) -> None:
    """Measure every part, and add its rows to the table."""
    found = {}
    for processes in (1, 2):
        with _server(folder / f"workers-{processes}", processes) as server:
            job = Job(kind="series", target=server.target, seconds=size.seconds, callers=CALLERS)
            found[processes] = _row(table, f"workers: {processes}", size.seconds, _done(job))
    with _server(folder / "load", 2) as server:
        _load(server, size, found[2], table)
    with _server(folder / "abuse", 2) as server:
        _abuse(server, size, found[2] / 2, table)
    with _server(folder / "memory", 2) as server:
        _memory(server, size, found[2] / 2, table)


def _load(server: Served, size: Size, capacity: float, table: Table) -> None:
    """Call below capacity beside a large run, and three times above it."""
    below = Job(kind="series", target=server.target, seconds=size.minute, rate=0.8 * capacity)
    run = Job(kind="run", target=server.target, seconds=0, callers=size.positions)
    calls, ran = _done_together(below, run)
    _row(table, "0.8 of capacity, a run beside it", size.minute, calls)
    _row(table, f"the run of {size.positions:,} positions", size.minute, ran)
    above = Job(kind="series", target=server.target, seconds=size.seconds, rate=3 * capacity)
    health = Job(kind="health", target=server.health, seconds=size.seconds, rate=20, callers=1)
    calls, checks = _done_together(above, health)
    _row(table, "3 times capacity", size.seconds, calls)
    _row(table, "health meanwhile", size.seconds, checks)


def _abuse(server: Served, size: Size, rate: float, table: Table) -> None:
    """Call at half the capacity while others do what they should not."""
    usual = Job(kind="series", target=server.target, seconds=size.seconds, rate=rate)
    _row(table, "alone", size.seconds, _done(usual))
    for what in ("silent", "slow", "random", "bad"):
        bad = Job(
            kind=what,
            target=server.target,
            seconds=size.seconds,
            rate=size.bad / size.seconds if what == "bad" else 0.0,
            callers=SILENT,
        )
        calls, others = _done_together(usual, bad)
        _row(table, f"beside {SILENT} callers: {what}", size.seconds, calls)
        if others:
            _row(table, "  these", size.seconds, others)


def _memory(server: Served, size: Size, rate: float, table: Table) -> None:
    """Compare the workers' memory after all calls with that after the first tenth."""
    taken = []
    for share in (0.1, 0.9):
        _done(
            Job(
                kind="series",
                target=server.target,
                seconds=share * size.calls / rate,
                rate=rate,
            )
        )
        taken.append(sum(psutil.Process(pid).memory_info().rss for pid in server.workers))
    first, last = (f"{each / (1 << 20):,.0f} MiB" for each in taken)
    change = f"{taken[1] / taken[0] - 1:+.1%}"
    table.add_row(
        f"memory after a tenth and after all of {size.calls:,}", "", "", first, last, change
    )


@contextmanager
def _server(folder: Path, processes: int) -> Iterator[Served]:
    folder.mkdir()
    made_ledger(folder / "ledger").close()
    with serving(folder, folder / "ledger", processes) as served:
        _done(Job(kind="series", target=served.target, seconds=1.0))
        yield served


def _done(job: Job) -> Latencies:
    (seen,) = _done_together(job)
    return seen


def _done_together(*jobs: Job) -> list[Latencies]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.load_caller", json.dumps(asdict(job))],
            stdout=subprocess.PIPE,
        )
        for job in jobs
    ]
    return [json.loads(process.communicate()[0]) for process in processes]


def _row(table: Table, what: str, seconds: float, seen: Latencies) -> float:
    """Add a row, and return the answers a second."""
    fine = sorted(seen.get("OK", []))
    others = (
        f"{code} {len(times):,}: {_at(sorted(times), 0.99)}"
        for code, times in seen.items()
        if code != "OK"
    )
    rate = len(fine) / seconds
    shown = "" if "sent late" in seen else f"{rate:,.0f}"
    times = _at(fine, 0.5), _at(fine, 0.99)
    table.add_row(what, f"{len(fine):,}", shown, *times, ", ".join(others))
    return rate


def _at(ordered: list[float], share: float) -> str:
    return f"{ordered[int(share * (len(ordered) - 1))]:,.1f}" if ordered else ""


if __name__ == "__main__":
    main()
