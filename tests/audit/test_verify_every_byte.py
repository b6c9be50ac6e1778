"""Flipping any single byte of any file of a small ledger is found, and its file is named.

Every byte of every file is flipped by itself, and the real verification is asked for its first
fault. Which bits are flipped depends on the byte's place alone; short files of text have each of
their bits flipped besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.audit.verify import Trust, verify
from lottery.audit.verify_log import Fault
from lottery.intake import files
from lottery.ledger.commit import KEY_FILE
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE, MIRROR
from tests.builders import AAPL, DATE, FULL, PUBLISHED, record_in, request_of, request_of_files
from tests.fixml import document, position_report, write_fixml_files

EVIDENCE = "evidence/2024-09-16/2024-09-16-001"
PARTS = {
    DATABASE: 8,
    MIRROR: 8,
    CHECKPOINT_FILE: 4,
    KEY_FILE: 1,
    f"{EVIDENCE}/run.json": 4,
    f"{EVIDENCE}/allocations.parquet": 2,
    f"{EVIDENCE}/broken_positions.parquet": 1,
    f"{EVIDENCE}/notices.parquet": 2,
    f"{EVIDENCE}/pools.parquet": 2,
    f"{EVIDENCE}/sources/notices.csv": 1,
    f"{EVIDENCE}/sources/volumes.csv": 1,
}
"""Every file of the ledger, and the parts that it is tested in."""
BY_THE_BIT = {
    CHECKPOINT_FILE,
    KEY_FILE,
    f"{EVIDENCE}/sources/notices.csv",
    f"{EVIDENCE}/sources/volumes.csv",
}
EITHER = "ledger.db and mirror.db"
"""What a difference between the two is called: which one was changed is not for bytes to say."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest ledger there is: the published example, recorded."""
    place = tmp_path_factory.mktemp("bytes")
    record_in(place / "ledger", request_of(PUBLISHED, place / "in"))
    for name in PARTS:
        (place / "ledger" / name).chmod(0o600)
    return place / "ledger"


def first_fault(ledger: Path) -> Fault | None:
    trust = Trust(key_file=ledger / KEY_FILE)
    return next(verify(ledger, trust, lock_seconds=5.0, progress=lambda *_: None), None)


def flips_of(name: str, at: int) -> Iterator[int]:
    """What the byte at a place is flipped by, never nothing: all eight bits come in turn."""
    yield (at * 37 + 11) % 255 + 1
    if name in BY_THE_BIT:
        yield from (1 << bit for bit in range(8))


def test_every_file_of_the_ledger_is_among_those_that_are_flipped(ledger: Path) -> None:
    files = {path.relative_to(ledger).as_posix() for path in ledger.rglob("*") if path.is_file()}

    assert files == set(PARTS)
    assert all((ledger / name).stat().st_size for name in files)
    assert first_fault(ledger) is None


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, parts in PARTS.items() for part in range(parts)]
)
def test_flipping_any_single_byte_of_any_file_is_found_and_its_file_is_named(
    ledger: Path, name: str, part: int
) -> None:
    size, parts = (ledger / name).stat().st_size, PARTS[name]
    descriptor = os.open(ledger / name, os.O_RDWR)
    try:
        for at in range(size * part // parts, size * (part + 1) // parts):
            byte = os.pread(descriptor, 1, at)
            for flip in flips_of(name, at):
                os.pwrite(descriptor, bytes([byte[0] ^ flip]), at)

                fault = first_fault(ledger)

                assert fault is not None, f"byte {at} of {name} flipped by {flip:#04x}"
                either = {EITHER} if name in {DATABASE, MIRROR} else set()
                assert fault.where in {name} | either, (at, flip, fault)
            os.pwrite(descriptor, byte, at)
    finally:
        os.pwrite(descriptor, byte, at)
        os.close(descriptor)
    assert first_fault(ledger) is None, "it is as it was again"


@pytest.fixture(scope="module")
def fixml_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the files that only a run of FIXML has."""
    place = tmp_path_factory.mktemp("fixml")
    request = request_of_files(write_fixml_files(FULL, place / "in"))
    (place / "in" / "occ.xml").write_text(document(position_report("P1", AAPL, 65)))
    occ = files.read_occ_positions(place / "in" / "occ.xml", DATE, request.problems)
    record_in(place / "ledger", replace(request, occ_positions=occ))
    return place / "ledger"


@pytest.mark.parametrize(
    "file", ["occ_reports.parquet", "sources/notices.xml", "sources/occ_positions.xml"]
)
def test_flipping_a_byte_of_what_only_fixml_brings_is_found_and_its_file_is_named(
    fixml_ledger: Path, file: str
) -> None:
    name = f"{EVIDENCE}/{file}"
    path = fixml_ledger / name
    path.chmod(0o600)
    whole = path.read_bytes()
    # They are looked at like every other file: some bytes of each do.
    for at in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])

        fault = first_fault(fixml_ledger)

        assert fault is not None, at
        assert fault.where == name
    path.write_bytes(whole)
    assert first_fault(fixml_ledger) is None
