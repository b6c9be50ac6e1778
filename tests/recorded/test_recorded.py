"""Recorded days replay for ever: all match, whatever the software has become since."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Charter, canonical
from lottery.operations import proofs
from tests.builders import (
    AAPL,
    GOOGL,
    REQUESTER,
    faults_of,
    opened,
)
from tests.recorded.make import CORRECTED_FOR, RECORDED

RUNS = [
    "2024-09-16-001",
    "2024-09-17-001",
    "2024-09-17-002",
    "2024-09-17-003",
    "2024-09-18-001",
    "2024-09-18-002",
    "2024-09-18-003",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recorded ledger's folder."""
    shutil.copytree(RECORDED, tmp_path / "ledger")
    return tmp_path / "ledger"


@pytest.fixture
def ledger(folder: Path) -> Ledger:
    """A copy of the recorded ledger."""
    return opened(folder)


@pytest.mark.parametrize("engine", list(Engine))
def test_every_recorded_day_replays(ledger: Ledger, engine: Engine) -> None:
    replayed = list(operations.replay_dates(ledger, REQUESTER, engine=engine))

    assert [result.run for result in replayed] == RUNS
    assert [result.mismatches for result in replayed] == [()] * len(RUNS)


def test_the_recorded_ledger_is_verified_by_its_public_key_alone(folder: Path) -> None:
    assert not (folder / "signing.key").exists()
    assert faults_of(folder, keys=[opened(folder).log().key]) == []


def test_the_trail_of_the_recorded_ledger_has_every_charter(ledger: Ledger) -> None:
    charters = [entry for entry in proofs.trail(ledger) if isinstance(entry, Charter)]

    assert charters == list(proofs.trail(ledger))
    assert [(charter.holds_from, charter.method.decisions["zero_hit"]) for charter in charters] == [
        (None, "wrap"),
        (dt.date(2024, 9, 17), "first"),
        (dt.date(2024, 9, 18), "wrap"),
    ]
    digests = {hashlib.sha256(canonical(charter)).hexdigest() for charter in charters}
    assert {record.charter for record in ledger.iterate()} == digests


def test_a_replay_without_the_key_warns_that_the_log_does_not_have_it(ledger: Ledger) -> None:
    warnings: list[str] = []

    replayed = operations.replay_run(
        ledger,
        "latest",
        replace(REQUESTER, warn=warnings.append),
        engine=Engine.COMPILED,
    )

    assert replayed.matched
    (warning,) = warnings
    assert warning.startswith("this replay of 2024-09-18-003 is not in the log: ")
    assert warning.endswith("signing.key cannot be read: No such file or directory")


def test_a_recorded_day_was_superseded_with_its_broken_pool_mended(ledger: Ledger) -> None:
    superseding = ledger.get("2024-09-17-003")

    assert superseding.supersedes == ("2024-09-17-001", "2024-09-17-002")
    assert superseding.reason == CORRECTED_FOR
    assert [ledger.described(ledger.get(run)).superseded_by for run in superseding.supersedes] == [
        superseding.run
    ] * 2
    assert superseding.break_count == 0


def test_the_recorded_cycles_are_one_draw(ledger: Ledger) -> None:
    first, second, third = (ledger.get(f"2024-09-18-00{number}") for number in (1, 2, 3))

    assert (first.rests_on, second.rests_on) == ((), (first.run,))
    assert third.rests_on == (first.run, second.run)
    # 33 contracts from 28 on, and 9 from 61 on.
    assert [
        [row["assigned_quantity"] for row in ledger.read(record, "allocations.parquet").to_pylist()]
        for record in (first, second, third)
    ] == [[3, 30, 0, 3], [1], [4, 0, 5]]
    columns = ("series", "first_run", "assigned_before")
    table = ledger.read(third, "continued.parquet")
    assert list(zip(*(table.column(name).to_pylist() for name in columns), strict=True)) == [
        (AAPL, first.run, 33),
        (GOOGL, first.run, 4),
    ]
    assert [(one.series, one.reason, one.assigned_before) for one in ledger.breaks_of(third)] == [
        (GOOGL, "EXCEEDS_SHORT", 4)
    ]


def test_the_decisions_of_a_recorded_day_are_its_own(ledger: Ledger) -> None:
    record = ledger.get("2024-09-17-001")
    rows = operations.allocations(ledger, record.run).to_pylist()

    assert record.method.decisions["account_order"] == "code-point"
    assert record.method.decisions["zero_hit"] == "first"
    # By code point, "10" stands before "9", and 0.4314 x 10 is 4.
    assert [(row["account"], row["assigned_quantity"]) for row in rows] == [
        ("10", 0),
        ("9", 3),
        ("A10", 1),
        ("A9", 0),
        ("X", 1),
        ("x", 0),
    ]
    (working,) = operations.explain(ledger, record.run, series=GOOGL)
    assert (working.product, working.first_hit) == ("0.8628", 1)


def test_the_broken_pool_of_a_recorded_day_came_again(ledger: Ledger) -> None:
    assert [broken.reason for broken in ledger.breaks_of(ledger.get("2024-09-17-001"))] == [
        "EXCEEDS_SHORT"
    ]
    assert ledger.breaks_of(ledger.get("2024-09-17-002")) == ()
    assert ledger.get("2024-09-17-002").cycle == 2


def test_the_recorded_ledger_is_small() -> None:
    sizes = [path.stat().st_size for path in RECORDED.rglob("*") if path.is_file()]

    assert sum(sizes) < 400_000
