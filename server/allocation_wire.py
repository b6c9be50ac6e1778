"""The rows of an `AllocateSeries` answer, written as wire bytes by one compiled loop.

A Python object a row costs more than the allocation and the wire together. The loop writes the
repeated field as protobuf's encoding has it (varints and length-delimited records), with tags from
the descriptors; protobuf then parses the bytes into the answer, so that what it would not have
written itself is an error and never an answer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lottery.day.account_keys import text_buffers
from lottery.day.jit import compiled, inlined
from lottery.day.single_pool import AllocatedPool
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as service_pb2

_VARINT: Final = 0
_DELIMITED: Final = 2
_NUMBERS_BYTES: Final = 64
"""Of a row at most, besides its texts: six tags, two lengths and four numbers of ten bytes."""


def add_allocations(
    response: service_pb2.AllocateSeriesResponse,
    pool: AllocatedPool,
    *,
    occ_account: str,
    series: str,
) -> None:
    """Adds every open account of a pool to an answer, in order."""
    labels = lottery_pb2.Allocation(occ_account=occ_account, series=series).SerializeToString()
    offsets, data = text_buffers(pool.accounts)
    wire = np.empty(pool.rows.size * (len(labels) + _NUMBERS_BYTES) + data.size, np.uint8)
    size = write_rows(
        _TAGS,
        np.frombuffer(labels, np.uint8),
        offsets,
        data,
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
    """Bytes of a number that is not negative."""
    size = 1
    while number >= 128:
        number >>= 7
        size += 1
    return size


@inlined
def put_varint(wire, at, number):
    """Writes a number that is not negative and returns where the next byte goes."""
    while number >= 128:
        wire[at] = number & 127 | 128
        number >>= 7
        at += 1
    wire[at] = number
    return at + 1


@compiled
def write_rows(
    tags, labels, offsets, data, rows, shorts, first_numbers, last_numbers, assigned, wire
):
    """Writes the rows of a pool and returns how many bytes they are.

    Args:
        tags: uint8[6], of the repeated field, account, short, first, last and assigned; each field
            number is below 16, so that a tag is one byte.
        labels: uint8[], the fields that every row has alike, encoded.
        offsets: int32[n + 1], where each row's account starts in `data`.
        data: uint8[], the accounts' bytes.
        rows: int64[k], the row of each open account, in order.
        shorts: int64[n], contracts short of each row.
        first_numbers: int64[k].
        last_numbers: int64[k].
        assigned: int64[k]; a zero is not written, as proto3 has it.
        wire: out, uint8[], large enough.
    """
    at = 0
    for place in range(rows.size):
        row = rows[place]
        start, end = offsets[row], offsets[row + 1]
        size = labels.size + 1 + varint_size(end - start) + (end - start)
        size += 3 + varint_size(shorts[row])
        size += varint_size(first_numbers[place]) + varint_size(last_numbers[place])
        if assigned[place]:
            size += 1 + varint_size(assigned[place])
        wire[at] = tags[0]
        at = put_varint(wire, at + 1, size)
        for byte in labels:
            wire[at] = byte
            at += 1
        wire[at] = tags[1]
        at = put_varint(wire, at + 1, end - start)
        for byte in range(start, end):
            wire[at] = data[byte]
            at += 1
        wire[at] = tags[2]
        at = put_varint(wire, at + 1, shorts[row])
        wire[at] = tags[3]
        at = put_varint(wire, at + 1, first_numbers[place])
        wire[at] = tags[4]
        at = put_varint(wire, at + 1, last_numbers[place])
        if assigned[place]:
            wire[at] = tags[5]
            at = put_varint(wire, at + 1, assigned[place])
    return at
