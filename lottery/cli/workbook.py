"""Tables as an Excel workbook, for people to read, sort, filter and sum.

Invariants:
- Text stays text: account numbers keep their leading zeros, and no cell is a formula or a link,
  whatever it begins with.
- Numbers are exact. Excel keeps 15 digits, so a column with a longer number is text as a whole:
  a sum that silently left out single cells would mislead.
- The same tables give the same bytes.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

MOST_ROWS: Final = 1_048_575
"""Maximum number of rows of a sheet below its header; Excel has 1,048,576 in all."""
LARGEST_NUMBER: Final = 10**15 - 1
"""The largest number that Excel keeps exactly."""

_BATCH_ROWS: Final = 65_536
_LEAST_WIDTH: Final = 8
_MARGIN: Final = 4
"""Width of the filter's button in the header, in characters."""
_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "use_zip64": True,
}


def write_workbook(
    path: Path,
    tables: Mapping[str, pa.Table],
    *,
    title: str,
    created: dt.datetime,
    most_rows: int = MOST_ROWS,
) -> None:
    """Write a workbook with a sheet for each table.

    Args:
        path: The file.
        tables: Tables of texts and int64 by sheet name; rows past the limit continue on the sheets
            `name-2`, `name-3` and so on.
        title: The workbook's title.
        created: When the run was recorded, UTC.
        most_rows: Maximum number of rows of a sheet below its header.

    Raises:
        OSError: The file cannot be written.
    """
    # XlsxWriter keeps rows in temporary files; they belong on the disk that the workbook goes to.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".workbook-") as directory:
        workbook = xlsxwriter.Workbook(str(path), {**_OPTIONS, "tmpdir": directory})
        workbook.set_properties({"title": title, "created": created})
        try:
            for name, table in tables.items():
                plain = _plain(table)
                for start in range(0, max(1, plain.num_rows), most_rows):
                    number = start // most_rows + 1
                    sheet = workbook.add_worksheet(name if number == 1 else f"{name}-{number}")
                    _write_sheet(workbook, sheet, plain.slice(start, most_rows))
            workbook.close()
        except FileCreateError as error:
            raise error.args[0] from None
        finally:
            _close_rows(workbook)


def _close_rows(workbook: Any) -> None:
    """Close the temporary files of the rows, even if the disk is full."""
    for sheet in workbook.worksheets():
        with suppress(OSError):
            sheet.row_data_fh.close()


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries and columns of too large numbers as plain text."""
    fields = [
        field.with_type(pa.string())
        if pa.types.is_dictionary(field.type) or _is_too_long(table.column(field.name))
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _is_too_long(column: pa.ChunkedArray) -> bool:
    largest = pc.max(column).as_py() if pa.types.is_integer(column.type) else None
    return largest is not None and largest > LARGEST_NUMBER


def _write_sheet(workbook: Any, sheet: Any, table: pa.Table) -> None:
    """Write the header, which is frozen and filters, and the rows."""
    heading = workbook.add_format({"bold": True, "bottom": 1})
    as_text = workbook.add_format({"num_format": "@"})
    as_number = workbook.add_format({"num_format": "#,##0"})
    last = table.num_columns - 1
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, table.num_rows, last)
    sheet.repeat_rows(0)
    writers = []
    for index, field in enumerate(table.schema):
        is_text = pa.types.is_string(field.type)
        writers.append(
            (sheet.write_string, as_text) if is_text else (sheet.write_number, as_number)
        )
        sheet.set_column(index, index, _width(table, field.name), as_text if is_text else as_number)
        sheet.write_string(0, index, field.name, heading)
    # Otherwise Excel flags every account as a number stored as text.
    sheet.ignore_errors({"number_stored_as_text": f"A1:{_letter(last)}{MOST_ROWS + 1}"})
    row = 0
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row += 1
            for index, value in enumerate(values):
                if value not in (None, ""):
                    write, cell_format = writers[index]
                    write(row, index, value, cell_format)


def _width(table: pa.Table, name: str) -> int:
    """Return the width of a column's widest cell in characters, its heading included."""
    column = table.column(name)
    heading = len(name) + _MARGIN
    if pa.types.is_string(column.type):
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
    else:
        longest = len(f"{pc.max(column).as_py() or 0:,}")
    return max(_LEAST_WIDTH, heading, longest + 1)


def _letter(index: int) -> str:
    """Return the name of one of the first 26 columns."""
    return chr(ord("A") + index)
