"""A look into the database's file leaves the locks of this process alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lottery.errors import LedgerDamaged
from lottery.stores.held_files import HeldFiles
from lottery.stores.sqlite import SqliteDatabase

WRITES = """
import sys
from pathlib import Path
from lottery.errors import LedgerBusy
from lottery.stores.sqlite import SqliteDatabase
try:
    with SqliteDatabase(Path(sys.argv[1]), lock_seconds=0).writing():
        print("got in")
except LedgerBusy:
    print("waits")
"""


def another_process(path: Path) -> str:
    """Return what becomes of a writer in another process."""
    done = subprocess.run(
        [sys.executable, "-c", WRITES, str(path)], capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_reader_of_this_process_takes_no_lock_from_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    database = SqliteDatabase(path, lock_seconds=5)
    with database.make():
        pass
    before = descriptors()

    with database.writing():
        reader = SqliteDatabase(path, lock_seconds=5)
        thread = threading.Thread(target=reader.exists)
        thread.start()
        thread.join()
        assert another_process(path) == "waits"

    assert another_process(path) == "got in"
    assert descriptors() == before


def test_a_file_that_is_refused_is_held_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"SQLite format 3\0" + b"\x10\0\2\2" + bytes(80))
    before = descriptors()

    with pytest.raises(LedgerDamaged, match="expected a rollback journal"):
        SqliteDatabase(path, lock_seconds=0).exists()

    assert descriptors() == before


def test_a_file_in_the_place_of_another_one_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    held = HeldFiles()
    first, content = held.look(path, 5)
    again, _ = held.look(path, 5)
    path.unlink()
    path.write_bytes(b"other")
    other, replaced = held.look(path, 5)

    assert (content, replaced) == (b"first", b"other")
    assert (first == again, first == other) == (True, False)
    before = descriptors()
    held.release(first)
    assert descriptors() == before
    held.release(again)
    held.release(other)
    assert descriptors() == before - 2
