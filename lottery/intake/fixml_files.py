"""FIXML files, which are read block by block, as they come and as they are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from lottery.intake.arrival import check_arrival
from lottery.intake.compressed import decompressed_blocks
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.received_file import (
    describe_missing,
    describe_unreadable,
    name_of,
    received_of,
    refused,
)
from lottery.intake.sources import Reading, Received, SourceFile, StreamedFile

FIXML: Final = ".xml"
Blocks: TypeAlias = Callable[[], Iterator[bytes]]
"""Gives a file's text from its start, block by block."""


def read_fixml(
    path: Path,
    source: str,
    role: str,
    schema: pa.Schema,
    read: Callable[[Blocks, str], Reading],
    memory: MemoryLimit,
) -> Received:
    """Read a FIXML file block by block.

    Args:
        path: The file.
        source: What problems name as their source.
        role: Its role.
        schema: The schema of its table.
        read: Reads the blocks.
        memory: What the day may take.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    missing = describe_missing(path)
    if missing is not None:
        return refused(source, schema, missing)
    file = StreamedFile(path)
    try:
        memory.check(source, path.stat().st_size)
        found = read(file.blocks, source)
    except OSError as error:
        return refused(source, schema, describe_unreadable(error))
    received = received_of(found, schema, file.source(role, name_of(path)))
    if not received.sources:  # It was not read to its end, so that its digest is of no use.
        return received
    whole, problems = check_arrival(path, received.sources[0], b"", source)
    return replace(received, sources=(whole,), problems=received.problems + problems)


def fixml_notices(
    blocks: Blocks, source: str, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Reading:
    """Read the notices of a FIXML file's blocks."""
    from lottery.intake.fixml import notices  # noqa: PLC0415 - without FIXML, lxml is not loaded.

    return notices.read_notices(blocks, business_date, source, memory)


def fixml_occ_positions(
    blocks: Blocks, source: str, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Reading:
    """Read OCC's own figures of a FIXML file's blocks."""
    from lottery.intake.fixml import positions  # noqa: PLC0415 - as above.

    return positions.read_occ_positions(blocks, business_date, source, memory)


def blocks_of(source: SourceFile) -> Blocks:
    """Return the blocks of a file kept in the evidence."""
    return lambda: decompressed_blocks(iter((source.read(),)), source.suffix)
