"""`python -m bench`: measures and prints; nothing is asserted but that all outputs are equal."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.cold import measure_cold
from bench.curve import measure_curve
from bench.day import measure_day
from bench.days import Days
from bench.fixml import measure_fixml
from bench.log import measure_log
from bench.loopback import measure_loopback
from bench.options import (
    COLD,
    CURVE,
    FIXML,
    LOG,
    REPLICAS,
    RUN_LOTTERY,
    SECTIONS,
    SERIES,
    STREAM,
    Options,
    read_options,
)
from bench.replicas import measure_replicas
from bench.report import machine, print_report, versions
from bench.results import Results
from bench.series import measure_series
from bench.sizes import SIZES, TYPICAL, curve_size
from bench.stream import measure_stream
from bench.summary import summary


def main() -> None:
    """Read the options, measure, and print."""
    options = read_options()
    progress = Console(stderr=True)
    results = Results()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lottery-bench-", dir=options.directory) as folder,
            progress.status("measuring") as status,
        ):
            _keep_bytecode(Path(folder))
            measure(Path(folder), options, results, status.update)
    finally:  # What was measured before something failed took its time too.
        _report(options, results)


def _report(options: Options, results: Results) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 120  # A log can be scrolled; columns cut short cannot be read.
    print_report(console, results)
    if options.json:
        document = {
            "machine": machine(),
            "versions": versions(),
            "options": options.as_json(),
            "summary": [row.as_json() for row in summary(results)],
            **results.as_json(),
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(  # noqa: C901 - a branch for each benchmark.
    folder: Path, options: Options, results: Results, report: Callable[[str], None]
) -> None:
    """Measure everything that the options ask for, one after the other.

    Args:
        folder: An empty folder.
        options: What is asked for.
        results: Where each result goes as soon as it is there.
        report: Receives what goes on, as text.
    """
    days = Days(options.inputs)
    rounds = options.rounds
    for name in SECTIONS:
        if name not in options.only:
            continue
        directory = folder / name
        directory.mkdir()
        say = _prefixed(report, name)
        if name in SIZES:
            size = options.size(name)
            say("writing the day")
            results.days[name] = measure_day(
                directory,
                days.of(size),
                small=days.of(curve_size(20_000)).files,
                rounds=options.day_rounds(size),
                checkouts=options.against,
                seconds=options.seconds,
                report=say,
            )
        elif name in {RUN_LOTTERY, STREAM}:
            say("writing the day")
            day = days.of(options.size(options.loopback_day))
            if name == RUN_LOTTERY:
                results.loopback = measure_loopback(directory, day, rounds=rounds, report=say)
            else:
                results.stream = measure_stream(directory, day, rounds=rounds, report=say)
        elif name == SERIES:
            blocks = rounds * (1 if options.quick else 4)
            results.series = measure_series(directory, blocks=blocks, report=say)
        elif name == COLD:
            results.cold = measure_cold(directory, rounds=options.cold_rounds, report=say)
        elif name == LOG:
            results.log = measure_log(directory, quick=options.quick, rounds=rounds, report=say)
        elif name == REPLICAS:
            typical = days.of(options.size(TYPICAL)).files
            results.replicas = measure_replicas(directory, typical, rounds=rounds, report=say)
        elif name == FIXML:
            reports = options.fixml_reports
            results.fixml = measure_fixml(
                directory, reports=reports, rounds=min(rounds, 3), report=say
            )
        elif name == CURVE:
            sizes = options.curve_sizes()
            results.curve = measure_curve(directory, days, sizes, rounds=min(rounds, 5), report=say)
        shutil.rmtree(directory)


def _keep_bytecode(folder: Path) -> None:
    """Let the processes that are measured keep bytecode, where the environment forbids it.

    An installation has bytecode; without it a cold start would mostly be the compiling of Python.
    """
    if sys.dont_write_bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")


def _prefixed(report: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda text: report(f"{name}: {text}")


if __name__ == "__main__":
    main()
