"""Verify: a ledger that was left alone is sound, and whatever is done to one is found and named.

The ledger here has two dates, a run superseded, a later cycle that continues a draw, a request that
names a known run, a charter amended, a key rotated, and a replay.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lottery import operations
from lottery.audit.verify import Fault
from lottery.errors import LedgerNotFound, LedgerUnfinished
from lottery.ledger import evidence, log
from lottery.ledger.entry import Charter, Entry, NamedRequest, NextKey, canonical, digest_of
from lottery.ledger.run_record import RunRecord
from lottery.ledger.schema import metadata
from lottery.operations.ledgers import CharterTerms, init_ledger
from lottery.stores.directory import Directory
from lottery.stores.sqlite import FILE as DATABASE
from lottery.tlog.cosignature import add_cosignature
from lottery.tlog.keys import SignatureType, SigningKey, VerifierKey, create_key_file, read_key_file
from tests.builders import (
    AAPL,
    FULL,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    SmallDay,
    copied,
    faults_of,
    made,
    notice,
    opened,
    positions_of,
    record_in,
    replay_of,
    request_of,
    settings_of,
)
from tests.reference import Row

RUNS = ("2024-09-16-001", "2024-09-16-002", "2024-09-16-003", "2024-09-17-001")
STRANGER = SigningKey(name="stranger.example", seed=bytes(range(1, 33)))
WITNESS = SigningKey(
    name="witness.example", seed=bytes(range(32)), signature_type=SignatureType.COSIGNATURE
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified")
    ledger = folder / "ledger"
    record_in(ledger, request_of(FULL, folder / "a"))
    record_in(ledger, request_of(FULL, folder / "e", request_id="another-request"))
    again = request_of(FULL.shuffled(3), folder / "b", supersedes=[RUNS[0]], reason="it was late")
    record_in(ledger, again)
    operations.rotate_key(settings_of(ledger), TESTER)
    second = replace(FULL, notices=[notice("B1", META, 2, "C"), notice("B2", AAPL, 50, "C")])
    record_in(ledger, request_of(second, folder / "c", cycle=2))
    amend(ledger, NEXT_DATE)
    record_in(ledger, request_of(replace(PUBLISHED, date=NEXT_DATE), folder / "d"))
    replay_of(ledger, RUNS[2])
    return ledger


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Path:
    """A copy of the ledger that may be changed."""
    return copied(whole, tmp_path / "ledger")


def amend(ledger: Path, holds_from: dt.date) -> Charter:
    return operations.amend_charter(
        settings_of(ledger),
        holds_from=holds_from,
        change=lambda terms: replace(terms, approval_reference="memo 12"),
        by=TESTER,
    )


def names_of(faults: Sequence[Fault]) -> list[str]:
    return [fault.where for fault in faults]


def published_files(ledger: Path) -> list[str]:
    """Return the names of the files of the log and the evidence."""
    found = [*(ledger / "log").rglob("*"), *(ledger / "evidence").rglob("*")]
    return sorted(path.relative_to(ledger).as_posix() for path in found if path.is_file())


def state_of(ledger: Path) -> dict[str, bytes]:
    return {
        path.relative_to(ledger).as_posix(): path.read_bytes()
        for path in ledger.rglob("*")
        if path.is_file()
    }


def key_of(ledger: Path) -> VerifierKey:
    return opened(ledger).log().key


def changed(ledger: Path, statement: str, values: Sequence[Any] = ()) -> None:
    """Change the database past the triggers that forbid it."""
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = database.execute(query).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement, values)
        for _, text in triggers:
            database.execute(text)
        database.commit()


def appended(ledger: Path, *entries: Entry) -> None:
    """Sign and publish entries, whatever they say, as somebody with the private key could."""
    there = opened(ledger)
    with there.ports.database.writing() as connection:
        signer = log.read_log(connection)
        head = log.read_head(connection, signer)
        for entry in entries:
            key = read_key_file(there.key_file)
            if isinstance(entry, RunRecord):
                notices = there.read(entry, evidence.NOTICES_FILE)
                log.add_notices(connection, head.tree_size, log.notice_keys(notices))
            head = log.append(connection, signer, head, entry, canonical(entry), key)
    there.publish()


def last_run(ledger: Path) -> RunRecord:
    return opened(ledger).get(RUNS[-1])


def problems_of(ledger: Path) -> str:
    return "\n".join(fault.problem for fault in faults_of(ledger))


def test_a_ledger_left_alone_is_sound_for_its_operator_and_stays_as_it_is(ledger: Path) -> None:
    before = state_of(ledger)

    verification = operations.verify_ledger(settings_of(ledger))

    assert list(verification) == []
    files = published_files(ledger)
    assert verification.tally.runs == len(RUNS)
    assert verification.tally.files == len(files)
    assert verification.tally.bytes == sum((ledger / name).stat().st_size for name in files)
    assert verification.tally.public_key == str(key_of(ledger))
    assert state_of(ledger) == before


def test_a_ledger_left_alone_is_sound_for_an_auditor_with_its_first_or_its_latest_key(
    ledger: Path,
) -> None:
    (ledger / "signing.key").unlink()
    (_, first), (_, latest) = opened(ledger).log().keys

    assert faults_of(ledger, keys=[first]) == []
    assert faults_of(ledger, keys=[latest]) == []
    assert names_of(faults_of(ledger)) == ["signing.key"]


def test_a_ledger_without_a_run_is_sound(tmp_path: Path) -> None:
    made(tmp_path / "ledger")

    assert faults_of(tmp_path / "ledger") == []


def test_where_there_is_no_ledger_that_is_reported_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerNotFound):
        operations.verify_ledger(settings_of(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_progress_is_called_once_a_run(ledger: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    list(operations.verify_ledger(settings_of(ledger), progress=lambda *call: calls.append(call)))

    assert calls == [(run, number, 4) for number, run in enumerate(RUNS, 1)]


def test_what_is_recorded_during_a_verification_is_no_fault(ledger: Path, tmp_path: Path) -> None:
    later = replace(PUBLISHED, date=NEXT_DATE + dt.timedelta(days=1))

    def record(_run: str, number: int, _count: int) -> None:
        if number == 1:
            record_in(ledger, request_of(later, tmp_path / "later"))

    assert list(operations.verify_ledger(settings_of(ledger), progress=record)) == []


def damaged_together(ledger: Path) -> list[list[str]]:
    """Return the files that are damaged at a time: one of the log, or all of the evidence.

    The log's files are held against each other, each file of evidence against its own digest.
    """
    names = published_files(ledger)
    evidence_files = [name for name in names if name.startswith("evidence/")]
    return [[name] for name in names if name not in evidence_files] + [evidence_files]


def test_every_missing_file_is_named_and_no_other(ledger: Path) -> None:
    for names in [*damaged_together(ledger), [DATABASE], ["signing.key"]]:
        contents = {name: (ledger / name).read_bytes() for name in names}
        for name in names:
            (ledger / name).unlink()

        wheres = ["the database" if name == DATABASE else name for name in names]
        found = sorted(names_of(faults_of(ledger)))
        # The checkpoint is one of the database's heads, which whoever comes next publishes.
        assert found == ([] if names == ["log/checkpoint"] else sorted(wheres)), names
        for name, content in contents.items():
            (ledger / name).write_bytes(content)
            (ledger / name).chmod(0o600)
    assert faults_of(ledger) == []


@pytest.mark.parametrize("tamper", [lambda content: content[:-1], lambda content: content + b"\n"])
def test_every_file_cut_or_lengthened_is_named(
    ledger: Path, tamper: Callable[[bytes], bytes]
) -> None:
    for names in damaged_together(ledger):
        contents = {name: (ledger / name).read_bytes() for name in names}
        for name, content in contents.items():
            (ledger / name).write_bytes(tamper(content))

        assert sorted(names_of(faults_of(ledger))) == sorted(names)
        for name, content in contents.items():
            (ledger / name).write_bytes(content)


def test_links_and_folders_in_the_place_of_files_are_named(ledger: Path, tmp_path: Path) -> None:
    for name in ("log/checkpoint", "log/tile/entries/000.p/3", "log/heads/000000000002"):
        (ledger / name).rename(tmp_path / "elsewhere")
        (ledger / name).symlink_to(tmp_path / "elsewhere")
        assert names_of(faults_of(ledger)) == [name]
        (ledger / name).unlink()
        (ledger / name).mkdir()
        assert names_of(faults_of(ledger)) == [name]
        (ledger / name).rmdir()
        (tmp_path / "elsewhere").rename(ledger / name)
    folder = Path(last_run(ledger).folder)
    (ledger / folder).rename(tmp_path / "folder")
    (ledger / folder).symlink_to(tmp_path / "folder")
    assert folder.as_posix() in names_of(faults_of(ledger))


@pytest.mark.parametrize(
    "name",
    [
        "log/notes.txt",
        "log/heads/000000000099",
        "log/heads/000000000000",
        "log/tile/0/000.p/99",
        "log/tile/entries/000",
        "log/witnessed/000000000099",
        "log/tile/0/x001/000",
        "evidence/2024-09-16/a-file",
    ],
)
def test_a_file_that_no_log_of_its_size_has_is_named(ledger: Path, name: str) -> None:
    (ledger / name).parent.mkdir(parents=True, exist_ok=True)
    (ledger / name).write_bytes(b"anything")

    assert names_of(faults_of(ledger)) == [name]


def test_a_file_beside_the_evidence_that_no_entry_names_is_named(ledger: Path) -> None:
    name = f"{last_run(ledger).folder}/sources/added.csv"
    (ledger / name).write_bytes(b"")

    assert names_of(faults_of(ledger)) == [name]


def test_evidence_that_no_entry_names_is_counted_and_no_fault(ledger: Path) -> None:
    for folder in ("2024-09-16/0123456789abcdef", "2024-12-24/0123456789abcdef"):
        (ledger / "evidence" / folder).mkdir(parents=True)
        (ledger / "evidence" / folder / "pools.parquet").write_bytes(b"")

    verification = operations.verify_ledger(settings_of(ledger))

    assert list(verification) == []
    assert verification.tally.unnamed_folders == 2


def rows_of(ledger: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield table, number and values of every row."""
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        for table in metadata.tables:
            cursor = database.execute(f"SELECT * FROM {table}")  # noqa: S608
            names = [column[0] for column in cursor.description]
            for number, row in enumerate(cursor.fetchall()):
                yield table, number, dict(zip(names, row, strict=True))


def test_every_row_that_is_deleted_or_changed_is_named_by_its_table(ledger: Path) -> None:
    content = (ledger / DATABASE).read_bytes()
    others = {int: 77, str: "other", bytes: b"other"}
    for table, number, row in rows_of(ledger):
        key = " AND ".join(f"{name} = ?" for name in row)
        statements = [(f"DELETE FROM {table} WHERE {key}", [*row.values()])]  # noqa: S608
        if number == 0:
            statements += [
                (
                    f"UPDATE {table} SET {name} = ? WHERE {key}",  # noqa: S608
                    [others[type(value)], *row.values()],
                )
                for name, value in row.items()
            ]
        for statement, values in statements:
            changed(ledger, statement, values)
            found = names_of(faults_of(ledger))
            assert any(f"the table {table}" in where for where in found), (statement, found)
            # Of the files, only the last head can be another than a head that the table states.
            files = {where for where in found if where.startswith(("log/", "evidence/"))}
            assert files <= {"log/checkpoint"}, statement
            (ledger / DATABASE).write_bytes(content)


# Those of verdicts are in test_verify_four_eyes.py.
@pytest.mark.parametrize("table", sorted(set(metadata.tables) - {"verdicts"}))
def test_a_row_that_is_added_is_named_by_its_table(ledger: Path, table: str) -> None:
    row = next(row for name, _, row in rows_of(ledger) if name == table)
    added = {
        name: {int: 770, str: "zzz", bytes: b"zzz"}[type(value)] for name, value in row.items()
    }
    marks = ", ".join("?" * len(added))
    changed(ledger, f"INSERT INTO {table} VALUES ({marks})", list(added.values()))  # noqa: S608

    assert any(f"the table {table}" in where for where in names_of(faults_of(ledger)))


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("DROP TRIGGER runs_refuse_delete", "the trigger runs_refuse_delete of the database"),
        ("DROP INDEX ix_runs_content_sha256", "the index ix_runs_content_sha256 of the database"),
        ("CREATE TABLE other (a)", "the table other of the database"),
        ("CREATE VIEW other AS SELECT 1", "the view other of the database"),
    ],
)
def test_a_schema_that_is_not_that_of_a_new_ledger_is_named(
    ledger: Path, statement: str, where: str
) -> None:
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        database.execute(statement)
        database.commit()

    assert where in names_of(faults_of(ledger))


def test_a_lost_index_entry_is_found(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        page = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_runs_content_sha256'"
        ).fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray((ledger / DATABASE).read_bytes())
    start = (page - 1) * size
    content[start + 4] -= 1  # One cell fewer, of those that the page has.
    (ledger / DATABASE).write_bytes(content)

    assert "the database" in names_of(faults_of(ledger))


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_what_sqlite_would_take_up_beside_the_database_is_named_and_left_alone(
    ledger: Path, suffix: str
) -> None:
    beside = ledger / f"{DATABASE}{suffix}"
    beside.write_bytes(b"anything")

    (fault,) = faults_of(ledger)

    assert fault.where == "the database"
    assert beside.name in fault.problem
    assert beside.read_bytes() == b"anything"


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4080)])
def test_a_database_that_is_none_is_one_fault_and_hides_no_other(
    ledger: Path, content: bytes
) -> None:
    (ledger / DATABASE).write_bytes(content)
    (ledger / "log/tile/0/000.p/2").write_bytes(b"")

    assert names_of(faults_of(ledger)) == ["log/tile/0/000.p/2", "the database"]
    assert (ledger / DATABASE).read_bytes() == content


def test_a_missing_database_says_how_it_is_made_again(ledger: Path) -> None:
    (ledger / DATABASE).unlink()

    assert "lottery rebuild" in problems_of(ledger)


def test_an_entry_that_neither_the_files_nor_the_database_have_hides_no_other(ledger: Path) -> None:
    bundles = sorted((ledger / "log/tile/entries/000.p").iterdir(), key=lambda path: int(path.name))
    whole_bundle = bundles[-1]
    content = whole_bundle.read_bytes()
    offset = content.index(b'"request_id":"another-request"') + 20
    for path in bundles:
        damaged = bytearray(path.read_bytes())
        if offset < len(damaged):
            damaged[offset] ^= 1
            path.write_bytes(damaged)
    (ledger / DATABASE).unlink()
    (ledger / last_file(ledger)).unlink()

    found = names_of(faults_of(ledger))

    assert "entry 2 of the log" in found
    assert last_file(ledger, missing=True) in found
    assert not any(name.startswith("log/heads") for name in found)


def last_file(ledger: Path, *, missing: bool = False) -> str:
    """Return the name of the last run's notices."""
    (folder,) = (ledger / "evidence" / NEXT_DATE.isoformat()).iterdir()
    assert missing or (folder / "notices.parquet").exists()
    return (folder / "notices.parquet").relative_to(ledger).as_posix()


def test_a_head_signed_by_a_key_that_is_not_the_logs_is_named(ledger: Path) -> None:
    name = "log/heads/000000000003"
    older, newer = (
        (ledger / f"log/heads/{size:012d}").read_bytes().partition(b"\n\n") for size in (3, 4)
    )
    (ledger / name).write_bytes(older[0] + b"\n\n" + newer[2])

    assert names_of(faults_of(ledger)) == [name]


@pytest.mark.parametrize("keeps", [1, 5])
def test_an_older_database_beside_newer_files_is_named_and_gets_no_second_history(
    ledger: Path, keeps: int
) -> None:
    for table, column in (("heads", "tree_size"), ("entries", "log_index")):
        changed(ledger, f"DELETE FROM {table} WHERE {column} > ?", [keeps])  # noqa: S608

    found = names_of(faults_of(ledger))

    assert f"row {keeps + 1} of the table heads" in found
    assert not any(name.startswith(("log/", "evidence/")) for name in found)


def test_what_a_killed_writer_did_not_publish_is_published(ledger: Path, whole: Path) -> None:
    names = [name for name in published_files(ledger) if name.startswith("log/")]
    size = len(list((ledger / "log/heads").iterdir()))
    (ledger / f"log/heads/{size:012d}").unlink()
    (ledger / f"log/tile/0/000.p/{size}").unlink()
    head = (ledger / f"log/heads/{size - 1:012d}").read_bytes()
    (ledger / "log/checkpoint").write_bytes(head)

    assert faults_of(ledger) == []
    assert {name: (ledger / name).read_bytes() for name in names} == {
        name: (whole / name).read_bytes() for name in names
    }


def test_a_forged_head_in_the_database_is_not_published(ledger: Path) -> None:
    before = {name: (ledger / name).read_bytes() for name in published_files(ledger)}
    there = opened(ledger)
    with there.ports.database.writing() as connection:
        signer = log.read_log(connection)
        head = log.read_head(connection, signer)
        entry = last_run(ledger)
        request = NamedRequest(
            request_id="forged",
            run=entry.run,
            requested_by=TESTER,
            recorded_at=entry.recorded_at,
            software=entry.software,
        )
        log.append(connection, signer, head, request, canonical(request), STRANGER)

    assert names_of(faults_of(ledger))
    assert {name: (ledger / name).read_bytes() for name in published_files(ledger)} == before


def test_a_whole_log_of_another_key_is_found_by_one_who_knows_the_key(
    ledger: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.rmtree(ledger)
    record_in(ledger, request_of(FULL, tmp_path / "in"))
    assert faults_of(ledger) == []

    assert "the log" in names_of(faults_of(ledger, keys=[key_of(whole)]))


def test_an_older_copy_of_everything_with_another_run_is_found_by_a_head_that_was_kept(
    tmp_path: Path,
) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "a"))
    older = copied(tmp_path / "ledger", tmp_path / "older")
    kept = {"first": (older / "log/checkpoint").read_bytes()}
    record_in(tmp_path / "ledger", request_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "b"))
    kept["second"] = (tmp_path / "ledger/log/checkpoint").read_bytes()

    def found() -> list[Fault]:
        return list(operations.verify_ledger(settings_of(older), checkpoint=kept))

    (fault,) = found()
    assert (fault.where, "an older copy" in fault.problem) == ("second", True)
    other = replace(PUBLISHED, date=NEXT_DATE + dt.timedelta(days=1))
    record_in(older, request_of(other, tmp_path / "c"))
    assert faults_of(older) == []
    (fault,) = found()
    assert (fault.where, "another history" in fault.problem) == ("second", True)
    kept = {"third": b"no head"}
    assert names_of(found()) == ["third"]


def test_a_key_that_is_given_must_have_signed_a_head(ledger: Path) -> None:
    keys = [key_of(ledger), WITNESS.verifier]
    assert names_of(faults_of(ledger, keys=keys)) == ["the key witness.example"]
    note = add_cosignature((ledger / "log/heads/000000000002").read_bytes(), WITNESS, 1_700_000_000)
    witnessed = ledger / "log/witnessed/000000000002"
    witnessed.parent.mkdir(exist_ok=True)
    witnessed.write_bytes(note)

    assert faults_of(ledger, keys=keys) == []

    witnessed.write_bytes(note.replace(b"\n2\n", b"\n3\n"))
    assert set(names_of(faults_of(ledger, keys=keys))) == {
        "log/witnessed/000000000002",
        "the key witness.example",
    }
    witnessed.unlink()
    assert names_of(faults_of(ledger, keys=[STRANGER.verifier])) == [
        "the log",
        "the key stranger.example",
    ]


def test_a_private_key_that_is_not_the_logs_is_named(ledger: Path) -> None:
    (ledger / "signing.key").unlink()
    create_key_file(ledger / "signing.key", key_of(ledger).name)

    assert names_of(faults_of(ledger)) == ["signing.key"]


def _other_run(record: RunRecord, **given: Any) -> RunRecord:
    terms = {
        "run": "2024-09-17-002",
        "request_id": "other",
        "content_sha256": "0" * 64,
        "previous": digest_of(canonical(record)),
        **given,
    }
    return replace(record, **terms)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "NOTICE_ALREADY_ALLOCATED"),
        ({"run": "2024-09-17-003", "supersedes": (RUNS[3],), "reason": "r"}, "the next of its"),
        ({"previous": None, "supersedes": (RUNS[3],), "reason": "r"}, "expected that it follows"),
        ({"charter": "0" * 64, "supersedes": (RUNS[3],), "reason": "r"}, "that was in force"),
        ({"request_id": "another-request", "supersedes": (RUNS[3],), "reason": "r"}, "a new requ"),
        ({"supersedes": (RUNS[3],)}, "expected a reason"),
        ({"supersedes": (RUNS[3], RUNS[3]), "reason": "r"}, "sorted, each once"),
        ({"supersedes": (RUNS[2],), "reason": "r"}, "expected a run of 2024-09-17"),
        ({"supersedes": ("2024-09-17-009",), "reason": "r"}, "is not recorded"),
        ({"rests_on": ("2024-09-17-009",)}, "2024-09-17-009 is not recorded"),
    ],
)
def test_a_run_that_breaks_a_rule_is_found_however_well_it_is_signed(
    ledger: Path, given: dict[str, Any], problem: str
) -> None:
    record = _other_run(last_run(ledger), **given)
    if record.request_id == "another-request":  # The table refuses the second row.
        record_without_row(ledger, record)
    else:
        appended(ledger, record)

    assert problem in problems_of(ledger)


def test_a_run_of_another_clearing_member_than_its_charters_is_found(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    there = init_ledger(
        settings_of(ledger), CharterTerms(decisions={}, clearing_member="00099"), TESTER
    )
    request = request_of(PUBLISHED, tmp_path / "in", clearing_member="00099")
    record = operations.run_lottery(there, request).record
    assert problems_of(ledger) == ""

    given = {"run": "2024-09-16-002", "supersedes": (record.run,), "reason": "r"}
    appended(ledger, _other_run(record, **given, clearing_member="00123"))

    assert "expected the clearing member of its charter, 00099, got 00123" in problems_of(ledger)


@pytest.fixture
def late(tmp_path: Path) -> tuple[Path, Path, RunRecord]:
    """A ledger of one run, a copy that has a later cycle too, and the record of that."""
    ledger = tmp_path / "first"
    record_in(ledger, request_of(FULL, tmp_path / "a"))
    other = copied(ledger, tmp_path / "second")
    day = replace(FULL, notices=[notice("B1", META, 2, "C"), notice("B2", AAPL, 5, "C")])
    return ledger, other, record_in(other, request_of(day, tmp_path / "b", cycle=2)).record


def forged(
    late: tuple[Path, Path, RunRecord], tables: dict[str, Callable[[Row], Row]], **given: Any
) -> Path:
    """Append the later cycle with other rows and members, as one could who has the key."""
    ledger, other, record = late
    folder = other / record.folder
    files = []
    for file in record.evidence:
        path = folder / file.name
        if file.name in tables:
            table = evidence.read_table(folder, file.name)
            rows = [tables[file.name](row) for row in table.to_pylist()]
            assert rows != table.to_pylist()
            evidence.write_parquet(pa.Table.from_pylist(rows, table.schema), path)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append(replace(file, sha256=digest, size=len(content)))
    wrong = replace(record, evidence=tuple(files), **given)
    shutil.copytree(folder, ledger / wrong.folder)
    (ledger / wrong.folder / f"{record.run}.json").unlink()
    appended(ledger, wrong)
    return ledger


def _given_more(row: Row) -> Row:
    return {**row, "short_quantity": int(str(row["short_quantity"])) + 1}


def _assigned_less_before(row: Row) -> Row:
    return {**row, "assigned_before": int(str(row["assigned_before"])) - 1}


@pytest.mark.parametrize(
    ("tables", "given", "problems"),
    [
        ({}, {}, set()),
        (
            {"continued.parquet": _assigned_less_before},
            {},
            {"expected in continued.parquet what was drawn before it, got something else"},
        ),
        (
            {
                "continued.parquet": _assigned_less_before,
                "pools.parquet": _assigned_less_before,
            },
            {},
            {"expected in continued.parquet what was drawn before it, got something else"},
        ),
        (
            {"continued.parquet": lambda row: {**row, "first_run": "2024-09-16-002"}},
            {},
            {"expected in continued.parquet what was drawn before it, got something else"},
        ),
        (
            {"continued.parquet": lambda row: {**row, "population_sha256": "0" * 64}},
            {},
            {"expected in continued.parquet what was drawn before it, got something else"},
        ),
        (
            {"positions.parquet": _given_more},
            {},
            {
                f"expected in positions.parquet the first population of C {series}, or what "
                f"is left of it, got another at account {account}"
                for series, account in ((AAPL, "1046"), (META, "0042"))
            },
        ),
        ({}, {"rests_on": ()}, {"expected that it continues 2024-09-16-001, got none"}),
        (
            {},
            {"rests_on": ("2024-09-16-001", "2024-09-16-003")},
            {
                "run 2024-09-16-003 is not recorded",
                "expected that it continues 2024-09-16-001, got 2024-09-16-001, 2024-09-16-003",
            },
        ),
        (
            {},
            {"supersedes": ("2024-09-16-001",), "reason": "r"},
            {
                "expected that it continues no run, got 2024-09-16-001",
                "expected in continued.parquet what was drawn before it, got something else",
            },
        ),
    ],
    ids=[
        *("nothing", "less before", "less before in both", "another first run"),
        *("another population", "other positions", "no run", "a run too many", "a superseded run"),
    ],
)
def test_a_run_that_continues_another_draw_than_stood_is_found(
    late: tuple[Path, Path, RunRecord],
    tables: dict[str, Callable[[Row], Row]],
    given: dict[str, Any],
    problems: set[str],
) -> None:
    ledger = forged(late, tables, **given)

    assert {fault.problem for fault in faults_of(ledger)} == problems


def test_a_run_superseded_without_what_rests_on_it_is_found(
    late: tuple[Path, Path, RunRecord],
) -> None:
    _, ledger, record = late
    first = opened(ledger).get("2024-09-16-001")
    again = replace(
        first,
        run="2024-09-16-003",
        previous=digest_of(canonical(record)),
        request_id="again",
        content_sha256="0" * 64,
        supersedes=(first.run,),
        reason="r",
    )
    appended(ledger, again)

    assert "got RUN_HAS_DEPENDENTS: 2024-09-16-002 rests on a run" in problems_of(ledger)


def record_without_row(ledger: Path, record: RunRecord) -> None:
    changed(ledger, "DELETE FROM requests WHERE request_id = ?", [record.request_id])
    appended(ledger, record)


def test_a_second_seed_and_a_second_superseding_are_found(ledger: Path, tmp_path: Path) -> None:
    record_in(
        tmp_path / "other",
        request_of(replace(PUBLISHED, date=NEXT_DATE, asks=OTHER_ASKS), tmp_path / "in"),
    )
    seed = opened(tmp_path / "other").get("2024-09-17-001").seed
    last = last_run(ledger)
    appended(ledger, second := _other_run(last, seed=seed))
    assert "SEED_CONFLICT" in problems_of(ledger)
    third = _other_run(
        last,
        run="2024-09-17-003",
        request_id="third",
        previous=digest_of(canonical(second)),
        supersedes=(RUNS[3],),
        reason="r",
    )
    fourth = replace(
        third,
        run="2024-09-17-004",
        request_id="fourth",
        content_sha256="1" * 64,
        previous=digest_of(canonical(third)),
    )
    appended(ledger, third, fourth)
    problems = problems_of(ledger)
    assert "is already superseded by run 2024-09-17-003" in problems
    assert "expected other content" in problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"holds_from": NEXT_DATE}, "holds from after 2024-09-17"),
        ({"holds_from": None}, "holds from after 2024-09-17"),
        ({"previous": None}, "expected a charter that follows"),
        ({"origin": "other.example"}, "expected the origin"),
    ],
)
def test_a_charter_that_breaks_a_rule_is_found(
    ledger: Path, change: dict[str, Any], problem: str
) -> None:
    last = opened(ledger).charters()[-1]
    terms = {
        "previous": digest_of(canonical(last)),
        "holds_from": NEXT_DATE + dt.timedelta(days=1),
        **change,
    }
    appended(ledger, replace(last, **terms))

    assert problem in problems_of(ledger)


def test_a_first_charter_that_follows_another_is_found(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger")
    (charter,) = ledger.charters()
    appended(tmp_path / "ledger", replace(charter, public_key=None, previous=None))

    assert "expected a charter that follows" in problems_of(tmp_path / "ledger")


def test_a_request_of_no_run_and_a_key_that_signs_too_late_are_found(ledger: Path) -> None:
    last = last_run(ledger)
    common: dict[str, Any] = {
        "requested_by": TESTER,
        "recorded_at": last.recorded_at,
        "software": last.software,
    }
    appended(
        ledger,
        NamedRequest(request_id="x", run="2024-09-17-009", **common),
        NextKey(public_key=str(STRANGER.verifier), signs_from=99, **common),
    )

    problems = problems_of(ledger)

    assert "got that of '2024-09-17-009'" in problems
    assert "expected that it signs from size" in problems
    assert "expected a new key of the name" in problems


def test_a_reader_that_shares_no_code_proves_the_whole_log_from_its_files_alone(
    whole: Path,
) -> None:
    """RFC 9162, C2SP tlog-tiles and C2SP tlog-checkpoint, in a few lines."""

    def digest(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    def root_of(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1 << ((len(leaves) - 1).bit_length() - 1)
        return digest(b"\x01", root_of(leaves[:split]), root_of(leaves[split:]))

    size = int((whole / "log/checkpoint").read_text().splitlines()[1])
    rest = (whole / f"log/tile/entries/000.p/{size}").read_bytes()
    entries = []
    while rest:
        length = int.from_bytes(rest[:2], "big")
        entries.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    leaves = [digest(b"\x00", entry) for entry in entries]
    documents = [json.loads(entry) for entry in entries]
    assert b"".join(leaves) == (whole / f"log/tile/0/000.p/{size}").read_bytes()
    keys = {1: documents[0]["public_key"]}
    keys |= {one["signs_from"]: one["public_key"] for one in documents if one["type"] == "key"}
    for number in range(1, size + 1):
        note = (whole / f"log/heads/{number:012d}").read_text()
        text, _, signature = note.partition("\n\n")
        origin, count, root = text.splitlines()
        assert (origin, int(count)) == (documents[0]["origin"], number)
        assert base64.b64decode(root) == root_of(leaves[:number])
        vkey = base64.b64decode(keys[max(at for at in keys if at <= number)].split("+", 2)[2])
        raw = base64.b64decode(signature.split(" ")[2])
        Ed25519PublicKey.from_public_bytes(vkey[1:]).verify(raw[4:], f"{text}\n".encode())
    runs = [one for one in documents if one["type"] == "run"]
    assert [one["run"] for one in runs] == list(RUNS)
    for run in runs:
        listed = json.dumps(run["evidence"], sort_keys=True, separators=(",", ":")).encode()
        folder = whole / "evidence" / run["business_date"] / digest(listed).hex()[:16]
        for file in run["evidence"]:
            content = (folder / file["name"]).read_bytes()
            assert (digest(content).hex(), len(content)) == (file["sha256"], file["size"])


@pytest.mark.parametrize("name", ["create_all", "put", "delete"])
def test_a_log_that_fills_a_tile_is_sound_after_publishing_was_cut_short(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    last = last_run(ledger)
    requests = [
        NamedRequest(
            request_id=f"request-{number}",
            run=last.run,
            requested_by=TESTER,
            recorded_at=last.recorded_at,
            software=last.software,
        )
        for number in range(260)
    ]
    appended(ledger, *requests[:200])
    assert faults_of(ledger) == []

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Directory, name, fails)
        with pytest.raises(LedgerUnfinished):
            appended(ledger, *requests[200:])
    assert faults_of(ledger) == []
    assert not (ledger / "log/tile/0/000.p").exists()


def test_each_further_run_of_a_date_is_read_as_often_as_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    get = Directory.get

    def counted(self: Directory, name: str) -> bytes:
        read.append(name)
        return get(self, name)

    def reads() -> int:
        read.clear()
        assert faults_of(tmp_path / "ledger") == []
        return len([name for name in read if name.startswith("evidence/")])

    monkeypatch.setattr(Directory, "get", counted)
    counts = []
    for cycle, root in enumerate("ABCD", 1):
        series = f"{root:6}240920C00010000"
        given = [notice(f"N{cycle}", series, 3)]
        day = SmallDay(notices=given, positions=positions_of(series, {"1046": 4, "1047": 5}))
        record_in(tmp_path / "ledger", request_of(day, tmp_path / str(cycle), cycle=cycle))
        counts.append(reads())

    assert {counts[2] - counts[1], counts[3] - counts[2]} == {counts[1] - counts[0]}
    assert counts[0] > 0
