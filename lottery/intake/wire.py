"""Messages in: rows and Arrow payloads of a stream, any number in any order, to one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from lottery.day.tables import NOTICES, POSITIONS
from lottery.errors import LimitExceeded, Problems
from lottery.intake.arrow import read_arrow, write_arrow
from lottery.intake.columns import NOTICE_COLUMNS, POSITION_COLUMNS, to_notices, to_positions
from lottery.intake.received import Place, Received, ReceivedVolumes, SourceFile
from lottery.method.seed import ExchangeAsk

NOTICE_ROWS: Final = pa.schema(
    [
        pa.field("notice_id", pa.string()),
        pa.field("series", pa.string()),
        pa.field("quantity", pa.int64()),
        pa.field("occ_account", pa.string()),
    ]
)
POSITION_ROWS: Final = pa.schema(
    [
        pa.field("series", pa.string()),
        pa.field("account", pa.string()),
        pa.field("short_quantity", pa.int64()),
        pa.field("occ_account", pa.string()),
    ]
)


@dataclass(slots=True, kw_only=True)
class Gathered:
    """The notices or the positions of a stream, as they arrive.

    Attributes:
        role: `notices` or `positions`: the field that its rows came in.
        problems: Where problems go.
        max_rows: The limit of rows; one more raises `LimitExceeded`.
    """

    role: str
    problems: Problems
    max_rows: int
    row_count: int = 0
    _payloads: list[bytes] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)
    _rows: list[pa.Table] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)
    _refused: bool = False

    def add_rows(self, columns: Sequence[Sequence[object]]) -> None:
        """Takes rows as columns, in the order of the role's schema."""
        schema = NOTICE_ROWS if self.role == "notices" else POSITION_ROWS
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
        required = NOTICE_COLUMNS if self.role == "notices" else POSITION_COLUMNS
        raw = read_arrow(payload, required, place)
        self._refused |= raw is None
        if raw is not None:
            self._count(raw.num_rows)
            self._tables.append(raw)
            self._payloads.append(payload)
            self._places.append(place)

    def received(self) -> Received:
        """Everything that arrived as one table, rows before Arrow payloads."""
        convert: Callable[[pa.Table, Place], pa.Table] = (
            to_notices if self.role == "notices" else to_positions
        )
        schema = NOTICES if self.role == "notices" else POSITIONS
        parts: list[tuple[pa.Table, Place, SourceFile]] = []
        if self._rows:
            rows = pa.concat_tables(self._rows).combine_chunks()
            place = Place(source=self.role, problems=self.problems)
            parts.append((rows, place, self._source("rows", write_arrow(rows))))
        for number, raw in enumerate(self._tables, start=1):
            source = self._source(f"arrow-{number:04d}", self._payloads[number - 1])
            parts.append((raw, self._places[number - 1], source))
        if not parts:
            place = Place(source=self.role, problems=self.problems)
            if not self._refused:
                place.refuse("there are no rows")
            return Received(table=schema.empty_table(), sources=(), places=(place,))
        tables = [convert(raw, place) for raw, place, _ in parts]
        starts, start = [], 0
        for table in tables:
            starts.append(start)
            start += table.num_rows
        return Received(
            table=pa.concat_tables(tables),
            sources=tuple(source for _, _, source in parts),
            places=tuple(place for _, place, _ in parts),
            starts=tuple(starts),
        )

    def _arrow_rows(self) -> int:
        return sum(table.num_rows for table in self._tables)

    def _count(self, rows: int) -> None:
        self.row_count += rows
        if self.row_count > self.max_rows:
            raise LimitExceeded(
                f"more than {self.max_rows} rows of {self.role}", limit=f"max_rows={self.max_rows}"
            )

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
