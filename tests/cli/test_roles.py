"""The roles of the command line: what the system's user may do at a ledger's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from lottery.operations.requester import system_identity
from lottery.operations.roles import ANYONE, ROLES, command_table, table
from tests.builders import AAPL
from tests.cli.calls import EXAMPLE, Door, example_arguments, fails, lottery, trail_of
from tests.cli.test_options import EVERY_COMMAND

USER: Final = system_identity().name
POSITIONS: Final = str(EXAMPLE / "positions.csv")
VOLUMES: Final = str(EXAMPLE / "volumes.csv")

AT_A_LEDGER: Final = {
    "run": example_arguments(),
    "withdraw": ["withdraw", "latest", "--reason", "taken back"],
    "seeds": ["seeds"],
    "runs": ["runs"],
    "show": ["show", "latest"],
    "explain": ["explain", "latest", "--series", AAPL],
    "day": ["day", "2024-09-16"],
    "diff": ["diff", "2024-09-16-001", "2024-09-16-002"],
    "history": ["history", "--account", "1046"],
    "charter": ["charter"],
    "charter amend": ["charter", "amend", "--from", "2024-10-01"],
    "replay": ["replay", "latest"],
    "verify": ["verify"],
    "export": ["export", "latest", "run.zip"],
    "report": ["report", "latest", "run.html"],
    "keys": ["keys"],
    "keys rotate": ["keys", "rotate"],
    "trail": ["trail"],
    "status": ["status"],
    "watch": ["watch"],
    "init": ["init", "--decision", "none=such"],
    "rebuild": ["rebuild"],
    "copy": ["copy", "--to", "copied"],
    "sweep": ["sweep"],
}
"""Every command that reaches a ledger."""
READS: Final = {
    *("seeds", "runs", "show", "explain", "day", "diff", "history"),
    *("charter", "keys", "status"),
}
MAY: Final = {
    "operator": READS | {"run", "withdraw", "watch"},
    "approver": READS,
    "auditor": READS | {"replay", "verify", "export", "report", "trail"},
    "service": READS,
    "administrator": {
        *("charter", "charter amend", "keys", "keys rotate", "status", "trail"),
        *("init", "rebuild", "copy", "sweep", "watch"),
    },
    "no role": set(),
}
"""What each may do, in the words of the requirement and not of the table."""


@pytest.fixture
def roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of roles that the environment names."""
    file = tmp_path / "roles.toml"
    monkeypatch.setenv("LOTTERY_ROLES", str(file))
    return file


def test_every_command_has_its_row_and_every_row_its_command() -> None:
    given = {
        path
        for path, command in EVERY_COMMAND.items()
        if not hasattr(command, "commands") or command.invoke_without_command
    }

    assert set(command_table()) == given
    for row in command_table().values():
        assert row
        assert row in table() if isinstance(row, str) else row <= {ANYONE, *ROLES}


@pytest.mark.parametrize("role", MAY)
def test_a_user_gives_the_commands_of_its_role_and_no_other(roles: Path, role: str) -> None:
    given = "" if role == "no role" else f'"{role}"'
    roles.write_text(f'[names.user]\n"{USER}" = [{given}]\n', "utf-8")

    answers = {
        name: lottery("--ledger", "nowhere", *command, "--json").document
        for name, command in AT_A_LEDGER.items()
    }

    denied = {name for name, answer in answers.items() if answer["reason"] == "ROLE_MISSING"}
    assert set(AT_A_LEDGER) - denied == MAY[role]
    for name in denied:
        allowed = [one for one in ROLES if name in MAY[one]]
        assert answers[name]["roles"] == ", ".join(allowed)


def test_a_refused_user_is_told_which_roles_would_do_and_nothing_is_done(
    tampered: Door, roles: Path
) -> None:
    before = trail_of(tampered.ledger)
    roles.write_text(f'[names.email]\n"{USER}" = ["operator"]\n', "utf-8")

    text, _ = fails(tampered, "keys", "rotate", exit_code=2, reason="ROLE_MISSING")

    assert f"lottery keys rotate needs one of these roles: administrator; system-user '{USER}'" in (
        text.message
    )
    assert "has none; ask for a role in LOTTERY_ROLES" in text.message
    assert trail_of(tampered.ledger) == before


def test_a_user_with_the_role_does_what_it_asked_for(tampered: Door, roles: Path) -> None:
    roles.write_text(f'[names.user]\n"{USER}" = ["auditor"]\n', "utf-8")

    assert tampered("replay", "latest").exit_code == 0
    assert tampered("verify").exit_code == 0


def test_a_firm_decides_otherwise_about_a_command(tampered: Door, roles: Path) -> None:
    rows = '[commands]\nsweep = ["operator"]\n[rpcs."lottery.v1.LotteryService"]\nListRuns = []\n'
    roles.write_text(f'[names.user]\n"{USER}" = ["operator"]\n{rows}', "utf-8")

    assert tampered("sweep").exit_code == 0
    fails(tampered, "runs", exit_code=2, reason="ROLE_MISSING")
    fails(tampered, "seeds", exit_code=2, reason="ROLE_MISSING")


def test_what_reaches_no_ledger_needs_no_role(exported: Path, roles: Path, tmp_path: Path) -> None:
    roles.write_text("", "utf-8")

    for command in (
        ["check", POSITIONS],
        ["seed", "--volumes", VOLUMES],
        ["odds", "--positions", POSITIONS, "--series", AAPL, "--quantity", "10"],
        ["replay", exported],
        ["report", exported, tmp_path / "run.html"],
        ["keys", "--make", tmp_path / "officer.key", "--name", "example.org/officer"],
    ):
        assert lottery(*command).exit_code == 0, command


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "No such file or directory"), ("[names.user]\na = 1\n", "expected a list of operator")],
    ids=["away", "broken"],
)
def test_with_roles_that_cannot_be_read_nothing_is_done(
    reader: Door, roles: Path, text: str | None, problem: str
) -> None:
    if text is not None:
        roles.write_text(text, "utf-8")

    answer, _ = fails(reader, "runs", exit_code=2, reason="WRONG_USAGE")

    assert "LOTTERY_ROLES: " in answer.message
    assert problem in answer.message
