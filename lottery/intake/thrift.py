"""Thrift's compact protocol, as far as the footer and the pages of a Parquet file need it.

Apache Thrift, "Thrift compact protocol encoding". A structure becomes a dictionary by field
numbers, a list a list; what a number means is for the caller.

Invariants:
- Nothing is allocated by a size that the file states: every element takes at least a byte of it.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

_DEPTH: Final = 16
"""Maximum depth of structures and lists within each other; a footer has six."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS: Final = (4, 5, 6)
_LONG: Final = 15
"""The size in a list's first byte that says that the size follows."""
_VARINT_BITS: Final = 70


def read_struct(data: memoryview, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure by their numbers, and where it ends.

    Raises:
        pa.ArrowInvalid: It is malformed.
        IndexError: It is cut short.
    """
    if depth > _DEPTH:
        raise pa.ArrowInvalid("structures are nested too deep")
    fields: dict[int, Any] = {}
    number = 0
    while (first := data[at]) != 0:
        at += 1
        if first >> 4:
            number += first >> 4
        else:
            number, at = _number(data, at)
        kind = first & 15
        if kind in _NUMBERS and (byte := data[at]) < 128:  # noqa: PLR2004 - most have one byte.
            fields[number] = byte >> 1 ^ -(byte & 1)
            at += 1
        elif kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth + 1)
    return fields, at + 1


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _NUMBERS:
        return _number(data, at)
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[at], at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        return None, at + size  # No text is needed.
    if kind in (_LIST, _SET):
        return _list(data, at, depth)
    if kind == _STRUCT:
        return read_struct(data, at, depth)
    raise pa.ArrowInvalid(f"a field has the unknown type {kind}")


def _list(data: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _DEPTH:
        raise pa.ArrowInvalid("lists are nested too deep")
    first = data[at]
    count, at = first >> 4, at + 1
    if count == _LONG:
        count, at = _varint(data, at)
    values = []
    for _ in range(count):
        value, at = _value(data, at, first & 15, depth + 1)
        values.append(value)
        if at > len(data):
            raise IndexError
    return values, at


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """Return a signed number, which is in zigzag encoding."""
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:  # noqa: PLR2004 - the last byte.
            return value, at
        shift += 7
        if shift >= _VARINT_BITS:
            raise pa.ArrowInvalid("a number has more than ten bytes")
