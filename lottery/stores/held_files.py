"""Files that this process looks into while SQLite has them open.

Closing any descriptor of a file drops every lock that the process has on it (fcntl(2)), those of
SQLite's own connections too: another process would write into a transaction. What was opened to
look into such a file therefore stays open for as long as a connection does.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

FileKey: TypeAlias = tuple[int, int]
"""The device and the inode of a file."""


@dataclass(slots=True)
class _Held:
    descriptors: list[int] = field(default_factory=list)
    connections: int = 0


class HeldFiles:
    """The files that connections of this process have open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[FileKey, _Held] = {}

    def look(self, path: Path, size: int) -> tuple[FileKey, bytes]:
        """Return the first bytes of a file to which a connection is open.

        Args:
            path: The file.
            size: How many bytes.

        Returns:
            The file, which is to be released when the connection is closed, and the bytes.

        Raises:
            OSError: It cannot be read.
        """
        with self._lock:
            found = path.stat()
            key = (found.st_dev, found.st_ino)
            if key not in self._held:
                descriptor = os.open(path, os.O_RDONLY)
                opened = os.fstat(descriptor)
                key = (opened.st_dev, opened.st_ino)
                self._held.setdefault(key, _Held()).descriptors.append(descriptor)
            held = self._held[key]
            held.connections += 1
            return key, os.pread(held.descriptors[0], size, 0)

    def release(self, key: FileKey) -> None:
        """Close what was opened to look into a file, if no other connection to it is open."""
        with self._lock:
            held = self._held[key]
            held.connections -= 1
            if not held.connections:
                for descriptor in held.descriptors:
                    os.close(descriptor)
                del self._held[key]
