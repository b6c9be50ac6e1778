"""Files in: the format by the suffix, the digest of the very bytes that are read."""

from __future__ import annotations

import datetime as dt
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from lottery.day.tables import NOTICES, OCC_POSITIONS, OCC_REPORT_COLUMNS, POSITIONS
from lottery.errors import Problems
from lottery.intake.arrow import read_arrow
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    OCC_POSITION_COLUMNS,
    OPTIONAL_COLUMNS,
    POSITION_COLUMNS,
    to_notices,
    to_occ_positions,
    to_positions,
)
from lottery.intake.delimited import read_csv
from lottery.intake.memory import KEPT_ROW_BYTES, TEXT_FACTOR, UNLIMITED, MemoryLimit
from lottery.intake.occ_reports import to_occ_reports
from lottery.intake.parquet import parquet_rows, read_parquet
from lottery.intake.position_filter import read_assigned_positions
from lottery.intake.sources import Place, Received, ReceivedVolumes, SourceFile
from lottery.intake.streamed import StreamedFile
from lottery.intake.volumes import read_volumes_csv, read_volumes_json
from lottery.method.methodology import Security
from lottery.method.seed import ExchangeAsk

FIXML: Final = ".xml"
VOLUMES_BYTES: Final = 1 << 20
"""The largest file of volumes; four rows are a few hundred bytes."""

_Read: TypeAlias = tuple[pa.Table, pa.Table | None]
"""A table, and `tables.OCC_REPORTS` beside notices."""
Blocks: TypeAlias = Callable[[], Iterator[bytes]]
_Reader = Callable[[pa.Buffer, Sequence[str], Place], pa.Table | None]
_READERS: Final[dict[str, _Reader]] = {".csv": read_csv, ".parquet": read_parquet}


def read_notices(
    path: Path,
    problems: Problems,
    *,
    called: str | None = None,
    business_date: dt.date | None = None,
) -> Received:
    """The notices of a CSV, Parquet or FIXML file; what is wrong goes to `problems`.

    Args:
        path: The file.
        problems: Where problems go.
        called: What problems call the file; its base name where nothing is given.
        business_date: The run's date, which FIXML's reports must have and are not read without.
    """
    place = Place(source=called or _name(path), problems=problems)
    if path.suffix.lower() != FIXML:
        return _read_rows(path, "notices", NOTICE_COLUMNS, NOTICES, to_notices, place)
    return _read_fixml(
        path,
        "notices",
        NOTICES,
        lambda blocks: _notices_of_fixml(blocks, business_date, place),
        place,
    )


def read_positions(
    path: Path,
    problems: Problems,
    *,
    called: str | None = None,
    memory: MemoryLimit | None = None,
) -> Received:
    """The positions of a CSV or Parquet file; as `read_notices`.

    Args:
        path: The file.
        problems: Where problems go.
        called: As for `read_notices`.
        memory: What the day may take.

    Raises:
        LimitExceeded: The file would take more.
    """
    place = Place(source=called or _name(path), problems=problems)
    return _read_rows(path, "positions", POSITION_COLUMNS, POSITIONS, to_positions, place, memory)


def read_positions_of(
    notices: Received,
    path: Path,
    problems: Problems,
    *,
    called: str | None = None,
    memory: MemoryLimit | None = None,
) -> Received:
    """The positions of the pools that have notices; a file with problems is read whole.

    As `read_positions`, which gives the rows of the other pools too: they change nothing but what
    is refused, and that they do here as well.

    Args:
        notices: The notices, read before.
        path: The file.
        problems: Where problems go; with one there already the file is read whole.
        called: As for `read_notices`.
        memory: What the day may take.

    Raises:
        LimitExceeded: The file, or its rows of assigned pools, would take more.
    """
    place = Place(source=called or _name(path), problems=Problems())
    is_parquet = path.suffix.lower() == ".parquet"
    mapped = _mapped(path, place) if is_parquet and not problems else None
    if isinstance(mapped, mmap.mmap) and notices.table.num_rows:
        before = _identity(path)
        with ThreadPoolExecutor(1) as beside:
            source = beside.submit(
                SourceFile.of, "positions", _name(path), path.suffix.lower(), memoryview(mapped)
            )
            # Pages that are looked at again come back from the file.
            forget = partial(mapped.madvise, mmap.MADV_DONTNEED)
            check = partial((memory or UNLIMITED).check, place.source)
            assigned = read_assigned_positions(
                pa.py_buffer(mapped), notices.table, forget=forget, check=check
            )
            if assigned is not None and _identity(path) == before:
                place.problems, place.row_numbers = problems, assigned.rows
                return Received(table=assigned.table, sources=(source.result(),), places=(place,))
    return read_positions(path, problems, called=called, memory=memory)


def read_occ_positions(
    path: Path,
    business_date: dt.date,
    problems: Problems,
    *,
    called: str | None = None,
) -> Received:
    """OCC's own figures of the pools, from the reports of a FIXML file; as `read_notices`."""
    place = Place(source=called or _name(path), problems=problems)
    if path.suffix.lower() != FIXML:
        place.refuse(f"OCC's positions are read as {FIXML}, not as {_shown(path.suffix.lower())}")
        return Received(table=OCC_POSITIONS.empty_table(), sources=(), places=(place,))
    return _read_fixml(
        path,
        "occ_positions",
        OCC_POSITIONS,
        lambda blocks: _occ_positions_of_fixml(blocks, business_date, place),
        place,
    )


def read_volumes(
    path: Path,
    securities: Sequence[Security],
    problems: Problems,
    *,
    called: str | None = None,
) -> ReceivedVolumes:
    """The ask prices of a CSV or JSON file; as `read_notices`."""
    place = Place(source=called or _name(path), problems=problems)
    suffix = path.suffix.lower()
    data = _content(path, place)
    if data is None:
        return ReceivedVolumes(asks=(), sources=(), place=place)
    if data.size > VOLUMES_BYTES:
        place.refuse(f"the file has {data.size} bytes; four rows of volumes have a few hundred")
        return ReceivedVolumes(asks=(), sources=(), place=place)
    content = data.to_pybytes()
    source = SourceFile.of("volumes", _name(path), suffix, content)
    return volumes_of_source(source, securities, place)


def volumes_of_source(
    source: SourceFile, securities: Sequence[Security], place: Place
) -> ReceivedVolumes:
    """The ask prices of a file's bytes."""
    content = source.read()
    asks: tuple[ExchangeAsk, ...] = ()
    if source.suffix == ".csv":
        asks = read_volumes_csv(content, securities, place)
    elif source.suffix == ".json":
        asks = read_volumes_json(content, securities, place)
    else:
        place.refuse(f"volumes are read as .csv or .json, not as {_shown(source.suffix)}")
    return ReceivedVolumes(asks=asks, sources=(source,), place=place)


def notices_of_source(
    source: SourceFile, business_date: dt.date, place: Place
) -> tuple[pa.Table, pa.Table | None]:
    """`tables.NOTICES` and `tables.OCC_REPORTS` of a source's bytes as kept in the evidence."""
    content = source.read()
    nothing = NOTICES.empty_table(), None
    if source.suffix == FIXML:
        return _notices_of_fixml(_blocks_of(content), business_date, place) or nothing
    reader = _READERS.get(source.suffix)
    raw = None
    if source.suffix == ".arrows":
        raw = read_arrow(content, NOTICE_COLUMNS, place, (*OPTIONAL_COLUMNS, *OCC_REPORT_COLUMNS))
    elif reader is not None:
        raw = reader(pa.py_buffer(content), NOTICE_COLUMNS, place)
    else:
        place.refuse(f"notices are not kept as {_shown(source.suffix)}")
    if raw is None:
        return nothing
    notices = to_notices(raw, place)
    return notices, to_occ_reports(raw, notices, place)


def occ_positions_of_source(source: SourceFile, business_date: dt.date, place: Place) -> pa.Table:
    """`tables.OCC_POSITIONS` of a source's bytes as kept in the evidence."""
    content = source.read()
    table = None
    if source.suffix == FIXML:
        found = _occ_positions_of_fixml(_blocks_of(content), business_date, place)
        table = None if found is None else found[0]
    elif source.suffix == ".arrows":
        raw = read_arrow(content, OCC_POSITION_COLUMNS, place)
        table = None if raw is None else to_occ_positions(raw, place)
    else:
        place.refuse(f"OCC's positions are not kept as {_shown(source.suffix)}")
    return OCC_POSITIONS.empty_table() if table is None else table


def _blocks_of(content: bytes) -> Blocks:
    return lambda: iter((content,))


def _notices_of_fixml(blocks: Blocks, business_date: dt.date | None, place: Place) -> _Read | None:
    from lottery.intake.fixml import notices  # noqa: PLC0415 - who has no FIXML needs no lxml.

    if business_date is None:
        place.refuse("FIXML is read for a business date, and none is given")
        return None
    return notices.read_notices(blocks, business_date, place)


def _occ_positions_of_fixml(blocks: Blocks, business_date: dt.date, place: Place) -> _Read | None:
    from lottery.intake.fixml import positions  # noqa: PLC0415 - as above.

    table = positions.read_occ_positions(blocks, business_date, place)
    return None if table is None else (table, None)


def _read_fixml(
    path: Path,
    role: str,
    schema: pa.Schema,
    read: Callable[[Blocks], _Read | None],
    place: Place,
) -> Received:
    nothing = Received(table=schema.empty_table(), sources=(), places=(place,))
    if not _is_there(path, place):
        return nothing
    file = StreamedFile(path)
    try:
        found = read(file.blocks)
    except OSError as error:
        place.refuse(f"the file cannot be read: {error.strerror or error}")
        return nothing
    if found is None:
        return nothing
    source = file.source(role, _name(path))
    return Received(table=found[0], sources=(source,), places=(place,), occ_reports=found[1])


def _read_rows(
    path: Path,
    role: str,
    required: Sequence[str],
    schema: pa.Schema,
    convert: Callable[[pa.Table, Place], pa.Table],
    place: Place,
    memory: MemoryLimit | None = None,
) -> Received:
    nothing = Received(table=schema.empty_table(), sources=(), places=(place,))
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        known = [*_READERS, FIXML] if role == "notices" else [*_READERS]
        place.refuse(f"{role} are read as {' or '.join(known)}, not as {_shown(suffix)}")
        return nothing
    data = _content(path, place)
    if data is None:
        return nothing
    (memory or UNLIMITED).check(place.source, _bytes_read_whole(data, suffix))
    before = _identity(path)
    # The digest is taken beside the reading, of the same bytes.
    with ThreadPoolExecutor(1) as beside:
        source = beside.submit(SourceFile.of, role, _name(path), suffix, memoryview(data))
        raw = reader(data, required, place)
        if raw is None:
            return nothing
        received = Received(table=convert(raw, place), sources=(source.result(),), places=(place,))
    if _identity(path) != before:
        place.refuse("the file was changed while it was read")
    return received


def _bytes_read_whole(data: pa.Buffer, suffix: str) -> int:
    """What a file takes that is read whole, by its size or by the rows that it says it has."""
    if suffix != ".parquet":
        return int(data.size) * TEXT_FACTOR
    return parquet_rows(data) * KEPT_ROW_BYTES


def _shown(suffix: str) -> str:
    return repr(suffix) if suffix else "a file without a suffix"


def _name(path: Path) -> str:
    """The file's name as text; bytes that are none are replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_there(path: Path, place: Place) -> bool:
    """Whether there is a file; a problem where there is none."""
    if not path.is_file():
        place.refuse("there is no such file" if not path.exists() else "this is no file")
        return False
    return True


def _content(path: Path, place: Place) -> pa.Buffer | None:
    """The file's bytes, mapped; None and a problem where it cannot be read."""
    mapped = _mapped(path, place)
    return None if mapped is None else pa.py_buffer(mapped)


def _mapped(path: Path, place: Place) -> mmap.mmap | bytes | None:
    """The file mapped, which an empty one cannot be; None and a problem as for `_content`."""
    try:
        if not _is_there(path, place):
            return None
        if path.stat().st_size == 0:
            return b""
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        place.refuse(f"the file cannot be read: {error.strerror or error}")
        return None
