"""What each column may hold: raw Arrow columns to `tables.NOTICES` and `tables.POSITIONS`.

Invariants:
- Every wrong value is a problem with its row and column; a table comes out all the same, so that
  the problems of rows further on, and of other columns, are found in the same pass.
- Texts are checked once per distinct value where they repeat, never once per row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.account_keys import read_numbers
from lottery.day.identifiers import (
    describe_occ_account,
    describe_series,
    pad_series,
    wrong_occ_accounts,
)
from lottery.day.tables import INT64_MAX, LABEL, NOTICES, OCC_POSITIONS, POSITIONS
from lottery.intake.sources import Place

NOTICE_COLUMNS: Final = ("notice_id", "series", "quantity")
POSITION_COLUMNS: Final = ("series", "account", "short_quantity")
OPTIONAL_COLUMNS: Final = ("occ_account",)
LABEL_COLUMNS: Final = ("series", "occ_account")
QUANTITY_COLUMNS: Final = ("quantity", "short_quantity")
OCC_POSITION_COLUMNS: Final = ("series", "short_quantity")

_SHOWN: Final = 80
_NOTICE_ID: Final = r"^[!-~](?:[ -~]{0,126}[!-~])?$"


def check_names(
    names: Sequence[str],
    required: Sequence[str],
    place: Place,
    optional: Sequence[str] = OPTIONAL_COLUMNS,
) -> bool:
    """Whether the columns can be read; each unknown, missing or doubled one is a problem."""
    counts = Counter(names)
    for name, count in counts.items():
        if name not in (*required, *optional):
            known = ", ".join((*required, *optional))
            place.refuse(f"unknown column {name!r}; known are {known}", column=name)
        elif count > 1:
            place.refuse(f"the column {name} appears {count} times", column=name)
    for name in required:
        if name not in counts:
            place.refuse(f"the column {name} is missing", column=name)
    known_once = all(counts[name] == 1 for name in counts if name in (*required, *optional))
    return known_once and all(name in counts for name in required)


def to_notices(raw: pa.Table, place: Place) -> pa.Table:
    """`tables.NOTICES` of a raw table with checked names; wrong values become problems."""
    notice_id = _texts(raw, "notice_id", place)
    matched = pc.match_substring_regex(notice_id, _NOTICE_ID).to_numpy()
    place.refuse_rows(
        np.flatnonzero(~matched.astype(bool)),
        lambda index: (
            f"{notice_id[index].as_py()!r} is no notice id: 1 to 128 printable ASCII characters "
            "without blanks at the ends are expected"
        ),
        column="notice_id",
    )
    table = pa.table(
        {
            "notice_id": notice_id,
            "series": _series(raw, place),
            "quantity": _quantities(raw, "quantity", 1, place),
            "occ_account": _occ_accounts(raw, place),
        },
        NOTICES,
    )
    return _usable(table, raw, place)


def to_positions(raw: pa.Table, place: Place) -> pa.Table:
    """`tables.POSITIONS` of a raw table with checked names; wrong values become problems.

    Accounts are checked when they are put into order (R2), in the same pass.
    """
    table = pa.table(
        {
            "series": _series(raw, place),
            "account": _texts(raw, "account", place),
            "short_quantity": _quantities(raw, "short_quantity", 0, place),
            "occ_account": _occ_accounts(raw, place),
        },
        POSITIONS,
    )
    return _usable(table, raw, place)


def to_occ_positions(raw: pa.Table, place: Place) -> pa.Table:
    """`OCC_POSITIONS` of a raw table with checked names; wrong values become problems."""
    table = pa.table(
        {
            "series": _series(raw, place),
            "short_quantity": _quantities(raw, "short_quantity", 0, place),
            "occ_account": _occ_accounts(raw, place),
        },
        OCC_POSITIONS,
    )
    return _usable(table, raw, place)


def sound_text(texts: pa.Array) -> pa.StringArray:
    """string[n] in sound UTF-8; a byte that is none becomes a replacement character."""
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


def _usable(table: pa.Table, raw: pa.Table, place: Place) -> pa.Table:
    """The table, or an empty one where a column is of another type: its values mean nothing."""
    if not table.num_rows and not place.problems.counts.get(place.source):
        place.refuse("there are no rows, besides a header at most")
    wrong_type = any(
        not _is_text(field.type) for field in raw.schema if field.name not in QUANTITY_COLUMNS
    )
    return table.schema.empty_table() if wrong_type else table


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _column(raw: pa.Table, name: str) -> pa.ChunkedArray:
    column = raw.column(name)
    return column if column.num_chunks else pa.chunked_array([pa.array([], column.type)])


def _refuse_type(name: str, kind: pa.DataType, expected: str, place: Place) -> None:
    place.refuse(f"the column is of type {kind}; {expected} expected", column=name)


def _texts(raw: pa.Table, name: str, place: Place) -> pa.ChunkedArray:
    """string[n] without nulls."""
    column = _column(raw, name)
    if not _is_text(column.type):
        expected = "text is"
        if name == "account":
            expected = "text, which keeps an account's leading zeros, is"
        _refuse_type(name, column.type, expected, place)
        return pa.chunked_array([pa.array(["0"] * len(column), pa.string())])
    if column.type != pa.string() or column.null_count:
        # What is missing is refused as the empty text that it becomes.
        column = column.cast(pa.string()).fill_null("")
    if name != "account":  # An account's bytes are looked at one by one.
        column = pa.chunked_array([sound_text(chunk) for chunk in column.chunks])
    return column


def _nulls(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    return np.flatnonzero(column.is_null().to_numpy())


def _quantities(raw: pa.Table, name: str, least: int, place: Place) -> pa.Array:
    """int64[n] of `least` and more; a wrong value becomes `least`."""
    column = _column(raw, name)
    expected = f"a whole number from {least} to {INT64_MAX} in plain digits is expected"
    if pa.types.is_integer(column.type):
        values, wrong = _whole_numbers(column)
    elif _is_text(column.type):
        column = column.cast(pa.string())
        values, wrong = _read_texts(column)
    else:
        _refuse_type(name, column.type, "whole numbers or texts of digits are", place)
        return pa.array(np.full(len(column), least, np.int64))
    wrong |= values < least
    if wrong.any():

        def describe(index: int) -> str:
            value = _shown(column, index)
            return (
                f"there is no value; {expected}"
                if value in (None, "")
                else (
                    f"{value!r} is no quantity: {expected}"
                    if isinstance(value, str)
                    else f"{value} is no quantity: {expected}"
                )
            )

        place.refuse_rows(np.flatnonzero(wrong), describe, column=name, rule=_quantity_rule(name))
        values = np.where(wrong, least, values)
    return pa.array(values)


def _quantity_rule(name: str) -> str | None:
    return "P2" if name == "short_quantity" else None


def _whole_numbers(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """int64[n] and bool[n], true where there is no value or it passes 64 bits."""
    wrong = np.zeros(len(column), np.bool_)
    if column.null_count:
        wrong |= column.is_null().to_numpy()
        column = column.fill_null(0)
    if pa.types.is_uint64(column.type):
        large = pc.greater(column, pa.scalar(INT64_MAX, pa.uint64())).to_numpy()
        wrong |= large
        column = column.cast(pa.int64(), safe=False)
    values = column.cast(pa.int64()).to_numpy()
    return values, wrong


def _read_texts(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """int64[n] and bool[n], true where a text is no number or passes 64 bits."""
    wrong = np.zeros(len(column), np.bool_)
    if column.null_count:
        wrong |= column.is_null().to_numpy()
        column = column.fill_null("0")
    high, low = read_numbers(column)
    if high is None:
        return low, wrong
    wrong |= high < 0
    most_high, most_low = divmod(INT64_MAX, 10**18)
    wrong |= (high > most_high) | ((high == most_high) & (low > most_low))
    return np.where(wrong, 0, np.clip(high, 0, most_high) * 10**18 + low), wrong


def _shown(column: pa.ChunkedArray, index: int) -> object:
    """A value for an error text; bytes that are no text are replaced, long ones are cut."""
    value = column[index]
    if not _is_text(column.type):
        return value.as_py()
    data = value.cast(pa.binary()).as_py() if value.is_valid else None
    return None if data is None else shorten(data.decode("utf-8", "replace"))


def shorten(text: str) -> str:
    """A value cut to a length that an error text can show."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _series(raw: pa.Table, place: Place) -> pa.ChunkedArray:
    return _labels(raw, "series", place, pad_series, describe_series)


def _occ_accounts(raw: pa.Table, place: Place) -> pa.ChunkedArray:
    if "occ_account" not in raw.column_names:
        indices = pa.array(np.zeros(raw.num_rows, np.int32))
        return pa.chunked_array([pa.DictionaryArray.from_arrays(indices, pa.array([""]))])

    return _labels(
        raw,
        "occ_account",
        place,
        lambda texts: (texts, wrong_occ_accounts(texts)),
        describe_occ_account,
        empty="",
    )


def _labels(
    raw: pa.Table,
    name: str,
    place: Place,
    check: Callable[[pa.StringArray], tuple[pa.StringArray, np.ndarray[Any, Any]]],
    describe: Callable[[str | None], str],
    *,
    empty: str | None = None,
) -> pa.ChunkedArray:
    """A label column, every distinct text checked once.

    Args:
        raw: The table.
        name: The column.
        place: Where its problems go.
        check: string[k] to its normal form and bool[k], true where a text is wrong.
        describe: The error text of a wrong one.
        empty: What a null stands for; None refuses it.
    """
    column = _column(raw, name)
    if not _is_text(column.type):
        _refuse_type(name, column.type, "text is", place)
        column = pa.chunked_array([pa.array(["0"] * len(column), pa.string())])
        check = _take_as_it_is
    if column.null_count and empty is None:
        place.refuse_rows(_nulls(column), lambda _: "there is no value", column=name)
    column = _encoded(column, "" if empty is None else empty)
    distinct = sound_text(column.chunk(0).dictionary)
    normal, wrong = check(distinct)
    if wrong.any():
        nulls = raw.column(name).is_null().to_numpy() if raw.column(name).null_count else None
        indices = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
        found = wrong[indices]
        if nulls is not None:
            found &= ~nulls
        place.refuse_rows(
            np.flatnonzero(found),
            lambda index: describe(shorten(distinct[int(indices[index])].as_py())),
            column=name,
        )
    return pa.chunked_array(
        [pa.DictionaryArray.from_arrays(chunk.indices, normal) for chunk in column.chunks]
    )


def _take_as_it_is(texts: pa.StringArray) -> tuple[pa.StringArray, np.ndarray[Any, Any]]:
    return texts, np.zeros(len(texts), np.bool_)


def _encoded(column: pa.ChunkedArray, null: str) -> pa.ChunkedArray:
    """The column with one dictionary, without nulls."""
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
