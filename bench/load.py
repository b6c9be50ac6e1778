"""How the server bears load: `make load-test`, or `python -m bench.load [--quick]`.

Callers are processes of their own (`bench.load_caller`) on the same machine, so that they take
processors from the server: the capacities are lower than with callers elsewhere.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from bench.load_caller import ACCOUNTS, Job, Latencies
from bench.ours import made_ledger
from bench.process import TRUSTED, Served, serving
from lottery.operations.certificates import trial_files

CALLERS: Final = 16
SILENT: Final = 64
BOMBS: Final = 4
"""Callers that send messages of 40 MiB, one after the other."""


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
    _against_echo(folder / "tls", size, table)
    with _server(folder / "load", 2) as server:
        _load(server, size, found[2], table)
    with _server(folder / "abuse", 2) as server:
        _abuse(server, size, found[2] / 2, table)
    with _server(folder / "memory", 2) as server:
        _memory(server, size, found[2] / 2, table)


def _against_echo(folder: Path, size: Size, table: Table) -> None:
    """Call with mutual TLS the server, and then one that computes nothing."""
    certificates = folder / "certificates"
    certificates.mkdir(parents=True)
    for name, content in trial_files(("127.0.0.1",), dt.timedelta(days=1)).items():
        (certificates / name).write_bytes(content)
    settings = {
        "LOTTERY_TLS_CERTIFICATE": str(certificates / "server.pem"),
        "LOTTERY_TLS_KEY": str(certificates / "server.key"),
        "LOTTERY_TLS_CLIENT_CA": str(certificates / "authority.pem"),
        "LOTTERY_ROLES": str(certificates / "roles.toml"),
    }
    job = Job(
        kind="series",
        target="",
        seconds=size.seconds,
        callers=CALLERS,
        certificates=str(certificates),
    )
    with _server(folder / "ours", 2, settings) as server:
        ours = _done(replace(job, target=server.target))
    with _echoes(settings, 2) as target:
        echo = _done(replace(job, target=target))
    _row(table, "mutual TLS, workers: 2", size.seconds, ours)
    _row(table, "mutual TLS, echo servers: 2", size.seconds, echo)


@contextmanager
def _echoes(settings: Mapping[str, str], processes: int) -> Iterator[str]:
    """Serve what computes nothing, on a port that processes share."""
    port = 0
    command = [sys.executable, "-m", "bench.series_server", "echo", ".", str(ACCOUNTS)]
    with ExitStack() as stack:
        for _ in range(processes):
            environment = {**os.environ, **settings, "LOTTERY_LISTEN": f"127.0.0.1:{port}"}
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.enter_context(process)  # Its end closes the input, which ends the server.
            assert process.stdout is not None
            port = int(process.stdout.readline())
        yield f"127.0.0.1:{port}"


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
    for what in ("silent", "slow", "random", "bad", "bomb"):
        bad = Job(
            kind=what,
            target=server.target,
            seconds=size.seconds,
            rate=size.bad / size.seconds if what == "bad" else 0.0,
            callers=BOMBS if what == "bomb" else SILENT,
        )
        calls, others = _done_together(usual, bad)
        _row(table, f"beside {bad.callers} callers: {what}", size.seconds, calls)
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
def _server(
    folder: Path, processes: int, settings: Mapping[str, str] = TRUSTED
) -> Iterator[Served]:
    folder.mkdir()
    made_ledger(folder / "ledger").close()
    with serving(folder, folder / "ledger", processes, settings) as served:
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
