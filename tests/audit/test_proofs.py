"""What proves the record: checkpoints, inclusion, consistency, cosignatures, and the trail.

Every proof is verified by `tlog.merkle` against a checkpoint opened with the log's public key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import (
    CheckpointInvalid,
    KeyUnusable,
    LedgerDamaged,
    Refused,
    RunNotFound,
)
from lottery.ledger import log
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.run_record import Identity
from lottery.ledger.trail import (
    CHECKPOINT_COSIGNED,
    LEDGER_MADE,
    RUN_EXPORTED,
    RUN_RECORDED,
    RUNS_REPLAYED,
)
from lottery.ledger.write_transaction import CHECKPOINT_FILE, DATABASE
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint
from lottery.tlog.keys import SigningKey
from lottery.tlog.proof import LogProof
from lottery.version import NAME, VERSION
from tests.builders import (
    DATE,
    PUBLISHED,
    REQUESTER,
    TESTER,
    assert_sound,
    faults_of,
    record_in,
    replay_of,
    request_of,
)

COUNT = 20
DATES = [DATE.replace(year=2025) + dt.timedelta(days=number) for number in range(COUNT)]
RUNS = [f"{date}-001" for date in DATES]
OFFICER = SigningKey(name="officer.example", seed=bytes(range(32)))
AUDITOR = SigningKey(name="auditor.example", seed=bytes(range(1, 33)))
COMPLIANCE = Identity(kind="system-user", name="officer", host="compliance")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 20 runs; tests that change it work on copies."""
    folder = tmp_path_factory.mktemp("proved")
    for date in DATES:
        record_in(
            folder / "ledger", request_of(replace(PUBLISHED, date=date), folder / date.isoformat())
        )
    return folder / "ledger"


@pytest.fixture(scope="module")
def proved(recorded: Path) -> Ledger:
    """The log of 20 runs to ask for proofs, which are no entries of the trail."""
    return Ledger.open(recorded)


@pytest.fixture
def ledger(recorded: Path, tmp_path: Path) -> Ledger:
    """A copy of the log of 20 runs that may be changed."""
    shutil.copytree(recorded, tmp_path / "ledger")
    return Ledger.open(tmp_path / "ledger")


@pytest.fixture
def small(tmp_path: Path) -> Ledger:
    """A log of one run."""
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "in"))
    return Ledger.open(tmp_path / "ledger")


def opened_by_log(ledger: Ledger, note: bytes) -> Checkpoint:
    """Return the checkpoint of a note that the log's key has signed for the runs."""
    whose = ledger.log()
    opened = open_checkpoint(note, [whose.key], origin=whose.origin_of(log.RUNS_TREE))
    assert opened.signed_by == (whose.key,)
    return opened.checkpoint


def checkpoint_of_size(ledger: Ledger, size: int) -> Checkpoint:
    return opened_by_log(ledger, operations.inclusion(ledger, RUNS[0], size).proof.note)


def operations_in_trail(ledger: Ledger) -> list[tuple[str, str, str]]:
    return [(entry.operation, entry.subject, entry.outcome) for entry in operations.trail(ledger)]


def state_of(directory: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_logs_public_key_is_given_and_is_that_of_its_private_key(proved: Ledger) -> None:
    keys = operations.public_keys(proved)

    private = SigningKey.parse((proved.directory / KEY_FILE).read_text("utf-8").rstrip("\n"))
    assert keys.key == private.verifier
    assert keys.origin == keys.key.name


def test_the_checkpoint_is_the_signed_checkpoint_of_all_runs(proved: Ledger) -> None:
    checkpoint = operations.checkpoint(proved)

    signed = opened_by_log(proved, checkpoint.note)
    leaves = [proved.leaf(run)[1] for run in RUNS]
    nodes = [merkle.leaf_hash(leaf) for leaf in leaves]
    assert (checkpoint.tree, checkpoint.tree_size, signed.size) == ("runs", COUNT, COUNT)
    assert signed.root == naive_root(nodes)


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it stands there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return merkle.node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def test_every_run_is_proved_in_the_log_of_every_size(proved: Ledger) -> None:
    proved_count = 0
    for index, run in enumerate(RUNS):
        canonical = proved.get(run).canonical()
        for size in range(index + 1, COUNT + 1):
            inclusion = operations.inclusion(proved, run, size)

            parsed = LogProof.parse(inclusion.proof.text())
            signed = opened_by_log(proved, parsed.note)
            assert (inclusion.run, inclusion.tree_size, signed.size) == (run, size, size)
            assert inclusion.canonical == canonical
            assert parsed == inclusion.proof
            assert parsed.index == index
            merkle.verify_inclusion(
                index=parsed.index,
                size=signed.size,
                leaf_hash=merkle.leaf_hash(inclusion.canonical),
                proof=parsed.hashes,
                root=signed.root,
            )
            proved_count += 1
    assert proved_count == COUNT * (COUNT + 1) // 2


def test_without_a_size_a_run_is_proved_in_all_of_the_log(proved: Ledger) -> None:
    whole = operations.inclusion(proved, RUNS[3])

    assert whole == operations.inclusion(proved, RUNS[3], COUNT)
    assert whole.proof.note == operations.checkpoint(proved).note
    assert operations.inclusion(proved, "latest").run == RUNS[-1]


def test_every_two_sizes_of_the_log_are_proved_consistent(proved: Ledger) -> None:
    roots = {size: checkpoint_of_size(proved, size).root for size in range(1, COUNT + 1)}
    assert len(set(roots.values())) == COUNT
    for first, first_root in roots.items():
        for second in range(first, COUNT + 1):
            size, proof = operations.consistency(proved, first, second)

            assert size == second
            merkle.verify_consistency(
                first_size=first,
                second_size=second,
                first_root=first_root,
                second_root=roots[second],
                proof=proof,
            )


def test_without_a_second_size_consistency_is_with_all_of_the_log(proved: Ledger) -> None:
    assert operations.consistency(proved, 7) == operations.consistency(proved, 7, COUNT)


@pytest.mark.parametrize("size", [-1, 0, 5, 21, 2**63])
def test_a_run_is_not_proved_in_a_log_without_it_or_that_is_not_there(
    proved: Ledger, size: int
) -> None:
    with pytest.raises(Refused, match="tree size must be 6 to 20 to have entry 5, got") as caught:
        operations.inclusion(proved, RUNS[5], size)
    assert [problem.source for problem in caught.value.problems] == ["tree_size"]


@pytest.mark.parametrize(
    ("first", "second"), [(0, 5), (-1, 5), (6, 5), (1, 21), (21, 21), (21, None), (0, None)]
)
def test_consistency_is_not_proved_between_sizes_that_are_none(
    proved: Ledger, first: int, second: int | None
) -> None:
    with pytest.raises(Refused, match="sizes must be in order from 1 to 20, got") as caught:
        operations.consistency(proved, first, second)
    assert [problem.source for problem in caught.value.problems] == ["first_size"]


def test_a_run_that_is_not_recorded_has_no_proof(proved: Ledger) -> None:
    for run in ("2025-09-15-001", "nonsense"):
        with pytest.raises(RunNotFound):
            operations.inclusion(proved, run)
        with pytest.raises(RunNotFound):
            operations.export_run(proved, run, io.BytesIO(), TESTER)


def test_a_log_without_a_run_proves_nothing(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger")

    for ask in (
        lambda: operations.checkpoint(ledger),
        lambda: operations.inclusion(ledger, "latest"),
        lambda: operations.consistency(ledger, 1),
        lambda: operations.cosign(ledger, OFFICER, TESTER),
    ):
        with pytest.raises(RunNotFound, match="no run is recorded yet"):
            ask()


def test_a_second_signature_stands_beside_the_first_over_the_same_text(ledger: Ledger) -> None:
    before = operations.checkpoint(ledger)
    file = (ledger.directory / CHECKPOINT_FILE).read_bytes()

    signed = operations.cosign(ledger, OFFICER, COMPLIANCE)

    key = ledger.log().key
    opened = open_checkpoint(signed.note, [key, OFFICER.verifier])
    assert opened.signed_by == (key, OFFICER.verifier)
    assert open_checkpoint(signed.note, [OFFICER.verifier]).checkpoint == opened_by_log(
        ledger, before.note
    )
    assert signed.note.startswith(before.note)
    assert signed == operations.checkpoint(ledger)
    assert (signed.tree_size, signed.position) == (COUNT, before.position + 2)
    with ledger.reading_log() as connection:
        first = log.first_checkpoint_of(connection, log.RUNS_TREE, COUNT)
    assert first == before, "the first checkpoint is what it was"
    assert (ledger.directory / CHECKPOINT_FILE).read_bytes().startswith(file)
    assert_sound(ledger.directory)
    assert faults_of(ledger.directory, keys=[key, OFFICER.verifier]) == []


def test_a_proof_comes_with_every_signature_of_the_latest_checkpoint(ledger: Ledger) -> None:
    operations.cosign(ledger, OFFICER, COMPLIANCE)
    operations.cosign(ledger, AUDITOR, COMPLIANCE)

    latest = operations.inclusion(ledger, RUNS[0]).proof
    earlier = operations.inclusion(ledger, RUNS[0], COUNT - 1).proof

    every = [ledger.log().key, OFFICER.verifier, AUDITOR.verifier]
    assert open_checkpoint(latest.note, every).signed_by == tuple(every)
    assert open_checkpoint(earlier.note, every).signed_by == (every[0],)


def test_the_same_key_does_not_sign_one_checkpoint_twice_and_signs_the_next(
    ledger: Ledger, tmp_path: Path
) -> None:
    operations.cosign(ledger, OFFICER, COMPLIANCE)
    before = state_of(ledger.directory)

    with pytest.raises(CheckpointInvalid, match="has signed it already"):
        operations.cosign(ledger, OFFICER, COMPLIANCE)
    assert state_of(ledger.directory) == before

    record_in(ledger.directory, request_of(PUBLISHED, tmp_path / "in"))
    signed = operations.cosign(ledger, OFFICER, COMPLIANCE)
    assert signed.tree_size == COUNT + 1
    assert_sound(ledger.directory)


def test_the_logs_own_key_does_not_sign_its_checkpoint_again(ledger: Ledger) -> None:
    own = SigningKey.parse((ledger.directory / KEY_FILE).read_text("utf-8").rstrip("\n"))

    with pytest.raises(CheckpointInvalid, match="has signed it already"):
        operations.cosign(ledger, own, COMPLIANCE)
    assert_sound(ledger.directory)


@pytest.mark.parametrize(
    ("trigger", "statement", "where"),
    [
        (
            "runs_refuse_update",
            "UPDATE runs SET record = CAST(record || ' ' AS BLOB) WHERE log_index = 4",
            "run 2025-09-20-001",
        ),
        (
            "nodes_refuse_update",
            "UPDATE nodes SET hash = zeroblob(32) WHERE tree = 'runs' AND level = 2",
            "node 0 of level 2 of the tree runs",
        ),
        ("trail_refuse_delete", "DELETE FROM trail WHERE trail_index = 3", "trail entry 4"),
        (
            "checkpoints_refuse_delete",
            "DELETE FROM checkpoints WHERE position = 2",
            "checkpoint 2",
        ),
    ],
)
def test_nothing_is_signed_on_top_of_a_log_that_was_tampered_with(
    ledger: Ledger, trigger: str, statement: str, where: str
) -> None:
    for name in (DATABASE, "mirror.db"):
        with closing(sqlite3.connect(ledger.directory / name)) as database:
            query = "SELECT sql FROM sqlite_master WHERE name = ?"
            ((text,),) = database.execute(query, [trigger]).fetchall()
            database.execute(f"DROP TRIGGER {trigger}")
            database.execute(statement)
            database.execute(text)
            database.commit()
    before = state_of(ledger.directory)

    with pytest.raises(LedgerDamaged, match="nothing is signed") as caught:
        operations.cosign(ledger, OFFICER, COMPLIANCE)

    assert where in str(caught.value)
    assert state_of(ledger.directory) == before


def test_nothing_is_signed_without_the_logs_own_key(ledger: Ledger) -> None:
    """The trail could not say who signed."""
    (ledger.directory / KEY_FILE).unlink()
    before = state_of(ledger.directory)

    with pytest.raises(KeyUnusable):
        operations.cosign(ledger, OFFICER, COMPLIANCE)

    assert state_of(ledger.directory) == before


def test_the_trail_says_who_did_what_with_which_software(small: Ledger) -> None:
    replay_of(small.directory, "latest")
    operations.export_run(small, "latest", io.BytesIO(), COMPLIANCE)
    operations.cosign(small, OFFICER, COMPLIANCE)
    list(operations.replay_dates(small, REQUESTER, engine=Engine.SQL, first=DATE))

    entries = list(operations.trail(small))

    key = operations.public_keys(small).key
    assert operations_in_trail(small) == [
        (LEDGER_MADE, str(key), "made"),
        (RUN_RECORDED, "2024-09-16-001", "ALLOCATED"),
        (RUNS_REPLAYED, "2024-09-16-001", "matches (compiled)"),
        (RUN_EXPORTED, "2024-09-16-001", "exported"),
        (CHECKPOINT_COSIGNED, "1 runs", f"signed by {OFFICER.verifier}"),
        (RUNS_REPLAYED, f"{DATE} to the last date", "1 of 1 match (sql)"),
    ]
    assert [entry.by for entry in entries[1:]] == [TESTER, TESTER, COMPLIANCE, COMPLIANCE, TESTER]
    assert {(entry.software.name, entry.software.version) for entry in entries} == {(NAME, VERSION)}
    times = [dt.datetime.fromisoformat(entry.at) for entry in entries]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {dt.timedelta()}
    assert_sound(small.directory)


def test_a_replay_that_differs_is_an_entry_that_says_so(small: Ledger) -> None:
    path = small.evidence_of(small.get("latest")) / "sources/volumes.csv"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"862", b"863"))

    assert not replay_of(small.directory, "latest").matched
    list(operations.replay_dates(small, REQUESTER, engine=Engine.COMPILED))

    *_, one, all_of_them = operations_in_trail(small)
    assert one == (RUNS_REPLAYED, "2024-09-16-001", "differs (compiled)")
    assert all_of_them[2] == "0 of 1 match (compiled)"


def test_replays_that_are_broken_off_are_one_entry_of_those_that_were_done(ledger: Ledger) -> None:
    replays = operations.replay_dates(ledger, REQUESTER, engine=Engine.COMPILED, last=DATES[9])
    for _ in range(3):
        next(replays)
    replays.close()  # type: ignore[attr-defined] # It is a generator.

    *_, last = operations_in_trail(ledger)
    assert last == (
        RUNS_REPLAYED,
        f"the first date to {DATES[9]}",
        "3 of 3 match (compiled)",
    )


def test_asking_for_proofs_is_no_entry_of_the_trail(ledger: Ledger) -> None:
    before = state_of(ledger.directory)

    operations.public_keys(ledger)
    operations.checkpoint(ledger)
    operations.inclusion(ledger, "latest")
    operations.consistency(ledger, 1)
    list(operations.trail(ledger))

    assert state_of(ledger.directory) == before


@dataclass(slots=True)
class Warnings:
    """What a requester was warned of."""

    texts: list[str]

    def requester(self) -> operations.Requester:
        return operations.Requester(by=TESTER, warn=self.texts.append)


def test_a_replay_goes_through_where_the_trail_cannot_be_written_and_says_so(
    small: Ledger,
) -> None:
    (small.directory / KEY_FILE).unlink()
    before = state_of(small.directory)
    warnings = Warnings([])

    one = operations.replay_run(small, "latest", warnings.requester(), engine=Engine.COMPILED)
    every = list(operations.replay_dates(small, warnings.requester(), engine=Engine.COMPILED))

    assert one.matched
    assert every == [one]
    assert len(warnings.texts) == 2
    assert "2024-09-16-001 is not in the trail" in warnings.texts[0]
    assert all("signing.key" in text for text in warnings.texts)
    assert state_of(small.directory) == before


def test_a_replay_that_is_entered_is_not_warned_of(small: Ledger) -> None:
    warnings = Warnings([])

    operations.replay_run(small, "latest", warnings.requester(), engine=Engine.COMPILED)

    assert warnings.texts == []
    assert operations_in_trail(small)[-1][0] == RUNS_REPLAYED


def test_a_ledger_whose_trail_cannot_be_written_exports_nothing(small: Ledger) -> None:
    (small.directory / KEY_FILE).unlink()
    file = io.BytesIO()

    with pytest.raises(KeyUnusable):
        operations.export_run(small, "latest", file, TESTER)

    assert file.getvalue() == b""
