"""Arrow Flight with one table: `python -m bench.flight_server FILE`.

It prints its port and serves until its standard input ends. The ticket says whether the table is
the one in memory, or read from the file again at each call.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.flight
import pyarrow.parquet as pq

from bench.outputs import files_of, folder_of_tables
from lottery.day.tables import ALLOCATIONS

MEMORY: Final = b"memory"
FILE: Final = b"file"
_ROWS_A_MESSAGE: Final = 65_536
"""The rows of a record batch."""


class _OneTable(pa.flight.FlightServerBase):  # type: ignore[misc]
    """Sends the allocations of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._path = path
        self._table = _read(path)

    def do_get(self, context: Any, ticket: Any) -> Any:  # noqa: ARG002 - Flight's signature.
        """Stream the table."""
        table = self._table if ticket.ticket == MEMORY else _read(self._path)
        batches = table.to_batches(max_chunksize=_ROWS_A_MESSAGE)
        return pa.flight.RecordBatchStream(pa.RecordBatchReader.from_batches(table.schema, batches))


def _read(path: Path) -> pa.Table:
    labels = [field.name for field in ALLOCATIONS if pa.types.is_dictionary(field.type)]
    table = pa.concat_tables(
        pq.read_table(file, read_dictionary=labels, memory_map=True)
        for file in files_of(folder_of_tables(path), "allocations")
    )
    return table.replace_schema_metadata(None).cast(ALLOCATIONS).unify_dictionaries()


def main() -> None:
    """Serve."""
    with _OneTable(Path(sys.argv[1])) as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
