"""What the intake hands on: a table, where its rows came from, and the bytes to keep."""

from __future__ import annotations

import hashlib
import shutil
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lottery.errors import INVALID_INPUT, Problem, Problems
from lottery.method.seed import ExchangeAsk

if TYPE_CHECKING:  # It imports much that only types are for.
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file or a message payload as it was received.

    Attributes:
        role: `notices`, `positions`, `volumes` or `occ_positions`.
        name: What its sender called it; a base name, for people.
        suffix: Its format: `.csv`, `.parquet`, `.json`, `.xml` or `.arrows` (an Arrow IPC stream).
        sha256: Its digest, hexadecimal.
        size: Bytes.
        content: Its bytes where they are kept as evidence, or the file that has them still, which
            may be too large to hold; else None.
        part: What tells apart several payloads of one role; empty for a file.
    """

    role: str
    name: str
    suffix: str
    sha256: str
    size: int
    content: bytes | Path | None = None
    part: str = ""

    @classmethod
    def of(
        cls, role: str, name: str, suffix: str, data: bytes | memoryview, *, part: str = ""
    ) -> SourceFile:
        """A source with its digest; positions are not kept, the evidence has those that matter."""
        return cls(
            role=role,
            name=name,
            suffix=suffix,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            content=None if role == "positions" else bytes(data),
            part=part,
        )

    def read(self) -> bytes:
        """Its bytes."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content or b""

    def write(self, path: Path) -> None:
        """Writes its bytes to a file.

        Raises:
            OSError: The file that has them is gone.
        """
        if isinstance(self.content, Path):
            shutil.copyfile(self.content, path)
        else:
            path.write_bytes(self.content or b"")

    @property
    def kept_as(self) -> str:
        """The file's name among the evidence's sources: never what its sender called it."""
        return f"{self.role}{self.part}{self.suffix}"


@dataclass(slots=True, kw_only=True)
class Place:
    """Turns a row's index in a table into its place in the source, for problems.

    Attributes:
        source: What problems name as their source.
        problems: Where problems are collected.
        first_row: The data row of index 0.
        header_lines: Lines before the first data row in a text file; None where there are no lines.
        row_numbers: int64[n], the data row of each index, where rows had to be left out.
        called: What the source calls the row of an index, said with its problems, if it does.
        find_lines: Finds the line of each data row, where it does not follow from the row; asked
            once, for problems alone.
    """

    source: str
    problems: Problems
    first_row: int = 1
    header_lines: int | None = None
    row_numbers: npt.NDArray[np.int64] | None = None
    called: Callable[[int], str] | None = None
    find_lines: Callable[[], npt.NDArray[np.int64]] | None = None
    _lines: npt.NDArray[np.int64] | None = None

    def refuse(self, message: str, *, column: str | None = None, rule: str | None = None) -> None:
        """Adds a problem of the whole source or of a column."""
        self.problems.add(Problem(source=self.source, message=message, column=column, rule=rule))

    def refuse_row(
        self,
        index: int,
        message: str,
        *,
        column: str | None = None,
        rule: str | None = None,
        reason: str = INVALID_INPUT,
    ) -> None:
        """Adds a problem of the row at an index of the table."""
        if self.called is not None:
            message = f"{self.called(index)}: {message}"
        self.refuse_numbered_row(self.row(index), message, column=column, rule=rule, reason=reason)

    def refuse_numbered_row(
        self,
        row: int,
        message: str,
        *,
        column: str | None = None,
        rule: str | None = None,
        reason: str = INVALID_INPUT,
    ) -> None:
        """Adds a problem of a data row, the first being 1."""
        self.problems.add(
            Problem(
                source=self.source,
                message=message,
                row=row,
                line=self.line(row),
                column=column,
                rule=rule,
                reason=reason,
            )
        )

    def refuse_rows(
        self,
        indices: Sequence[int] | npt.NDArray[Any],
        describe: Callable[[int], str],
        *,
        column: str,
        rule: str | None = None,
    ) -> None:
        """Adds a problem for each row; past the limit they are counted without being described."""
        for index in indices[: self.problems.limit]:
            self.refuse_row(int(index), describe(int(index)), column=column, rule=rule)
        self.problems.count_more(self.source, max(0, len(indices) - self.problems.limit))

    def row(self, index: int) -> int:
        """The data row of an index, the first being 1."""
        if self.row_numbers is not None:
            return int(self.row_numbers[index])
        return self.first_row + index

    def line(self, row: int) -> int | None:
        """The line of a data row in a text file."""
        if self.find_lines is not None:
            if self._lines is None:
                self._lines = self.find_lines()
            return int(self._lines[row - 1]) if row <= len(self._lines) else None
        return None if self.header_lines is None else row + self.header_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Notices, positions or OCC's own figures as received.

    Attributes:
        table: `tables.NOTICES`, `tables.POSITIONS` or `tables.OCC_POSITIONS`; rows with a problem
            hold placeholders.
        sources: Where they came from.
        places: One for each part of the table.
        starts: The index of each part's first row.
        occ_reports: `tables.OCC_REPORTS`, row by row what OCC reports of the notices
            in addition; None if it reports nothing.
    """

    table: pa.Table
    sources: tuple[SourceFile, ...]
    places: tuple[Place, ...]
    starts: tuple[int, ...] = (0,)
    occ_reports: pa.Table | None = None

    def with_occ_reports(self) -> pa.Table:
        """The table, and beside it what OCC says besides, as one table."""
        table = self.table
        if self.occ_reports is not None:
            for name in self.occ_reports.column_names:
                if name not in table.column_names:
                    table = table.append_column(name, self.occ_reports.column(name))
        return table

    def place_of(self, index: int) -> tuple[Place, int]:
        """The place of a row of the table, and the row's index there."""
        part = bisect_right(self.starts, index) - 1
        return self.places[part], index - self.starts[part]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedVolumes:
    """The ask prices as received."""

    asks: tuple[ExchangeAsk, ...]
    sources: tuple[SourceFile, ...]
    place: Place = field(default_factory=lambda: Place(source="volumes", problems=Problems()))
