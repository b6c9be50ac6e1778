"""Run a piece of a test in a process of its own, where a crash is one failed test."""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

PRELOADED = [
    "hypothesis",
    "lottery.audit.replay",
    "lottery.cli.main",
    "numba",
    "pytest",
    "tests.builders",
]
"""What each process would import again, which takes longer than most of what is tested in it."""


def run_apart(function: Callable[..., None], *arguments: object) -> None:
    """Run a module's function with arguments that can be pickled.

    Raises:
        AssertionError: It raised, which its traceback says, or its process was killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)  # By the first process, for all others.
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        report = ours.recv()
    except EOFError:
        report = None
    process.join()
    assert report is not None, f"the process ended with {process.exitcode}"
    assert report == "", report


def run_within(more_bytes: int, function: Callable[..., None], *arguments: object) -> None:
    """Run a module's function in a process that gets no more than so many bytes more.

    Args:
        more_bytes: What it may map beyond what it has when it begins.
        function: The function.
        arguments: Its arguments, which can be pickled.

    Raises:
        AssertionError: As `run_apart`.
    """
    run_apart(_within, more_bytes, function, arguments)


def _within(more_bytes: int, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    function(*arguments)


def _report(
    connection: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    try:
        function(*arguments)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it.
        connection.send(traceback.format_exc())
    else:
        connection.send("")
