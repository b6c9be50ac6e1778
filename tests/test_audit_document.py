"""docs/AUDIT.md holds what it says: its commands are run as they stand there."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow.csv
import pytest

from lottery import operations
from lottery.ledger import evidence
from lottery.ledger.entry import Activity, Charter, NamedRequest, NextKey
from lottery.ledger.run_record import RunRecord
from tests.builders import (
    DATE,
    FULL,
    TESTER,
    opened,
    record_in,
    request_of,
)
from tests.cli.calls import swap_first_two
from tests.documents import blocks_of, read, run

DOCUMENT = read("AUDIT.md")
OTHER_TOOLS = DOCUMENT.partition("## Checking a bundle with other people's tools")[2]
BLOCKS = blocks_of(OTHER_TOOLS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle of the second run of a ledger of three."""
    folder = tmp_path_factory.mktemp("bundle")
    for day in (16, 17, 18):
        request = request_of(replace(FULL, date=DATE.replace(day=day)), folder / str(day))
        record_in(folder / "ledger", request)
    ledger = opened(folder / "ledger")
    archive = io.BytesIO()
    operations.export_run(ledger, "2024-09-17-001", archive, TESTER)
    with zipfile.ZipFile(archive) as bundled:
        bundled.extractall(folder / "unpacked")
    return folder / "unpacked" / "2024-09-17-001"


def test_the_document_has_a_command_for_each_of_its_claims() -> None:
    assert [block.kind for block in BLOCKS] == ["sh", "sh", "python", "sh", "sh"]


@pytest.mark.parametrize("index", range(5))
def test_a_bundle_passes_the_checks_of_other_peoples_tools(
    bundle: Path, tmp_path: Path, index: int
) -> None:
    block = BLOCKS[index]
    if "openssl" in block.text and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt install openssl")
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)

    done = run(folder, block)

    assert done.returncode == 0, done.stdout
    if block.kind == "python":
        assert done.stdout == "run.json is entry 2 of 3\n"


@pytest.mark.parametrize(
    ("index", "name"),
    [(0, "pools.parquet"), (1, "checkpoint"), (1, "log.vkey"), (2, "run.json")],
)
def test_a_changed_bundle_does_not(bundle: Path, tmp_path: Path, index: int, name: str) -> None:
    block = BLOCKS[index]
    if "openssl" in block.text and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt install openssl")
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    changed = bytearray((folder / name).read_bytes())
    # In the middle of what matters: of a root hash, of a public key, of a record.
    byte = len(changed) // 2 if name != "checkpoint" else changed.index(b"\n\n") - 10
    byte = byte if name != "log.vkey" else len(changed) - 10
    changed[byte] ^= 1
    (folder / name).write_bytes(bytes(changed))

    assert run(folder, block).returncode != 0


def test_what_the_statement_computes_by_hand_is_what_was_recorded(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)

    assert run(folder, BLOCKS[3]).returncode == 0

    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(("account", "occ_account", "series"), "string")
    )
    rows = pyarrow.csv.read_csv(folder / "replayed.csv", convert_options=options).to_pylist()
    recorded = evidence.read_table(folder, evidence.ALLOCATIONS_FILE).to_pylist()
    computed = [row for row in rows if not row["break_reason"]]
    assert [row["assigned_quantity"] for row in computed] == [
        row["assigned_quantity"] for row in recorded
    ]
    assert [row["account"] for row in computed] == [row["account"] for row in recorded]


def test_an_allocation_that_is_not_computed_is_found_by_the_comparison(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    swap_first_two(folder / evidence.ALLOCATIONS_FILE, "assigned_quantity")

    done = run(folder, BLOCKS[4])

    assert done.returncode != 0
    assert "AssertionError" in done.stdout


def test_every_field_of_every_entry_is_described() -> None:
    fields = DOCUMENT.partition("### The entries")[2].partition("### The log")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", fields.replace("run.json", "")))

    kinds = (Charter, RunRecord, NamedRequest, NextKey, Activity)
    assert {name for kind in kinds for name in kind.__dataclass_fields__} <= named
