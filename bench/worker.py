"""A contender in a process of its own: `python -m bench.worker NAME REFERENCE`.

It reads one JSON line a run (`positions`, `notices`, `volumes`, `output`) from standard input and
answers one with `seconds`, `cpu_seconds` and `peak_bytes`, or `error`. The CPU time is what the
process used in user and system mode, on all its threads, and what processes of its own used.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

Contender = Callable[[Path, Path, Path, Path], None]


def _ours(_: Path) -> Contender:
    from bench.ours import run_ours, warm_up  # noqa: PLC0415 - each process imports its own alone.

    warm_up()
    return run_ours


def _ours_recorded(_: Path) -> Contender:
    from bench.ours import run_ours_recorded, warm_up  # noqa: PLC0415 - as above.

    warm_up()
    return run_ours_recorded


def _replay(reference: Path) -> Contender:
    from bench.ours import prepare_replay  # noqa: PLC0415 - as above.

    return prepare_replay(reference)


def _local(reference: Path) -> Contender:
    from bench.wire import prepare_local  # noqa: PLC0415 - as above.

    return prepare_local(reference)


def _remote(reference: Path) -> Contender:
    from bench.wire import prepare_remote  # noqa: PLC0415 - as above.

    return prepare_remote(reference)


def _limit(reference: Path) -> Contender:
    from bench.ours import prepare_limit  # noqa: PLC0415 - as above.

    return prepare_limit(reference)


def _polars(_: Path) -> Contender:
    from bench.with_polars import run_polars  # noqa: PLC0415 - as above.

    return run_polars


def _duckdb(_: Path) -> Contender:
    from bench.with_duckdb import run_duckdb  # noqa: PLC0415 - as above.

    return run_duckdb


def _pandas(_: Path) -> Contender:
    from bench.with_pandas import run_pandas  # noqa: PLC0415 - as above.

    return run_pandas


def _plain(_: Path) -> Contender:
    from bench.plain import run_plain  # noqa: PLC0415 - as above.

    return run_plain


OURS: Final = "ours"
RECORDED: Final = "recorded"
REPLAY: Final = "replay"
POLARS: Final = "polars"
DUCKDB: Final = "DuckDB"
PANDAS: Final = "pandas"
PLAIN: Final = "Python"
LIMIT: Final = "limit"
LOCAL: Final = "local"
REMOTE: Final = "RunLottery"
CONTENDERS: Final[dict[str, Callable[[Path], Contender]]] = {
    OURS: _ours,
    RECORDED: _ours_recorded,
    REPLAY: _replay,
    POLARS: _polars,
    DUCKDB: _duckdb,
    PANDAS: _pandas,
    PLAIN: _plain,
    LIMIT: _limit,
    LOCAL: _local,
    REMOTE: _remote,
}
DAY: Final = (OURS, RECORDED, REPLAY, POLARS, DUCKDB, PANDAS, PLAIN, LIMIT)
"""The contenders of a day, in the order of their tables."""
PEERS: Final = (POLARS, DUCKDB, PANDAS, PLAIN)


def main() -> None:
    """Run the contender for each line, until there are no more."""
    contender = CONTENDERS[sys.argv[1]](Path(sys.argv[2]))
    for line in sys.stdin:
        asked = json.loads(line)
        paths = [Path(asked[name]) for name in ("positions", "notices", "volumes", "output")]
        gc.collect()
        try:
            cpu, wall = _cpu_seconds(), time.perf_counter()
            contender(*paths)
            seconds, cpu_seconds = time.perf_counter() - wall, _cpu_seconds() - cpu
        except Exception:  # noqa: BLE001 - whatever it is goes to the process that asked.
            answer: dict[str, object] = {"error": traceback.format_exc()}
        else:
            answer = {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "peak_bytes": peak_bytes(),
            }
        print(json.dumps(answer), flush=True)


def _cpu_seconds() -> float:
    usages = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes(process: int | str = "self") -> int:
    """Return the most memory that this process, or the one of an id, ever had resident.

    What `getrusage` says starts, on Linux, at the size of the process that started this one; the
    kernel's own account of this process does not.
    """
    status = Path(f"/proc/{process}/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if process != "self":
        return 0  # Not known without /proc.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
