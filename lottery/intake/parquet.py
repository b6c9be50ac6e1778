"""Parquet files, read by Arrow: labels as dictionaries, everything else as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from lottery.day.threads import THREADS, in_threads
from lottery.errors import Problems
from lottery.intake.arrow import check_buffers, first_line
from lottery.intake.columns import (
    OPTIONAL_COLUMNS,
    POSITION_OPTIONAL_COLUMNS,
    REPEATED_COLUMNS,
    check_names,
)
from lottery.intake.memory import (
    DECODED_FACTOR,
    GROUP_BYTES,
    KEPT_ROW_BYTES,
    UNLIMITED,
    MemoryLimit,
)
from lottery.intake.parquet_sizes import MAGIC, Chunk, chunks_of, footer_problem, size_of_groups
from lottery.intake.positions import PositionBlocks
from lottery.intake.sources import Reading, RowLocator

_DAMAGE: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
_PLAIN_ROW_BYTES: Final = 32
"""Bytes of a row from which on its series is taken to be stored as text, which takes 25."""


def read_parquet(
    data: pa.Buffer, required: Sequence[str], source: str, memory: MemoryLimit = UNLIMITED
) -> Reading:
    """Read the columns of a Parquet file.

    Args:
        data: The whole file.
        required: The columns that must be there; `OPTIONAL_COLUMNS` may be.
        source: What problems name as their source.
        memory: What its rows may take.

    Returns:
        The raw columns; no table if the file or its columns are refused.

    Raises:
        LimitExceeded: Its rows need more memory.
    """
    locator = RowLocator(source=source)
    metadata, problems = _metadata(data, required, OPTIONAL_COLUMNS, locator)
    if metadata is None:
        return Reading(locator=locator, problems=problems)
    memory.check(source, metadata.num_rows * KEPT_ROW_BYTES)
    # Most of the time goes into one column, the accounts, so threads share row groups.
    count = metadata.num_row_groups
    halves = [(0, count)] if count < THREADS else [(0, count // 2), (count // 2, count)]
    try:
        read = partial(_read_groups, data, metadata, chunks_of(data), source, memory)
        table = pa.concat_tables(in_threads(read, halves))
    except _DAMAGE as error:
        return Reading(locator=locator, problems=_damage_of(locator, error))
    return Reading(locator=locator, table=table, problems=problems)


def parquet_blocks(
    data: pa.Buffer,
    required: Sequence[str],
    source: str,
    forget: Callable[[], None],
    memory: MemoryLimit = UNLIMITED,
) -> PositionBlocks:
    """Return the row groups of a Parquet file, to be read one by one.

    Args:
        data: The whole file.
        required: The columns that must be there; `POSITION_OPTIONAL_COLUMNS` may be.
        source: What problems name as their source.
        forget: Called once a row group was decoded: its bytes need not stay in memory.
        memory: What a row group may take; reading one that needs more raises `LimitExceeded`.
    """
    locator = RowLocator(source=source)
    metadata, problems = _metadata(data, required, POSITION_OPTIONAL_COLUMNS, locator)
    if metadata is None:
        return PositionBlocks.of([Reading(locator=locator, problems=problems)])
    try:
        chunks = chunks_of(data)
    except _DAMAGE as error:
        damage = _damage_of(locator, error)
        return PositionBlocks.of([Reading(locator=locator, problems=damage)])
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    starts = list(accumulate(counts, initial=1))

    def read(group: int) -> Reading:
        block = replace(locator, first_row=starts[group])
        try:
            table = _read_groups(data, metadata, chunks, source, memory, group, group + 1)
        except _DAMAGE as error:
            return Reading(locator=block, problems=_damage_of(locator, error))
        forget()
        return Reading(locator=block, table=table)

    return PositionBlocks(row_counts=counts, read=read, problems=problems)


def needed_bytes(data: pa.Buffer) -> int:
    """Return what a table that is read whole needs, before it is decoded.

    Raises:
        pa.ArrowInvalid: It is no such table, or comes to more than its rows can need.
    """
    metadata = _opened(data)
    if isinstance(metadata, str):
        raise pa.ArrowInvalid(metadata)
    schema = metadata.schema.to_arrow_schema()
    if metadata.num_columns != len(schema):
        raise pa.ArrowInvalid("expected columns of single values, got nested")
    shared = [index for index, each in enumerate(schema) if pa.types.is_dictionary(each.type)]
    size = size_of_groups(data, chunks_of(data), shared, metadata.num_rows)
    return max(int(metadata.num_rows) * KEPT_ROW_BYTES, size * DECODED_FACTOR)


def parquet_names(data: pa.Buffer) -> list[str] | str:
    """Return the column names of a Parquet file, or why there are none."""
    metadata = _opened(data)
    return metadata if isinstance(metadata, str) else metadata.schema.to_arrow_schema().names


def _opened(data: pa.Buffer) -> pq.FileMetaData | str:
    """Return a file's metadata, or why it cannot be read."""
    if data.size == 0:
        return "the file is empty"
    if data.slice(0, min(4, data.size)).to_pybytes() != MAGIC:
        return "expected Parquet, got a file that does not begin as one"
    problem = footer_problem(data)
    if problem is not None:
        return problem
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        metadata.schema.to_arrow_schema()
    except _DAMAGE as error:
        return _describe_damage(error)
    if not _counts_agree(metadata):
        return "the file is damaged: its row groups do not have the rows it announces"
    return metadata


def _metadata(
    data: pa.Buffer, required: Sequence[str], optional: Sequence[str], locator: RowLocator
) -> tuple[pq.FileMetaData | None, Problems]:
    """Return a file's metadata, or None and why its columns cannot be read."""
    metadata = _opened(data)
    if isinstance(metadata, str):
        return None, Problems.of(locator.problem(metadata))
    schema = metadata.schema.to_arrow_schema()
    names = schema.names
    can_be_read, problems = check_names(names, required, locator, optional)
    if metadata.num_columns != len(names):
        nested = Problems.of(locator.problem("expected columns of single values, got nested"))
        return None, problems or nested
    return (metadata if can_be_read else None), problems


def _describe_damage(error: Exception) -> str:
    return f"the file is damaged or cut short: {first_line(error)}"


def _damage_of(locator: RowLocator, error: Exception) -> Problems:
    return Problems.of(locator.problem(_describe_damage(error)))


def _read_groups(
    data: pa.Buffer,
    metadata: pq.FileMetaData,
    chunks: Sequence[Sequence[Chunk]],
    source: str,
    memory: MemoryLimit,
    first: int,
    last: int,
) -> pa.Table:
    """Decode row groups; labels are dictionaries if they are stored as such."""
    schema = metadata.schema.to_arrow_schema()
    has_plain_series = any(_has_plain_series(metadata.row_group(at)) for at in range(first, last))
    labels = [
        name
        for name in REPEATED_COLUMNS
        if name in schema.names
        and schema.field(name).type in (pa.string(), pa.large_string())
        and not (name == "series" and has_plain_series)
    ]
    rows = sum(metadata.row_group(group).num_rows for group in range(first, last))
    # The columns of a file are those of its schema, in its order.
    shared = [index for index, name in enumerate(schema.names) if name in labels]
    size = size_of_groups(data, chunks[first:last], shared, rows)
    memory.check(source, max(0, size - GROUP_BYTES) * DECODED_FACTOR)
    file = pq.ParquetFile(
        pa.BufferReader(data),
        metadata=metadata,
        read_dictionary=labels,
        page_checksum_verification=True,
    )
    table = file.read_row_groups(range(first, last), use_threads=False)
    if table.num_rows != rows:
        raise pa.ArrowInvalid("a row group does not have the rows that it announces")
    for column in table.columns:
        # The reader does not check that a dictionary has what an index asks for, neither for the
        # labels nor for a column that the file itself declares as a dictionary.
        if pa.types.is_dictionary(column.type):
            check_buffers(column)
    return table


def _has_plain_series(group: pq.RowGroupMetaData) -> bool:
    """Return whether the series of a row group are probably stored as texts, not as indices.

    Only a guess by the size of its rows: what its columns announce is not read, because Arrow ends
    the process if that is damaged.
    """
    return bool(group.total_byte_size > _PLAIN_ROW_BYTES * group.num_rows)


def _counts_agree(metadata: pq.FileMetaData) -> bool:
    """Return whether the file and its row groups announce the same rows.

    The reader allocates memory for the rows that a group announces before it finds fewer.
    """
    groups = range(metadata.num_row_groups)
    return bool(metadata.num_rows == sum(metadata.row_group(group).num_rows for group in groups))
