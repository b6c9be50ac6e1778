"""What an Arrow IPC stream makes of itself, from what its messages announce, before it is decoded.

Arrow columnar format, "Serialization and Interprocess Communication": the metadata of a message is
a flatbuffer (Message.fbs), and each compressed buffer begins with its uncompressed length, -1 if it
is not compressed after all. Arrow refuses a buffer that does not come to the length that it
announces, so that what is announced is what is decoded.

Not here: reading the columns, which is for `arrow`.

Invariants:
- Nothing is decompressed, and nothing is allocated by a size that the sender chose.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from lottery.intake.memory import (
    DECODED_FACTOR,
    KEPT_ROW_BYTES,
    PAYLOAD_BYTES,
    ROW_BYTES,
    SPARE_BYTES,
)

BATCHES: Final = 10_000
"""Maximum number of batches of rows or labels in one stream."""

_HEADER_TYPE, _HEADER = 1, 2
"""Fields of a Message."""
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3
"""Fields of a RecordBatch."""
_LABELS: Final = 1
"""Field of a DictionaryBatch: its RecordBatch."""
_OF_LABELS, _OF_ROWS = 2, 3
"""Values of the header's type."""
_BUFFER_BYTES: Final = 16
"""Size of the offset and the length of a buffer."""
_NOT_COMPRESSED: Final = -1
_VIEW_NUMBERS: Final = 4
"""Numbers of 32 bits in a view of a text, of which the first is its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSize:
    """What a stream comes to.

    Attributes:
        rows: Its rows.
        decoded_bytes: Bytes of all its buffers, uncompressed.
    """

    rows: int
    decoded_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Bytes of memory that its rows need."""
        return PAYLOAD_BYTES + max(self.rows * KEPT_ROW_BYTES, self.decoded_bytes * DECODED_FACTOR)


def size_of_stream(payload: bytes) -> StreamSize:
    """Return what a stream announces.

    Raises:
        pa.ArrowInvalid: It is malformed, or makes more of itself than its rows can need.
    """
    rows = decoded_bytes = 0
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(payload))
    for index, message in enumerate(messages):
        if index > BATCHES:  # The first message is the schema.
            raise pa.ArrowInvalid(f"expected at most {BATCHES:,} batches, got more")
        try:
            of_rows, size = _size_of_message(message.metadata, message.body)
        except (struct.error, OverflowError, IndexError) as error:
            raise pa.ArrowInvalid("a message has no valid metadata") from error
        rows += of_rows
        decoded_bytes += size
    refuse_inflated(decoded_bytes, rows)
    return StreamSize(rows=rows, decoded_bytes=decoded_bytes)


def refuse_inflated(decoded_bytes: int, rows: int) -> None:
    """Refuse what comes to more than rows can need.

    Raises:
        pa.ArrowInvalid: It does.
    """
    most = SPARE_BYTES + rows * ROW_BYTES
    if decoded_bytes > most:
        raise pa.ArrowInvalid(
            f"expected at most {most:,} bytes for {rows:,} rows, which is {ROW_BYTES:,} for each "
            f"and {SPARE_BYTES:,} for all, got {decoded_bytes:,}"
        )


def size_of_texts(column: pa.ChunkedArray) -> int:
    """Return the bytes of a column's texts once each row has its own."""
    return sum(_size_of_texts(chunk) for chunk in column.chunks)


def _size_of_texts(chunk: pa.Array) -> int:
    if pa.types.is_dictionary(chunk.type):
        if not _is_text(chunk.type.value_type):
            return 0
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
    elif chunk.type == pa.string_view():
        views = chunk.buffers()[1]
        if views is None:
            return 0
        first = chunk.offset * _VIEW_NUMBERS
        numbers = np.frombuffer(views, np.int32)[first : first + len(chunk) * _VIEW_NUMBERS]
        return int(numbers[::_VIEW_NUMBERS].sum(dtype=np.int64))
    elif _is_text(chunk.type):
        lengths = pc.binary_length(chunk).cast(pa.int64())
    else:
        return 0
    return int(pc.sum(lengths).as_py() or 0)


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string())


def _size_of_message(metadata: pa.Buffer, body: pa.Buffer | None) -> tuple[int, int]:
    """Return the rows of a message, none if it has labels, and its bytes once it is decoded."""
    data = memoryview(metadata).cast("B")
    message = _target(data, 0)
    kind = _field(data, message, _HEADER_TYPE)
    header_type = 0 if kind is None else data[kind]
    header = _field(data, message, _HEADER)
    if header_type not in (_OF_LABELS, _OF_ROWS) or header is None:
        return 0, 0
    batch = _target(data, header)
    if header_type == _OF_LABELS:
        labels = _field(data, batch, _LABELS)
        return (0, 0) if labels is None else (0, _size_of_batch(data, _target(data, labels), body))
    length = _field(data, batch, _LENGTH)
    rows = 0 if length is None else _int64(data, length)
    return rows, _size_of_batch(data, batch, body)


def _size_of_batch(data: memoryview, batch: int, body: pa.Buffer | None) -> int:
    buffers = _field(data, batch, _BUFFERS)
    if buffers is None or body is None:
        return 0
    content = memoryview(body)
    is_compressed = _field(data, batch, _COMPRESSION) is not None
    vector = _target(data, buffers)
    size = 0
    (count,) = struct.unpack_from("<I", data, vector)
    for index in range(count):
        at = vector + 4 + index * _BUFFER_BYTES
        offset, length = _int64(data, at), _int64(data, at + 8)
        announced = _int64(content, offset) if is_compressed and length else _NOT_COMPRESSED
        if min(offset, length) < 0 or announced < _NOT_COMPRESSED:
            raise pa.ArrowInvalid("a buffer announces a negative size")
        size += length if announced == _NOT_COMPRESSED else announced
    return size


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Return where a field of a table of a flatbuffer is; None if it is not there."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable, entry = table - back, 4 + 2 * number
    (size,) = struct.unpack_from("<H", data, vtable)
    (offset,) = struct.unpack_from("<H", data, vtable + entry) if entry < size else (0,)
    return table + offset if offset else None


def _target(data: memoryview, at: int) -> int:
    """Return where an offset of a flatbuffer leads to."""
    (offset,) = struct.unpack_from("<I", data, at)
    return int(at + offset)


def _int64(data: memoryview, at: int) -> int:
    (number,) = struct.unpack_from("<q", data, at)
    return int(number)
