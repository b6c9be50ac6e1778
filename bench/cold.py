"""Cold start: `lottery run` of the example day as a process, against its imports' own.

The machine code and the bytecode are there, as after an installation: the first run of each is not
counted. Every run records into a new ledger.

An installation of the lottery has no pandas, and the developers' environment has: Arrow imports it
where it finds it, which takes longer than most of a cold run. So each run is timed without pandas,
which is taken to be missing, and with it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.log import EXAMPLE, timed
from bench.ours import made_ledger

_BREAKS: Final = 4
"""The exit code of a run with breaks; the example day has one on purpose."""
_DATE: Final = "2024-09-16"
_LOTTERY: Final = (sys.executable, "-m", "lottery")
_WITHOUT_PANDAS: Final = (
    sys.executable,
    "-c",
    """
import sys

class NoPandas:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoPandas)
from lottery.cli.main import main

main()
""",
)
_IMPORTS: Final = (sys.executable, "-c", "import pyarrow, numba")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdResult:
    """Seconds of every process, from its start to its end.

    Attributes:
        run_seconds: `lottery run` where there is no pandas, as after an installation.
        with_pandas_seconds: `lottery run` where there is.
        imports_seconds: The imports.
    """

    run_seconds: Sequence[float]
    with_pandas_seconds: Sequence[float]
    imports_seconds: Sequence[float]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_cold(directory: Path, *, rounds: int, report: Callable[[str], None]) -> ColdResult:
    """Time them in turns.

    Args:
        directory: A folder for ledgers.
        rounds: Timed processes of each.
        report: Receives what goes on, as text.
    """
    ledger = directory / "cold"
    arguments = [
        *("--ledger", str(ledger), "run", "--json", "--date", _DATE),
        *("--notices", str(EXAMPLE / "notices.csv")),
        *("--positions", str(EXAMPLE / "positions.csv")),
        *("--volumes", str(EXAMPLE / "volumes.csv")),
    ]
    contents = set()

    def run(program: Sequence[str]) -> float:
        shutil.rmtree(ledger, ignore_errors=True)
        made_ledger(ledger).close()
        start = time.perf_counter()
        done = subprocess.run([*program, *arguments], capture_output=True, check=False)
        seconds = time.perf_counter() - start
        assert done.returncode == _BREAKS, done.stderr.decode()
        contents.add(json.loads(done.stdout)["request_id"])
        return seconds

    def imports() -> float:
        return timed(lambda: subprocess.run(_IMPORTS, check=True))

    calls = [lambda: run(_WITHOUT_PANDAS), lambda: run(_LOTTERY), imports]
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        report(f"cold start {number} of {rounds}")
        turn = number % len(calls)
        for index in [*range(turn, len(calls)), *range(turn)]:
            seconds = calls[index]()
            if number:  # The first of each is not counted.
                taken[index].append(seconds)
    assert len(contents) == 1, "every run records the same content"
    return ColdResult(run_seconds=taken[0], with_pandas_seconds=taken[1], imports_seconds=taken[2])
