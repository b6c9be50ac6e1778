"""`lottery verify`: a ledger is sound, or every fault is listed with its file, and exit code 6.

Which faults are found, and in which file, is in `tests/audit/test_verify.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.tlog.checkpoint import add_signature
from lottery.tlog.keys import SigningKey
from tests.builders import TESTER, opened
from tests.cli.calls import (
    SOMEBODYS_KEY,
    Door,
    copied,
    evidence_file,
    fails,
    files_in,
    files_of,
    flip_a_bit,
    public_key,
    serving,
    succeeds,
    write_lock,
)


def faults_of(door: Door, *options: str) -> dict[str, str]:
    """Return the files at fault and what is wrong with each, of a ledger that is not sound."""
    answer = door("verify", *options, "--json")
    document = answer.document
    assert (answer.exit_code, answer.err, document["sound"]) == (6, "", False)
    assert all(fault.keys() == {"where", "problem"} for fault in document["faults"])
    return {fault["where"]: fault["problem"] for fault in document["faults"]}


def test_a_sound_ledger_is_reported_so_and_exits_0(tampered: Door) -> None:
    text, document = succeeds(tampered, "verify")
    assert text.lines[-1] == "The ledger is sound"
    assert text.lines[0].startswith("Read 1 run, ")
    assert text.lines[0].endswith(" bytes, and the head of 2 entries")
    assert (document["sound"], document["faults"]) == (True, [])
    assert (document["runs"], document["tree_size"]) == (1, 2)
    assert document["public_key"] == public_key(tampered.ledger)
    assert document["key_given"] is False


def test_whose_key_was_trusted_is_said_and_the_ledgers_own_word_is_a_warning(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for door in both:
        key = public_key(door.ledger)
        name, key_id, _ = key.split("+", 2)
        own, given = door("verify"), door("verify", "--key", key)
        assert own.lines[2] == f"Trusted: key {name}, id {key_id}"
        assert own.lines[3].strip() == key
        assert own.lines[4].startswith("warning: that key is what the ledger says of itself")
        assert given.lines[2] == f"Trusted, as given: key {name}, id {key_id}"
        assert [line.strip() for line in given.lines[3:]] == [key, "The ledger is sound"]
        document = door("verify", "--key", key, "--json").document
        assert document["key_given"] is True
        assert document["trusted"] == [{"name": name, "id": key_id, "public_key": key}]
        kept = tmp_path / "kept"
        kept.write_bytes((door.ledger / "log/checkpoint").read_bytes())
        assert "warning" not in door("verify", "--checkpoint", kept).out
        assert all(len(line) <= 80 or " " not in line[9:] for line in own.out.splitlines())


def test_which_head_was_verified_is_said_as_the_checkpoint_has_it(both: tuple[Door, Door]) -> None:
    for door in both:
        origin, size, root = (door.ledger / "log/checkpoint").read_text("utf-8").split("\n")[:3]
        text, document = succeeds(door, "verify")
        assert text.lines[0].endswith(f"and the head of {size} entries")
        assert text.lines[1] == f"Log: {origin}, root hash {root[:12]}..."
        assert (document["origin"], document["tree_size"]) == (origin, int(size))
        assert document["root_hash"] == root


def test_a_ledger_in_which_nothing_is_recorded_is_sound(both: tuple[Door, Door]) -> None:
    _, server = both
    for door in (server, files_of(server.ledger)):
        document = door("verify", "--json").document
        assert (document["sound"], document["tree_size"], document["runs"]) == (True, 1, 0)


def test_every_fault_is_listed_with_its_file(tampered: Door) -> None:
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    evidence_file(tampered.ledger, "sources/volumes.csv").unlink()
    (tampered.ledger / "signing.key").unlink()
    before = files_in(tampered.ledger)
    folder = evidence_file(tampered.ledger, "").relative_to(tampered.ledger)
    names = [f"{folder}/pools.parquet", f"{folder}/sources/volumes.csv", "signing.key"]
    assert list(faults_of(tampered)) == names
    text = tampered("verify")
    assert (text.exit_code, text.err) == (6, "")
    assert [line.partition(": ")[0] for line in text.lines[:-7]] == names
    assert text.lines[-1] == "Not sound: 3 faults"
    # Looking changes nothing, and is no entry of the trail.
    assert files_in(tampered.ledger) == before
    # An auditor who knows the public key needs no private one.
    key = public_key(tampered.ledger)
    assert list(faults_of(tampered, "--key", key)) == names[:-1]


def test_the_keys_given_are_those_that_must_have_signed(tampered: Door) -> None:
    key = public_key(tampered.ledger)
    assert tampered("verify", "--key", key).exit_code == 0
    faults = faults_of(tampered, "--key", SOMEBODYS_KEY)
    assert faults.keys() == {"the log", "the key example.org/other"}
    assert key in faults["the log"]
    officer = SigningKey(name="example.org/officer", seed=b"o" * 32)
    both = ("--key", key, "--key", str(officer.verifier))
    assert faults_of(tampered, *both).keys() == {"the key example.org/officer"}
    checkpoint = tampered.ledger / "log/checkpoint"
    checkpoint.write_bytes(add_signature(checkpoint.read_bytes(), officer))
    assert tampered("verify", *both).exit_code == 0
    # The officer's signature does not make the log the officer's.
    assert faults_of(tampered, "--key", str(officer.verifier)).keys() == {"the log"}


def test_a_head_that_somebody_else_kept_shows_an_older_copy(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for door in both:
        kept = tmp_path / "kept"
        kept.write_bytes((door.ledger / "log/checkpoint").read_bytes())
        assert door("verify", "--checkpoint", kept).exit_code == 0
        older = files_of(copied(door.ledger, tmp_path / f"older-{door.ledger.name}"))
        opened(door.ledger).enter("report", "a", "b", TESTER)
        kept.write_bytes((door.ledger / "log/checkpoint").read_bytes())
        faults = faults_of(older, "--checkpoint", str(kept))
        assert "an older copy" in faults[str(kept)]
        assert door("verify", "--checkpoint", kept).exit_code == 0
    text, _ = fails(
        both[0], "verify", "--checkpoint", tmp_path / "none", exit_code=2, reason="WRONG_USAGE"
    )
    assert "No such file" in text.message


@pytest.mark.parametrize("key", ["", "none", SOMEBODYS_KEY[:-4], f"{SOMEBODYS_KEY}\n"])
def test_an_invalid_key_is_wrong_usage(reader: Door, key: str) -> None:
    text, _ = fails(reader, "verify", "--key", key, exit_code=2, reason="WRONG_USAGE")
    assert "--key: expected " in text.message


def test_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger", lock_seconds=0.05) as server:
        for door in (server, files_of(server.ledger)):
            with write_lock(door.ledger):
                assert door("verify").exit_code == 0
