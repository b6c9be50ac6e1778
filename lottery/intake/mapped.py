"""A text file as a mapping describes it: its text, its columns' names, and its values, as ours.

Invariants:
- A value that does not have the form that the mapping states is left as it is, or is given a sign
  that no quantity has, so that the one reader of such values refuses it with its row.
- Rows keep their number, and lines theirs.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import Problems, quote
from lottery.intake.columns import QUANTITY_COLUMNS
from lottery.intake.lines import LINE_END
from lottery.intake.mapping import FileMapping
from lottery.intake.sources import RowLocator

_NEGATIVE: Final = re.compile(r"[-\u2212]([0-9].*)|\(([0-9].*)\)|([0-9].*)[-\u2212]")
_ZERO: Final = re.compile(r"0+(?:[.,]0+)?")
_BLANKS: Final = "[ \u00a0\u202f]"
"""What separates thousands where blanks do: spreadsheets write those that do not break."""


def text_of(view: memoryview, mapping: FileMapping) -> memoryview | str:
    """Return a file's text in UTF-8 from its header on, or why it has none.

    Args:
        view: The file, without a byte order mark.
        mapping: What it is.
    """
    if mapping.encoding != "utf-8":
        try:
            text = codecs.decode(view, mapping.encoding)
        except UnicodeDecodeError as error:
            return (
                f"expected text in {mapping.encoding}, as the mapping says, got an invalid byte at "
                f"offset {error.start}"
            )
        view = memoryview(text.removeprefix("\ufeff").encode())
    for number in range(mapping.skip_lines):
        found = LINE_END.search(view)
        if found is None:
            return f"expected {mapping.skip_lines} lines before the header, got {number}"
        view = view[found.end() :]
    return view


def our_names(first_line: Sequence[str], mapping: FileMapping) -> list[str]:
    """Return our names of a file's columns; empty for those that are left out.

    A column that the mapping does not know keeps its name.

    Args:
        first_line: The values of the file's first line: its names, if it has a header.
        mapping: What it is.
    """
    ours = {theirs: name for name, theirs in mapping.names.items()} | dict.fromkeys(
        mapping.omit, ""
    )
    if not mapping.has_header:
        return [ours.get(number, f"column {number}") for number in range(1, len(first_line) + 1)]
    names = [name.strip() if mapping.strip else name for name in first_line]
    # What has one of our names and is not said to be it is another column.
    return [
        ours.get(name, f"{name} (not as the mapping names it)" if name in mapping.names else name)
        for name in names
    ]


def missing_columns(
    first_line: Sequence[str], mapping: FileMapping, locator: RowLocator
) -> Problems:
    """Return a problem for each column that the mapping names and a file does not have."""
    if not mapping.has_header:
        came, expected = len(first_line), len(mapping.names) + len(mapping.omit)
        message = f"expected {expected} columns, as the mapping numbers them, got {came}"
        return Problems.of(locator.problem(message)) if came != expected else Problems()
    names = {name.strip() if mapping.strip else name for name in first_line}
    wanted = {theirs: f"reads as {name}" for name, theirs in mapping.names.items()}
    wanted |= dict.fromkeys(mapping.omit, "leaves out")
    return Problems.of(
        *(
            locator.problem(f"column {quote(theirs)}, which the mapping {what}, is missing")
            for theirs, what in wanted.items()
            if theirs not in names
        )
    )


def our_values(table: pa.Table, mapping: FileMapping) -> pa.Table:
    """Return a table of texts with its values as ours."""
    for index, name in enumerate(table.column_names):
        if mapping.strip:
            table = _with(table, index, _each(table.column(index), str.strip))
        if name in QUANTITY_COLUMNS:
            plain = _each(table.column(index), lambda text: _plain_quantity(text, mapping))
            table = _with(table, index, plain)
    return table


def _with(table: pa.Table, index: int, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(index, table.column_names[index], column)


def _each(column: pa.ChunkedArray, change: Callable[[str], str]) -> pa.ChunkedArray:
    """Return a column of texts, each distinct one of which was changed once."""
    is_dictionary = pa.types.is_dictionary(column.type)
    encoded = (column if is_dictionary else column.dictionary_encode()).unify_dictionaries()
    if not encoded.num_chunks:
        return column
    texts = pa.array(map(change, encoded.chunk(0).dictionary.to_pylist()), pa.string())
    changed = pa.chunked_array([texts.take(chunk.indices) for chunk in encoded.chunks])
    return pc.dictionary_encode(changed) if is_dictionary else changed


def _plain_quantity(text: str, mapping: FileMapping) -> str:
    """Return a quantity without what the mapping says of it; another text as it is."""
    if mapping.sign == "negative":
        found = _NEGATIVE.fullmatch(text)
        if found is not None:
            text = next(filter(None, found.groups()))
        elif text[:1].isdigit() and not _ZERO.fullmatch(text):
            return f"+{text}"
    if text[:1].isdigit() and mapping.decimals:
        text = text.removesuffix(mapping.decimals)
    if mapping.thousands:
        separator = _BLANKS if mapping.thousands == " " else re.escape(mapping.thousands)
        if re.fullmatch(f"[0-9]{{1,3}}(?:{separator}[0-9]{{3}})+", text):
            text = re.sub(separator, "", text)
    return text
