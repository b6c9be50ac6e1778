"""What was measured as tables for people, one a benchmark, ratios first."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.table import Table

from bench.cold import ColdResult
from bench.curve import CurveResult
from bench.day import DayResult
from bench.fixml import BARE, FixmlResult
from bench.fixml import OURS as OUR_FIXML
from bench.log import LogResult, ratio_of_medians
from bench.loopback import LoopbackResult
from bench.process import Measurement
from bench.replicas import REPLICAS, ReplicasResult
from bench.results import Results
from bench.series import SeriesResult
from bench.stream import FLIGHT, StreamResult
from bench.worker import LIMIT, LOCAL, OURS, RECORDED, REMOTE

_KEY_BITS = 63


def tables(results: Results) -> Iterator[Table]:
    """Yield a table of each benchmark that ran."""
    for name, day in results.days.items():
        yield _day_table(name, day)
    if results.loopback is not None:
        yield _loopback_table(results.loopback)
    if results.stream is not None:
        yield _stream_table(results.stream)
    if results.series is not None:
        yield _series_table(results.series)
    if results.cold is not None:
        yield _cold_table(results.cold)
    if results.log is not None:
        yield _append_table(results.log)
        yield _verify_table(results.log)
    if results.replicas is not None:
        yield _replicas_table(results.replicas)
    if results.fixml is not None:
        yield _fixml_table(results.fixml)
    if results.curve is not None:
        yield _curve_table(results.curve)


def _day_table(name: str, day: DayResult) -> Table:
    size = day.size
    table = Table(
        title=f"{name}: {size.positions:,} positions, {size.series:,} series, {size.assigned:,} "
        f"assigned, {day.allocation_rows:,} rows out",
    )
    _add_contenders(table, {contender: day.of(contender) for contender in day.contenders}, OURS)
    kind = "are ranked" if day.key_bits > _KEY_BITS else "are packed into one key"
    caption = f"accounts {kind} ({day.key_bits} bits with the index); medians, interleaved rounds"
    if day.of(LIMIT):
        ours, limit = day.of(OURS), day.of(LIMIT)
        both = f"{ratio(ours, limit):.2f}, of CPU {cpu_ratio(ours, limit):.2f}"
        caption = f"ours / limit: {both}; {caption}"
    table.caption = caption
    return table


def _loopback_table(loopback: LoopbackResult) -> Table:
    table = Table(
        title=f"RunLottery over loopback with Arrow, {loopback.size.positions:,} positions, "
        "against the same files recorded locally",
        caption="of RunLottery, CPU and peak are the client's; the server's peak: "
        f"{loopback.server_peak_bytes / 2**20:.0f} MiB; medians, interleaved rounds",
    )
    found = {contender: loopback.of(contender) for contender in (LOCAL, REMOTE)}
    _add_contenders(table, found, LOCAL)
    return table


def _add_contenders(table: Table, found: dict[str, list[Measurement]], base: str) -> None:
    """Return a row for each contender, compared with one of them."""
    table.add_column("contender", no_wrap=True)
    compared = [f"time / {base}", f"CPU / {base}"]
    figures = ("median s", "least s", "most s", "CPU s", "least CPU", "peak MiB", "rounds")
    for heading in (*compared, *figures):
        table.add_column(heading, justify="right")
    base_cpu = statistics.median(one.cpu_seconds for one in found[base])
    for name, runs in found.items():
        if not runs:
            continue
        seconds = [one.seconds for one in runs]
        cpu_seconds = statistics.median(one.cpu_seconds for one in runs)
        least_cpu_seconds = min(one.cpu_seconds for one in runs)
        table.add_row(
            name,
            f"{ratio(runs, found[base]):.2f}",
            f"{cpu_seconds / base_cpu:.2f}",
            f"{statistics.median(seconds):.3f}",
            f"{min(seconds):.3f}",
            f"{max(seconds):.3f}",
            f"{cpu_seconds:.3f}",
            f"{least_cpu_seconds:.3f}",
            f"{peak(runs) / 2**20:.0f}",
            str(len(runs)),
            style="bold" if name in {OURS, RECORDED, REMOTE} else None,
        )


def ratio(ones: Sequence[Measurement], others: Sequence[Measurement]) -> float:
    """Return how many times as long the median run of the one takes as that of the other."""
    return ratio_of_medians([one.seconds for one in ones], [other.seconds for other in others])


def cpu_ratio(ones: Sequence[Measurement], others: Sequence[Measurement]) -> float:
    """Return how many times as much CPU time the median run of the one takes as of the other."""
    return ratio_of_medians(
        [one.cpu_seconds for one in ones], [other.cpu_seconds for other in others]
    )


def peak(runs: Sequence[Measurement]) -> int:
    """Return the most bytes that any run had resident."""
    return max(run.peak_bytes for run in runs)


def _stream_table(stream: StreamResult) -> Table:
    table = Table(
        title=f"StreamAllocations in Arrow, {stream.rows:,} rows, loopback",
        caption="rows a second at the median, over those of Flight; interleaved calls",
    )
    table.add_column("contender", no_wrap=True)
    for heading in ("rows a second / Flight", "million rows a second", "median ms", "calls"):
        table.add_column(heading, justify="right")
    for name, seconds in stream.seconds.items():
        median = statistics.median(seconds)
        table.add_row(
            name,
            f"{ratio_of_medians(stream.seconds[FLIGHT], seconds):.2f}",
            f"{stream.rows / median / 1e6:.2f}",
            f"{median * 1e3:.1f}",
            str(len(seconds)),
        )
    return table


def _cold_table(cold: ColdResult) -> Table:
    table = Table(
        title="Cold start: the example day recorded by a process of its own",
        caption="medians, in turns; bytecode and machine code are there",
    )
    table.add_column("process", no_wrap=True)
    for heading in ("time / imports", "median ms", "least ms", "most ms", "processes"):
        table.add_column(heading, justify="right")
    rows = {
        "lottery run, as installed": cold.run_seconds,
        "lottery run, beside pandas": cold.with_pandas_seconds,
        'python -c "import pyarrow, numba"': cold.imports_seconds,
    }
    for name, seconds in rows.items():
        table.add_row(
            name,
            f"{ratio_of_medians(seconds, cold.imports_seconds):.2f}",
            f"{statistics.median(seconds) * 1e3:.0f}",
            f"{min(seconds) * 1e3:.0f}",
            f"{max(seconds) * 1e3:.0f}",
            str(len(seconds)),
        )
    return table


def _fixml_table(fixml: FixmlResult) -> Table:
    table = Table(
        title=f"Notices as FIXML: {fixml.reports:,} reports, {fixml.file_bytes / 2**20:.0f} MiB",
        caption="medians, in turns, each pass a process of its own",
    )
    table.add_column("contender", no_wrap=True)
    compared = (f"time / {BARE}", f"CPU / {BARE}")
    for heading in (*compared, "reports a second", "median s", "peak MiB", "before it", "passes"):
        table.add_column(heading, justify="right")
    base = fixml.of(BARE)
    base_cpu = statistics.median(one.cpu_seconds for one in base)
    for name in (OUR_FIXML, BARE):
        passes = fixml.of(name)
        seconds = statistics.median(one.seconds for one in passes)
        cpu_seconds = statistics.median(one.cpu_seconds for one in passes)
        table.add_row(
            name,
            f"{fixml_ratio(fixml, name):.2f}",
            f"{cpu_seconds / base_cpu:.2f}",
            f"{fixml.reports / seconds:,.0f}",
            f"{seconds:.2f}",
            f"{max(one.peak_bytes for one in passes) / 2**20:.0f}",
            f"{max(one.peak_before_bytes for one in passes) / 2**20:.0f}",
            str(len(passes)),
        )
    return table


def fixml_ratio(fixml: FixmlResult, contender: str) -> float:
    """Return how many times as long as bare iterparse a contender takes."""
    ones, others = fixml.of(contender), fixml.of(BARE)
    return ratio_of_medians([one.seconds for one in ones], [one.seconds for one in others])


def _curve_table(curve: CurveResult) -> Table:
    table = Table(
        title="The cost curve: unrecorded days of the typical shape, each in its own process",
        caption="medians; peaks with Python, Arrow and the compiled loops",
    )
    for heading in (
        "positions",
        "ns a position",
        "seconds",
        "CPU s",
        "peak MiB",
        "bytes a position",
        "file MiB",
    ):
        table.add_column(heading, justify="right")
    for point in curve.points:
        positions, seconds = point.size.positions, statistics.median(point.seconds)
        table.add_row(
            f"{positions:,}",
            f"{seconds / positions * 1e9:.0f}",
            f"{seconds:.3f}",
            f"{statistics.median(point.cpu_seconds):.3f}",
            f"{point.peak_bytes / 2**20:.0f}",
            f"{point.peak_bytes / positions:.0f}",
            f"{point.positions_bytes / 2**20:.1f}",
        )
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


def _replicas_table(replicas: ReplicasResult) -> Table:
    table = Table(title="PostgreSQL and S3 on loopback", caption="medians of the days")
    for heading in ("a day / SQLite", "a day s", "small runs", "replicas", "runs a second"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{replicas.ratio:.2f}",
        f"{statistics.median(replicas.bucket_seconds):.2f}",
        f"{replicas.runs:,}",
        f"{REPLICAS}",
        f"{replicas.runs_a_second:.1f}",
    )
    return table


def _percentiles(nanoseconds: Sequence[int]) -> tuple[float, float]:
    """Return the p50 and the p99 in milliseconds."""
    ordered = sorted(nanoseconds)
    return statistics.median(ordered) / 1e6, ordered[int(len(ordered) * 0.99)] / 1e6
