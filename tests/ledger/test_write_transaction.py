"""Writing: database, mirror and checkpoint file go together, or nothing is signed any more."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import (
    Conflict,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnfinished,
    LedgerUnwritable,
    LotteryError,
    Refused,
)
from lottery.ledger import write_transaction
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.database import NODES, connect
from lottery.ledger.trail import WRITE_RECOVERED
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE, MIRROR, UNFINISHED
from lottery.operations import proofs
from lottery.tlog.keys import SigningKey, create_key_file
from tests.builders import (
    AAPL,
    FULL,
    NEXT_DATE,
    PUBLISHED,
    REQUESTER,
    SmallDay,
    assert_sound,
    faults_of,
    notice,
    position,
    record_in,
    replay_of,
    replays_of,
    request_of,
)
from tests.ledger.ledgers import (
    GE_COVERED,
    META_ONLY,
    Run,
    files_in,
    raw,
    runs_in,
    trail_of,
    unchanged,
)

A, B = "2024-09-16-001", "2024-09-16-002"
DATABASES = (DATABASE, MIRROR)


def copies(ledger: Path, folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        shutil.copyfile(ledger / name, folder / name)


def change_rows(ledger: Path, *statements: str) -> None:
    """Changes the database and its mirror alike, past the triggers."""
    for name in DATABASES:
        with closing(sqlite3.connect(ledger / name, isolation_level=None)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (trigger,) in rows.fetchall():
                database.execute(f"DROP TRIGGER {trigger}")
            for statement in statements:
                database.execute(statement)


def cut(path: Path, size: int, *, then: bytes = b"") -> None:
    os.truncate(path, path.stat().st_size - size)
    append(path, then)


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def change_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def swap_for_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "the checkpoint file is gone": lambda ledger: (ledger / CHECKPOINT_FILE).unlink(),
    "the checkpoint file is cut": lambda ledger: cut(ledger / CHECKPOINT_FILE, 1),
    "the checkpoint file has more": lambda ledger: append(ledger / CHECKPOINT_FILE, b"\n"),
    "the last checkpoint in the file is another": lambda ledger: change_byte(
        ledger / CHECKPOINT_FILE, -5
    ),
    "the checkpoint file is empty": lambda ledger: os.truncate(ledger / CHECKPOINT_FILE, 0),
    "the checkpoint file is a folder": lambda ledger: swap_for_folder(ledger / CHECKPOINT_FILE),
    "the mirror is gone": lambda ledger: (ledger / MIRROR).unlink(),
    "the mirror is cut": lambda ledger: cut(ledger / MIRROR, 4096),
    "the mirror has more": lambda ledger: append(ledger / MIRROR, b"\x00"),
    "a node is another": lambda ledger: change_rows(
        ledger, "UPDATE nodes SET hash = zeroblob(32) WHERE tree = 'runs'"
    ),
    "a node of the trail is another": lambda ledger: change_rows(
        ledger, "UPDATE nodes SET hash = zeroblob(32) WHERE tree = 'trail'"
    ),
    "a node is gone": lambda ledger: change_rows(
        ledger, "DELETE FROM nodes WHERE tree = 'runs' AND level = 0"
    ),
    "a checkpoint of the runs is another": lambda ledger: change_rows(
        ledger,
        "UPDATE checkpoints SET note = CAST(replace(note, '\n1\n', '\n2\n') AS BLOB) "
        "WHERE tree = 'runs'",
    ),
    "a checkpoint's size is another": lambda ledger: change_rows(
        ledger, "UPDATE checkpoints SET tree_size = 2 WHERE tree = 'runs'"
    ),
    "the last checkpoint is another": lambda ledger: change_rows(
        ledger, "UPDATE checkpoints SET note = CAST(note || x'0a' AS BLOB) WHERE tree = 'trail'"
    ),
    "the last checkpoints are gone": lambda ledger: change_rows(
        ledger, "DELETE FROM checkpoints WHERE position > 0"
    ),
    "every checkpoint is gone": lambda ledger: change_rows(ledger, "DELETE FROM checkpoints"),
    "the log is nobody's": lambda ledger: change_rows(ledger, "DELETE FROM log"),
    "the log is two's": lambda ledger: change_rows(
        ledger, "INSERT INTO log SELECT 'x', public_key FROM log"
    ),
    "the log's origin is another": lambda ledger: change_rows(
        ledger, "UPDATE log SET origin = 'x'"
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.usefixtures("published")
def test_nothing_is_signed_in_a_ledger_whose_files_are_not_what_was_signed(
    run: Run, ledger: Path, name: str
) -> None:
    FOREIGN[name](ledger)

    with unchanged(ledger), pytest.raises((LotteryError, LedgerUnwritable)) as caught:
        run(META_ONLY)

    assert not isinstance(caught.value, Refused | Conflict | LedgerBusy)
    assert faults_of(ledger)


@pytest.mark.usefixtures("published")
def test_an_older_copy_of_the_database_gets_no_second_history(
    run: Run, ledger: Path, tmp_path: Path
) -> None:
    copies(ledger, tmp_path / "older", *DATABASES)
    run(META_ONLY)
    for name in DATABASES:
        shutil.copyfile(tmp_path / "older" / name, ledger / name)

    with unchanged(ledger), pytest.raises(LedgerDamaged, match="is an older copy of itself"):
        run(GE_COVERED)

    assert runs_in(ledger) == [A]
    assert "checkpoints" in [fault.where for fault in faults_of(ledger)]


@pytest.mark.usefixtures("published")
def test_an_older_copy_of_the_database_alone_gets_no_second_history(
    run: Run, ledger: Path, tmp_path: Path
) -> None:
    copies(ledger, tmp_path / "older", DATABASE)
    run(META_ONLY)
    shutil.copyfile(tmp_path / "older" / DATABASE, ledger / DATABASE)

    with unchanged(ledger), pytest.raises(LedgerDamaged):
        run(GE_COVERED)
    with unchanged(ledger), pytest.raises(LedgerDamaged):
        Ledger.open(ledger).enter(next(Ledger.open(ledger).trail_entries()))


@pytest.mark.usefixtures("published")
def test_an_older_copy_of_everything_but_the_evidence_records_nothing_over_it(
    run: Run, ledger: Path, tmp_path: Path
) -> None:
    copies(ledger, tmp_path / "older", *DATABASES, CHECKPOINT_FILE)
    run(META_ONLY)
    for name in (*DATABASES, CHECKPOINT_FILE):
        shutil.copyfile(tmp_path / "older" / name, ledger / name)
    evidence = files_in(ledger / "evidence")

    with pytest.raises(LedgerDamaged, match=f"{B} exists, but no run"):
        run(GE_COVERED)

    assert files_in(ledger / "evidence") == evidence
    assert runs_in(ledger) == [A]


@pytest.mark.parametrize("gone", ["removed", "emptied"])
@pytest.mark.usefixtures("published")
def test_a_ledger_without_its_database_is_not_made_anew_over_what_is_left(
    run: Run, ledger: Path, gone: str
) -> None:
    (ledger / DATABASE).unlink()
    if gone == "emptied":
        (ledger / DATABASE).touch()

    for left in (MIRROR, CHECKPOINT_FILE, "evidence"):
        with unchanged(ledger), pytest.raises(LedgerDamaged, match="is missing or empty"):
            run(META_ONLY)
        with suppress(FileNotFoundError, IsADirectoryError):
            (ledger / left).unlink()


@pytest.mark.usefixtures("published")
def test_a_ledger_whose_database_is_another_program_s_is_not_written_to(
    run: Run, ledger: Path
) -> None:
    (ledger / DATABASE).unlink()
    with raw(ledger) as database:
        database.execute("CREATE TABLE something (else_ TEXT)")

    with unchanged(ledger), pytest.raises(LedgerDamaged):
        run(META_ONLY)


def write_key(path: Path, key: SigningKey) -> None:
    path.unlink()
    path.write_text(f"{key.text()}\n")
    path.chmod(0o600)


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "cannot be read: No such file or directory"),
    "open to others": (lambda path: path.chmod(0o644), "is open to others: expected mode 0600"),
    "another": (lambda path: write_key(path, SigningKey.generate("x")), ", got x"),
    "of another name": (
        lambda path: write_key(
            path, replace(SigningKey.parse(path.read_text().strip()), name="other")
        ),
        ", got other",
    ),
    "empty": (lambda path: path.write_bytes(b""), "does not hold a private key"),
    "a folder": (swap_for_folder, "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.usefixtures("published")
def test_nothing_is_recorded_without_the_log_s_own_key(run: Run, ledger: Path, name: str) -> None:
    make, reported = UNUSABLE[name]
    make(ledger / KEY_FILE)

    with unchanged(ledger), pytest.raises(KeyUnusable, match=reported):
        run(META_ONLY)
    warnings: list[str] = []
    with unchanged(ledger):
        requester = replace(REQUESTER, warn=warnings.append)
        replayed = operations.replay_run(Ledger.open(ledger), A, requester, engine=Engine.COMPILED)
    assert replayed.matched
    assert len(warnings) == 1
    assert reported in warnings[0]
    assert KEY_FILE in [fault.where for fault in faults_of(ledger)]


def test_a_key_can_be_kept_elsewhere(ledger: Path, tmp_path: Path) -> None:
    key = tmp_path / "elsewhere.key"
    request = request_of(PUBLISHED, tmp_path / "in")

    operations.run_lottery(lambda: Ledger.create(ledger, key=key), request)

    assert not (ledger / KEY_FILE).exists()
    assert key.stat().st_mode & 0o777 == 0o600
    assert faults_of(ledger, key_file=key) == []
    with unchanged(ledger), pytest.raises(KeyUnusable, match=r"signing\.key cannot be read"):
        record_in(ledger, request_of(META_ONLY, tmp_path / "other"))


def test_a_key_that_is_there_is_the_new_log_s(ledger: Path, tmp_path: Path) -> None:
    key = create_key_file(tmp_path / "backend.key", "backend.example/assignments")

    made = Ledger.create(ledger, key=tmp_path / "backend.key")

    assert (made.log().origin, made.log().key) == ("backend.example/assignments", key.verifier)
    assert proofs.public_keys(made).key == key.verifier


def test_a_key_that_cannot_be_used_makes_no_ledger(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "backend.key").write_text("no key\n")

    for key in (tmp_path / "backend.key", tmp_path / "no folder" / "backend.key"):
        with pytest.raises(KeyUnusable):
            Ledger.create(ledger, key=key)

    with pytest.raises(LedgerNotFound):
        Ledger.open(ledger)


@contextmanager
def in_the_way(path: Path) -> Iterator[None]:
    """Replace a file by a folder for a while."""
    kept = path.with_name(f"{path.name} kept")
    path.rename(kept)
    path.mkdir()
    yield
    path.rmdir()
    kept.rename(path)


@pytest.mark.parametrize("name", [MIRROR, CHECKPOINT_FILE])
@pytest.mark.usefixtures("published")
def test_what_is_committed_and_not_finished_is_recorded_and_the_next_write_completes_it(
    ledger: Path, tmp_path: Path, name: str
) -> None:
    request = request_of(META_ONLY, tmp_path / "in")
    steps = 0
    folder = in_the_way(ledger / name)

    def proceed() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:  # Right before the commit.
            folder.__enter__()

    with pytest.raises(LedgerUnfinished, match="the write is recorded"):
        operations.run_lottery(lambda: Ledger.create(ledger), request, proceed=proceed)
    folder.__exit__(None, None, None)

    assert (ledger / UNFINISHED).exists()
    assert runs_in(ledger) == [A, B]
    again = record_in(ledger, request)
    assert (again.already_recorded, again.record.run) == (True, B)
    assert (WRITE_RECOVERED, f"the recording of {B}", "complete") in trail_of(ledger)
    assert_sound(ledger)


@pytest.mark.parametrize("name", [MIRROR, CHECKPOINT_FILE])
@pytest.mark.usefixtures("published")
def test_an_entry_of_the_trail_that_is_not_finished_is_completed_by_the_next_one(
    ledger: Path, name: str
) -> None:
    opened = Ledger.open(ledger)
    entry = list(opened.trail_entries())[-1]
    folder = in_the_way(ledger / name)

    def enter() -> None:
        with opened.changing_log() as connection:
            opened.enter_within(connection, entry)
            folder.__enter__()

    with pytest.raises(LedgerUnfinished):
        enter()
    with pytest.raises((LedgerUnwritable, LedgerUnfinished)):
        opened.enter(entry)  # It is still in the way.
    folder.__exit__(None, None, None)
    opened.enter(entry)

    assert [operation for operation, _, _ in trail_of(ledger)][2:] == [
        "RUN_RECORDED",
        "WRITE_RECOVERED",
        "RUN_RECORDED",
    ]
    assert_sound(ledger)


@pytest.mark.parametrize("stray", ["empty", "with a file"])
@pytest.mark.usefixtures("published")
def test_stray_evidence_in_the_way_is_reported_as_damage_and_not_touched(
    run: Run, ledger: Path, stray: str
) -> None:
    folder = ledger / "evidence/2024-09-16" / B
    folder.mkdir()
    if stray == "with a file":
        (folder / "run.json").write_text("{}")

    with unchanged(ledger), pytest.raises(LedgerDamaged, match="but no run"):
        run(META_ONLY)

    assert folder.is_dir()
    assert [fault.problem for fault in faults_of(ledger)] == ["no record names it"]


@pytest.mark.usefixtures("published")
def test_a_refused_write_leaves_no_trace_of_having_begun(run: Run, ledger: Path) -> None:
    with unchanged(ledger), pytest.raises(Conflict):
        run(PUBLISHED, cycle=2)

    assert not (ledger / UNFINISHED).exists()


@pytest.mark.usefixtures("published")
def test_a_write_that_fails_after_it_was_announced_is_taken_back_at_once(ledger: Path) -> None:
    opened = Ledger.open(ledger)
    entry = list(opened.trail_entries())[-1]

    def fail() -> None:
        with opened._writing() as transaction:
            transaction.announce(B)
            (ledger / "evidence/2024-09-16" / B).mkdir()
            opened.enter_within(transaction.connection, entry)
            raise ZeroDivisionError

    with unchanged(ledger), pytest.raises(ZeroDivisionError):
        fail()

    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_write_that_fails_and_cannot_be_taken_back_stays_announced(
    run: Run, ledger: Path
) -> None:
    opened = Ledger.open(ledger)
    folder = in_the_way(ledger / CHECKPOINT_FILE)

    def fail() -> None:
        with opened._writing() as transaction:
            transaction.announce(B)
            folder.__enter__()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    folder.__exit__(None, None, None)

    assert (ledger / UNFINISHED).exists()
    assert run(META_ONLY).record.run == B
    assert (WRITE_RECOVERED, f"the recording of {B}, given up", "complete") in trail_of(ledger)
    assert_sound(ledger)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"run": 7}', b'{"run": "../.."}', b'{"run": null}', b"\xff"],
)
@pytest.mark.usefixtures("published")
def test_an_announcement_that_names_no_run_withdraws_none(
    run: Run, ledger: Path, content: bytes
) -> None:
    (ledger / UNFINISHED).write_bytes(content)

    assert run(META_ONLY).record.run == B

    assert trail_of(ledger)[2:3] == [(WRITE_RECOVERED, "a write", "complete")]
    assert_sound(ledger)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: append(path, b"\n"), id="more"),
        pytest.param(lambda path: cut(path, 3, then=b"abc"), id="other ends"),
        pytest.param(lambda path: cut(path, 40, then=b"x"), id="torn and changed"),
    ],
)
@pytest.mark.usefixtures("published")
def test_a_checkpoint_file_that_is_not_what_was_signed_is_not_recovered_over(
    run: Run, ledger: Path, change: Callable[[Path], object]
) -> None:
    (ledger / UNFINISHED).write_bytes(b'{"run": null}')
    change(ledger / CHECKPOINT_FILE)

    for _ in range(2):
        with unchanged(ledger), pytest.raises(LedgerDamaged):
            run(META_ONLY)

    assert "checkpoints" in [fault.where for fault in faults_of(ledger)]


@pytest.mark.parametrize("size", [0, 1, 100, 331, 332, 333])
@pytest.mark.usefixtures("published")
def test_a_checkpoint_file_torn_anywhere_is_completed(ledger: Path, size: int) -> None:
    whole = (ledger / CHECKPOINT_FILE).read_bytes()
    (ledger / UNFINISHED).write_bytes(b'{"run": null}')
    os.truncate(ledger / CHECKPOINT_FILE, size)

    Ledger.create(ledger)

    assert (ledger / CHECKPOINT_FILE).read_bytes().startswith(whole)
    assert_sound(ledger)


@pytest.mark.parametrize("name", [MIRROR, CHECKPOINT_FILE])
@pytest.mark.usefixtures("published")
def test_a_file_that_is_missing_after_a_kill_is_made_again(ledger: Path, name: str) -> None:
    (ledger / UNFINISHED).write_bytes(b'{"run": null}')
    (ledger / name).unlink()

    Ledger.create(ledger)

    assert_sound(ledger)


def test_the_mirror_is_the_database_byte_for_byte_whatever_is_written(
    ledger: Path, tmp_path: Path
) -> None:
    generator = random.Random(17)  # noqa: S311 - no lottery is drawn with it.
    reported: list[str] = []
    for number in range(25):
        strikes = generator.sample(range(6), generator.randint(1, 3))
        day = SmallDay(
            notices=[notice(f"N{number}-{strike}", series_of(strike), 1) for strike in strikes],
            positions=[position(series_of(strike), "1", 9 + number) for strike in range(6)],
            date=generator.choice([PUBLISHED.date, NEXT_DATE]),
        )
        basis = generator.choice([None, None, "net", "gross"])
        request = request_of(day, tmp_path / str(number), cycle=1 + number, positions_basis=basis)
        try:
            reported.append(str(record_in(ledger, request).already_recorded))
        except Conflict as conflict:
            reported.append(conflict.reason)
        if not number % 5:
            replays_of(ledger)
        assert (ledger / MIRROR).read_bytes() == (ledger / DATABASE).read_bytes()

    assert set(reported) == {"False", "POOL_ALREADY_ALLOCATED"}
    assert_sound(ledger)


def series_of(strike: int) -> str:
    return f"AAPL  240920C{strike:08d}"


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_a_record_larger_than_the_database_s_cache_is_mirrored_too(run: Run, ledger: Path) -> None:
    many = SmallDay(
        notices=[notice(f"N{strike}", series_of(strike), 1) for strike in range(1, 40_001)],
        positions=[position(AAPL, "1", 1)],
        date=NEXT_DATE,
    )

    record = run(many).record

    assert len(record.canonical()) > 4 << 20
    assert replay_of(ledger, record.run).matched
    run(META_ONLY)
    assert_sound(ledger)


def test_readers_hold_the_lock_together_and_a_writer_alone(ledger: Path) -> None:
    Ledger.create(ledger)

    reads = functools.partial(write_transaction.locked, ledger, 0.0, shared=True)
    writes = functools.partial(write_transaction.locked, ledger, 0.0)

    with reads(), reads(), pytest.raises(LedgerBusy):
        writes().__enter__()
    for other in (reads, writes):
        with writes(), pytest.raises(LedgerBusy):
            other().__enter__()
    with writes():
        assert ledger.is_dir()


@pytest.mark.usefixtures("published")
def test_a_ledger_that_is_verified_lets_a_writer_wait(ledger: Path) -> None:
    opened = Ledger.open(ledger, lock_seconds=0.05)
    descriptor = os.open(ledger, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)

    with unchanged(ledger), pytest.raises(LedgerBusy):
        opened.enter(next(opened.trail_entries()))
    assert faults_of(ledger) == []

    os.close(descriptor)
    opened.enter(next(opened.trail_entries()))
    assert_sound(ledger)


def test_the_first_difference_of_two_files_is_reported_by_its_offset(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    size = (1 << 20) + 10
    for ours, theirs, offset in (
        (b"", b"", None),
        (b"", b"a", 0),
        (b"abc", b"abd", 2),
        (b"abc", b"ab", 2),
        (bytes(size), bytes(size), None),
        (bytes(size), bytes(size - 1), size - 1),
        (bytes(size), bytes(size - 1) + b"\x01", size - 1),
    ):
        one.write_bytes(ours)
        other.write_bytes(theirs)
        assert write_transaction.first_difference(one, other) == offset
        assert write_transaction.first_difference(other, one) == offset


@pytest.mark.usefixtures("published")
def test_a_transaction_that_only_reads_writes_nothing(ledger: Path) -> None:
    with unchanged(ledger), write_transaction.locked(ledger, 1.0):
        engine = connect(ledger / DATABASE, 1.0)
        with write_transaction.transaction(ledger, engine) as transaction:
            assert transaction.connection.execute(NODES.select()).all()
        assert transaction.statements == []


def test_a_full_day_leaves_a_ledger_without_anything_unfinished(run: Run, ledger: Path) -> None:
    run(FULL)

    assert sorted(path.name for path in ledger.iterdir()) == sorted(
        [*DATABASES, CHECKPOINT_FILE, KEY_FILE, "evidence", "staging"]
    )
    assert_sound(ledger)
