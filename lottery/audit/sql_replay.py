"""Compute a run a second time by one SQL statement, `replay.sql`, in DuckDB (rules S1 to D5).

The statement is an independent implementation: it shares no code with `lottery.method` or the loops
of `lottery.day`, only the schemas. An auditor can run the same file by hand.

Not here: comparing values and checking digests, which is for `replay`.

Invariants:
- The statement runs exactly as it is shipped.
- It can read one folder and the record, write nowhere, and nothing is downloaded for it.
"""

from __future__ import annotations

import glob
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import ALLOCATIONS, LABEL, POOLS
from lottery.errors import LedgerDamaged
from lottery.extras import import_extra

STATEMENT_FILE: Final = "replay.sql"

_SETTINGS: Final = {
    "threads": 2,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    # Accounts are never spilled to a temporary file that could be left over.
    "temp_directory": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What the statement gives for a run, as tables in the row order of its evidence.

    Attributes:
        allocations: `tables.ALLOCATIONS`, every open account of every allocated pool.
        pools: `tables.POOLS`, every assigned pool.
    """

    allocations: pa.Table
    pools: pa.Table


def compute(directory: Path, record: bytes) -> Computed:
    """Compute a run again from its inputs: asks, decisions, notices and positions.

    Args:
        directory: The run's evidence folder, or its unpacked bundle.
        record: The canonical bytes of its entry.

    Raises:
        EngineMissing: DuckDB is not installed.
        LedgerDamaged: A file is missing or unreadable, or holds what the method refuses.
        MemoryError: The run is too large for this machine's memory.
    """
    duckdb = import_extra("duckdb")
    try:
        return _computed(_rows(duckdb, directory, record))
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(_first_line(error)) from error
    except (duckdb.Error, pa.ArrowException, ValueError) as error:
        raise LedgerDamaged(
            f"{directory.name} cannot be computed by {STATEMENT_FILE}: {_first_line(error)}"
        ) from error


def statement() -> str:
    """Return the text of the statement, as it is shipped."""
    return resources.files("lottery.audit").joinpath(STATEMENT_FILE).read_text("utf-8")


def _rows(duckdb: ModuleType, directory: Path, record: bytes) -> pa.Table:
    """Return the statement's rows: string, int64 and null, one row an account.

    DuckDB's `file_search_path` cannot be used: it searches the current folder first.
    """
    folder = str(directory.resolve())
    # DuckDB reads a path as a glob pattern, and checks access to the pattern itself.
    pattern = glob.escape(folder)
    with (
        # The record as the log has it, whatever file is beside the evidence.
        tempfile.TemporaryDirectory(prefix="lottery-record-") as apart,
        duckdb.connect(":memory:", config=_SETTINGS) as connection,
    ):
        record_file = Path(apart) / "run.json"
        record_file.write_bytes(record)
        connection.execute("SET allowed_directories = [?, ?, ?]", [folder, pattern, apart])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET VARIABLE folder = ?", [f"{pattern}/"])
        connection.execute("SET VARIABLE record = ?", [glob.escape(str(record_file))])
        connection.execute("SET lock_configuration = true")
        return connection.sql(statement()).to_arrow_table()


def _computed(rows: pa.Table) -> Computed:
    is_allocated = pc.is_null(rows["break_reason"])
    return Computed(
        allocations=_in_schema(rows.filter(is_allocated), ALLOCATIONS), pools=_pools(rows)
    )


def _pools(rows: pa.Table) -> pa.Table:
    """Return `tables.POOLS` of the rows, which repeat a pool's figures for each account."""
    is_hit = pc.fill_null(pc.greater(rows["assigned_quantity"], 0), fill_value=False)
    labels = ["occ_account", "series"]
    pools = (
        rows.append_column("is_hit", is_hit)
        .group_by(labels, use_threads=False)  # "first" needs the rows' order.
        .aggregate(
            [
                ("notice_count", "first"),
                ("pool_assigned_quantity", "first"),
                ("total_short", "first"),
                ("assigned_before", "first"),
                ("first_hit", "first"),
                ("account", "count"),
                ("is_hit", "sum"),
                ("break_reason", "first"),
            ]
        )
    )
    named = pools.rename_columns(POOLS.names)
    return named.sort_by([(label, "ascending") for label in labels]).cast(POOLS)


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a schema's columns of the rows; dictionaries have the labels in use, sorted."""
    columns = [
        _labelled(rows[field.name]) if field.type == LABEL else rows[field.name] for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def _labelled(texts: pa.ChunkedArray) -> pa.DictionaryArray:
    used = texts.unique().sort()
    indices = pc.index_in(texts, value_set=used).combine_chunks()
    return pa.DictionaryArray.from_arrays(indices, used)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
