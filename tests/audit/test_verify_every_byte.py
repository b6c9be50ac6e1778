"""A flipped byte of any file of a small ledger is found, and its file is named.

Every byte of a small file is flipped, and of a larger one the first, the last and forty between.
`tests/tlog/test_keys.py` flips every bit of a key file. Of the database's file the bytes count that
mean something: they are compared as rows (`test_verify.py`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from lottery import operations
from lottery.intake import files
from lottery.tlog.cosignature import add_cosignature
from lottery.tlog.keys import SignatureType, SigningKey
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    copied,
    faults_of,
    opened,
    record_in,
    request_of_files,
    settings_of,
)
from tests.fixml import document, position_report, write_fixml_files

SMALL = 150
"""Maximum size of a file of which every byte is flipped."""
WITNESS = SigningKey(
    name="witness.example", seed=bytes(range(32)), signature_type=SignatureType.COSIGNATURE
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with every kind of file: of FIXML too, and a head with a cosignature."""
    folder = tmp_path_factory.mktemp("bytes")
    request = request_of_files(write_fixml_files(FULL, folder / "in"))
    (folder / "in" / "occ.xml").write_text(document(position_report("P1", AAPL, 65)))
    occ = files.read_occ_positions(folder / "in" / "occ.xml", DATE)
    record_in(folder / "whole", replace(request, occ_positions=occ))
    ledger = copied(folder / "whole", folder / "ledger")
    note = add_cosignature((ledger / "log/checkpoint").read_bytes(), WITNESS, 1_700_000_000)
    (ledger / "log/witnessed").mkdir()
    for name in ("checkpoint", "witnessed/000000000002"):
        (ledger / "log" / name).write_bytes(note)
    return ledger


def flipped(content: bytes, offset: int) -> bytes:
    """Return the content with a byte changed: the bits come in turn, and are never none."""
    flip = (offset * 37 + 11) % 255 + 1
    return content[:offset] + bytes([content[offset] ^ flip]) + content[offset + 1 :]


def offsets(size: int) -> Iterator[int]:
    yield from range(0, size, 1 if size <= SMALL else max(53, size // 40))
    yield size - 1


def published(ledger: Path) -> list[str]:
    found = [*(ledger / "log").rglob("*"), *(ledger / "evidence").rglob("*")]
    return sorted(path.relative_to(ledger).as_posix() for path in found if path.is_file())


def assert_flips_are_found(ledger: Path, changes: Iterable[Mapping[str, int]]) -> None:
    """Flip a byte of each file of a change at a time, and assert that they are named, no other."""
    keys = [opened(ledger).log().key, WITNESS.verifier]
    for offset_of in changes:
        contents = {name: (ledger / name).read_bytes() for name in offset_of}
        for name, offset in offset_of.items():
            (ledger / name).write_bytes(flipped(contents[name], offset))

        found = {fault.where for fault in faults_of(ledger, keys=keys)}

        # A witness's name that was changed is that of a signer who is not known.
        unknown = {name for name in offset_of if _is_unknown(contents[name], offset_of[name])}
        assert offset_of.keys() <= found or (found == set() and unknown), offset_of
        assert found <= {*offset_of, "the key witness.example"}, offset_of
        for name, content in contents.items():
            (ledger / name).write_bytes(content)
    assert faults_of(ledger, keys=keys) == []


def changes_of(ledger: Path, name: str) -> list[dict[str, int]]:
    """Return the changes that flip a byte of a file."""
    return [{name: offset} for offset in offsets((ledger / name).stat().st_size)]


def _is_unknown(content: bytes, offset: int) -> bool:
    """Return whether a byte is of the name or the id of a witness's key."""
    start = content.index("— witness.example".encode()) if b"witness.example" in content else offset
    return start < offset


def test_a_flipped_byte_of_the_log_is_found_and_its_file_is_named(ledger: Path) -> None:
    names = [name for name in published(ledger) if name.startswith("log/")]
    assert {name.split("/")[1] for name in names} == {"checkpoint", "heads", "tile", "witnessed"}

    # One by one: the files of the log are held against each other.
    assert_flips_are_found(ledger, chain.from_iterable(changes_of(ledger, name) for name in names))


def test_a_flipped_byte_of_the_evidence_is_found_and_its_file_is_named(ledger: Path) -> None:
    names = [name for name in published(ledger) if name.startswith("evidence/")]
    assert {"occ_reports.parquet", "notices.xml", "occ_positions.xml"} <= {
        Path(name).name for name in names
    }

    # Of all files at once: each is held against its own digest.
    at_once = zip_longest(*(changes_of(ledger, name) for name in names), fillvalue={})
    assert_flips_are_found(ledger, (dict(ChainMap(*changes)) for changes in at_once))


def test_every_file_that_is_published_is_one_that_is_flipped(ledger: Path) -> None:
    verification = operations.verify_ledger(settings_of(ledger))

    assert list(verification) == []
    assert verification.tally.files == len(published(ledger))
