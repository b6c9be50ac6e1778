"""The care of a ledger: rebuilding, copying, sweeping, its charter, its keys, and how it stands."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import (
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerUnwritable,
    LotteryError,
    Refused,
)
from lottery.ledger.commit import Ledger
from lottery.ledger.ports import ObjectInfo
from lottery.ledger.signing import next_key_file
from lottery.operations.ledgers import CharterTerms, init_ledger
from lottery.stores.directory import Directory
from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import (
    DATE,
    NEXT_DATE,
    PUBLISHED,
    TESTER,
    assert_sound,
    copied,
    evidence_in,
    faults_of,
    made,
    opened,
    record_in,
    request_of,
    settings_of,
)

RUN = "2024-09-16-001"
OLD = time.time() - 8 * 24 * 3600


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("care")
    record_in(folder / "ledger", request_of(PUBLISHED, folder / "a"))
    operations.rotate_key(settings_of(folder / "ledger"), TESTER)
    record_in(folder / "ledger", request_of(replace(PUBLISHED, date=NEXT_DATE), folder / "b"))
    return folder / "ledger"


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "ledger")


def published(ledger: Path) -> dict[str, bytes]:
    found = [*(ledger / "log").rglob("*"), *(ledger / "evidence").rglob("*")]
    return {
        path.relative_to(ledger).as_posix(): path.read_bytes() for path in found if path.is_file()
    }


def next_day(folder: Path) -> operations.RunRequest:
    return request_of(replace(PUBLISHED, date=NEXT_DATE + dt.timedelta(days=1)), folder)


def amended(ledger: Path, holds_from: dt.date, **decisions: str) -> None:
    operations.amend_charter(
        settings_of(ledger),
        holds_from=holds_from,
        change=lambda terms: replace(
            terms,
            decisions={**terms.decisions, **decisions},
            approval_reference="memo 12",
        ),
        by=TESTER,
    )


def test_a_rebuilt_database_is_the_one_that_was_lost_and_goes_on(
    ledger: Path, tmp_path: Path
) -> None:
    before = published(ledger)
    (ledger / DATABASE).unlink()

    moved = operations.rebuild_ledger(settings_of(ledger))

    assert (moved.runs, moved.public_key) == (2, str(opened(ledger).log().key))
    assert published(ledger) == before
    assert_sound(ledger)
    record_in(ledger, next_day(tmp_path / "in"))
    assert_sound(ledger)


def test_a_database_is_not_made_over_one_that_is_there(ledger: Path) -> None:
    with pytest.raises(Refused, match="expected no ledger"):
        operations.rebuild_ledger(settings_of(ledger))


def test_files_that_are_not_sound_are_not_made_a_database(ledger: Path) -> None:
    (ledger / DATABASE).unlink()
    path = evidence_in_files(ledger) / "notices.parquet"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(LedgerDamaged, match=r"notices.parquet"):
        operations.rebuild_ledger(settings_of(ledger))

    assert not (ledger / DATABASE).exists()


def evidence_in_files(ledger: Path) -> Path:
    (folder,) = (ledger / "evidence" / DATE.isoformat()).iterdir()
    return folder


def test_a_rebuilding_that_is_killed_leaves_no_ledger_and_is_done_again(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ledger / DATABASE).unlink()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lottery.operations.moving.log.node_row", killed)
        with pytest.raises(Killed):
            operations.rebuild_ledger(settings_of(ledger))
    with pytest.raises(LotteryError, match="no ledger"):
        opened(ledger)

    operations.rebuild_ledger(settings_of(ledger))

    assert_sound(ledger)


@pytest.mark.parametrize("is_head_there", [True, False])
def test_what_was_being_published_when_the_ledger_was_lost_is_kept_if_it_is_signed(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_head_there: bool
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    name = "put" if is_head_there else "create"
    create = Directory.create

    def creates(self: Directory, name: str, content: bytes) -> None:
        if name.startswith("log/heads/"):
            fails()
        create(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Directory, name, fails if is_head_there else creates)
        with pytest.raises(LotteryError, match="No space left"):
            record_in(ledger, next_day(tmp_path / "in"))
    (ledger / DATABASE).unlink()

    moved = operations.rebuild_ledger(settings_of(ledger))

    assert moved.runs == (3 if is_head_there else 2)
    assert_sound(ledger)
    record_in(ledger, next_day(tmp_path / "again"))
    assert opened(ledger).get("latest").run == "2024-09-18-001"
    assert_sound(ledger)


def test_a_ledger_that_is_lost_is_made_again_from_its_archive(tmp_path: Path) -> None:
    ledger, archive = tmp_path / "ledger", tmp_path / "archive"
    archive.mkdir()
    record_in(ledger, request_of(PUBLISHED, tmp_path / "a"), archive=str(archive))
    before = published(ledger)
    shutil.copy(ledger / "signing.key", tmp_path / "signing.key")
    shutil.rmtree(ledger)
    ledger.mkdir()
    shutil.copy(tmp_path / "signing.key", ledger)

    operations.rebuild_ledger(settings_of(ledger, archive=str(archive)))

    assert published(ledger) == before
    assert_sound(ledger)


def test_a_copy_has_the_same_entries_and_root_and_not_the_private_key(
    ledger: Path, tmp_path: Path
) -> None:
    target = settings_of(tmp_path / "new", objects=str(tmp_path / "files"))

    moved = operations.copy_ledger(settings_of(ledger), target)

    assert published(tmp_path / "files") == published(ledger)
    assert moved.origin == opened(ledger).log().origin
    assert not list(tmp_path.glob("new/*.key")) + list(tmp_path.glob("files/*.key"))
    key = opened(ledger).log().key
    assert list(operations.verify_ledger(target, keys=[key])) == []
    with pytest.raises(Refused, match=r"expected no ledger at .*got one; name another place"):
        operations.copy_ledger(settings_of(ledger), target)


def test_a_copy_that_is_cut_short_goes_on(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = settings_of(tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "put", fails)
        with pytest.raises(LotteryError, match="No space left"):
            operations.copy_ledger(settings_of(ledger), target)

    operations.copy_ledger(settings_of(ledger), target)

    assert faults_of(tmp_path / "new", keys=[opened(ledger).log().key]) == []


def test_a_ledger_that_is_not_sound_is_not_copied(ledger: Path, tmp_path: Path) -> None:
    (evidence_in(ledger, RUN) / "pools.parquet").unlink()

    with pytest.raises(LedgerDamaged, match=r"pools.parquet"):
        operations.copy_ledger(settings_of(ledger), settings_of(tmp_path / "new"))

    assert not (tmp_path / "new").exists()


def test_a_sweep_removes_what_killed_processes_left_after_seven_days(ledger: Path) -> None:
    before = published(ledger)
    left = [
        ledger / "evidence/2024-09-16/0123456789abcdef/pools.parquet",
        ledger / "evidence/2024-09-16/0123456789abcdef/sources/notices.csv",
        ledger / f".{'0' * 32}.tmp/notices.parquet",
        ledger / f"log/.{'1' * 32}.tmp",
    ]
    young = ledger / "evidence/2024-12-24/0123456789abcdef/pools.parquet"
    for path in (*left, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    for path in (*left, left[2].parent):
        os.utime(path, (OLD, OLD))
    assert operations.status_of(opened(ledger)).unnamed_folders == 2

    swept = operations.sweep_ledger(settings_of(ledger))

    assert swept.folders == ("evidence/2024-09-16/0123456789abcdef",)
    assert sorted(swept.remains) == sorted(map(str, (left[2].parent, left[3])))
    assert not any(path.exists() for path in left)
    young.unlink()
    assert published(ledger) == before
    assert operations.sweep_ledger(settings_of(ledger)) == operations.Swept(folders=(), remains=())


def test_a_sweep_waits_for_the_writer(ledger: Path) -> None:
    there = opened(ledger)
    with there.ports.database.writing(), pytest.raises(LedgerBusy):
        operations.sweep_ledger(settings_of(ledger, lock_seconds=0.0))


def test_evidence_that_is_swept_before_its_entry_is_made_is_not_named(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Directory.take

    def taken_and_swept(self: Directory, staged: Path, prefix: str) -> None:
        take(self, staged, prefix)
        operations.sweep_ledger(settings_of(ledger), older_than=dt.timedelta(days=-1))

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "take", taken_and_swept)
        with pytest.raises(LedgerBusy, match="sweep"):
            record_in(ledger, next_day(tmp_path / "in"))
    assert_sound(ledger)

    record_in(ledger, next_day(tmp_path / "in"))

    assert_sound(ledger)


def test_evidence_that_cannot_be_looked_for_is_not_named(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Iterator[ObjectInfo]:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "list", failing)
        with pytest.raises(LedgerUnwritable, match="Input/output error"):
            record_in(ledger, next_day(tmp_path / "in"))

    assert_sound(ledger)


def test_a_ledger_is_not_made_where_what_is_published_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "get", failing)
        with pytest.raises(LedgerUnwritable, match="Input/output error"):
            made(tmp_path / "new")

    init_ledger(settings_of(tmp_path / "new"), CharterTerms(decisions={}), TESTER)
    assert_sound(tmp_path / "new")


def test_how_far_publishing_and_the_archive_are_behind_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, archive = tmp_path / "ledger", tmp_path / "archive"
    archive.mkdir()
    there = made(ledger, archive=str(archive), archives_first=False)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_publish_all", lambda *_, **__: 0)
        there.enter("replay", "a", "b", TESTER)

    status = operations.status_of(there)
    assert (status.committed, status.published, status.archived) == (2, 1, 0)
    status = operations.bring_up(there)
    assert (status.committed, status.published, status.archived) == (2, 2, 2)


def test_an_amended_charter_holds_from_its_date_on(ledger: Path, tmp_path: Path) -> None:
    amended(ledger, NEXT_DATE + dt.timedelta(days=2), zero_hit="first")

    record_in(ledger, next_day(tmp_path / "in"))
    last = opened(ledger).charters()[-1]
    assert last.method.decisions["zero_hit"] == "first"
    later = request_of(
        replace(PUBLISHED, date=NEXT_DATE + dt.timedelta(days=2)),
        tmp_path / "later",
        methodology=last.method.methodology(),
    )
    record_in(ledger, later)
    assert_sound(ledger)


@pytest.mark.parametrize("holds_from", [DATE, NEXT_DATE])
def test_a_charter_never_changes_a_date_that_has_a_run(ledger: Path, holds_from: dt.date) -> None:
    with pytest.raises(Refused, match="expected a date after 2024-09-17"):
        amended(ledger, holds_from, zero_hit="first")

    assert len(opened(ledger).charters()) == 1


def test_a_charter_that_changes_nothing_or_decides_what_is_unknown_is_refused(
    ledger: Path,
) -> None:
    date = NEXT_DATE + dt.timedelta(days=1)
    with pytest.raises(Refused, match="zero_hit must be"):
        amended(ledger, date, zero_hit="never")
    later = date + dt.timedelta(days=9)
    amended(ledger, later)
    for again in (later, later + dt.timedelta(days=1)):
        with pytest.raises(Refused, match="expected a change"):
            amended(ledger, again)
    assert opened(ledger).charter_for(date).approval_reference == ""

    amended(ledger, date)  # What was to hold later holds earlier.

    assert opened(ledger).charter_for(date).approval_reference == "memo 12"


@pytest.mark.parametrize("step", ["the key is made", "the entry is committed"])
@pytest.mark.parametrize("next_command", ["a run", "a rotation"])
def test_a_rotation_that_is_killed_is_finished_by_the_next_command(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, next_command: str
) -> None:
    before = opened(ledger).log().keys
    rotate = Ledger.rotate

    def killed(self: Ledger, *arguments: object) -> None:
        if step == "the entry is committed":
            rotate(self, *arguments)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "rotate", killed)
        with pytest.raises(Killed):
            operations.rotate_key(settings_of(ledger), TESTER)
    assert next_key_file(ledger / "signing.key").exists()
    assert faults_of(ledger) == []

    if next_command == "a run":
        record_in(ledger, next_day(tmp_path / "in"))
    else:
        operations.rotate_key(settings_of(ledger), TESTER)

    keys = opened(ledger).log().keys
    committed = step == "the entry is committed"
    assert len(keys) - len(before) == committed + (next_command == "a rotation")
    is_left = next_command == "a run" and not committed
    assert next_key_file(ledger / "signing.key").exists() == is_left
    assert_sound(ledger)


def test_a_rotation_needs_the_present_key(ledger: Path) -> None:
    (ledger / "signing.key").unlink()

    with pytest.raises(KeyUnusable):
        operations.rotate_key(settings_of(ledger), TESTER)

    assert not next_key_file(ledger / "signing.key").exists()
