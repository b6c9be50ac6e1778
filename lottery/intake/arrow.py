"""Self-contained Arrow IPC streams: the wire's bulk form, kept as evidence as they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.ipc

from lottery.day.assigned_pools import labels_in_use
from lottery.errors import Problems, escape
from lottery.intake.arrow_sizes import StreamSize, refuse_inflated, size_of_stream, size_of_texts
from lottery.intake.columns import LABEL_COLUMNS, OPTIONAL_COLUMNS, check_names
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.sources import Reading, RowLocator

END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end of a stream; one that was cut off between two batches reads well without it."""


def read_arrow(
    payload: bytes,
    required: Sequence[str],
    locator: RowLocator,
    optional: Sequence[str] = OPTIONAL_COLUMNS,
    count: Callable[[StreamSize], None] = lambda _: None,
) -> Reading:
    """Read one stream and check its buffers, because they come from its sender.

    Args:
        payload: The stream.
        required: The columns that must be there.
        locator: Locates its rows.
        optional: The columns that may be there.
        count: Called with what the stream announces before it is decoded, to refuse it by raising.

    Returns:
        The raw columns; no table if the payload or its columns are refused.
    """

    def refused(message: str) -> Reading:
        return Reading(locator=locator, problems=Problems.of(locator.problem(message)))

    try:
        source = pa.BufferReader(payload)
        with pa.ipc.open_stream(source) as reader:
            can_be_read, problems = check_names(reader.schema.names, required, locator, optional)
            if not can_be_read:
                return Reading(locator=locator, problems=problems)
            size = size_of_stream(payload)
            count(size)
            table = reader.read_all()
            has_end = source.tell() == len(payload) and payload.endswith(END_OF_STREAM)
        if not has_end:
            return refused("the payload is cut short, or has bytes after its end")
        for column in table.columns:
            check_buffers(column)
        if shared_bytes := _size_of_shared_texts(table):
            count(StreamSize(rows=0, decoded_bytes=shared_bytes))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        return refused(f"expected an Arrow IPC stream: {first_line(error)}")
    return Reading(locator=locator, table=table, problems=problems)


def read_kept_arrow(
    content: bytes,
    required: Sequence[str],
    locator: RowLocator,
    optional: Sequence[str],
    memory: MemoryLimit = UNLIMITED,
) -> Reading:
    """Read the streams of a kept source, one after the other, as one.

    Returns:
        The raw columns of all of them; no table if one of them is refused.

    Raises:
        LimitExceeded: They need more memory.
    """
    needed_bytes = 0

    def count(size: StreamSize) -> None:
        nonlocal needed_bytes
        needed_bytes += size.needed_bytes
        memory.check(locator.source, needed_bytes)

    parts: list[pa.Table] = []
    problems = Problems()
    for payload in _streams_in(content):
        reading = read_arrow(payload, required, locator, optional, count)
        problems += reading.problems
        if reading.table is None:
            return Reading(locator=locator, problems=problems)
        parts.append(reading.table)
    table = pa.concat_tables(parts, promote_options="permissive")
    return Reading(locator=locator, table=table, problems=problems)


def _streams_in(content: bytes) -> Iterator[bytes]:
    """Yield the streams that were joined; what is no stream is yielded as it is, to be refused."""
    source = pa.BufferReader(content)
    while source.tell() < len(content) or not content:
        start = source.tell()
        try:
            for _ in pa.ipc.MessageReader.open_stream(source):
                pass  # Nothing is decoded.
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            yield content[start:]
            return
        yield content[start : source.tell()]
        if not content:
            return


def read_arrow_table(payload: bytes) -> pa.Table:
    """Return the table of a stream whose sender is trusted."""
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_all()


def write_arrow(table: pa.Table) -> bytes:
    """Return the table as one self-contained stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def with_own_labels(table: pa.Table) -> pa.Table:
    """Return the same rows, each chunk's dictionaries having only the texts that it uses."""
    for index, name in enumerate(table.column_names):
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            chunks = [_with_labels_in_use(chunk) for chunk in column.chunks]
            table = table.set_column(
                index, table.schema.field(name), pa.chunked_array(chunks, column.type)
            )
    return table


def check_buffers(column: pa.ChunkedArray) -> None:
    """Check lengths, offsets and indices, so that a loop that trusts them reads only its data.

    Whether a text is valid UTF-8 is checked with its value, which has a row.

    Raises:
        pa.ArrowInvalid: They point outside of the data.
    """
    if pa.types.is_dictionary(column.type):
        for chunk in column.chunks:
            labels = _as_binary(chunk.dictionary)
            pa.DictionaryArray.from_arrays(chunk.indices, labels, safe=False).validate(full=True)
    else:
        _as_binary(column).validate(full=True)


def _size_of_shared_texts(table: pa.Table) -> int:
    """Return what texts that rows share come to once each row has its own.

    Raises:
        pa.ArrowInvalid: It is more than the rows can need.
    """
    size = sum(
        size_of_texts(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
        # Texts that repeat stay shared, and those of a plain column are not.
        if name not in LABEL_COLUMNS and column.type not in (pa.string(), pa.large_string())
    )
    refuse_inflated(size, table.num_rows)
    return size


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, escaped."""
    return escape(str(error).partition("\n")[0] or type(error).__name__)


def _as_binary(texts: Any) -> Any:
    """Return the same buffers as bytes instead of text; other types stay what they are."""
    if texts.type == pa.string():
        return texts.cast(pa.binary())
    return texts.cast(pa.large_binary()) if texts.type == pa.large_string() else texts


def _with_labels_in_use(labels: pa.DictionaryArray) -> pa.DictionaryArray:
    if labels.null_count:
        return labels
    indices, texts = labels_in_use(labels.indices.to_numpy(), labels.dictionary)
    return pa.DictionaryArray.from_arrays(pa.array(indices, labels.type.index_type), texts)
