"""What each worker has reserved of the memory: whole numbers in a file that all of them map.

The kernel frees the file's lock when its holder dies, and the supervisor clears what a dead worker
had, so that nothing stays reserved for nobody.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

_FILE: Final = "memory"
_BYTES: Final = 8
"""Size of a number in bytes."""


class Reservations:
    """The reservations of all workers, in bytes.

    Args:
        folder: The folder of the file, which is made with nothing reserved if there is none.
        count: The number of workers.
    """

    def __init__(self, folder: Path, count: int) -> None:
        path = folder / _FILE
        if not path.exists():
            path.write_bytes(bytes(_BYTES * count))
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._map = mmap.mmap(self._file, _BYTES * count)
        self._numbers = memoryview(self._map).cast("q")
        self._lock = Lock()

    def add(self, worker: int, size: int, most: int) -> bool:
        """Reserve more for a worker, or less than nothing; return whether there is room for it."""
        with self._locked():
            if size > 0 and sum(self._numbers) + size > most:
                return False
            self._numbers[worker] += size
            return True

    def close(self) -> None:
        """Let go of the file."""
        self._numbers.release()
        self._map.close()
        os.close(self._file)

    def clear(self, worker: int) -> None:
        """Give back what a worker has reserved."""
        with self._locked():
            self._numbers[worker] = 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:  # The file's lock is one for the whole process.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
