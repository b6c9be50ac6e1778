"""`lottery verify`: a ledger is sound, or every fault is told with its file, and exit code 6."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import FULL, META, NEXT_DATE, PUBLISHED, SmallDay, notice, position
from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    copied,
    evidence_file,
    files_in,
    files_of,
    flip_a_bit,
    lottery,
    run_of,
    serving,
    trail_of,
    write_lock,
)

FOLDER = f"evidence/2024-09-16/{EXAMPLE_RUN}"
RECORD = f"{FOLDER}/run.json"

EVIDENCE = [
    f"{FOLDER}/{name}"
    for name in (
        "allocations.parquet",
        "broken_positions.parquet",
        "notices.parquet",
        "pools.parquet",
        "run.json",
        "sources/notices.csv",
        "sources/volumes.csv",
    )
]
DATABASES = "ledger.db and mirror.db"


def faults_of(door: Door, *options: str) -> dict[str, str]:
    """Where the faults are and what they are, of a ledger that is not sound."""
    answer = door("verify", *options, "--json")
    assert answer.exit_code == 6
    assert answer.err == ""
    assert answer.document["sound"] is False
    faults = answer.document["faults"]
    assert faults
    assert all(fault.keys() == {"where", "problem"} for fault in faults)
    return {fault["where"]: fault["problem"] for fault in faults}


def public_key(ledger: Path) -> str:
    key: str = files_of(ledger)("keys", "--json").document["public_key"]
    return key


def test_a_sound_ledger_is_told_so_and_exits_0(reader: Door) -> None:
    text, answer = reader("verify"), reader("verify", "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.out == "The ledger is sound\n"
    assert answer.document == {"sound": True, "faults": []}
    assert text.err == answer.err == ""


def test_a_ledger_in_which_nothing_is_recorded_is_sound(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        for door in (server, files_of(server.ledger)):
            assert door("verify", "--json").document == {"sound": True, "faults": []}


def test_a_ledger_of_several_runs_is_sound_with_breaks_and_superseded_ones(
    door: Door, tmp_path: Path
) -> None:
    second = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "7", 1)])
    corrected = replace(second, positions=[position(META, "8", 1)])
    door(*run_of(FULL, tmp_path / "a"))
    door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "b"))
    door(*run_of(replace(second, date=NEXT_DATE), tmp_path / "c"), "--cycle", "2")
    command = run_of(replace(corrected, date=NEXT_DATE), tmp_path / "d")
    again = door(*command, "--cycle", "2", "--supersede", "latest", "--reason", "mistyped")
    assert again.exit_code == 0
    assert len(door.recorded()) == 4
    assert door("verify").exit_code == 0


@pytest.mark.parametrize("name", EVIDENCE)
def test_one_bit_of_a_file_of_the_evidence_is_found_and_the_file_named(
    tampered: Door, name: str
) -> None:
    flip_a_bit(tampered.ledger / name)
    text = tampered("verify")
    assert (text.exit_code, text.err) == (6, "")
    assert text.lines[0].startswith(f"{name}: ")
    assert text.lines[-1] == "Not sound: 1 fault"
    assert faults_of(tampered).keys() == {name}


@pytest.mark.parametrize("name", EVIDENCE)
def test_a_file_of_the_evidence_that_is_gone_is_found_and_named(tampered: Door, name: str) -> None:
    (tampered.ledger / name).unlink()
    assert faults_of(tampered).keys() == {name}


@pytest.mark.parametrize("name", ["ledger.db", "mirror.db", "checkpoints", "signing.key"])
@pytest.mark.parametrize("tamper", [flip_a_bit, Path.unlink], ids=["one bit", "gone"])
def test_a_change_of_the_ledgers_own_files_is_found_and_the_file_named(
    tampered: Door, name: str, tamper: Callable[[Path], None]
) -> None:
    tamper(tampered.ledger / name)
    assert any(name in where for where in faults_of(tampered))
    assert tampered("verify").lines[-1].startswith("Not sound: ")


def test_which_of_the_two_databases_was_signed_is_told(tampered: Door) -> None:
    flip_a_record(tampered.ledger / "mirror.db")
    faults = faults_of(tampered)
    assert faults.keys() == {DATABASES}
    assert faults[DATABASES] == "ledger.db holds what was signed"  # The last that is told.
    shutil.copyfile(tampered.ledger / "mirror.db", tampered.ledger / "ledger.db")
    # A record that was changed in both is not the leaf that was signed.
    assert {RECORD, "node 0 of level 0 of the tree runs"} < faults_of(tampered).keys()


def test_files_that_change_places_are_both_named(tampered: Door) -> None:
    first, second = (evidence_file(tampered.ledger, f"{name}.parquet") for name in ("pools", "n"))
    second = second.with_name("notices.parquet")
    swap(first, second)
    assert faults_of(tampered).keys() == {f"{FOLDER}/{path.name}" for path in (first, second)}


def test_what_no_record_names_is_found_and_named(tampered: Door) -> None:
    evidence_file(tampered.ledger, "notes.txt").write_text("mine")
    (tampered.ledger / "evidence/2024-09-16/2024-09-16-002").mkdir()
    (tampered.ledger / "evidence/2024-09-17").mkdir()
    assert faults_of(tampered).keys() == {
        f"{FOLDER}/notes.txt",
        "evidence/2024-09-16/2024-09-16-002",
        "evidence/2024-09-17",
    }


def test_a_folder_of_evidence_that_is_gone_is_found_and_named(tampered: Door) -> None:
    shutil.rmtree(tampered.ledger / FOLDER)
    assert faults_of(tampered).keys() == {FOLDER}


@pytest.mark.parametrize("cut", [1, 100, 10_000_000])
def test_a_checkpoint_file_that_was_cut_short_is_found(tampered: Door, cut: int) -> None:
    checkpoints = tampered.ledger / "checkpoints"
    checkpoints.write_bytes(checkpoints.read_bytes()[:-cut])
    assert faults_of(tampered).keys() == {"checkpoints"}


def test_an_older_copy_of_the_database_beside_its_later_checkpoints_is_found(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger"
    door = files_of(ledger)
    door(*run_of(PUBLISHED, tmp_path / "first"))
    older = copied(ledger, tmp_path / "older")
    door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "second"))
    for name in ("ledger.db", "mirror.db"):
        shutil.copyfile(older / name, ledger / name)
    faults = faults_of(door)
    assert "older copy of itself" in faults["checkpoints"]
    # The run that the older copy does not know is no record's any more.
    assert faults.keys() == {"checkpoints", "evidence/2024-09-17"}
    # And nothing is signed on top of it.
    answer = door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "second"), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (6, "LEDGER_DAMAGED")
    assert faults_of(door) == faults


def test_every_fault_is_told_and_not_the_first_alone(tampered: Door) -> None:
    flip_a_bit(tampered.ledger / f"{FOLDER}/pools.parquet")
    evidence_file(tampered.ledger, "sources/volumes.csv").unlink()
    (tampered.ledger / "signing.key").unlink()
    assert faults_of(tampered).keys() == {
        "signing.key",
        f"{FOLDER}/pools.parquet",
        f"{FOLDER}/sources/volumes.csv",
    }
    assert tampered("verify").lines[-1] == "Not sound: 3 faults"


@pytest.mark.parametrize("name", [None, RECORD, "ledger.db", "checkpoints"])
def test_a_verification_changes_nothing_and_is_no_entry_of_the_trail(
    tampered: Door, name: str | None
) -> None:
    if name is not None:
        flip_a_bit(tampered.ledger / name)
    before = files_in(tampered.ledger)
    assert tampered("verify").exit_code == (0 if name is None else 6)
    assert files_in(tampered.ledger) == before


def test_the_ledgers_own_key_known_from_elsewhere_is_trusted(reader: Door) -> None:
    key = public_key(reader.ledger)
    assert reader("verify", "--key", key).exit_code == 0
    assert reader("verify", "--key", key, "--json").document["sound"] is True


def test_a_ledger_of_another_key_is_not_the_one_that_was_expected(reader: Door) -> None:
    faults = faults_of(reader, "--key", SOMEBODYS_KEY)
    assert faults.keys() == {"the log", "the key example.org/other"}
    assert public_key(reader.ledger) in faults["the log"]


def test_an_auditor_with_the_public_key_needs_no_private_one(tampered: Door) -> None:
    key = public_key(tampered.ledger)
    (tampered.ledger / "signing.key").unlink()
    assert faults_of(tampered).keys() == {"signing.key"}
    assert tampered("verify", "--key", key).exit_code == 0


@pytest.mark.parametrize("key", ["", "none", SOMEBODYS_KEY[:-4], f"{SOMEBODYS_KEY}\n"])
def test_a_key_that_is_none_is_wrong_usage(reader: Door, key: str) -> None:
    text, answer = (reader("verify", "--key", key, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert (text.out, answer.complaints) == ("", [])
    assert "--key: expected " in text.told
    assert answer.document["reason"] == "WRONG_USAGE"


def test_a_second_signer_who_was_asked_for_must_have_signed(tampered: Door, tmp_path: Path) -> None:
    officer = lottery(
        *("keys", "--make", tmp_path / "officer.key", "--name", "example.org/officer", "--json")
    ).document["public_key"]
    both = ["--key", public_key(tampered.ledger), "--key", officer]
    before = faults_of(tampered, *both)
    assert before.keys() == {"the key example.org/officer"}
    files_of(tampered.ledger)("cosign", "--key", tmp_path / "officer.key")
    assert tampered("verify", *both).exit_code == 0
    # The officer's signature does not make the log the officer's.
    assert faults_of(tampered, "--key", officer).keys() == {"the log"}


def test_a_signature_that_was_added_is_checked_too(tampered: Door, tmp_path: Path) -> None:
    lottery("keys", "--make", tmp_path / "officer.key", "--name", "example.org/officer")
    files_of(tampered.ledger)("cosign", "--key", tmp_path / "officer.key")
    assert tampered("verify").exit_code == 0
    checkpoints = tampered.ledger / "checkpoints"
    content = checkpoints.read_bytes()
    place = content.index("— example.org/officer".encode()) + 40
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    checkpoints.write_bytes(flipped)
    assert faults_of(tampered).keys() == {"checkpoints"}


def test_a_ledger_that_another_process_writes_to_exits_75_and_is_verified_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "0.05")
    with serving(tmp_path / "ledger", lock_seconds=0.05) as server:
        for door in (server, files_of(server.ledger)):
            with write_lock(door.ledger):
                text, answer = door("verify"), door("verify", "--json")
            assert [text.exit_code, answer.exit_code] == [75, 75]
            assert (text.out, answer.document["reason"]) == ("", "LEDGER_BUSY")
            assert door("verify").exit_code == 0


def test_verifying_at_a_server_is_the_same_as_at_its_files(tampered: Door) -> None:
    flip_a_bit(tampered.ledger / f"{FOLDER}/pools.parquet")
    flip_a_bit(tampered.ledger / "checkpoints")
    for form in ([], ["--json"]):
        assert tampered("verify", *form) == files_of(tampered.ledger)("verify", *form)
    assert trail_of(tampered.ledger)[0] == ("RUN_RECORDED", EXAMPLE_RUN, "ALLOCATED_WITH_BREAKS")


def flip_a_record(database: Path) -> None:
    """Changes one digit of a run's record where a database keeps it."""
    content = database.read_bytes()
    assert content.count(b'"assigned_quantity":1843') == 1
    database.write_bytes(content.replace(b'"assigned_quantity":1843', b'"assigned_quantity":1844'))


def swap(first: Path, second: Path) -> None:
    """Has two files change places."""
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
