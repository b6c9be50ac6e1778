"""`lottery proposals`, `approve`, `reject`: four eyes, by the files and by a server.

The command line is one person, the system's user; the server's local caller is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lottery.operations.requester import system_identity
from tests.builders import PUBLISHED, SmallDay
from tests.cli.calls import UNKNOWN_RUN, Door, fails, lottery, run_of, serving, succeeds
from tests.ledger.ledgers import META_ONLY

FIRST, SECOND = "2024-09-16-001", "2024-09-16-002"


@pytest.fixture
def desk(tmp_path: Path) -> Door:
    """Return the way to a ledger whose charter has four eyes, by its files."""
    ledger = tmp_path / "ledger"
    made = lottery("init", "--ledger", ledger, "--four-eyes", "--proposals-expire-after", 6)
    assert made.exit_code == 0
    return Door(ledger=ledger, options=("--ledger", str(ledger)))


@contextmanager
def approver(desk: Door) -> Iterator[Door]:
    """Serve the ledger to somebody else."""
    with serving(desk.ledger, trust_local="boss:approver,operator") as door:
        yield door


def proposed(desk: Door, day: SmallDay, folder: Path, *more: object) -> list[object]:
    """Propose a day; return the command."""
    command: list[object] = [*run_of(day, folder), *more]
    assert desk(*command).exit_code == 0
    return command


def test_a_run_is_proposed_and_another_person_approves_it(desk: Door, tmp_path: Path) -> None:
    command = proposed(desk, PUBLISHED, tmp_path / "in", "--output", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    text, document = succeeds(desk, *command)
    assert text.lines[0] == f"Run {FIRST} was already proposed: PROPOSED"
    assert text.lines[1].startswith("it would be ALLOCATED, and counts for nobody unless another")
    assert (document["state"], document["already_recorded"]) == ("PROPOSED", True)
    digest = document["record_sha256"]

    text, document = succeeds(desk, "proposals")
    assert f"record {digest}" in text.lines
    assert [one["run"] for one in document["proposals"]] == [FIRST]
    assert document["proposals"][0]["proposed_by"]["name"] == system_identity().name
    assert succeeds(desk, "show", FIRST)[1]["state"] == "PROPOSED"
    assert "PROPOSED" in succeeds(desk, "runs")[0].out
    fails(desk, "approve", FIRST, exit_code=5, reason="SAME_PERSON")
    fails(desk, "day", "2024-09-16", exit_code=2, reason="RUN_NOT_FOUND")

    with approver(desk) as boss:
        assert [one["run"] for one in boss("proposals", "--json").document["proposals"]] == [FIRST]
        wrong = ("--record-sha256", "00" * 32)
        fails(boss, "approve", FIRST, *wrong, exit_code=5, reason="RECORD_DIFFERS")
        text = boss("approve", FIRST, "--record-sha256", digest)
        assert (text.exit_code, text.err) == (0, "")
        assert text.lines[0] == f"Run {FIRST} is recorded: ALLOCATED"
        assert any(line.startswith("approved ") and "by boss on" in line for line in text.lines)
        again = boss("approve", FIRST, "--json").document
        assert (again["state"], again["already_recorded"]) == ("ALLOCATED", True)
        assert boss("show", FIRST, "--json").document["verdict"]["type"] == "approval"

    # The same command finds its run, and writes its output now.
    text, document = succeeds(desk, *command)
    assert (document["state"], document["already_recorded"]) == ("ALLOCATED", True)
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert succeeds(desk, "day", "2024-09-16")[1]["runs"] == [FIRST]
    assert succeeds(desk, "proposals")[0].lines == ["no proposal waits for an approval"]
    assert desk("verify").exit_code == 0
    assert desk("replay", "--all").exit_code == 0
    text, document = succeeds(desk, "trail")
    assert document["entries"][1]["type"] == "approval"
    assert any(f"approval {FIRST} boss on" in line for line in text.lines)

    # Who has the bundle alone can see it too.
    assert desk("export", FIRST, tmp_path / "run.zip").exit_code == 0
    text, document = succeeds(lottery, "replay", tmp_path / "run.zip")
    assert text.lines[0] == f"{FIRST} matches"
    assert text.lines[1].startswith("approved ")
    assert " UTC by boss on " in text.lines[1]
    (approval,) = document["approvals"]
    assert (approval["run"], approval["record_sha256"]) == (FIRST, digest)


def test_a_proposal_is_rejected_with_a_reason(desk: Door, tmp_path: Path) -> None:
    command = proposed(desk, META_ONLY, tmp_path / "in")
    with approver(desk) as boss:
        fails(boss, "reject", UNKNOWN_RUN, "--reason", "x", exit_code=2, reason="RUN_NOT_FOUND")
        fails(boss, "reject", FIRST, "--reason", " ", exit_code=3, reason="INVALID_INPUT")
        rejected = boss("reject", FIRST, "--reason", "yesterday's file")
        assert rejected.exit_code == 0
        assert rejected.lines[0] == f"Run {FIRST} is proposed: REJECTED"
        assert any(line.endswith(": yesterday's file") for line in rejected.lines)
    assert succeeds(desk, "show", FIRST)[1]["state"] == "REJECTED"
    assert "rejection" in desk("trail").out
    assert [one["state"] for one in desk("runs", "--json").document["runs"]] == ["REJECTED"]
    # The same command proposes it again.
    assert desk(*command, "--json").document["run"] == SECOND
    fails(desk, "reject", SECOND, "--reason", "mine", exit_code=5, reason="SAME_PERSON")


def test_a_charter_without_four_eyes_says_so(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert lottery("init", "--ledger", ledger).exit_code == 0
    desk = Door(ledger=ledger, options=("--ledger", str(ledger)))
    proposed(desk, PUBLISHED, tmp_path / "in")

    text, document = succeeds(desk, "proposals")
    assert text.lines == ["the charter asks for no four eyes: a run counts once it is recorded"]
    assert document == {"four_eyes": False, "proposals": []}
    fails(desk, "approve", FIRST, exit_code=5, reason="NOT_PROPOSED")
    amended = desk("charter", "amend", "--from", "2024-09-17", "--four-eyes")
    assert "four eyes: a proposal waits 12 hours" in amended.lines
    hours = ("--proposals-expire-after", "200")
    refused = desk("charter", "amend", "--from", "2024-09-18", *hours)
    assert (refused.exit_code, "expected 1 to 168 hours, got 200" in refused.message) == (3, True)
    assert desk("charter", "amend", "--from", "2024-09-18", "--no-four-eyes").exit_code == 0
