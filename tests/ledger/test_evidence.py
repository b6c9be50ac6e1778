"""A run's evidence: the same tables give the same bytes, the digests are right, nothing is lost."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.day.tables import ALLOCATIONS
from lottery.errors import LedgerDamaged, LedgerUnwritable, LimitExceeded
from lottery.intake.memory import PROCESS_BYTES, MemoryLimit
from lottery.intake.parquet import needed_bytes
from lottery.ledger import evidence
from lottery.ledger.run_record import EvidenceFile
from tests.apart import run_within
from tests.builders import (
    FULL,
    PUBLISHED,
    SmallDay,
    made,
    request_of,
    request_of_files,
    request_of_wire,
)
from tests.fixml import write_fixml_files
from tests.ledger.ledgers import runs_in
from tests.reference import allocate_day


def written(
    directory: Path, request: operations.RunRequest
) -> tuple[Path, tuple[EvidenceFile, ...]]:
    directory.mkdir(parents=True)
    return directory, evidence.write_evidence(directory, operations.compute_day(request))


SHARED = pa.DictionaryArray.from_arrays(
    pa.array([0] * 100_000, pa.int32()), pa.array(["1" * (1 << 20)])
)
"""The account of 100,000 rows, which share one text: a file of a few kilobytes."""


def test_a_table_that_makes_more_of_itself_than_its_rows_need_is_damaged(tmp_path: Path) -> None:
    rows = pa.nulls(len(SHARED))
    columns = {each.name: rows.cast(each.type) for each in ALLOCATIONS} | {"account": SHARED}
    pq.write_table(pa.table(columns), tmp_path / "allocations.parquet", store_schema=False)
    assert (tmp_path / "allocations.parquet").stat().st_size < 1 << 16

    run_within(600 << 20, refuse_inflated, tmp_path)


def refuse_inflated(directory: Path) -> None:
    with pytest.raises(LedgerDamaged, match="expected at most 119,177,216 bytes for 100,000 rows"):
        evidence.read_table(directory, "allocations.parquet")


def test_a_table_past_the_memory_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    directory, _ = written(tmp_path / "a", request_of(FULL, tmp_path / "in"))
    rows = evidence.read_table(directory, "allocations.parquet").num_rows
    needed = needed_bytes(pa.py_buffer((directory / "allocations.parquet").read_bytes()))
    enough = MemoryLimit(limit_bytes=PROCESS_BYTES + needed)
    too_little = MemoryLimit(limit_bytes=PROCESS_BYTES + needed - 1)

    assert evidence.read_table(directory, "allocations.parquet", memory=enough).num_rows == rows
    for refuse in (evidence.read_table, evidence.check_table):
        with pytest.raises(LimitExceeded, match=r"^allocations\.parquet: the day needs about"):
            refuse(directory, "allocations.parquet", memory=too_little)


def test_the_same_day_gives_the_same_bytes_in_any_order_of_rows(tmp_path: Path) -> None:
    first, files = written(tmp_path / "a", request_of(FULL, tmp_path / "in"))
    second, again = written(tmp_path / "b", request_of(FULL, tmp_path / "in"))
    _, shuffled = written(tmp_path / "c", request_of(FULL.shuffled(7), tmp_path / "other"))
    _, by_wire = written(tmp_path / "d", request_of_wire(FULL, as_arrow=True))

    assert files == again
    for file in files:
        assert (first / file.name).read_bytes() == (second / file.name).read_bytes()
    tables = [file for file in files if file.name in evidence.TABLES]
    for other in (shuffled, by_wire):
        assert [file for file in other if file.name in evidence.TABLES] == tables


def test_a_file_that_is_changed_before_it_is_kept_is_not_recorded(
    tmp_path: Path, ledger: Path
) -> None:
    paths = write_fixml_files(FULL, tmp_path / "in")
    request = request_of_files(paths)
    with paths["notices"].open("a") as file:
        file.write(" ")

    with pytest.raises(LedgerUnwritable, match=r"^'notices\.xml' was changed while it was read"):
        operations.run_lottery(made(ledger), request)
    assert runs_in(ledger) == []


def test_every_file_is_listed_by_name_with_its_digest_and_size(tmp_path: Path) -> None:
    request = request_of(FULL.shuffled(3), tmp_path / "in")

    directory, files = written(tmp_path / "a", request)

    assert [file.name for file in files] == [
        "allocations.parquet",
        "continued.parquet",
        "notices.parquet",
        "pools.parquet",
        "population.parquet",
        "positions.parquet",
        "sources/notices.csv",
        "sources/volumes.csv",
    ]
    for file in files:
        content = (directory / file.name).read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert {path.relative_to(directory).as_posix() for path in directory.rglob("*.*")} == {
        file.name for file in files
    }
    source = (directory / "sources/notices.csv").read_bytes()
    assert source == (tmp_path / "in/notices.csv").read_bytes()
    notices = pq.read_table(directory / "notices.parquet").to_pylist()
    keys = [(row["occ_account"], row["series"], row["notice_id"]) for row in notices]
    assert keys == sorted(keys)
    assert len(keys) == len(FULL.notices)


def test_the_tables_are_those_of_the_reference(tmp_path: Path) -> None:
    directory, _ = written(tmp_path / "a", request_of(FULL, tmp_path / "in"))
    expected = allocate_day(FULL.notices, FULL.positions, FULL.asks)

    assert evidence.read_table(directory, "pools.parquet").to_pylist() == expected.pools
    assert evidence.read_table(directory, "allocations.parquet").to_pylist() == expected.allocations
    # The open positions of every pool with notices, of the break too.
    assigned = {row["series"] for row in FULL.notices}
    positions = evidence.read_table(directory, "positions.parquet").to_pylist()
    assert positions == sorted(
        (
            row
            for row in FULL.positions
            if row["series"] in assigned and row["occ_account"] == "C" and row["short_quantity"]
        ),
        key=lambda row: (str(row["series"]), int(str(row["account"]))),
    )
    one = evidence.read_table(directory, "allocations.parquet", pc.field("account") == "1046")
    assert one.column("account").to_pylist() == ["1046"]


def test_a_day_of_breaks_alone_has_an_empty_table_of_allocations(tmp_path: Path) -> None:
    day = SmallDay(notices=PUBLISHED.notices, positions=FULL.positions[9:10])

    directory, _ = written(tmp_path / "a", request_of(day, tmp_path / "in"))

    allocations = evidence.read_table(directory, "allocations.parquet")
    assert allocations.num_rows == 0
    assert allocations.schema.equals(ALLOCATIONS)


@pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "columns", "types", "folder"])
def test_a_damaged_table_is_reported_by_its_name(tmp_path: Path, damage: str) -> None:
    directory, _ = written(tmp_path / "a", request_of(FULL, tmp_path / "in"))
    path = directory / "pools.parquet"
    content = path.read_bytes()
    table = pq.read_table(path)
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-20])
    elif damage == "garbage":
        path.write_bytes(b"garbage")
    elif damage == "columns":
        pq.write_table(table.drop_columns(["series"]), path)
    elif damage == "types":
        pq.write_table(pa.table({name: ["x"] for name in table.column_names}), path)
    elif damage == "folder":
        path.mkdir()

    reported = (
        "a/pools.parquet is missing" if damage == "missing" else "cannot read a/pools.parquet: "
    )
    with pytest.raises(LedgerDamaged, match=f"^{re.escape(reported)}"):
        evidence.read_table(directory, "pools.parquet")


def test_what_is_wrong_with_a_file_is_what_it_has_instead(tmp_path: Path) -> None:
    directory, files = written(tmp_path / "a", request_of(FULL, tmp_path / "in"))
    assert [evidence.what_is_wrong(directory, file) for file in files] == [None] * len(files)
    for file in files:
        evidence.refuse_changed(directory, "2024-09-16-001", file)
    of = {file.name: file for file in files}

    (directory / "sources/volumes.csv").write_bytes(b"")
    (directory / "pools.parquet").unlink()
    (directory / "notices.parquet").unlink()
    (directory / "notices.parquet").mkdir()
    allocations = of["allocations.parquet"]
    of["allocations.parquet"] = replace(allocations, size=allocations.size + 1)
    of["pools.parquet/below"] = replace(allocations, name="sources/volumes.csv/below")

    wrong = {name: evidence.what_is_wrong(directory, file) for name, file in of.items()}
    assert {name: reported for name, reported in wrong.items() if reported is not None} == {
        "allocations.parquet": f"{allocations.size} bytes",
        "notices.parquet": "Is a directory",
        "pools.parquet": "the file is missing",
        "pools.parquet/below": "the file is missing",
        "sources/volumes.csv": f"sha256 {hashlib.sha256(b'').hexdigest()}",
    }
    with pytest.raises(LedgerDamaged, match=r"^2024-09-16-001/pools\.parquet is not what was rec"):
        evidence.refuse_changed(directory, "2024-09-16-001", of["pools.parquet"])
