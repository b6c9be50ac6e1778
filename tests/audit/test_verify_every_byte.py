"""Flipping a single byte of any file of a small ledger is found, and its file is named.

The real verification is run for each flip, and its first fault is compared. Every byte is flipped
in files of text; in the databases every byte of the headers and one byte a page elsewhere; in
Parquet files every byte of their ends and every sixteenth byte elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from lottery.audit.verify import verify
from lottery.audit.verify_log import Fault
from lottery.intake import files
from lottery.ledger.commit import KEY_FILE
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE, MIRROR
from tests.builders import AAPL, DATE, FULL, PUBLISHED, record_in, request_of, request_of_files
from tests.fixml import document, position_report, write_fixml_files

EVIDENCE = "evidence/2024-09-16/2024-09-16-001"
FILES = [
    DATABASE,
    MIRROR,
    CHECKPOINT_FILE,
    KEY_FILE,
    f"{EVIDENCE}/run.json",
    f"{EVIDENCE}/allocations.parquet",
    f"{EVIDENCE}/broken_positions.parquet",
    f"{EVIDENCE}/notices.parquet",
    f"{EVIDENCE}/pools.parquet",
    f"{EVIDENCE}/sources/notices.csv",
    f"{EVIDENCE}/sources/volumes.csv",
]
FIXML_FILES = ["occ_reports.parquet", "sources/notices.xml", "sources/occ_positions.xml"]
EITHER = "ledger.db and mirror.db"
"""How a difference between the two is named: the bytes do not say which one was changed."""
PAGE = 4096
DATABASE_HEADER = 100
PARTS = 4
"""Number of tests of one file, which run side by side."""
PAGE_HEADER = 12
"""Maximum size of a b-tree page's header in bytes (SQLite's file format, 1.6)."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest ledger there is: the published example, recorded."""
    folder = tmp_path_factory.mktemp("bytes")
    record_in(folder / "ledger", request_of(PUBLISHED, folder / "in"))
    return folder / "ledger"


@pytest.fixture(scope="module")
def fixml_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the files that only a run of FIXML has."""
    folder = tmp_path_factory.mktemp("fixml")
    request = request_of_files(write_fixml_files(FULL, folder / "in"))
    (folder / "in" / "occ.xml").write_text(document(position_report("P1", AAPL, 65)))
    occ = files.read_occ_positions(folder / "in" / "occ.xml", DATE)
    record_in(folder / "ledger", replace(request, occ_positions=occ))
    return folder / "ledger"


def first_fault(ledger: Path) -> Fault | None:
    return next(verify(ledger, key_file=ledger / KEY_FILE, lock_seconds=5.0), None)


def offsets_of(name: str, size: int) -> Iterator[int]:
    """Yield the offsets to flip, each once."""
    if name in {DATABASE, MIRROR}:
        yield from range(DATABASE_HEADER)
        for page in range(0, size, PAGE):
            header = page or DATABASE_HEADER
            yield from range(header, header + PAGE_HEADER)
            yield page + 200 + page * 37 // PAGE % (PAGE - 200)
    elif name.endswith(".parquet"):
        yield from sorted({*range(4), *range(4, size - 8, 16), *range(size - 8, size)})
    elif name.endswith(".xml"):
        yield from range(0, size, max(1, size // 50))
    else:
        yield from range(size)


def assert_every_flip_is_found(ledger: Path, name: str, part: int) -> None:
    path = ledger / name
    path.chmod(0o600)
    wanted = {name, EITHER} if name in {DATABASE, MIRROR} else {name}
    descriptor = os.open(path, os.O_RDWR)
    try:
        for offset in islice(offsets_of(name, path.stat().st_size), part, None, PARTS):
            byte = os.pread(descriptor, 1, offset)
            flip = (offset * 37 + 11) % 255 + 1  # Never none: the bits come in turn.
            os.pwrite(descriptor, bytes([byte[0] ^ flip]), offset)

            fault = first_fault(ledger)

            os.pwrite(descriptor, byte, offset)
            assert fault is not None, f"byte {offset} of {name} flipped by {flip:#04x}"
            assert fault.where in wanted, (offset, flip, fault)
    finally:
        os.close(descriptor)
    assert first_fault(ledger) is None, "the file is as it was"


def test_every_file_of_the_ledger_is_among_those_that_are_flipped(ledger: Path) -> None:
    found = [path.relative_to(ledger).as_posix() for path in ledger.rglob("*") if path.is_file()]

    assert sorted(found) == sorted(FILES)
    assert all((ledger / name).stat().st_size for name in found)
    assert first_fault(ledger) is None


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", FILES)
def test_flipping_any_byte_of_any_file_is_found_and_its_file_is_named(
    ledger: Path, name: str, part: int
) -> None:
    assert_every_flip_is_found(ledger, name, part)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", FIXML_FILES)
def test_flipping_a_byte_of_what_only_fixml_brings_is_found_and_its_file_is_named(
    fixml_ledger: Path, name: str, part: int
) -> None:
    assert_every_flip_is_found(fixml_ledger, f"{EVIDENCE}/{name}", part)
