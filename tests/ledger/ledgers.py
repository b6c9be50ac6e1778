"""What the tests of the ledger share: small days, and looks at a ledger from outside."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from lottery import operations
from lottery.errors import Conflict
from lottery.ledger.entry import as_json
from lottery.stores.sqlite import FILE as DATABASE
from tests import builders
from tests.builders import AAPL, GE, META, PUBLISHED, SmallDay, notice, opened, position
from tests.ledger.contract.places import assert_whole

Run: TypeAlias = Callable[..., operations.RecordedRun]
"""Runs a day into the test's ledger; the named arguments are those of `builders.request_of`."""

META_ONLY = SmallDay(
    notices=[notice("B1", META, 5)], positions=[position(META, "1", 9), position(META, "2", 9)]
)
BROKEN = SmallDay(
    notices=[notice("G1", GE, 25), notice("A1", AAPL, 10)],
    positions=[position(GE, "904", 22), *PUBLISHED.positions],
)
GE_COVERED = SmallDay(notices=[notice("G1", GE, 25)], positions=[position(GE, "904", 30)])


def runs_in(ledger: Path) -> list[str]:
    return [record.run for record in opened(ledger).iterate()]


def folders_in(ledger: Path) -> list[str]:
    return sorted(path.name for path in (ledger / "evidence").glob("*/*"))


def files_in(directory: Path) -> dict[str, str]:
    """Return every file below a directory by its path, with the digest of its bytes."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def trail_of(ledger: Path) -> list[tuple[str, str, str]]:
    """Return type, subject and outcome of the entries that are not of a run, nor the charter."""
    entries = [as_json(entry) for entry in opened(ledger).trail()][1:]
    return [(entry["type"], entry["subject"], entry["outcome"]) for entry in entries]


@contextmanager
def raw(ledger: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(ledger / DATABASE, isolation_level=None, timeout=0.1)) as database:
        yield database


@contextmanager
def conflict(reason: str, run: str = "2024-09-16-001") -> Iterator[None]:
    """Expect a conflict of that reason with that run."""
    with pytest.raises(Conflict) as caught:
        yield
    assert (caught.value.reason, caught.value.run) == (reason, run)
    assert caught.value.details() == {"run": run}


@contextmanager
def unchanged(ledger: Path) -> Iterator[None]:
    """Assert that nothing of a ledger has changed by the end, not one byte of one file."""
    before = files_in(ledger)
    yield
    assert files_in(ledger) == before


def assert_sound(ledger: Path) -> None:
    """Assert that rows, heads and files say the same, that it verifies and every run replays."""
    assert_whole(opened(ledger))
    builders.assert_sound(ledger)
