"""`lottery run` with webhooks: they are called after the answer, and change nothing about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.builders import FULL, NEXT_DATE, OTHER_ASKS, PUBLISHED, notice
from tests.cli.calls import Answer, Door, fails, lottery, run_of, serving
from tests.receiver import Receiver, receiving, url_of, webhooks_file

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/webhook.json").read_text("utf-8"))
WRONG = replace(PUBLISHED, notices=[notice("A1", "nothing", "x")])
EVERYTHING = ["run.held", "run.broken", "run.conflicted", "run.failed", "run.recorded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as there:
        yield there


def name(monkeypatch: pytest.MonkeyPatch, folder: Path, receiver: Receiver, **given: Any) -> None:
    """Name a receiver in the environment."""
    file = webhooks_file(folder, url_of(receiver), **given)
    monkeypatch.setenv("LOTTERY_WEBHOOKS", str(file))


def test_each_outcome_calls_once_and_keeps_its_exit_code(
    either: Door, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver, events=EVERYTHING)
    commands = [
        (run_of(WRONG, tmp_path / "wrong"), 3, "run.failed"),
        (run_of(FULL, tmp_path / "full"), 4, "run.broken"),
        (run_of(replace(FULL, asks=OTHER_ASKS), tmp_path / "asks"), 5, "run.conflicted"),
        (run_of(replace(FULL, date=NEXT_DATE), tmp_path / "next"), 7, "run.held"),
        (run_of(PUBLISHED.later(), tmp_path / "good"), 0, "run.recorded"),
    ]

    answers = [either(*arguments) for arguments, _, _ in commands]

    assert [answer.exit_code for answer in answers] == [code for _, code, _ in commands]
    assert receiver.events() == [event for _, _, event in commands]
    assert "warning" not in "".join(answer.err for answer in answers)
    for request in receiver.came:
        assert request.is_signed()
        jsonschema.Draft202012Validator(SCHEMA).validate(request.document)


def test_a_good_run_and_a_rehearsal_call_nobody(
    door: Door, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver)

    assert door(*run_of(FULL, tmp_path / "full"), "--dry-run").exit_code == 4
    assert door(*run_of(WRONG, tmp_path / "wrong"), "--dry-run").exit_code == 3
    assert door(*run_of(PUBLISHED, tmp_path / "good")).exit_code == 0
    assert receiver.came == []


def test_the_same_command_again_calls_with_the_same_id(
    either: Door, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver)
    commands = [
        run_of(FULL, tmp_path / "full"),
        run_of(replace(FULL, date=NEXT_DATE), tmp_path / "next"),
        run_of(WRONG, tmp_path / "wrong"),
    ]
    for command in (*commands, *commands):
        either(*command)

    ids = [request.id for request in receiver.came]
    assert len({*ids}) == 3
    assert ids[:3] == ids[3:]


def test_a_run_that_client_and_server_both_announce_has_one_id(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver)
    with serving(tmp_path / "ledger") as server:
        server(*run_of(FULL, tmp_path / "full"))

    here, there = receiver.wait_for(2)
    assert here.id == there.id


@pytest.mark.parametrize("in_json", [False, True], ids=["text", "json"])
def test_a_call_that_is_not_taken_is_a_warning_after_the_answer(
    in_json: bool,  # noqa: FBT001 - a parameter.
    door: Door,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiving(404, 404) as receiver:
        name(monkeypatch, tmp_path, receiver)
        options = ["--json"] if in_json else []
        refused = door(*run_of(WRONG, tmp_path / "wrong"), *options)
        broken = door(*run_of(FULL, tmp_path / "full"), *options)

    assert (refused.exit_code, broken.exit_code) == (3, 4)
    assert warning_of(refused) == (
        f"warning: run.failed was not delivered to http://127.0.0.1:{receiver.server_port}: "
        "it answered with status 404"
    )
    assert warning_of(broken).startswith("warning: run.broken was not delivered to http://")
    assert "hidden" not in refused.err + broken.err
    if in_json:
        assert refused.document["reason"] == "INVALID_INPUT"
        assert broken.document["run"] == "2024-09-16-001"


def warning_of(answer: Answer) -> str:
    """Return the last line of standard error."""
    return answer.error_lines[-1]


def test_wrong_usage_and_a_missing_ledger_call_too(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver)
    command = run_of(PUBLISHED, tmp_path / "good")

    assert lottery("--ledger", tmp_path / "nowhere", *command).exit_code == 2
    both = ["--positions", "-", "--volumes", "-"]
    assert lottery("--ledger", tmp_path / "nowhere", *command, *both).exit_code == 2

    reasons = [request.document["data"]["reason"] for request in receiver.came]
    assert reasons == ["LEDGER_NOT_FOUND", "WRONG_USAGE"]


def test_a_server_that_is_away_calls_from_the_client(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver)

    answer = lottery("--server", "127.0.0.1:1", *run_of(PUBLISHED, tmp_path / "good"))

    assert answer.exit_code == 75
    (request,) = receiver.came
    assert request.document["data"]["reason"] == "SERVER_AWAY"
    assert request.document["data"]["business_date"] == "2024-09-16"


def test_a_wrong_file_of_webhooks_is_said_before_anything_is_recorded(
    door: Door, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(monkeypatch, tmp_path, receiver, seconds=0, events=["run.hold"])

    text, _ = fails(door, *run_of(FULL, tmp_path / "full"), exit_code=2, reason="WRONG_USAGE")

    assert "webhook 1, events, 0: must be" in text.message
    assert "LOTTERY_WEBHOOKS: " in text.message
    assert "webhook 1, seconds: must be greater than 0" in text.message
    assert door.recorded() == []


def test_a_file_of_webhooks_that_is_not_there_is_named(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_WEBHOOKS", "nothing.toml")

    text, _ = fails(door, *run_of(FULL, tmp_path / "full"), exit_code=2, reason="WRONG_USAGE")

    assert "LOTTERY_WEBHOOKS: nothing.toml: No such file or directory" in text.message


def test_who_waits_for_the_answer_has_it_before_anybody_is_called(
    door: Door, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.may_answer.clear()
    file = webhooks_file(tmp_path, url_of(receiver))
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "lottery", *door.options),
            *(*run_of(FULL, tmp_path / "full"), "--json"),
        ],
        env={**os.environ, "LOTTERY_WEBHOOKS": str(file)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        document = json.loads(process.stdout.readline())
        receiver.wait_for(1)
        assert process.poll() is None
        receiver.may_answer.set()

    assert document["run"] == "2024-09-16-001"
    assert process.returncode == 4
