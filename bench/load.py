"""How the server bears load: `make load-test`, or `python -m bench.load [--quick]`.

Callers are processes of their own (`bench.load_caller`) on the same machine, and take as little of
its processors as they can (`bench.http2`); those that do what they should not give way to others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from bench.load_caller import Job, Latencies
from bench.load_certificates import Certificates
from bench.load_processes import begun, done, echoes, ended, server
from bench.open_loop import LATE
from bench.process import Served

CALLERS: Final = 16
SILENT: Final = 64
BOMBS: Final = 4
"""Callers that send messages of 40 MiB, one after the other."""
CHANGES: Final = 20
"""Changes of the server's certificate during handshakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a test takes.

    Attributes:
        seconds: Length of each part.
        minute: Length of the part below capacity.
        positions: Positions of the run beside it.
        bad: Bad messages.
        calls: Calls whose memory is measured.
        handshakes: Connections that are made while certificates change.
    """

    seconds: float
    minute: float
    positions: int
    bad: int
    calls: int
    handshakes: int


FULL: Final = Size(
    seconds=10.0,
    minute=60.0,
    positions=20_000_000,
    bad=10_000,
    calls=100_000,
    handshakes=1_000,
)
QUICK: Final = Size(
    seconds=3.0, minute=5.0, positions=200_000, bad=3_000, calls=4_000, handshakes=200
)


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
    job = Job(kind="series", target="", seconds=size.seconds, callers=CALLERS)
    with server(folder / "one", 1) as served:
        calls = done(replace(job, target=served.target))
        _row(table, "workers: 1", size.seconds, calls)
    with server(folder / "two", 2) as served:
        calls = done(replace(job, target=served.target))
        capacity = _row(table, "workers: 2", size.seconds, calls)
        _memory(served, size, capacity / 2, table)
        _abuse(served, size, capacity / 4, table)
    certificates = Certificates(folder / "certificates")
    with server(folder / "tls", 2, certificates.settings) as served:
        tls = replace(job, certificates=str(certificates.folder))
        ours = done(replace(tls, target=served.target))
        with echoes(certificates.settings, 2) as target:
            echo = done(replace(tls, target=target))
        _row(table, "mutual TLS, workers: 2", size.seconds, ours)
        _row(table, "mutual TLS, echo servers: 2", size.seconds, echo)
        _handshakes(served, certificates, size, table)
    with server(folder / "load", 2) as served:
        _below_capacity(served, size, table)
        _above_capacity(served, size, capacity, table)


def _handshakes(served: Served, certificates: Certificates, size: Size, table: Table) -> None:
    """Connect anew for each call, while the server's certificate changes."""
    seconds = 4 * size.seconds
    callers = begun(
        Job(
            kind="handshakes",
            target=served.target,
            seconds=seconds,
            rate=size.handshakes / seconds,
            callers=CALLERS,
            certificates=str(certificates.folder),
        )
    )
    for _ in range(CHANGES):
        time.sleep(seconds / (CHANGES + 1))  # What is measured is a rate of changes.
        certificates.change()
    (seen,) = ended(callers)
    _row(table, f"handshakes during {CHANGES} changes of certificates", seconds, seen)


def _below_capacity(served: Served, size: Size, table: Table) -> None:
    """Call below what the server bears beside large runs, which are recorded all the while."""
    # A run is longer than a part: what is borne differs from one of its stages to the next.
    calls = Job(kind="series", target=served.target, seconds=size.minute, callers=CALLERS)
    runs = begun(replace(calls, kind="run", seconds=2 * size.minute, callers=size.positions))
    capacity = _row(table, "beside runs: capacity", size.minute, done(calls))
    _row(table, "beside runs: 0.8 of it", size.minute, done(replace(calls, rate=0.8 * capacity)))
    (ran,) = ended(runs)
    _row(table, f"the runs, of {size.positions:,} positions", 2 * size.minute, ran)


def _above_capacity(served: Served, size: Size, capacity: float, table: Table) -> None:
    """Call three times above capacity, and ask the server's health meanwhile."""
    before = served.log.stat().st_size
    above = Job(kind="series", target=served.target, seconds=size.seconds, rate=3 * capacity)
    health = Job(kind="health", target=served.health, seconds=size.seconds, rate=20, callers=1)
    calls, checks = ended(begun(above, health))
    _row(table, "3 times capacity", size.seconds, calls)
    _row(table, "health meanwhile", size.seconds, checks)
    logged: Latencies = defaultdict(list)
    for line in served.log.read_bytes()[before:].splitlines():
        said = json.loads(line)
        if said["event"] == "call":
            logged[said["code"]].append(said["milliseconds"])
    _row(table, "the same calls as the server's log has them", size.seconds, logged)


def _abuse(served: Served, size: Size, rate: float, table: Table) -> None:
    """Call at a quarter of the capacity while others do what they should not."""
    usual = Job(kind="series", target=served.target, seconds=size.seconds, rate=rate)
    _row(table, "alone", size.seconds, done(usual))
    for what in ("silent", "slow", "random", "bad", "bomb"):
        bad = Job(
            kind=what,
            target=served.target,
            seconds=size.seconds,
            rate=size.bad / size.seconds if what == "bad" else 0.0,
            callers=BOMBS if what == "bomb" else SILENT,
        )
        calls, others = ended(begun(usual, bad))
        _row(table, f"beside {bad.callers} callers: {what}", size.seconds, calls)
        if others:
            _row(table, "  these", size.seconds, others)


def _memory(served: Served, size: Size, rate: float, table: Table) -> None:
    """Compare the workers' memory after all calls with that after the first tenth."""
    taken = []
    for share in (0.1, 0.9):
        done(
            Job(
                kind="series",
                target=served.target,
                seconds=share * size.calls / rate,
                rate=rate,
            )
        )
        taken.append(sum(psutil.Process(pid).memory_info().rss for pid in served.workers))
    first, last = (f"{each / (1 << 20):,.0f} MiB" for each in taken)
    change = f"{taken[1] / taken[0] - 1:+.1%}"
    table.add_row(
        f"memory after a tenth and after all of {size.calls:,}", "", "", first, last, change
    )


def _row(table: Table, what: str, seconds: float, seen: Latencies) -> float:
    """Add a row, and return the answers a second."""
    fine = sorted(seen.get("OK", []))
    others = (
        f"{code} {len(times):,}: {_at(sorted(times), 0.99)}"
        for code, times in seen.items()
        if code != "OK"
    )
    rate = len(fine) / seconds
    shown = "" if LATE in seen else f"{rate:,.0f}"
    times = _at(fine, 0.5), _at(fine, 0.99)
    table.add_row(what, f"{len(fine):,}", shown, *times, ", ".join(others))
    return rate


def _at(ordered: list[float], share: float) -> str:
    return f"{ordered[int(share * (len(ordered) - 1))]:,.1f}" if ordered else ""


if __name__ == "__main__":
    main()
