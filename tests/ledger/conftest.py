"""A ledger of the test's own, and a function that runs days into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery import operations
from tests.builders import SmallDay, record_in, request_of
from tests.ledger.ledgers import Run


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def run(tmp_path: Path, ledger: Path) -> Run:
    """Runs a day into the ledger; each one through files of its own."""
    count = 0

    def record(day: SmallDay, **asked: object) -> operations.RecordedRun:
        nonlocal count
        count += 1
        return record_in(ledger, request_of(day, tmp_path / f"in{count}", **asked))  # type: ignore[arg-type]

    return record
