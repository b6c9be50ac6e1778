"""A CSV file that has malformed rows, read line by line, so that each of them is named.

Invariants:
- Whatever the file, it takes no more memory than the table that its other rows make.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from lottery.errors import ProblemCollector, Problems, escape, quote
from lottery.intake.loops import has_valid_quotes
from lottery.intake.mapping import FileMapping
from lottery.intake.sources import Reading, RowLocator

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_COUNTED_BYTES: Final = 1 << 18
"""Bytes of a file whose line ends are counted at a time."""
_ROWS_TOGETHER: Final = 1 << 16
"""Rows that are held as Python's values until they become a table."""


def read_lines(
    view: memoryview,
    header: Sequence[str],
    wanted: Sequence[str],
    locator: RowLocator,
    problems: Problems,
    mapping: FileMapping,
) -> Reading:
    """Read a CSV file as text columns, leaving out malformed rows, each of which is a problem.

    Args:
        view: The file.
        header: The names of its columns.
        wanted: Those that are read.
        locator: Locates its rows.
        problems: What is wrong with the header.
        mapping: What the file is.

    Returns:
        The other rows; no table if there are as many problems as are listed.
    """
    schema = pa.schema([(name, pa.string()) for name in wanted])
    wanted_indices = [header.index(name) for name in wanted]
    tables, rows = [schema.empty_table()], []
    row_numbers = array("q")
    collector = ProblemCollector()
    collector.add_all(problems)
    for row, line in enumerate(_lines(view), start=1 - mapping.has_header):
        if not row:
            continue  # The header.
        values = _values(line, len(header), mapping.delimiter)
        if isinstance(values, str):
            collector.add(locator.numbered_row_problem(row, f"{values}: {quote(line)}"))
            if collector.is_full:
                stopped = Problems.of(locator.stopped_after(row))
                return Reading(locator=locator, problems=stopped + collector.problems())
            continue
        row_numbers.append(row)
        rows.append([values[index] for index in wanted_indices])
        if len(rows) == _ROWS_TOGETHER:
            tables.append(_table(rows, schema))
            rows = []
    return Reading(
        locator=replace(locator, row_numbers=np.array(row_numbers, np.int64)),
        table=pa.concat_tables([*tables, _table(rows, schema)]),
        problems=collector.problems(),
    )


def count_lines(characters: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Return how many lines of a file end, and how many of those are empty; the first is not."""
    line_count = empty_count = 0
    for start in range(1, len(characters), _COUNTED_BYTES):
        piece = characters[start - 1 : start + _COUNTED_BYTES]
        is_feed, is_return = piece == 0x0A, piece == 0x0D  # noqa: PLR2004 - what ends a line.
        is_end = ends_line = is_feed
        if is_return.any():
            is_end = is_feed | is_return
            ends_line = is_end.copy()
            ends_line[1:] &= ~(is_feed[1:] & is_return[:-1])
        line_count += int(np.count_nonzero(ends_line[1:]))
        empty_count += int(np.count_nonzero(ends_line[1:] & is_end[:-1]))
    return line_count, empty_count


def _table(rows: Sequence[Sequence[str]], schema: pa.Schema) -> pa.Table:
    """Return rows of text as a table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=schema)


def _lines(view: memoryview) -> Iterator[bytes]:
    """Yield the lines of a file one by one, because there may be very many."""
    start = 0
    for end in LINE_END.finditer(view):
        yield bytes(view[start : end.start()])
        start = end.end()
    if start < len(view):
        yield bytes(view[start:])


def _values(line: bytes, column_count: int, delimiter: str) -> list[str] | str:
    """Return a line's values, or what was expected of the line."""
    if b"\x00" in line:
        return "row must not contain a NUL byte"
    if b'"' in line and not has_valid_quotes(np.frombuffer(line, np.uint8), ord(delimiter)):
        return "row must have quotes around whole values only, and every quote closed"
    try:
        values = next(
            csv.reader([line.decode("utf-8", "replace")], strict=True, delimiter=delimiter), []
        )
    except csv.Error as error:
        return f"row is malformed ({escape(str(error))})"
    if len(values) != column_count:
        found = f"{len(values)} values" if values else "an empty line"
        return f"row must have a value for each of {column_count} columns, got {found}"
    return values
