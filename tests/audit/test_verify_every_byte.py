"""A flipped byte of any file of a small ledger is found, and its file is named.

- What has a form of its own (the record, the checkpoints) refuses every flipped byte by itself, or
  is another value; every byte of the other evidence changes its digest. `tests/tlog/test_keys.py`
  flips every bit of a key file.
- The whole verification, and the name of the file in its first fault, is tested by the first byte,
  the last byte and one in 512; in the databases by every byte of the headers and one a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.audit.verify import Fault, verify
from lottery.errors import CheckpointInvalid, LedgerDamaged
from lottery.intake import files
from lottery.ledger import evidence
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.run_record import read_record
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE, MIRROR
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.note import split_notes
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


def flipped(content: bytes, offset: int) -> bytes:
    """Return the content with a byte changed: the bits come in turn, and are never none."""
    flip = (offset * 37 + 11) % 255 + 1
    return content[:offset] + bytes([content[offset] ^ flip]) + content[offset + 1 :]


def sampled_offsets(name: str, size: int) -> Iterator[int]:
    """Yield the offsets whose flips the whole verification must find."""
    yield size - 1
    if name in {DATABASE, MIRROR}:
        yield from range(DATABASE_HEADER)
        for page in range(0, size, PAGE):
            header = page or DATABASE_HEADER
            yield from range(header, header + PAGE_HEADER)
            yield page + 200 + page * 37 // PAGE % (PAGE - 200)
    else:
        yield from range(0, size, 512)


def assert_flips_are_found(ledger: Path, name: str) -> None:
    path = ledger / name
    path.chmod(0o600)
    content = path.read_bytes()
    wanted = {name, EITHER} if name in {DATABASE, MIRROR} else {name}
    for offset in sampled_offsets(name, len(content)):
        path.write_bytes(flipped(content, offset))

        fault = first_fault(ledger)

        assert fault is not None, f"byte {offset} of {name}"
        assert fault.where in wanted, (offset, fault)
    path.write_bytes(content)
    assert first_fault(ledger) is None, "the file is as it was"


def test_every_file_of_the_ledger_is_among_those_that_are_flipped(ledger: Path) -> None:
    found = [path.relative_to(ledger).as_posix() for path in ledger.rglob("*") if path.is_file()]

    assert sorted(found) == sorted(FILES)
    assert all((ledger / name).stat().st_size for name in found)
    assert first_fault(ledger) is None


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found_and_its_file_is_named(ledger: Path, name: str) -> None:
    assert_flips_are_found(ledger, name)


@pytest.mark.parametrize("name", FIXML_FILES)
def test_a_flipped_byte_of_what_only_fixml_brings_is_found_and_its_file_is_named(
    fixml_ledger: Path, name: str
) -> None:
    assert_flips_are_found(fixml_ledger, f"{EVIDENCE}/{name}")


def test_a_record_with_any_byte_flipped_is_refused_or_another_record(ledger: Path) -> None:
    content = (ledger / EVIDENCE / "run.json").read_bytes()
    record = read_record(content)
    for offset in range(len(content)):
        wrong = flipped(content, offset)
        try:
            other = read_record(wrong)
        except LedgerDamaged:
            continue
        assert other != record
        assert other.canonical() == wrong, offset


def test_the_checkpoint_file_with_any_byte_flipped_is_refused(ledger: Path) -> None:
    content = (ledger / CHECKPOINT_FILE).read_bytes()
    key = Ledger.open(ledger).log().key
    whole = set(split_notes(content))

    def open_changed(wrong: bytes) -> None:
        for note in set(split_notes(wrong)) - whole:
            open_checkpoint(note, [key])

    for offset in range(len(content)):
        with pytest.raises(CheckpointInvalid):
            open_changed(flipped(content, offset))


@pytest.mark.parametrize("kind", ["csv", "FIXML"])
def test_every_byte_of_the_evidence_is_in_its_digest(
    ledger: Path, fixml_ledger: Path, tmp_path: Path, kind: str
) -> None:
    folder = (ledger if kind == "csv" else fixml_ledger) / EVIDENCE
    for file in read_record((folder / "run.json").read_bytes()).evidence:
        content = (folder / file.name).read_bytes()
        copy = tmp_path / file.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(content)
        assert evidence.what_is_wrong(tmp_path, file) is None
        for offset in range(len(content)):
            copy.write_bytes(flipped(content, offset))
            assert evidence.what_is_wrong(tmp_path, file), (file.name, offset)
