"""Fixtures of services: a test module imports those it uses, as `tests/stores/conftest.py` does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import pytest

from tests.services import postgres as postgres_service
from tests.services.postgres import WITHOUT_CERTIFICATES, PostgresServer
from tests.services.s3 import FaultyS3, S3Server

_NUMBERS: Final = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return a PostgreSQL server, one for each of pytest's processes."""
    reason = postgres_service.why_not()
    if reason is not None:
        pytest.skip(reason)
    with (
        pytest.MonkeyPatch.context() as patch,
        PostgresServer(fsync=False) as server,  # Nothing of it has to survive a power cut.
    ):
        patch.setenv(*WITHOUT_CERTIFICATES)
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database of the test's own."""
    name = f"test_{next(_NUMBERS)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Return an S3 server, one for each of pytest's processes."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty prefix, which the environment leads to."""
    return _new_prefix(s3, monkeypatch)


@pytest.fixture(scope="session")
def serial_s3() -> Iterator[S3Server]:
    """Return an S3 server that does one thing at a time, so that its conditions never race."""
    with S3Server(threaded=False) as server:
        yield server


@pytest.fixture
def serial_s3_url(serial_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty prefix of that server, which the environment leads to."""
    return _new_prefix(serial_s3, monkeypatch)


@pytest.fixture
def faulty_s3(s3: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """Return the proxy by which the test's process now comes to the bucket of `s3_url`."""
    assert s3_url.startswith("s3://")
    with FaultyS3(s3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.environment["AWS_ENDPOINT_URL"])
        yield proxy


def _new_prefix(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty prefix, which the environment leads to."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.new_bucket()}/ledger"
