"""The positions as they were received, where the charter keeps them (C1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.audit.replay import Engine, replay
from lottery.audit.replay_allocation import compare_allocation, compare_allocation_by_sql
from lottery.audit.replay_inputs import compare_notices, compare_positions, compare_seed
from lottery.errors import LedgerUnwritable, LimitExceeded
from lottery.intake.memory import PROCESS_BYTES, UNLIMITED, MemoryLimit
from lottery.ledger.run_record import RunRecord
from lottery.method.methodology import JPMS_2024_09_06, Pooling, PositionsSource
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    GE,
    POSITION_NAMES,
    REQUESTER,
    SmallDay,
    assert_sound,
    copied,
    csv_text,
    evidence_in,
    made,
    opened,
    position,
    record_in,
    replays_of,
    request_of,
    request_of_wire,
)

KEPT = replace(JPMS_2024_09_06, positions_source=PositionsSource.KEPT)
STEPS = (
    compare_seed,
    compare_notices,
    compare_positions,
    compare_allocation,
    compare_allocation_by_sql,
)
NAMES = {
    ".csv": {"sources/positions.csv"},
    ".parquet": {"sources/positions.parquet"},
    "rows": {"sources/positions-rows.arrows"},
    "arrow": {"sources/positions-arrow.arrows"},
}


def request_by(way: str, day: SmallDay, folder: Path, **given: Any) -> operations.RunRequest:
    """Return the request of a day by files of a format, or by messages."""
    if way.startswith("."):
        return request_of(day, folder, suffix=way, **given)
    return request_of_wire(day, as_arrow=way == "arrow", **given)


def kept_names(record: RunRecord) -> set[str]:
    return {file.name for file in record.evidence if file.name.startswith("sources/positions")}


@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("way", NAMES)
def test_what_was_received_is_kept_and_replay_reads_the_same_of_it(
    way: str, pooling: Pooling, tmp_path: Path
) -> None:
    methodology = replace(KEPT, pool=pooling)
    # An account in two OCC accounts would be refused where a pool is a series.
    day = replace(FULL, positions=FULL.positions[:-1])

    request = request_by(way, day, tmp_path / "in", methodology=methodology)
    record = record_in(tmp_path / "ledger", request).record

    assert kept_names(record) == NAMES[way]
    (source,) = [source for source in record.sources if source.role == "positions"]
    folder = evidence_in(tmp_path / "ledger", record.run)
    content = (folder / "sources" / str(source.kept_as)).read_bytes()
    assert (source.sha256, source.size) == (hashlib.sha256(content).hexdigest(), len(content))
    if way.startswith("."):
        assert content == (tmp_path / "in" / f"positions{way}").read_bytes()
    for engine in Engine:
        assert [found.mismatches for found in replays_of(tmp_path / "ledger", engine)] == [()]
    assert_sound(tmp_path / "ledger")


def test_the_digest_alone_is_recorded_unless_the_charter_says_otherwise(tmp_path: Path) -> None:
    record = record_in(tmp_path / "ledger", request_of(FULL, tmp_path / "in")).record

    (source,) = [source for source in record.sources if source.role == "positions"]
    content = (tmp_path / "in" / "positions.csv").read_bytes()
    assert (source.kept_as, kept_names(record)) == (None, set())
    assert (source.sha256, source.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_file_that_is_kept_is_not_held(tmp_path: Path) -> None:
    request = request_of(FULL, tmp_path / "in", methodology=KEPT)

    (source,) = request.positions.sources
    assert source.content == tmp_path / "in" / "positions.csv"


def test_a_file_that_changes_before_it_is_kept_is_not_recorded(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger", KEPT)
    request = request_of(FULL, tmp_path / "in", methodology=KEPT)
    with (tmp_path / "in" / "positions.csv").open("a") as file:
        file.write(f"{AAPL},9,1,C\n")

    with pytest.raises(LedgerUnwritable, match=r"^'positions\.csv' was changed while it was read"):
        operations.run_lottery(ledger, request)

    assert list(ledger.iterate()) == []


def test_a_bundle_carries_what_was_received_and_replays(tmp_path: Path) -> None:
    record = record_in(
        tmp_path / "ledger", request_of(FULL, tmp_path / "in", methodology=KEPT)
    ).record
    with (tmp_path / "run.zip").open("wb") as file:
        operations.export_run(opened(tmp_path / "ledger"), record.run, file, REQUESTER.by)

    for engine in Engine:
        assert operations.replay_bundle(tmp_path / "run.zip", [], engine=engine).matched


@pytest.mark.parametrize("as_arrow", [True, False])
def test_what_is_kept_is_refused_past_the_memory_limit(*, as_arrow: bool, tmp_path: Path) -> None:
    request = (
        request_of_wire(FULL, as_arrow=True, methodology=KEPT)
        if as_arrow
        else request_of(FULL, tmp_path / "in", methodology=KEPT)
    )
    record = record_in(tmp_path / "ledger", request).record
    folder = tmp_path / "ledger" / record.folder

    for step in STEPS:
        assert list(step(record, folder, UNLIMITED)) == []
        with pytest.raises(LimitExceeded, match="the day needs about"):
            list(step(record, folder, MemoryLimit(limit_bytes=PROCESS_BYTES)))


def recorded(tmp_path: Path) -> tuple[RunRecord, Path]:
    """Return a run whose positions are kept, and a copy of its evidence."""
    record = record_in(
        tmp_path / "ledger", request_of(FULL, tmp_path / "in", methodology=KEPT)
    ).record
    return record, copied(evidence_in(tmp_path / "ledger", record.run), tmp_path / record.run)


def sealed(record: RunRecord, folder: Path) -> RunRecord:
    """Return the record with the digest of the positions as they are now, as a forger would."""
    content = (folder / "sources/positions.csv").read_bytes()
    now: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return replace(
        record,
        sources=tuple(
            replace(source, **now) if source.role == "positions" else source
            for source in record.sources
        ),
        evidence=tuple(
            replace(file, **now) if file.name == "sources/positions.csv" else file
            for file in record.evidence
        ),
    )


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda text: text.replace(b",30,", b",31,", 1), "positions.parquet row 1 short_quantity"),
        (lambda text: text.replace(b",1047,", b",1049,", 1), "positions.parquet row 2 account"),
        (lambda text: text + f"{AAPL},99,1,C\n".encode(), "positions.parquet rows"),
        (lambda text: text + f"{AAPL},x,1,C\n".encode(), "sources positions"),
        (lambda text: text + f"{AAPL},1046,1,C\n".encode(), "sources positions"),
    ],
)
def test_other_positions_than_those_received_are_found(
    engine: Engine, change: Callable[[bytes], bytes], where: str, tmp_path: Path
) -> None:
    record, folder = recorded(tmp_path)
    path = folder / "sources/positions.csv"
    path.write_bytes(change(path.read_bytes()))

    mismatches = replay(sealed(record, folder), folder, engine=engine).mismatches

    assert where in {mismatch.where for mismatch in mismatches}


def test_rows_that_take_no_part_may_be_anything(tmp_path: Path) -> None:
    rows = [*FULL.positions, position("KO    240920C00067500", "not a number", -1, "C")]
    paths = request_of(replace(FULL, positions=rows), tmp_path / "in", methodology=KEPT)
    record = record_in(tmp_path / "ledger", paths).record

    text = (evidence_in(tmp_path / "ledger", record.run) / "sources/positions.csv").read_text()
    assert text == csv_text(rows, POSITION_NAMES)
    assert_sound(tmp_path / "ledger")


def test_a_record_without_the_positions_that_its_charter_keeps_is_found(tmp_path: Path) -> None:
    record, folder = recorded(tmp_path)
    forged = replace(
        record,
        sources=tuple(
            replace(source, kept_as=None) if source.role == "positions" else source
            for source in record.sources
        ),
    )

    (found,) = [
        mismatch
        for mismatch in replay(forged, folder).mismatches
        if mismatch.where == "sources positions"
    ]
    assert (found.recorded, found.computed) == ("False", "True")


def test_late_notices_keep_what_each_cycle_received(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(FULL, tmp_path / "in", methodology=KEPT))
    late = SmallDay(
        date=DATE,
        notices=[{"notice_id": "L1", "series": AAPL, "quantity": 3, "occ_account": "C"}],
        positions=[position(GE, "7", 1, "C")],
    )
    request = request_of(late, tmp_path / "late", cycle=2, methodology=KEPT)
    record = record_in(tmp_path / "ledger", request).record

    assert record.rests_on == ("2024-09-16-001",)
    for engine in Engine:
        assert all(found.matched for found in replays_of(tmp_path / "ledger", engine))
    assert_sound(tmp_path / "ledger")
