"""The evidence of a run: its tables as Parquet and its sources as received, each with a digest.

The record, the tables and the sources are all that replay needs. `occ_reports.parquet` exists only
for runs that have such rows. A large table is written as part
files, `allocations/part-0.parquet` and so on, encoded by two threads; every engine reads such a
directory as one table.

Invariants:
- The same tables give the same bytes under one version of the software: the number of part files
  follows from the number of rows alone.
- A file is read once: the bytes that are parsed are those whose digest was compared. Nothing is
  mapped, so that a file that is cut short cannot end the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import pairwise
from operator import and_
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lottery.day.tables import (
    ALLOCATIONS,
    CONTINUED,
    LABEL,
    NOTICES,
    OCC_REPORTS,
    POOLS,
    POSITIONS,
)
from lottery.day.threads import THREADS, in_threads, owned_by_arrow
from lottery.durable import open_file, read_file
from lottery.errors import LedgerDamaged, LedgerUnwritable, quote
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.parquet import needed_bytes
from lottery.intake.sources import SourceFile
from lottery.ledger.draft import RunDraft
from lottery.ledger.ports import Objects
from lottery.ledger.run_record import EvidenceFile, RunRecord

NOTICES_FILE: Final = "notices.parquet"
POSITIONS_FILE: Final = "positions.parquet"
"""The open positions of every pool with notices, as they were given."""
ALLOCATIONS_FILE: Final = "allocations.parquet"
POOLS_FILE: Final = "pools.parquet"
CONTINUED_FILE: Final = "continued.parquet"
POPULATION_FILE: Final = "population.parquet"
"""What the pools of `continued.parquet` were first drawn from, whose digests are there (P6)."""
OCC_REPORTS_FILE: Final = "occ_reports.parquet"
"""Only of runs whose notices came with further statements of OCC."""
RUN_FILE: Final = "run.json"
"""A run's entry, in a bundle and in the output."""
SOURCES: Final = "sources"

TABLES: Final = {
    NOTICES_FILE: NOTICES,
    POSITIONS_FILE: POSITIONS,
    CONTINUED_FILE: CONTINUED,
    POPULATION_FILE: POSITIONS,
    ALLOCATIONS_FILE: ALLOCATIONS,
    POOLS_FILE: POOLS,
    OCC_REPORTS_FILE: OCC_REPORTS,
}
LARGE_TABLE_ROWS: Final = 100_000
"""Minimum number of rows of a table that is written as part files."""
PART_ROWS: Final = 1 << 20
"""Maximum number of rows of a row group, and of a part file as long as there are few."""
MOST_PARTS: Final = 16
"""Maximum number of part files of a table: the record names each, and is small."""

Reader: TypeAlias = Callable[[RunRecord, str, pc.Expression | None], pa.Table]
"""Reads a table of a run's evidence, by its name and which rows; None for all."""


def write_evidence(directory: Path, draft: RunDraft) -> tuple[EvidenceFile, ...]:
    """Write a run's files.

    Args:
        directory: An empty folder.
        draft: The run; its sources are kept if they have content.

    Returns:
        Each file with its digest, sorted by name.

    Raises:
        LedgerUnwritable: A source has changed since it was read.
    """
    tables = {
        NOTICES_FILE: draft.notices,
        POSITIONS_FILE: draft.positions,
        CONTINUED_FILE: draft.continued,
        POPULATION_FILE: draft.population,
        ALLOCATIONS_FILE: draft.day.allocations,
        POOLS_FILE: draft.day.pools,
    }
    if draft.occ_reports is not None:
        tables[OCC_REPORTS_FILE] = sorted_occ_reports(draft.occ_reports)
    files = [file for name, table in tables.items() for file in _files_of(table, name)]
    for folder in {(directory / name).parent for name, _ in files} | {directory / SOURCES}:
        folder.mkdir(exist_ok=True)

    def write(name: str, rows: pa.Table) -> EvidenceFile:
        write_parquet(rows, directory / name)
        return _with_digest(directory, name)

    # Threads are worth their start, and an order of calls that differs, for large tables alone.
    is_large = any(table.num_rows >= LARGE_TABLE_ROWS for table in tables.values())
    written = in_threads(write, files) if is_large else [write(*file) for file in files]
    for source in draft.sources:
        if source.content is not None:
            name = f"{SOURCES}/{source.kept_as}"
            source.write(directory / name)
            kept = _with_digest(directory, name)
            if kept.sha256 != source.sha256:
                raise LedgerUnwritable(f"{quote(source.name)} was changed while it was read")
            written.append(kept)
    return tuple(sorted(written, key=lambda file: file.name))


def write_table(table: pa.Table, directory: Path, name: str) -> Sequence[str]:
    """Write a table as one file, or as part files if it is large.

    Args:
        table: The table.
        directory: The folder.
        name: The file, one of `TABLES`; part files go to a folder of its name without suffix.

    Returns:
        The names of the files, relative to the folder, in the order of their rows.
    """
    files = _files_of(table, name)
    (directory / files[0][0]).parent.mkdir(exist_ok=True)
    in_threads(lambda file, rows: write_parquet(rows, directory / file), files)
    return [file for file, _ in files]


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table as one file, in the form that evidence and output share."""
    labels = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    pq.write_table(
        table,
        path,
        row_group_size=PART_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=labels,
        # Rows are looked up by the pool's labels, never by a range of other values.
        write_statistics=labels,
        column_encoding={
            field.name: "DELTA_BINARY_PACKED"
            for field in table.schema
            if pa.types.is_integer(field.type)
        },
        write_page_checksum=True,
    )


def sorted_notices(notices: pa.Table) -> pa.Table:
    """Return notices sorted by occ_account, series and notice id."""
    return _sorted(notices, ("occ_account", "series", "notice_id"))


def sorted_occ_reports(occ_reports: pa.Table) -> pa.Table:
    """Return OCC's reports of notices sorted by occ_account and notice id."""
    return _sorted(occ_reports, ("occ_account", "notice_id"))


def matching(**values: str | None) -> pc.Expression | None:
    """Return the filter of the rows that have these texts, by column; None selects all rows."""
    matches = [pc.field(name) == value for name, value in values.items() if value is not None]
    return reduce(and_, matches) if matches else None


def read_table(
    directory: Path,
    name: str,
    where: pc.Expression | None = None,
    *,
    memory: MemoryLimit = UNLIMITED,
) -> pa.Table:
    """Read a table of an evidence folder in its schema; its digests are not looked at.

    Args:
        directory: The run's folder.
        name: The table's file, one of `TABLES`.
        where: A filter of rows; tables are sorted by pool, so that a pool's rows are found without
            reading all of them.
        memory: What its rows may take.

    Raises:
        LedgerDamaged: A file is missing, damaged, or has other columns.
        LimitExceeded: Its rows need more memory.
    """
    return _table(name, _contents(directory, name), where, memory)


def check_table(directory: Path, name: str, memory: MemoryLimit) -> None:
    """Refuse a table of an evidence folder that needs more memory, for who reads it otherwise.

    Raises:
        LedgerDamaged: A file is missing or damaged.
        LimitExceeded: Its rows need more memory.
    """
    for _ in _within(memory, name, _contents(directory, name)):
        pass


def read_recorded(
    objects: Objects,
    record: RunRecord,
    name: str,
    where: pc.Expression | None = None,
    *,
    memory: MemoryLimit = UNLIMITED,
) -> pa.Table:
    """Read a table of a recorded run, each file of which has its recorded digest.

    Args:
        objects: The objects that have the evidence.
        record: The run.
        name: The table's file, one of `TABLES`.
        where: A filter of rows, as for `read_table`.
        memory: What its rows may take.

    Raises:
        LedgerDamaged: A file is missing, or is not what was recorded.
        LimitExceeded: Its rows need more memory.
    """
    files = record.files_of(name)
    if not files:
        raise LedgerDamaged(f"the record of run {record.run} has no {name}")
    memory.check(name, sum(file.size for file in files))
    contents = in_threads(partial(_recorded_bytes, objects, record), [(file,) for file in files])
    names = (file.name for file in files)
    return _table(name, zip(names, contents, strict=True), where, memory)


def read_source(objects: Objects, record: RunRecord, role: str) -> SourceFile:
    """Return the one source of a role that a recorded run has kept, as it was received.

    Raises:
        LedgerDamaged: The run has not kept one such source, or it is not what was recorded.
    """
    kept = [
        (source, file)
        for source in record.sources
        for file in record.evidence
        if source.role == role and file.name == f"{SOURCES}/{source.kept_as}"
    ]
    if len(kept) != 1:
        raise LedgerDamaged(f"expected one source {role} of run {record.run}, got {len(kept)}")
    ((source, file),) = kept
    content = _recorded_bytes(objects, record, file)
    return SourceFile.of(role, source.name, Path(file.name).suffix, content)


def what_is_wrong(directory: Path, file: EvidenceFile) -> str | None:
    """Return what a file has instead of its recorded digest and size, or None if it has both."""
    try:
        digest, size = _digest_and_size(directory / file.name)
    except (FileNotFoundError, NotADirectoryError):
        return "the file is missing"
    except OSError as error:
        return error.strerror or str(error)
    if digest != file.sha256:
        return f"sha256 {digest}"
    return None if size == file.size else f"{size} bytes"


def refuse_changed(directory: Path, run: str, file: EvidenceFile) -> None:
    """Refuse an evidence file that is not what was recorded.

    Raises:
        LedgerDamaged: It is missing or was changed.
    """
    wrong = what_is_wrong(directory, file)
    if wrong is not None:
        raise LedgerDamaged(
            f"{run}/{file.name} is not what was recorded: {wrong}; expected sha256 {file.sha256}"
        )


def _files_of(table: pa.Table, name: str) -> Sequence[tuple[str, pa.Table]]:
    """Return a table's files with their rows: one, or the part files of a large table."""
    if table.num_rows < LARGE_TABLE_ROWS:
        return [(name, table)]
    # As few part files as possible, an equal number for each thread, and of nearly equal size.
    part_count = min(-(-table.num_rows // (THREADS * PART_ROWS)) * THREADS, MOST_PARTS)
    cuts = pairwise(table.num_rows * part // part_count for part in range(part_count + 1))
    return [
        (_part_name(name, part), table.slice(first, end - first))
        for part, (first, end) in enumerate(cuts)
    ]


def _part_name(name: str, part: int) -> str:
    return f"{name.removesuffix('.parquet')}/part-{part}.parquet"


def _files_in(directory: Path, name: str) -> Sequence[str]:
    """Return the files of a table that a folder has: one, or all parts in their order.

    Raises:
        LedgerDamaged: A part is missing, or a file is not a part.
    """
    folder = directory / name.removesuffix(".parquet")
    if (directory / name).exists() or not folder.is_dir():
        return [name]
    found = {path.name for path in folder.iterdir()}
    names = [_part_name(name, part) for part in range(len(found))]
    for expected in names:
        if Path(expected).name not in found:
            raise LedgerDamaged(f"{directory.name}/{expected} is missing")
    return names


def _table(
    name: str,
    contents: Iterator[tuple[str, bytes]],
    where: pc.Expression | None,
    memory: MemoryLimit,
) -> pa.Table:
    """Return a table of its files, each with the name that it is called by."""
    parts = [
        (content, shown, TABLES[name], where) for shown, content in _within(memory, name, contents)
    ]
    return pa.concat_tables(in_threads(_parsed, parts))


def _within(
    memory: MemoryLimit, name: str, contents: Iterator[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    """Yield a table's files, as long as what they come to is within the limit.

    Raises:
        LedgerDamaged: A file is damaged, or comes to more than its rows can need.
        LimitExceeded: Together they need more memory.
    """
    needed = 0
    for shown, content in contents:
        try:
            needed += needed_bytes(pa.py_buffer(content))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise LedgerDamaged(f"cannot read {shown}: {error}") from error
        memory.check(name, needed)
        yield shown, content


def _contents(directory: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a table that a folder has, each with its name."""
    for file in _files_in(directory, name):
        shown = f"{directory.name}/{file}"
        try:
            yield shown, read_file(directory / file)
        except FileNotFoundError as error:
            raise LedgerDamaged(f"{shown} is missing") from error
        except OSError as error:
            raise LedgerDamaged(f"cannot read {shown}: {error.strerror}") from error


def _recorded_bytes(objects: Objects, record: RunRecord, file: EvidenceFile) -> bytes:
    name = f"{record.folder}/{file.name}"
    try:
        content = objects.get(name)
    except FileNotFoundError as error:
        raise LedgerDamaged(f"{name} of run {record.run} is missing") from error
    except OSError as error:
        raise LedgerDamaged(f"cannot read {name}: {error.strerror or error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise LedgerDamaged(
            f"{record.run}/{file.name} is not what was recorded: sha256 {digest}; "
            f"expected sha256 {file.sha256}"
        )
    return content


def _parsed(content: bytes, shown: str, schema: pa.Schema, where: pc.Expression | None) -> pa.Table:
    """Parse a file's bytes as a table of a schema.

    Raises:
        LedgerDamaged: They are not one.
    """
    try:
        table = pq.read_table(
            pa.BufferReader(owned_by_arrow(content)),
            filters=where,
            page_checksum_verification=True,
        )
        table.validate(full=True)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LedgerDamaged(f"cannot read {shown}: {error}") from error


def _sorted(table: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    plain = pa.table({name: table.column(name).cast(pa.string()) for name in keys})
    order = plain.append_column("row", pa.array(range(table.num_rows), pa.int64())).sort_by(
        [(name, "ascending") for name in keys]
    )
    taken = table.take(order.column("row"))
    for index, field in enumerate(taken.schema):
        if field.type == LABEL:
            # The dictionary is in the order of the rows too, whatever order it had before.
            texts = taken.column(index).cast(pa.string()).combine_chunks().dictionary_encode()
            taken = taken.set_column(index, field, texts.cast(LABEL))
    return taken.combine_chunks()


def _with_digest(directory: Path, name: str) -> EvidenceFile:
    digest, size = _digest_and_size(directory / name)
    return EvidenceFile(name=name, sha256=digest, size=size)


def _digest_and_size(path: Path) -> tuple[str, int]:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
