"""Files in: the format by the suffix, the digest of the very bytes that are read."""

from __future__ import annotations

import datetime as dt
import mmap
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from lottery.day.assigned_pools import AssignedPools, assigned_pools
from lottery.day.keys import KeyedPositions
from lottery.day.tables import NOTICES, OCC_POSITIONS
from lottery.errors import Problems
from lottery.intake import volumes as volumes_file
from lottery.intake.arrival import check_arrival
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    POSITION_COLUMNS,
    POSITION_OPTIONAL_COLUMNS,
    to_notices,
)
from lottery.intake.compressed import plain_suffix, suffix_of
from lottery.intake.delimited import column_names_of, read_csv
from lottery.intake.dialect import naming_the_mapping
from lottery.intake.fixml_files import FIXML, fixml_notices, fixml_occ_positions, read_fixml
from lottery.intake.mapping import PLAIN, FileMapping
from lottery.intake.memory import CHECKED_ROW_BYTES, KEPT_ROW_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.parquet import parquet_blocks, parquet_names, read_parquet
from lottery.intake.positions import PositionBlocks, ReceivedPositions, notices_of_all
from lottery.intake.positions import read_positions as read_positions_of
from lottery.intake.received_file import (
    OpenedFile,
    mapped_file,
    name_of,
    opened_file,
    read_and_digest,
    received_of,
    refused,
    suffix_text,
)
from lottery.intake.sources import Reading, Received, ReceivedVolumes, RowLocator, SourceFile
from lottery.intake.volumes import MAX_BYTES, describe_size, volumes_of_source
from lottery.method.methodology import AccountOrder, Pooling, Security

SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zst", ".parquet")
"""The suffixes of tables."""

_KNOWN_COLUMNS: Final = tuple(
    dict.fromkeys(
        (
            *NOTICE_COLUMNS,
            *POSITION_COLUMNS,
            *POSITION_OPTIONAL_COLUMNS,
            *volumes_file.REQUIRED,
            *volumes_file.OPTIONAL,
        )
    )
)
"""Every column of notices, positions and volumes."""

_Convert: TypeAlias = Callable[[Reading], Reading]
_READERS: Final = (".csv", ".parquet")
"""The formats of tables."""


def read_notices(
    path: Path,
    *,
    source: str | None = None,
    business_date: dt.date | None = None,
    mapping: FileMapping = PLAIN,
    memory: MemoryLimit = UNLIMITED,
) -> Received:
    """Read the notices of a CSV, Parquet or FIXML file.

    Args:
        path: The file.
        source: What problems name as their source; the file's base name by default.
        business_date: The run's date, which FIXML's reports must have and cannot be read without.
        mapping: What a CSV file is.
        memory: What the day may take.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    source = source or name_of(path)
    refusal = _describe_unmapped(path, "notices", mapping)
    if refusal is not None:
        return refused(source, NOTICES, refusal)
    if plain_suffix(path) != FIXML:
        return _read_rows(path, source, "notices", to_notices, mapping, memory)
    if business_date is None:
        return refused(source, NOTICES, "a business date is needed to read FIXML")
    read = partial(fixml_notices, business_date=business_date, memory=memory)
    return read_fixml(path, source, "notices", NOTICES, read, memory)


def read_positions(  # noqa: PLR0913 - one a term of what is read.
    path: Path,
    assigned: AssignedPools | None,
    order: AccountOrder,
    *,
    pooling: Pooling = Pooling.OCC_ACCOUNT,
    keep: bool = False,
    source: str | None = None,
    memory: MemoryLimit = UNLIMITED,
    adds_up: bool = False,
    mapping: FileMapping = PLAIN,
) -> ReceivedPositions:
    """Read the positions of the assigned pools from a CSV or Parquet file.

    Args:
        path: The file.
        assigned: The pools; None for all pools of the file, so that every row takes part.
        order: The choice of R2.
        pooling: The choice of P3, for all pools of the file.
        keep: Whether the file itself is kept as evidence.
        source: What problems name as their source; the file's base name by default.
        memory: What the day may take.
        adds_up: Whether the contracts of all rows are added up, those of other pools too.
        mapping: What a CSV file is.

    Raises:
        LimitExceeded: The file, or its rows of assigned pools, need more memory.
    """
    locator = RowLocator(source=source or name_of(path))
    opened = _describe_unmapped(path, "positions", mapping) or (
        opened_file(path, locator.source, memory)
        if suffix_of(path) in SUFFIXES
        else f"positions must be a {' or '.join(_READERS)} file, got {suffix_text(path)}"
    )
    if isinstance(opened, str):
        problems = Problems.of(locator.problem(opened))
        return ReceivedPositions(
            assigned=assigned or assigned_pools(NOTICES.empty_table(), pooling),
            positions=KeyedPositions(),
            locator=locator,
            problems=problems,
        )

    def read() -> ReceivedPositions:
        blocks = _position_blocks(path, opened, locator.source, memory, mapping)
        pools = assigned
        if pools is None:
            row_bytes = CHECKED_ROW_BYTES + KEPT_ROW_BYTES
            memory.check(locator.source, sum(blocks.row_counts) * row_bytes)
            pools = assigned_pools(notices_of_all(blocks), pooling)
        return read_positions_of(
            blocks, pools, order, locator=locator, memory=memory, adds_up=adds_up
        )

    received, file, problems = read_and_digest(path, "positions", opened, locator, read)
    # It may be too large to hold.
    file = replace(file, as_of=received.as_of, content=path if keep else None)
    problems = _with_remedies(received.problems, path) + problems
    return replace(received, sources=(file,), problems=problems)


def _position_blocks(
    path: Path, opened: OpenedFile, source: str, memory: MemoryLimit, mapping: FileMapping
) -> PositionBlocks:
    data, mapped = opened.text, opened.received
    if plain_suffix(path) == ".csv":
        raw = read_csv(data, POSITION_COLUMNS, source, POSITION_OPTIONAL_COLUMNS, mapping, memory)
        return PositionBlocks.of([raw])

    def forget() -> None:
        if isinstance(mapped, mmap.mmap):  # Pages that are needed again are read again.
            mapped.madvise(mmap.MADV_DONTNEED)

    return parquet_blocks(data, POSITION_COLUMNS, source, forget, memory)


def column_names(
    path: Path, mapping: FileMapping = PLAIN, memory: MemoryLimit = UNLIMITED
) -> list[str] | str:
    """Return our names of a CSV or Parquet file's columns, or why they cannot be read."""
    if suffix_of(path) not in SUFFIXES:
        return (
            f"expected a {' or '.join([*_READERS, '.json', FIXML])} file, got {suffix_text(path)}"
        )
    opened = opened_file(path, str(path), memory)
    if isinstance(opened, str):
        return opened
    if plain_suffix(path) == ".csv":
        return column_names_of(memoryview(opened.text), _KNOWN_COLUMNS, mapping)
    return parquet_names(opened.text)


def read_occ_positions(
    path: Path,
    business_date: dt.date,
    *,
    source: str | None = None,
    memory: MemoryLimit = UNLIMITED,
) -> Received:
    """Read OCC's own figures of the pools from the reports of a FIXML file.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    source = source or name_of(path)
    if plain_suffix(path) != FIXML:
        message = f"OCC's positions must be a {FIXML} file, got {suffix_text(path)}"
        return refused(source, OCC_POSITIONS, message)
    read = partial(fixml_occ_positions, business_date=business_date, memory=memory)
    return read_fixml(path, source, "occ_positions", OCC_POSITIONS, read, memory)


def read_volumes(
    path: Path, securities: Sequence[Security], *, source: str | None = None
) -> ReceivedVolumes:
    """Read the ask prices of a CSV or JSON file."""
    source = source or name_of(path)
    mapped = mapped_file(path)
    if not isinstance(mapped, str) and len(mapped) <= MAX_BYTES:
        content = bytes(mapped)
        file = SourceFile.of("volumes", name_of(path), path.suffix.lower(), content)
        file, problems = check_arrival(path, file, content[-1:], source)
        volumes = volumes_of_source(file, securities, source)
        return replace(volumes, problems=volumes.problems + problems)
    locator = RowLocator(source=source)
    message = mapped if isinstance(mapped, str) else describe_size(len(mapped))
    problems = Problems.of(locator.problem(message))
    return ReceivedVolumes(asks=(), sources=(), locator=locator, problems=problems)


def _read_rows(
    path: Path,
    source: str,
    role: str,
    convert: _Convert,
    mapping: FileMapping,
    memory: MemoryLimit,
) -> Received:
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        known = " or ".join([*_READERS, FIXML])
        return refused(source, NOTICES, f"{role} must be a {known} file, got {suffix_text(path)}")
    opened = opened_file(path, source, memory)
    if isinstance(opened, str):
        return refused(source, NOTICES, opened)

    def read() -> Reading:
        raw = read_notice_rows(opened.text, suffix, source, memory, mapping)
        return raw if raw.table is None else convert(raw)

    found, file, problems = read_and_digest(path, role, opened, RowLocator(source=source), read)
    file = replace(file, content=(bytes(opened.received),))
    problems = _with_remedies(found.problems, path) + problems
    return received_of(replace(found, problems=problems), NOTICES, file)


def read_notice_rows(
    data: pa.Buffer, suffix: str, source: str, memory: MemoryLimit, mapping: FileMapping
) -> Reading:
    """Read the notices of a table that takes no more than the limit."""
    if plain_suffix(suffix) == ".csv":
        return read_csv(data, NOTICE_COLUMNS, source, mapping=mapping, memory=memory)
    return read_parquet(data, NOTICE_COLUMNS, source, memory)


def _describe_unmapped(path: Path, role: str, mapping: FileMapping) -> str | None:
    """Return why a mapping cannot be applied to a file, or None if it can be, or there is none."""
    if mapping == PLAIN or plain_suffix(path) == ".csv":
        return None
    return f"the mapping has [{role}], which reads a .csv file, got {suffix_text(path)}"


def _with_remedies(problems: Problems, path: Path) -> Problems:
    return naming_the_mapping(problems) if plain_suffix(path) == ".csv" else problems
