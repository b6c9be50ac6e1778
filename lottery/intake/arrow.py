"""Self-contained Arrow IPC streams: the bulk form of the wire, and of what was received by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.ipc

from lottery.intake.columns import check_names
from lottery.intake.received import Place

END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""What a stream ends with; one that was cut off between two batches reads well without it."""


def read_arrow(payload: bytes, required: Sequence[str], place: Place) -> pa.Table | None:
    """Reads one stream and checks its buffers, because its sender made them.

    Returns:
        The raw table, or None where the payload or its columns are refused.
    """
    try:
        source = pa.BufferReader(payload)
        with pa.ipc.open_stream(source) as reader:
            names = reader.schema.names
            if not check_names(names, required, place):
                return None
            table = reader.read_all()
            ended = source.tell() == len(payload) and payload.endswith(END_OF_STREAM)
        if not ended:
            place.refuse("the payload is cut short, or has bytes behind its end")
            return None
        for column in table.columns:
            # Lengths, offsets and indices; whether texts are sound is looked at with their values.
            column.validate(full=not pa.types.is_string(column.type))
            _check_offsets(column)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        place.refuse(f"the payload is no Arrow IPC stream: {str(error).splitlines()[0]}")
        return None
    return table


def read_arrow_table(payload: bytes) -> pa.Table:
    """The table of a stream whose sender is trusted."""
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_all()


def write_arrow(table: pa.Table) -> bytes:
    """The table as one self-contained stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _check_offsets(column: pa.ChunkedArray) -> None:
    """Validates a text column without its UTF-8: as binary, the same buffers are checked."""
    if pa.types.is_string(column.type):
        column.cast(pa.binary()).validate(full=True)
