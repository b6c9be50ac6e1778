"""The inputs of a command: files, objects of a bucket, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import typer

from lottery import operations
from lottery.errors import escape


@contextmanager
def local_files(*given: str | None) -> Iterator[Mapping[str, Path]]:
    """Return the file of each input while the block runs.

    Raises:
        typer.BadParameter: An input does not exist, may not be read, or cannot be one.
    """
    with ExitStack() as stack:
        try:
            files = stack.enter_context(operations.fetched(given, _standard_input))
        except ValueError as error:
            raise typer.BadParameter(escape(str(error), 1_000)) from None
        yield files


def _standard_input() -> BinaryIO:
    """Return standard input's bytes.

    Raises:
        ValueError: It was closed before the command began, as some schedulers do.
    """
    if sys.stdin is None:
        raise ValueError("standard input is closed; give a file, or redirect one to it")
    return sys.stdin.buffer
