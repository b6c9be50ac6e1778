"""Objects that others publish at the same time, or that somebody changes, removes or swaps."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from lottery.ledger.commit import Ledger
from lottery.ledger.ports import Objects
from lottery.ledger.publish import CHECKPOINT, published_size
from lottery.operations.ledgers import LedgerSettings, open_objects
from lottery.operations.verification import verify_ledger
from lottery.stores.directory import Directory
from tests.apart import run_apart
from tests.builders import faults_of, made, opened, settings_of
from tests.faults import look, tasks
from tests.services.fixtures import s3, s3_url

__all__ = ["s3", "s3_url"]

PUBLISHERS: Final = 4
RUNS: Final = 6


def test_processes_that_publish_at_the_same_time_publish_one_log(tmp_path: Path) -> None:
    run_apart(_publish_at_once, tmp_path / "ledger")

    assert faults_of(tmp_path / "ledger") == []


def test_publishers_that_are_killed_leave_the_rest_to_the_next_one(tmp_path: Path) -> None:
    run_apart(_kill_publishers, tmp_path / "ledger")

    assert faults_of(tmp_path / "ledger") == []


def _publish_at_once(ledger: Path) -> None:
    size = _committed_and_not_published(ledger)
    publishers = [_publisher(ledger) for _ in range(PUBLISHERS)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in publishers]
    assert codes == [0] * PUBLISHERS
    assert published_size(Directory(ledger)) == size
    assert list(look.problems_of(opened(ledger))) == []


def _kill_publishers(ledger: Path) -> None:
    size = _committed_and_not_published(ledger)
    generator = random.Random(size)  # noqa: S311 - where to kill.
    for _ in range(10):
        process = _publisher(ledger, dies_after=generator.randrange(1, 12))
        os.waitpid(process, 0)
    assert opened(ledger).publish() == size
    assert list(look.problems_of(opened(ledger))) == []


def _committed_and_not_published(ledger: Path) -> int:
    """Record runs whose publishing does not come to anything; return the log's size."""
    made(ledger)

    class Unpublished(Ledger):
        def _publish_all(self, *, is_behind: bool = False) -> int:
            return 0 * is_behind

    there = opened(ledger)
    silent = Unpublished(there.ports, key_file=there.key_file)
    for task in range(RUNS):
        tasks.recorded(silent, task)
    assert published_size(there.ports.objects) == 1
    return RUNS + 1


def _publisher(ledger: Path, dies_after: int | None = None) -> int:
    """Fork a process that publishes, and dies after some objects if it is to."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        if dies_after is not None:
            _die_after(dies_after)
        opened(ledger).publish()
        code = 0
    finally:
        os._exit(code)


def _die_after(count: int) -> None:
    create, left = Directory.create, [count]

    def counted(objects: Directory, name: str, content: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        create(objects, name, content)

    Directory.create = counted  # type: ignore[method-assign, assignment]


def _in_bucket(folder: Path, url: str) -> tuple[LedgerSettings, Objects, Sequence[str]]:
    """Record runs in a ledger whose objects are in a bucket; return it with their names."""
    settings = settings_of(folder / "ledger", objects=url)
    ledger = made(folder / "ledger", objects=url)
    for task in range(2):
        tasks.recorded(ledger, task)
    assert list(verify_ledger(settings)) == []
    objects = open_objects(url)
    return settings, objects, sorted(info.name for info in objects.list())


@pytest.mark.long
def test_every_object_of_a_bucket_that_is_changed_is_a_fault(tmp_path: Path, s3_url: str) -> None:
    settings, objects, names = _in_bucket(tmp_path, s3_url)
    for name in names:
        content = objects.get(name)
        objects.put(name, content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        assert list(verify_ledger(settings)), f"expected a fault of {name}, got none"
        objects.put(name, content)
    assert list(verify_ledger(settings)) == []


@pytest.mark.long
def test_every_object_of_a_bucket_that_is_removed_is_a_fault_or_published_again(
    tmp_path: Path,
    s3_url: str,
) -> None:
    settings, objects, names = _in_bucket(tmp_path, s3_url)
    for name in names:
        content = objects.get(name)
        objects.delete(name)
        faults = list(verify_ledger(settings))
        if name == CHECKPOINT:  # A ledger that has none yet is published.
            assert objects.get(name) == content
        else:
            assert faults, f"expected a fault of {name}, got none"
        objects.put(name, content)
    assert list(verify_ledger(settings)) == []


@pytest.mark.long
def test_every_two_objects_of_a_bucket_that_are_swapped_are_a_fault(
    tmp_path: Path,
    s3_url: str,
) -> None:
    settings, objects, names = _in_bucket(tmp_path, s3_url)
    contents = {name: objects.get(name) for name in names}
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        if contents[name] == contents[other]:
            continue
        objects.put(name, contents[other])
        objects.put(other, contents[name])
        assert list(verify_ledger(settings)), f"expected a fault of {name} and {other}, got none"
        objects.put(name, contents[name])
        objects.put(other, contents[other])
    assert list(verify_ledger(settings)) == []
