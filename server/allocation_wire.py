"""The allocations of an `AllocateSeries` response, encoded by one compiled loop.

Making a Python object for each row costs more than allocating and sending the pool together. The
loop encodes the repeated field as protobuf does, with varints and length-delimited records; its
tags come from the descriptors.

Invariants:
- Protobuf parses the bytes into the response, so that a malformed encoding is an error.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lottery.operations.series import (
    ASSIGNED,
    END,
    LAST,
    SHORT,
    START,
    AllocatedPool,
    inlined,
    loop,
)
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as service_pb2

_VARINT: Final = 0
"""Wire type of a varint."""
_DELIMITED: Final = 2
"""Wire type of a length-delimited record."""
_NUMBERS_BYTES: Final = 64
"""Maximum size of a row in bytes without its texts: six tags, two lengths and four numbers."""


def add_allocations(
    response: service_pb2.AllocateSeriesResponse,
    pool: AllocatedPool,
    *,
    occ_account: str,
    series: str,
) -> None:
    """Add the allocation of every open account of a pool to a response, in account order."""
    labels = lottery_pb2.Allocation(occ_account=occ_account, series=series).SerializeToString()
    count, texts = pool.account_count, pool.texts
    wire = np.empty(count * (len(labels) + _NUMBERS_BYTES) + len(texts), np.uint8)
    size = write_rows(
        np.frombuffer(_TAGS + labels, np.uint8),
        np.frombuffer(texts, np.uint8),
        pool.rows,
        count,
        wire,
    )
    response.MergeFromString(wire[:size].tobytes())


def _tag(message: Any, name: str, wire_type: int) -> int:
    return int(message.DESCRIPTOR.fields_by_name[name].number) << 3 | wire_type


_TAGS: Final = bytes(
    [
        _tag(service_pb2.AllocateSeriesResponse, "allocations", _DELIMITED),
        _tag(lottery_pb2.Allocation, "account", _DELIMITED),
        _tag(lottery_pb2.Allocation, "short_quantity", _VARINT),
        _tag(lottery_pb2.Allocation, "first_number", _VARINT),
        _tag(lottery_pb2.Allocation, "last_number", _VARINT),
        _tag(lottery_pb2.Allocation, "assigned_quantity", _VARINT),
    ]
)
"""Field numbers are below 16: a tag is one byte."""


@inlined
def varint_size(number):
    """Return the size of a non-negative number in bytes."""
    size = 1
    while number >= 128:
        number >>= 7
        size += 1
    return size


@inlined
def put_varint(wire, offset, number):
    """Write a non-negative number and return the offset of the next byte."""
    while number >= 128:
        wire[offset] = number & 127 | 128
        number >>= 7
        offset += 1
    wire[offset] = number
    return offset + 1


@inlined
def put_bytes(wire, offset, data, start, end):
    """Copy bytes and return the offset of the next one."""
    for index in range(start, end):
        wire[offset] = data[index]
        offset += 1
    return offset


@inlined
def put_field(wire, offset, tag, number):
    """Write a number with its tag and return the offset of the next byte."""
    wire[offset] = tag
    return put_varint(wire, offset + 1, number)


@loop("const uint8[], const uint8[], const int64[,], int64, uint8[]")
def write_rows(constants, texts, rows, count, wire):
    """Write the rows of a pool and return their size in bytes.

    Args:
        constants: uint8[], `_TAGS`, and then the encoded fields that are the same in every row.
        texts: uint8[], the accounts' bytes.
        rows: int64[n, COLUMNS], the open accounts in order, as `AllocatedPool` has them.
        count: How many of the rows are open accounts.
        wire: uint8[], out; must be large enough.
    """
    labels = constants.size - 6
    offset = 0
    for index in range(count):
        start, end = rows[index, START], rows[index, END]
        short, last, assigned = rows[index, SHORT], rows[index, LAST], rows[index, ASSIGNED]
        first = last - short + 1
        size = labels + 1 + varint_size(end - start) + (end - start)
        size += 3 + varint_size(short) + varint_size(first) + varint_size(last)
        if assigned:
            size += 1 + varint_size(assigned)
        offset = put_field(wire, offset, constants[0], size)
        offset = put_bytes(wire, offset, constants, 6, constants.size)
        offset = put_field(wire, offset, constants[1], end - start)
        offset = put_bytes(wire, offset, texts, start, end)
        offset = put_field(wire, offset, constants[2], short)
        offset = put_field(wire, offset, constants[3], first)
        offset = put_field(wire, offset, constants[4], last)
        if assigned:  # Proto3 omits zeros.
            offset = put_field(wire, offset, constants[5], assigned)
    return offset
