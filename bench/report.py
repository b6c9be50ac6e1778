"""The figures as a table for people, ratios first, and the machine they were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.day import DayResult
from bench.log import LogResult, ratio_of_medians
from bench.series import SeriesResult
from bench.worker import CONTENDERS, LIMIT, OURS, RECORDED

_PACKAGES = ("pyarrow", "numba", "numpy", "polars", "duckdb", "pandas", "grpcio", "protobuf")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """What was measured."""
    names = ("options-assignment-lottery", *_PACKAGES)
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def print_report(
    console: Console,
    day: DayResult | None,
    series: SeriesResult | None,
    log: LogResult | None,
) -> None:
    """Prints what was measured."""
    if day is not None:
        console.print(_day_table(day))
    if series is not None:
        console.print(_series_table(series))
    if log is not None:
        console.print(_append_table(log))
        console.print(_verify_table(log))
    where = machine()
    console.print(
        f"{where['cpu']}, {where['cores']} cores, {where['memory_bytes'] / 2**30:.0f} GiB; "
        + ", ".join(f"{name} {version}" for name, version in versions().items()),
        style="dim",
        highlight=False,
    )


def _day_table(day: DayResult) -> Table:
    size = day.size
    table = Table(
        title=f"A day: {size.positions:,} positions, {size.series:,} series, {size.noticed:,} "
        f"noticed, {day.allocation_rows:,} rows out",
    )
    table.add_column("contender", no_wrap=True)
    for heading in (
        "time / ours",
        "CPU / ours",
        "median s",
        "least s",
        "most s",
        "CPU s",
        "peak MiB",
        "rounds",
    ):
        table.add_column(heading, justify="right")
    of = {
        name: [found for found in day.measurements if found.contender == name]
        for name in CONTENDERS
    }
    ours = statistics.median(found.seconds for found in of[OURS])
    ours_cpu = statistics.median(found.cpu_seconds for found in of[OURS])
    for name, found in of.items():
        if not found:
            continue
        seconds = [one.seconds for one in found]
        cpu_seconds = statistics.median(one.cpu_seconds for one in found)
        table.add_row(
            name,
            f"{statistics.median(seconds) / ours:.2f}",
            f"{cpu_seconds / ours_cpu:.2f}",
            f"{statistics.median(seconds):.3f}",
            f"{min(seconds):.3f}",
            f"{max(seconds):.3f}",
            f"{cpu_seconds:.3f}",
            f"{max(one.peak_bytes for one in found) / 2**20:.0f}",
            str(len(found)),
            style="bold" if name in {OURS, RECORDED} else None,
        )
    limit = statistics.median(found.seconds for found in of[LIMIT])
    table.caption = f"ours / limit: {ours / limit:.2f}; medians over interleaved rounds"
    return table


def _series_table(series: SeriesResult) -> Table:
    table = Table(
        title="Unary AllocateSeries against an echo of the same sizes, loopback",
        caption="p50 over all calls, in interleaved blocks",
    )
    for heading in (
        "accounts",
        "p50 / echo",
        "ours p50 ms",
        "echo p50 ms",
        "ours p99 ms",
        "echo p99 ms",
        "calls",
        "request KiB",
        "response KiB",
    ):
        table.add_column(heading, justify="right")
    for size in series.sizes:
        ours, echo = _percentiles(size.ours), _percentiles(size.echo)
        table.add_row(
            f"{size.accounts:,}",
            f"{ours[0] / echo[0]:.2f}",
            f"{ours[0]:.3f}",
            f"{echo[0]:.3f}",
            f"{ours[1]:.3f}",
            f"{echo[1]:.3f}",
            f"{len(size.ours):,}",
            f"{size.request_bytes / 1024:.1f}",
            f"{size.response_bytes / 1024:.1f}",
        )
    return table


def _append_table(log: LogResult) -> Table:
    table = Table(
        title="Appending to a log: the example day recorded, and an entry of the trail",
        caption="medians over appends in turns",
    )
    for heading in ("records", "a run / first", "a run ms", "an entry / first", "an entry ms"):
        table.add_column(heading, justify="right")
    first = log.appends[0]
    for result in log.appends:
        table.add_row(
            f"{result.records:,}",
            f"{ratio_of_medians(result.run_seconds, first.run_seconds):.2f}",
            f"{statistics.median(result.run_seconds) * 1e3:.1f}",
            f"{ratio_of_medians(result.entry_seconds, first.entry_seconds):.2f}",
            f"{statistics.median(result.entry_seconds) * 1e3:.1f}",
        )
    return table


def _verify_table(log: LogResult) -> Table:
    table = Table(title="Verifying a ledger of the example day", caption="medians")
    for heading in ("runs", "seconds", "a run ms", "a run / first"):
        table.add_column(heading, justify="right")
    first = log.verifications[0]
    for result in log.verifications:
        ratio = ratio_of_medians(result.seconds, first.seconds) * first.runs / result.runs
        seconds = statistics.median(result.seconds)
        table.add_row(
            f"{result.runs:,}",
            f"{seconds:.2f}",
            f"{seconds / result.runs * 1e3:.2f}",
            f"{ratio:.2f}",
        )
    return table


def _percentiles(nanoseconds: Sequence[int]) -> tuple[float, float]:
    """The p50 and the p99 in milliseconds."""
    ordered = sorted(nanoseconds)
    return statistics.median(ordered) / 1e6, ordered[int(len(ordered) * 0.99)] / 1e6


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
