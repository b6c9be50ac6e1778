"""The files that `--output` gets: allocations, pools, and the run record.

No text of these tables begins with what a spreadsheet takes for a formula, because the intake
refuses it: an OCC account begins with a letter or a digit, as a series does, and an account has
nothing else. So CSV needs no marks that a machine would have to take off again.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import typer

from lottery.durable import atomic_file, write_file
from lottery.errors import OutputUnwritable
from lottery.ledger.evidence import RUN_FILE, write_parquet
from lottery.ledger.run_record import RunRecord


class OutputFormat(StrEnum):
    """How the tables are written."""

    CSV = "csv"
    PARQUET = "parquet"
    XLSX = "xlsx"


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
        output_format: CSV, Parquet, or workbooks for people.
        record: The run, whose canonical bytes become `run.json`.
        allocations: `tables.ALLOCATIONS`.
        pools: `tables.POOLS`.

    Raises:
        OutputUnwritable: A file cannot be written.
    """
    try:
        for name, table in (("allocations", allocations), ("pools", pools)):
            with atomic_file(directory / f"{name}.{output_format.value}") as file:
                path = Path(file.name)
                match output_format:
                    case OutputFormat.CSV:
                        write_csv(table, path)
                    case OutputFormat.PARQUET:
                        write_parquet(table, path)
                    case OutputFormat.XLSX:
                        write_xlsx(name, table, path, record)
        write_file(directory / RUN_FILE, record.canonical())
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


def write_xlsx(name: str, table: pa.Table, path: Path, record: RunRecord) -> None:
    """Writes a workbook; the pools have their breaks once more on a sheet of their own."""
    from lottery.cli.workbook import write_workbook  # noqa: PLC0415 - loads XlsxWriter.

    sheets = {name: table}
    if "break_reason" in table.column_names:
        sheets["breaks"] = table.filter(pc.is_valid(table.column("break_reason")))
    write_workbook(
        path,
        sheets,
        title=f"Run {record.run}: {name}",
        created=dt.datetime.fromisoformat(record.recorded_at),
    )
