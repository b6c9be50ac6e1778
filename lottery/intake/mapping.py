"""A mapping: what files of one sender are that are not CSV as it is wanted, stated and not guessed.

It is a TOML file with a table for each role that it reads, `[notices]` and `[positions]`. Its bytes
are a source of the run like any other, so that a replay reads the files in the same way.

Not here: what is done with a file (`lottery.intake.mapped`).

Invariants:
- What a file does not say for certain is not read from it: nothing here turns a rounded account or
  a letter into digits.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from lottery.errors import NO_PROBLEMS, Problem, Problems, escape, quote
from lottery.intake.arrival import check_arrival
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    OPTIONAL_COLUMNS,
    POSITION_COLUMNS,
    POSITION_OPTIONAL_COLUMNS,
)
from lottery.intake.sources import SourceFile

ROLE: Final = "columns"
"""What the record calls the source that a mapping is."""
MAX_BYTES: Final = 1 << 16
_COLUMNS: Final = {
    "notices": (*NOTICE_COLUMNS, *OPTIONAL_COLUMNS),
    "positions": (*POSITION_COLUMNS, *POSITION_OPTIONAL_COLUMNS),
}
_REQUIRED: Final = {"notices": NOTICE_COLUMNS, "positions": POSITION_COLUMNS}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """What the files of one role are.

    Attributes:
        delimiter: What separates their values.
        encoding: How their text is written.
        skip_lines: How many lines come before the header, or before the first row without one.
        names: The file's name of a column by ours; or the columns' numbers, from 1, of files
            without a header. A column that is not here has our name.
        omit: The columns, likewise, that are left out.
        strip: Whether blanks around values and names are taken away.
        sign: `negative` where a quantity is written below zero, as -5, (5) or 5-.
        thousands: What separates the thousands of quantities, if anything.
        decimals: What whole quantities end with, such as `.0` or `,00`.
    """

    delimiter: Literal[",", ";", "\t", "|"] = ","
    encoding: Literal[
        "utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "iso-8859-1", "iso-8859-15"
    ] = "utf-8"
    skip_lines: int = 0
    names: Mapping[str, str | int] = field(default_factory=dict)
    omit: tuple[str | int, ...] = ()
    strip: bool = False
    sign: Literal["positive", "negative"] = "positive"
    thousands: Literal["", ",", ".", "'", " "] = ""
    decimals: str = ""

    @property
    def has_header(self) -> bool:
        """Whether the files have a line of column names."""
        return not any(isinstance(name, int) for name in (*self.names.values(), *self.omit))

    @property
    def header_lines(self) -> int:
        """The lines before the first row."""
        return self.skip_lines + self.has_header


PLAIN: Final = FileMapping()
"""CSV as it is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mappings:
    """A mapping as received.

    Attributes:
        of_role: What it says of each role's files.
        sources: The file.
        problems: What is wrong with it.
    """

    of_role: Mapping[str, FileMapping] = field(default_factory=dict)
    sources: tuple[SourceFile, ...] = ()
    problems: Problems = NO_PROBLEMS


NO_MAPPINGS: Final = Mappings()
"""Every file is as it is wanted."""


def read_mappings(path: Path) -> Mappings:
    """Read a mapping's file; what is wrong with it is among its problems."""
    name = path.name
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        problem = Problem(source=name, message=f"the mapping cannot be read: {error.strerror}")
        return Mappings(problems=Problems.of(problem))
    mappings = received_mapping(name, content)
    if len(content) > MAX_BYTES:
        return mappings
    source, problems = check_arrival(path, mappings.sources[0], b"", name)
    return replace(mappings, sources=(source,), problems=mappings.problems + problems)


def received_mapping(name: str, content: bytes) -> Mappings:
    """Return what a mapping's bytes say, to be kept as a source of that name."""
    source = SourceFile.of(ROLE, name, ".toml", content)
    return replace(mappings_of_source(source), sources=(source,))


def mappings_of_source(source: SourceFile) -> Mappings:
    """Return what a mapping's file says, and everything that is wrong with it."""
    if source.size > MAX_BYTES:
        message = f"a mapping must be at most {MAX_BYTES} bytes, got more"
        return Mappings(problems=Problems.of(Problem(source=source.name, message=message)))
    try:
        document = tomllib.loads(source.read().decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"expected TOML in UTF-8: {escape(str(error))}"
        return Mappings(problems=Problems.of(Problem(source=source.name, message=message)))
    of_role: dict[str, FileMapping] = {}
    problems = []
    if not document:
        expected = " or ".join(f"[{role}]" for role in _COLUMNS)
        problems.append(Problem(source=source.name, message=f"expected a table {expected}"))
    for role, said in document.items():
        found = _read_table(role, said)
        if isinstance(found, FileMapping):
            of_role[role] = found
            found = [(role, message) for message in _contradictions(role, found)]
        problems += [
            Problem(source=source.name, column=column, message=message) for column, message in found
        ]
    return Mappings(of_role=of_role, problems=Problems.of(*problems))


def _read_table(role: str, said: object) -> FileMapping | list[tuple[str, str]]:
    """Return what a table says, or each of its keys that is wrong and what was expected of it."""
    if role not in _COLUMNS or not isinstance(said, dict):
        return [(role, f"expected a table, one of {', '.join(_COLUMNS)}")]
    # A command without a mapping does without it, which takes long to load.
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    keys = [each.name for each in fields(FileMapping)]
    wrong = [
        (f"{role}.{key}", f"expected a key, one of {', '.join(keys)}")
        for key in said
        if key not in keys
    ]
    known = json.dumps({key: value for key, value in said.items() if key in keys}, default=str)
    try:
        mapping = TypeAdapter(FileMapping).validate_json(known, strict=True)
    except ValidationError as error:
        # A value of several types has an error for each of them.
        of_key: dict[str, dict[str, Any]] = {
            str(one["loc"][0]): dict(one) for one in error.errors()
        }
        return wrong + [
            (f"{role}.{key}", f"{one['msg']}, got {quote(said[key])}")
            for key, one in of_key.items()
        ]
    return wrong or mapping


def _contradictions(role: str, mapping: FileMapping) -> Iterator[str]:
    """Yield what a mapping says that cannot be, or not together."""
    known, names, omit = _COLUMNS[role], mapping.names, mapping.omit
    for name in names:
        if name not in known:
            yield f"names must be of {', '.join(known)}, got {quote(name)}"
    given = [*names.values(), *omit]
    for repeated in sorted({quote(one) for one in given if given.count(one) > 1}):
        yield f"a column must be named or omitted once, got {repeated} again"
    if mapping.skip_lines not in range(101):
        yield f"skip_lines must be 0 to 100, got {mapping.skip_lines}"
    if not mapping.has_header:
        yield from _wrong_numbers(role, mapping)
    if mapping.decimals and not re.fullmatch(r"[.,]0{1,9}", mapping.decimals):
        yield f"decimals must be a point or a comma and zeros, got {quote(mapping.decimals)}"
    if mapping.thousands and mapping.decimals.startswith(mapping.thousands):
        yield f"thousands and decimals must differ, got {quote(mapping.thousands)} for both"


def _wrong_numbers(role: str, mapping: FileMapping) -> Iterator[str]:
    """Yield what is wrong with the numbers of columns."""
    given = [*mapping.names.values(), *mapping.omit]
    numbers = [one for one in given if isinstance(one, int)]
    if len(numbers) < len(given):
        texts = ", ".join(quote(one) for one in given if isinstance(one, str))
        yield f"columns must be all named, or all numbered as files without a header, got {texts}"
    elif sorted({*numbers}) != [*range(1, len({*numbers}) + 1)]:
        shown = ", ".join(map(str, sorted(numbers)))
        yield f"names and omit must number every column of the file from 1, got {shown}"
    for name in _REQUIRED[role]:
        if name not in mapping.names:
            yield f"names must have the number of {name}, got none"
