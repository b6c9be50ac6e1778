"""A ledger of the test's own, and a function that runs days into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lottery import operations
from tests.builders import PUBLISHED, SmallDay, record_in, request_of
from tests.ledger.ledgers import Run


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def run(tmp_path: Path, ledger: Path) -> Run:
    """Return a function that runs a day into the ledger, each one through files of its own."""
    count = 0

    def record(day: SmallDay, **asked: object) -> operations.RecordedRun:
        nonlocal count
        count += 1
        return record_in(ledger, request_of(day, tmp_path / f"in{count}", **asked))  # type: ignore[arg-type]

    return record


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the published day once for all tests that begin with it."""
    directory = tmp_path_factory.mktemp("published")
    record_in(directory / "ledger", request_of(PUBLISHED, directory / "in"))
    return directory / "ledger"


@pytest.fixture
def published(_published: Path, ledger: Path) -> None:
    """Make the ledger one in which the published day is recorded."""
    shutil.copytree(_published, ledger)
