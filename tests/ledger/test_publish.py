"""Publishing: everything follows from the rows, so that it may end anywhere and be done again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import LedgerDamaged, LedgerUnfinished
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import (
    CHECKPOINT,
    head_name,
    log_files,
    publish,
    published_size,
    witnessed_name,
)
from lottery.stores.directory import Directory
from tests.builders import META, PUBLISHED, TESTER, made, notice, opened, settings_of
from tests.ledger.contract.places import (
    Place,
    assert_whole,
    contents_of,
    entries_in,
    heads_in,
    record,
)
from tests.ledger.contract.places import log_files as expected_files
from tests.ledger.ledgers import META_ONLY


class Killed(BaseException):
    """The end of a process, which nothing catches."""


class MemoryObjects:
    """Objects in memory, which end the process after so many writes."""

    def __init__(self, contents: Mapping[str, bytes] | None = None) -> None:
        self.contents = dict(contents or {})
        self.place = "memory"
        self.writes_left: int | None = None
        self.fail: Callable[[], BaseException] = Killed

    def _write(self) -> None:
        if self.writes_left is not None:
            if not self.writes_left:
                raise self.fail()
            self.writes_left -= 1

    def get(self, name: str) -> bytes:
        try:
            return self.contents[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def put(self, name: str, content: bytes) -> None:
        self._write()
        self.contents[name] = content

    def create(self, name: str, content: bytes) -> None:
        self._write()
        if self.contents.setdefault(name, content) != content:
            raise FileExistsError(f"other bytes in {name}")

    def create_all(self, contents: Mapping[str, bytes]) -> None:
        for name, content in contents.items():
            self.create(name, content)

    def delete(self, name: str) -> None:
        self._write()
        self.contents.pop(name, None)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Return a ledger of two runs and some entries."""
    ledger = Place(settings=settings_of(tmp_path_factory.mktemp("several"))).init()
    record(ledger, PUBLISHED)
    record(ledger, META_ONLY)
    for number in range(3):
        ledger.enter("report", f"{number}", "made", TESTER)
    return ledger


def published(ledger: Ledger, objects: MemoryObjects) -> None:
    with ledger.reading() as connection:
        publish(connection, objects)  # type: ignore[arg-type]


def expected(ledger: Ledger) -> dict[str, bytes]:
    """Return what is to be published of a ledger, but for evidence."""
    files = expected_files(entries_in(ledger), heads_in(ledger))
    runs = {f"{one.folder}/{one.run}.json" for one in ledger.iterate()}
    return files | {name: ledger.ports.objects.get(name) for name in runs}


def test_many_heads_are_caught_up_with_and_twice_does_no_harm(several: Ledger) -> None:
    objects = MemoryObjects()
    assert published_size(objects) == 0  # type: ignore[arg-type]

    published(several, objects)

    assert objects.contents == expected(several)
    assert published_size(objects) == 6  # type: ignore[arg-type]
    objects.writes_left = 0
    published(several, objects)


def test_publishing_that_is_killed_after_any_write_is_done_by_the_next_one(
    several: Ledger,
) -> None:
    whole, ended, writes = expected(several), 0, 0
    while True:
        objects = MemoryObjects()
        objects.writes_left = writes
        try:
            published(several, objects)
        except Killed:
            ended += 1
        else:
            break
        # A head that is there says that all of the log up to it is.
        heads = [int(name[-12:]) for name in objects.contents if name.startswith("log/heads/")]
        assert sorted(heads) == list(range(1, len(heads) + 1))
        missing = (
            expected_files(
                entries_in(several)[: len(heads)], heads_in(several)[: len(heads)]
            ).keys()
            if heads
            else set()
        )
        assert missing - objects.contents.keys() <= {CHECKPOINT}
        objects.writes_left = None
        published(several, objects)
        assert objects.contents == whole
        writes += 1
    assert ended > 6 * 3


def test_partial_tiles_are_removed_once_the_full_one_is_there(tmp_path: Path) -> None:
    ledger = Place(settings=settings_of(tmp_path / "ledger")).init()
    for number in range(2, 261):
        ledger.enter("report", f"{number}", "made", TESTER)
        if number in {255, 256, 257}:
            assert_whole(ledger)
    assert_whole(ledger)
    names = set(contents_of(ledger.ports.objects, "log/tile"))
    assert names == set(log_files(260))
    assert {"log/tile/0/000", "log/tile/entries/000", "log/tile/1/000.p/1"} < names
    assert "log/tile/0/000.p/255" not in names
    at_once = MemoryObjects()
    published(ledger, at_once)
    assert at_once.contents == contents_of(ledger.ports.objects)


@pytest.mark.parametrize("name", ["log/tile/0/000.p/3", "log/heads/000000000003"])
def test_a_file_that_has_other_bytes_ends_publishing(several: Ledger, name: str) -> None:
    objects = MemoryObjects({name: b"another history"})

    with pytest.raises(LedgerDamaged, match="another history is published there"):
        published(several, objects)

    assert published_size(objects) == 0  # type: ignore[arg-type]


def test_a_checkpoint_that_is_none_or_later_or_another_ends_publishing(several: Ledger) -> None:
    whole = expected(several)
    ours = whole[CHECKPOINT]
    for note, says in (
        (b"nothing", "log/checkpoint in memory"),
        (ours.replace(b"\n6\n", b"\n7\n"), "expected at most 6 published entries in memory, got 7"),
        (
            re.sub(rb"\n6\n[^\n]*", b"\n6\n" + b"A" * 43 + b"=", ours),
            "expected our checkpoint of 6",
        ),
    ):
        objects = MemoryObjects({**whole, CHECKPOINT: note})
        with pytest.raises(LedgerDamaged, match=says):
            published(several, objects)


def test_a_hash_that_is_not_that_of_its_entry_is_not_published(several: Ledger) -> None:
    objects = MemoryObjects()
    with several.reading() as connection:
        connection.exec_driver_sql("DROP TRIGGER nodes_refuse_update")
        connection.exec_driver_sql(
            "UPDATE nodes SET hash = zeroblob(32) WHERE level = 0 AND position = 2"
        )
        with pytest.raises(LedgerDamaged, match="expected the hash of entry 2"):
            publish(connection, objects)  # type: ignore[arg-type]
        connection.rollback()
    assert set(objects.contents).isdisjoint({head_name(3), "log/tile/0/000.p/3"})


def test_cosignatures_have_a_name_of_their_own() -> None:
    assert (head_name(42), witnessed_name(42)) == (
        "log/heads/000000000042",
        "log/witnessed/000000000042",
    )


@contextmanager
def archived(folder: Path, *, first: bool = True) -> Iterator[tuple[Ledger, Directory]]:
    settings = settings_of(folder / "ledger", archive=str(folder / "archive"), archives_first=first)
    ledger = Place(settings=settings).init()
    yield ledger, Directory(folder / "archive")
    assert_whole(ledger)


def test_an_archive_gets_the_log_and_the_evidence_before_the_answer(tmp_path: Path) -> None:
    with archived(tmp_path) as (ledger, archive):
        record(ledger, PUBLISHED)
        assert contents_of(archive) == contents_of(ledger.ports.objects)
        record(ledger, META_ONLY)
        ledger.enter("report", "latest", "made", TESTER)
        assert_whole(ledger, archive)
        assert contents_of(archive) == contents_of(ledger.ports.objects)


def test_an_archive_that_comes_after_the_answer_catches_up_when_it_is_asked_to(
    tmp_path: Path,
) -> None:
    with archived(tmp_path, first=False) as (ledger, archive):
        record(ledger, PUBLISHED)
        assert contents_of(archive) == {}
        assert ledger.publish_archive() == 2
        assert contents_of(archive) == contents_of(ledger.ports.objects)


def test_a_write_whose_archive_fails_is_unfinished_and_the_same_call_finishes_it(
    tmp_path: Path,
) -> None:
    with archived(tmp_path) as (ledger, archive):
        away = tmp_path / "away"
        (tmp_path / "archive").rename(away)
        (tmp_path / "archive").write_text("no directory")

        for _ in range(2):
            with pytest.raises(LedgerUnfinished, match="committed and not published yet"):
                record(ledger, PUBLISHED, request_id="mine")

        (tmp_path / "archive").unlink()
        away.rename(tmp_path / "archive")
        assert record(ledger, PUBLISHED, request_id="mine").already_recorded
        assert contents_of(archive) == contents_of(ledger.ports.objects)


def test_evidence_that_is_not_what_was_recorded_is_not_archived(tmp_path: Path) -> None:
    with archived(tmp_path, first=False) as (ledger, archive):
        run = record(ledger, PUBLISHED).record
        path = tmp_path / "ledger" / run.folder / "allocations.parquet"
        whole = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(whole[:-1])

        with pytest.raises(LedgerDamaged, match=r"allocations\.parquet is not what was recorded"):
            ledger.publish_archive()

        assert published_size(archive) == 0
        path.write_bytes(whole)
        assert ledger.publish_archive() == 2


def test_what_is_committed_is_published_by_the_next_one_that_writes(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger")
    real = ledger.ports
    failing = MemoryObjects()
    failing.fail = lambda: OSError("the disk is gone")
    for number, writes in enumerate((0, 1, 2, 3)):
        failing.writes_left = writes
        ledger.ports = replace(real, objects=Mixed(real.objects, failing))  # type: ignore[arg-type]
        day = replace(META_ONLY, notices=[notice(f"N{number}", META, 1)])
        with pytest.raises(LedgerUnfinished, match="the disk is gone"):
            record(ledger, day)
    ledger.ports = real
    assert published_size(real.objects) == 1

    opened(tmp_path / "ledger").enter("report", "latest", "made", TESTER)

    assert_whole(ledger)
    assert len(list(ledger.iterate())) == 4


class Mixed:
    """The objects of a ledger whose log cannot be written after so many writes."""

    def __init__(self, real: object, failing: MemoryObjects) -> None:
        self._real = real
        self._failing = failing

    def __getattr__(self, name: str) -> object:
        if name in {"put", "create", "create_all"}:
            return getattr(self, f"_{name}")
        return getattr(self._real, name)

    def _put(self, name: str, content: bytes) -> None:
        self._failing._write()
        self._real.put(name, content)  # type: ignore[attr-defined]

    def _create(self, name: str, content: bytes) -> None:
        self._failing._write()
        self._real.create(name, content)  # type: ignore[attr-defined]

    def _create_all(self, contents: Mapping[str, bytes]) -> None:
        for name, content in contents.items():
            self._create(name, content)
