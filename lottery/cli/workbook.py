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
from collections.abc import Mapping, Sequence
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
SUMMARY_SHEET: Final = "summary"
"""The name of the sheet that says what the workbook is of."""
HEADINGS: Final[Mapping[str, str]] = {
    "run": "Run",
    "last_run": "Last run",
    "business_date": "Business date",
    "cycle": "Cycle",
    "occ_account": "OCC account",
    "series": "Series",
    "account": "Account",
    "short_quantity": "Short",
    "first_number": "First number",
    "last_number": "Last number",
    "assigned_quantity": "Assigned",
    "notice_count": "Notices",
    "total_short": "Total short",
    "assigned_before": "Assigned before",
    "first_hit": "First hit",
    "account_count": "Accounts",
    "hit_account_count": "Accounts hit",
    "break_reason": "Break",
}
"""What people read above each column."""

_BREAK_COLOR: Final = "#FBE3D6"
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
    summary: Sequence[tuple[str, str]],
    most_rows: int = MOST_ROWS,
) -> None:
    """Write a workbook with a sheet that says what it is of, and a sheet for each table.

    Args:
        path: The file.
        tables: Tables of texts and int64 by sheet name; rows past the limit continue on the sheets
            `name-2`, `name-3` and so on.
        title: The workbook's title.
        created: When the run was recorded, UTC.
        summary: The lines of the first sheet: what, and its value.
        most_rows: Maximum number of rows of a sheet below its header.

    Raises:
        OSError: The file cannot be written.
    """
    # XlsxWriter keeps rows in temporary files; they belong on the disk that the workbook goes to.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".workbook-") as directory:
        workbook = xlsxwriter.Workbook(str(path), {**_OPTIONS, "tmpdir": directory})
        workbook.set_properties({"title": title, "created": created})
        try:
            _write_summary(workbook, title, summary)
            for name, table in tables.items():
                plain = _plain(table)
                for start in range(0, max(1, plain.num_rows), most_rows):
                    number = start // most_rows + 1
                    sheet = workbook.add_worksheet(name if number == 1 else f"{name}-{number}")
                    _set_up_paper(sheet, title)
                    _write_sheet(workbook, sheet, plain.slice(start, most_rows))
            workbook.close()
        except FileCreateError as error:
            raise error.args[0] from None
        finally:
            _close_rows(workbook)


def _write_summary(workbook: Any, title: str, lines: Sequence[tuple[str, str]]) -> None:
    sheet = workbook.add_worksheet(SUMMARY_SHEET)
    _set_up_paper(sheet, title)
    name_format = workbook.add_format({"bold": True, "valign": "top"})
    plain = workbook.add_format({"num_format": "@"})
    in_color = workbook.add_format({"num_format": "@", "bg_color": _BREAK_COLOR})
    for index in range(2):
        longest = max((len(line[index]) for line in lines), default=0)
        sheet.set_column(index, index, max(_LEAST_WIDTH, longest + 2))
    sheet.ignore_errors({"number_stored_as_text": f"B1:B{max(1, len(lines))}"})
    for row, (name, value) in enumerate(lines):
        sheet.write_string(row, 0, name, name_format)
        sheet.write_string(row, 1, value, in_color if name == HEADINGS["break_reason"] else plain)


def _set_up_paper(sheet: Any, title: str) -> None:
    """Have a sheet printed across, as wide as the paper, with the title and page numbers."""
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_footer(f"&L{title.replace('&', '&&')}&RPage &P of &N")


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
    """Write the header, which is frozen and filters, and the rows, breaks in color."""
    heading = workbook.add_format({"bold": True, "bottom": 1})
    as_text = workbook.add_format({"num_format": "@"})
    as_number = workbook.add_format({"num_format": "#,##0"})
    text_of_break = workbook.add_format({"num_format": "@", "bg_color": _BREAK_COLOR})
    number_of_break = workbook.add_format({"num_format": "#,##0", "bg_color": _BREAK_COLOR})
    reason = table.schema.get_field_index("break_reason")
    last = table.num_columns - 1
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, table.num_rows, last)
    sheet.repeat_rows(0)
    writers = []
    for index, field in enumerate(table.schema):
        is_text = pa.types.is_string(field.type)
        writers.append(
            (sheet.write_string, as_text, text_of_break)
            if is_text
            else (sheet.write_number, as_number, number_of_break)
        )
        sheet.set_column(index, index, _width(table, field.name), as_text if is_text else as_number)
        sheet.write_string(0, index, HEADINGS.get(field.name, field.name), heading)
    # Otherwise Excel flags every account as a number stored as text.
    sheet.ignore_errors({"number_stored_as_text": f"A1:{_letter(last)}{MOST_ROWS + 1}"})
    row = 0
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row += 1
            is_break = reason >= 0 and values[reason] is not None
            for index, value in enumerate(values):
                write, usual, of_break = writers[index]
                if value not in (None, ""):
                    write(row, index, value, of_break if is_break else usual)
                elif is_break:
                    sheet.write_blank(row, index, None, of_break)


def _width(table: pa.Table, name: str) -> int:
    """Return the width of a column's widest cell in characters, its heading included."""
    column = table.column(name)
    heading = len(HEADINGS.get(name, name)) + _MARGIN
    if pa.types.is_string(column.type):
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
    else:
        longest = len(f"{pc.max(column).as_py() or 0:,}")
    return max(_LEAST_WIDTH, heading, longest + 1)


def _letter(index: int) -> str:
    """Return the name of one of the first 26 columns."""
    return chr(ord("A") + index)
