"""Part files: a large table of evidence is several files, and every reader finds one table."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.audit.bundle_reader import opened_bundle
from lottery.audit.replay import Engine, replay
from lottery.errors import LedgerDamaged
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from tests.builders import (
    AAPL,
    FULL,
    META,
    TESTER,
    evidence_in,
    faults_of,
    notice,
    opened,
    record_in,
    request_of,
)
from tests.reference import allocate_day

PARTS = [f"allocations/part-{part}.parquet" for part in range(12)]


@pytest.fixture(autouse=True)
def _two_rows_are_a_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "LARGE_TABLE_ROWS", 2)
    monkeypatch.setattr(evidence, "PART_ROWS", 2)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def record(ledger: Path, tmp_path: Path) -> RunRecord:
    return record_in(ledger, request_of(FULL, tmp_path / "in")).record


@pytest.fixture
def folder(ledger: Path, record: RunRecord) -> Path:
    return evidence_in(ledger, record.run)


def table_of(row_count: int) -> pa.Table:
    rows = pa.array(range(row_count), pa.int64())
    return pa.table({"series": pc.cast(pc.divide(rows, 3), pa.string()), "quantity": rows})


@pytest.mark.parametrize(
    ("row_count", "sizes"),
    [(2, [1, 1]), (3, [1, 2]), (4, [2, 2]), (5, [1, 1, 1, 2]), (23, [1] + [2] * 11)],
)
def test_the_parts_follow_from_the_number_of_rows_alone(
    tmp_path: Path, row_count: int, sizes: list[int]
) -> None:
    names = evidence.write_table(table_of(row_count), tmp_path, "allocations.parquet")

    assert names == PARTS[: len(sizes)]
    parts = [pq.read_table(tmp_path / name) for name in names]
    assert sorted(part.num_rows for part in parts) == sorted(sizes)
    assert pa.concat_tables(parts).equals(table_of(row_count))


@pytest.mark.parametrize("row_count", [0, 1])
def test_a_small_table_is_one_file(tmp_path: Path, row_count: int) -> None:
    names = evidence.write_table(table_of(row_count), tmp_path, "allocations.parquet")

    assert names == ["allocations.parquet"]
    assert pq.read_table(tmp_path / names[0]).equals(table_of(row_count))


def test_every_engine_reads_a_folder_of_parts(tmp_path: Path) -> None:
    evidence.write_table(table_of(15), tmp_path, "allocations.parquet")
    parts = tmp_path / "allocations" / "part-*.parquet"

    expected = table_of(15).to_pylist()
    assert pl.read_parquet(parts).to_dicts() == expected
    assert (
        duckdb.read_parquet(str(parts)).order("quantity").to_arrow_table().to_pylist() == expected
    )
    assert pq.read_table(tmp_path / "allocations").sort_by("quantity").to_pylist() == expected


def test_the_record_names_every_part_in_the_order_of_the_rows(
    ledger: Path, record: RunRecord, folder: Path
) -> None:
    expected = allocate_day(FULL.notices, FULL.positions, FULL.asks)
    names = [file.name for file in record.files_of("allocations.parquet")]

    assert len(names) > 2
    assert names == [f"allocations/part-{part}.parquet" for part in range(len(names))]
    assert len(record.files_of("positions.parquet")) > 2
    assert evidence.read_table(folder, "allocations.parquet").to_pylist() == expected.allocations
    there = opened(ledger)
    assert there.read(record, "allocations.parquet").to_pylist() == expected.allocations
    for account in {row["account"] for row in expected.allocations}:
        rows = there.read(record, "allocations.parquet", pc.field("account") == account)
        assert rows.to_pylist() == [
            row for row in expected.allocations if row["account"] == account
        ]


@pytest.mark.parametrize("engine", Engine)
def test_a_run_with_part_files_replays_and_verifies(
    ledger: Path, record: RunRecord, folder: Path, engine: Engine
) -> None:
    assert replay(record, folder, engine=engine).mismatches == ()
    assert faults_of(ledger) == []


def test_a_continued_draw_replays_from_part_files(ledger: Path, tmp_path: Path) -> None:
    record_in(ledger, request_of(FULL, tmp_path / "one"))
    late = replace(FULL, notices=[notice("L1", AAPL, 5, "C"), notice("L2", META, 2, "C")])
    record = record_in(ledger, request_of(late, tmp_path / "two", cycle=2)).record

    for name in ("continued.parquet", "population.parquet", "positions.parquet"):
        assert len(record.files_of(name)) > 1
    for engine in Engine:
        assert replay(record, evidence_in(ledger, record.run), engine=engine).matched


@pytest.mark.parametrize("engine", Engine)
def test_a_bundle_with_part_files_opens_and_replays(
    ledger: Path, record: RunRecord, tmp_path: Path, engine: Engine
) -> None:
    path = tmp_path / "run.zip"
    with path.open("wb") as file:
        operations.export_run(opened(ledger), record.run, file, TESTER)

    with zipfile.ZipFile(path) as archive:
        assert f"{record.run}/{PARTS[0]}" in archive.namelist()
    with opened_bundle(path, ()) as bundle:
        assert bundle.mismatches == ()
        assert replay(bundle.record, bundle.directory, engine=engine).matched


def _without_a_part(folder: Path) -> None:
    (folder / PARTS[1]).unlink()


def _with_a_part_more(folder: Path) -> None:
    count = len(list((folder / "allocations").iterdir()))
    (folder / f"allocations/part-{count}.parquet").write_bytes((folder / PARTS[0]).read_bytes())


def _with_two_parts_swapped(folder: Path) -> None:
    (folder / PARTS[0]).rename(folder / "swapped")
    (folder / PARTS[1]).rename(folder / PARTS[0])
    (folder / "swapped").rename(folder / PARTS[1])


def _without_the_folder(folder: Path) -> None:
    for path in (folder / "allocations").iterdir():
        path.unlink()
    (folder / "allocations").rmdir()


FOUND: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "missing": (_without_a_part, {PARTS[1]}),
    "extra": (_with_a_part_more, set()),
    "swapped": (_with_two_parts_swapped, set(PARTS[:2])),
    "all missing": (_without_the_folder, set(PARTS[:6])),
}


@pytest.mark.parametrize("damage", FOUND)
def test_a_part_that_is_not_what_was_recorded_is_a_fault(
    ledger: Path, record: RunRecord, folder: Path, damage: str
) -> None:
    change, named = FOUND[damage]
    change(folder)

    faults = {fault.where.partition(f"{record.folder}/")[2] for fault in faults_of(ledger)}
    assert faults >= named
    assert faults
    for engine in Engine:
        mismatches = replay(record, folder, engine=engine).mismatches
        assert {one.where for one in mismatches} >= named
        assert mismatches
    if named:
        with pytest.raises(LedgerDamaged, match=r"is not what was recorded|is missing"):
            opened(ledger).read(record, "allocations.parquet")
    else:  # Only the parts that the record names are read.
        assert opened(ledger).read(record, "allocations.parquet").num_rows > 0


def test_a_file_that_is_not_a_part_is_damage(ledger: Path, folder: Path) -> None:
    (folder / "allocations/README").write_text("nothing")

    with pytest.raises(LedgerDamaged, match=r"allocations/part-[0-9]+\.parquet is missing"):
        evidence.read_table(folder, "allocations.parquet")
    assert len(faults_of(ledger)) == 1
