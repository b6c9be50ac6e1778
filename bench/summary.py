"""The table of targets, row by row: what was measured beside what is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.curve import CurveResult
from bench.day import DayResult
from bench.fixml import OURS as OUR_FIXML
from bench.log import ratio_of_medians
from bench.results import Results
from bench.series import SeriesResult
from bench.sizes import FRIDAY, GIANT, LONG, TYPICAL
from bench.stream import CLIENT, FLIGHT, FLIGHT_FILE, STREAM, StreamResult
from bench.tables import cpu_ratio, fixml_ratio, peak, ratio
from bench.worker import LIMIT, LOCAL, OURS, PEERS, RECORDED, REMOTE, REPLAY
from lottery import day, intake

_ROOMS: Final = (day, intake)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; what was not measured is empty."""

    what: str
    measured: str
    target: str

    def as_json(self) -> dict[str, str]:
        """Return the row for a JSON file."""
        return asdict(self)


def summary(results: Results) -> list[Row]:
    """Return every row of the table, including those not measured."""
    rows = [
        *_day_rows(results),
        *_ledger_rows(results),
        *_wire_rows(results),
        _fixml_row(results),
        ("lines of lottery/day and lottery/intake", f"{_lines():,}", "4,200"),
    ]
    return [Row(what=what, measured=measured, target=target) for what, measured, target in rows]


def _day_rows(results: Results) -> Iterator[tuple[str, str, str]]:
    """Yield subject, figure and target of the rows of days."""
    of = results.days.get
    for name, target in ((FRIDAY, "1.6"), (TYPICAL, "1.5"), (GIANT, "1.5"), (LONG, "")):
        yield f"{name} / limit: time, CPU", _quotients(of(name), OURS, LIMIT), target
    for name, target in ((FRIDAY, "3.5, 4, 8, 40"), (TYPICAL, ""), (GIANT, ""), (LONG, "")):
        yield f"{name}: {', '.join(PEERS)} / ours", _peers(of(name)), target
    for name, target in ((FRIDAY, "0.9 GB"), (TYPICAL, ""), (GIANT, ""), (LONG, "")):
        yield f"peak memory, {name}", _gigabytes(of(name)), target
    yield (
        "peak memory, bytes a further position",
        _memory_growth(results.curve),
        "no faster than the rows",
    )
    for ones, others, what, target in (
        (RECORDED, OURS, "recorded / unrecorded", "1.15"),
        (REPLAY, RECORDED, "replay / recorded run", "1.0"),
    ):
        for name in (FRIDAY, TYPICAL):
            yield f"{what}, {name}: time, CPU", _quotients(of(name), ones, others), target


def _wire_rows(results: Results) -> Iterator[tuple[str, str, str]]:
    """Yield subject, figure and target of the rows of servers and processes."""
    loopback, cold = results.loopback, results.cold
    size = "" if loopback is None else f"{loopback.size.positions:,} positions"
    yield (
        f"RunLottery over loopback with Arrow / locally {f'({size})' if size else ''}".strip(),
        "" if loopback is None else f"{ratio(loopback.of(REMOTE), loopback.of(LOCAL)):.2f}",
        "1.3 (friday)",
    )
    yield (
        "StreamAllocations, rows a second / Arrow Flight from memory",
        _streamed(results.stream, STREAM, FLIGHT),
        "1.0",
    )
    yield (
        "the same / Arrow Flight that reads the file",
        _streamed(results.stream, STREAM, FLIGHT_FILE),
        "",
    )
    yield (
        "LotteryClient.allocations, rows a second / Arrow Flight from memory",
        _streamed(results.stream, CLIENT, FLIGHT),
        "",
    )
    yield "AllocateSeries p50 / echo, 3, 100, 10,000 accounts", _echoes(results), "1.2, 1.25, 2.5"
    for what, target in (("as installed", "1.5"), ("beside pandas", "")):
        seconds: Sequence[float] = ()
        if cold is not None:
            seconds = cold.run_seconds if target else cold.with_pandas_seconds
        yield (
            f"cold lottery run / imports of pyarrow and numba, {what}",
            "" if cold is None else f"{ratio_of_medians(seconds, cold.imports_seconds):.2f}",
            target,
        )


def _ledger_rows(results: Results) -> Iterator[tuple[str, str, str]]:
    """Yield subject, figure and target of the rows of the ledger."""
    log, replicas = results.log, results.replicas
    measured = ""
    if log is not None:
        first, last = log.appends[0], log.appends[-1]
        measured = ", ".join(
            f"{ratio_of_medians(*both):.2f}"
            for both in (
                (last.run_seconds, first.run_seconds),
                (last.entry_seconds, first.entry_seconds),
            )
        )
    yield "a run, an entry: appended to a long log / to a short one", measured, "1.1"
    yield (
        "typical recorded on PostgreSQL and S3 / on SQLite",
        "" if replicas is None else f"{replicas.ratio:.2f}",
        "1.3",
    )
    yield (
        "small runs a second over three replicas",
        "" if replicas is None else f"{replicas.runs_a_second:.0f}",
        "50",
    )


def _fixml_row(results: Results) -> tuple[str, str, str]:
    fixml = results.fixml
    measured = ""
    if fixml is not None:
        most = max(one.peak_bytes for one in fixml.of(OUR_FIXML)) / 2**20
        measured = f"{fixml_ratio(fixml, OUR_FIXML):.2f}, peak {most:.0f} MiB"
    size = "" if fixml is None else f" ({fixml.reports:,} reports)"
    return f"notices as FIXML / bare iterparse{size}", measured, "3.0"


def _lines() -> int:
    """Return the lines of both rooms, FIXML's with them, docstrings and blank ones counted."""
    files = (path for room in _ROOMS for path in Path(room.__path__[0]).rglob("*.py"))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def _quotients(day: DayResult | None, ones: str, others: str) -> str:
    """Return a quotient of times and one of CPU times."""
    if day is None or not day.of(ones) or not day.of(others):
        return ""
    return (
        f"{ratio(day.of(ones), day.of(others)):.2f}, {cpu_ratio(day.of(ones), day.of(others)):.2f}"
    )


def _peers(day: DayResult | None) -> str:
    found = [_quotients(day, peer, OURS).split(", ") for peer in PEERS]
    if not any(map(any, found)):
        return ""
    times, cpu_times = (", ".join(one[index] or "-" for one in found) for index in (0, -1))
    return f"{times} (CPU {cpu_times})"


def _gigabytes(day: DayResult | None) -> str:
    return "" if day is None else f"{peak(day.of(OURS)) / 1e9:.2f} GB"


def _memory_growth(curve: CurveResult | None) -> str:
    """Return the growth from size to size, without what the process itself takes."""
    if curve is None or len(curve.points) < 2:
        return ""
    steps = zip(curve.points, curve.points[1:], strict=False)
    return ", ".join(
        f"{(later.peak_bytes - one.peak_bytes) / (later.size.positions - one.size.positions):.0f}"
        for one, later in steps
    )


def _streamed(stream: StreamResult | None, one: str, other: str) -> str:
    if stream is None:
        return ""
    return f"{ratio_of_medians(stream.seconds[other], stream.seconds[one]):.2f}"


def _echoes(results: Results) -> str:
    if results.series is None:
        return ""
    middle: Callable[[Sequence[int]], float] = statistics.median
    series: SeriesResult = results.series
    return ", ".join(f"{middle(size.ours) / middle(size.echo):.2f}" for size in series.sizes)
