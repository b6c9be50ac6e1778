"""Frames and rows in: what a Python program holds, to the raw columns that files give.

A frame is anything with `__arrow_c_stream__`, the Arrow PyCapsule interface: a frame of polars or
pandas, a relation of DuckDB, a table or reader of pyarrow. Rows are mappings by column name.

Invariants:
- What is wrong is a problem with its row, as it is of a file; nothing is rounded or guessed.
- The column that pandas adds for an index without a name is left out; every other column counts.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from lottery.day.assigned_pools import AssignedPools
from lottery.day.tables import INT64_MAX
from lottery.errors import NO_PROBLEMS, Problem, ProblemCollector, Problems, quote
from lottery.intake.arrow import first_line
from lottery.intake.columns import (
    QUANTITY_COLUMNS,
    check_names,
    quantities,
    texts,
    usual_types,
)
from lottery.intake.positions import PositionBlocks, ReceivedPositions, read_positions
from lottery.intake.sources import Reading, Received, ReceivedVolumes, RowLocator, SourceFile
from lottery.intake.volumes import volumes_of_source
from lottery.intake.wire import ROLES, Role
from lottery.method.methodology import AccountOrder, Security
from lottery.method.seed import ExchangeAsk

_STREAM: Final = "__arrow_c_stream__"
_ASKS: Final = "asks"
_INDEX: Final = re.compile(r"__index_level_[0-9]+__")
_EXPECTED: Final = "expected a frame with __arrow_c_stream__, or rows as mappings by column name"


class Frame(Protocol):
    """What has rows as Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as a capsule of an Arrow stream."""


Rows: TypeAlias = Frame | Iterable[Mapping[str, Any]]
"""A frame, or rows as mappings by column name."""
Asks: TypeAlias = Mapping[str, str] | Iterable[ExchangeAsk] | Rows
"""Ask prices by security number, or each as a value, or a frame or rows of a volumes file."""


def is_frame(rows: object) -> bool:
    """Return whether rows are Arrow already."""
    return hasattr(rows, _STREAM)


def read_rows(rows: Rows, role: str, source: str | None = None) -> Reading:
    """Read the raw columns of a frame or of rows.

    Args:
        rows: The frame or the rows.
        role: `notices`, `positions`, `occ_positions` or `pool`: what they are.
        source: What problems call them; the role's name by default.

    Returns:
        The raw columns; no table if it or its columns are refused.
    """
    columns, locator = ROLES[role], RowLocator(source=source or role)
    if is_frame(rows):
        table, problems = _table_of_frame(rows, locator)
        reading = Reading(locator=locator, table=table, problems=problems)
    else:
        reading = _reading_of_rows(rows, columns, locator)
    if reading.table is None:
        return reading
    can_be_read, problems = check_names(
        reading.table.column_names, columns.required, locator, columns.optional
    )
    return replace(
        reading,
        table=reading.table if can_be_read else None,
        problems=problems + reading.problems,
    )


def received_rows(reading: Reading, role: str) -> Received:
    """Return notices or OCC's own figures of what was read; their sources are not kept."""
    convert, schema = ROLES[role].convert, ROLES[role].schema
    assert convert is not None, "positions are read in blocks"  # noqa: S101
    converted = reading if reading.table is None else convert(reading)
    return Received(
        table=schema.empty_table() if converted.table is None else converted.table,
        sources=(),
        locators=(reading.locator,),
        problems=converted.problems,
    )


def received_positions(
    reading: Reading, assigned: AssignedPools, order: AccountOrder
) -> ReceivedPositions:
    """Return the positions of the assigned pools in what was read; their source is not kept.

    Where nothing is assigned, there need not be any.
    """
    received = read_positions(
        PositionBlocks.of([reading]),
        assigned,
        order,
        locator=reading.locator,
        may_be_empty=not len(assigned),
    )
    source = SourceFile.digested("positions", "positions", ".arrows")
    return replace(received, sources=(replace(source, as_of=received.as_of),))


def received_pool(reading: Reading) -> tuple[list[tuple[str, int]], Problems]:
    """Return accounts and short quantities of one pool's rows, and what is wrong with them."""
    if reading.table is None:
        return [], reading.problems
    raw = replace(reading, table=usual_types(reading.table))
    accounts, account_problems = texts(raw, "account")
    shorts, short_problems = quantities(raw, "short_quantity", 0)
    pairs = list(zip(accounts.to_pylist(), shorts.to_pylist(), strict=True))
    return pairs, reading.problems + account_problems + short_problems


def read_asks(asks: Asks, securities: Sequence[Security]) -> ReceivedVolumes:
    """Read the ask prices, which must be text, by the rules of a volumes file in JSON.

    Args:
        asks: The ask prices.
        securities: The method's securities, by which CUSIPs are checked.
    """
    rows: list[object]
    if isinstance(asks, Mapping):
        rows = [{"security_number": number, "ask_price": price} for number, price in asks.items()]
    elif is_frame(asks):
        locator = RowLocator(source=_ASKS)
        table, problems = _table_of_frame(asks, locator)
        if table is None:
            return ReceivedVolumes(asks=(), sources=(), locator=locator, problems=problems)
        rows = table.to_pylist()
    else:
        rows = [_members(ask) for ask in asks] if isinstance(asks, Iterable) else [asks]
    content = json.dumps(rows, default=_exact).encode()
    return volumes_of_source(SourceFile.of("volumes", _ASKS, ".json", content), securities)


def _members(ask: object) -> object:
    if isinstance(ask, ExchangeAsk):
        return {"security_number": ask.security_number, "ask_price": ask.ask_price}
    return {f"{name}": value for name, value in ask.items()} if isinstance(ask, Mapping) else ask


def _exact(value: object) -> object:
    """Return the text of what has an exact one; anything else as JSON that is refused."""
    if isinstance(value, Decimal | dt.date):
        return str(value)
    return float(value) if isinstance(value, Real) else [repr(value)]


def _table_of_frame(frame: Any, locator: RowLocator) -> tuple[pa.Table, Problems]:
    """Return a frame's columns; None and a problem if it has none."""
    try:
        table = pa.table(frame)
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        message = f"{_EXPECTED}; got {type(frame).__name__}: {first_line(error)}"
        return None, Problems.of(locator.problem(message))
    added = [name for name in table.column_names if _INDEX.fullmatch(name)]
    return table.drop_columns(added), NO_PROBLEMS


def _reading_of_rows(rows: Any, role: Role, locator: RowLocator) -> Reading:
    """Return rows as columns; those that have a value of no use are problems, and left out."""
    if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
        problem = locator.problem(f"{_EXPECTED}; got {type(rows).__name__}")
        return Reading(locator=locator, problems=Problems.of(problem))
    found = ProblemCollector()
    kept: list[Mapping[object, Any]] = []
    numbers: list[int] = []
    text_names = {*role.required, *role.optional}.difference(QUANTITY_COLUMNS)
    names: dict[object, None] = {}
    for index, row in enumerate(rows):
        problems = _row_problems(row, index, text_names, locator)
        found.add(*problems)
        if not problems:
            kept.append(row)
            numbers.append(index + 1)
            names |= dict.fromkeys(row)
    columns = {_text(name): _column([row.get(name) for row in kept]) for name in names}
    if not kept:  # Nothing is missing that rows would have.
        columns = {name: pa.nulls(0, pa.string()) for name in role.required}
    if found.problems():
        locator = replace(locator, row_numbers=np.array(numbers, np.int64))
    return Reading(locator=locator, table=pa.table(columns), problems=found.problems())


def _row_problems(
    row: object, index: int, text_names: set[str], locator: RowLocator
) -> list[Problem]:
    """Return what is wrong with a row that no column can hold."""
    if not isinstance(row, Mapping):
        return [locator.row_problem(index, f"row must be a mapping, got {quote(row)}")]
    return [
        locator.row_problem(index, f"{name} must be text, got {quote(row[name])}", column=name)
        for name in sorted(text_names.intersection(row))
        if not isinstance(row[name], str | None)
    ]


def _column(values: list[Any]) -> pa.Array:
    """Return values as whole numbers if all of them are, else as their texts."""
    if all(value is None or _is_number(value) for value in values):
        return pa.array([value if value is None else int(value) for value in values])
    return pa.array([value if value is None else _text(value) for value in values], pa.string())


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return abs(int(value)) <= INT64_MAX


def _text(value: object) -> str:
    """Return the text of a value; a lone surrogate, which Arrow cannot hold, is replaced."""
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
