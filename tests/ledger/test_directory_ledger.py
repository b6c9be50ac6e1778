"""A ledger in a directory: what it makes, whose it is, and what of it is damage."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.durable import create_file
from lottery.errors import (
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
    LotteryError,
    Refused,
)
from lottery.ledger.draft import RunKey
from lottery.operations.settings import KEY_FILE
from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import (
    NEXT_DATE,
    PUBLISHED,
    evidence_in,
    largest_file,
    made,
    notice,
    opened,
    record_in,
    request_of,
    settings_of,
)
from tests.ledger.contract.places import Place, assert_whole
from tests.ledger.ledgers import META_ONLY, Run, raw, runs_in

A = "2024-09-16-001"


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_only_its_owner_may_enter_a_ledger_whatever_the_umask(ledger: Path, run: Run) -> None:
    before = os.umask(0)
    try:
        run(PUBLISHED)
    finally:
        os.umask(before)

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (ledger, ledger / "log", ledger / DATABASE, ledger / KEY_FILE)
    }
    assert modes == {"ledger": 0o700, "log": 0o700, DATABASE: 0o600, KEY_FILE: 0o600}
    changing = {"checkpoint", DATABASE, KEY_FILE}
    for path in ledger.rglob("*"):
        mode = 0o700 if path.is_dir() else 0o600 if path.name in changing else 0o400
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert sorted(path.name for path in ledger.iterdir()) == [
        "evidence",
        DATABASE,
        "log",
        KEY_FILE,
    ]


def test_opening_an_empty_or_mistyped_folder_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / DATABASE).touch()
    (tmp_path / "file").write_text("in the way")
    before = names_in(tmp_path)

    for name, says in (
        ("empty", "no ledger at"),
        ("half", "no ledger at"),
        ("mistyped", "expected a directory"),
        ("file", "expected a directory"),
        ("file/below", "expected a directory"),
    ):
        with pytest.raises(LedgerNotFound, match=says):
            opened(tmp_path / name)
    assert names_in(tmp_path) == before
    for name in ("file", "file/below"):
        with pytest.raises(LedgerNotFound, match="expected a directory"):
            Place(settings=settings_of(tmp_path / name)).init()
    with pytest.raises(LedgerUnwritable, match="File name too long"):
        Place(settings=settings_of(tmp_path / ("x" * 300))).init()
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("name", ["a?b", "a?mode=ro&x=1", "a%20b", "a#b", "a b", "ä", "quo'te"])
def test_a_ledger_is_where_it_was_asked_for_whatever_the_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "below" / name

    record_in(folder, request_of(PUBLISHED, tmp_path / "in"))

    assert (folder / DATABASE).is_file()
    assert [path.name for path in (tmp_path / "below").iterdir()] == [name]
    assert_whole(opened(folder))


@pytest.mark.usefixtures("published")
def test_the_database_says_whose_it_is_and_needs_no_second_file(ledger: Path) -> None:
    with raw(ledger) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x4C4F5454,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with opened(ledger).reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3


@pytest.mark.parametrize(
    "name", [DATABASE, f"{DATABASE}-journal", "log", "log/heads", "evidence", "evidence/2024-09-16"]
)
@pytest.mark.usefixtures("published")
def test_a_link_in_the_place_of_a_file_or_folder_is_refused(
    ledger: Path, tmp_path: Path, name: str
) -> None:
    path, elsewhere = ledger / name, tmp_path / "elsewhere"
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.touch()
    path.symlink_to(elsewhere)
    before = names_in(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()

    with pytest.raises(LotteryError, match="link"):
        record_in(ledger, request_of(META_ONLY, tmp_path / "in"))

    assert (names_in(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()) == before
    path.unlink()
    if name != f"{DATABASE}-journal":
        elsewhere.rename(path)
    assert runs_in(ledger) == [A]
    record_in(ledger, request_of(META_ONLY, tmp_path / "again"))
    assert_whole(opened(ledger))


def test_a_run_is_staged_under_a_name_that_nobody_guesses_and_nothing_is_left(
    ledger: Path, run: Run
) -> None:
    objects = made(ledger).ports.objects
    with objects.staging() as first, objects.staging() as second:
        assert first != second
        for staged in (first, second):
            assert staged.parent == ledger
            assert len(staged.name) == len(".") + 32 + len(".tmp")
    run(PUBLISHED)
    assert [name for name in names_in(ledger) if name.startswith(".")] == []


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_key_is_made_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unnamed: bool
) -> None:
    """Also on a file system that has no files without a name."""
    real_open, real_write = os.open, os.write
    seen: list[list[str]] = []

    def open_named(path: str, flags: int, *rest: int, **named: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE and not unnamed:
            raise OSError(errno.EOPNOTSUPP, "no files without a name here")
        return real_open(path, flags, *rest, **named)

    def write_half(descriptor: int, data: bytes) -> int:
        seen.append(names_in(tmp_path))
        if len(seen) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "open", open_named)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        with pytest.raises(OSError, match="No space left"):
            create_file(tmp_path / "key", b"a secret", mode=0o600)
    assert names_in(tmp_path) == []
    assert ("key" in seen[1], len(seen[1])) == (False, 0 if unnamed else 1)

    create_file(tmp_path / "key", b"a secret", mode=0o600)

    assert names_in(tmp_path) == ["key"]
    assert (tmp_path / "key").read_bytes() == b"a secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "key", b"another", mode=0o600)


def test_a_key_file_that_cannot_be_opened_for_another_reason_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        create_file(tmp_path / "key", b"a secret", mode=0o600)


@pytest.mark.parametrize("limit", [0, 100, 2_000, 5_000, 20_000])
@pytest.mark.usefixtures("published")
def test_a_full_disk_is_reported_and_nothing_is_half_recorded(
    tmp_path: Path, ledger: Path, limit: int
) -> None:
    request = request_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "full")

    with largest_file(limit), pytest.raises(LedgerUnwritable):
        record_in(ledger, request)

    assert runs_in(ledger) == [A]
    assert not record_in(ledger, request).already_recorded
    assert_whole(opened(ledger))


def test_a_refused_day_records_nothing(run: Run, ledger: Path) -> None:
    with pytest.raises(Refused):
        run(replace(PUBLISHED, notices=[notice("A1", "AAPL  240920C00220000", 0)]))
    assert runs_in(ledger) == []


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0", b"x"])
def test_a_file_that_is_no_database_is_damage(ledger: Path, content: bytes) -> None:
    made(ledger).close()
    (ledger / DATABASE).write_bytes(content)

    with pytest.raises(LedgerDamaged):
        opened(ledger)


@pytest.mark.usefixtures("published")
def test_a_database_with_another_journal_or_other_tables_is_damage(ledger: Path) -> None:
    with raw(ledger) as database:
        database.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(LedgerDamaged, match="expected a rollback journal in the header"):
        opened(ledger)
    with raw(ledger) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("DROP TRIGGER ledger_refuse_update")
        database.execute("UPDATE ledger SET schema_version = 77")
    with pytest.raises(LedgerDamaged, match="expected schema version 5, got 77"):
        opened(ledger)
    with raw(ledger) as database:
        database.execute("UPDATE ledger SET schema_version = 5")
        database.execute("DROP TABLE requests")
    with pytest.raises((LedgerDamaged, LedgerUnwritable), match="no such table: requests"):
        opened(ledger).known(RunKey(request_id="mine", content_sha256="00"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET entry = CAST(replace(entry, '\"cycle\":1', '\"cycle\":2') AS BLOB)",
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 1",
        "DELETE FROM nodes WHERE level = 1",
        "DELETE FROM heads WHERE tree_size = 2",
        "UPDATE heads SET note = CAST(replace(note, 'lottery', 'lotterx') AS BLOB)",
        "DELETE FROM entries WHERE log_index = 1",
        "UPDATE runs SET log_index = 0",
        "UPDATE keys SET public_key = replace(public_key, '+', '-')",
    ],
)
@pytest.mark.usefixtures("published")
def test_nothing_is_signed_over_rows_that_are_not_what_was_signed(
    ledger: Path, tmp_path: Path, statement: str
) -> None:
    with raw(ledger) as database:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
        count = database.execute("SELECT max(tree_size) FROM heads").fetchone()

    with pytest.raises(LotteryError):
        record_in(ledger, request_of(META_ONLY, tmp_path / "in"))

    with raw(ledger) as database:
        assert database.execute("SELECT max(tree_size) FROM heads").fetchone() == count


@pytest.mark.parametrize("name", ["notices.parquet", "pools.parquet"])
def test_no_run_is_recorded_beside_damaged_evidence_that_rules_need(
    run: Run, ledger: Path, name: str
) -> None:
    record = run(PUBLISHED).record
    (evidence_in(ledger, A) / "allocations.parquet").unlink()
    run(META_ONLY)
    (ledger / record.folder / name).unlink()

    with pytest.raises(LedgerDamaged, match=rf"{name} of run {A} is missing"):
        run(META_ONLY.renamed("again-"))
    run(replace(META_ONLY, date=NEXT_DATE))


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "a reader"])
@pytest.mark.usefixtures("published")
def test_a_ledger_that_another_one_holds_is_busy_and_nothing_half_recorded_shows(
    ledger: Path, tmp_path: Path, lock: str
) -> None:
    request = request_of(META_ONLY, tmp_path / "in")

    with raw(ledger) as other:
        if lock == "a reader":  # It keeps the commit waiting.
            other.execute("BEGIN")
            other.execute("SELECT * FROM runs").fetchall()
        else:
            other.execute(lock)
        with pytest.raises(LedgerBusy, match="another process is writing"):
            record_in(ledger, request, lock_seconds=0.1)
        other.execute("ROLLBACK")

    assert runs_in(ledger) == [A]
    assert not record_in(ledger, request).already_recorded
    assert_whole(opened(ledger))


def test_a_table_is_read_only_as_it_was_recorded(run: Run, ledger: Path) -> None:
    record = run(PUBLISHED).record
    reader = opened(ledger)
    path = evidence_in(ledger, A) / "pools.parquet"
    whole = path.read_bytes()
    assert reader.read(record, "pools.parquet").num_rows == 1

    path.chmod(0o600)
    path.write_bytes(whole[:-1])
    with pytest.raises(LedgerDamaged, match=r"pools\.parquet is not what was recorded: sha256"):
        reader.read(record, "pools.parquet")
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerDamaged, match=rf"pools\.parquet of run {A} is missing"):
        reader.read(record, "pools.parquet")
    named = tuple(file for file in record.evidence if file.name != "pools.parquet")
    with pytest.raises(LedgerDamaged, match=rf"the record of run {A} has no pools\.parquet"):
        reader.read(replace(record, evidence=named), "pools.parquet")
