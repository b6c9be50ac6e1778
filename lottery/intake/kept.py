"""Sources that a run has kept in its evidence, read again for its replay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lottery.day.assigned_pools import AssignedPools
from lottery.day.tables import NOTICES, OCC_POSITIONS, OCC_REPORT_COLUMNS
from lottery.errors import quote
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
from lottery.intake.compressed import plain_suffix
from lottery.intake.files import SUFFIXES, read_notice_rows, read_positions
from lottery.intake.fixml_files import FIXML, blocks_of, fixml_notices, fixml_occ_positions
from lottery.intake.mapping import PLAIN, FileMapping
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.occ_reports import to_occ_reports
from lottery.intake.positions import PositionBlocks, ReceivedPositions
from lottery.intake.positions import read_positions as read_positions_of
from lottery.intake.received_file import received_of, refused, text_in
from lottery.intake.sources import Received, RowLocator, SourceFile
from lottery.method.methodology import AccountOrder


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
        read = fixml_notices(blocks_of(source), source.name, business_date, memory)
        return received_of(read, NOTICES, source)
    if source.suffix == ".arrows":
        locator = RowLocator(source=source.name)
        optional = (*OPTIONAL_COLUMNS, *OCC_REPORT_COLUMNS)
        raw = read_kept_arrow(content, NOTICE_COLUMNS, locator, optional, memory)
    elif source.suffix in SUFFIXES:
        text = text_in(content, source.suffix, source.name, memory)
        if isinstance(text, str):
            return refused(source.name, NOTICES, text)
        raw = read_notice_rows(text, source.suffix, source.name, memory, mapping)
    else:
        message = f"notices are not kept as {quote(source.suffix)}"
        return refused(source.name, NOTICES, message)
    if raw.table is None:
        return received_of(raw, NOTICES, source)
    notices = to_notices(raw)
    occ_reports, problems = to_occ_reports(raw, notices.table)
    notices = replace(notices, problems=notices.problems + problems, occ_reports=occ_reports)
    return received_of(notices, NOTICES, source)


def occ_positions_of_source(
    source: SourceFile, business_date: dt.date, memory: MemoryLimit = UNLIMITED
) -> Received:
    """Return `tables.OCC_POSITIONS` of a file kept in the evidence.

    Raises:
        LimitExceeded: The file needs more memory.
    """
    content = source.read()
    if plain_suffix(source.suffix) == FIXML:
        read = fixml_occ_positions(blocks_of(source), source.name, business_date, memory)
    elif source.suffix == ".arrows":
        locator = RowLocator(source=source.name)
        read = read_kept_arrow(content, OCC_POSITION_COLUMNS, locator, OPTIONAL_COLUMNS, memory)
        read = read if read.table is None else to_occ_positions(read)
    else:
        message = f"OCC's positions are not kept as {quote(source.suffix)}"
        return refused(source.name, OCC_POSITIONS, message)
    return received_of(read, OCC_POSITIONS, source)


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
