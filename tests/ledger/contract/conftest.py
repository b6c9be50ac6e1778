"""The places that a ledger may be in; every test with a `place` runs in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import LedgerSettings
from tests.ledger.contract.places import Place
from tests.services.fixtures import database_url, faulty_s3, postgres, s3, s3_url

__all__ = ["database_url", "faulty_s3", "postgres", "s3", "s3_url"]

SQLITE, POSTGRESQL, BUCKET = "sqlite-directory", "postgresql-directory", "postgresql-s3"


@pytest.fixture(params=[SQLITE, POSTGRESQL, BUCKET])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a place that has no ledger yet."""
    key_file = tmp_path / "signing.key"
    if request.param == SQLITE:
        settings = LedgerSettings(ledger=str(tmp_path / "ledger"), key_file=key_file)
        return Place(settings=settings)
    objects = str(tmp_path / "objects")
    if request.param == BUCKET:
        objects = request.getfixturevalue("s3_url")
    url = request.getfixturevalue("database_url")
    return Place(settings=LedgerSettings(ledger=url, objects=objects, key_file=key_file))


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    """Return a directory that has no ledger yet."""
    return Place(settings=LedgerSettings(ledger=str(tmp_path / "ledger")))


@pytest.fixture
def ledger(place: Place) -> Ledger:
    """Return a ledger in which nothing is recorded but its charter."""
    return place.init()
