"""Run a piece of a test in a process of its own, where a crash is one failed test."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection


def run_apart(function: Callable[..., None], *arguments: object) -> None:
    """Run a module's function with arguments that can be pickled.

    Raises:
        AssertionError: It raised, which its traceback says, or its process was killed.
    """
    context = multiprocessing.get_context("forkserver")
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


def _report(
    connection: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    try:
        function(*arguments)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it.
        connection.send(traceback.format_exc())
    else:
        connection.send("")
