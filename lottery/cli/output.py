"""The files that commands write: allocations, pools and a document.

No text of these tables begins with what a spreadsheet takes for a formula: the intake refuses it,
because an OCC account and a series begin with a letter or a digit, and an account has nothing else.
So CSV needs no escapes that a program would have to remove again.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import typer

from lottery import operations
from lottery.durable import atomic_file, write_file
from lottery.errors import OutputUnwritable, escape
from lottery.operations.answers import StandingDay
from lottery.operations.days import DAY_FILE, day_document
from lottery.operations.runs import RUN_FILE, RunRecord, canonical, pool_name, write_parquet

BREAKS_LISTED: Final = 500
"""Maximum number of breaks on a workbook's summary; the sheet of breaks has all of them."""


class OutputFormat(StrEnum):
    """How the tables are written."""

    CSV = "csv"
    PARQUET = "parquet"
    XLSX = "xlsx"


FormatOption = Annotated[
    OutputFormat, typer.Option("--format", help="The format of --output; xlsx is for people.")
]
AssignedOnlyOption = Annotated[
    bool, typer.Option("--assigned-only", help="Write no account to --output that got nothing.")
]
RunColumnsOption = Annotated[
    bool,
    typer.Option("--run-columns", help="Begin each row of --output with run, date and cycle."),
]


def prepare(given: str) -> None:
    """Make the directory of --output, or look for its bucket, before anything is recorded.

    Raises:
        typer.BadParameter: It cannot be made or written to, or there is no such bucket.
        ServerAway: The bucket's store cannot be reached.
    """
    if _is_bucket(given):
        try:
            operations.check_bucket(given)
        except ValueError as error:
            raise typer.BadParameter(f"--output: {escape(str(error), 1_000)}") from None
        return
    directory = Path(given)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        problem = "expected a directory, found a file" if is_file else error.strerror
        raise typer.BadParameter(f"--output {escape(str(directory))}: {problem}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What --output gets.

    Attributes:
        title: The title of workbooks.
        about: What every row is of, by the name of the column that says it, if that is asked for.
        recorded_at: When the last run in it was recorded, RFC 3339.
        summary: What the first sheet of a workbook says, line by line.
        allocations: `tables.ALLOCATIONS`.
        pools: `tables.POOLS`.
        document_name: The name of the document.
        document: Its bytes.
    """

    title: str
    about: Mapping[str, str | int]
    recorded_at: str
    summary: tuple[tuple[str, str], ...]
    allocations: pa.Table
    pools: pa.Table
    document_name: str
    document: bytes


def output_of_run(record: RunRecord, allocations: pa.Table, pools: pa.Table) -> Output:
    """Return the output of a run, whose canonical bytes become `run.json`."""
    return Output(
        title=f"Run {record.run}",
        about={
            "run": record.run,
            "business_date": record.business_date.isoformat(),
            "cycle": record.cycle,
        },
        recorded_at=record.recorded_at,
        summary=(
            ("Run", record.run),
            ("Business date", record.business_date.isoformat()),
            ("Cycle", str(record.cycle)),
            ("State", record.state),
            ("Recorded", record.recorded_at),
            *(
                (f"Ask price of {volume.security_number}", volume.ask_price)
                for volume in record.seed.volumes
            ),
            ("Composite", str(record.seed.composite)),
            ("Digits", record.seed.digits),
            ("Fraction", record.seed.fraction),
            *_sum_lines(record, pools),
        ),
        allocations=allocations,
        pools=pools,
        document_name=RUN_FILE,
        document=canonical(record),
    )


def output_of_day(day: StandingDay) -> Output:
    """Return the output of what stands for a date."""
    document = json.dumps(day_document(day), ensure_ascii=False, indent=2)
    return Output(
        title=f"What stands for {day.business_date}",
        about={"last_run": day.last_run, "business_date": day.business_date.isoformat()},
        recorded_at=day.recorded_at,
        summary=(
            ("Business date", day.business_date.isoformat()),
            ("State", day.state),
            ("Runs", ", ".join(day.runs)),
            ("Recorded", day.recorded_at),
            *_sum_lines(day, day.pools),
        ),
        allocations=day.allocations,
        pools=day.pools,
        document_name=DAY_FILE,
        document=f"{document}\n".encode(),
    )


def chosen(output: Output, *, assigned_only: bool, run_columns: bool) -> Output:
    """Return what is asked for of an output.

    Args:
        output: All of it, by the columns that are documented.
        assigned_only: Whether accounts are left out that were assigned nothing.
        run_columns: Whether each row begins with what it is of.
    """
    allocations, pools = output.allocations, output.pools
    if assigned_only:
        allocations = allocations.filter(pc.field("assigned_quantity") > 0)
    if run_columns:
        allocations, pools = (_about(output, table) for table in (allocations, pools))
    return replace(output, allocations=allocations, pools=pools)


def _about(output: Output, table: pa.Table) -> pa.Table:
    for index, (name, value) in enumerate(output.about.items()):
        table = table.add_column(index, name, pa.repeat(value, table.num_rows))
    return table


def _sum_lines(of: RunRecord | StandingDay, pools: pa.Table) -> Iterator[tuple[str, str]]:
    """Yield the sums, how many breaks there are, and each of the first with both figures."""
    yield "Pools", f"{of.pool_count:,}"
    yield "Notices", f"{of.notice_count:,}"
    yield "Contracts assigned", f"{of.assigned_quantity:,}"
    yield "Allocated to accounts", f"{of.allocated_quantity:,}"
    broken = pools.filter(pc.is_valid(pools.column("break_reason")))
    yield "Breaks", f"{broken.num_rows:,}"
    for row in broken.slice(0, BREAKS_LISTED).to_pylist():
        name = pool_name(row["occ_account"], row["series"])
        figures = f"{row['assigned_quantity']:,} assigned, {row['total_short']:,} short"
        yield "Break", f"{name}: {figures}: {row['break_reason']}"


def write_output(given: str, output_format: OutputFormat, output: Output) -> str:
    """Write the three files of --output, each whole or not at all.

    Args:
        given: The directory, or the URL of a bucket.
        output_format: CSV, Parquet, or workbooks for people.
        output: What they get.

    Returns:
        What was written and where, for people.

    Raises:
        OutputUnwritable: A file cannot be written.
    """
    try:
        if _is_bucket(given):
            with tempfile.TemporaryDirectory(prefix="lottery-") as folder:
                _write_files(Path(folder), output_format, output)
                operations.deliver(Path(folder), given)
        else:
            _write_files(Path(given), output_format, output)
    except OSError as error:
        raise OutputUnwritable(
            f"--output {escape(given)}: {error.strerror or error}; what was recorded stays "
            "recorded, run the same command again to write it"
        ) from error
    suffix = output_format.value
    names = f"allocations.{suffix}, pools.{suffix} and {output.document_name}"
    return f"Wrote {names} to {escape(given)}"


def _is_bucket(given: str) -> bool:
    return "://" in given


def _write_files(directory: Path, output_format: OutputFormat, output: Output) -> None:
    for name, table in (("allocations", output.allocations), ("pools", output.pools)):
        with atomic_file(directory / f"{name}.{output_format.value}") as file:
            path = Path(file.name)
            match output_format:
                case OutputFormat.CSV:
                    write_csv(table, path)
                case OutputFormat.PARQUET:
                    write_parquet(table, path)
                case OutputFormat.XLSX:
                    _write_xlsx(name, table, path, output)
    write_file(directory / output.document_name, output.document)


def write_csv(table: pa.Table, path: Path) -> None:
    """Write CSV without quotes; a value of these tables that needed one would be refused."""
    plain = table.cast(
        pa.schema(
            field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
            for field in table.schema
        )
    )
    options = pa.csv.WriteOptions(quoting_style="none", quoting_header="none")
    pa.csv.write_csv(plain, path, options)


def _write_xlsx(name: str, table: pa.Table, path: Path, output: Output) -> None:
    """Write a workbook; the one of pools has its breaks on a sheet of their own as well."""
    from lottery.cli.workbook import write_workbook  # noqa: PLC0415 - loads XlsxWriter.

    sheets = {name: table}
    if "break_reason" in table.column_names:
        sheets["breaks"] = table.filter(pc.is_valid(table.column("break_reason")))
    write_workbook(
        path,
        sheets,
        title=f"{output.title}: {name}",
        created=dt.datetime.fromisoformat(output.recorded_at),
        summary=output.summary,
    )
