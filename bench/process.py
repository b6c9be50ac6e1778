"""Processes that are measured: contenders, and the server as it is served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.made_day import DayFiles

_START_SECONDS: Final = 300.0
"""A first start compiles the loops."""
TRUSTED: Final = {"LOTTERY_TRUST_LOCAL": "bench:operator,auditor"}
"""Settings by which every local caller is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One timed run."""

    contender: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that serves.

    Attributes:
        target: HOST:PORT.
        process: The process id of its first worker.
        workers: Those of all.
        health: HOST:PORT of its health.
        log: The file of its log.
    """

    target: str
    process: int
    workers: Sequence[int]
    health: str
    log: Path


class Worker:
    """A contender's process, started when it first runs.

    Args:
        name: The contender.
        reference: The folder that it prepares itself from.
        warm_up: A small day that a process runs first, untimed; None for a contender that is kept.
        checkout: Whose benchmarks and library it is; None is this one.
    """

    def __init__(
        self,
        name: str,
        reference: Path,
        *,
        warm_up: DayFiles | None = None,
        checkout: Path | None = None,
    ) -> None:
        self.name = name if checkout is None else f"{name} of {checkout}"
        self._contender = name
        self._reference = reference
        self._warm_up = warm_up
        self._checkout = checkout
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the process stays between runs, so that a first run can warm it up."""
        return self._warm_up is None

    def measure(self, files: DayFiles, output: Path, number: int) -> Measurement:
        """Measure one run into an empty folder."""
        try:
            if self._process is None and self._warm_up is not None:
                self._run(self._warm_up, output)
            answer = self._run(files, output)
        finally:
            if not self.is_kept:
                self.stop()
        return Measurement(contender=self.name, round=number, **answer)

    def stop(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _run(self, files: DayFiles, output: Path) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-m", "bench.worker", self._contender]
            self._process = subprocess.Popen(
                [*command, str(self._reference)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self._checkout,  # Python looks for modules there first.
            )
        process = self._process
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        asked = {name: str(path) for name, path in asdict(files).items()}
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**asked, "output": str(output)}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed:\n{answer['error']}")
        return answer


@contextmanager
def serving(
    directory: Path, ledger: Path, processes: int = 1, settings: Mapping[str, str] = TRUSTED
) -> Iterator[Served]:
    """Run `python -m server` on ports of its own, and stop it at the end.

    Args:
        directory: A folder for its log.
        ledger: Its ledger.
        processes: How many workers it has.
        settings: Who may call it.
    """
    environment = {
        **os.environ,
        "LOTTERY_LISTEN": "127.0.0.1:0",
        "LOTTERY_HEALTH_LISTEN": "127.0.0.1:0",
        "LOTTERY_METRICS_LISTEN": "",
        "LOTTERY_PROCESSES": str(processes),
        "LOTTERY_LEDGER": str(ledger),
        "LOTTERY_LOG_FORMAT": "json",
        **settings,
    }
    log = directory / "server.log"
    with (
        log.open("wb") as sink,
        subprocess.Popen([sys.executable, "-m", "server"], env=environment, stderr=sink) as process,
    ):
        try:
            said = _serving(process, log)
            yield Served(
                target=f"127.0.0.1:{said['port']}",
                process=said["workers"][0],
                workers=said["workers"],
                health=f"127.0.0.1:{said['health_port']}",
                log=log,
            )
        finally:
            process.terminate()


def _serving(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Return what it logs when it serves."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                said: dict[str, Any] = json.loads(line)
                if said["event"] == "serving":
                    return said
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
