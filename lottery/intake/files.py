"""Files in: the format by the suffix, the digest of the very bytes that are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from lottery.day.tables import NOTICES, POSITIONS
from lottery.errors import Problems
from lottery.intake.arrow import read_arrow
from lottery.intake.columns import (
    NOTICE_COLUMNS,
    POSITION_COLUMNS,
    to_notices,
    to_positions,
)
from lottery.intake.delimited import read_csv
from lottery.intake.parquet import read_parquet
from lottery.intake.received import Place, Received, ReceivedVolumes, SourceFile
from lottery.intake.volumes import read_volumes_csv, read_volumes_json
from lottery.method.methodology import Security
from lottery.method.seed import ExchangeAsk

VOLUMES_BYTES: Final = 1 << 20
"""The largest file of volumes; four rows are a few hundred bytes."""

_Reader = Callable[[pa.Buffer, Sequence[str], Place], pa.Table | None]
_READERS: Final[dict[str, _Reader]] = {".csv": read_csv, ".parquet": read_parquet}


def read_notices(path: Path, problems: Problems) -> Received:
    """The notices of a CSV or Parquet file; what is wrong goes to `problems`."""
    return _read_rows(path, "notices", NOTICE_COLUMNS, NOTICES, to_notices, problems)


def read_positions(path: Path, problems: Problems) -> Received:
    """The positions of a CSV or Parquet file; what is wrong goes to `problems`."""
    return _read_rows(path, "positions", POSITION_COLUMNS, POSITIONS, to_positions, problems)


def read_volumes(path: Path, securities: Sequence[Security], problems: Problems) -> ReceivedVolumes:
    """The ask prices of a CSV or JSON file; what is wrong goes to `problems`."""
    place = Place(source=path.name, problems=problems)
    suffix = path.suffix.lower()
    data = _content(path, place)
    if data is None:
        return ReceivedVolumes(asks=(), sources=(), place=place)
    if data.size > VOLUMES_BYTES:
        place.refuse(f"the file has {data.size} bytes; four rows of volumes have a few hundred")
        return ReceivedVolumes(asks=(), sources=(), place=place)
    content = data.to_pybytes()
    source = SourceFile.of("volumes", path.name, suffix, content)
    return volumes_of_source(source, securities, place)


def volumes_of_source(
    source: SourceFile, securities: Sequence[Security], place: Place
) -> ReceivedVolumes:
    """The ask prices of a file's bytes."""
    content = source.content or b""
    asks: tuple[ExchangeAsk, ...] = ()
    if source.suffix == ".csv":
        asks = read_volumes_csv(content, securities, place)
    elif source.suffix == ".json":
        asks = read_volumes_json(content, securities, place)
    else:
        place.refuse(f"volumes are read as .csv or .json, not as {source.suffix or 'this'!r}")
    return ReceivedVolumes(asks=asks, sources=(source,), place=place)


def notices_of_source(source: SourceFile, place: Place) -> pa.Table:
    """`tables.NOTICES` of a source's bytes as kept in the evidence."""
    content = source.content or b""
    if source.suffix == ".arrows":
        raw = read_arrow(content, NOTICE_COLUMNS, place)
    else:
        raw = _READERS[source.suffix](pa.py_buffer(content), NOTICE_COLUMNS, place)
    return NOTICES.empty_table() if raw is None else to_notices(raw, place)


def _read_rows(
    path: Path,
    role: str,
    required: Sequence[str],
    schema: pa.Schema,
    convert: Callable[[pa.Table, Place], pa.Table],
    problems: Problems,
) -> Received:
    place = Place(source=path.name, problems=problems)
    nothing = Received(table=schema.empty_table(), sources=(), places=(place,))
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        place.refuse(f"{role} are read as {' or '.join(_READERS)}, not as {suffix or 'this'!r}")
        return nothing
    data = _content(path, place)
    if data is None:
        return nothing
    # The digest is taken beside the reading, of the same bytes.
    with ThreadPoolExecutor(1) as beside:
        source = beside.submit(SourceFile.of, role, path.name, suffix, memoryview(data))
        raw = reader(data, required, place)
        if raw is None:
            return nothing
        table = convert(raw, place)
        return Received(table=table, sources=(source.result(),), places=(place,))


def _content(path: Path, place: Place) -> pa.Buffer | None:
    """The file's bytes, mapped; None and a problem where it cannot be read."""
    try:
        if not path.is_file():
            place.refuse("there is no such file" if not path.exists() else "this is no file")
            return None
        if path.stat().st_size == 0:
            return pa.py_buffer(b"")
        with pa.memory_map(str(path)) as mapped:
            return mapped.read_buffer()
    except OSError as error:
        place.refuse(f"the file cannot be read: {error.strerror or error}")
        return None
