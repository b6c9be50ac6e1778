"""Messages in: the rows and Arrow payloads of a stream, in any number and order, to one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

import pyarrow as pa

from lottery.day.assigned_pools import AssignedPools
from lottery.day.tables import (
    NOTICE_ROWS,
    NOTICES,
    OCC_POSITIONS,
    OCC_REPORT_COLUMNS,
    POSITION_ROWS,
    POSITIONS,
)
from lottery.errors import NO_PROBLEMS, PROBLEM_LIMIT, LimitExceeded, Problems
from lottery.intake.arrow import read_arrow, write_arrow
from lottery.intake.arrow_sizes import StreamSize
from lottery.intake.as_of import COLUMN, date_of, describe_as_of
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    OCC_POSITION_COLUMNS,
    OPTIONAL_COLUMNS,
    POSITION_COLUMNS,
    POSITION_OPTIONAL_COLUMNS,
    to_notices,
    to_occ_positions,
)
from lottery.intake.memory import (
    KEPT_ROW_BYTES,
    UNLIMITED,
    MemoryLimit,
)
from lottery.intake.occ_reports import empty_reports, to_occ_reports
from lottery.intake.positions import PositionBlocks, ReceivedPositions, read_positions
from lottery.intake.sources import Reading, Received, ReceivedVolumes, RowLocator, SourceFile
from lottery.method.methodology import AccountOrder
from lottery.method.seed import ExchangeAsk


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What the rows of a role are.

    Attributes:
        required: The columns that must be there.
        schema: The table that they become.
        optional: The columns that may be there.
        rows: The schema of what comes as rows; None if a role comes as Arrow only.
        convert: Makes the table of raw columns; None for positions, which are read in blocks.
    """

    required: Sequence[str]
    schema: pa.Schema
    optional: Sequence[str] = OPTIONAL_COLUMNS
    rows: pa.Schema | None = None
    convert: Callable[[Reading], Reading] | None = None


ROLES: Final[dict[str, Role]] = {
    "notices": Role(
        required=NOTICE_COLUMNS,
        optional=(*OPTIONAL_COLUMNS, *OCC_REPORT_COLUMNS),
        schema=NOTICES,
        rows=NOTICE_ROWS,
        convert=to_notices,
    ),
    "positions": Role(
        required=POSITION_COLUMNS,
        optional=POSITION_OPTIONAL_COLUMNS,
        schema=POSITIONS,
        rows=POSITION_ROWS,
    ),
    "occ_positions": Role(
        required=OCC_POSITION_COLUMNS, schema=OCC_POSITIONS, convert=to_occ_positions
    ),
    "pool": Role(required=("account", "short_quantity"), schema=POSITIONS, optional=()),
}


@dataclass(slots=True, kw_only=True)
class IncomingRows:
    """The notices, positions or OCC's own figures of one stream, as they arrive.

    Attributes:
        role: `notices`, `positions` or `occ_positions`: the field that the rows come in.
        max_rows: Maximum number of rows.
        memory: What the rows may take.
        row_count: The rows that arrived.
    """

    role: str
    max_rows: int
    memory: MemoryLimit = UNLIMITED
    row_count: int = 0
    _arrow_rows: int = 0
    _needed_bytes: int = 0
    _rows: list[pa.Table] = field(default_factory=list)
    _readings: list[Reading] = field(default_factory=list)
    _payloads: list[bytes] = field(default_factory=list)
    _refusals: list[Problems] = field(default_factory=list)

    @property
    def has_arrived(self) -> bool:
        """Whether anything arrived, even if it is refused."""
        return bool(self._rows or self._readings or self._refusals)

    def expect_rows(self, rows: int) -> None:
        """Refuse so many rows before they are read, if the limits do not allow them.

        Raises:
            LimitExceeded: They do not.
        """
        self._check(self.row_count + rows, self._needed_bytes + rows * KEPT_ROW_BYTES)

    def add_rows(self, columns: Sequence[Sequence[object]]) -> None:
        """Add rows as columns, in the order of the role's schema.

        Raises:
            LimitExceeded: There are more rows than the limits allow.
        """
        schema = ROLES[self.role].rows
        assert schema is not None, self.role  # noqa: S101 - no message has such rows.
        table = pa.table(
            [pa.array(*pair) for pair in zip(columns, schema.types, strict=True)], schema
        )
        self._count(table.num_rows, table.num_rows * KEPT_ROW_BYTES)
        self._rows.append(table)

    def add_arrow(self, payload: bytes) -> None:
        """Add one self-contained Arrow IPC stream.

        Raises:
            LimitExceeded: There are more rows than the limits allow.
        """
        if len(self._refusals) >= PROBLEM_LIMIT:
            return  # No more problems are listed than these.
        role = ROLES[self.role]
        locator = RowLocator(source=f"arrow_{self.role}", first_row=1 + self._arrow_rows)
        reading = read_arrow(payload, role.required, locator, role.optional, self._count_stream)
        if reading.table is None:
            self._refusals.append(reading.problems)
            return
        self._arrow_rows += reading.table.num_rows
        self._readings.append(reading)
        self._payloads.append(payload)

    def positions(
        self,
        assigned: AssignedPools,
        order: AccountOrder,
        *,
        keep: bool = False,
        adds_up: bool = False,
        none_announced: bool = False,
    ) -> ReceivedPositions:
        """Return the positions of the assigned pools, rows before Arrow payloads.

        Args:
            assigned: The pools.
            order: The choice of R2.
            keep: Whether what arrived is itself kept as evidence.
            adds_up: Whether the contracts of all rows are added up, those of other pools too.
            none_announced: As for `received`.
        """
        parts, sources = self._parts(SourceFile.of if keep else SourceFile.digested)
        blocks = PositionBlocks.of(parts)
        refusals = sum(self._refusals, blocks.problems)
        locator = parts[0].locator if parts else RowLocator(source=self.role)
        received = read_positions(
            replace(blocks, problems=refusals),
            assigned,
            order,
            locator=locator,
            memory=self.memory,
            adds_up=adds_up,
            may_be_empty=none_announced,
        )
        as_of = received.as_of  # Rows as messages have none.
        return replace(
            received,
            sources=tuple(
                replace(source, as_of=as_of) if source.part == "-arrow" else source
                for source in sources
            ),
        )

    def received(self, *, none_announced: bool = False) -> Received:
        """Return everything that arrived as one table, rows before Arrow payloads.

        Args:
            none_announced: Whether the sender said that there are no rows; otherwise a stream
                without any is refused, because its rows may have been forgotten.
        """
        role = ROLES[self.role]
        parts, sources = self._parts(SourceFile.of)
        problems = sum(self._refusals, Problems())
        if not parts:
            locator = RowLocator(source=self.role)
            if not problems and not none_announced:
                problems = Problems.of(locator.problem("expected at least one row, got none"))
            return Received(
                table=role.schema.empty_table(),
                sources=(),
                locators=(locator,),
                problems=problems,
            )
        assert role.convert is not None, "positions are read in blocks"  # noqa: S101
        converted = [role.convert(part) for part in parts]
        occ_reports, occ_problems = self._occ_reports(parts, converted)
        problems = sum((part.problems for part in converted), problems) + occ_problems
        counts = [part.table.num_rows for part in converted]
        return Received(
            table=pa.concat_tables(part.table for part in converted),
            sources=sources,
            locators=tuple(part.locator for part in converted),
            starts=(0, *accumulate(counts[:-1])),
            problems=problems,
            occ_reports=occ_reports,
        )

    def _parts(
        self, source_of: Callable[..., SourceFile]
    ) -> tuple[list[Reading], tuple[SourceFile, ...]]:
        """Return what arrived, rows before Arrow payloads, and their sources.

        The payloads are one source: Arrow IPC streams, one after the other.
        """

        def source(part: str, *content: bytes) -> SourceFile:
            name = f"{self.role} ({part})"
            return source_of(self.role, name, ".arrows", *content, part=f"-{part}")

        parts = list(self._readings)
        sources = (source("arrow", *self._payloads),) if self._payloads else ()
        if self._rows:
            rows = pa.concat_tables(self._rows).combine_chunks()
            parts.insert(0, Reading(locator=RowLocator(source=self.role), table=rows))
            sources = (source("rows", write_arrow(rows)), *sources)
        return parts, sources

    def _occ_reports(
        self, parts: Sequence[Reading], converted: Sequence[Reading]
    ) -> tuple[pa.Table | None, Problems]:
        """Return what else OCC says of the notices, if it does in any part."""
        if self.role != "notices":
            return None, Problems()
        pairs = [
            to_occ_reports(raw, notices.table)
            for raw, notices in zip(parts, converted, strict=True)
        ]
        problems = sum((problems for _, problems in pairs), Problems())
        if all(reports is None for reports, _ in pairs):
            return None, problems
        tables = [
            empty_reports(notices.table) if reports is None else reports
            for (reports, _), notices in zip(pairs, converted, strict=True)
        ]
        return pa.concat_tables(tables), problems

    def _count_stream(self, size: StreamSize) -> None:
        self._count(size.rows, size.needed_bytes)

    def _count(self, rows: int, needed_bytes: int) -> None:
        self.row_count += rows
        self._needed_bytes += needed_bytes
        self._check(self.row_count, self._needed_bytes)

    def _check(self, rows: int, needed_bytes: int) -> None:
        if rows > self.max_rows:
            raise LimitExceeded(
                f"{self.role} must have at most {self.max_rows} rows, got more",
                limit=f"max_rows={self.max_rows}",
            )
        self.memory.check(self.role, needed_bytes)


def volumes_of_asks(asks: Iterable[ExchangeAsk], as_of: str | None = None) -> ReceivedVolumes:
    """Return the ask prices of a message, kept as a JSON file that says the same.

    Args:
        asks: The ask prices.
        as_of: Of which date or time they are; None if that is not said.
    """
    received = tuple(asks)
    said = {} if as_of is None else {COLUMN: as_of}
    rows = [
        {"security_number": ask.security_number, "ask_price": ask.ask_price, **said}
        for ask in received
    ]
    locator = RowLocator(source="exchange_asks")
    problems = NO_PROBLEMS
    if as_of is not None and date_of(as_of) is None:
        problems = Problems.of(locator.problem(describe_as_of(as_of), column=COLUMN, rule="S8"))
        as_of = None
    content = (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()
    file = SourceFile.of("volumes", "exchange_asks.json", ".json", content)
    return ReceivedVolumes(
        asks=received,
        sources=(replace(file, as_of=as_of),),
        locator=locator,
        problems=problems,
    )
