"""What every test of the command line starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.calls import Door, copied, example_arguments, files_of, serving


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's settings or leaves a ledger in the caller's folder."""
    for name in list(os.environ):
        if name.startswith("LOTTERY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _silent_server() -> Iterator[None]:
    """Servers of this process log nowhere; what a served process logs has a test of its own."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the example day; nothing is recorded in it, though its trail grows."""
    door = files_of(tmp_path_factory.mktemp("example") / "ledger")
    assert door(*example_arguments()).exit_code == 4
    return door.ledger


@pytest.fixture(scope="session")
def _example_server(example: Path) -> Iterator[Door]:
    with serving(example) as door:
        yield door


@pytest.fixture(params=["files", "server"])
def reader(request: pytest.FixtureRequest, example: Path) -> Door:
    """Both ways to the example day's ledger."""
    if request.param == "files":
        return files_of(example)
    door: Door = request.getfixturevalue("_example_server")
    return door


@pytest.fixture
def both_readers(example: Path, _example_server: Door) -> tuple[Door, Door]:
    """The files and the server of one and the same ledger."""
    return files_of(example), _example_server


@pytest.fixture(params=["files", "server"])
def tampered(request: pytest.FixtureRequest, example: Path, tmp_path: Path) -> Iterator[Door]:
    """Both ways to a copy of the example day's ledger, to tamper with."""
    ledger = copied(example, tmp_path / "tampered")
    if request.param == "files":
        yield files_of(ledger)
        return
    with serving(ledger) as door:
        yield door


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Door, Door]]:
    """The files of an empty ledger, and a server over another."""
    with serving(tmp_path / "served") as server:
        yield files_of(tmp_path / "local"), server


@pytest.fixture(params=["files", "server"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Both ways to a ledger in which nothing is recorded."""
    if request.param == "files":
        yield files_of(tmp_path / "ledger")
        return
    with serving(tmp_path / "ledger") as served:
        yield served
