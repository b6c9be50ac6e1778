"""Bounds what a message makes of itself before it is parsed.

Protobuf (Encoding): a message is a sequence of records, and a row without values is a record of two
bytes, of which the parser makes an object of 80. So the records of a large message are counted
first; of messages within messages only those that do not repeat are looked into.

Invariants:
- A message past the limit is never parsed, and the caller gets RESOURCE_EXHAUSTED.
- Bytes that are no message are left to the parser, which refuses them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import numpy as np

from lottery.errors import LimitExceeded
from lottery.operations.series import inlined, loop

RECORDS: Final = 1 << 20
"""Maximum number of records in a message: rows, asks, keys and other values."""
SMALL_BYTES: Final = 1 << 20
"""Size of a message up to which its records are not counted: it has no more than half as many."""

_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5
"""Wire types."""
_FIELDS: Final = 64
"""Field numbers below this may be of messages that are looked into."""


def parse_bounded(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """Return a message, unless it has more records than the limit.

    Args:
        parse: The parser of a message type, `FromString`.
        data: The encoded message.

    Raises:
        LimitExceeded: It has more; nothing of it was parsed.
        DecodeError: The bytes are not such a message.
    """
    if len(data) > SMALL_BYTES:
        inner = _singular_messages(cast("Any", parse).__self__.DESCRIPTOR)
        if count_records(np.frombuffer(data, np.uint8), inner, RECORDS) > RECORDS:
            raise LimitExceeded(
                f"expected at most {RECORDS:,} rows and other values in one message, got more; "
                "send rows in several messages or as Arrow",
                limit=f"records={RECORDS}",
            )
    return parse(data)


@cache
def _singular_messages(descriptor: Any) -> np.ndarray[Any, Any]:
    """Return uint8[64], 1 for the number of each field that is one message."""
    inner = np.zeros(_FIELDS, np.uint8)
    for field in descriptor.fields:
        if field.message_type is not None and not field.is_repeated and field.number < _FIELDS:
            inner[field.number] = 1
    return inner


@inlined
def read_varint(data, offset):
    """Return a number of up to nine bytes, and the offset of the next byte."""
    value = shift = 0
    while offset < data.size and shift < 63:
        byte = int(data[offset])
        value |= (byte & 127) << shift
        shift += 7
        offset += 1
        if byte < 128:
            break
    return value, offset


@loop("const uint8[], const uint8[], int64")
def count_records(data, inner, most):
    """Return the number of records of a message, as far as it can be read as one.

    Args:
        data: uint8[n], the message.
        inner: uint8[64], 1 for the number of each field whose records are counted as well.
        most: How many there may be; one more ends the count.
    """
    offset = count = 0
    while offset < data.size and count <= most:
        tag, offset = read_varint(data, offset)
        count += 1
        kind, number = tag & 7, tag >> 3
        if kind in (_VARINT, _DELIMITED):
            value, offset = read_varint(data, offset)
            # The records of a message that is looked into come next.
            if kind == _DELIMITED and not (number < inner.size and inner[number]):
                if value > data.size - offset:
                    return count
                offset += value
        elif kind == _FIXED_64:
            offset += 8
        elif kind == _FIXED_32:
            offset += 4
        else:
            return count
    return count
