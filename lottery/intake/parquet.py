"""Parquet files, read by Arrow: labels as dictionaries, everything else as it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lottery.intake.columns import LABEL_COLUMNS, OPTIONAL_COLUMNS, check_names
from lottery.intake.received import Place

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
        file = pq.ParquetFile(
            pa.BufferReader(data),
            read_dictionary=list(LABEL_COLUMNS),
            page_checksum_verification=True,
        )
        names = file.schema_arrow.names
        if not check_names(names, required, place):
            return None
        wanted = [name for name in names if name in (*required, *OPTIONAL_COLUMNS)]
        return file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        place.refuse(f"the file is damaged or cut short: {_first_line(error)}")
        return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
