"""Compressed inputs: read as the text in them, recorded as the bytes that came."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lottery.day.assigned_pools import assigned_pools
from lottery.errors import LimitExceeded
from lottery.intake import files
from lottery.intake.kept import notices_of_source
from lottery.intake.memory import PROCESS_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.positions import ReceivedPositions
from lottery.method.methodology import JPMS_2024_09_06
from tests.builders import AAPL, DATE, notice, notices_table
from tests.fixml import assignment, document, position_report

POSITIONS = f"series,account,short_quantity\n{AAPL},1046,30\n{AAPL},1047,30\n".encode()
NOTICES = f"notice_id,series,quantity\nA1,{AAPL},10\n".encode()
FIXML = Path(__file__).parents[2] / "examples" / "2024-09-16" / "notices.xml"


def gzipped(data: bytes) -> bytes:
    """Return a file of gzip, which is the same each time."""
    return gzip.compress(data, mtime=0)


def zstd(data: bytes) -> bytes:
    """Return a file of zstd."""
    compressed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return compressed


FORMATS = [(".gz", gzipped), (".zst", zstd)]
Compress = Callable[[bytes], bytes]


def read_positions(path: Path, memory: MemoryLimit = UNLIMITED) -> ReceivedPositions:
    assigned = assigned_pools(notices_table([notice("A1", AAPL, 10)]))
    return files.read_positions(path, assigned, JPMS_2024_09_06.account_order, memory=memory)


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
def test_positions_are_read_and_their_digest_is_of_what_came(
    suffix: str, compress: Compress, tmp_path: Path
) -> None:
    path = tmp_path / f"Positions.2024.CSV{suffix}"
    path.write_bytes(compress(POSITIONS))

    read = read_positions(path)

    assert not read.problems
    assert read.table().column("short_quantity").to_pylist() == [30, 30]
    (source,) = read.sources
    assert source.sha256 == hashlib.sha256(compress(POSITIONS)).hexdigest()
    assert (source.size, source.suffix) == (len(compress(POSITIONS)), f".csv{suffix}")


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
def test_notices_and_their_replay_are_the_same(
    suffix: str, compress: Compress, tmp_path: Path
) -> None:
    path = tmp_path / f"notices.csv{suffix}"
    path.write_bytes(compress(NOTICES))

    read = files.read_notices(path)
    (source,) = read.sources

    assert source.kept_as == f"notices.csv{suffix}"
    assert source.read() == compress(NOTICES)
    assert notices_of_source(source, DATE).table == read.table
    assert read.table.num_rows == 1


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
def test_fixml_is_read_in_blocks(suffix: str, compress: Compress, tmp_path: Path) -> None:
    path = tmp_path / f"notices.xml{suffix}"
    path.write_bytes(compress(FIXML.read_bytes()))

    read = files.read_notices(path, business_date=DATE)
    plain = files.read_notices(FIXML, business_date=DATE)

    assert not read.problems
    assert read.table == plain.table
    (source,) = read.sources
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert notices_of_source(source, DATE).table == plain.table


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
@pytest.mark.parametrize("name", ["notices.csv", "notices.xml"])
def test_a_file_that_is_cut_short_is_refused(
    suffix: str, compress: Compress, name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}{suffix}"
    content = FIXML.read_bytes() if name.endswith("xml") else NOTICES
    path.write_bytes(compress(content)[:-5])

    (problem,) = files.read_notices(path, business_date=DATE).problems

    assert "Truncated compressed stream" in problem.message


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
def test_what_it_becomes_is_limited_before_it_has_become_it(
    suffix: str, compress: Compress, tmp_path: Path
) -> None:
    path = tmp_path / f"positions.csv{suffix}"
    path.write_bytes(compress(POSITIONS + b"\n" * (50 << 20)))
    limit = MemoryLimit(limit_bytes=PROCESS_BYTES + (8 << 20))

    assert path.stat().st_size < 100_000
    with pytest.raises(LimitExceeded):
        read_positions(path, memory=limit)
    with pytest.raises(LimitExceeded):
        files.read_notices(path, memory=limit)


@pytest.mark.parametrize(("suffix", "compress"), FORMATS)
def test_the_reports_of_a_file_are_limited_as_the_rows_of_a_table(
    suffix: str, compress: Compress, tmp_path: Path
) -> None:
    reports = 40_000
    path = tmp_path / f"reports.xml{suffix}"
    path.write_bytes(compress(document(assignment("N1", AAPL, 1) * reports).encode()))
    enough = MemoryLimit(limit_bytes=PROCESS_BYTES + 190 * reports)
    too_little = MemoryLimit(limit_bytes=PROCESS_BYTES + 100 * reports)

    read = files.read_notices(path, business_date=DATE, memory=enough)
    assert read.table.num_rows == reports
    with pytest.raises(LimitExceeded, match=r"reports\.xml"):
        files.read_notices(path, business_date=DATE, memory=too_little)

    path.write_bytes(compress(document(position_report("P1", AAPL, 1) * reports).encode()))
    with pytest.raises(LimitExceeded, match=r"reports\.xml"):
        files.read_occ_positions(path, DATE, memory=too_little)


def test_a_last_line_without_an_end_may_be_cut_off_here_too(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv.gz"
    path.write_bytes(gzip.compress(POSITIONS.rstrip(b"\n")))

    (source,) = read_positions(path).sources

    assert source.may_be_cut_off


@pytest.mark.parametrize("name", ["notices.parquet.gz", "notices.gz", "notices.csv.bz2"])
def test_other_compressed_files_are_refused_by_their_suffix(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(NOTICES))

    (problem,) = files.read_notices(path).problems

    assert problem.message.startswith("notices must be a .csv or .parquet or .xml file, got ")
