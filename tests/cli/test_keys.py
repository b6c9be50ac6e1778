"""`lottery keys`, `cosign` and LOTTERY_SIGNING_KEY: who signs the log's heads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import CheckpointInvalid
from lottery.ledger.write_transaction import DATABASE, MIRROR
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import VerifierKey, create_key_file, read_key_file
from tests.builders import NEXT_DATE, PUBLISHED
from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    copied,
    files_in,
    files_of,
    flip_a_bit,
    lottery,
    run_of,
    serving,
    trail_of,
)

OFFICER = "example.org/officer"


@pytest.fixture
def signed(example: Path, tmp_path: Path) -> Door:
    """A copy of the example day's ledger."""
    return files_of(copied(example, tmp_path / "signed"))


@pytest.fixture
def officer(tmp_path: Path) -> Path:
    """A compliance officer's private key."""
    create_key_file(tmp_path / "officer.key", OFFICER)
    return tmp_path / "officer.key"


@pytest.fixture(params=["files", "server"])
def kept_apart(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Door]:
    """Both ways to an empty ledger whose key is kept in a folder of its own."""
    (tmp_path / "vault").mkdir()
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(tmp_path / "vault" / "log.key"))
    if request.param == "files":
        yield files_of(tmp_path / "ledger")
        return
    with serving(tmp_path / "ledger") as door:  # Its settings come from the environment as well.
        yield door


def key_of(door: Door) -> VerifierKey:
    return VerifierKey.parse(door("keys").out.removesuffix("\n"))


def test_the_public_key_is_printed_as_one_line_that_verifies_the_heads(reader: Door) -> None:
    text, answer = reader("keys"), reader("keys", "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    key = VerifierKey.parse(text.out.removesuffix("\n"))
    assert answer.document == {"origin": key.name, "public_key": str(key)}
    assert text.err == answer.err == ""
    assert read_key_file(reader.ledger / "signing.key").verifier == key
    notes = (reader.ledger / "checkpoints").read_bytes()
    assert key.name.encode() in notes


def test_the_key_of_a_new_ledger_is_made_for_its_owner_alone(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    made = door.ledger / "signing.key"
    assert made.stat().st_mode & 0o777 == 0o600
    assert door("keys").exit_code == 0
    private = read_key_file(made)
    for command in (["keys"], ["keys", "--json"], ["verify"], ["show", "latest", "--json"]):
        answer = door(*command)
        assert "PRIVATE" not in answer.out + answer.err
        assert private.text().split("+", 4)[-1].strip() not in answer.out + answer.err


def test_two_ledgers_have_two_keys(tmp_path: Path) -> None:
    doors = [files_of(tmp_path / name) for name in ("one", "other")]
    for door in doors:
        door(*run_of(PUBLISHED, tmp_path / "in"))
    assert key_of(doors[0]) != key_of(doors[1])


def test_a_key_is_made_in_a_new_file_for_its_owner_alone(tmp_path: Path) -> None:
    text = lottery("keys", "--make", "officer.key", "--name", OFFICER)
    answer = lottery("keys", "--make", "second.key", "--name", OFFICER, "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    for name, told in (
        ("officer.key", text.out.removesuffix("\n")),
        ("second.key", answer.document["public_key"]),
    ):
        path = tmp_path / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert VerifierKey.parse(told) == read_key_file(path).verifier
        assert VerifierKey.parse(told).name == OFFICER
    assert answer.document["origin"] == OFFICER
    # No ledger is needed for it, and none is made.
    assert {path.name for path in tmp_path.iterdir()} == {"officer.key", "second.key"}


def test_a_key_never_takes_another_files_place(tmp_path: Path) -> None:
    create_key_file(tmp_path / "officer.key", OFFICER)
    (tmp_path / "notes.txt").write_text("mine")
    before = files_in(tmp_path)
    for name in before:
        text, answer = (
            lottery("keys", "--make", name, "--name", OFFICER, *form) for form in ([], ["--json"])
        )
        assert [text.exit_code, answer.exit_code] == [2, 2]
        assert (text.out, answer.complaints) == ("", [])
        assert f"{name} already exists; a key is never overwritten" in text.told
        assert answer.document["reason"] == "KEY_UNUSABLE"
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("two words", "officer.key"),
        ("a+plus", "officer.key"),
        ("", "officer.key"),
        (OFFICER, "nowhere/officer.key"),
    ],
)
def test_a_key_that_cannot_be_made_is_wrong_usage_and_leaves_nothing(
    tmp_path: Path, name: str, file: str
) -> None:
    answer = lottery("keys", "--make", file, "--name", name, "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    assert list(tmp_path.iterdir()) == []


def test_a_key_kept_elsewhere_is_made_there_and_signs(kept_apart: Door, tmp_path: Path) -> None:
    assert kept_apart(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
    key = tmp_path / "vault" / "log.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not (kept_apart.ledger / "signing.key").exists()
    assert key_of(kept_apart) == read_key_file(key).verifier
    assert kept_apart("verify").exit_code == 0
    assert kept_apart("replay", "latest").err == ""


def test_a_key_that_was_made_before_is_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, officer: Path
) -> None:
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(officer))
    door = files_of(tmp_path / "ledger")
    assert door(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
    assert key_of(door) == read_key_file(officer).verifier
    assert door("keys", "--json").document["origin"] == OFFICER


def test_without_its_key_a_ledger_is_read_and_not_written(
    kept_apart: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_apart(*run_of(PUBLISHED, tmp_path / "in"))
    monkeypatch.delenv("LOTTERY_SIGNING_KEY")
    door = files_of(kept_apart.ledger)
    trail, key = trail_of(door.ledger), str(key_of(door))
    answer = door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    assert "signing.key cannot be read" in answer.document["message"]
    assert door("export", "latest", "run.zip").exit_code == 2
    assert not Path("run.zip").exists()
    assert door("show", "latest").exit_code == 0
    (fault,) = door("verify", "--json").document["faults"]
    assert fault["where"] == "signing.key"
    assert door("verify", "--key", key).exit_code == 0
    assert (door.recorded(), trail_of(door.ledger)) == ([EXAMPLE_RUN], trail)
    assert list((door.ledger / "staging").iterdir()) == []


@pytest.mark.parametrize("selection", [["latest"], ["--all"]])
def test_a_replay_that_cannot_be_entered_in_the_trail_says_so_beside_its_result(
    signed: Door, selection: list[str]
) -> None:
    (signed.ledger / "signing.key").unlink()
    before = files_in(signed.ledger)
    text, answer = (signed("replay", *selection, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.lines == [f"{EXAMPLE_RUN} matches", "1 replayed, 1 matched"]
    assert answer.document == {"replayed": 1, "matched": 1, "mismatches": []}
    for told in (text.told, answer.told):
        assert told.startswith("warning: this RUNS_REPLAYED of ")
        assert "is not in the trail: " in told
        assert "signing.key cannot be read" in told
    assert files_in(signed.ledger) == before


def test_a_replay_at_a_server_without_its_key_has_its_result(signed: Door) -> None:
    (signed.ledger / "signing.key").unlink()
    trail = trail_of(signed.ledger)
    with serving(signed.ledger) as server:
        assert server("replay", "latest").lines[-1] == "1 replayed, 1 matched"
        answer = server("export", "latest", "run.zip", "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    assert not Path("run.zip").exists()
    assert trail_of(signed.ledger) == trail


def test_another_logs_key_signs_nothing(
    kept_apart: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, officer: Path
) -> None:
    kept_apart(*run_of(PUBLISHED, tmp_path / "in"))
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(officer))
    door, before = files_of(kept_apart.ledger), files_in(kept_apart.ledger)
    answer = door(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    (fault,) = door("verify", "--json").document["faults"]
    assert fault["where"] == str(officer)
    assert files_in(door.ledger) == before


def test_a_key_that_others_can_read_is_not_used(signed: Door, tmp_path: Path) -> None:
    (signed.ledger / "signing.key").chmod(0o644)
    answer = signed(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"), "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    assert "open to others" in answer.document["message"]
    assert signed.recorded() == [EXAMPLE_RUN]


def test_a_head_gets_another_signers_signature(signed: Door, officer: Path) -> None:
    key = key_of(signed)
    answer = signed("cosign", "--key", officer, "--json")
    document = answer.document
    assert (answer.exit_code, answer.err) == (0, "")
    assert (document["tree_size"], document["signed_by"]) == (1, OFFICER)
    public = read_key_file(officer).verifier
    opened = open_checkpoint(document["checkpoint"].encode(), [key, public])
    assert (opened.checkpoint.size, set(opened.signed_by)) == (1, {key, public})
    assert signed("verify", "--key", str(key), "--key", str(public)).exit_code == 0
    assert trail_of(signed.ledger)[-1] == ("CHECKPOINT_COSIGNED", "1 runs", f"signed by {public}")


def test_the_head_with_both_signatures_is_printed_as_it_is(signed: Door, officer: Path) -> None:
    text = signed("cosign", "--key", officer)
    assert text.exit_code == 0
    opened = open_checkpoint(text.out.encode(), [read_key_file(officer).verifier])
    assert opened.checkpoint.size == 1
    assert text.out.encode() in (signed.ledger / "checkpoints").read_bytes()


def test_every_head_is_signed_on_its_own(signed: Door, tmp_path: Path, officer: Path) -> None:
    signed("cosign", "--key", officer)
    signed(*run_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "next"))
    answer = signed("cosign", "--key", officer, "--json")
    assert (answer.exit_code, answer.document["tree_size"]) == (0, 2)
    assert signed("verify").exit_code == 0


@pytest.mark.parametrize("whose", ["the officer's", "the log's own"])
def test_nobody_signs_a_head_twice(signed: Door, officer: Path, whose: str) -> None:
    signed("cosign", "--key", officer)
    key = officer if whose == "the officer's" else signed.ledger / "signing.key"
    before = files_in(signed.ledger)
    text, answer = (signed("cosign", "--key", key, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert "has signed it already" in text.told
    assert answer.document["reason"] == "CHECKPOINT_INVALID"
    assert files_in(signed.ledger) == before


@pytest.mark.parametrize("how", ["a byte of the checkpoints", "a record", "a row of the trail"])
def test_a_log_that_was_tampered_with_is_not_signed(signed: Door, officer: Path, how: str) -> None:
    if how == "a byte of the checkpoints":
        flip_a_bit(signed.ledger / "checkpoints")
    else:
        change_a_row(signed.ledger, "runs" if how == "a record" else "trail")
    before = files_in(signed.ledger)
    text, answer = (signed("cosign", "--key", officer, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert (text.out, answer.complaints) == ("", [])
    assert answer.document["reason"] == "LEDGER_DAMAGED"
    assert files_in(signed.ledger) == before


@pytest.mark.parametrize("content", [None, "", "no key\n", f"{SOMEBODYS_KEY}\n"])
def test_a_key_file_that_holds_no_private_key_is_wrong_usage(
    signed: Door, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "some.key").write_text(content)
        (tmp_path / "some.key").chmod(0o600)
    before = files_in(signed.ledger)
    answer = signed("cosign", "--key", tmp_path / "some.key", "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "KEY_UNUSABLE")
    assert files_in(signed.ledger) == before


def test_there_is_no_head_to_sign_where_nothing_is_recorded(tmp_path: Path, officer: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        door = files_of(server.ledger)
        answer = door("cosign", "--key", officer, "--json")
        assert (answer.exit_code, answer.document["reason"]) == (2, "RUN_NOT_FOUND")
        assert trail_of(door.ledger) == []
    missing = lottery("--ledger", "nowhere", "cosign", "--key", officer, "--json")
    assert (missing.exit_code, missing.document["reason"]) == (2, "LEDGER_NOT_FOUND")
    assert not Path("nowhere").exists()


def test_an_officer_does_not_sign_what_the_log_did_not(signed: Door, officer: Path) -> None:
    signed("cosign", "--key", officer)
    note = signed("cosign", "--key", another(officer), "--json").document["checkpoint"].encode()
    public = read_key_file(officer).verifier
    assert open_checkpoint(note, [public]).signed_by == (public,)
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(note.replace(b"\n1\n", b"\n2\n"), [public])


def another(officer: Path) -> Path:
    """A second officer's key, of the same name."""
    path = officer.with_name("second.key")
    create_key_file(path, OFFICER)
    return path


def change_a_row(ledger: Path, table: str) -> None:
    """Changes a kept leaf in the database and in its mirror, as one who knows SQL can."""
    column = {"runs": "record", "trail": "entry"}[table]
    for name in (DATABASE, MIRROR):
        with closing(sqlite3.connect(ledger / name)) as database:
            database.execute(f"DROP TRIGGER {table}_refuse_update")
            changed = database.execute(
                f"UPDATE {table} SET {column} = CAST(replace(CAST({column} AS TEXT), '0', '1') "  # noqa: S608
                "AS BLOB)"
            )
            assert changed.rowcount > 0
            database.commit()
