"""A disk that is full at each step of a run, and that is full still when the run gives up.

The disk is a file system of its own in memory, of as many pages as a run needs, less one, less two.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from lottery import operations
from tests.apart import run_apart
from tests.builders import FULL, PUBLISHED, faults_of, opened, write_files
from tests.faults import commands, look

PAGE: Final = 4096
PAGES: Final = 1 << 14
TEMPORARY_PAGES: Final = 16
"""Of the journal, which a run needs for a while."""
STEP: Final = 7
"""One in so many sizes is tried, unless all of them are."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system in memory, whose size `resized` changes.

    Raises:
        PermissionError: This process may not.
    """
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={PAGES * PAGE}", "tmpfs", str(folder)]
    done = subprocess.run(["/bin/mount", *options], capture_output=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.decode("utf-8", "replace"))
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


def resized(disk: Path, pages: int) -> None:
    subprocess.run(["/bin/mount", "-o", f"remount,size={pages * PAGE}", str(disk)], check=True)


def used_pages(disk: Path) -> int:
    there = os.statvfs(disk)
    return there.f_blocks - there.f_bfree


def test_a_disk_that_is_full_at_a_step_of_a_run_records_all_or_nothing_and_says_which(
    tmp_path: Path,
) -> None:
    _or_skip(tmp_path, STEP)


@pytest.mark.long
def test_a_disk_may_be_full_at_any_step(tmp_path: Path) -> None:
    _or_skip(tmp_path, 1)


def _or_skip(folder: Path, step: int) -> None:
    try:
        with small_disk(folder / "probe"):
            pass
    except PermissionError as error:
        pytest.skip(f"this process may not mount a file system: {error}")
    run_apart(_fill, folder, step)
    sys.stdout.write((folder / "summary").read_text("utf-8"))


def _fill(folder: Path, step: int) -> None:
    operations.warm_up()
    write_files(FULL, folder / "in")
    write_files(PUBLISHED, folder / "before")
    commands.warm_up(folder)
    before = folder / "ledger"
    assert commands.lottery(folder, before, "init").code == 0
    first = commands.run("2024-09-13", folder / "before")
    assert commands.lottery(folder, before, *first).code == 0
    outcomes: Counter[str] = Counter()
    with small_disk(folder / "disk") as disk:
        shutil.copytree(before, disk / "ledger")
        held = used_pages(disk)
        assert commands.lottery(folder, disk / "ledger", *_command(folder)).code == commands.BREAKS
        needed = used_pages(disk) - held + TEMPORARY_PAGES
        for free in range(0, needed + 1, step):
            outcomes[_outcome(folder, before, disk, free)] += 1
    (folder / "summary").write_text(f"{needed} pages needed: {dict(outcomes)}\n", "utf-8")
    assert len(outcomes) > 1, f"expected some that are recorded, and some not, got {outcomes}"


def _command(folder: Path) -> tuple[str, ...]:
    return commands.run("2024-09-16", folder / "in")


def _outcome(folder: Path, before: Path, disk: Path, free: int) -> str:
    ledger = disk / "ledger"
    shutil.rmtree(ledger)
    shutil.copytree(before, ledger)
    resized(disk, used_pages(disk) + free)
    ended = commands.lottery(folder, ledger, *_command(folder))
    resized(disk, PAGES)
    what = commands.checked(ledger, ended)
    again = commands.lottery(folder, ledger, *_command(folder))
    assert again.code == commands.BREAKS, f"again: {again.code}: {again.said}"
    assert json.loads(again.said)["already_recorded"] == ("recorded" in what.split())
    assert faults_of(ledger) == []
    assert look.doubled(opened(ledger)) == []
    return what
