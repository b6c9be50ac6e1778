"""What contenders put out, compared value by value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from bench.plain import ALLOCATION_COLUMNS, POOL_COLUMNS

Tables = Mapping[str, pa.Table]
_TABLES: Final = {"allocations": ALLOCATION_COLUMNS, "pools": POOL_COLUMNS}


class OutputsDiffer(AssertionError):
    """A contender's output is not ours."""


def outputs(directory: Path) -> Tables:
    """Return the two tables found in a folder, every text plain and every number of 64 bits."""
    tables = {}
    folder = folder_of_tables(directory)
    for name, columns in _TABLES.items():
        table = pa.concat_tables(
            pq.read_table(path).replace_schema_metadata(None) for path in files_of(folder, name)
        )
        if table.column_names != list(columns):
            raise OutputsDiffer(f"{name} has the columns {table.column_names}")
        tables[name] = plain(table)
    return tables


def files_of(directory: Path, name: str) -> list[Path]:
    """Return the file of a table in a folder, or its part files in their order."""
    whole = directory / f"{name}.parquet"
    if whole.exists():
        return [whole]
    parts = (directory / name).glob("part-*.parquet")
    return sorted(parts, key=lambda path: int(path.stem.removeprefix("part-")))


def folder_of_tables(directory: Path) -> Path:
    """Return the only folder below a directory that has a run's tables."""
    (folder,) = {path.parent for path in directory.rglob("pools*")}
    return folder


def plain(table: pa.Table) -> pa.Table:
    """Return a table's values in one chunk, every text plain and every number of 64 bits."""
    columns = {**POOL_COLUMNS, **ALLOCATION_COLUMNS}
    schema = pa.schema([(name, columns[name]) for name in table.column_names])
    return table.cast(schema).combine_chunks()


def compare(name: str, found: Tables, expected: Tables) -> None:
    """Compare a contender's tables with ours.

    Raises:
        OutputsDiffer: They are not ours, value by value.
    """
    for table, ours in expected.items():
        compare_table(f"{name}: {table}", found[table], ours)


def compare_table(name: str, theirs: pa.Table, ours: pa.Table) -> None:
    """Compare one table with ours.

    Raises:
        OutputsDiffer: It is not ours, value by value.
    """
    if theirs.num_rows != ours.num_rows:
        raise OutputsDiffer(f"{name}: {theirs.num_rows} rows, ours {ours.num_rows}")
    for column in ours.column_names:
        if theirs.column(column).equals(ours.column(column)):
            continue
        pairs = zip(theirs.column(column), ours.column(column), strict=True)
        row, (got, wanted) = next(
            (row, pair) for row, pair in enumerate(pairs) if not pair[0].equals(pair[1])
        )
        raise OutputsDiffer(f"{name} row {row} {column}: {got}, ours {wanted}")
