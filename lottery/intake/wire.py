"""Messages in: rows and Arrow payloads of a stream, any number in any order, to one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from lottery.day.tables import (
    NOTICE_ROWS,
    NOTICES,
    OCC_POSITIONS,
    OCC_REPORT_COLUMNS,
    POSITION_ROWS,
    POSITIONS,
)
from lottery.errors import LimitExceeded, Problems
from lottery.intake.arrow import read_arrow, write_arrow
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    OCC_POSITION_COLUMNS,
    OPTIONAL_COLUMNS,
    POSITION_COLUMNS,
    to_notices,
    to_occ_positions,
    to_positions,
)
from lottery.intake.memory import KEPT_ROW_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.occ_reports import nothing_said, to_occ_reports
from lottery.intake.position_filter import keep_assigned_positions
from lottery.intake.sources import Place, Received, ReceivedVolumes, SourceFile
from lottery.method.seed import ExchangeAsk


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    """What the rows of a role are.

    Attributes:
        required: The columns that must be there.
        optional: Those that may be there.
        schema: The table that they become.
        rows: The schema of what comes as rows; None where nothing does.
        convert: Makes the table.
    """

    required: Sequence[str]
    schema: pa.Schema
    convert: Callable[[pa.Table, Place], pa.Table]
    optional: Sequence[str] = OPTIONAL_COLUMNS
    rows: pa.Schema | None = None


_ROLES: Final[dict[str, _Role]] = {
    "notices": _Role(
        required=NOTICE_COLUMNS,
        optional=(*OPTIONAL_COLUMNS, *OCC_REPORT_COLUMNS),
        schema=NOTICES,
        rows=NOTICE_ROWS,
        convert=to_notices,
    ),
    "positions": _Role(
        required=POSITION_COLUMNS, schema=POSITIONS, rows=POSITION_ROWS, convert=to_positions
    ),
    "occ_positions": _Role(
        required=OCC_POSITION_COLUMNS, schema=OCC_POSITIONS, convert=to_occ_positions
    ),
}


@dataclass(slots=True, kw_only=True)
class IncomingRows:
    """The notices, the positions or OCC's own figures of a stream, as they arrive.

    Attributes:
        role: `notices`, `positions` or `occ_positions`: the field that its rows came in.
        problems: Where problems go.
        max_rows: The limit of rows; one more raises `LimitExceeded`.
        memory: What a stream's rows may take; more raises `LimitExceeded`.
    """

    role: str
    problems: Problems
    max_rows: int
    memory: MemoryLimit = UNLIMITED
    row_count: int = 0
    _payloads: list[bytes] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)
    _rows: list[pa.Table] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)
    _refused: bool = False

    @property
    def has_arrived(self) -> bool:
        """Whether anything arrived, be it refused."""
        return bool(self._rows or self._tables or self._refused)

    def add_rows(self, columns: Sequence[Sequence[object]]) -> None:
        """Takes rows as columns, in the order of the role's schema."""
        schema = _ROLES[self.role].rows
        assert schema is not None, self.role  # noqa: S101 - no message has such rows.
        table = pa.table(
            [pa.array(*pair) for pair in zip(columns, schema.types, strict=True)], schema
        )
        self._count(table.num_rows)
        self._rows.append(table)

    def add_arrow(self, payload: bytes) -> None:
        """Takes one self-contained Arrow IPC stream."""
        place = Place(
            source=f"arrow_{self.role}", problems=self.problems, first_row=self._arrow_rows() + 1
        )
        role = _ROLES[self.role]
        raw = read_arrow(payload, role.required, place, role.optional)
        self._refused |= raw is None
        if raw is not None:
            self._count(raw.num_rows)
            self._tables.append(raw)
            self._payloads.append(payload)
            self._places.append(place)

    def received_of(self, notices: Received) -> Received:
        """The positions of the pools that have notices; as `files.read_positions_of`.

        Args:
            notices: The notices, of the same stream.
        """
        is_sound = not (self.problems or self._rows or self._refused)
        if is_sound and self._tables and notices.table.num_rows:
            with ThreadPoolExecutor(1) as beside:
                sources = beside.submit(self._arrow_sources)
                assigned = keep_assigned_positions(self._tables, notices.table)
                if assigned is not None:
                    place = replace(self._places[0], row_numbers=assigned.rows)
                    return Received(table=assigned.table, sources=sources.result(), places=(place,))
        return self.received()

    def received(self) -> Received:
        """Everything that arrived as one table, rows before Arrow payloads."""
        role = _ROLES[self.role]
        parts: list[tuple[pa.Table, Place, SourceFile]] = []
        if self._rows:
            rows = pa.concat_tables(self._rows).combine_chunks()
            place = Place(source=self.role, problems=self.problems)
            parts.append((rows, place, self._source("rows", write_arrow(rows))))
        parts += zip(self._tables, self._places, self._arrow_sources(), strict=True)
        if not parts:
            place = Place(source=self.role, problems=self.problems)
            if not self._refused:
                place.refuse("there are no rows")
            return Received(table=role.schema.empty_table(), sources=(), places=(place,))
        tables = [role.convert(raw, place) for raw, place, _ in parts]
        starts, start = [], 0
        for table in tables:
            starts.append(start)
            start += table.num_rows
        return Received(
            table=pa.concat_tables(tables),
            sources=tuple(source for _, _, source in parts),
            places=tuple(place for _, place, _ in parts),
            starts=tuple(starts),
            occ_reports=self._occ_reports(parts, tables),
        )

    def _occ_reports(
        self, parts: Sequence[tuple[pa.Table, Place, SourceFile]], tables: Sequence[pa.Table]
    ) -> pa.Table | None:
        """What OCC says of the notices besides, where any part has it."""
        if self.role != "notices":
            return None
        said = [
            to_occ_reports(raw, table, place)
            for (raw, place, _), table in zip(parts, tables, strict=True)
        ]
        if all(part is None for part in said):
            return None
        pairs = zip(said, tables, strict=True)
        return pa.concat_tables(
            nothing_said(table) if part is None else part for part, table in pairs
        )

    def _arrow_sources(self) -> tuple[SourceFile, ...]:
        return tuple(
            self._source(f"arrow-{number:04d}", payload)
            for number, payload in enumerate(self._payloads, start=1)
        )

    def _arrow_rows(self) -> int:
        return sum(table.num_rows for table in self._tables)

    def _count(self, rows: int) -> None:
        self.row_count += rows
        if self.row_count > self.max_rows:
            raise LimitExceeded(
                f"more than {self.max_rows} rows of {self.role}", limit=f"max_rows={self.max_rows}"
            )
        self.memory.check(self.role, self.row_count * KEPT_ROW_BYTES)

    def _source(self, part: str, content: bytes) -> SourceFile:
        name = f"{self.role} ({part})"
        return SourceFile.of(self.role, name, ".arrows", content, part=f"-{part}")


def volumes_of_asks(asks: Iterable[ExchangeAsk], problems: Problems) -> ReceivedVolumes:
    """The ask prices of a message, kept as the JSON file that says the same."""
    received = tuple(asks)
    rows = [
        {"security_number": ask.security_number, "ask_price": ask.ask_price} for ask in received
    ]
    content = (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()
    return ReceivedVolumes(
        asks=received,
        sources=(SourceFile.of("volumes", "exchange_asks.json", ".json", content),),
        place=Place(source="exchange_asks", problems=problems),
    )
