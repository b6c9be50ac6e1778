"""Files that came compressed, with gzip or zstd: only here are they decompressed.

The suffix says so, after that of the format: `.csv.gz`, `.csv.zst`, `.xml.gz`, `.xml.zst`. What is
recorded and kept of such a file are its bytes as received.

Invariants:
- What a file decompresses to is limited while it is, by what limits the same text in plain: the
  memory of the day for CSV (`grown`) and for the reports of FIXML, which is read in blocks.
- A file that is cut short or damaged gives an error, not a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

import pyarrow as pa

from lottery.errors import escape

CODECS: Final = {".gz": "gzip", ".zst": "zstd"}
_BLOCK_BYTES: Final = 1 << 20


def decompressed(data: pa.Buffer, suffix: str, grown: Callable[[int], None]) -> pa.Buffer | str:
    """Return a file's text, or why it has none; what is not compressed is returned as it is.

    Args:
        data: The whole file.
        suffix: Its suffix, as `suffix_of` has it.
        grown: Called with the size so far, again and again; raises where it is too large.
    """
    codec = CODECS.get(PurePath(suffix).suffix)
    if codec is None:
        return data
    text = pa.BufferOutputStream()
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while block := stream.read(_BLOCK_BYTES):
                text.write(block)
                grown(text.tell())
    except OSError as error:
        return f"the file is damaged or cut short: {escape(str(error))}"
    return text.getvalue()


def decompressed_blocks(blocks: Iterator[bytes], suffix: str) -> Iterator[bytes]:
    """Yield a file's text block by block.

    Args:
        blocks: The file, all of which is read.
        suffix: Its suffix, as `suffix_of` has it.

    Raises:
        OSError: It is damaged or cut short.
    """
    codec = CODECS.get(PurePath(suffix).suffix)
    if codec is None:
        yield from blocks
        return
    with pa.CompressedInputStream(pa.PythonFile(_Blocks(blocks), mode="r"), codec) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


def suffix_of(path: PurePath) -> str:
    """Return the suffix of a file's name in small letters, of a compressed one the last two."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_compressed = len(suffixes) > 1 and suffixes[-1] in CODECS
    return "".join(suffixes[-2:] if is_compressed else suffixes[-1:])


def plain_suffix(path: PurePath | str) -> str:
    """Return the suffix of a file's format, whether or not it is compressed."""
    suffix = path if isinstance(path, str) else suffix_of(path)
    return suffix.removesuffix(PurePath(suffix).suffix) if suffix.count(".") > 1 else suffix


class _Blocks:
    """Blocks as a file that Arrow reads."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = b""

    def read(self, count: int) -> bytes:
        """Return some of the next bytes, at most as many as asked for; none at the end."""
        self._left = self._left or next(self._blocks, b"")
        block, self._left = self._left[:count], self._left[count:]
        return block

    def close(self) -> None:
        """Close nothing: whoever opened the file closes it."""
