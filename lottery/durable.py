"""Durability and locking: the only module that asks the disk for either.

POSIX only: `fsync` of files and directories, `rename` and `link` within a directory, `flock`.

Not here: what is written, and which error of the project a failure becomes; these functions raise
`OSError` as it comes.

Invariants:
- A file written here is there whole or not at all, also after a power cut.
- A failed write leaves no file behind; only a killed process leaves a temporary one,
  `.<32 hexadecimal digits>.tmp`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

_LOCK_POLL_SECONDS: Final = 0.02


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o666, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block succeeds, and is removed when it fails.

    Args:
        path: The name that the file gets, in a directory that exists.
        mode: Permissions, less the umask.
        overwrite: Whether a file of that name is replaced.

    Yields:
        The file, open for writing and reading. Its `name` is the path of the temporary file, for
        writers that need a path; they must write to it in place.

    Raises:
        FileExistsError: `overwrite` is false, and something has that name.
    """
    temporary = path.with_name(f".{secrets.token_hex(16)}.tmp")

    def exclusively(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, mode)

    with open(temporary, "x+b", opener=exclusively) as file:
        try:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
            if overwrite:
                temporary.replace(path)
            else:  # A link, unlike a rename, never replaces a file that another process made.
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_file(path: Path, content: bytes, *, mode: int = 0o666, overwrite: bool = True) -> None:
    """Write a whole file; arguments and errors are those of `atomic_file`."""
    with atomic_file(path, mode=mode, overwrite=overwrite) as file:
        file.write(content)


def sync_file(path: Path) -> None:
    """Make the content of a file durable, whoever wrote it."""
    _sync(path, os.O_RDONLY)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


@contextmanager
def lock_directory(
    directory: Path, *, seconds: float = 0.0, shared: bool = False
) -> Iterator[None]:
    """Hold the lock of a directory, which ends with the block or with the process.

    Args:
        directory: The directory; nothing is written to it.
        seconds: How long to wait for other holders.
        shared: Whether others may hold it too, if they share it.

    Raises:
        TimeoutError: Another process still held the lock after that time.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{directory} is locked by another process") from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
