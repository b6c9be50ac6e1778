"""`lottery verify`: a ledger is sound, or every fault is listed with its file, and exit code 6.

Which faults are found, and in which file, is in `tests/audit/test_verify.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.tlog.keys import create_key_file
from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
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

FOLDER = f"evidence/2024-09-16/{EXAMPLE_RUN}"


def faults_of(door: Door, *options: str) -> dict[str, str]:
    """Return the files at fault and what is wrong with each, of a ledger that is not sound."""
    answer = door("verify", *options, "--json")
    document = answer.document
    assert (answer.exit_code, answer.err, document["sound"]) == (6, "", False)
    assert all(fault.keys() == {"where", "problem"} for fault in document["faults"])
    return {fault["where"]: fault["problem"] for fault in document["faults"]}


def test_a_sound_ledger_is_reported_so_and_exits_0(reader: Door) -> None:
    text, document = succeeds(reader, "verify")
    assert text.out == "The ledger is sound\n"
    assert document == {"sound": True, "faults": []}


def test_a_ledger_in_which_nothing_is_recorded_is_sound(both: tuple[Door, Door]) -> None:
    _, server = both
    for door in (server, files_of(server.ledger)):
        assert door("verify", "--json").document == {"sound": True, "faults": []}


def test_every_fault_is_listed_with_its_file(tampered: Door) -> None:
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    evidence_file(tampered.ledger, "sources/volumes.csv").unlink()
    (tampered.ledger / "signing.key").unlink()
    before = files_in(tampered.ledger)
    names = ["signing.key", f"{FOLDER}/pools.parquet", f"{FOLDER}/sources/volumes.csv"]
    assert list(faults_of(tampered)) == names
    text = tampered("verify")
    assert (text.exit_code, text.err) == (6, "")
    assert [line.partition(": ")[0] for line in text.lines[:-1]] == names
    assert text.lines[-1] == "Not sound: 3 faults"
    # Looking changes nothing, and is no entry of the trail.
    assert files_in(tampered.ledger) == before
    # An auditor who knows the public key needs no private one.
    key = public_key(tampered.ledger)
    assert list(faults_of(tampered, "--key", key)) == names[1:]


def test_the_keys_given_are_those_that_must_have_signed(tampered: Door, tmp_path: Path) -> None:
    key = public_key(tampered.ledger)
    assert tampered("verify", "--key", key).exit_code == 0
    faults = faults_of(tampered, "--key", SOMEBODYS_KEY)
    assert faults.keys() == {"the log", "the key example.org/other"}
    assert key in faults["the log"]
    officer = str(create_key_file(tmp_path / "officer.key", "example.org/officer").verifier)
    both = ("--key", key, "--key", officer)
    assert faults_of(tampered, *both).keys() == {"the key example.org/officer"}
    tampered("cosign", "--key", tmp_path / "officer.key")
    assert tampered("verify", *both).exit_code == 0
    # The officer's signature does not make the log the officer's.
    assert faults_of(tampered, "--key", officer).keys() == {"the log"}


@pytest.mark.parametrize("key", ["", "none", SOMEBODYS_KEY[:-4], f"{SOMEBODYS_KEY}\n"])
def test_an_invalid_key_is_wrong_usage(reader: Door, key: str) -> None:
    text, _ = fails(reader, "verify", "--key", key, exit_code=2, reason="WRONG_USAGE")
    assert "--key: expected " in text.message


def test_a_ledger_that_another_process_writes_to_exits_75_and_is_verified_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "0.05")
    with serving(tmp_path / "ledger", lock_seconds=0.05) as server:
        for door in (server, files_of(server.ledger)):
            with write_lock(door.ledger):
                fails(door, "verify", exit_code=75, reason="LEDGER_BUSY")
            assert door("verify").exit_code == 0
