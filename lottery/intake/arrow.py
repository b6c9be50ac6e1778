"""Self-contained Arrow IPC streams: the bulk form of the wire, and of what was received by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.ipc

from lottery.day.assigned_pools import labels_in_use
from lottery.intake.columns import OPTIONAL_COLUMNS, check_names
from lottery.intake.sources import Place

END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""What a stream ends with; one that was cut off between two batches reads well without it."""


def read_arrow(
    payload: bytes,
    required: Sequence[str],
    place: Place,
    optional: Sequence[str] = OPTIONAL_COLUMNS,
) -> pa.Table | None:
    """Reads one stream and checks its buffers, because its sender made them.

    Returns:
        The raw table, or None where the payload or its columns are refused.
    """
    try:
        source = pa.BufferReader(payload)
        with pa.ipc.open_stream(source) as reader:
            names = reader.schema.names
            if not check_names(names, required, place, optional):
                return None
            table = reader.read_all()
            ended = source.tell() == len(payload) and payload.endswith(END_OF_STREAM)
        if not ended:
            place.refuse("the payload is cut short, or has bytes behind its end")
            return None
        for column in table.columns:
            check_buffers(column)
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


def with_own_labels(table: pa.Table) -> pa.Table:
    """The same rows, each chunk's dictionaries with the texts that are in it."""
    for place, name in enumerate(table.column_names):
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            chunks = [_with_labels_in_use(chunk) for chunk in column.chunks]
            table = table.set_column(
                place, table.schema.field(name), pa.chunked_array(chunks, column.type)
            )
    return table


def check_buffers(column: pa.ChunkedArray) -> None:
    """Checks lengths, offsets and indices; a loop that trusts them reads nothing but its data.

    Whether a text is sound UTF-8 is looked at with its value, which has a row.

    Raises:
        pa.ArrowInvalid: They ask for what is not there.
    """
    if pa.types.is_dictionary(column.type):
        for chunk in column.chunks:
            labels = _bytes(chunk.dictionary)
            pa.DictionaryArray.from_arrays(chunk.indices, labels, safe=False).validate(full=True)
    else:
        _bytes(column).validate(full=True)


def _bytes(texts: Any) -> Any:
    """The same buffers as bytes instead of text; what is no text stays what it is."""
    if texts.type == pa.string():
        return texts.cast(pa.binary())
    return texts.cast(pa.large_binary()) if texts.type == pa.large_string() else texts


def _with_labels_in_use(labels: pa.DictionaryArray) -> pa.DictionaryArray:
    if labels.null_count:
        return labels
    indices = labels.indices.to_numpy()
    places, in_use = labels_in_use(indices, labels.dictionary)
    return pa.DictionaryArray.from_arrays(pa.array(places[indices], labels.type.index_type), in_use)
