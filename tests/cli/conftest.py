"""What every test of the command line starts from.

Most tests give their commands to a ledger's files. That a server answers the same is tested in
`test_doors.py` and by the tests that take `both` or `either`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer.main

from tests.cli.calls import Door, copied, example_arguments, files_of, serving


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's settings from every test, and every test's ledger from the caller."""
    for name in list(os.environ):
        if name.startswith("LOTTERY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _silent_server() -> Iterator[None]:
    """Log nowhere in this process; what a served process logs has a test of its own."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Keep what Typer makes of the commands, which takes it longer than most of them take.

    A process makes it once, for its one command.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger with the example day; nothing is recorded in it, though its trail grows."""
    door = files_of(tmp_path_factory.mktemp("example") / "ledger")
    assert door(*example_arguments()).exit_code == 4
    copied(door.ledger, door.ledger.with_name("untouched"))
    return door.ledger


@pytest.fixture(scope="session")
def exported(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the example day's bundle; it is read and never written to."""
    path = tmp_path_factory.mktemp("exported") / "run.zip"
    assert files_of(example)("export", "latest", path).exit_code == 0
    return path


@pytest.fixture
def reader(example: Path) -> Door:
    """Return the files of the example day's ledger, to read from."""
    return files_of(example)


@pytest.fixture(scope="session")
def example_server(example: Path) -> Iterator[Door]:
    """Serve the example day's ledger."""
    with serving(example) as door:
        yield door


@pytest.fixture
def tampered(example: Path, tmp_path: Path) -> Door:
    """Return the files of a copy of the example day's ledger as it was made, to tamper with."""
    return files_of(copied(example.with_name("untouched"), tmp_path / "tampered"))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """Return the files of a ledger in which nothing is recorded."""
    return files_of(tmp_path / "ledger")


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Door, Door]]:
    """Return the files of an empty ledger, and a server over another."""
    with serving(tmp_path / "served") as server:
        yield files_of(tmp_path / "local"), server


@pytest.fixture(params=["files", "server"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    """Return each way to a ledger in which nothing is recorded."""
    if request.param == "files":
        yield files_of(tmp_path / "ledger")
        return
    with serving(tmp_path / "ledger") as served:
        yield served
