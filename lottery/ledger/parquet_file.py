"""One Parquet file encoded by two threads: each encodes half of the row groups.

Arrow encodes a file on one thread. Here each half is a file of its own in memory, and their bytes
are put one behind the other under one footer, in which the second half's offsets are moved (Apache
Parquet format, parquet.thrift; the footer is in Thrift's compact protocol).

Invariants:
- The bytes follow from the table alone: how it is split depends on its rows and on nothing else.
- Each half is encoded by Arrow; nothing of a row group is changed but where its pages start.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

from lottery.day.threads import ROWS_WORTH_A_THREAD, in_threads

MAGIC: Final = b"PAR1"
ROW_GROUP: Final = 1 << 20
"""Rows of a row group at most."""

# The fields of parquet.thrift that matter here, by their ids.
_NUM_ROWS, _ROW_GROUPS = 3, 4  # FileMetaData
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7  # RowGroup
_CHUNK_OFFSETS, _META_DATA = (2, 4, 6), 3  # ColumnChunk
_PAGE_OFFSETS: Final = (9, 10, 11, 14)  # ColumnMetaData

Encode = Callable[[pa.Table, int, Any], None]
"""Writes a table with row groups of so many rows to a sink, as one Parquet file."""


def write_parquet_file(table: pa.Table, path: Path, encode: Encode) -> None:
    """Writes a table as one Parquet file.

    Args:
        table: The table.
        path: The file.
        encode: Writes a part of it.
    """
    rows = table.num_rows
    if rows < 2 * ROWS_WORTH_A_THREAD:
        encode(table, ROW_GROUP, path)
        return
    # As few groups as there can be, but an even number of them, all but the last of one size.
    pairs = -(-rows // (2 * ROW_GROUP))
    group = -(-rows // (2 * pairs))
    parts = in_threads(
        lambda first, last: _encoded(table.slice(first, last - first), group, encode),
        [(0, pairs * group), (pairs * group, rows)],
    )
    with path.open("wb") as file:
        file.write(parts[0].pages)
        file.write(parts[1].pages[len(MAGIC) :])
        footer = _written(_joined(parts[0].footer, parts[1].footer, len(parts[0].pages)))
        file.write(footer + struct.pack("<I", len(footer)) + MAGIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    """A Parquet file taken apart.

    Attributes:
        pages: Everything before the footer, the magic bytes at the start among it.
        footer: `FileMetaData`, as `_read_struct` gives it.
    """

    pages: memoryview
    footer: dict[int, tuple[int, Any]]


def _encoded(table: pa.Table, group: int, encode: Encode) -> _Encoded:
    sink = pa.BufferOutputStream()
    encode(table, group, sink)
    data = memoryview(sink.getvalue())
    (size,) = struct.unpack("<I", data[-8:-4])
    end = len(data) - 8 - size
    protocol = TCompactProtocol(TMemoryBuffer(bytes(data[end:-8])))
    return _Encoded(pages=data[:end], footer=_read_struct(protocol))


def _joined(
    first: dict[int, tuple[int, Any]], second: dict[int, tuple[int, Any]], first_bytes: int
) -> dict[int, tuple[int, Any]]:
    """The footer of two files of which the second comes behind the first's pages."""
    kind, groups = first[_ROW_GROUPS]
    element, ours = groups
    theirs = second[_ROW_GROUPS][1][1]
    moved = first_bytes - len(MAGIC)
    for place, group in enumerate(theirs, len(ours)):
        _move(group, (_GROUP_OFFSET,), moved)
        if _ORDINAL in group:
            group[_ORDINAL] = (group[_ORDINAL][0], place)
        for chunk in group[_COLUMNS][1][1]:
            _move(chunk, _CHUNK_OFFSETS, moved)
            _move(chunk[_META_DATA][1], _PAGE_OFFSETS, moved)
    rows = first[_NUM_ROWS][1] + second[_NUM_ROWS][1]
    return {
        **first,
        _NUM_ROWS: (first[_NUM_ROWS][0], rows),
        _ROW_GROUPS: (kind, (element, [*ours, *theirs])),
    }


def _move(fields: dict[int, tuple[int, Any]], offsets: tuple[int, ...], by: int) -> None:
    """Moves offsets; 0 stands for none."""
    for field in offsets:
        if field in fields and fields[field][1]:
            fields[field] = (fields[field][0], fields[field][1] + by)


def _read_struct(protocol: Any) -> dict[int, tuple[int, Any]]:
    """A struct as field id to type and value; nothing of it needs to be known."""
    fields = {}
    protocol.readStructBegin()
    while True:
        _, kind, field = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        fields[field] = (kind, _read_value(protocol, kind))
        protocol.readFieldEnd()
    protocol.readStructEnd()
    return fields


def _read_value(protocol: Any, kind: int) -> Any:
    if kind == TType.STRUCT:
        return _read_struct(protocol)
    if kind == TType.LIST:
        element, size = protocol.readListBegin()
        values = [_read_value(protocol, element) for _ in range(size)]
        protocol.readListEnd()
        return element, values
    return _PRIMITIVES[kind][0](protocol)


def _written(footer: dict[int, tuple[int, Any]]) -> bytes:
    buffer = TMemoryBuffer()
    _write_struct(TCompactProtocol(buffer), footer)
    written: bytes = buffer.getvalue()
    return written


def _write_struct(protocol: Any, fields: dict[int, tuple[int, Any]]) -> None:
    protocol.writeStructBegin("")
    for field, (kind, value) in fields.items():
        protocol.writeFieldBegin("", kind, field)
        _write_value(protocol, kind, value)
        protocol.writeFieldEnd()
    protocol.writeFieldStop()
    protocol.writeStructEnd()


def _write_value(protocol: Any, kind: int, value: Any) -> None:
    if kind == TType.STRUCT:
        _write_struct(protocol, value)
    elif kind == TType.LIST:
        element, values = value
        protocol.writeListBegin(element, len(values))
        for one in values:
            _write_value(protocol, element, one)
        protocol.writeListEnd()
    else:
        _PRIMITIVES[kind][1](protocol, value)


_PRIMITIVES: Final = {
    TType.BOOL: (TCompactProtocol.readBool, TCompactProtocol.writeBool),
    TType.BYTE: (TCompactProtocol.readByte, TCompactProtocol.writeByte),
    TType.I16: (TCompactProtocol.readI16, TCompactProtocol.writeI16),
    TType.I32: (TCompactProtocol.readI32, TCompactProtocol.writeI32),
    TType.I64: (TCompactProtocol.readI64, TCompactProtocol.writeI64),
    TType.DOUBLE: (TCompactProtocol.readDouble, TCompactProtocol.writeDouble),
    TType.STRING: (TCompactProtocol.readBinary, TCompactProtocol.writeBinary),
}
