"""A run's evidence: Parquet files and sources as received, each with its digest.

`notices.parquet`, `allocations.parquet`, `pools.parquet` and `broken_positions.parquet` hold the
run whole: replaying needs nothing else but the record and the sources beside them.
`taken_off.parquet` and `occ_reports.parquet` are there where a run has what they hold.

Invariants:
- The same tables give the same bytes under one version of the software.
- Every file is synced to disk before the run can be recorded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lottery.day.tables import (
    ALLOCATIONS,
    BROKEN_POSITIONS,
    LABEL,
    NOTICES,
    OCC_REPORTS,
    POOLS,
    TAKEN_OFF,
)
from lottery.durable import sync_directory, sync_file
from lottery.errors import LedgerDamaged, LedgerUnwritable
from lottery.ledger.draft import RunDraft
from lottery.ledger.parquet_file import write_parquet_file
from lottery.ledger.run_record import EvidenceFile, RunRecord

NOTICES_FILE: Final = "notices.parquet"
ALLOCATIONS_FILE: Final = "allocations.parquet"
POOLS_FILE: Final = "pools.parquet"
BROKEN_POSITIONS_FILE: Final = "broken_positions.parquet"
TAKEN_OFF_FILE: Final = "taken_off.parquet"
"""Only of runs that took something off gross positions."""
OCC_REPORTS_FILE: Final = "occ_reports.parquet"
"""Only of runs whose notices came with what OCC says besides."""
RUN_FILE: Final = "run.json"
SOURCES: Final = "sources"

TABLES: Final = {
    NOTICES_FILE: NOTICES,
    ALLOCATIONS_FILE: ALLOCATIONS,
    POOLS_FILE: POOLS,
    BROKEN_POSITIONS_FILE: BROKEN_POSITIONS,
    TAKEN_OFF_FILE: TAKEN_OFF,
    OCC_REPORTS_FILE: OCC_REPORTS,
}
_READ_ONLY: Final = 0o444


def write_evidence(directory: Path, draft: RunDraft) -> tuple[EvidenceFile, ...]:
    """Write a run's files and sync them to disk.

    Args:
        directory: An empty folder.
        draft: The run; its sources are kept if they have content.

    Returns:
        Each file with its digest, sorted by name.

    Raises:
        LedgerUnwritable: A source is no longer the one that was read.
    """
    tables = {
        NOTICES_FILE: draft.notices,
        ALLOCATIONS_FILE: draft.day.allocations,
        POOLS_FILE: draft.day.pools,
        BROKEN_POSITIONS_FILE: draft.day.broken_positions,
    }
    if draft.taken_off is not None:
        tables[TAKEN_OFF_FILE] = draft.taken_off
    if draft.occ_reports is not None:
        tables[OCC_REPORTS_FILE] = sorted_occ_reports(draft.occ_reports)
    written = []
    for name, table in tables.items():
        write_parquet(table, directory / name)
        written.append(_seal(directory, name))
    (directory / SOURCES).mkdir()
    for source in draft.sources:
        if source.content is not None:
            name = f"{SOURCES}/{source.kept_as}"
            source.write(directory / name)
            sealed = _seal(directory, name)
            if sealed.sha256 != source.sha256:
                raise LedgerUnwritable(f"{source.name} was changed while it was read")
            written.append(sealed)
    sync_directory(directory / SOURCES)
    return tuple(sorted(written, key=lambda file: file.name))


def write_record(directory: Path, record: RunRecord) -> bytes:
    """Writes `run.json`, the record's canonical bytes, and syncs the folder; returns the bytes."""
    canonical = record.canonical()
    (directory / RUN_FILE).write_bytes(canonical)
    _seal(directory, RUN_FILE)
    sync_directory(directory)
    return canonical


def write_parquet(table: pa.Table, path: Path) -> None:
    """Writes a table in the one form that evidence and output share."""
    labels = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    numbers = {
        field.name: "DELTA_BINARY_PACKED"
        for field in table.schema
        if pa.types.is_integer(field.type)
    }

    def encode(part: pa.Table, group: int, sink: Any) -> None:
        pq.write_table(
            part,
            sink,
            row_group_size=group,
            compression="zstd",
            compression_level=1,
            use_dictionary=labels,
            # Pools are found by their labels; nobody looks for a range of the other values.
            write_statistics=labels,
            column_encoding=numbers,
            write_page_checksum=True,
        )

    write_parquet_file(table, path, encode)


def sorted_notices(notices: pa.Table) -> pa.Table:
    """Notices by occ_account, series and notice id, so that their order changes nothing."""
    return _sorted(notices, ("occ_account", "series", "notice_id"))


def sorted_occ_reports(occ_reports: pa.Table) -> pa.Table:
    """What OCC says of notices besides, by occ_account and notice id."""
    return _sorted(occ_reports, ("occ_account", "notice_id"))


def read_table(directory: Path, name: str, where: pc.Expression | None = None) -> pa.Table:
    """A table of the evidence in its schema.

    Args:
        directory: The run's folder.
        name: The file, one of `TABLES`.
        where: Which rows; files are sorted by pool, so that a pool's rows are found without reading
            all of them.

    Raises:
        LedgerDamaged: The file is missing, damaged or of other columns.
    """
    try:
        table = pq.read_table(
            directory / name, memory_map=True, filters=where, page_checksum_verification=True
        )
        table.validate(full=True)
        return table.select(TABLES[name].names).cast(TABLES[name])
    except FileNotFoundError as error:
        raise LedgerDamaged(f"{directory.name}/{name} is missing") from error
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LedgerDamaged(f"{directory.name}/{name} cannot be read: {error}") from error


def what_is_wrong(directory: Path, file: EvidenceFile) -> str | None:
    """What stands in a file's place, where it is not what its digest and size say; else None."""
    try:
        digest = _sha256(directory / file.name)
        size = (directory / file.name).stat().st_size
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return error.strerror or str(error)
    if digest != file.sha256:
        return f"sha256 {digest}"
    return None if size == file.size else f"{size} bytes"


def refuse_changed(directory: Path, run: str, file: EvidenceFile) -> None:
    """Refuses an evidence file that is not the one that was recorded.

    Raises:
        LedgerDamaged: It is not, and what stands in its place is told.
    """
    wrong = what_is_wrong(directory, file)
    if wrong is not None:
        raise LedgerDamaged(
            f"{run}/{file.name} is not what was recorded: {wrong}; recorded is sha256 {file.sha256}"
        )


def _sorted(table: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    plain = pa.table({name: table.column(name).cast(pa.string()) for name in keys})
    order = plain.append_column("row", pa.array(range(table.num_rows), pa.int64())).sort_by(
        [(name, "ascending") for name in keys]
    )
    taken = table.take(order.column("row"))
    for place, field in enumerate(taken.schema):
        if field.type == LABEL:
            # The dictionary too is in the order of the rows, whatever it was in.
            texts = taken.column(place).cast(pa.string()).combine_chunks().dictionary_encode()
            taken = taken.set_column(place, field, texts.cast(LABEL))
    return taken.combine_chunks()


def _seal(directory: Path, name: str) -> EvidenceFile:
    """Syncs a file, takes its digest and makes it read-only."""
    path = directory / name
    sync_file(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    path.chmod(_READ_ONLY)
    return EvidenceFile(name=name, sha256=digest, size=size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
