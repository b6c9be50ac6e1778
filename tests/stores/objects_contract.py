"""The contract of `lottery.ledger.ports.Objects`, which every adapter of it is run through.

A module of tests inherits from `ObjectsContract` and has a fixture `objects`, which returns an
empty adapter:

    class TestDirectory(ObjectsContract):
        @pytest.fixture
        def objects(self, tmp_path: Path) -> Objects:
            return Directory(tmp_path)
"""

from __future__ import annotations

import datetime as dt
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from lottery.ledger.ports import Objects

BAD_NAMES: Final = (
    "", "/", "/absolute", "a/", "a//b", "..", "a/../b", "../a", "./a", "a/.hidden", "a b",
    "a\\b", "a\nb", "a\0b", "ä", "a?b", "a%2fb",
)  # fmt: skip
"""What is no name: an empty part, one that begins with a dot, or a character of no name."""

LARGE: Final = bytes(range(256)) * (9 << 12)
"""Nine MiB, more than one part of an upload."""


class ObjectsContract:
    """What each adapter does."""

    def test_what_is_put_is_got(self, objects: Objects) -> None:
        objects.put("log/checkpoint", b"one")

        assert objects.get("log/checkpoint") == b"one"
        assert type(objects.get("log/checkpoint")) is bytes

    def test_what_is_put_again_is_replaced(self, objects: Objects) -> None:
        objects.put("log/checkpoint", b"one, which is longer")
        objects.put("log/checkpoint", b"two")

        assert objects.get("log/checkpoint") == b"two"

    def test_an_empty_object_is_one(self, objects: Objects) -> None:
        objects.put("put", b"")
        objects.create("created", b"")
        objects.create("created", b"")

        assert objects.get("put") == objects.get("created") == b""

    def test_an_object_that_is_missing_is_not_found(self, objects: Objects) -> None:
        objects.put("a/b", b"1")

        for name in ("a", "a/b/c", "a/c", "b"):
            with pytest.raises(FileNotFoundError, match=name):
                objects.get(name)

    def test_the_same_bytes_are_created_twice(self, objects: Objects) -> None:
        objects.create("log/heads/000000000001", b"signed")
        objects.create("log/heads/000000000001", b"signed")

        assert objects.get("log/heads/000000000001") == b"signed"

    @pytest.mark.parametrize("other", [b"", b"Signed", b"signed again", b"sign"])
    def test_other_bytes_are_refused(self, objects: Objects, other: bytes) -> None:
        objects.create("log/heads/000000000001", b"signed")

        with pytest.raises(FileExistsError, match="000000000001"):
            objects.create("log/heads/000000000001", other)
        assert objects.get("log/heads/000000000001") == b"signed"

    def test_many_writers_create_the_same_bytes_at_one_time(self, objects: Objects) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: objects.create("log/tile/0/000", b"hashes"), range(16)))

        assert objects.get("log/tile/0/000") == b"hashes"

    def test_objects_are_listed_below_a_prefix_by_whole_parts(self, objects: Objects) -> None:
        for name in ("log/heads/1", "log/heads/2", "log/heads-old/1", "log/checkpoint", "other/1"):
            objects.put(name, name.encode())

        assert sorted(one.name for one in objects.list()) == [
            "log/checkpoint", "log/heads-old/1", "log/heads/1", "log/heads/2", "other/1",
        ]  # fmt: skip
        assert sorted(one.name for one in objects.list("log/heads")) == [
            "log/heads/1",
            "log/heads/2",
        ]
        assert list(objects.list("nothing")) == []
        assert list(objects.list("log/checkpoint")) == []

    def test_a_list_has_sizes_and_times(self, objects: Objects) -> None:
        objects.put("a/b", b"12345")

        (found,) = objects.list()
        assert found.size == 5
        assert found.modified.utcoffset() == dt.timedelta(0)
        assert abs(dt.datetime.now(dt.UTC) - found.modified) < dt.timedelta(minutes=5)

    def test_what_is_deleted_is_gone_and_deleted_again(self, objects: Objects) -> None:
        objects.put("a/b", b"1")
        objects.delete("a/b")
        objects.delete("a/b")
        objects.delete("never")

        assert list(objects.list()) == []
        with pytest.raises(FileNotFoundError):
            objects.get("a/b")

    def test_staged_files_are_taken_and_the_folder_is_removed(self, objects: Objects) -> None:
        with objects.staging() as staged:
            assert stat.S_IMODE(staged.stat().st_mode) == 0o700
            assert list(staged.iterdir()) == []
            _fill(staged)
            objects.take(staged, "evidence/2024-09-16/0123456789abcdef")

        assert not staged.exists()
        assert {one.name: objects.get(one.name) for one in objects.list("evidence/2024-09-16")} == {
            "evidence/2024-09-16/0123456789abcdef/inputs/positions.parquet": b"positions",
            "evidence/2024-09-16/0123456789abcdef/empty": b"",
            "evidence/2024-09-16/0123456789abcdef/run.json": b"{}",
        }

    def test_the_same_files_are_taken_twice(self, objects: Objects) -> None:
        for _ in range(2):
            with objects.staging() as staged:
                _fill(staged)
                objects.take(staged, "evidence/x")

        assert len(list(objects.list("evidence/x"))) == 3

    def test_files_are_taken_when_a_part_of_them_is_there(self, objects: Objects) -> None:
        objects.create("evidence/x/run.json", b"{}")
        with objects.staging() as staged:
            _fill(staged)
            objects.take(staged, "evidence/x")

        assert objects.get("evidence/x/inputs/positions.parquet") == b"positions"

    def test_files_are_not_taken_over_other_bytes(self, objects: Objects) -> None:
        objects.create("evidence/x/run.json", b"[]")
        with objects.staging() as staged:
            _fill(staged)
            with pytest.raises(FileExistsError, match=r"run\.json"):
                objects.take(staged, "evidence/x")

        assert objects.get("evidence/x/run.json") == b"[]"

    def test_a_large_file_is_taken_twice_and_no_other_over_it(self, objects: Objects) -> None:
        for _ in range(2):
            with objects.staging() as staged:
                (staged / "large").write_bytes(LARGE)
                objects.take(staged, "evidence/x")
        assert objects.get("evidence/x/large") == LARGE

        for other in (LARGE[:-1] + b"?", LARGE[:-1]):
            with objects.staging() as staged:
                (staged / "large").write_bytes(other)
                with pytest.raises(FileExistsError, match="large"):
                    objects.take(staged, "evidence/x")
        assert objects.get("evidence/x/large") == LARGE

    def test_objects_are_files_on_disk_as_long_as_they_are_needed(self, objects: Objects) -> None:
        objects.put("evidence/x/a/b", b"1")
        objects.put("evidence/x/large", LARGE)
        objects.put("evidence/xy/c", b"another")

        with objects.local("evidence/x") as folder:
            assert (folder / "a" / "b").read_bytes() == b"1"
            assert (folder / "large").read_bytes() == LARGE
            assert sorted(path.name for path in folder.iterdir()) == ["a", "large"]

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_bad_name_is_refused_before_anything_is_done(
        self, objects: Objects, name: str
    ) -> None:
        with pytest.raises(ValueError, match="name"):
            objects.get(name)
        with pytest.raises(ValueError, match="name"):
            objects.put(name, b"")
        with pytest.raises(ValueError, match="name"):
            objects.create(name, b"")
        with pytest.raises(ValueError, match="name"):
            objects.delete(name)
        if name:
            with pytest.raises(ValueError, match="name"):
                list(objects.list(name))
        assert list(objects.list()) == []

    def test_a_staged_file_with_a_bad_name_is_refused(self, objects: Objects) -> None:
        with objects.staging() as staged:
            (staged / ".hidden").write_bytes(b"1")
            with pytest.raises(ValueError, match="hidden"):
                objects.take(staged, "evidence/x")

        assert list(objects.list()) == []

    def test_messages_name_a_place(self, objects: Objects) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            objects.get("missing")

        assert objects.place in str(caught.value)


def _fill(folder: Path) -> None:
    (folder / "run.json").write_bytes(b"{}")
    (folder / "empty").write_bytes(b"")
    (folder / "inputs").mkdir()
    (folder / "inputs" / "positions.parquet").write_bytes(b"positions")
