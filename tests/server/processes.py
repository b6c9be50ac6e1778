"""The server as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.builders import TRUSTED, made
from tests.server.calls import LOOPBACK, PATIENCE, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """A process that serves, and the file of its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return every line of its log."""
        text = self.log.read_text("utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def has_logged(self, event: str) -> bool:
        """Return whether the log has a line of this event."""
        return any(line["event"] == event for line in self.lines())

    @property
    def serving(self) -> dict[str, Any]:
        """The line that says on which ports it serves."""
        return next(line for line in self.lines() if line["event"] == "serving")

    @property
    def port(self) -> int:
        """The services' port."""
        return int(self.serving["port"])

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        return self.children("server.worker")

    def children(self, module: str) -> list[int]:
        """Return the process ids of those that run a module."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                command = stat.with_name("cmdline").read_bytes().split(b"\0")
            except OSError:  # It has ended.
                continue
            if parent == self.process.pid and module.encode() in command:
                found.append(int(stat.parent.name))
        return sorted(found)


def environment_of(ledger: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings and free ports of loopback."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("LOTTERY_")}
    given = {
        "listen": LOOPBACK,
        "health_listen": LOOPBACK,
        "metrics_listen": LOOPBACK,
        "ledger": str(ledger),
        "trust_local": TRUSTED,
        "grace_seconds": "60",
        **settings,
    }
    return rest | {f"LOTTERY_{name.upper()}": value for name, value in given.items()}


@contextmanager
def server_process(
    directory: Path, *, to: Path | None = None, **settings: str
) -> Iterator[ServerProcess]:
    """Run `python -m server`; the block begins when it serves.

    Args:
        directory: The folder of its log, and of its ledger.
        to: Another folder for its ledger, which is made if there is none.
        settings: Its settings.
    """
    ledger = to or directory / "ledger"
    made(ledger).close()
    log = directory / "server.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "server"],
            stderr=stderr,
            env=environment_of(ledger, **settings),
        ) as process,
    ):
        started = ServerProcess(process=process, log=log)
        try:
            wait_until(lambda: started.has_logged("serving") or process.poll() is not None)
            assert process.poll() is None, log.read_text("utf-8")
            yield started
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def start_in_vain(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m server`, which is expected to exit by itself."""
    return subprocess.run(
        [sys.executable, "-m", "server"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=PATIENCE,
    )
