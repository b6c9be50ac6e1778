"""Parquet files, read by Arrow: labels as dictionaries, everything else as it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lottery.day.threads import THREADS, in_threads
from lottery.intake.arrow import check_buffers
from lottery.intake.columns import LABEL_COLUMNS, check_names
from lottery.intake.sources import Place

MAGIC = b"PAR1"


def read_parquet(data: pa.Buffer, required: Sequence[str], place: Place) -> pa.Table | None:
    """Reads the columns of a Parquet file.

    Args:
        data: The whole file.
        required: The columns that must be there, besides the optional `occ_account`.
        place: Where problems go.

    Returns:
        The raw table, or None where the file or its columns are refused.
    """
    if data.size == 0:
        place.refuse("the file is empty")
        return None
    if data.slice(0, min(4, data.size)).to_pybytes() != MAGIC:
        place.refuse("the file is no Parquet: it does not start as one")
        return None
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        schema = metadata.schema.to_arrow_schema()
        if not check_names(schema.names, required, place):
            return None
        if not _counts_agree(metadata):
            place.refuse("the file is damaged: its row groups have other rows than it tells of")
            return None
        labels = [name for name in LABEL_COLUMNS if _is_flat_text(schema, name)]

        def read_groups(first: int, last: int) -> pa.Table:
            file = pq.ParquetFile(
                pa.BufferReader(data),
                metadata=metadata,
                read_dictionary=labels,
                page_checksum_verification=True,
            )
            return file.read_row_groups(range(first, last))

        table = pa.concat_tables(in_threads(read_groups, _halves(metadata)))
        for column in table.columns:
            # The reader does not look whether a dictionary has what an index asks for, neither in
            # the labels nor in a column that the file itself declares as one.
            if pa.types.is_dictionary(column.type):
                check_buffers(column)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        place.refuse(f"the file is damaged or cut short: {_first_line(error)}")
        return None
    return table


def _counts_agree(metadata: pq.FileMetaData) -> bool:
    """Whether the file and its row groups tell of the same rows.

    The reader takes memory for the rows that a group tells of, and only then finds fewer. What the
    columns tell is not asked: where they are damaged, Arrow ends the process over that question.
    """
    groups = range(metadata.num_row_groups)
    return bool(metadata.num_rows == sum(metadata.row_group(group).num_rows for group in groups))


def parquet_rows(data: pa.Buffer) -> int:
    """The rows that a Parquet file says it has; 0 where it says nothing that can be read."""
    try:
        return int(pq.read_metadata(pa.BufferReader(data)).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return 0


def _halves(metadata: pq.FileMetaData) -> list[tuple[int, int]]:
    """Ranges of row groups: one column, the accounts, takes most of the time, so they share it."""
    groups = metadata.num_row_groups
    return [(0, groups)] if groups < THREADS else [(0, groups // 2), (groups // 2, groups)]


def _is_flat_text(schema: pa.Schema, name: str) -> bool:
    """Whether a column is there and holds what can be read as a dictionary."""
    return name in schema.names and schema.field(name).type in (pa.string(), pa.large_string())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
