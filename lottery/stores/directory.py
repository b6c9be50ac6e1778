"""Objects in a local directory: each is a file, whole and durable or absent.

Invariants:
- Nothing is followed out of the directory: symbolic links are refused wherever they stand.
- What is being written has a random hidden name; listings leave it out, and `lottery sweep` removes
  what killed processes left of it.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lottery.durable import (
    create_file,
    read_file,
    sync_directory,
    sync_file,
    temporary_path,
    write_file,
)
from lottery.ledger.ports import ObjectInfo

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o400
"""Of objects that never change."""
_CHANGING_MODE: Final = 0o600
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class Directory:
    """Objects as files below a directory, which exists."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> str:
        """The directory."""
        return str(self._root)

    def get(self, name: str) -> bytes:
        """Return an object's bytes; see `ports.Objects`."""
        path = self._path(name)
        try:
            return read_file(path)
        except (IsADirectoryError, NotADirectoryError) as error:  # No folder is an object.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in the place of the one that has the name."""
        path = self._path(name)
        self._make_folders(path.parent)
        write_file(path, content, mode=_CHANGING_MODE)

    def create(self, name: str, content: bytes) -> None:
        """Write an object that never changes; see `ports.Objects`."""
        path = self._path(name)
        self._make_folders(path.parent)
        try:
            create_file(path, content, mode=FILE_MODE)
        except FileExistsError:
            _refuse_other(path, name, lambda: content)
            # The process that wrote it may have been killed before its name was durable.
            sync_directory(path.parent)

    def create_all(self, contents: Mapping[str, bytes]) -> None:
        """Write several objects that never change, in the order of the mapping."""
        for name, content in contents.items():
            self.create(name, content)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Return a new hidden folder in the directory; see `ports.Objects`."""
        staged = temporary_path(self._root)
        staged.mkdir(FOLDER_MODE)
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def take(self, staged: Path, prefix: str) -> None:
        """Give a staging folder its name, once everything in it is durable."""
        folders = [staged]
        for path in sorted(staged.rglob("*")):
            if path.is_dir():
                path.chmod(FOLDER_MODE)
                folders.append(path)
            else:
                self._path(f"{prefix}/{path.relative_to(staged).as_posix()}")
                path.chmod(FILE_MODE)
                sync_file(path)
        for folder in reversed(folders):
            sync_directory(folder)
        target = self._path(prefix)
        self._make_folders(target.parent)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            self._take_files(staged, folders, target, prefix)
        sync_directory(target.parent)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below a folder; anything but a folder counts as one."""
        root = self._path(prefix) if prefix else self._root
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in (*names, *links):
                path = Path(folder) / name
                if name.startswith(".") or path.parent == self._root:
                    continue  # The ledger's own database and key are no objects.
                with suppress(FileNotFoundError):  # It has been removed since.
                    found = path.lstat()
                    yield ObjectInfo(
                        name=path.relative_to(self._root).as_posix(),
                        size=found.st_size,
                        modified=dt.datetime.fromtimestamp(found.st_mtime, dt.UTC),
                    )

    def delete(self, name: str) -> None:
        """Remove an object, and the folders that are empty without it."""
        path = self._path(name)
        with suppress(FileNotFoundError):
            path.unlink()
        folder = path.parent
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:  # It is not empty, or another process has removed it.
                break
            folder = folder.parent
        with suppress(FileNotFoundError):
            sync_directory(path.parent)

    def abandoned(self, before: dt.datetime) -> Iterator[Path]:
        """Yield the hidden files and folders that were last changed before a time."""
        for folder, folders, names in os.walk(self._root):
            for name in (*folders, *names):
                path = Path(folder) / name
                with suppress(FileNotFoundError):
                    modified = dt.datetime.fromtimestamp(path.lstat().st_mtime, dt.UTC)
                    if name.startswith(".") and name.endswith(".tmp") and modified < before:
                        yield path
            folders[:] = [name for name in folders if not name.startswith(".")]

    @contextmanager
    def local(self, prefix: str) -> Iterator[Path]:
        """Return the folder itself, of which nothing may be written."""
        yield self._path(prefix)

    def _path(self, name: str) -> Path:
        """Return the path of an object, which no link leads elsewhere.

        Raises:
            ValueError: It is not an object's name.
            OSError: A part of it is a symbolic link.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"expected an object's name, got {name!r}")
        path = self._root
        *folders, last = name.split("/")
        for part in folders:
            path /= part
            with suppress(FileNotFoundError):
                if stat.S_ISLNK(path.lstat().st_mode):
                    raise OSError(errno.ELOOP, "expected a folder, got a symbolic link", str(path))
        return path / last

    def _make_folders(self, folder: Path) -> None:
        """Make a folder below the root, and those above it, durable."""
        if folder == self._root or folder.is_dir():
            return
        self._make_folders(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(FOLDER_MODE)
        sync_directory(folder.parent)

    def _take_files(self, staged: Path, folders: Sequence[Path], target: Path, prefix: str) -> None:
        """Link the files that a folder does not have yet; refuse those that differ."""
        for folder in folders:
            self._make_folders(target / folder.relative_to(staged))
        for path in sorted(staged.rglob("*")):
            if path.is_dir():
                continue
            name = path.relative_to(staged)
            try:
                os.link(path, target / name)
            except FileExistsError:
                _refuse_other(target / name, f"{prefix}/{name}", path.read_bytes)
        for folder in folders:
            sync_directory(target / folder.relative_to(staged))


def _refuse_other(path: Path, name: str, content: Callable[[], bytes]) -> None:
    """Refuse a file that has other bytes.

    Raises:
        FileExistsError: It has.
    """
    if read_file(path) != content():
        raise FileExistsError(errno.EEXIST, f"expected other bytes in {name}", str(path))
