"""Recorded days replay for ever: all match, whatever the software has become since."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lottery import operations
from lottery.ledger.store import Ledger
from tests.days import GOOGL
from tests.recorded.make import RECORDED

RUNS = ["2024-09-16-001", "2024-09-17-001", "2024-09-17-002"]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A copy of the recorded ledger."""
    shutil.copytree(RECORDED, tmp_path / "ledger")
    return Ledger.open(tmp_path / "ledger")


def test_every_recorded_day_replays(ledger: Ledger) -> None:
    replayed = list(operations.replay_dates(ledger))

    assert [result.run for result in replayed] == RUNS
    assert [result.mismatches for result in replayed] == [(), (), ()]


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

    assert sum(sizes) < 200_000
