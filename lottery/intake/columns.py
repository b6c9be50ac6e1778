"""What each column may hold: raw Arrow columns to `tables.NOTICES` and `tables.POSITIONS`.

Invariants:
- Every wrong value is a problem with its row and column. A table is returned all the same, so that
  the problems of later rows and of other columns are found in the same pass.
- Texts that repeat are checked once per distinct value, never once per row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.identifiers import (
    describe_occ_account,
    describe_series,
    describe_slip,
    pad_series,
    wrong_occ_accounts,
)
from lottery.day.keys import one_array, text_buffers
from lottery.day.tables import INT64_MAX, LABEL, NOTICES, OCC_POSITIONS
from lottery.day.threads import in_threads, split_rows
from lottery.errors import Problem, Problems, quote
from lottery.intake import as_of, loops
from lottery.intake.sources import Reading, RowLocator

NOTICE_COLUMNS: Final = ("notice_id", "series", "quantity")
POSITION_COLUMNS: Final = ("series", "account", "short_quantity")
OPTIONAL_COLUMNS: Final = ("occ_account",)
POSITION_OPTIONAL_COLUMNS: Final = ("occ_account", as_of.COLUMN)
LABEL_COLUMNS: Final = ("series", "occ_account")
REPEATED_COLUMNS: Final = (*LABEL_COLUMNS, as_of.COLUMN)
"""Columns whose texts repeat, which readers give as dictionaries."""
QUANTITY_COLUMNS: Final = ("quantity", "short_quantity")
OCC_POSITION_COLUMNS: Final = ("series", "short_quantity")

Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Column: TypeAlias = tuple[pa.ChunkedArray, Problems]
"""A checked column, and what is wrong with the values that it was made of."""

_NOTICE_ID: Final = r"^[!-~](?:[ -~]{0,126}[!-~])?$"


def check_names(
    names: Sequence[str],
    required: Sequence[str],
    locator: RowLocator,
    optional: Sequence[str] = OPTIONAL_COLUMNS,
) -> tuple[bool, Problems]:
    """Check a table's column names.

    Returns:
        Whether the columns can be read, and a problem for each unknown, missing or repeated one.
        A table with an unknown column can be read: its rows' problems are listed as well.
    """
    known = (*required, *optional)
    counts = Counter(names)
    problems = []
    for name, count in counts.items():
        if name not in known:
            message = f"column must be one of {', '.join(known)}, got {quote(name)}"
            problems.append(locator.problem(message, column=name))
        elif count > 1:
            message = f"column {name} must appear once, got it {count} times"
            problems.append(locator.problem(message, column=name))
    problems += [
        locator.problem(f"column {name} is missing", column=name)
        for name in required
        if name not in counts
    ]
    can_be_read = all(counts[name] == 1 for name in required) and all(
        counts[name] <= 1 for name in optional
    )
    return can_be_read, Problems.of(*problems)


def usual_types(rows: pa.Table) -> pa.Table:
    """Return the same rows, their texts and whole numbers as the types that most have.

    A program's columns may be large texts, views of texts, dictionaries of either, small integers,
    or nothing but nulls. Types that are refused, and 64 bits without a sign, stay what they are.
    """
    return rows.cast(pa.schema([(each.name, _usual_type(each.type)) for each in rows.schema]))


def _usual_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind):
        return pa.string()
    if is_text(kind):
        return LABEL if pa.types.is_dictionary(kind) else pa.string()
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return pa.int64()
    return kind


def to_notices(raw: Reading) -> Reading:
    """Return `tables.NOTICES` of a raw table whose column names were checked."""
    raw = replace(raw, table=usual_types(raw.table))
    ids, id_problems = texts(raw, "notice_id")
    is_id = pc.match_substring_regex(ids, _NOTICE_ID).to_numpy().astype(bool)
    wrong_ids = raw.locator.row_problems(
        np.flatnonzero(~is_id),
        lambda index: (
            "notice id must be 1 to 128 printable ASCII characters without blanks at the ends, "
            f"got {quote(ids[index].as_py())}"
        ),
        column="notice_id",
    )
    columns = {
        "notice_id": (ids, id_problems + wrong_ids),
        "series": _series(raw),
        "quantity": quantities(raw, "quantity", 1),
        "occ_account": _occ_accounts(raw),
    }
    # Without a notice nothing was assigned, which a run records (N1).
    return _table(columns, NOTICES, raw, may_be_empty=True)


def to_occ_positions(raw: Reading) -> Reading:
    """Return `OCC_POSITIONS` of a raw table whose column names were checked."""
    raw = replace(raw, table=usual_types(raw.table))
    columns = {
        "series": _series(raw),
        "short_quantity": quantities(raw, "short_quantity", 0),
        "occ_account": _occ_accounts(raw),
    }
    return _table(columns, OCC_POSITIONS, raw)


def valid_utf8(texts: pa.Array) -> pa.StringArray:
    """Return string[n] in valid UTF-8; an invalid byte becomes a replacement character."""
    plain = texts.cast(pa.binary()).cast(pa.string(), safe=False)
    try:
        plain.validate(full=True)
    except pa.ArrowInvalid:
        values = texts.cast(pa.binary()).to_pylist()
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in values],
            pa.string(),
        )
    return plain


def _table(
    columns: dict[str, Column], schema: pa.Schema, raw: Reading, *, may_be_empty: bool = False
) -> Reading:
    """Join checked columns; the table is empty if the type of a column leaves values no meaning."""
    table = pa.table({name: column for name, (column, _) in columns.items()}, schema)
    problems = sum((problems for _, problems in columns.values()), raw.problems)
    if not table.num_rows and not problems and not may_be_empty:
        problems = Problems.of(raw.locator.problem("expected at least one row, got none"))
    has_wrong_type = any(
        not is_text(field.type) for field in raw.table.schema if field.name not in QUANTITY_COLUMNS
    )
    if has_wrong_type:
        table = schema.empty_table()
    return Reading(locator=raw.locator, table=table, problems=problems)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _column(raw: Reading, name: str) -> pa.ChunkedArray:
    column = raw.table.column(name)
    return column if column.num_chunks else pa.chunked_array([pa.array([], column.type)])


def _type_problem(
    name: str, kind: pa.DataType, expected: str, locator: RowLocator, advice: str = ""
) -> Problem:
    return locator.problem(f"column {name} must be {expected}, got {kind}{advice}", column=name)


def texts(raw: Reading, name: str) -> Column:
    """Return string[n] without nulls."""
    column = _column(raw, name)
    if not is_text(column.type):
        expected = "text, which keeps leading zeros" if name == "account" else "text"
        problem = _type_problem(name, column.type, expected, raw.locator)
        return pa.chunked_array([pa.array(["0"] * len(column), pa.string())]), Problems.of(problem)
    if column.type != pa.string() or column.null_count:
        # A missing value is refused as the empty text that it becomes.
        column = column.cast(pa.string()).fill_null("")
    if name != "account":  # An account's bytes are checked one by one.
        column = pa.chunked_array([valid_utf8(chunk) for chunk in column.chunks])
    return column, Problems()


def quantities(raw: Reading, name: str, least: int) -> Column:
    """Return int64[n] of at least `least`; a wrong value becomes `least`."""
    column = _column(raw, name)
    if pa.types.is_integer(column.type):
        values, wrong = _whole_numbers(column)
    elif is_text(column.type):
        column = column.cast(pa.string())
        values = _parsed_numbers(column)
        wrong = values < 0
    else:
        expected = "whole numbers or text of digits"
        advice = "" if pa.types.is_boolean(column.type) else "; cast it to 64-bit integers"
        problem = _type_problem(name, column.type, expected, raw.locator, advice)
        return pa.array(np.full(len(column), least, np.int64)), Problems.of(problem)
    wrong |= values < least
    if not wrong.any():
        return pa.array(values), Problems()
    problems = raw.locator.row_problems(
        np.flatnonzero(wrong),
        lambda index: _describe_quantity(name, least, _value(column, index)),
        column=name,
        rule="P2" if name == "short_quantity" else None,
    )
    return pa.array(np.where(wrong, least, values)), problems


def _describe_quantity(name: str, least: int, value: str | int | None) -> str:
    name = name.replace("_", " ")
    if value in (None, ""):
        return f"{name} must be a whole number of at least {least}, got no value"
    if str(value).isdecimal() and int(str(value)[:30]) > INT64_MAX:
        return f"{name} must be at most {INT64_MAX}, got {quote(value)}"
    slip = describe_slip(value) if isinstance(value, str) else ""
    return f"{name} must be a whole number of at least {least}{slip}, got {quote(value)}"


def _whole_numbers(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], Flags]:
    """Return int64[n] and bool[n], true if there is no value or it exceeds 64 bits."""
    wrong = np.zeros(len(column), np.bool_)
    if column.null_count:
        wrong |= column.is_null().to_numpy()
        column = column.fill_null(0)
    if pa.types.is_uint64(column.type):
        wrong |= pc.greater(column, pa.scalar(INT64_MAX, pa.uint64())).to_numpy()
        column = column.cast(pa.int64(), safe=False)
    return column.cast(pa.int64()).to_numpy(), wrong


def _parsed_numbers(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return int64[n]; -1 for a text that is not 1 to 30 digits or exceeds 64 bits."""
    texts = one_array(column.fill_null("") if column.null_count else column)
    offsets, data = text_buffers(texts)
    numbers = np.empty(len(texts), np.int64)
    unread = in_threads(
        lambda first, last: loops.read_digits(offsets[first : last + 1], data, numbers[first:last]),
        split_rows(len(texts)),
    )
    if sum(unread):
        rows = np.flatnonzero(numbers < 0)
        are_long = pc.match_substring_regex(texts.take(pa.array(rows)), "^[0-9]{19,30}$")
        for row in rows[are_long.to_numpy(zero_copy_only=False)].tolist():
            number = int(texts[row].as_py())
            numbers[row] = number if number <= INT64_MAX else -1
    return numbers


def _value(column: pa.ChunkedArray, index: int) -> str | int | None:
    """Return a value for a message; bytes that are not text are replaced."""
    value = column[index]
    if not (value.is_valid and is_text(column.type)):
        number: int | None = value.as_py()
        return number
    data: bytes = value.cast(pa.binary()).as_py()
    return data.decode("utf-8", "replace")


def series_labels(raw: Reading) -> tuple[pa.DictionaryArray, Problems]:
    """Return the padded series of a raw table as one array, and what is wrong with them."""
    column, problems = _series(raw)
    return one_array(column), problems


def occ_account_labels(raw: Reading) -> tuple[pa.DictionaryArray, Problems]:
    """Return the OCC accounts of a raw table as one array, and what is wrong with them."""
    column, problems = _occ_accounts(raw)
    return one_array(column), problems


def as_of_texts(raw: Reading) -> tuple[dict[str, int], Problems]:
    """Return each as-of time of a raw table with the index of its first row, and what is wrong."""

    def check(distinct: pa.StringArray) -> tuple[pa.StringArray, Flags]:
        wrong = [as_of.date_of(text) is None for text in distinct.to_pylist()]
        return distinct, np.array(wrong, np.bool_)

    if as_of.COLUMN not in raw.table.column_names or not raw.table.num_rows:
        return {}, Problems()
    column, problems = _labels(raw, as_of.COLUMN, check, as_of.describe_as_of)
    labels = one_array(column)
    indices = labels.indices.to_numpy()
    # Nearly always one text: comparing is much cheaper than sorting.
    is_one = bool((indices == indices[0]).all())
    codes, rows = (indices[:1], [0]) if is_one else np.unique(indices, return_index=True)
    found = zip(labels.dictionary.take(pa.array(codes)).to_pylist(), map(int, rows), strict=True)
    return {text: row for text, row in found if as_of.date_of(text) is not None}, problems


def _series(raw: Reading) -> Column:
    return _labels(raw, "series", pad_series, describe_series)


def _occ_accounts(raw: Reading) -> Column:
    if "occ_account" not in raw.table.column_names:
        indices = pa.array(np.zeros(raw.table.num_rows, np.int32))
        labels = pa.DictionaryArray.from_arrays(indices, pa.array([""]))
        return pa.chunked_array([labels]), Problems()

    return _labels(
        raw,
        "occ_account",
        lambda texts: (texts, wrong_occ_accounts(texts)),
        describe_occ_account,
        null="",
    )


def _labels(
    raw: Reading,
    name: str,
    check: Callable[[pa.StringArray], tuple[pa.StringArray, Flags]],
    describe: Callable[[str], str],
    *,
    null: str | None = None,
) -> Column:
    """Return a label column, every distinct text of which was checked once.

    Args:
        raw: The raw table.
        name: The column.
        check: string[k] to its normal form and bool[k], true if a text is wrong.
        describe: Says why a text is wrong.
        null: What a null stands for; None refuses it.
    """
    column = _column(raw, name)
    if not is_text(column.type):
        return _column_of_wrong_type(column, name, raw.locator)
    problems = Problems()
    is_null = column.is_null().to_numpy() if column.null_count else np.zeros(len(column), np.bool_)
    if null is None:
        message = f"{name} must have a value, got none"
        problems = raw.locator.row_problems(np.flatnonzero(is_null), lambda _: message, column=name)
    column = _encoded(column, null or "")
    distinct = valid_utf8(column.chunk(0).dictionary)
    normal, wrong = check(distinct)
    if wrong.any():
        indices = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
        problems += raw.locator.row_problems(
            np.flatnonzero(wrong[indices] & ~is_null),
            lambda index: describe(distinct[int(indices[index])].as_py()),
            column=name,
        )
    labels = [pa.DictionaryArray.from_arrays(chunk.indices, normal) for chunk in column.chunks]
    return pa.chunked_array(labels), problems


def _column_of_wrong_type(column: pa.ChunkedArray, name: str, locator: RowLocator) -> Column:
    """Return placeholders for a label column that is not text."""
    problem = _type_problem(name, column.type, "text", locator)
    return _encoded(pa.chunked_array([pa.array(["0"] * len(column))]), ""), Problems.of(problem)


def _encoded(column: pa.ChunkedArray, null: str) -> pa.ChunkedArray:
    """Return the column with one dictionary and without nulls."""
    if column.null_count:
        column = column.cast(pa.string()).fill_null(null)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    elif column.type != LABEL:
        column = column.cast(LABEL)
    column = column.unify_dictionaries()
    if not column.num_chunks:
        column = pa.chunked_array([pa.array([], LABEL)])
    dictionary = column.chunk(0).dictionary
    # A null inside the dictionary is a null of the rows that point to it.
    return _encoded(column.cast(pa.string()), null) if dictionary.null_count else column
