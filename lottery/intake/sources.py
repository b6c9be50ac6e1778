"""Sources as they were received: their bytes, their rows as a table, and where each row came from.

Invariants:
- A reader returns what it read and what is wrong with it; it changes none of its arguments.
"""

from __future__ import annotations

import hashlib
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from lottery.errors import (
    INVALID_INPUT,
    NO_PROBLEMS,
    PROBLEM_LIMIT,
    QUOTE_LIMIT,
    Problem,
    Problems,
    escape,
)
from lottery.intake.compressed import decompressed_blocks, suffix_of
from lottery.method.seed import ExchangeAsk

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

NOT_READ_ON: Final = "nothing is looked for after"
"""What is said where a source has as many problems as are listed."""
BLOCK_BYTES: Final = 1 << 16
"""Bytes of a streamed file that are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file or a message payload as it was received.

    Attributes:
        role: `notices`, `positions`, `volumes` or `occ_positions`.
        name: The base name that its sender gave it, for people.
        suffix: Its format: `.csv`, `.parquet`, `.json`, `.xml`, `.toml` or `.arrows` (an Arrow IPC
            stream); text may be compressed, as `.csv.gz`.
        sha256: Its digest, hexadecimal.
        size: Its size in bytes.
        content: Its bytes, in parts, if they are kept as evidence, or the file that still has them
            if it may be too large to hold; else None.
        part: What distinguishes several payloads of one role; empty for a file.
        may_be_cut_off: Whether it is text whose last line has no line end, and no checksum came
            with it (H1).
        as_of: Of which date or time it says that it is (`as_of`), as it was written; None if it
            does not say.
    """

    role: str
    name: str
    suffix: str
    sha256: str
    size: int
    content: tuple[bytes, ...] | Path | None = None
    part: str = ""
    may_be_cut_off: bool = False
    as_of: str | None = None

    @classmethod
    def of(cls, role: str, name: str, suffix: str, *content: bytes, part: str = "") -> SourceFile:
        """Return a source that is kept, with the digest of its parts."""
        source = cls.digested(role, name, suffix, *content, part=part)
        return replace(source, content=content)

    @classmethod
    def digested(
        cls, role: str, name: str, suffix: str, *content: bytes | memoryview, part: str = ""
    ) -> SourceFile:
        """Return a source of which the digest alone is kept."""
        digest = hashlib.sha256()
        for data in content:
            digest.update(data)
        return cls(
            role=role,
            name=name,
            suffix=suffix,
            sha256=digest.hexdigest(),
            size=sum(map(len, content)),
            part=part,
        )

    def read(self) -> bytes:
        """Return its bytes."""
        if isinstance(self.content, Path):
            return self.content.read_bytes()
        return b"".join(self.content or ())

    def write(self, path: Path) -> None:
        """Write its bytes to a file.

        Raises:
            OSError: The file that had them is gone.
        """
        if isinstance(self.content, Path):
            shutil.copyfile(self.content, path)
        else:
            with path.open("wb") as file:
                file.writelines(self.content or ())

    @property
    def kept_as(self) -> str:
        """The file's name among the evidence's sources, which never comes from its sender."""
        return f"{self.role}{self.part}{self.suffix}"


class StreamedFile:
    """A file that is read block by block, because it may be too large to hold.

    Its bytes stay where they are until they are kept as evidence, which refuses any others than
    those that were read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._size = 0
        self._was_read = False

    def blocks(self) -> Iterator[bytes]:
        """Yield the file's text from its start; the digest is that of the first reading.

        Raises:
            OSError: The file cannot be read.
        """
        return decompressed_blocks(self._received(), suffix_of(self._path))

    def _received(self) -> Iterator[bytes]:
        is_first, self._was_read = not self._was_read, True
        with self._path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                if is_first:
                    self._digest.update(block)
                    self._size += len(block)
                yield block

    def source(self, role: str, name: str) -> SourceFile:
        """Return the file as a source, once its blocks have been read."""
        return SourceFile(
            role=role,
            name=name,
            suffix=suffix_of(self._path),
            sha256=self._digest.hexdigest(),
            size=self._size,
            content=self._path,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLocator:
    """Turns a row's index in a table into its row and line in the source, for problems.

    Attributes:
        source: What problems name as their source.
        first_row: The data row of index 0.
        header_lines: Lines before the first data row of a text file; None if there are no lines.
        row_numbers: int64[n], the data row of each index, if some rows were left out.
        find_lines: Finds the line of each data row if it does not follow from the row; reading a
            file again takes time, so it is called for problems only and remembers its answer.
        report_ids: string[n], the ids of FIXML reports, by which problems name them.
    """

    source: str
    first_row: int = 1
    header_lines: int | None = None
    row_numbers: npt.NDArray[np.int64] | None = None
    find_lines: Callable[[], npt.NDArray[np.int64]] | None = None
    report_ids: pa.ChunkedArray | None = None

    def problem(
        self, message: str, *, column: str | None = None, rule: str | None = None
    ) -> Problem:
        """Return a problem of the whole source or of a column."""
        return Problem(source=self.source, message=message, column=column, rule=rule)

    def row_problem(
        self,
        index: int,
        message: str,
        *,
        column: str | None = None,
        rule: str | None = None,
        reason: str = INVALID_INPUT,
    ) -> Problem:
        """Return a problem of the row at an index of the table."""
        row = self.row(index)
        if self.report_ids is not None:
            report_id = self.report_ids[index].as_py()
            # A report without an id has its number instead.
            message = f"{report_name('' if report_id == f'#{row}' else report_id)}: {message}"
        return self.numbered_row_problem(row, message, column=column, rule=rule, reason=reason)

    def numbered_row_problem(
        self,
        row: int,
        message: str,
        *,
        column: str | None = None,
        rule: str | None = None,
        reason: str = INVALID_INPUT,
    ) -> Problem:
        """Return a problem of a data row, the first being 1."""
        return Problem(
            source=self.source,
            message=message,
            row=row,
            line=self.line(row),
            column=column,
            rule=rule,
            reason=reason,
        )

    def row_problems(
        self,
        indices: Sequence[int] | npt.NDArray[Any],
        describe: Callable[[int], str],
        *,
        column: str,
        rule: str | None = None,
    ) -> Problems:
        """Return a problem for each row; those past the limit are counted but not described."""
        listed = tuple(
            self.row_problem(index, describe(index), column=column, rule=rule)
            for index in map(int, indices[:PROBLEM_LIMIT])
        )
        return Problems(listed, len(indices) - len(listed))

    def stopped_after(self, row: int) -> Problem:
        """Return the problem that says that nothing is looked for after a data row."""
        message = f"expected no problems, got {PROBLEM_LIMIT} or more; {NOT_READ_ON} row {row:,}"
        return self.problem(message)

    def row(self, index: int) -> int:
        """Return the data row of an index, the first being 1."""
        if self.row_numbers is not None:
            return int(self.row_numbers[index])
        return self.first_row + index

    def rows_from(self, start: int) -> RowLocator:
        """Return the locator of the same rows without the first ones."""
        numbers = None if self.row_numbers is None else self.row_numbers[start:]
        return replace(self, first_row=self.first_row + start, row_numbers=numbers)

    def line(self, row: int) -> int | None:
        """Return the line of a data row in a text file."""
        if self.find_lines is not None:
            lines = self.find_lines()
            return int(lines[row - 1]) if row <= len(lines) else None
        return None if self.header_lines is None else row + self.header_lines


def report_name(report_id: str) -> str:
    """Return what problems call the FIXML report of an id."""
    return f"RptID {escape(report_id, QUOTE_LIMIT)}" if report_id else "a report without RptID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader made of one source.

    Attributes:
        locator: Locates the table's rows in the source.
        table: The rows; None if the source is refused as a whole.
        problems: What is wrong with the source.
        occ_reports: `tables.OCC_REPORTS`, if it says more of its notices.
    """

    locator: RowLocator
    table: pa.Table = None
    problems: Problems = NO_PROBLEMS
    occ_reports: pa.Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Notices, positions or OCC's own figures as received.

    Attributes:
        table: `tables.NOTICES`, `tables.POSITIONS` or `tables.OCC_POSITIONS`; rows with a problem
            hold placeholders.
        sources: The files or payloads that were read.
        locators: One for each part of the table.
        starts: The index of each part's first row.
        problems: What is wrong with them.
        occ_reports: `tables.OCC_REPORTS`, row by row what else OCC says of the notices; None
            if it says nothing.
        whole: What was received, if some of its rows do not count (P8).
        rows: int64[n], the index in it of each row of the table.
    """

    table: pa.Table
    sources: tuple[SourceFile, ...]
    locators: tuple[RowLocator, ...]
    starts: tuple[int, ...] = (0,)
    problems: Problems = NO_PROBLEMS
    occ_reports: pa.Table | None = None
    whole: Received | None = None
    rows: npt.NDArray[np.int64] | None = None

    @property
    def locator(self) -> RowLocator:
        """Locates problems of the source as a whole."""
        return self.locators[0]

    def with_occ_reports(self) -> pa.Table:
        """Return the table with what else OCC says of the notices as further columns."""
        table = self.table
        if self.occ_reports is not None:
            for name in self.occ_reports.column_names:
                if name not in table.column_names:
                    table = table.append_column(name, self.occ_reports.column(name))
        return table

    def locate(self, index: int) -> tuple[RowLocator, int]:
        """Return the locator of a row of the table, and the row's index there."""
        if self.rows is not None:
            index = int(self.rows[index])
        part = bisect_right(self.starts, index) - 1
        return self.locators[part], index - self.starts[part]

    def row_problem(
        self, index: int, message: str, *, column: str | None = None, rule: str | None = None
    ) -> Problem:
        """Return a problem of a row of the table."""
        locator, row_index = self.locate(index)
        return locator.row_problem(row_index, message, column=column, rule=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedVolumes:
    """The ask prices as received.

    Attributes:
        asks: The asks, in the order of the source.
        sources: The file or payload that was read.
        locator: Locates the asks in the source.
        problems: What is wrong with them.
    """

    asks: tuple[ExchangeAsk, ...]
    sources: tuple[SourceFile, ...]
    locator: RowLocator
    problems: Problems = NO_PROBLEMS
