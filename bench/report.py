"""The report: a table a benchmark, the targets' own, and the machine that it was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.results import Results
from bench.summary import summary
from bench.tables import tables

_PACKAGES = ("pyarrow", "numba", "numpy", "polars", "duckdb", "pandas", "grpcio", "protobuf")


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Return what was measured."""
    names = ("options-assignment-lottery", *_PACKAGES)
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def print_report(console: Console, results: Results) -> None:
    """Print what was measured."""
    for table in tables(results):
        console.print(table)
    console.print(_summary_table(results))
    where = machine()
    console.print(
        f"{where['cpu']}, {where['cores']} cores, {where['memory_bytes'] / 2**30:.0f} GiB; "
        + ", ".join(f"{name} {version}" for name, version in versions().items()),
        style="dim",
        highlight=False,
    )


def _summary_table(results: Results) -> Table:
    table = Table(title="Beside the targets")
    for heading in ("what", "measured", "target"):
        table.add_column(heading, overflow="fold")
    for row in summary(results):
        if row.measured:
            table.add_row(row.what, row.measured, row.target)
    return table


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
