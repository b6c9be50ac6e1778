"""Fixtures of the server's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import LotteryServer
from tests.server.calls import Stubs, called, connected, serving


@pytest.fixture(autouse=True)
def _no_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LOTTERY_"):
            monkeypatch.delenv(name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LotteryServer]:
    """Run a server over an empty ledger."""
    with serving(tmp_path / "ledger") as server:
        yield server


@pytest.fixture
def stubs(server: LotteryServer) -> Iterator[Stubs]:
    """Connect a client to it."""
    with connected(server.port) as stubs:
        yield stubs


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to one server for all calls that record nothing."""
    with called(tmp_path_factory.mktemp("empty") / "ledger") as stubs:
        yield stubs
