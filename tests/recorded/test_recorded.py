"""Recorded days replay for ever: all match, whatever the software has become since."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.ledger.commit import Ledger
from lottery.operations import proofs
from tests.builders import AAPL, GOOGL, REQUESTER, faults_of
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
def ledger(tmp_path: Path) -> Ledger:
    """A copy of the recorded ledger."""
    shutil.copytree(RECORDED, tmp_path / "ledger")
    return Ledger.open(tmp_path / "ledger")


@pytest.mark.parametrize("engine", list(Engine))
def test_every_recorded_day_replays(ledger: Ledger, engine: Engine) -> None:
    replayed = list(operations.replay_dates(ledger, REQUESTER, engine=engine))

    assert [result.run for result in replayed] == RUNS
    assert [result.mismatches for result in replayed] == [()] * len(RUNS)


def test_the_recorded_ledger_is_verified_by_its_public_key_alone(ledger: Ledger) -> None:
    keys = proofs.public_keys(ledger)

    assert not ledger.key_file.exists()
    assert faults_of(ledger.directory, keys=[keys.key]) == []
    # Whoever has no public key needs the private one.
    (fault,) = faults_of(ledger.directory)
    assert (fault.where, fault.problem.partition(": ")[2]) == (
        "signing.key",
        "No such file or directory",
    )


def test_the_trail_of_the_recorded_ledger_names_every_run(ledger: Ledger) -> None:
    entries = list(proofs.trail(ledger))

    assert [entry.operation for entry in entries] == ["LEDGER_MADE", *["RUN_RECORDED"] * len(RUNS)]
    assert [entry.subject for entry in entries[1:]] == RUNS


def test_a_replay_without_the_key_warns_that_the_trail_does_not_have_it(ledger: Ledger) -> None:
    warnings: list[str] = []

    replayed = operations.replay_run(
        ledger,
        "latest",
        replace(REQUESTER, warn=warnings.append),
        engine=Engine.COMPILED,
    )

    assert replayed.matched
    (warning,) = warnings
    assert warning.startswith("this RUNS_REPLAYED of 2024-09-18-003 is not in the trail: ")
    assert warning.endswith("signing.key cannot be read: No such file or directory")
    assert faults_of(ledger.directory, keys=[proofs.public_keys(ledger).key]) == []


def test_a_recorded_day_was_superseded_with_its_broken_pool_mended(ledger: Ledger) -> None:
    superseding = ledger.get("2024-09-17-003")

    assert superseding.supersedes == ("2024-09-17-001", "2024-09-17-002")
    assert superseding.reason == CORRECTED_FOR
    assert [ledger.superseded_by(run) for run in superseding.supersedes] == [superseding.run] * 2
    assert superseding.breaks == ()


def test_the_recorded_cycles_have_their_bases(ledger: Ledger) -> None:
    first, net, gross = (ledger.get(f"2024-09-18-00{number}") for number in (1, 2, 3))

    assert (first.positions_basis, net.positions_basis) == (None, "net")
    assert (gross.positions_basis, gross.taken_off) == ("gross", (first.run, net.run))
    table = ledger.read(gross, "taken_off.parquet")
    columns = ("series", "account", "short_quantity", "taken_off_quantity")
    assert list(zip(*(table.column(name).to_pylist() for name in columns), strict=True)) == [
        (AAPL, "1046", 30, 3),
        (AAPL, "1047", 30, 30),
        (GOOGL, "263", 4, 4),
    ]
    assert [(broken.series, broken.reason) for broken in gross.breaks] == [(GOOGL, "NO_POSITION")]


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
    assert [broken.reason for broken in ledger.get("2024-09-17-001").breaks] == ["EXCEEDS_SHORT"]
    assert ledger.get("2024-09-17-002").breaks == ()
    assert ledger.get("2024-09-17-002").cycle == 2


def test_the_recorded_ledger_is_small() -> None:
    sizes = [path.stat().st_size for path in RECORDED.rglob("*") if path.is_file()]

    assert sum(sizes) < 400_000
