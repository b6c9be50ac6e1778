"""Folders of runs being written: locked while their process lives, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ABANDONED_AFTER: Final = 60.0


@contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """A folder in `directory` for a run being written, locked while its process lives."""
    _clear_abandoned(directory)
    staged = directory / uuid.uuid4().hex
    staged.mkdir()
    descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield staged
    finally:
        os.close(descriptor)
        shutil.rmtree(staged, ignore_errors=True)


def _clear_abandoned(directory: Path) -> None:
    """Removes what killed processes left: their folders are old enough and unlocked."""
    for left in directory.iterdir():
        try:
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # Another process has just removed it.
            continue
        try:
            if time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_AFTER:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
