"""A single file for people, which is written piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lottery.durable import atomic_file
from lottery.errors import OutputUnwritable, escape


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is there whole once the block succeeds, or not at all.

    Raises:
        OutputUnwritable: It cannot be written.
    """
    try:
        with atomic_file(path) as file:
            yield file
    except OSError as error:
        raise OutputUnwritable(f"{escape(str(path))}: {error.strerror or error}") from error
