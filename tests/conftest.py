"""What every test starts from: compiled loops, and files that are in memory and not synced.

A test's ledger is a real one, but for what would let it survive a power cut, which takes half of
the time of a small run. `tests/tlog/test_durable.py` tests that files are synced, and the processes
that `tests/faults` kills do sync them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lottery import operations

MEASURED = frozenset({"day", "ledger", "method", "tlog", "property", "operations"})
"""The rooms whose tests take every branch of those that coverage is measured of."""
WITHOUT_PANDAS = Path(__file__).parent / "without_pandas"
"""A folder whose pandas cannot be imported."""
MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own in it.
MEMORY_NEEDED = 6 << 30
"""Bytes that the tests' files may take, and be in memory as long as the tests run."""


def pytest_configure() -> None:
    """Have temporary files in memory where there is room, and no law fail for a slow machine.

    Python keeps the bytecode of modules: where the environment forbids it, each worker and each of
    the hundreds of processes that tests start would compile all of them again.
    """
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # It is asked for again: what was found before is kept here.
    settings.register_profile(
        "lottery", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )  # A test that hangs ends by pytest's timeout.
    settings.load_profile("lottery")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests wait for processes and servers."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have slow tests first, so that no worker ends alone, and measure coverage where it counts.

    A test takes half as long again if it is measured. Slow tests do many times what others do once,
    or do it in processes of their own; those of other rooms take no branch that is left to them.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        if room not in MEASURED or item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True, scope="session")
def compiled_loops() -> None:
    """Compile every loop, as over many rows; in a process of its own it need not be.

    One worker compiles, and the others wait for the code that it keeps.
    """
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        operations.warm_up()  # A test that listens then hears nothing of compiling.


@pytest.fixture(autouse=True, scope="session")
def processes_without_pandas() -> Iterator[None]:
    """Have pandas in no process that a test starts, as where the package alone is installed.

    pyarrow imports it wherever it is, which takes a quarter of the time in which a command starts.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(WITHOUT_PANDAS), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True, scope="session")
def unsynced_files() -> Iterator[None]:
    """Replace `os.fsync`, which `lottery.durable` alone calls, by a function that does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", not_synced)
        yield


def not_synced(descriptor: int) -> None:
    """Leave the file of a descriptor to the operating system."""
