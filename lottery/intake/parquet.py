"""Parquet files, read by Arrow: labels as dictionaries, everything else as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from lottery.day.threads import THREADS, in_threads
from lottery.errors import Problems
from lottery.intake.arrow import check_buffers, first_line
from lottery.intake.columns import LABEL_COLUMNS, check_names
from lottery.intake.sources import Reading, RowLocator

MAGIC: Final = b"PAR1"
"""What a Parquet file begins and ends with."""


def read_parquet(data: pa.Buffer, required: Sequence[str], source: str) -> Reading:
    """Read the columns of a Parquet file.

    Args:
        data: The whole file.
        required: The columns that must be there; `occ_account` is optional.
        source: What problems name as their source.

    Returns:
        The raw columns; no table if the file or its columns are refused.
    """
    locator = RowLocator(source=source)

    def refused(message: str) -> Reading:
        return Reading(locator=locator, problems=Problems.of(locator.problem(message)))

    if data.size == 0:
        return refused("the file is empty")
    if data.slice(0, min(4, data.size)).to_pybytes() != MAGIC:
        return refused("expected Parquet, got a file that does not begin as one")
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        schema = metadata.schema.to_arrow_schema()
        can_be_read, problems = check_names(schema.names, required, locator)
        if not can_be_read:
            return Reading(locator=locator, problems=problems)
        if not _counts_agree(metadata):
            return refused("the file is damaged: its row groups do not have the rows it announces")
        table = _read_columns(data, metadata, schema)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        return refused(f"the file is damaged or cut short: {first_line(error)}")
    return Reading(locator=locator, table=table, problems=problems)


def parquet_row_count(data: pa.Buffer) -> int:
    """Return the number of rows that a Parquet file announces; 0 if it cannot be read."""
    try:
        return int(pq.read_metadata(pa.BufferReader(data)).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return 0


def _read_columns(data: pa.Buffer, metadata: pq.FileMetaData, schema: pa.Schema) -> pa.Table:
    texts = (pa.string(), pa.large_string())
    labels = [
        name for name in LABEL_COLUMNS if name in schema.names and schema.field(name).type in texts
    ]

    def read_groups(first: int, last: int) -> pa.Table:
        file = pq.ParquetFile(
            pa.BufferReader(data),
            metadata=metadata,
            read_dictionary=labels,
            page_checksum_verification=True,
        )
        return file.read_row_groups(range(first, last))

    # Most of the time goes into one column, the accounts, so threads share row groups.
    count = metadata.num_row_groups
    halves = [(0, count)] if count < THREADS else [(0, count // 2), (count // 2, count)]
    table = pa.concat_tables(in_threads(read_groups, halves))
    for column in table.columns:
        # The reader does not check that a dictionary has what an index asks for, neither for the
        # labels nor for a column that the file itself declares as a dictionary.
        if pa.types.is_dictionary(column.type):
            check_buffers(column)
    return table


def _counts_agree(metadata: pq.FileMetaData) -> bool:
    """Return whether the file and its row groups announce the same rows.

    The reader allocates memory for the rows that a group announces before it finds fewer. What the
    columns announce is not read: if that is damaged, Arrow ends the process.
    """
    groups = range(metadata.num_row_groups)
    return bool(metadata.num_rows == sum(metadata.row_group(group).num_rows for group in groups))
