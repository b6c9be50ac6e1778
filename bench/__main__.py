"""`python -m bench`: measures and prints; nothing is asserted but that all outputs are equal."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console

from bench.day import measure_day
from bench.log import measure_log
from bench.made_day import DaySize
from bench.report import machine, print_report, versions
from bench.series import measure_series


def main() -> None:
    """Reads the options, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks with peers.")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--rounds", type=int, help="timed runs of each contender")
    parser.add_argument(
        "--only", choices=("day", "series", "log"), help="one benchmark of the three"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every measurement")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 9)
    progress = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="lottery-bench-") as folder,
        progress.status("measuring") as status,
    ):
        day = series = log = None
        if options.only in {None, "day"}:
            day = measure_day(
                Path(folder),
                size=DaySize(),
                rounds=rounds,
                plain_rounds=1 if options.quick else min(rounds, 3),
                tell=status.update,
            )
        if options.only in {None, "series"}:
            blocks = 2 * rounds if options.quick else 4 * rounds
            series = measure_series(Path(folder), blocks=blocks, tell=status.update)
        if options.only in {None, "log"}:
            log = measure_log(Path(folder), quick=options.quick, rounds=rounds, tell=status.update)
    console = Console()
    if not console.is_terminal:
        console.width = 120  # A log can be scrolled; columns cut short cannot be read.
    print_report(console, day, series, log)
    if options.json:
        document = {
            "machine": machine(),
            "versions": versions(),
            "rounds": rounds,
            "day": None if day is None else day.as_json(),
            "series": None if series is None else series.as_json(),
            "log": None if log is None else log.as_json(),
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
