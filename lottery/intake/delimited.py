"""CSV as RFC 4180 has it: UTF-8, a header, quotes where a value needs them.

Arrow's reader does the work. No legal value of these files holds a line break, so a row is a line;
where Arrow refuses the file, it is read again line by line to name every row that is malformed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lottery.intake.columns import LABEL_COLUMNS, check_names, shorten
from lottery.intake.quotes import quotes_are_sound
from lottery.intake.sources import Place

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_HEADER_BYTES: Final = 65_536
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


def read_csv(data: pa.Buffer, required: Sequence[str], place: Place) -> pa.Table | None:
    """Reads a CSV file as text columns.

    Args:
        data: The whole file.
        required: The columns that must be there, besides the optional `occ_account`.
        place: Where problems go; its row numbers are set where rows had to be left out.

    Returns:
        A table of string columns (labels as dictionaries), or None where the header or the file
        itself is refused.
    """
    place.header_lines = 1
    view = memoryview(data)
    if bytes(view[:3]) == BYTE_ORDER_MARK:
        view = view[3:]
    header = read_header(bytes(view[:_HEADER_BYTES]), place)
    if header is None or not check_names(header, required, place):
        return None
    wanted = [name for name in header if name in (*required, *LABEL_COLUMNS)]
    if _has_quote(view) and not quotes_are_sound(np.frombuffer(view, np.uint8)):
        return _read_lines(bytes(view), header, wanted, place)
    try:
        return _read_fast(view, header, wanted)
    except pa.ArrowInvalid:
        return _read_lines(bytes(view), header, wanted, place)


def _has_quote(view: memoryview) -> bool:
    return bool((np.frombuffer(view, np.uint8) == 0x22).any())  # noqa: PLR2004 - a quote.


def read_header(data: bytes, place: Place) -> list[str] | None:
    """The column names of a CSV file's first line, or None and a problem where there are none."""
    if not data:
        place.refuse("the file is empty")
        return None
    kind = foreign_kind(data)
    if kind:
        place.refuse(f"the file is no CSV: it looks like {kind}")
        return None
    try:
        line = _LINE_END.split(data, maxsplit=1)[0].decode()
        return next(csv.reader([line], strict=True), [])
    except UnicodeDecodeError:
        place.refuse("the file is no CSV in UTF-8: its header cannot be read")
    except csv.Error as error:
        place.refuse(f"the header cannot be read: {error}")
    return None


def foreign_kind(data: bytes) -> str | None:
    """What a file that should be text looks like instead, as far as its first bytes tell."""
    if data.startswith(b"PAR1"):
        return "Parquet"
    if data.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "Arrow"
    if data.startswith(b"\x1f\x8b"):
        return "gzip"
    if data.startswith(b"PK\x03\x04"):
        return "a zip archive or a workbook"
    if data.lstrip().startswith(b"<"):
        return "XML"
    return "binary data" if b"\x00" in data else None


def _read_fast(view: memoryview, header: Sequence[str], wanted: Sequence[str]) -> pa.Table:
    text = {
        name: pa.dictionary(pa.int32(), pa.string()) if name in LABEL_COLUMNS else pa.string()
        for name in header
    }
    return pa.csv.read_csv(
        pa.BufferReader(pa.py_buffer(view)),
        parse_options=pa.csv.ParseOptions(ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=text,
            include_columns=wanted,
            null_values=[],
            strings_can_be_null=False,
            auto_dict_max_cardinality=2**31 - 1,
        ),
    )


def _read_lines(
    data: bytes, header: Sequence[str], wanted: Sequence[str], place: Place
) -> pa.Table:
    """Reads line by line, leaving out malformed rows, each of which is a problem."""
    lines = _LINE_END.split(data)
    if lines and not lines[-1]:
        lines.pop()
    columns: dict[str, list[str]] = {name: [] for name in header}
    numbers = []
    for row, line in enumerate(lines[1:], start=1):
        fields, message = _fields(line, len(header))
        if message:
            shown = shorten(line.decode("utf-8", "replace"))
            place.refuse_numbered_row(row, f"{message}: {shown!r}")
            continue
        numbers.append(row)
        for name, value in zip(header, fields, strict=True):
            columns[name].append(value)
    place.row_numbers = np.array(numbers, np.int64)
    return pa.table({name: pa.array(columns[name], pa.string()) for name in wanted})


def _fields(line: bytes, column_count: int) -> tuple[list[str], str | None]:
    """A line's values, and what is wrong with the line as a whole."""
    if b"\x00" in line:
        return [], "a NUL byte stands in the line"
    if b'"' in line and not quotes_are_sound(np.frombuffer(line, np.uint8)):
        return [], "a quote stands where none may: inside a value, or without its closing one"
    try:
        fields = next(csv.reader([line.decode("utf-8", "replace")], strict=True), [])
    except csv.Error as error:
        return [], f"the line cannot be read ({error})"
    if not fields:
        return [], "the line is empty"
    if len(fields) != column_count:
        return [], f"{len(fields)} values where the header has {column_count} columns"
    return fields, None
