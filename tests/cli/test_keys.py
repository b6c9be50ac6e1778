"""`lottery keys` and LOTTERY_SIGNING_KEY: who signs the log's heads.

Key files are tested in `tests/tlog/test_keys.py`, witnesses in `tests/cli/test_witness.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lottery.tlog.keys import VerifierKey, create_key_file, read_key_file
from tests.builders import PUBLISHED
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    fails,
    files_in,
    files_of,
    lottery,
    run_of,
    serving,
    succeeds,
    trail_of,
)

OFFICER = "example.org/officer"
NEXT_DAY = PUBLISHED.later()


@pytest.fixture
def signed(tampered: Door) -> Door:
    """Return a copy of the example day's ledger."""
    return tampered


@pytest.fixture
def officer(tmp_path: Path) -> Path:
    """Make a compliance officer's private key."""
    create_key_file(tmp_path / "officer.key", OFFICER)
    return tmp_path / "officer.key"


@pytest.fixture(params=["files", "server"])
def kept_apart(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Door]:
    """Record a run by each way in a ledger whose key is kept in a folder of its own."""
    (tmp_path / "vault").mkdir()
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(tmp_path / "vault" / "log.key"))
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init").exit_code == 0
    if request.param == "files":
        assert door(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
        yield door
        return
    with serving(door.ledger) as server:  # Its settings come from the environment as well.
        assert server(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
        yield server


def key_of(door: Door) -> VerifierKey:
    return VerifierKey.parse(door("keys").out.removesuffix("\n"))


def test_the_public_key_is_printed_as_one_line_that_verifies_the_checkpoints(reader: Door) -> None:
    text, document = succeeds(reader, "keys")
    key = VerifierKey.parse(text.out.removesuffix("\n"))
    assert document == {"origin": key.name, "public_key": str(key)}
    assert read_key_file(reader.ledger / "signing.key").verifier == key
    assert key.name.encode() in (reader.ledger / "log" / "checkpoint").read_bytes()


def test_the_private_key_of_a_new_ledger_is_its_owners_and_is_never_printed(
    either: Door, tmp_path: Path
) -> None:
    either(*run_of(PUBLISHED, tmp_path / "in"))
    made = either.ledger / "signing.key"
    assert made.stat().st_mode & 0o777 == 0o600
    private = read_key_file(made)
    for command in (["keys"], ["keys", "--json"], ["verify"], ["show", "latest", "--json"]):
        answer = either(*command)
        assert answer.exit_code == 0
        assert "PRIVATE" not in answer.out + answer.err
        assert private.text().split("+", 4)[-1].strip() not in answer.out + answer.err


def test_a_key_is_made_in_a_new_file_for_its_owner_alone_and_needs_no_ledger(
    tmp_path: Path,
) -> None:
    text = lottery("keys", "--make", "officer.key", "--name", OFFICER)
    document = lottery("keys", "--make", "second.key", "--name", OFFICER, "--json").document
    for name, public in (
        ("officer.key", text.out.removesuffix("\n")),
        ("second.key", document["public_key"]),
    ):
        path = tmp_path / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert VerifierKey.parse(public) == read_key_file(path).verifier
        assert VerifierKey.parse(public).name == OFFICER
    assert document["origin"] == OFFICER
    assert {path.name for path in tmp_path.iterdir()} == {"officer.key", "second.key"}


def test_a_key_never_overwrites_another_file(tmp_path: Path, officer: Path) -> None:
    before = files_in(tmp_path)
    command = ("keys", "--make", officer.name, "--name", OFFICER)
    text, _ = fails(lottery, *command, exit_code=2, reason="KEY_UNUSABLE")
    assert f"{officer.name} already exists; a key is never overwritten" in text.message
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "file"),
    [("two words", "officer.key"), ("", "officer.key"), (OFFICER, "nowhere/officer.key")],
)
def test_a_key_that_cannot_be_made_is_wrong_usage_and_leaves_nothing(
    tmp_path: Path, name: str, file: str
) -> None:
    command = ("keys", "--make", file, "--name", name)
    fails(lottery, *command, exit_code=2, reason="KEY_UNUSABLE")
    assert list(tmp_path.iterdir()) == []


def test_a_key_kept_elsewhere_is_made_there_and_signs(kept_apart: Door, tmp_path: Path) -> None:
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
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init").exit_code == 0
    assert door(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
    assert key_of(door) == read_key_file(officer).verifier
    assert door("keys", "--json").document["origin"] == OFFICER


def test_without_its_key_a_ledger_is_read_and_not_written(
    kept_apart: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOTTERY_SIGNING_KEY")
    door = files_of(kept_apart.ledger)
    trail, key = trail_of(door.ledger), str(key_of(door))
    next_day = run_of(NEXT_DAY, tmp_path / "next")
    text, _ = fails(door, *next_day, exit_code=2, reason="KEY_UNUSABLE")
    assert "signing.key cannot be read" in text.message
    fails(door, "export", "latest", "run.zip", exit_code=2, reason="KEY_UNUSABLE")
    assert not Path("run.zip").exists()
    assert door("show", "latest").exit_code == 0
    (fault,) = door("verify", "--json").document["faults"]
    assert fault["where"] == "signing.key"
    assert door("verify", "--key", key).exit_code == 0
    assert (door.recorded(), trail_of(door.ledger)) == ([EXAMPLE_RUN], trail)
    assert len(list((door.ledger / "evidence").glob("*/*"))) == 1


@pytest.mark.parametrize("selection", ["latest", "--all"])
def test_a_replay_that_cannot_be_entered_in_the_log_warns_and_has_its_result(
    signed: Door, selection: str
) -> None:
    (signed.ledger / "signing.key").unlink()
    before = files_in(signed.ledger)
    text, answer = (signed("replay", selection, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.lines == [f"{EXAMPLE_RUN} matches", "1 replayed, 1 matched"]
    assert answer.document == {"replayed": 1, "matched": 1, "mismatches": [], "approvals": []}
    for message in (text.message, answer.message):
        assert message.startswith("warning: this replay of ")
        assert "is not in the log: " in message
        assert "signing.key cannot be read" in message
    assert files_in(signed.ledger) == before


def test_a_server_without_its_key_replays_and_does_not_export(signed: Door) -> None:
    (signed.ledger / "signing.key").unlink()
    trail = trail_of(signed.ledger)
    with serving(signed.ledger) as server:
        assert server("replay", "latest").lines[-1] == "1 replayed, 1 matched"
        fails(server, "export", "latest", "run.zip", exit_code=2, reason="KEY_UNUSABLE")
    assert not Path("run.zip").exists()
    assert trail_of(signed.ledger) == trail


def test_another_logs_key_signs_nothing(
    signed: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, officer: Path
) -> None:
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(officer))
    before = files_in(signed.ledger)
    fails(signed, *run_of(NEXT_DAY, tmp_path / "next"), exit_code=2, reason="KEY_UNUSABLE")
    (fault,) = signed("verify", "--json").document["faults"]
    assert fault["where"] == str(officer)
    assert files_in(signed.ledger) == before


def test_a_key_that_others_can_read_is_not_used(signed: Door, tmp_path: Path) -> None:
    (signed.ledger / "signing.key").chmod(0o644)
    next_day = run_of(NEXT_DAY, tmp_path / "next")
    text, _ = fails(signed, *next_day, exit_code=2, reason="KEY_UNUSABLE")
    assert "open to others" in text.message
    assert signed.recorded() == [EXAMPLE_RUN]
