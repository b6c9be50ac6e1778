"""The processes of the load test: servers, echoes and callers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench.load_caller import ACCOUNTS, Job, Latencies
from bench.ours import made_ledger
from bench.process import TRUSTED, Served, serving

POLITE: Final = ("silent", "slow", "random", "bad", "bomb")
"""Callers that do what they should not, and leave the processors to the server and the others: what
they do to it is measured, not what they do to the machine."""


@contextmanager
def server(folder: Path, processes: int, settings: Mapping[str, str] = TRUSTED) -> Iterator[Served]:
    """Serve a ledger of its own, in a folder."""
    folder.mkdir()
    made_ledger(folder / "ledger").close()
    # The callers here do not connect again.
    lasting = {**settings, "LOTTERY_MAX_CONNECTION_AGE_SECONDS": "3600"}
    with serving(folder, folder / "ledger", processes, lasting) as served:
        yield served


def done(job: Job) -> Latencies:
    """Have callers call, and return what they saw."""
    (seen,) = ended(begun(job))
    return seen


def begun(*jobs: Job) -> list[subprocess.Popen[bytes]]:
    """Start callers, and have them begin once all are ready."""
    processes = [
        subprocess.Popen(
            [
                *(["nice"] if job.kind in POLITE else []),
                *(sys.executable, "-m", "bench.load_caller", json.dumps(asdict(job))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for job in jobs
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return processes


def ended(processes: Sequence[subprocess.Popen[bytes]]) -> list[Latencies]:
    """Wait for callers, and return what they saw."""
    return [json.loads(process.communicate()[0]) for process in processes]


@contextmanager
def echoes(settings: Mapping[str, str], processes: int) -> Iterator[str]:
    """Serve what computes nothing, on a port that processes share."""
    port = 0
    command = [sys.executable, "-m", "bench.series_server", "echo", ".", str(ACCOUNTS)]
    with ExitStack() as stack:
        for _ in range(processes):
            environment = {**os.environ, **settings, "LOTTERY_LISTEN": f"127.0.0.1:{port}"}
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.enter_context(process)  # Its end closes the input, which ends the server.
            assert process.stdout is not None
            port = int(process.stdout.readline())
        yield f"127.0.0.1:{port}"
