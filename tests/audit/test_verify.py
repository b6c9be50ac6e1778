"""Verify: a ledger that was left alone is sound, and whatever is done to one is found and named.

The ledger here has two dates, a run superseded, a second cycle of gross positions, a break, and a
trail with a replay, an export and a second signature. Every look at it also asserts that looking
changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lottery import operations
from lottery.audit import verify_log
from lottery.audit.verify import Fault, verify
from lottery.errors import LedgerBusy, LedgerNotFound
from lottery.ledger import evidence, log, trail, write_transaction
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.database import metadata
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE, MIRROR, UNFINISHED
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey, VerifierKey, create_key_file, read_key_file
from lottery.tlog.note import join_notes
from tests.builders import (
    AAPL,
    FULL,
    META,
    NEXT_DATE,
    PUBLISHED,
    TESTER,
    copied,
    faults_of,
    notice,
    record_in,
    replay_of,
    request_of,
)

RUNS = ("2024-09-16-001", "2024-09-16-002", "2024-09-16-003", "2024-09-17-001")
FIRST = "evidence/2024-09-16/2024-09-16-001"
LAST = "evidence/2024-09-17/2024-09-17-001"
BOTH = "ledger.db and mirror.db"
UNENDED = "a write began and did not end; the next write completes it"
OFFICER = SigningKey(name="officer.example", seed=bytes(range(32)))
STRANGER = SigningKey(name="stranger.example", seed=bytes(range(1, 33)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The ledger, as it was after its second run, and as it is."""

    older: Path
    directory: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("verified")
    ledger, older = folder / "ledger", folder / "older"
    record_in(ledger, request_of(FULL, folder / "a"))
    again = request_of(
        FULL.shuffled(3), folder / "b", supersedes=["2024-09-16-001"], reason="the file was late"
    )
    record_in(ledger, again)
    shutil.copytree(ledger, older)
    second = replace(FULL, notices=[notice("B1", META, 2, "C"), notice("B2", AAPL, 50, "C")])
    record_in(ledger, request_of(second, folder / "c", cycle=2, positions_basis="gross"))
    record_in(ledger, request_of(replace(PUBLISHED, date=NEXT_DATE), folder / "d"))
    replay_of(ledger, "2024-09-16-003")
    opened = Ledger.open(ledger)
    operations.export_run(opened, "2024-09-16-001", io.BytesIO(), TESTER)
    operations.cosign(opened, OFFICER, TESTER)
    return Made(older=older, directory=ledger)


@pytest.fixture
def ledger(made: Made, tmp_path: Path) -> Path:
    """A copy of the ledger that may be changed."""
    return copied(made.directory, tmp_path / "ledger")


class InMemory:
    """The database in memory, in which a change is made, verified against the log and undone."""

    def __init__(self, directory: Path) -> None:
        self._checkpoints = directory / CHECKPOINT_FILE
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.deserialize((directory / DATABASE).read_bytes())
        self._engine = sa.create_engine(
            "sqlite://", creator=lambda: self._database, poolclass=sa.StaticPool
        )

    def close(self) -> None:
        self._engine.dispose()
        self._database.close()

    def faults_after(self, statement: str, values: Sequence[Any] = ()) -> list[Fault]:
        """Return what `verify_log` finds after a statement, past the triggers that forbid it."""
        self._database.execute("BEGIN")
        try:
            with without_triggers(self._database):
                self._database.execute(statement, values)
            with self._engine.connect() as connection:
                return list(verify_log.verify_log(connection, self._checkpoints))
        finally:
            self._database.rollback()


@pytest.fixture(scope="module")
def in_memory(made: Made) -> Iterator[InMemory]:
    database = InMemory(made.directory)
    assert database.faults_after("SELECT 1") == []
    yield database
    database.close()


@pytest.fixture
def key(ledger: Path) -> VerifierKey:
    return Ledger.open(ledger).log().key


def look(ledger: Path, *keys: VerifierKey) -> list[Fault]:
    """The faults as an operator finds them, or as an auditor does who holds these public keys."""
    before = state_of(ledger)
    key_file = None if keys else ledger / KEY_FILE
    faults = list(verify(ledger, key_file=key_file, keys=keys, lock_seconds=5.0))
    assert state_of(ledger) == before, "looking changed something"
    return faults


def state_of(directory: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest, or the link's target, of everything that lies in a folder."""
    state = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        state[path.relative_to(directory).as_posix()] = (path.lstat().st_mode, content)
    return state


def text_of(faults: Sequence[Fault]) -> str:
    return "\n".join(f"{fault.where}: {fault.problem}" for fault in faults)


def named(faults: Sequence[Fault]) -> set[str]:
    return {fault.where for fault in faults}


def files_of(ledger: Path) -> list[str]:
    """Return one file of each name; the last run's, as the first has no `taken_off.parquet`."""
    paths = sorted(path.relative_to(ledger) for path in ledger.rglob("*") if path.is_file())
    return list({path.name: path.as_posix() for path in paths}.values())


def name_of(file: str) -> str:
    """How a fault names a file that is there and is not what it was."""
    return BOTH if file in {DATABASE, MIRROR} else file


@contextmanager
def without_triggers(database: sqlite3.Connection) -> Iterator[None]:
    """Drop a database's triggers, and make them again afterwards."""
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    kept = triggers.fetchall()
    for name, _ in kept:
        database.execute(f"DROP TRIGGER {name}")
    yield
    for _, text in kept:
        database.execute(text)


@contextmanager
def unguarded(ledger: Path, *, mirrored: bool = True) -> Iterator[sqlite3.Connection]:
    """Open the database without its triggers, which come back afterwards, and mirror it."""
    with closing(sqlite3.connect(ledger / DATABASE, isolation_level=None)) as database:
        database.execute("BEGIN")
        with without_triggers(database):
            yield database
        database.execute("COMMIT")
    if mirrored:
        shutil.copyfile(ledger / DATABASE, ledger / MIRROR)


def rows_of(ledger: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table by its primary key."""
    keys = ", ".join(column.name for column in metadata.tables[table].primary_key)
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute(f"SELECT * FROM {table} ORDER BY {keys}")  # noqa: S608
        return [dict(row) for row in rows]


def where_is(table: str, row: dict[str, Any]) -> tuple[str, list[Any]]:
    keys = [column.name for column in metadata.tables[table].primary_key]
    return " AND ".join(f"{name} = ?" for name in keys), [row[name] for name in keys]


def names_of_row(table: str, row: dict[str, Any]) -> set[str]:
    """What a fault about a row may say: one of these is in it."""
    match table:
        case "runs":
            return {f"run {row['run']}", f"/{row['run']}", f"evidence/{row['business_date']}: "}
        case "supersedings":
            return {f"run {row['superseded']}"}
        case "trail":
            return {f"trail entry {row['trail_index']}", "of the tree trail"}
        case "nodes":
            return {f"node {row['position']} of level {row['level']} of the tree {row['tree']}"}
        case "checkpoints":
            return {f"checkpoint {row['position']}, ", "checkpoints: expected"}
        case _:
            return {"the log", "the table log", "the origin"}


def assert_row_is_named(faults: Sequence[Fault], table: str, *rows: dict[str, Any]) -> None:
    """Assert that a fault names one of these rows."""
    text = text_of(faults)
    names = set().union(*(names_of_row(table, row) for row in rows))
    assert any(name in text for name in names), text or f"{table} {rows}"


def faults_after(ledger: Path, statement: str, values: Sequence[Any]) -> list[Fault]:
    """Return what is found after a statement in both databases, which is then undone."""
    content = (ledger / DATABASE).read_bytes()
    with unguarded(ledger) as database:
        database.execute(statement, values)
    faults = look(ledger)
    assert BOTH not in named(faults)
    (ledger / DATABASE).write_bytes(content)
    (ledger / MIRROR).write_bytes(content)
    return faults


def test_a_ledger_left_alone_is_sound_for_its_operator(ledger: Path) -> None:
    assert look(ledger) == []
    assert faults_of(ledger) == []
    assert [record.run for record in Ledger.open(ledger).iterate()] == list(RUNS)


def test_a_ledger_left_alone_is_sound_for_an_auditor_with_public_keys(
    ledger: Path, key: VerifierKey
) -> None:
    (ledger / KEY_FILE).unlink()

    assert look(ledger, key) == []
    assert look(ledger, key, OFFICER.verifier) == []
    assert faults_of(ledger, keys=[OFFICER.verifier, key]) == []


def test_a_ledger_without_a_run_is_sound(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger").close()

    assert look(tmp_path / "ledger") == []


def test_a_ledger_whose_key_is_kept_elsewhere_is_sound_with_it(tmp_path: Path) -> None:
    ledger, key_file = tmp_path / "ledger", tmp_path / "kept.key"
    Ledger.create(ledger, key=key_file).close()

    assert faults_of(ledger, key_file=key_file) == []
    (fault,) = faults_of(ledger)
    assert fault.where == "signing.key"
    key_file.unlink()
    (fault,) = faults_of(ledger, key_file=key_file)
    assert fault.where == str(key_file)


def test_where_there_is_no_ledger_that_is_reported_and_none_is_made(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(LedgerNotFound):
            look(folder)
        with pytest.raises(LedgerNotFound):
            faults_of(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_is_waited_for(ledger: Path) -> None:
    with write_transaction.locked(ledger, 1.0), pytest.raises(LedgerBusy):
        next(verify(ledger, lock_seconds=0.0))


def test_one_who_reads_is_not_waited_for(ledger: Path) -> None:
    with write_transaction.locked(ledger, 1.0, shared=True):
        assert look(ledger) == []


def test_progress_is_called_once_a_run_in_the_order_of_the_log(ledger: Path) -> None:
    asked: list[tuple[str, int, int]] = []

    def progress(run: str, number: int, count: int) -> None:
        asked.append((run, number, count))

    assert list(verify(ledger, lock_seconds=5.0, progress=progress)) == []

    assert asked == [(run, number, 4) for number, run in enumerate(RUNS, 1)]


def test_the_work_grows_with_the_runs_and_no_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = {"nodes": 0, "files": 0}
    node_hash, what_is_wrong = merkle.node_hash, evidence.what_is_wrong

    def hashed(left: bytes, right: bytes) -> bytes:
        done["nodes"] += 1
        return node_hash(left, right)

    def looked_at(*arguments: Any) -> str | None:
        done["files"] += 1
        return what_is_wrong(*arguments)

    monkeypatch.setattr(merkle, "node_hash", hashed)
    monkeypatch.setattr(evidence, "what_is_wrong", looked_at)
    ledger, work = tmp_path / "ledger", []
    for number in range(1, 33):
        day = replace(PUBLISHED, date=NEXT_DATE.replace(year=2024 + number))
        record_in(ledger, request_of(day, tmp_path / f"in{number}"))
        if number in {8, 16, 32}:
            done.update(nodes=0, files=0)
            assert look(ledger) == []
            work.append(dict(done))

    assert [one["files"] for one in work] == [8 * 6, 16 * 6, 32 * 6]
    # Every checkpoint's root is derived from at most log n nodes.
    assert all(2 <= two["nodes"] / one["nodes"] < 2.7 for one, two in itertools.pairwise(work))


def test_a_file_deleted_is_named(ledger: Path, tmp_path: Path) -> None:
    for file in files_of(ledger):
        (ledger / file).rename(tmp_path / "kept")

        faults = look(ledger)

        assert file in named(faults)
        assert len(faults) == 1 or not file.startswith("evidence")
        (tmp_path / "kept").rename(ledger / file)
    assert look(ledger) == []


@pytest.mark.parametrize("size", ["one byte less", "half", "nothing", "one byte more"])
def test_a_file_cut_or_lengthened_is_named(ledger: Path, size: str) -> None:
    for file in files_of(ledger):
        content = (ledger / file).read_bytes()
        sizes = {"one byte less": len(content) - 1, "half": len(content) // 2, "nothing": 0}
        wrong = content[: sizes[size]] if size in sizes else content + b"\n"
        (ledger / file).write_bytes(wrong)

        assert name_of(file) in named(look(ledger)), file
        (ledger / file).write_bytes(content)
    assert look(ledger) == []


def test_two_files_swapped_are_named(ledger: Path) -> None:
    files = [*files_of(ledger), f"{FIRST}/run.json", f"{FIRST}/pools.parquet"]
    for one, two in itertools.combinations(files, 2):
        content, other = (ledger / one).read_bytes(), (ledger / two).read_bytes()
        if content == other:
            continue
        (ledger / one).write_bytes(other)
        (ledger / two).write_bytes(content)

        found = named(look(ledger))

        # A file that is not a database does not say what the evidence should be.
        wanted = {name_of(one), name_of(two)}
        assert wanted <= found or BOTH in wanted & found, (one, two, found)
        (ledger / one).write_bytes(content)
        (ledger / two).write_bytes(other)
    assert look(ledger) == []


@pytest.mark.parametrize("table", metadata.tables)
def test_a_row_deleted_from_the_database_alone_is_found(ledger: Path, table: str) -> None:
    content = (ledger / DATABASE).read_bytes()
    rows = rows_of(ledger, table)
    for row in (rows[0], rows[-1]):
        where, keys = where_is(table, row)
        with unguarded(ledger, mirrored=False) as database:
            database.execute(f"DELETE FROM {table} WHERE {where}", keys)  # noqa: S608

        faults = look(ledger)

        assert BOTH in named(faults)
        assert "mirror.db holds what was signed" in text_of(faults)
        assert_row_is_named(faults, table, row)
        (ledger / DATABASE).write_bytes(content)


@pytest.mark.parametrize("table", metadata.tables)
def test_a_row_deleted_from_both_databases_is_named_by_what_was_signed(
    ledger: Path, in_memory: InMemory, table: str
) -> None:
    rows = rows_of(ledger, table)
    for row in rows:
        where, keys = where_is(table, row)
        statement = f"DELETE FROM {table} WHERE {where}"  # noqa: S608
        if table == "runs" or row in (rows[0], rows[-1]):
            faults = faults_after(ledger, statement, keys)
        else:
            faults = in_memory.faults_after(statement, keys)
        assert_row_is_named(faults, table, row)


def test_a_run_whose_number_follows_no_other_of_its_date_is_named(in_memory: InMemory) -> None:
    faults = in_memory.faults_after("DELETE FROM runs WHERE run = '2024-09-16-001'")

    found = [one.where for one in faults if one.problem.startswith("sequence within its date")]
    assert found == ["run 2024-09-16-002", "run 2024-09-16-003"]


def changed_values(table: str, name: str, value: Any) -> list[Any]:
    """Other values of the same type, which the table takes."""
    if isinstance(value, int):
        return [value + 1000]
    if isinstance(value, str):
        return [f"{value}x", "", value.replace("2", "3").replace("r", "s")]
    middle = len(value) // 2
    flipped = value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
    values = [flipped, value[:-1], value + b"\n", b"", b"\xff" + value[1:]]
    if table == "checkpoints" and name == "note":
        signature = value.rindex(b" ") + 20
        other = b"A" if value[signature : signature + 1] != b"A" else b"B"
        values += [
            value[:signature] + other + value[signature + 1 :],
            value + value[value.index(b"\n\n") + 2 :],
        ]
    return values


@pytest.mark.parametrize(
    ("table", "name"),
    [(table, column.name) for table, found in metadata.tables.items() for column in found.columns],
)
def test_a_value_changed_in_both_databases_is_named_by_what_was_signed(
    ledger: Path, in_memory: InMemory, table: str, name: str
) -> None:
    """By the whole verification for the runs, whose evidence names them, and for a first value."""
    count = 0
    for row in rows_of(ledger, table):
        where, keys = where_is(table, row)
        statement = f"UPDATE {table} SET {name} = ? WHERE {where}"  # noqa: S608
        for value in changed_values(table, name, row[name]):
            if value == row[name]:
                continue
            try:
                if table == "runs" or not count:
                    faults = faults_after(ledger, statement, [value, *keys])
                else:
                    faults = in_memory.faults_after(statement, [value, *keys])
            except sqlite3.IntegrityError:  # Another row has that value.
                continue
            count += 1
            assert_row_is_named(faults, table, row, {**row, name: value})
    assert count


def test_a_run_added_to_both_databases_and_the_evidence_is_found(ledger: Path) -> None:
    record = Ledger.open(ledger).get("2024-09-17-001")
    foreign = replace(record, run="2024-09-17-002", request_id="mine", content_sha256="0" * 64)
    shutil.copytree(ledger / LAST, ledger / "evidence/2024-09-17/2024-09-17-002")
    (ledger / "evidence/2024-09-17/2024-09-17-002/run.json").write_bytes(foreign.canonical())
    row = {
        "log_index": 4,
        "run": foreign.run,
        "business_date": "2024-09-17",
        "sequence": 2,
        "request_id": "mine",
        "content_sha256": "0" * 64,
        "record": foreign.canonical(),
    }
    with unguarded(ledger) as database:
        database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", list(row.values()))

    faults = look(ledger)

    assert "the tree runs: expected 4 leaves, as were signed, got 5" in text_of(faults)


def test_a_run_without_evidence_added_to_both_databases_is_named(ledger: Path) -> None:
    record = Ledger.open(ledger).get("2024-09-17-001")
    foreign = replace(record, run="2024-09-17-002", request_id="mine").canonical()
    with unguarded(ledger) as database:
        row = (4, "2024-09-17-002", "2024-09-17", 2, "mine", record.content_sha256, foreign)
        database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    assert Fault(
        where="evidence/2024-09-17/2024-09-17-002", problem="the folder is missing"
    ) in look(ledger)


ENTRY = trail.entry_now(trail.RUN_EXPORTED, "2024-09-16-001", "exported", TESTER).canonical()


@pytest.mark.parametrize(
    ("table", "row", "expected"),
    [
        ("supersedings", ("2024-09-17-001", "2024-09-16-003"), "run 2024-09-17-001: superseded by"),
        ("trail", (8, ENTRY), "the tree trail: expected 8 leaves, as were signed, got 9"),
        *(
            ("nodes", (tree, 9, 0, bytes(32)), f"the tree {tree}: expected ")
            for tree in ("runs", "trail", "another")
        ),
        (
            "log",
            ("stranger.example", str(STRANGER.verifier)),
            "expected one row in the table log, got 2",
        ),
    ],
)
def test_a_row_added_to_both_databases_is_named(
    ledger: Path, table: str, row: tuple[Any, ...], expected: str
) -> None:
    with unguarded(ledger) as database:
        database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608

    faults = look(ledger)

    assert expected in text_of(faults)
    assert table == "trail" or len(faults) == 1


def add_checkpoint(ledger: Path, tree: str, tree_size: int, note: bytes, *, in_file: bool) -> str:
    """Add a checkpoint to both databases, and to the checkpoint file; return its name."""
    start = (ledger / CHECKPOINT_FILE).stat().st_size
    position = len(rows_of(ledger, "checkpoints"))
    added = join_notes([note])
    with unguarded(ledger) as database:
        row = (position, tree, tree_size, note, start + len(added))
        database.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)", row)
    if in_file:
        with (ledger / CHECKPOINT_FILE).open("ab") as file:
            file.write(added)
    return f"checkpoint {position}, of {tree_size} leaves of the tree {tree}"


def checkpoint_of(ledger: Path) -> Checkpoint:
    """Return the checkpoint of all runs as it is signed."""
    (checkpoint,) = [
        Checkpoint.parse(row["note"].decode().partition("\n\n")[0] + "\n")
        for row in rows_of(ledger, "checkpoints")
        if row["tree"] == "runs" and row["tree_size"] == 4
    ][:1]
    return checkpoint


def test_a_checkpoint_that_the_checkpoint_file_does_not_have_is_named(ledger: Path) -> None:
    note = sign_checkpoint(checkpoint_of(ledger), read_key_file(ledger / KEY_FILE))
    name = add_checkpoint(ledger, "runs", 4, note, in_file=False)

    (fault,) = look(ledger)

    assert fault.where == "checkpoints"
    assert name in fault.problem


def test_the_same_checkpoint_signed_again_is_no_fault(ledger: Path) -> None:
    """So every signature that is added later comes: what was found above was its not being kept."""
    note = sign_checkpoint(checkpoint_of(ledger), read_key_file(ledger / KEY_FILE))
    add_checkpoint(ledger, "runs", 4, note, in_file=True)

    assert look(ledger) == []


@pytest.mark.parametrize(
    ("change", "signer", "problem"),
    [
        pytest.param({}, STRANGER, STRANGER.name, id="by a stranger's key"),
        pytest.param({"origin": "another/log"}, None, "origin", id="of another log"),
        pytest.param({"root": bytes(32)}, None, "from the records", id="of another history"),
        pytest.param({"size": 5}, None, "got one of 5", id="of more leaves than there are"),
        pytest.param({"size": 3}, None, "got one of 3", id="of fewer leaves"),
    ],
)
def test_a_checkpoint_added_everywhere_that_is_not_the_logs_is_named(
    ledger: Path, change: dict[str, Any], signer: SigningKey | None, problem: str
) -> None:
    checkpoint = replace(checkpoint_of(ledger), **change)
    note = sign_checkpoint(checkpoint, signer or read_key_file(ledger / KEY_FILE))
    name = add_checkpoint(ledger, "runs", 4, note, in_file=True)

    faults = look(ledger)

    assert name in named(faults)
    assert problem in text_of(faults)


def test_a_checkpoint_of_a_tree_that_is_none_is_named(ledger: Path) -> None:
    note = sign_checkpoint(checkpoint_of(ledger), read_key_file(ledger / KEY_FILE))

    assert add_checkpoint(ledger, "another", 4, note, in_file=True) in named(look(ledger))


def test_a_checkpoint_of_a_history_that_leaves_a_run_out_is_found_however_well_it_is_signed(
    ledger: Path,
) -> None:
    """Equivocation: the log's own key signs that the last run but one was never there."""
    leaves = [row["record"] for row in rows_of(ledger, "runs")]
    compact_range: tuple[bytes, ...] = ()
    for size, leaf in enumerate((*leaves[:2], leaves[3])):
        compact_range, _ = merkle.append(size, compact_range, merkle.leaf_hash(leaf))
    checkpoint = replace(
        checkpoint_of(ledger), size=3, root=merkle.root_of_compact_range(compact_range)
    )
    note = sign_checkpoint(checkpoint, read_key_file(ledger / KEY_FILE))
    name = add_checkpoint(ledger, "runs", 3, note, in_file=True)

    faults = [fault for fault in look(ledger) if fault.where == name]

    assert any("expected the signed root" in fault.problem for fault in faults)


def forge(ledger: Path, run: str) -> None:
    """Changes who asked for a run everywhere that needs no key: record, run.json, every node."""
    rows = rows_of(ledger, "runs")
    forged = replace(Ledger.open(ledger).get(run), requested_by=replace(TESTER, name="somebody"))
    leaves = [forged.canonical() if row["run"] == run else row["record"] for row in rows]
    (write_transaction.evidence_folder(ledger, run) / "run.json").write_bytes(forged.canonical())
    compact_range: tuple[bytes, ...] = ()
    with unguarded(ledger) as database:
        database.execute("UPDATE runs SET record = ? WHERE run = ?", (forged.canonical(), run))
        for size, leaf in enumerate(leaves):
            compact_range, completed = merkle.append(size, compact_range, merkle.leaf_hash(leaf))
            for node in completed:
                database.execute(
                    "UPDATE nodes SET hash = ? WHERE tree = 'runs' AND level = ? AND position = ?",
                    (node.hash, node.level, node.index),
                )


@pytest.mark.parametrize("run", RUNS)
def test_a_record_changed_with_all_that_follows_from_it_is_found_by_what_was_signed(
    ledger: Path, run: str
) -> None:
    forge(ledger, run)

    faults = look(ledger)

    first = RUNS.index(run) + 1
    sizes = [
        row["tree_size"]
        for row in rows_of(ledger, "checkpoints")
        if row["tree"] == "runs" and row["tree_size"] >= first
    ]
    assert len(faults) == len(sizes)
    assert all("expected the signed root" in fault.problem for fault in faults)


def test_a_log_forged_and_signed_again_with_another_key_is_found_by_one_who_knows_the_key(
    ledger: Path, key: VerifierKey, tmp_path: Path
) -> None:
    shutil.rmtree(ledger)
    record_in(ledger, request_of(PUBLISHED, tmp_path / "in"))

    assert look(ledger) == []
    (fault, *_) = look(ledger, key)
    assert fault.where == "the log"
    assert f"expected the key {key}, got" in fault.problem


@pytest.mark.parametrize("names", [(DATABASE,), (DATABASE, MIRROR), (MIRROR,)])
def test_an_older_copy_of_the_database_beside_the_current_checkpoints_is_found(
    made: Made, ledger: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        shutil.copyfile(made.older / name, ledger / name)

    faults = look(ledger)

    text = text_of(faults)
    if len(names) == 1:
        (other,) = {DATABASE, MIRROR} - set(names)
        assert BOTH in named(faults)
        assert f"{other} holds what was signed" in text
    if DATABASE in names:
        assert "got more: the database is an older copy of itself" in text
        assert {"evidence/2024-09-16/2024-09-16-003", "evidence/2024-09-17"} <= named(faults)


def test_an_older_copy_of_everything_but_the_evidence_leaves_evidence_that_no_record_names(
    made: Made, ledger: Path
) -> None:
    for name in (DATABASE, MIRROR, CHECKPOINT_FILE):
        shutil.copyfile(made.older / name, ledger / name)

    assert look(ledger) == [
        Fault(where="evidence/2024-09-16/2024-09-16-003", problem="no record names it"),
        Fault(where="evidence/2024-09-17", problem="no record names it"),
    ]


def test_older_checkpoints_beside_the_current_database_are_found(made: Made, ledger: Path) -> None:
    shutil.copyfile(made.older / CHECKPOINT_FILE, ledger / CHECKPOINT_FILE)

    assert named(look(ledger)) == {"checkpoints"}


def test_which_database_holds_what_was_signed_is_reported(ledger: Path) -> None:
    content = (ledger / DATABASE).read_bytes()

    def change(name: str, reason: str) -> None:
        with unguarded(ledger, mirrored=False) as database:
            record = Ledger.open(ledger).get("2024-09-17-001")
            forged = replace(record, reason=reason).canonical()
            statement = "UPDATE runs SET record = ? WHERE run = '2024-09-17-001'"
            database.execute(statement, (forged,))
        damaged = (ledger / DATABASE).read_bytes()
        (ledger / DATABASE).write_bytes(content)
        (ledger / name).write_bytes(damaged)

    change(DATABASE, "one")
    assert "mirror.db holds what was signed" in text_of(look(ledger))
    (ledger / DATABASE).write_bytes(content)

    change(MIRROR, "one")
    assert "ledger.db holds what was signed" in text_of(look(ledger))

    change(DATABASE, "another")
    assert "neither holds what was signed" in text_of(look(ledger))


def test_a_change_that_means_nothing_is_a_fault_all_the_same(ledger: Path) -> None:
    """The version of SQLite that wrote the file last: bytes 96 to 99 of its header."""
    content = (ledger / MIRROR).read_bytes()
    (ledger / MIRROR).write_bytes(content[:96] + b"\xff" + content[97:])

    faults = look(ledger)

    assert named(faults) == {BOTH}
    assert "got others from byte 96 on" in text_of(faults)
    assert "both hold what was signed" in text_of(faults)


@pytest.mark.parametrize("at", [0, 18, 19, 28, 100, 4096, 5000])
def test_both_databases_damaged_alike_are_never_written_to_nor_a_crash(
    ledger: Path, at: int
) -> None:
    """Bytes 18 and 19 ask for a write-ahead log, which a connection would make and clear away."""
    content = (ledger / DATABASE).read_bytes()
    for flip in (1, 3, 0x80, 0xFF):
        wrong = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
        for name in (DATABASE, MIRROR):
            (ledger / name).write_bytes(wrong)

        assert BOTH not in named(look(ledger))


@pytest.mark.parametrize("table", metadata.tables)
def test_a_schema_that_is_no_text_is_a_fault_not_a_crash(ledger: Path, table: str) -> None:
    content = (ledger / DATABASE).read_bytes()
    start = content.index(f"CREATE TABLE {table} (".encode())
    for at in range(start, start + 60, 12):
        wrong = content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :]
        for name in (DATABASE, MIRROR):
            (ledger / name).write_bytes(wrong)

        assert look(ledger)


TRIGGER = "runs_refuse_delete"
ALLOWING = f"CREATE TRIGGER {TRIGGER} BEFORE DELETE ON runs BEGIN SELECT 1; END"
GUARDING_LESS = "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'trail'"
SCHEMA: dict[str, tuple[str, str]] = {
    **{
        f"{name} dropped": (f"DROP TRIGGER {name}", f"the trigger {name} of ledger.db")
        for name in (
            f"{table}_refuse_{action}"
            for table in metadata.tables
            for action in ("update", "delete", "replace")
        )
    },
    "a trigger that allows": (
        f"DROP TRIGGER {TRIGGER}; {ALLOWING}",
        f"the trigger {TRIGGER} of ledger.db",
    ),
    "a trigger added": (
        "CREATE TRIGGER mine AFTER INSERT ON runs BEGIN SELECT 1; END",
        "the trigger mine of ledger.db",
    ),
    "a trigger added with a name almost SQLite's": (
        "CREATE TRIGGER sqliteX AFTER INSERT ON runs BEGIN SELECT 1; END",
        "the trigger sqliteX of ledger.db",
    ),
    "a table added": ("CREATE TABLE mine (a)", "the table mine of ledger.db"),
    "an index added": ("CREATE INDEX mine ON runs (sequence)", "the index mine of ledger.db"),
    "a view added": ("CREATE VIEW mine AS SELECT 1", "the view mine of ledger.db"),
    "an index dropped": (
        "DROP INDEX checkpoints_by_tree",
        "the index checkpoints_by_tree of ledger.db",
    ),
    "an index changed": (
        "DROP INDEX checkpoints_by_tree; CREATE INDEX checkpoints_by_tree ON checkpoints (note)",
        "the index checkpoints_by_tree of ledger.db",
    ),
    "a column added": (
        "ALTER TABLE trail ADD COLUMN mine TEXT",
        "the table trail of ledger.db",
    ),
    "a table that guards less": (
        f"PRAGMA writable_schema = ON; {GUARDING_LESS}",
        "the table trail of ledger.db",
    ),
    "a table gone": ("DROP TABLE supersedings", "ledger.db"),
    "a version": ("PRAGMA user_version = 3", "the schema of ledger.db"),
}


@pytest.mark.parametrize("change", SCHEMA)
def test_a_schema_changed_in_both_databases_is_named(ledger: Path, change: str) -> None:
    statements, where = SCHEMA[change]
    with closing(sqlite3.connect(ledger / DATABASE, isolation_level=None)) as database:
        database.executescript(statements)
    shutil.copyfile(ledger / DATABASE, ledger / MIRROR)

    assert where in named(look(ledger))


@pytest.mark.parametrize(
    "stray",
    [
        "evidence/stray",
        "evidence/2024-09-18/2024-09-18-001/run.json",
        "evidence/2024-09-16/stray",
        "evidence/2024-09-16/2024-09-17-001/run.json",
        "evidence/2024-09-16/2024-09-16-004/run.json",
        f"{FIRST}/stray",
        f"{FIRST}/.hidden",
        f"{FIRST}/sources/stray.csv",
        f"{FIRST}/folder/stray",
    ],
)
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_lies_in_the_evidence_and_no_record_names_is_named(
    ledger: Path, tmp_path: Path, stray: str, kind: str
) -> None:
    path = ledger / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_bytes(b"stray")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path)

    found = named(look(ledger))

    assert any(stray == name or stray.startswith(f"{name}/") for name in found), found
    assert found <= {"evidence", *map(str, Path(stray).parents), stray}


def test_a_link_in_place_of_a_file_of_the_evidence_is_named(ledger: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for file in files_of(ledger):
        if file.startswith("evidence"):
            (ledger / file).rename(elsewhere)
            (ledger / file).symlink_to(elsewhere)

            assert named(look(ledger)) == {file}
            (ledger / file).unlink()
            elsewhere.rename(ledger / file)


@pytest.mark.parametrize("folder", ["evidence/2024-09-16", FIRST, f"{FIRST}/sources"])
def test_a_link_in_place_of_a_folder_of_the_evidence_is_named(
    ledger: Path, tmp_path: Path, folder: str
) -> None:
    (ledger / folder).rename(tmp_path / "elsewhere")
    (ledger / folder).symlink_to(tmp_path / "elsewhere")

    assert folder in named(look(ledger))


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_mirror_that_is_the_database_itself_mirrors_nothing(
    ledger: Path, link: Callable[[Path, Path], None]
) -> None:
    (ledger / MIRROR).unlink()
    link(ledger / DATABASE, ledger / MIRROR)

    assert "mirror.db" in text_of(look(ledger))


@pytest.mark.parametrize("folder", ["evidence", "evidence/2024-09-16", FIRST, f"{FIRST}/sources"])
def test_a_folder_of_the_evidence_deleted_is_named(ledger: Path, folder: str) -> None:
    shutil.rmtree(ledger / folder)

    faults = look(ledger)

    assert any(folder in fault.where for fault in faults)
    for run in RUNS:
        if folder in f"evidence/{run[:10]}/{run}":
            assert any(run in fault.where for fault in faults)


@pytest.mark.parametrize("file", [DATABASE, MIRROR, CHECKPOINT_FILE, KEY_FILE, f"{FIRST}/run.json"])
def test_a_folder_in_place_of_a_file_is_named(ledger: Path, file: str) -> None:
    (ledger / file).unlink()
    (ledger / file).mkdir()

    assert file in named(look(ledger))


@pytest.mark.parametrize("name", [DATABASE, MIRROR])
@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_what_sqlite_would_take_up_beside_a_database_is_named_and_left_alone(
    ledger: Path, name: str, suffix: str
) -> None:
    for content in (b"", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600)):
        (ledger / f"{name}{suffix}").write_bytes(content)

        assert named(look(ledger)) == {f"{name}{suffix}"}


def test_a_private_key_that_is_not_the_logs_or_not_private_is_named(
    ledger: Path, key: VerifierKey
) -> None:
    (ledger / KEY_FILE).chmod(0o644)
    (open_to_others,) = look(ledger)
    (ledger / KEY_FILE).unlink()
    (missing,) = look(ledger)
    assert look(ledger, key) == [], "an auditor does not have it"
    other = create_key_file(ledger / KEY_FILE, key.name)
    (another,) = look(ledger)

    assert {open_to_others.where, missing.where, another.where} == {"signing.key"}
    assert "open to others" in open_to_others.problem
    assert "cannot be read" in missing.problem
    assert another.problem == f"expected the log's key {key}, got {other.verifier}"


def test_keys_given_that_are_not_the_logs_are_named(ledger: Path, key: VerifierKey) -> None:
    (fault, *_) = look(ledger, STRANGER.verifier)
    assert fault.where == "the log"
    assert str(key) in fault.problem

    of_that_name = SigningKey(name=key.name, seed=STRANGER.seed).verifier
    (fault, *_) = look(ledger, of_that_name)
    assert fault.where == "the log"


def test_a_key_that_was_given_and_has_signed_nothing_is_named(
    ledger: Path, key: VerifierKey
) -> None:
    (fault,) = look(ledger, key, OFFICER.verifier, STRANGER.verifier)

    assert fault.where == f"the key {STRANGER.name}"
    assert "has signed no checkpoint" in fault.problem


def test_a_second_signature_that_is_wrong_is_named(ledger: Path, key: VerifierKey) -> None:
    wrong = SigningKey(name=OFFICER.name, seed=STRANGER.seed)
    (fault,) = look(ledger, key, wrong.verifier)
    assert fault.where == f"the key {OFFICER.name}"

    (row,) = [row for row in rows_of(ledger, "checkpoints") if b"officer" in row["note"]]
    at = row["note"].rindex(b" ") + 30
    digit = b"A" if row["note"][at : at + 1] != b"A" else b"B"
    forged = row["note"][:at] + digit + row["note"][at + 1 :]
    with unguarded(ledger) as database:
        statement = "UPDATE checkpoints SET note = ? WHERE position = ?"
        database.execute(statement, (forged, row["position"]))
    file = ledger / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes().replace(row["note"], forged))

    assert look(ledger, key) == [], "without the key it cannot be known"
    (fault,) = look(ledger, key, OFFICER.verifier)
    assert OFFICER.name in fault.where


def test_every_file_of_a_run_changed_is_named_by_itself(ledger: Path) -> None:
    files = [file for file in files_of(ledger) if file.startswith(FIRST)]
    for file in files:
        content = (ledger / file).read_bytes()
        (ledger / file).write_bytes(bytes([content[0] ^ 1]) + content[1:])

    assert named(look(ledger)) == set(files)


Tampering = Callable[[Path], None]


def _drop_trigger(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger / DATABASE, isolation_level=None)) as database:
        database.execute("DROP TRIGGER trail_refuse_update")
    shutil.copyfile(ledger / DATABASE, ledger / MIRROR)


def _in_both(statement: str) -> Tampering:
    def change(ledger: Path) -> None:
        # The triggers that are there, and no others, are there again afterwards.
        with unguarded(ledger) as database:
            database.execute(statement)

    return change


def _flip_checkpoints(ledger: Path) -> None:
    content = (ledger / CHECKPOINT_FILE).read_bytes()
    (ledger / CHECKPOINT_FILE).write_bytes(bytes([content[0] ^ 1]) + content[1:])


TAMPERED: dict[str, tuple[Tampering, str]] = {
    "evidence": (
        lambda ledger: (ledger / LAST / "pools.parquet").unlink(),
        f"{LAST}/pools.parquet",
    ),
    "stray": (lambda ledger: (ledger / FIRST / "stray").touch(), f"{FIRST}/stray"),
    "key": (lambda ledger: (ledger / KEY_FILE).unlink(), "signing.key"),
    "checkpoints": (_flip_checkpoints, "checkpoints"),
    "unfinished": (lambda ledger: (ledger / UNFINISHED).touch(), "unfinished"),
    "journal": (lambda ledger: (ledger / "mirror.db-wal").touch(), "mirror.db-wal"),
    "trigger": (_drop_trigger, "the trigger trail_refuse_update of ledger.db"),
    "run": (
        _in_both("UPDATE runs SET request_id = 'x' WHERE run = '2024-09-16-002'"),
        "run 2024-09-16-002",
    ),
    "record": (
        _in_both("UPDATE runs SET record = x'7b7d' WHERE run = '2024-09-16-003'"),
        "run 2024-09-16-003",
    ),
    "superseding": (_in_both("DELETE FROM supersedings"), "run 2024-09-16-001"),
    "trail": (
        _in_both("UPDATE trail SET entry = x'7b7d' WHERE trail_index = 1"),
        "trail entry 1",
    ),
    "node": (
        _in_both("UPDATE nodes SET hash = zeroblob(32) WHERE tree = 'trail' AND level = 1"),
        "of level 1 of the tree trail",
    ),
    "checkpoint row": (
        _in_both("UPDATE checkpoints SET tree_size = 77 WHERE position = 3"),
        "checkpoint 3, of 77",
    ),
    "note": (_in_both("UPDATE checkpoints SET note = x'00' WHERE position = 5"), "checkpoint 5, "),
    "whose log": (_in_both("UPDATE log SET public_key = 'none'"), "log"),
}


# Nodes follow from the leaves: of a changed leaf's tree only the first wrong node is reported.
PAIRS = [pair for pair in itertools.combinations(TAMPERED, 2) if pair != ("trail", "node")]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_one_fault_does_not_hide_another(ledger: Path, one: str, two: str) -> None:
    for name in (one, two):
        TAMPERED[name][0](ledger)

    found = named(look(ledger))

    for name in (one, two):
        assert any(TAMPERED[name][1] in where for where in found), (name, found)


def interrupt_after_commit(made: Made, ledger: Path) -> None:
    """As where the writer was killed once the database had committed and nothing else was done."""
    shutil.copyfile(made.older / MIRROR, ledger / MIRROR)
    shutil.copyfile(made.older / CHECKPOINT_FILE, ledger / CHECKPOINT_FILE)
    (ledger / UNFINISHED).write_text('{"run": "2024-09-17-001"}', "utf-8")


def interrupt_before_commit(made: Made, ledger: Path) -> None:
    """As where the writer was killed once the evidence was moved and nothing was committed."""
    for name in (DATABASE, MIRROR, CHECKPOINT_FILE):
        shutil.copyfile(made.older / name, ledger / name)
    shutil.rmtree(ledger / "evidence/2024-09-16/2024-09-16-003")
    (ledger / UNFINISHED).write_text('{"run": "2024-09-17-001"}', "utf-8")


@pytest.mark.parametrize("interrupt", [interrupt_after_commit, interrupt_before_commit])
def test_what_a_killed_writer_left_is_reported_by_looking_alone_and_completed_by_the_command(
    made: Made, ledger: Path, interrupt: Callable[[Made, Path], None]
) -> None:
    interrupt(made, ledger)

    assert look(ledger)[0] == Fault(where="unfinished", problem=UNENDED)
    assert faults_of(ledger) == []

    assert look(ledger) == []
    *_, last = operations.trail(Ledger.open(ledger))
    assert last.operation == trail.WRITE_RECOVERED
    assert "2024-09-17-001" in last.subject
    recorded = interrupt is interrupt_after_commit
    assert (ledger / LAST).exists() == recorded
    assert replay_of(ledger, "latest").run == (RUNS[3] if recorded else RUNS[1])


def test_what_cannot_be_completed_is_a_fault(made: Made, ledger: Path) -> None:
    interrupt_after_commit(made, ledger)
    (ledger / KEY_FILE).unlink()
    before = state_of(ledger)

    faults = faults_of(ledger)

    assert {"unfinished", "signing.key"} <= named(faults)
    assert state_of(ledger) == before


def test_completing_does_not_take_an_older_database_for_the_right_one(
    made: Made, ledger: Path
) -> None:
    """Who puts an older database there and says that a write is unfinished destroys nothing."""
    shutil.copyfile(made.older / DATABASE, ledger / DATABASE)
    (ledger / UNFINISHED).write_text('{"run": null}', "utf-8")
    mirror = (ledger / MIRROR).read_bytes()

    faults = faults_of(ledger)

    assert "checkpoints" in named(faults)
    assert (ledger / MIRROR).read_bytes() == mirror, "the signed history is in the mirror alone"


def test_a_signature_added_later_does_not_make_up_for_a_damaged_log(
    ledger: Path, key: VerifierKey
) -> None:
    forge(ledger, RUNS[0])

    assert look(ledger, key, OFFICER.verifier)


def test_the_log_is_derived_from_the_records_and_nothing_else(ledger: Path) -> None:
    """The roots that verify computes are those of the records' bytes, hashed here by hand."""
    leaves = [hashlib.sha256(b"\x00" + row["record"]).digest() for row in rows_of(ledger, "runs")]
    pairs = [hashlib.sha256(b"\x01" + leaves[at] + leaves[at + 1]).digest() for at in (0, 2)]
    root = hashlib.sha256(b"\x01" + pairs[0] + pairs[1]).digest()

    assert checkpoint_of(ledger).root == root
    assert checkpoint_of(ledger).origin == Ledger.open(ledger).log().origin_of(log.RUNS_TREE)
    tree = verify_log._Tree()
    for row in rows_of(ledger, "runs"):
        tree.append(row["record"])
    assert tree.root_of(4) == root
