"""A directory keeps the contract of objects, follows no link, and is made durable."""

from __future__ import annotations

import datetime as dt
import errno
import os
import stat
from pathlib import Path

import pytest

from lottery.ledger.ports import Objects
from lottery.stores.directory import Directory
from tests.stores.objects_contract import ObjectsContract


class TestDirectory(ObjectsContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        return Directory(tmp_path)


@pytest.fixture
def objects(tmp_path: Path) -> Directory:
    (tmp_path / "root").mkdir()
    return Directory(tmp_path / "root")


@pytest.fixture
def root(objects: Directory) -> Path:
    return Path(objects.place)


def test_objects_are_their_owners_alone_and_those_that_never_change_are_read_only(
    objects: Directory, root: Path
) -> None:
    before = os.umask(0)
    try:
        objects.put("log/checkpoint", b"1")
        objects.create("log/heads/1", b"1")
        with objects.staging() as staged:
            (staged / "sources").mkdir()
            (staged / "sources/a").write_bytes(b"1")
            objects.take(staged, "evidence/x")
    finally:
        os.umask(before)

    modes = {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in root.rglob("*")
    }
    assert modes == {
        "log": 0o700,
        "log/checkpoint": 0o600,
        "log/heads": 0o700,
        "log/heads/1": 0o400,
        "evidence": 0o700,
        "evidence/x": 0o700,
        "evidence/x/sources": 0o700,
        "evidence/x/sources/a": 0o400,
    }


@pytest.mark.parametrize("name", ["log/checkpoint", "log/heads/1"])
def test_no_link_is_followed_anywhere(objects: Directory, root: Path, name: str) -> None:
    elsewhere = root.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "checkpoint").write_bytes(b"theirs")
    (root / "log").symlink_to(elsewhere)
    for call in (
        lambda: objects.get(name),
        lambda: objects.put(name, b"ours"),
        lambda: objects.create(name, b"ours"),
        lambda: objects.delete(name),
    ):
        with pytest.raises(OSError, match="symbolic link"):
            call()
    assert list(objects.list()) == []
    assert sorted(path.name for path in elsewhere.iterdir()) == ["checkpoint"]
    assert (elsewhere / "checkpoint").read_bytes() == b"theirs"


def test_a_link_at_the_end_of_a_path_is_no_object(objects: Directory, root: Path) -> None:
    objects.put("log/checkpoint", b"1")
    elsewhere = root.with_name("elsewhere")
    elsewhere.write_bytes(b"theirs")
    (root / "log/link").symlink_to(elsewhere)
    (root / "log/folder").symlink_to(root)

    with pytest.raises(OSError, match="Too many levels"):
        objects.get("log/link")
    with pytest.raises(OSError, match="Too many levels"):
        objects.create("log/link", b"ours")
    objects.put("log/link", b"ours")
    assert elsewhere.read_bytes() == b"theirs"
    # What is in the way is listed, so that it is seen; nothing below it is.
    assert sorted(one.name for one in objects.list("log")) == [
        "log/checkpoint",
        "log/folder",
        "log/link",
    ]


def test_the_ledgers_own_files_and_what_is_being_written_are_no_objects(
    objects: Directory, root: Path
) -> None:
    (root / "ledger.db").touch()
    objects.put("log/checkpoint", b"1")
    (root / "log/.hidden.tmp").touch()
    with objects.staging() as staged:
        (staged / "a").touch()
        assert [one.name for one in objects.list()] == ["log/checkpoint"]


def test_what_killed_processes_left_is_found_by_its_age(objects: Directory, root: Path) -> None:
    objects.put("log/checkpoint", b"1")
    with objects.staging() as staged:
        (staged / "a").touch()
        (root / "log/.0.tmp").touch()
        now = dt.datetime.now(dt.UTC)
        later = now + dt.timedelta(hours=1)

        assert sorted(objects.abandoned(later)) == sorted([staged, root / "log/.0.tmp"])
        assert list(objects.abandoned(now - dt.timedelta(hours=1))) == []


def test_a_file_that_goes_away_is_left_out_of_a_list(
    objects: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("log/a", b"1")
    objects.put("log/b", b"1")
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        if path.name == "b":
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    assert [one.name for one in objects.list()] == ["log/a"]


def test_an_error_that_is_no_conflict_is_raised_as_it_comes(
    objects: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with objects.staging() as staged:
        (staged / "a").touch()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", refuse)
            with pytest.raises(OSError, match="No space left"):
                objects.take(staged, "evidence/x")
        objects.take(staged, "evidence/x")
    assert objects.get("evidence/x/a") == b""


def test_files_are_taken_into_a_folder_that_has_a_part_of_them_with_folders(
    objects: Directory,
) -> None:
    for _ in range(2):
        with objects.staging() as staged:
            (staged / "sources").mkdir()
            (staged / "sources/a").write_bytes(b"1")
            (staged / "b").write_bytes(b"2")
            objects.take(staged, "evidence/x")
        objects.delete("evidence/x/sources/a")
    assert [one.name for one in objects.list("evidence")] == ["evidence/x/b"]


def test_a_folder_is_no_object_and_is_kept_as_long_as_it_has_one(
    objects: Directory, root: Path
) -> None:
    objects.put("a/b/c", b"1")
    objects.put("a/d", b"1")

    objects.delete("a/b/c")

    assert sorted(path.name for path in (root / "a").iterdir()) == ["d"]
    objects.delete("a/d")
    assert list(root.iterdir()) == []
