"""Folders of runs being written, locked while their process lives and removed afterwards."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lottery.durable import lock_directory

_ABANDONED_AFTER: Final = 60.0


@contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Create a locked folder for a run being written; remove it afterwards."""
    _clear_abandoned(directory)
    staged = directory / uuid.uuid4().hex
    staged.mkdir()
    try:
        with lock_directory(staged):
            yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _clear_abandoned(directory: Path) -> None:
    """Remove what killed processes left: folders that are old enough and not locked."""
    for left in directory.iterdir():
        # It is a file, another process has just removed it, or its process lives and holds it.
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                with lock_directory(left):
                    shutil.rmtree(left, ignore_errors=True)
