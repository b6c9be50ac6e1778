"""CSV as in RFC 4180: UTF-8, a header, and quotes where a value needs them.

Arrow's reader does the work. No valid value of these files holds a line break, so a row is a line.
A file that Arrow refuses is read again line by line (`lottery.intake.lines`). What a mapping
says of a file is applied before and after Arrow reads it (`lottery.intake.mapped`).

Invariants:
- Arrow never sees an empty line: it makes of it a value for each column of the header.
"""

from __future__ import annotations

import csv
import mmap
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lottery.day.threads import owned_by_arrow
from lottery.errors import Problems, escape
from lottery.intake.columns import OPTIONAL_COLUMNS, REPEATED_COLUMNS, check_names
from lottery.intake.dialect import describe_encoding, describe_header
from lottery.intake.lines import LINE_END, count_lines, read_lines
from lottery.intake.loops import has_valid_quotes
from lottery.intake.mapped import missing_columns, our_names, our_values, text_of
from lottery.intake.mapping import PLAIN, FileMapping
from lottery.intake.memory import LINE_BYTES, TEXT_FACTOR, UNLIMITED, MemoryLimit
from lottery.intake.sources import Reading, RowLocator

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_HEADER_BYTES: Final = 65_536
_BLANK_BYTES: Final = 4_096
"""Bytes at the end of a file in which empty lines are looked for."""


def read_csv(
    data: pa.Buffer,
    required: Sequence[str],
    source: str,
    optional: Sequence[str] = OPTIONAL_COLUMNS,
    mapping: FileMapping = PLAIN,
    memory: MemoryLimit = UNLIMITED,
) -> Reading:
    """Read a CSV file as text columns.

    Args:
        data: The whole file.
        required: The columns that must be there.
        source: What problems name as their source.
        optional: The columns that may be there.
        mapping: What the file is, if it is not CSV as above.
        memory: What the day may take.

    Returns:
        String columns, labels as dictionaries; no table if the file or its header is refused.

    Raises:
        LimitExceeded: Its text, or its rows, need more memory.
    """
    memory.check(source, data.size * TEXT_FACTOR)
    locator = RowLocator(source=source, header_lines=mapping.header_lines)
    view = _without_bom(memoryview(data))
    text = view if mapping == PLAIN else text_of(view, mapping)
    first_line = text if isinstance(text, str) else csv_names(text, mapping.delimiter)
    if isinstance(text, str) or isinstance(first_line, str):
        return Reading(locator=locator, problems=Problems.of(locator.problem(str(first_line))))
    view = _without_blank_end(text)
    header, can_be_read, problems = _header(view, first_line, required, optional, locator, mapping)
    if not can_be_read:
        return Reading(locator=locator, problems=problems)
    wanted = [name for name in header if name in (*required, *optional)]
    characters = np.frombuffer(view, np.uint8)
    line_count, empty_count = count_lines(characters)
    memory.check(source, max(data.size, (line_count - empty_count) * LINE_BYTES) * TEXT_FACTOR)
    has_quotes = bool((characters == 0x22).any())  # noqa: PLR2004 - a quote.
    if not empty_count and (not has_quotes or has_valid_quotes(characters, ord(mapping.delimiter))):
        try:
            table = _read_fast(view, header, wanted, mapping)
            return _mapped(Reading(locator=locator, table=table, problems=problems), mapping)
        except pa.ArrowInvalid:
            pass  # It does not say which rows are malformed.
    return _mapped(read_lines(view, header, wanted, locator, problems, mapping), mapping)


def column_names_of(
    content: bytes | memoryview | mmap.mmap, known: Sequence[str], mapping: FileMapping
) -> list[str] | str:
    """Return our names of a CSV file's columns, or why there are none.

    Args:
        content: The whole file.
        known: The columns that there may be, whatever the file holds.
        mapping: What the file is.
    """
    view = _without_bom(memoryview(content))
    text = view if mapping == PLAIN else text_of(view, mapping)
    first_line = text if isinstance(text, str) else csv_names(text, mapping.delimiter)
    if isinstance(text, str) or isinstance(first_line, str):
        return str(first_line)
    if mapping != PLAIN:
        return our_names(first_line, mapping)
    return describe_header(_first_lines(text) or [""], first_line, known) or first_line


def describe_format(data: bytes) -> str | None:
    """Return which other format a file has that should be text, judged by its first bytes."""
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


def refused_as_csv(data: bytes) -> str | None:
    """Return why a file is surely not CSV, judged by its first bytes."""
    if not data:
        return "the file is empty"
    found = describe_format(data)
    return describe_encoding(data) or (f"expected CSV, got {found}" if found else None)


def csv_names(content: bytes | memoryview | mmap.mmap, delimiter: str = ",") -> list[str] | str:
    """Return the values of a CSV file's first line, its column names, or why there are none."""
    data = bytes(memoryview(content)[:_HEADER_BYTES]).removeprefix(BYTE_ORDER_MARK)
    refusal = refused_as_csv(data)
    if refusal is not None:
        return refusal
    try:
        line = LINE_END.split(data, maxsplit=1)[0].decode()
        return next(csv.reader([line], strict=True, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        return f"expected CSV in UTF-8, got an invalid byte at offset {error.start} of the header"
    except csv.Error as error:
        return f"the header is malformed: {escape(str(error))}"


def _header(
    view: memoryview,
    first_line: list[str],
    required: Sequence[str],
    optional: Sequence[str],
    locator: RowLocator,
    mapping: FileMapping,
) -> tuple[list[str], bool, Problems]:
    """Return our names of a file's columns, whether they can be read, and what is wrong."""
    if mapping != PLAIN:
        header = our_names(first_line, mapping)
        missing = missing_columns(first_line, mapping, locator)
        # What the mapping names and the file does not have is said once.
        checked = [*filter(None, header), *(name for name in mapping.names if name not in header)]
        can_be_read, problems = check_names(checked, required, locator, optional)
        return header, can_be_read and not missing, missing + problems
    can_be_read, problems = check_names(first_line, required, locator, optional)
    if problems:
        lines = _first_lines(view)
        slip = describe_header(lines, first_line, (*required, *optional)) if lines else None
        if slip is not None:
            return first_line, False, Problems.of(locator.problem(slip))
    return first_line, can_be_read, problems


def _mapped(reading: Reading, mapping: FileMapping) -> Reading:
    if mapping == PLAIN:
        return reading
    return replace(reading, table=our_values(reading.table, mapping))


def _without_bom(view: memoryview) -> memoryview:
    """Return a file without its byte order mark."""
    return view[3:] if bytes(view[:3]) == BYTE_ORDER_MARK else view


def _without_blank_end(view: memoryview) -> memoryview:
    """Return a file without the empty lines at its end, which say nothing."""
    end = bytes(view[-_BLANK_BYTES:])
    return view[: len(view) - len(end) + len(end.rstrip(b"\r\n"))]


def _first_lines(view: memoryview) -> list[str]:
    """Return the first lines of a file, the header among them."""
    return bytes(view[:_HEADER_BYTES]).decode("utf-8", "replace").splitlines()


def _read_fast(
    view: memoryview, header: Sequence[str], wanted: Sequence[str], mapping: FileMapping
) -> pa.Table:
    text = {
        name: pa.dictionary(pa.int32(), pa.string()) if name in REPEATED_COLUMNS else pa.string()
        for name in header
    }
    is_plain = mapping == PLAIN
    return pa.csv.read_csv(
        pa.BufferReader(owned_by_arrow(view)),
        read_options=pa.csv.ReadOptions(
            column_names=None if is_plain else header,
            skip_rows=0 if is_plain else int(mapping.has_header),
        ),
        parse_options=pa.csv.ParseOptions(delimiter=mapping.delimiter, ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=text,
            include_columns=wanted,
            null_values=[],
            strings_can_be_null=False,
            auto_dict_max_cardinality=2**31 - 1,
        ),
    )
