"""What a Parquet file makes of itself, from what its pages announce, before they are decoded.

Apache Parquet, parquet.thrift: a column chunk is a sequence of pages, each of which has a header
with its size before and after decompression. Arrow allocates what the header says and refuses a
page that does not come to it, so that the headers are what has to be looked at; the totals of the
footer are not believed. A page of indices into a dictionary makes rows of the dictionary's texts:
the longest of these counts for each row.

Invariants:
- Nothing is decompressed but dictionaries, and no dictionary that is larger than the rows allow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from lottery.intake import loops
from lottery.intake.arrow_sizes import refuse_inflated
from lottery.intake.memory import SPARE_BYTES
from lottery.intake.thrift import read_struct

MAGIC: Final = b"PAR1"
"""What a Parquet file begins and ends with."""
FOOTER_BYTES: Final = 16 << 20
"""Maximum size of a footer; that of 20 million rows in 20 row groups has some ten kilobytes."""
Chunk: TypeAlias = dict[int, Any]
"""What the footer says of a column of a row group, by the fields' numbers."""
PAGES: Final = 100_000
"""Maximum number of pages of a column in a row group."""

_END_BYTES: Final = 8
"""Size of what follows the footer: its length, and the magic number."""
_ROW_GROUPS, _CHUNKS, _META = 4, 1, 3
"""Fields of FileMetaData, RowGroup and ColumnChunk."""
_TYPE, _CODEC, _VALUES, _DATA_OFFSET, _DICTIONARY_OFFSET = 1, 4, 5, 9, 11
"""Fields of ColumnMetaData."""
_PAGE_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3
"""Fields of PageHeader."""
_INDEX, _DICTIONARY = 1, 2
_HEADERS: Final = {0: (5, 2), 3: (8, 4)}
"""By the type of a data page: the fields of its own header, and of the encoding in that."""
_BYTE_ARRAY, _FIXED_LENGTH = 6, 7
_PLAIN, _DELTA_LENGTH = 0, 6
_OF_DICTIONARY: Final = (2, 8)
"""Encodings as indices into the dictionary."""
_CODECS: Final = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_NUMBER_BYTES: Final = 12
"""Bytes of a value that is no text: its number, and whether it is there."""
_INDEX_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    kind: int
    values: int
    encoding: int
    size: int
    content: tuple[int, int]


def footer_problem(data: pa.Buffer) -> str | None:
    """Return why a file's footer is not read, or None if it may be."""
    if data.size < 2 * _END_BYTES or bytes(data[-4:]) != MAGIC:
        return None  # Arrow says what is wrong.
    size = _footer_bytes(memoryview(data).cast("B"))
    if size > FOOTER_BYTES:
        return f"the footer must have at most {FOOTER_BYTES:,} bytes, got {size:,}"
    return None


def chunks_of(data: pa.Buffer) -> list[list[Chunk]]:
    """Return what the footer says of each column of each row group.

    Raises:
        pa.ArrowInvalid: It is malformed.
    """
    content = memoryview(data).cast("B")
    start = len(content) - _END_BYTES - _footer_bytes(content)
    try:
        footer, _ = read_struct(content[max(start, 0) : -_END_BYTES], 0)
        groups = footer[_ROW_GROUPS]
        return [[chunk[_META] for chunk in group[_CHUNKS]] for group in groups]
    except (IndexError, KeyError, TypeError) as error:
        raise pa.ArrowInvalid("its footer is malformed") from error


def size_of_groups(
    data: pa.Buffer,
    groups: Sequence[Sequence[Chunk]],
    shared: Collection[int],
    rows: int,
) -> int:
    """Return what row groups come to once they are decoded, unless it is too much for their rows.

    Args:
        data: The file.
        groups: Their columns, as `chunks_of` returns them.
        shared: The indices of the columns that are read as indices into their dictionaries.
        rows: Their rows together.

    Returns:
        Their size in bytes.

    Raises:
        pa.ArrowInvalid: It is more than the rows can need, or a page is malformed.
    """
    content = memoryview(data).cast("B")
    size = 0
    try:
        for group in groups:
            for column, chunk in enumerate(group):
                for more in _sizes(content, chunk, rows, is_shared=column in shared):
                    size += more
                    refuse_inflated(size, rows)
    except (IndexError, KeyError, TypeError) as error:
        raise pa.ArrowInvalid("a page is malformed") from error
    return size


def _sizes(data: memoryview, chunk: Chunk, rows: int, *, is_shared: bool) -> Iterator[int]:
    """Yield the size of each page of a column once it is decoded."""
    is_text = chunk[_TYPE] in (_BYTE_ARRAY, _FIXED_LENGTH)
    longest = 0
    for page in _pages(data, chunk):
        if page.kind == _DICTIONARY:
            yield page.size
            longest = page.size
            # Only where it matters is a dictionary looked into.
            if chunk[_TYPE] == _BYTE_ARRAY and not is_shared and longest * rows > SPARE_BYTES:
                longest = _longest_text(data, page, chunk[_CODEC])
        elif not is_text:
            yield page.size + page.values * _NUMBER_BYTES
        elif page.encoding in _OF_DICTIONARY:
            yield page.size + page.values * (_INDEX_BYTES if is_shared else longest + _INDEX_BYTES)
        elif page.encoding in (_PLAIN, _DELTA_LENGTH):
            yield page.size + page.values * _INDEX_BYTES
        elif page.values * page.size > SPARE_BYTES:
            # A text may begin as the one before it (DELTA_BYTE_ARRAY): each may be as long as the
            # page, and only decoding it would show that it is not.
            raise pa.ArrowInvalid(
                f"its texts are in encoding {page.encoding} of Parquet, by which they may be of "
                "any length; write it with plain or dictionary encoding"
            )


def _pages(data: memoryview, chunk: Chunk) -> Iterator[_Page]:
    """Yield the pages of a column that Arrow reads: those up to its last value."""
    at = chunk[_DATA_OFFSET]
    if 0 < chunk.get(_DICTIONARY_OFFSET, 0) < at:
        at = chunk[_DICTIONARY_OFFSET]
    seen = count = 0
    while seen < chunk[_VALUES]:
        count += 1
        if at < 0 or count > PAGES:
            raise pa.ArrowInvalid(f"expected a column of up to {PAGES:,} pages within the file")
        header, start = read_struct(data, at)
        kind, size, at = header[_PAGE_TYPE], header[_UNCOMPRESSED], start + header[_COMPRESSED]
        if min(size, header[_COMPRESSED]) < 0:
            raise pa.ArrowInvalid("a page announces a negative size")
        values = encoding = 0
        if kind in _HEADERS:
            own, encoding_field = _HEADERS[kind]
            values, encoding = header[own][1], header[own][encoding_field]
            if values < 0:
                raise pa.ArrowInvalid("a page announces a negative number of values")
            seen += values
        if kind != _INDEX:
            content = (start, at)
            yield _Page(kind=kind, values=values, encoding=encoding, size=size, content=content)


def _longest_text(data: memoryview, page: _Page, codec: int) -> int:
    """Return the length of the longest text of a dictionary."""
    start, end = page.content
    content: Any = pa.py_buffer(data[start:end])
    if codec in _CODECS:
        content = pa.Codec(_CODECS[codec]).decompress(content, page.size)
    elif codec:
        return page.size  # A codec that is hardly in use.
    longest = int(loops.longest_text(np.frombuffer(content, np.uint8)))
    if longest < 0:
        raise pa.ArrowInvalid("a dictionary is malformed")
    return longest


def _footer_bytes(content: memoryview) -> int:
    return int.from_bytes(content[-_END_BYTES:-4], "little")
