"""The log as the tables keep it: nodes, and checkpoints with the file of them as signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lottery.errors import LedgerDamaged, Refused, RunNotFound
from lottery.ledger import log
from lottery.ledger.commit import Ledger
from lottery.ledger.log import RUNS_TREE, TRAIL_TREE, SignedCheckpoint
from lottery.ledger.trail import entry_now
from lottery.operations import proofs, verification
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import SigningKey
from lottery.tlog.note import join_notes
from tests.builders import PUBLISHED, TESTER, assert_sound, faults_of
from tests.ledger.ledgers import META_ONLY, Run, trail_of, unchanged

ENTRIES = 21
OFFICER = SigningKey.generate("officer.example/compliance")


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root, worked as RFC 9162 (2.1.1) defines it."""
    if len(leaves) == 1:
        return merkle.leaf_hash(leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return merkle.node_hash(root_of(leaves[:half]), root_of(leaves[half:]))


def checkpoints_of(ledger: Ledger) -> list[SignedCheckpoint]:
    with ledger.reading_log() as connection:
        return list(log.all_checkpoints(connection))


def leaves_of(ledger: Ledger, tree: str) -> list[bytes]:
    if tree == TRAIL_TREE:
        return [entry.canonical() for entry in ledger.trail_entries()]
    return [record.canonical() for record in ledger.iterate()]


@pytest.fixture
def opened(run: Run, ledger: Path) -> Ledger:
    """A ledger of two runs and many entries."""
    run(PUBLISHED)
    run(META_ONLY)
    made = Ledger.open(ledger)
    for number in range(ENTRIES - 3):
        made.enter(entry_now("RUNS_REPLAYED", str(number), "matches", TESTER))
    return made


@pytest.mark.parametrize(("tree", "size"), [(RUNS_TREE, 2), (TRAIL_TREE, ENTRIES)])
def test_every_size_of_a_tree_has_a_checkpoint_signed_over_the_root_of_its_leaves(
    opened: Ledger, tree: str, size: int
) -> None:
    whose, leaves = opened.log(), leaves_of(opened, tree)
    checkpoints = [checkpoint for checkpoint in checkpoints_of(opened) if checkpoint.tree == tree]

    assert len(leaves) == size
    assert [checkpoint.tree_size for checkpoint in checkpoints] == list(range(1, size + 1))
    for checkpoint in checkpoints:
        signed = open_checkpoint(checkpoint.note, [whose.key], origin=whose.origin_of(tree))
        assert signed.checkpoint.size == checkpoint.tree_size
        assert signed.checkpoint.root == root_of(leaves[: checkpoint.tree_size])


def test_the_two_trees_have_origins_of_their_own(opened: Ledger) -> None:
    whose = opened.log()

    assert whose.origin_of(RUNS_TREE) == whose.origin == whose.key.name
    assert whose.origin_of(TRAIL_TREE) == f"{whose.origin}/trail"


def test_every_checkpoint_is_in_the_file_as_it_was_signed_at_the_offset_of_its_row(
    opened: Ledger,
) -> None:
    content = (opened.directory / "checkpoints").read_bytes()
    checkpoints = checkpoints_of(opened)

    assert content == join_notes(checkpoint.note for checkpoint in checkpoints)
    assert [checkpoint.position for checkpoint in checkpoints] == list(range(len(checkpoints)))
    start = 0
    for checkpoint in checkpoints:
        assert content[start : checkpoint.ends_at] == join_notes([checkpoint.note])
        start = checkpoint.ends_at
    assert start == len(content)


def test_the_nodes_are_those_of_the_complete_subtrees_and_no_others(opened: Ledger) -> None:
    leaves = leaves_of(opened, TRAIL_TREE)
    levels = [len(leaves) >> level for level in range(len(leaves).bit_length())]

    with opened.reading_log() as connection:
        for level, count in enumerate(levels):
            for position in range(count):
                first = position << level
                assert log.node(connection, TRAIL_TREE, level, position) == root_of(
                    leaves[first : first + (1 << level)]
                )
            missing = f"the tree trail has no node {count} of level {level}"
            with pytest.raises(LedgerDamaged, match=missing):
                log.node(connection, TRAIL_TREE, level, count)


def test_checkpoints_are_found_by_position_and_size(opened: Ledger) -> None:
    checkpoints = checkpoints_of(opened)

    with opened.reading_log() as connection:
        assert log.last_checkpoint(connection) == checkpoints[-1]
        assert log.checkpoints_after(connection, -1) == checkpoints
        assert log.checkpoints_after(connection, 4) == checkpoints[5:]
        assert log.checkpoints_after(connection, len(checkpoints)) == []
        of_runs = [checkpoint for checkpoint in checkpoints if checkpoint.tree == RUNS_TREE]
        assert log.latest_checkpoint(connection, RUNS_TREE) == of_runs[-1]
        assert log.first_checkpoint_of(connection, RUNS_TREE, 1) == of_runs[0]
        assert log.first_checkpoint_of(connection, RUNS_TREE, 3) is None


def test_a_ledger_in_which_nothing_is_recorded_has_a_checkpoint_of_the_trail_alone(
    ledger: Path,
) -> None:
    made = Ledger.create(ledger)

    assert [(checkpoint.tree, checkpoint.tree_size) for checkpoint in checkpoints_of(made)] == [
        (TRAIL_TREE, 1)
    ]
    with made.reading_log() as connection:
        assert log.latest_checkpoint(connection, RUNS_TREE) is None
    with pytest.raises(RunNotFound, match="no run is recorded yet"):
        proofs.checkpoint(made)


def test_a_second_signature_is_a_checkpoint_of_the_same_size_and_the_first_stays(
    opened: Ledger,
) -> None:
    before = checkpoints_of(opened)

    checkpoint = verification.cosign(opened, OFFICER, TESTER)

    whose = opened.log()
    signed = open_checkpoint(checkpoint.note, [whose.key, OFFICER.verifier])
    assert signed.signed_by == (whose.key, OFFICER.verifier)
    assert checkpoints_of(opened)[: len(before)] == before
    assert proofs.checkpoint(opened) == checkpoint
    with opened.reading_log() as connection:
        assert log.first_checkpoint_of(connection, RUNS_TREE, 2) in before
    assert trail_of(opened.directory)[-1] == (
        "CHECKPOINT_COSIGNED",
        "2 runs",
        f"signed by {OFFICER.verifier}",
    )
    assert faults_of(opened.directory, keys=[whose.key, OFFICER.verifier]) == []
    assert_sound(opened.directory)


def test_the_log_goes_on_after_a_second_signature(opened: Ledger, run: Run) -> None:
    verification.cosign(opened, OFFICER, TESTER)

    run(PUBLISHED, supersedes=["2024-09-16-001"], reason="asked for again")

    checkpoint = proofs.checkpoint(opened)
    assert checkpoint.tree_size == 3
    assert open_checkpoint(checkpoint.note, [opened.log().key]).checkpoint.size == 3
    assert_sound(opened.directory)


def test_proofs_of_every_size_hold_and_of_no_other_size(opened: Ledger) -> None:
    leaves = leaves_of(opened, RUNS_TREE)
    for index, run in enumerate(("2024-09-16-001", "2024-09-16-002")):
        for size in range(index + 1, 3):
            proven = proofs.inclusion(opened, run, size)
            merkle.verify_inclusion(
                index=index,
                size=size,
                leaf_hash=merkle.leaf_hash(leaves[index]),
                proof=proven.proof.hashes,
                root=root_of(leaves[:size]),
            )
        for size in (0, index, 3):
            with unchanged(opened.directory), pytest.raises(Refused):
                proofs.inclusion(opened, run, size)
    size, hashes = proofs.consistency(opened, 1)
    merkle.verify_consistency(
        first_size=1,
        second_size=size,
        first_root=root_of(leaves[:1]),
        second_root=root_of(leaves),
        proof=hashes,
    )
