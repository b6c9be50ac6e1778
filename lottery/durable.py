"""Durability and locking: files that are there whole or not at all, also after a power cut.

POSIX only: `fsync` of files and directories, `rename` and `link` within a directory, `flock`.

Not here: what is written, and which error of the project a failure becomes; these functions raise
`OSError` as it comes.

Invariants:
- A failed write leaves no file behind. A killed process leaves none of `create_file`, and of the
  others a temporary one, `.<32 hexadecimal digits>.tmp`.
- A symbolic link is never followed at the end of a path.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, cast

_LOCK_POLL_SECONDS: Final = 0.02
_NO_UNNAMED_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""What file systems without `O_TMPFILE` answer to it."""


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file that takes its name, from another file too, when the block succeeds.

    Args:
        path: The name that the file gets, in a directory that exists.
        mode: Permissions, less the umask.

    Yields:
        The file, open for writing and reading. Its `name` is the path of the temporary file, for
        writers that need a path; they must write to it in place.
    """
    temporary = temporary_path(path.parent)

    def exclusively(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, mode)

    with open(temporary, "x+b", opener=exclusively) as file:
        try:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a whole file, in the place of another one; arguments are those of `atomic_file`."""
    with atomic_file(path, mode=mode) as file:
        file.write(content)


def create_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a whole file that gets its name only once it is durable.

    Args:
        path: The name that the file gets, in a directory that exists.
        content: Its bytes.
        mode: Permissions, less the umask.

    Raises:
        FileExistsError: Something has that name.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _unnamed_file(path.parent, mode) as (descriptor, name):
            _write_all(descriptor, content)
            os.fsync(descriptor)
            # A link, unlike a rename, never replaces a file that another process made.
            os.link(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading; a symbolic link is an error.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    # Without waiting: a pipe in the place of a file would hold the process up for ever.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def read_file(path: Path) -> bytes:
    """Return a file's bytes; errors are those of `open_file`."""
    with open_file(path) as file:
        return file.read()


def temporary_path(directory: Path) -> Path:
    """Return a path that nothing has and nobody can guess."""
    return directory / f".{secrets.token_hex(16)}.tmp"


def sync_file(path: Path) -> None:
    """Make the content of a file durable, whoever wrote it."""
    _sync(path, os.O_RDONLY | os.O_NOFOLLOW)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


@contextmanager
def lock_directory(directory: Path, *, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of a directory, which ends with the block or with the process.

    Args:
        directory: The directory; nothing is written to it.
        seconds: How long to wait for another process.

    Raises:
        TimeoutError: Another process still held the lock after that time.
    """
    deadline = time.monotonic() + seconds
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{directory} is locked by another process") from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _unnamed_file(directory: Path, mode: int) -> Iterator[tuple[int, str]]:
    """Open a file that is gone if nobody links it; yield its descriptor and what to link."""
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR, mode)
        name, temporary = f"/proc/self/fd/{descriptor}", None
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise
        temporary = temporary_path(directory)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, mode)
        name = str(temporary)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def states_of(files: Sequence[Path]) -> tuple[tuple[int, ...] | None, ...]:
    """Return what differs once one of the files has changed; None stands for a missing one.

    Files are looked at through links, as those are what a deployment exchanges.
    """
    return tuple(_state_of(file) for file in files)


def _state_of(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
