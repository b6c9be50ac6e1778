"""What a text file is that is not CSV as it is wanted: the ways in which spreadsheets save tables.

A file is refused with the one sentence that names its cause, and is not read in a way that guesses.
Where a mapping that states the cause makes a file readable, the sentence says so.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from lottery.errors import Problem, Problems, quote

_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_LINES_SEARCHED: Final = 20
"""Lines in which a header is looked for that is not in the first one."""
_SERIES: Final = re.compile("[A-Z0-9]{1,6} *[0-9]{6}[CP][0-9]{8}")

_REMEDY: Final = "or state it in a mapping, --columns"
_STATED: Final = (
    "expected CSV in UTF-8",
    "expected values separated",
    "expected column names",
    "expected the column names",
    "expected a name for each column",
    "column must be one of",
    "expected exactly one of the columns",
)
"""How the sentences begin that are of a whole file, and of what a mapping can state."""
_STATED_OF_TEXTS: Final = (", without blanks around it",)
_STATED_OF_QUANTITIES: Final = (
    *_STATED_OF_TEXTS,
    ", not negative",
    ", without thousands separators",
)
_WHOLE_DECIMALS: Final = re.compile(r", without decimals(?=, got '[0-9]+[.,]0+')")


def naming_the_mapping(problems: Problems) -> Problems:
    """Return problems of a CSV file, each of which says so if a mapping can state its cause."""
    return replace(problems, listed=tuple(map(_with_remedy, problems.listed)))


def _with_remedy(problem: Problem) -> Problem:
    message = problem.message
    if problem.row is None:
        is_stated = message.startswith(_STATED)
        return replace(problem, message=f"{message}; {_REMEDY}") if is_stated else problem
    is_quantity = (problem.column or "").endswith("quantity")
    for slip in _STATED_OF_QUANTITIES if is_quantity else _STATED_OF_TEXTS:
        message = message.replace(f"{slip}, got", f"{slip} ({_REMEDY}), got")
    if is_quantity:
        message = _WHOLE_DECIMALS.sub(rf"\g<0> ({_REMEDY})", message)
    return replace(problem, message=message)


def describe_encoding(data: bytes) -> str | None:
    """Return what a file is that is text in another encoding, judged by its first bytes."""
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # Without a byte order mark, every other byte of plain letters is zero.
    is_utf16 |= len(data) > 1 and (data[0] == 0) != (data[1] == 0)
    if is_utf16:
        return "expected CSV in UTF-8, got UTF-16; save the file as CSV UTF-8"
    return None


def describe_header(lines: Sequence[str], names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return why a header does not have the known columns, if it is a usual slip.

    Args:
        lines: The first lines of the file, at least one.
        names: The column names of the first one.
        known: The columns that there may be.
    """
    return next(_slips(lines, names, known), None)


def _slips(lines: Sequence[str], names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    header, columns = lines[0], ", ".join(known)
    if header.casefold().startswith("sep="):
        yield f"expected the column names in the first line, got {quote(header)}; remove that line"
    for separator, called in _SEPARATORS.items():
        if separator in header and _has_known(header.split(separator), known):
            yield f"expected values separated by commas, got {called}"
    if any(_SERIES.fullmatch(name) for name in names):
        yield f"expected column names ({columns}) in the first line, got values: {quote(header)}"
    others = [name for name in names if name not in known]
    alike = ", ".join(quote(name) for name in others if _folded(name) in known)
    if alike:
        yield f"expected column names in small letters and without blanks ({columns}), got {alike}"
    if others == [""] and names[-1] == "":
        yield (
            "expected a name for each column, got a comma at the end of the header; remove it from "
            "every line"
        )
    if len(others) == len(names):
        for number, line in enumerate(lines[1:_LINES_SEARCHED], 2):
            if len({*_split(line)}.intersection(known)) > 1:
                yield (
                    f"expected the column names in the first line, got them in line {number}; "
                    "remove the lines before it"
                )


def _has_known(names: Sequence[str], known: Sequence[str]) -> bool:
    return any(_folded(name) in known for name in names)


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _split(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return []
