"""The ask prices: CSV or JSON, always text (rules S1, S2).

JSON is a list of objects, or an object whose only member `volumes` is that list. A number instead
of text is refused, because some reader would make a float of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np

from lottery.errors import INVALID_INPUT, INVALID_SEED, Problem, Problems, escape, quote
from lottery.intake import as_of
from lottery.intake.columns import check_names
from lottery.intake.delimited import BYTE_ORDER_MARK, refused_as_csv
from lottery.intake.sources import ReceivedVolumes, RowLocator, SourceFile
from lottery.method.methodology import Security
from lottery.method.seed import ExchangeAsk

MAX_BYTES: Final = 1 << 20
"""Maximum size of a file of volumes in bytes; its four rows have a few hundred."""
REQUIRED: Final = ("security_number", "ask_price")
OPTIONAL: Final = ("cusip", "description", as_of.COLUMN)

_Asks: TypeAlias = tuple[list[ExchangeAsk], list[int], list[str | None], list[Problem]]
"""The asks, the data row and the as-of time of each, and what is wrong."""


def describe_size(size: int) -> str:
    """Return why a file of volumes of a size in bytes is not read."""
    return f"volumes must be at most {MAX_BYTES} bytes, got {size}"


def volumes_of_source(
    source: SourceFile, securities: Sequence[Security], name: str | None = None
) -> ReceivedVolumes:
    """Return the asks of a CSV or JSON file's bytes.

    Args:
        source: The file.
        securities: The method's securities, by which CUSIPs are checked.
        name: What problems name as their source; the file's name by default.
    """
    readers = {".csv": _read_csv, ".json": _read_json}
    locator = RowLocator(
        source=name or source.name, header_lines=1 if source.suffix == ".csv" else None
    )
    if source.suffix in readers and source.size <= MAX_BYTES:
        asks, rows, said, problems = readers[source.suffix](source.read(), securities, locator)
    else:
        got = quote(source.suffix) if source.suffix else "no suffix"
        message = f"volumes must be a .csv or .json file, got {got}"
        if source.suffix in readers:
            message = describe_size(source.size)
        asks, rows, said, problems = [], [], [], [locator.problem(message)]
    locator = replace(locator, row_numbers=np.array(rows, np.int64))
    if any(problem.column == as_of.COLUMN for problem in problems):
        said = []  # What is no text was refused already.
    text, as_of_problems = _as_of(said, locator)
    return ReceivedVolumes(
        asks=tuple(asks),
        sources=(replace(source, as_of=text),),
        locator=locator,
        problems=Problems.of(*problems) + as_of_problems,
    )


def _as_of(said: Sequence[str | None], locator: RowLocator) -> tuple[str | None, Problems]:
    """Return the as-of time that all rows say, or None, and what is wrong with it."""
    wrong = [
        locator.row_problem(index, as_of.describe_as_of(text), column=as_of.COLUMN, rule="S8")
        for index, text in enumerate(said)
        if text is not None and as_of.date_of(text) is None
    ]
    if wrong:
        return None, Problems.of(*wrong)
    missing = [index for index, text in enumerate(said) if text is None]
    if missing and len(missing) < len(said):
        message = "as-of time must be in every row if it is in one, got none"
        problem = locator.row_problem(missing[0], message, column=as_of.COLUMN, rule="S8")
        return None, Problems.of(problem)
    found = ((text, locator, index) for index, text in enumerate(said) if text is not None)
    return as_of.one_as_of(found, "volumes")


def _read_csv(data: bytes, securities: Sequence[Security], locator: RowLocator) -> _Asks:
    rows = _csv_rows(data)
    if isinstance(rows, str):
        return [], [], [], [locator.problem(rows)]
    header = rows[0] if rows else []
    can_be_read, name_problems = check_names(header, REQUIRED, locator, OPTIONAL)
    problems = list(name_problems)
    if not can_be_read:
        return [], [], [], problems
    if len(rows) == 1:
        problems.append(locator.problem("expected at least one row, got none"))
    asks, kept, said = [], [], []
    for index, values in enumerate(rows[1:]):
        if len(values) != len(header):
            message = (
                f"row must have a value for each of {len(header)} columns, got {len(values)} values"
            )
            problems.append(locator.row_problem(index, message))
            continue
        ask = dict(zip(header, values, strict=True))
        asks.append(_ask(ask))
        kept.append(index + 1)
        said.append(ask.get(as_of.COLUMN))
        problems += _cusip_problems(ask, index, securities, locator)
    return asks, kept, said, problems


def _csv_rows(data: bytes) -> list[list[str]] | str:
    """Return the rows of a CSV file, or why it is refused."""
    refusal = refused_as_csv(data)
    if refusal is not None:
        return refusal
    try:
        text = data.removeprefix(BYTE_ORDER_MARK).decode()
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        return f"expected CSV in UTF-8, got an invalid byte at offset {error.start}"
    except csv.Error as error:
        return f"the CSV is malformed: {escape(str(error))}"


def _read_json(data: bytes, securities: Sequence[Security], locator: RowLocator) -> _Asks:
    if not data.strip():
        return [], [], [], [locator.problem("the file is empty")]
    try:
        document = json.loads(data, object_pairs_hook=_Pairs, parse_constant=_Constant)
    except (ValueError, RecursionError) as error:
        return [], [], [], [locator.problem(f"expected JSON: {escape(str(error))}")]
    if isinstance(document, _Pairs) and [name for name, _ in document] == ["volumes"]:
        document = document[0][1]
    if isinstance(document, _Pairs) or not isinstance(document, list):
        message = "expected a list of objects, one for each security"
        return [], [], [], [locator.problem(message)]
    problems = [] if document else [locator.problem("expected at least one object, got none")]
    asks, kept, said = [], [], []
    for index, entry in enumerate(document):
        values, is_sound, entry_problems = _json_ask(entry, index, locator)
        problems += entry_problems
        if is_sound:
            asks.append(_ask(values))
            kept.append(index + 1)
            said.append(values.get(as_of.COLUMN))
            problems += _cusip_problems(values, index, securities, locator)
    return asks, kept, said, problems


class _Pairs(list[tuple[str, Any]]):
    """A JSON object's members in order, with repeated ones."""


class _Constant(str):
    """NaN or Infinity, which JSON does not have."""

    __slots__ = ()


def _json_ask(
    entry: object, index: int, locator: RowLocator
) -> tuple[dict[str, str], bool, list[Problem]]:
    """Return the members of an entry, whether they make an ask, and what is wrong with them."""
    if not isinstance(entry, _Pairs):
        message = f"entry must be an object, got {escape(json.dumps(entry), 80)}"
        return {}, False, [locator.row_problem(index, message)]
    values: dict[str, str] = {}
    problems = []
    is_sound = True
    for name, value in entry:
        fault = _describe_member(name, value, values)
        if fault is None:
            values[name] = value
            continue
        is_required = name in REQUIRED
        problems.append(
            locator.row_problem(
                index,
                fault,
                column=name.encode("utf-8", "replace").decode(),
                rule="S2" if is_required else None,
                reason=INVALID_SEED if is_required else INVALID_INPUT,
            )
        )
        is_sound = is_sound and not is_required
        values.setdefault(name, "")
    for name in REQUIRED:
        if name not in values:
            message = f"member {name} is missing"
            problems.append(
                locator.row_problem(index, message, column=name, rule="S2", reason=INVALID_SEED)
            )
            is_sound = False
    return values, is_sound, problems


def _describe_member(name: str, value: object, values: dict[str, str]) -> str | None:
    """Return what is wrong with a member, given the members before it."""
    if name not in (*REQUIRED, *OPTIONAL):
        return f"member must be one of {', '.join((*REQUIRED, *OPTIONAL))}, got {quote(name)}"
    if name in values:
        return f"member {name} must appear once, got it again"
    if isinstance(value, _Constant) or not isinstance(value, str):
        shown = value if isinstance(value, _Constant) else escape(json.dumps(value), 80)
        return f"{name} must be text in quotes, so that nothing rounds it, got {shown}"
    return None


def _ask(values: dict[str, str]) -> ExchangeAsk:
    return ExchangeAsk(security_number=values["security_number"], ask_price=values["ask_price"])


def _cusip_problems(
    values: dict[str, str], index: int, securities: Sequence[Security], locator: RowLocator
) -> list[Problem]:
    """Return a problem if a CUSIP is given that is not the security's own (S1)."""
    cusip = values.get("cusip", "")
    return [
        locator.row_problem(
            index,
            f"CUSIP of {security.number} must be {security.cusip}, got {quote(cusip)}",
            column="cusip",
            rule="S1",
            reason=INVALID_SEED,
        )
        for security in securities
        if security.number == values["security_number"] and cusip not in ("", security.cusip)
    ]
