"""A file that is read block by block, because it may be too large to hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lottery.intake.sources import SourceFile

BLOCK: Final = 1 << 16
"""Bytes that are read at a time."""


class StreamedFile:
    """A file's blocks, and what they were once they have been read.

    Its bytes stay where they are until they are kept as evidence, which refuses others than those
    that were read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._size = 0
        self._is_begun = False

    def blocks(self) -> Iterator[bytes]:
        """The blocks from the file's start; the digest is that of the first time.

        Raises:
            OSError: The file cannot be read.
        """
        is_first, self._is_begun = not self._is_begun, True
        with self._path.open("rb") as file:
            while block := file.read(BLOCK):
                if is_first:
                    self._digest.update(block)
                    self._size += len(block)
                yield block

    def source(self, role: str, name: str) -> SourceFile:
        """The file as a source, once its blocks have been read."""
        return SourceFile(
            role=role,
            name=name,
            suffix=self._path.suffix.lower(),
            sha256=self._digest.hexdigest(),
            size=self._size,
            content=self._path,
        )
