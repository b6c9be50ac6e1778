"""The places that a ledger may be in; every test with a `place` runs in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import LedgerSettings
from tests.ledger.contract.places import Place, close_all
from tests.services.fixtures import database_url, faulty_s3, postgres, s3, s3_url

__all__ = ["database_url", "faulty_s3", "postgres", "s3", "s3_url"]

SQLITE, POSTGRESQL, BUCKET = "sqlite-directory", "postgresql-directory", "postgresql-s3"


@pytest.fixture(params=[SQLITE, POSTGRESQL, BUCKET])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return a place that has no ledger yet."""
    ledger, objects = str(tmp_path / "ledger"), None
    if request.param != SQLITE:
        ledger = request.getfixturevalue("database_url")
        objects = str(tmp_path / "objects")
    if request.param == BUCKET:
        objects = request.getfixturevalue("s3_url")
    yield Place(
        settings=LedgerSettings(ledger=ledger, objects=objects, key_file=tmp_path / "signing.key")
    )
    close_all()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    """Return a directory that has no ledger yet."""
    return Place(settings=LedgerSettings(ledger=str(tmp_path / "ledger")))


@pytest.fixture
def ledger(place: Place) -> Ledger:
    """Return a ledger in which nothing is recorded but its charter."""
    return place.init()
