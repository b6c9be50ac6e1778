"""Files in: the format by the suffix, the digest of the very bytes that are read."""

from __future__ import annotations

import datetime as dt
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import pyarrow as pa

from lottery.day.assigned_pools import AssignedPools, assigned_pools
from lottery.day.keys import KeyedPositions
from lottery.day.tables import NOTICES, OCC_POSITIONS, OCC_REPORT_COLUMNS
from lottery.errors import Problems, quote
from lottery.intake import volumes as volumes_file
from lottery.intake.arrival import check_arrival
from lottery.intake.arrow import read_kept_arrow
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    OCC_POSITION_COLUMNS,
    OPTIONAL_COLUMNS,
    POSITION_COLUMNS,
    POSITION_OPTIONAL_COLUMNS,
    to_notices,
    to_occ_positions,
)
from lottery.intake.compressed import decompressed, decompressed_blocks, plain_suffix, suffix_of
from lottery.intake.delimited import column_names_of, read_csv
from lottery.intake.dialect import naming_the_mapping
from lottery.intake.mapping import PLAIN, FileMapping
from lottery.intake.memory import (
    CHECKED_ROW_BYTES,
    KEPT_ROW_BYTES,
    TEXT_FACTOR,
    UNLIMITED,
    MemoryLimit,
)
from lottery.intake.occ_reports import to_occ_reports
from lottery.intake.parquet import parquet_blocks, parquet_names, read_parquet
from lottery.intake.positions import PositionBlocks, ReceivedPositions, notices_of_all
from lottery.intake.positions import read_positions as read_positions_of
from lottery.intake.sources import (
    Reading,
    Received,
    ReceivedVolumes,
    RowLocator,
    SourceFile,
    StreamedFile,
)
from lottery.intake.volumes import MAX_BYTES, describe_size, volumes_of_source
from lottery.method.methodology import AccountOrder, Pooling, Security

FIXML: Final = ".xml"
_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zst", ".parquet")

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

_Result = TypeVar("_Result")
_Blocks: TypeAlias = Callable[[], Iterator[bytes]]
_Convert: TypeAlias = Callable[[Reading], Reading]
_READERS: Final = (".csv", ".parquet")
"""The formats of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A file as received, and the text or table in it, which may have been compressed."""

    received: mmap.mmap | bytes
    text: pa.Buffer


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
    source = source or _name(path)
    refusal = _describe_unmapped(path, "notices", mapping)
    if refusal is not None:
        return _refused(source, NOTICES, refusal)
    if plain_suffix(path) != FIXML:
        return _read_rows(path, source, "notices", to_notices, mapping, memory)
    if business_date is None:
        return _refused(source, NOTICES, "a business date is needed to read FIXML")
    read = partial(_fixml_notices, business_date=business_date, memory=memory)
    return _read_fixml(path, source, "notices", NOTICES, read, memory)


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
    locator = RowLocator(source=source or _name(path))
    opened = _describe_unmapped(path, "positions", mapping) or (
        _opened(path, locator.source, memory)
        if suffix_of(path) in _SUFFIXES
        else f"positions must be a {' or '.join(_READERS)} file, got {_suffix(path)}"
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

    received, file, problems = _read_and_digest(path, "positions", opened, locator, read)
    # It may be too large to hold.
    file = replace(file, as_of=received.as_of, content=path if keep else None)
    problems = _with_remedies(received.problems, path) + problems
    return replace(received, sources=(file,), problems=problems)


def _position_blocks(
    path: Path, opened: _Opened, source: str, memory: MemoryLimit, mapping: FileMapping
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
    if suffix_of(path) not in _SUFFIXES:
        return f"expected a {' or '.join([*_READERS, '.json', FIXML])} file, got {_suffix(path)}"
    opened = _opened(path, str(path), memory)
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
    source = source or _name(path)
    if plain_suffix(path) != FIXML:
        message = f"OCC's positions must be a {FIXML} file, got {_suffix(path)}"
        return _refused(source, OCC_POSITIONS, message)
    read = partial(_fixml_occ_positions, business_date=business_date, memory=memory)
    return _read_fixml(path, source, "occ_positions", OCC_POSITIONS, read, memory)


def read_volumes(
    path: Path, securities: Sequence[Security], *, source: str | None = None
) -> ReceivedVolumes:
    """Read the ask prices of a CSV or JSON file."""
    source = source or _name(path)
    mapped = _mapped(path)
    if not isinstance(mapped, str) and len(mapped) <= MAX_BYTES:
        content = bytes(mapped)
        file = SourceFile.of("volumes", _name(path), path.suffix.lower(), content)
        file, problems = check_arrival(path, file, content[-1:], source)
        volumes = volumes_of_source(file, securities, source)
        return replace(volumes, problems=volumes.problems + problems)
    locator = RowLocator(source=source)
    message = mapped if isinstance(mapped, str) else describe_size(len(mapped))
    problems = Problems.of(locator.problem(message))
    return ReceivedVolumes(asks=(), sources=(), locator=locator, problems=problems)


def notices_of_source(
    source: SourceFile,
    business_date: dt.date,
    mapping: FileMapping = PLAIN,
    memory: MemoryLimit = UNLIMITED,
) -> Received:
    """Return `tables.NOTICES` and what else OCC says of them, of a file kept in the evidence.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    content = source.read()
    if plain_suffix(source.suffix) == FIXML:
        read = _fixml_notices(_blocks_of(source), source.name, business_date, memory)
        return _received(read, NOTICES, source)
    if source.suffix == ".arrows":
        locator = RowLocator(source=source.name)
        optional = (*OPTIONAL_COLUMNS, *OCC_REPORT_COLUMNS)
        raw = read_kept_arrow(content, NOTICE_COLUMNS, locator, optional, memory)
    elif source.suffix in _SUFFIXES:
        text = _text(content, source.suffix, source.name, memory)
        if isinstance(text, str):
            return _refused(source.name, NOTICES, text)
        raw = _read_table(text, source.suffix, source.name, memory, mapping)
    else:
        message = f"notices are not kept as {quote(source.suffix)}"
        return _refused(source.name, NOTICES, message)
    if raw.table is None:
        return _received(raw, NOTICES, source)
    notices = to_notices(raw)
    occ_reports, problems = to_occ_reports(raw, notices.table)
    notices = replace(notices, problems=notices.problems + problems, occ_reports=occ_reports)
    return _received(notices, NOTICES, source)


def occ_positions_of_source(
    source: SourceFile, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Received:
    """Return `tables.OCC_POSITIONS` of a file kept in the evidence.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    content = source.read()
    if plain_suffix(source.suffix) == FIXML:
        read = _fixml_occ_positions(_blocks_of(source), source.name, business_date, memory)
    elif source.suffix == ".arrows":
        locator = RowLocator(source=source.name)
        read = read_kept_arrow(content, OCC_POSITION_COLUMNS, locator, OPTIONAL_COLUMNS, memory)
        read = read if read.table is None else to_occ_positions(read)
    else:
        message = f"OCC's positions are not kept as {quote(source.suffix)}"
        return _refused(source.name, OCC_POSITIONS, message)
    return _received(read, OCC_POSITIONS, source)


def positions_of_sources(
    paths: Sequence[Path],
    assigned: AssignedPools,
    order: AccountOrder,
    mapping: FileMapping = PLAIN,
    memory: MemoryLimit = UNLIMITED,
) -> ReceivedPositions:
    """Return the positions of the assigned pools, of what is kept of them in the evidence.

    Args:
        paths: One file, or the messages that arrived, as Arrow IPC streams.
        assigned: The pools.
        order: The choice of R2.
        mapping: What a CSV file is.
        memory: What the day may take.

    Raises:
        OSError: A file cannot be read.
        LimitExceeded: The files need more memory.
    """
    if paths[0].suffix != ".arrows":
        return read_positions(paths[0], assigned, order, mapping=mapping, memory=memory)
    memory.check(paths[0].name, sum(path.stat().st_size for path in paths))
    readings = [
        read_kept_arrow(
            path.read_bytes(),
            POSITION_COLUMNS,
            RowLocator(source=path.name),
            POSITION_OPTIONAL_COLUMNS,
            memory,
        )
        for path in paths
    ]
    blocks = PositionBlocks.of(readings)
    return read_positions_of(blocks, assigned, order, locator=readings[0].locator, memory=memory)


def _fixml_notices(
    blocks: _Blocks, source: str, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Reading:
    from lottery.intake.fixml import notices  # noqa: PLC0415 - without FIXML, lxml is not loaded.

    return notices.read_notices(blocks, business_date, source, memory)


def _fixml_occ_positions(
    blocks: _Blocks, source: str, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Reading:
    from lottery.intake.fixml import positions  # noqa: PLC0415 - as above.

    return positions.read_occ_positions(blocks, business_date, source, memory)


def _read_fixml(
    path: Path,
    source: str,
    role: str,
    schema: pa.Schema,
    read: Callable[[_Blocks, str], Reading],
    memory: MemoryLimit,
) -> Received:
    missing = _describe_missing(path)
    if missing is not None:
        return _refused(source, schema, missing)
    file = StreamedFile(path)
    try:
        memory.check(source, path.stat().st_size)
        found = read(file.blocks, source)
    except OSError as error:
        return _refused(source, schema, _describe_unreadable(error))
    received = _received(found, schema, file.source(role, _name(path)))
    if not received.sources:  # It was not read to its end, so that its digest is of no use.
        return received
    whole, problems = check_arrival(path, received.sources[0], b"", source)
    return replace(received, sources=(whole,), problems=received.problems + problems)


def _blocks_of(source: SourceFile) -> _Blocks:
    return lambda: decompressed_blocks(iter((source.read(),)), source.suffix)


def _read_rows(
    path: Path,
    source: str,
    role: str,
    convert: _Convert,
    mapping: FileMapping,
    memory: MemoryLimit,
) -> Received:
    suffix = suffix_of(path)
    if suffix not in _SUFFIXES:
        known = " or ".join([*_READERS, FIXML])
        return _refused(source, NOTICES, f"{role} must be a {known} file, got {_suffix(path)}")
    opened = _opened(path, source, memory)
    if isinstance(opened, str):
        return _refused(source, NOTICES, opened)

    def read() -> Reading:
        raw = _read_table(opened.text, suffix, source, memory, mapping)
        return raw if raw.table is None else convert(raw)

    found, file, problems = _read_and_digest(path, role, opened, RowLocator(source=source), read)
    file = replace(file, content=(bytes(opened.received),))
    problems = _with_remedies(found.problems, path) + problems
    return _received(replace(found, problems=problems), NOTICES, file)


def _read_table(
    data: pa.Buffer, suffix: str, source: str, memory: MemoryLimit, mapping: FileMapping
) -> Reading:
    """Read the notices of a table that takes no more than the limit."""
    if plain_suffix(suffix) == ".csv":
        return read_csv(data, NOTICE_COLUMNS, source, mapping=mapping, memory=memory)
    return read_parquet(data, NOTICE_COLUMNS, source, memory)


def _read_and_digest(
    path: Path,
    role: str,
    opened: _Opened,
    locator: RowLocator,
    read: Callable[[], _Result],
) -> tuple[_Result, SourceFile, Problems]:
    """Read a mapped file while another thread takes the digest of the same bytes.

    Returns:
        What `read` returns, the source, and a problem if the file was changed meanwhile or is not
        what its checksum says.
    """
    before = _identity(path)
    with ThreadPoolExecutor(1) as other_thread:
        file = other_thread.submit(
            SourceFile.digested, role, _name(path), suffix_of(path), memoryview(opened.received)
        )
        result = read()
        source = file.result()
    if _identity(path) != before:
        changed = locator.problem("the file changed while it was read; run again")
        return result, source, Problems.of(changed)
    # In UTF-16 a line end is two bytes.
    ending = bytes(memoryview(opened.text)[-2:]).strip(b"\x00")[-1:]
    source, problems = check_arrival(path, source, ending, locator.source)
    return result, source, problems


def _received(read: Reading, schema: pa.Schema, file: SourceFile) -> Received:
    is_refused = read.table is None
    return Received(
        table=schema.empty_table() if is_refused else read.table,
        sources=() if is_refused else (file,),
        locators=(read.locator,),
        problems=read.problems,
        occ_reports=read.occ_reports,
    )


def _refused(source: str, schema: pa.Schema, message: str) -> Received:
    locator = RowLocator(source=source)
    problems = Problems.of(locator.problem(message))
    return Received(table=schema.empty_table(), sources=(), locators=(locator,), problems=problems)


def _describe_unmapped(path: Path, role: str, mapping: FileMapping) -> str | None:
    """Return why a mapping cannot be applied to a file, or None if it can be, or there is none."""
    if mapping == PLAIN or plain_suffix(path) == ".csv":
        return None
    return f"the mapping has [{role}], which reads a .csv file, got {_suffix(path)}"


def _with_remedies(problems: Problems, path: Path) -> Problems:
    return naming_the_mapping(problems) if plain_suffix(path) == ".csv" else problems


def _suffix(path: Path) -> str:
    return quote(suffix_of(path)) if path.suffix else "no suffix"


def _name(path: Path) -> str:
    """Return the file's name as text; bytes that are not text are replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what changes if a file is written or replaced; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _describe_missing(path: Path) -> str | None:
    """Return why there is no file at a path, or None if there is one."""
    if path.is_file():
        return None
    return "the path is not a file" if path.exists() else "no such file"


def _describe_unreadable(error: OSError) -> str:
    return f"the file cannot be read: {error.strerror or error}"


def _opened(path: Path, source: str, memory: MemoryLimit) -> _Opened | str:
    """Return the file mapped and as text, or why it cannot be read.

    Raises:
        LimitExceeded: It is compressed, and its text would take more memory.
    """
    received = _mapped(path)
    if isinstance(received, str):
        return received
    text = _text(received, suffix_of(path), source, memory)
    return text if isinstance(text, str) else _Opened(received=received, text=text)


def _text(
    content: bytes | mmap.mmap, suffix: str, source: str, memory: MemoryLimit
) -> pa.Buffer | str:
    return decompressed(
        pa.py_buffer(content), suffix, lambda size: memory.check(source, size * TEXT_FACTOR)
    )


def _mapped(path: Path) -> mmap.mmap | bytes | str:
    """Return the file mapped, no bytes if it is empty, or why it cannot be read."""
    try:
        missing = _describe_missing(path)
        if missing is not None:
            return missing
        if path.stat().st_size == 0:
            return b""
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        return _describe_unreadable(error)
