"""Days whose files are made once and kept, because a large one takes minutes to make."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from bench import made_day
from bench.made_day import DayFiles, MadeDay, write_day
from bench.sizes import DaySize

_KEY_BITS: Final = "key_bits.json"
"""What else is known of a day, beside its files; written last."""


class Days:
    """Days, each written when it is first asked for, by whichever process asks first.

    Args:
        directory: Where they are kept from one measurement to the next.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, size: DaySize) -> MadeDay:
        """Return the day of a size."""
        folder = self._directory / _name(size)
        if not (folder / _KEY_BITS).exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=self._directory))
            try:
                key_bits = write_day(unfinished, size)
                (unfinished / _KEY_BITS).write_text(json.dumps(key_bits), encoding="utf-8")
                with suppress(OSError):  # Another process was first: its files are the same.
                    unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        key_bits = json.loads((folder / _KEY_BITS).read_text(encoding="utf-8"))
        return MadeDay(size=size, files=DayFiles.of(folder), key_bits=key_bits)


def _name(size: DaySize) -> str:
    """Return a folder's name, another one for another size and for other files of that size."""
    maker = Path(made_day.__file__).read_text(encoding="utf-8")
    what = json.dumps([asdict(size), maker, np.__version__, pa.__version__])
    return f"{size.positions}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
