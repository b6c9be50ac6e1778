"""Runs a piece of a test in a process of its own: a crash there is a failed test, not the end."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection


def run_apart(function: Callable[..., None], *arguments: object) -> None:
    """Runs a module's function with arguments that can be pickled.

    Raises:
        AssertionError: It raised, with its traceback, or its process was killed.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        told = ours.recv()
    except EOFError:
        told = None
    process.join()
    assert told is not None, f"the process ended with {process.exitcode}"
    assert told == "", told


def _tell(
    connection: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    try:
        function(*arguments)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent tells it.
        connection.send(traceback.format_exc())
    else:
        connection.send("")
