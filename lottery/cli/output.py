"""The files that `--output` gets: allocations, pools, and the run record."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import typer

from lottery.errors import OutputUnwritable
from lottery.ledger.evidence import RUN_FILE, write_parquet
from lottery.ledger.run import RunRecord


class OutputFormat(StrEnum):
    """How the tables are written."""

    CSV = "csv"
    PARQUET = "parquet"


def prepare(directory: Path) -> None:
    """Makes the folder before anything is recorded.

    Raises:
        typer.BadParameter: It cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (FileExistsError, NotADirectoryError):
        raise typer.BadParameter(f"--output {directory}: a file stands there") from None
    except OSError as error:
        raise typer.BadParameter(f"--output {directory}: {error.strerror}") from None


def write_output(
    directory: Path,
    output_format: OutputFormat,
    record: RunRecord,
    allocations: pa.Table,
    pools: pa.Table,
) -> None:
    """Writes the three files; each is there whole or not at all.

    Args:
        directory: The folder.
        output_format: CSV or Parquet.
        record: The run, whose canonical bytes become `run.json`.
        allocations: `tables.ALLOCATIONS`.
        pools: `tables.POOLS`.

    Raises:
        OutputUnwritable: A file cannot be written.
    """
    write = write_csv if output_format is OutputFormat.CSV else write_parquet
    try:
        for name, table in (("allocations", allocations), ("pools", pools)):
            with whole_file(directory / f"{name}.{output_format.value}") as path:
                write(table, path)
        with whole_file(directory / RUN_FILE) as path:
            path.write_bytes(record.canonical())
    except OSError as error:
        raise OutputUnwritable(
            f"--output {directory}: {error.strerror}; the run is recorded, and the same command "
            "again writes it"
        ) from error


def write_csv(table: pa.Table, path: Path) -> None:
    """Writes CSV; no value of these tables needs a quote, and one that did would be refused."""
    plain = table.cast(
        pa.schema(
            field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
            for field in table.schema
        )
    )
    options = pa.csv.WriteOptions(quoting_style="none", quoting_header="none")
    pa.csv.write_csv(plain, path, options)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` once the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
