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
import numpy.typing as npt

from lottery.operations.allocate_series import AllocatedPool, inlined, loop
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
    texts = pool.texts
    wire = np.empty(pool.rows.size * (len(labels) + _NUMBERS_BYTES) + texts.data.size, np.uint8)
    size = write_rows(
        _TAGS,
        np.frombuffer(labels, np.uint8),
        texts.offsets,
        texts.data,
        pool.rows,
        pool.shorts,
        pool.first_numbers,
        pool.last_numbers,
        pool.assigned,
        wire,
    )
    response.MergeFromString(wire[:size].tobytes())


def _tag(message: Any, name: str, wire_type: int) -> int:
    return int(message.DESCRIPTOR.fields_by_name[name].number) << 3 | wire_type


_TAGS: Final[npt.NDArray[np.uint8]] = np.array(
    [
        _tag(service_pb2.AllocateSeriesResponse, "allocations", _DELIMITED),
        _tag(lottery_pb2.Allocation, "account", _DELIMITED),
        _tag(lottery_pb2.Allocation, "short_quantity", _VARINT),
        _tag(lottery_pb2.Allocation, "first_number", _VARINT),
        _tag(lottery_pb2.Allocation, "last_number", _VARINT),
        _tag(lottery_pb2.Allocation, "assigned_quantity", _VARINT),
    ],
    np.uint8,
)


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


@loop(
    "const uint8[], const uint8[], const int32[], const uint8[], const int64[], const int64[], "
    "const int64[], const int64[], const int64[], uint8[]"
)
def write_rows(
    tags, labels, offsets, data, rows, shorts, first_numbers, last_numbers, assigned, wire
):
    """Write the rows of a pool and return their size in bytes.

    Args:
        tags: uint8[6], the tags of the repeated field, account, short quantity, first number, last
            number and assigned quantity. Their field numbers are below 16: a tag is one byte.
        labels: uint8[], the encoded fields that are the same in every row.
        offsets: int32[n + 1], the offset in `data` of each row's account; it ends one byte before
            the next offset.
        data: uint8[], the accounts' bytes, each followed by a newline.
        rows: int64[k], the row of each open account, in account order.
        shorts: int64[n], the short quantity of each row.
        first_numbers: int64[k], the first number of each open account.
        last_numbers: int64[k], the last number of each open account.
        assigned: int64[k], the assigned quantity of each open account; proto3 omits zeros.
        wire: uint8[], the output; must be large enough.
    """
    offset = 0
    for index in range(rows.size):
        row = rows[index]
        start, end = offsets[row], offsets[row + 1] - 1
        size = labels.size + 1 + varint_size(end - start) + (end - start)
        size += 3 + varint_size(shorts[row])
        size += varint_size(first_numbers[index]) + varint_size(last_numbers[index])
        if assigned[index]:
            size += 1 + varint_size(assigned[index])
        wire[offset] = tags[0]
        offset = put_varint(wire, offset + 1, size)
        for byte in labels:
            wire[offset] = byte
            offset += 1
        wire[offset] = tags[1]
        offset = put_varint(wire, offset + 1, end - start)
        for byte in range(start, end):
            wire[offset] = data[byte]
            offset += 1
        wire[offset] = tags[2]
        offset = put_varint(wire, offset + 1, shorts[row])
        wire[offset] = tags[3]
        offset = put_varint(wire, offset + 1, first_numbers[index])
        wire[offset] = tags[4]
        offset = put_varint(wire, offset + 1, last_numbers[index])
        if assigned[index]:
            wire[offset] = tags[5]
            offset = put_varint(wire, offset + 1, assigned[index])
    return offset
