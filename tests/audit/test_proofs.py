"""What proves the record: the checkpoint, inclusion, consistency, and the trail.

Every proof is verified by `tlog.merkle` against a checkpoint opened with the log's public key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import KeyUnusable, Refused, RunNotFound
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Activity, Charter, canonical
from lottery.ledger.run_record import Identity
from lottery.operations.settings import KEY_FILE
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
    evidence_in,
    made,
    opened,
    record_in,
    replay_of,
    request_of,
)

COUNT = 20
SIZE = COUNT + 1
"""Entries of the log: the charter and the runs."""
DATES = [DATE.replace(year=2025) + dt.timedelta(days=number) for number in range(COUNT)]
RUNS = [f"{date}-001" for date in DATES]
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
    return opened(recorded)


@pytest.fixture
def ledger(recorded: Path, tmp_path: Path) -> Ledger:
    """A copy of the log of 20 runs that may be changed."""
    shutil.copytree(recorded, tmp_path / "ledger")
    return opened(tmp_path / "ledger")


@pytest.fixture
def small(tmp_path: Path) -> Ledger:
    """A log of one run."""
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "in"))
    return opened(tmp_path / "ledger")


def opened_by_log(ledger: Ledger, note: bytes) -> Checkpoint:
    """Return the checkpoint of a note that the log's key has signed for the runs."""
    whose = ledger.log()
    signed = open_checkpoint(note, [whose.key], origin=whose.origin)
    assert signed.signed_by == (whose.key,)
    return signed.checkpoint


def checkpoint_of_size(ledger: Ledger, size: int) -> Checkpoint:
    return opened_by_log(ledger, operations.inclusion(ledger, RUNS[0], size).proof.note)


def activities_of(ledger: Ledger) -> list[tuple[str, str, str]]:
    return [
        (entry.type, entry.subject, entry.outcome)
        for entry in operations.trail(ledger)
        if isinstance(entry, Activity)
    ]


def folder_of(ledger: Ledger) -> Path:
    """Return a ledger's directory."""
    return Path(ledger.ports.objects.place)


def state_of(directory: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_logs_public_key_is_given_and_is_that_of_its_private_key(proved: Ledger) -> None:
    keys = operations.public_keys(proved)

    private = SigningKey.parse((folder_of(proved) / KEY_FILE).read_text("utf-8").rstrip("\n"))
    assert keys.key == private.verifier
    assert keys.origin == keys.key.name


def test_the_checkpoint_is_the_signed_checkpoint_of_all_entries(proved: Ledger) -> None:
    checkpoint = operations.checkpoint(proved)

    signed = opened_by_log(proved, checkpoint.note)
    entries = [*operations.trail(proved), *map(proved.get, RUNS)]
    nodes = [merkle.leaf_hash(canonical(entry)) for entry in entries]
    assert (checkpoint.tree_size, signed.size, len(entries)) == (SIZE, SIZE, SIZE)
    assert signed.root == naive_root(nodes)


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it stands there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return merkle.node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def test_every_run_is_proved_in_the_log_of_every_size(proved: Ledger) -> None:
    proved_count = 0
    for index, run in enumerate(RUNS, 1):
        encoded = canonical(proved.get(run))
        for size in range(index + 1, SIZE + 1):
            inclusion = operations.inclusion(proved, run, size)

            parsed = LogProof.parse(inclusion.proof.text())
            signed = opened_by_log(proved, parsed.note)
            assert (inclusion.run, inclusion.tree_size, signed.size) == (run, size, size)
            assert inclusion.canonical == encoded
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

    assert whole == operations.inclusion(proved, RUNS[3], SIZE)
    assert whole.proof.note == operations.checkpoint(proved).note
    assert operations.inclusion(proved, "latest").run == RUNS[-1]


def test_every_two_sizes_of_the_log_are_proved_consistent(proved: Ledger) -> None:
    roots = {size: checkpoint_of_size(proved, size).root for size in range(2, SIZE + 1)}
    assert len(set(roots.values())) == COUNT
    for first, first_root in roots.items():
        for second in range(first, SIZE + 1):
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
    assert operations.consistency(proved, 7) == operations.consistency(proved, 7, SIZE)


@pytest.mark.parametrize("size", [-1, 0, 6, 22, 2**63])
def test_a_run_is_not_proved_in_a_log_without_it_or_that_is_not_there(
    proved: Ledger, size: int
) -> None:
    with pytest.raises(Refused, match="tree size must be 7 to 21 to have entry 6, got") as caught:
        operations.inclusion(proved, RUNS[5], size)
    assert [problem.source for problem in caught.value.problems] == ["tree_size"]


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        (0, 5, "first_size"),
        (-1, 5, "first_size"),
        (6, 5, "first_size"),
        (1, 22, "second_size"),
        (22, 22, "second_size"),
        (22, None, "first_size"),
        (0, None, "first_size"),
    ],
)
def test_consistency_is_not_proved_between_sizes_that_are_none(
    proved: Ledger, first: int, second: int | None, wrong: str
) -> None:
    with pytest.raises(Refused, match="sizes must be in order from 1 to 21, got") as caught:
        operations.consistency(proved, first, second)
    assert [problem.source for problem in caught.value.problems] == [wrong]


def test_a_run_that_is_not_recorded_has_no_proof(proved: Ledger) -> None:
    for run in ("2025-09-15-001", "nonsense"):
        with pytest.raises(RunNotFound):
            operations.inclusion(proved, run)
        with pytest.raises(RunNotFound):
            operations.export_run(proved, run, io.BytesIO(), TESTER)


def test_a_log_without_a_run_has_its_charter_alone(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger")

    assert operations.checkpoint(ledger).tree_size == 1
    assert operations.consistency(ledger, 1) == (1, ())
    with pytest.raises(RunNotFound, match="no run is recorded yet"):
        operations.inclusion(ledger, "latest")


def test_a_checkpoint_names_the_key_that_signed_it(small: Ledger) -> None:
    old, new = operations.public_keys(small).key, SigningKey.generate(small.log().origin)
    small.rotate(new.verifier, TESTER)

    checkpoint = operations.checkpoint(small)

    assert checkpoint.key == old
    open_checkpoint(checkpoint.note, [old], origin=old.name)
    assert operations.public_keys(small).key == new.verifier


def test_the_trail_says_who_did_what_with_which_software(small: Ledger) -> None:
    replay_of(folder_of(small), "latest")
    operations.export_run(small, "latest", io.BytesIO(), COMPLIANCE)
    list(operations.replay_dates(small, REQUESTER, engine=Engine.SQL, first=DATE))

    charter, *entries = operations.trail(small)

    assert isinstance(charter, Charter)
    assert charter.public_key == str(operations.public_keys(small).key)
    assert activities_of(small) == [
        ("replay", "2024-09-16-001", "matches (compiled)"),
        ("export", "2024-09-16-001", "exported"),
        ("replay", f"{DATE} to the last date", "1 of 1 match (sql)"),
    ]
    assert [entry.requested_by for entry in entries] == [TESTER, COMPLIANCE, TESTER]
    assert {(entry.software.name, entry.software.version) for entry in entries} == {(NAME, VERSION)}
    times = [dt.datetime.fromisoformat(entry.recorded_at) for entry in entries]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {dt.timedelta()}
    assert_sound(folder_of(small))


def test_a_replay_that_differs_is_an_entry_that_says_so(small: Ledger) -> None:
    path = evidence_in(folder_of(small), "latest") / "sources/volumes.csv"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"862", b"863"))

    assert not replay_of(folder_of(small), "latest").matched
    list(operations.replay_dates(small, REQUESTER, engine=Engine.COMPILED))

    *_, one, all_of_them = activities_of(small)
    assert one == ("replay", "2024-09-16-001", "differs (compiled)")
    assert all_of_them[2] == "0 of 1 match (compiled)"


def test_replays_that_are_broken_off_are_one_entry_of_those_that_were_done(ledger: Ledger) -> None:
    replays = operations.replay_dates(ledger, REQUESTER, engine=Engine.COMPILED, last=DATES[9])
    for _ in range(3):
        next(replays)
    replays.close()  # type: ignore[attr-defined] # It is a generator.

    *_, last = activities_of(ledger)
    assert last == (
        "replay",
        f"the first date to {DATES[9]}",
        "3 of 3 match (compiled)",
    )


def test_asking_for_proofs_is_no_entry_of_the_trail(ledger: Ledger) -> None:
    before = state_of(folder_of(ledger))

    operations.public_keys(ledger)
    operations.checkpoint(ledger)
    operations.inclusion(ledger, "latest")
    operations.consistency(ledger, 1)
    list(operations.trail(ledger))

    assert state_of(folder_of(ledger)) == before


@dataclass(slots=True)
class Warnings:
    """What a requester was warned of."""

    texts: list[str]

    def requester(self) -> operations.Requester:
        return operations.Requester(by=TESTER, warn=self.texts.append)


def test_a_replay_goes_through_where_the_trail_cannot_be_written_and_says_so(
    small: Ledger,
) -> None:
    (folder_of(small) / KEY_FILE).unlink()
    before = state_of(folder_of(small))
    warnings = Warnings([])

    one = operations.replay_run(small, "latest", warnings.requester(), engine=Engine.COMPILED)
    every = list(operations.replay_dates(small, warnings.requester(), engine=Engine.COMPILED))

    assert one.matched
    assert every == [one]
    assert len(warnings.texts) == 2
    assert "2024-09-16-001 is not in the log" in warnings.texts[0]
    assert all("signing.key" in text for text in warnings.texts)
    assert state_of(folder_of(small)) == before


def test_a_replay_that_is_entered_is_not_warned_of(small: Ledger) -> None:
    warnings = Warnings([])

    operations.replay_run(small, "latest", warnings.requester(), engine=Engine.COMPILED)

    assert warnings.texts == []
    assert activities_of(small)[-1][0] == "replay"


def test_a_ledger_whose_trail_cannot_be_written_exports_nothing(small: Ledger) -> None:
    (folder_of(small) / KEY_FILE).unlink()
    file = io.BytesIO()

    with pytest.raises(KeyUnusable):
        operations.export_run(small, "latest", file, TESTER)

    assert file.getvalue() == b""
