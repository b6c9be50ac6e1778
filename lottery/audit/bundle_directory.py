"""How large a bundle's directory of files is, by the end of the archive, before it is read.

APPNOTE.TXT, 4.3.14 to 4.3.16. The library that opens archives reads the whole directory and makes
an object of each file in it, whatever the archive announces.

Invariants:
- The end that is looked at is the one that the library uses: nothing comes after it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

ENTRY_BYTES: Final = 256
"""Bytes of the directory for each file; the longest entry of a bundle has 150."""

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_LARGE_END: Final = struct.Struct("<4sQ2H2L4Q")
_TAIL_BYTES: Final = _LARGE_END.size + _LOCATOR.size + _END.size


def describe_directory(path: Path, members: int) -> str | None:
    """Return why an archive is not to be opened, or None if its directory is small enough.

    Args:
        path: The archive.
        members: The maximum number of files in it.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES).rjust(_TAIL_BYTES, b"\0")
    large, locator, end = (
        part.unpack_from(tail, at)
        for part, at in (
            (_LARGE_END, 0),
            (_LOCATOR, _LARGE_END.size),
            (_END, _LARGE_END.size + _LOCATOR.size),
        )
    )
    if (end[0], end[-1]) != (b"PK\5\6", 0):
        return "expected a ZIP archive that ends with its directory and no comment"
    directory_bytes = end[5]
    if locator[0] == b"PK\6\7":  # Of an archive with more than the end can say.
        if (large[0], locator[2]) != (b"PK\6\6", size - _TAIL_BYTES):
            return "expected a ZIP archive, got two ends that do not agree"
        directory_bytes = large[8]
    most = members * ENTRY_BYTES
    if directory_bytes > most:
        return f"expected a directory of at most {most:,} bytes, got {directory_bytes:,}"
    return None
