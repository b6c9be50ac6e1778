"""The global options, wrong usage, help: what holds for every command."""

from __future__ import annotations

import importlib.metadata
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lottery.cli import commands
from tests.builders import AAPL, PUBLISHED
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    example_arguments,
    fails,
    files_of,
    lottery,
    run_of,
    trail_of,
)

VOLUMES = str(EXAMPLE / "volumes.csv")
POSITIONS = str(EXAMPLE / "positions.csv")

COMMANDS = {
    "run": example_arguments(),
    "seed": ["seed", "--volumes", VOLUMES],
    "runs": ["runs"],
    "show": ["show", "latest"],
    "explain": ["explain", "latest", "--series", AAPL],
    "odds": ["odds", "--positions", POSITIONS, "--series", AAPL, "--quantity", "10"],
    "replay": ["replay", "--all"],
    "verify": ["verify"],
    "export": ["export", "latest", "run.zip"],
    "report": ["report", "latest", "run.html"],
    "seeds": ["seeds"],
    "keys": ["keys"],
}
ONLY_BY_THE_FILES = {
    "sweep": ["sweep"],
    "init": ["init"],
}

WRONG_USAGE = {
    "no command": [],
    "an unknown command": ["allocate"],
    "an unknown option": ["runs", "--verbose"],
    "a run without its files": ["run", "--date", "2024-09-16"],
    "a run without a date": ["run", *example_arguments()[3:]],
    "a cycle before the first": [*example_arguments(), "--cycle", "0"],
    "a cycle that is no number": [*example_arguments(), "--cycle", "one"],
    "an unknown format": [*example_arguments(), "--output", "out", "--format", "ods"],
    "a decision of a run": [*example_arguments(), "--zero-hit", "first"],
    "a decision without a choice": ["init", "--decision", "zero_hit"],
    "a decision twice": [*("init", *("--decision", "zero_hit=first") * 2)],
    "an invalid date": ["run", "--date", "2024-13-01", *example_arguments()[3:]],
    "an invalid first date": ["runs", "--from", "yesterday"],
    "an invalid last date": ["replay", "--to", "yesterday"],
    "a seed without volumes": ["seed"],
    "a show without a run": ["show"],
    "an argument too many": ["runs", "latest"],
    "explain without a series or an account": ["explain", "latest"],
    "explain with a series and an account": [
        *("explain", "latest", "--series", AAPL, "--account", "1046"),
    ],
    "explain with an account and an occ_account": [
        *("explain", "latest", "--account", "1046", "--occ-account", "C"),
    ],
    "replay without a selection": ["replay"],
    "replay of a run and of all": ["replay", "latest", "--all"],
    "replay of a run and of dates": ["replay", "latest", "--from", "2024-09-16"],
    "replay of all and of dates": ["replay", "--all", "--to", "2024-09-16"],
    "replay by an unknown engine": ["replay", "latest", "--engine", "abacus"],
    "replay of a run by a key": ["replay", "latest", "--key", SOMEBODYS_KEY],
    "replay of all by a key": ["replay", "--all", "--key", SOMEBODYS_KEY],
    "replay of a bundle by an invalid key": ["replay", "run.zip", "--key", "none"],
    "verify by an invalid key": ["verify", "--key", SOMEBODYS_KEY[:-4]],
    "verify by one invalid key of two": ["verify", "--key", SOMEBODYS_KEY, "--key", ""],
    "verify of a run": ["verify", "latest"],
    "export without a run": ["export"],
    "export without a file": ["export", "latest"],
    "export to no bundle": ["export", "latest", "run.tar"],
    "export to a name that is all suffix": ["export", "latest", ".zip"],
    "keys made without a name": ["keys", "--make", "officer.key"],
    "keys named without being made": ["keys", "--name", "example.org/officer"],
    "the trail of a run": ["trail", "latest"],
    "superseding without a reason": [*example_arguments(), "--supersede", EXAMPLE_RUN],
    "superseding for a blank reason": [
        *(*example_arguments(), "--supersede", EXAMPLE_RUN, "--reason", " "),
    ],
    "a reason without superseding": [*example_arguments(), "--reason", "late"],
    "a run too many": [*example_arguments(), EXAMPLE_RUN],
}

OPTIONS = {
    "run": [
        *("--date", "--notices", "--positions", "--volumes", "--cycle", "--output", "--format"),
        *("--supersede", "--reason"),
        *("--ledger", "--server", "--json"),
    ],
    "seed": ["--volumes", "--ledger", "--server", "--json"],
    "runs": ["--from", "--to", "--ledger", "--server", "--json"],
    "show": ["--allocations", "--ledger", "--server", "--json"],
    "explain": ["--series", "--occ-account", "--account", "--ledger", "--server", "--json"],
    "odds": [
        *("--positions", "--series", "--quantity", "--occ-account", "--account"),
        *("--account-order", "--zero-hit", "--ledger", "--server", "--json"),
    ],
    "replay": [
        *("--all", "--from", "--to", "--engine", "--key", "--ledger", "--server", "--json"),
    ],
    "verify": ["--key", "--ledger", "--server", "--json"],
    "export": ["--ledger", "--server", "--json"],
    "report": [
        *("--series", "--account", "--mask-accounts", "--key", "--ledger", "--server", "--json"),
    ],
    "seeds": ["--from", "--to", "--ledger", "--server", "--json"],
    "keys": ["--make", "--name", "--ledger", "--server", "--json"],
    "init": [
        *("--decision", "--approval-reference", "--notice-version"),
        *("--ledger", "--objects", "--archive", "--json"),
    ],
    "trail": ["--ledger", "--json"],
    "serve": ["--listen", "--ledger", "--objects", "--archive"],
    "console": ["--listen", "--ledger", "--server", "--json"],
    "health": ["--listen", "--json"],
}


def _commands_below(loaded: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in loaded.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from _commands_below(command.commands, f"{path}{name} ")


EVERY_COMMAND = dict(_commands_below({name: commands.load(name) for name in commands.COMMANDS}))


@pytest.fixture
def in_the_ledgers_folder(example: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder of the example day's ledger, which is called `ledger`."""
    monkeypatch.chdir(example.parent)
    return Path(example.name)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_the_global_options_are_given_before_or_after_the_command(
    reader: Door, example_server: Door, name: str
) -> None:
    command = COMMANDS[name]
    before = lottery(*reader.options, "--json", *command)
    assert before.exit_code == 0
    for door in (reader, example_server):
        after = lottery(*command, *door.options, "--json")
        around = lottery("--json", *command, *door.options)
        assert before.document == after.document == around.document


def test_the_global_options_of_a_run_are_given_before_or_after_it(either: Door) -> None:
    before = lottery(*either.options, "--json", *example_arguments())
    after = lottery(*example_arguments(), *either.options, "--json")
    assert [before.exit_code, after.exit_code] == [4, 4]
    assert after.document == {**before.document, "already_recorded": True}


def test_an_option_after_the_command_goes_before_the_one_in_front(
    in_the_ledgers_folder: Path,
) -> None:
    assert lottery("--ledger", "nowhere", "runs", "--ledger", in_the_ledgers_folder).exit_code == 0
    assert lottery("--ledger", in_the_ledgers_folder, "runs", "--ledger", "nowhere").exit_code == 2


def test_the_ledger_may_come_from_the_environment(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LEDGER", str(example))
    (run,) = lottery("runs", "--json").document["runs"]
    assert run["run"] == EXAMPLE_RUN


def test_an_option_goes_before_the_environment_wherever_it_is(
    in_the_ledgers_folder: Path, example_server: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LEDGER", "nowhere")
    assert lottery("runs").exit_code == 2
    for options in (("--ledger", in_the_ledgers_folder), example_server.options):
        assert lottery("runs", *options).exit_code == 0
        assert lottery(*options, "runs").exit_code == 0
    assert not Path("nowhere").exists()


def test_without_any_the_ledger_is_the_folder_lottery_ledger_here(tmp_path: Path) -> None:
    assert lottery("init").exit_code == 0
    assert lottery(*run_of(PUBLISHED, tmp_path)).exit_code == 0
    assert (tmp_path / "lottery-ledger" / "ledger.db").is_file()
    assert files_of(tmp_path / "lottery-ledger").recorded() == [EXAMPLE_RUN]
    assert lottery("replay", "--all").exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_that_is_away_exits_75(name: str) -> None:
    with socket.socket() as taken:
        # A port that is bound and does not listen refuses every connection.
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        given = ("--server", target, *COMMANDS[name])
        text, _ = fails(lottery, *given, exit_code=75, reason="SERVER_AWAY")
    assert target in text.message


@pytest.mark.parametrize("name", ONLY_BY_THE_FILES)
def test_what_is_done_at_the_ledgers_files_is_not_asked_of_a_server(
    example_server: Door, name: str
) -> None:
    trail = trail_of(example_server.ledger)
    command, options = ONLY_BY_THE_FILES[name], example_server.options
    for given in ((*options, *command), (*command, *options)):
        text, _ = fails(lottery, *given, exit_code=2, reason="WRONG_USAGE")
        assert "run it where the ledger is, without --server" in text.message
    assert trail_of(example_server.ledger) == trail


@pytest.mark.parametrize("what", WRONG_USAGE)
def test_wrong_usage_exits_2_with_a_message_and_touches_nothing(tmp_path: Path, what: str) -> None:
    text = lottery(*WRONG_USAGE[what])
    assert text.exit_code == 2
    assert "LEDGER_NOT_FOUND" not in text.message  # How it is used is looked at first.
    if what == "no command":  # The help is the answer.
        shown = text.out + text.err
        assert all(name in shown for name in ("COMMAND [ARGS]...", *COMMANDS))
    else:
        assert text.out == ""
        assert text.message
    answer = lottery("--json", *WRONG_USAGE[what])
    assert (answer.exit_code, answer.error_lines) == (2, [])
    assert answer.document["reason"] == "WRONG_USAGE"
    assert answer.document["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["run"], ["--date", "--notices", "--positions", "--volumes"]),
        (["run", "--cycle", "0", "--volumes", VOLUMES], ["--date", "--notices", "--positions"]),
        (["odds", "--quantity", "1"], ["--positions", "--series"]),
        (["charter", "amend"], ["--from"]),
        (["export"], ["run", "FILE.zip"]),
        (["witness", "serve", "--key", "a"], ["--log", "--state"]),
    ],
)
def test_all_that_is_missing_is_said_at_once(command: list[str], missing: list[str]) -> None:
    names = ", ".join(f"'{name}'" for name in missing)
    text, document = fails(lottery, *command, exit_code=2, reason="WRONG_USAGE")
    assert f"Missing {names}." in text.message
    assert document["message"] == f"Missing {names}."


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["run", "--date", "today", *example_arguments()[3:]], "--date"),
        (["runs", "--from", "today"], "--from"),
        (["runs", "--to", "today"], "--to"),
        (["day", "today"], "DATE"),
        (["diff", "today", "--since", EXAMPLE_RUN], "DATE"),
        (["charter", "amend", "--from", "today"], "--from"),
        (["check", POSITIONS, "--date", "today"], "--date"),
    ],
)
def test_a_date_that_is_none_is_said_with_the_name_of_its_option(
    command: list[str], option: str
) -> None:
    text, _ = fails(lottery, *command, exit_code=2, reason="WRONG_USAGE")
    assert f"{option}: expected a date as YYYY-MM-DD, got 'today'" in text.message


def test_wrong_usage_is_the_same_document_if_json_is_given_after_the_command() -> None:
    before = lottery("--json", "explain", "latest")
    assert before.exit_code == 2
    assert lottery("explain", "latest", "--json") == before


def test_the_version_is_that_of_the_package() -> None:
    answer = lottery("--version")
    version = importlib.metadata.version("options-assignment-lottery")
    assert (answer.exit_code, answer.out, answer.err) == (0, f"{version}\n", "")


def test_the_help_fits_80_columns_and_cuts_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for given in ([], *([*path.split()] for path in EVERY_COMMAND)):
        lines = lottery(*given, "--help").out.splitlines()
        assert max(map(len, lines)) <= 80, given
    listed = " ".join(lottery("--help").out.split())
    assert all(summary in listed for _, summary in commands.COMMANDS.values())


def test_the_help_lists_every_command() -> None:
    answer = lottery("--help")
    assert answer.exit_code == 0
    assert lottery("-h").out == answer.out
    named = {path.split()[0] for path in EVERY_COMMAND} | {*OPTIONS}
    for name in (*named, "--ledger", "LOTTERY_LEDGER", "--server", "--json", "--version"):
        assert name in answer.out


@pytest.mark.parametrize("name", OPTIONS)
def test_the_help_of_a_command_has_every_option(name: str) -> None:
    answer = lottery(name, "--help")
    assert answer.exit_code == 0
    assert [option for option in OPTIONS[name] if option not in answer.out] == []


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_list_of_commands_says_what_a_command_says_of_itself(name: str) -> None:
    _, summary = commands.COMMANDS[name]
    command = commands.load(name)
    assert (command.name, command.help.split("\n\n")[0]) == (name, summary)


@pytest.mark.parametrize("path", EVERY_COMMAND)
def test_every_command_and_every_option_says_what_it_is_for(path: str) -> None:
    command = EVERY_COMMAND[path]
    assert command.help
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    helped = [parameter.help for parameter in shown if hasattr(parameter, "help")]
    assert helped or hasattr(command, "commands")
    assert all(helped)


def test_a_server_is_no_option_of_serving() -> None:
    # Serving cannot be done by another server; an option that is ignored misleads.
    assert OPTIONS["serve"] == re.findall("--(?!help)[a-z-]+", lottery("serve", "--help").out)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://backend@records/lottery", "needs --objects"),
        ("mysql://backend@records/lottery", "got mysql://backend@records/lottery"),
        ("a\nb", "--ledger must be printable text"),
    ],
)
def test_an_address_that_cannot_be_a_ledgers_is_wrong_usage(address: str, message: str) -> None:
    text, _ = fails(lottery, "--ledger", address, "runs", exit_code=2, reason="WRONG_USAGE")
    assert message in text.message


def test_an_archive_mode_that_is_none_is_wrong_usage(
    reader: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_ARCHIVE_MODE", "later")
    text, _ = fails(reader, "runs", exit_code=2, reason="WRONG_USAGE")
    assert "LOTTERY_ARCHIVE_MODE: must be 'sync' or 'async', got 'later'" in text.message


def test_a_certificate_that_is_not_there_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_SERVER_CA", str(tmp_path / "gone.pem"))
    answer = lottery("--server", "127.0.0.1:50051", "runs")
    assert answer.exit_code == 2
    assert "gone.pem" in answer.message


@pytest.mark.parametrize("name", ["CLIENT_CERTIFICATE", "CLIENT_KEY", "TOKEN_FILE"])
def test_a_certificate_or_token_without_the_servers_authorities_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LOTTERY_{name}", "file")
    answer = lottery("--server", "127.0.0.1:50051", "runs")
    assert answer.exit_code == 2
    assert f"LOTTERY_{name}: expected LOTTERY_SERVER_CA too" in answer.message


def test_a_certificate_without_its_key_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER_CA", "CLIENT_CERTIFICATE"):
        monkeypatch.setenv(f"LOTTERY_{name}", "file")
    answer = lottery("--server", "127.0.0.1:50051", "runs")
    assert answer.exit_code == 2
    assert "expected LOTTERY_CLIENT_CERTIFICATE and LOTTERY_CLIENT_KEY together" in answer.message


def test_a_variable_that_is_a_setting_misspelt_is_wrong_usage_and_all_of_them_are_named(
    reader: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOTTERY_LEDGR", "LOTTERY_ROLE", "LOTTERY_LOCK_SECOND", "LOTTERY_HOME"):
        monkeypatch.setenv(name, "somewhere")
    text, _ = fails(reader, "runs", exit_code=2, reason="WRONG_USAGE")
    for name in ("LOTTERY_LEDGR", "LOTTERY_ROLE", "LOTTERY_LOCK_SECOND"):
        assert f"{name}: expected LOTTERY_" in text.message
    assert "LOTTERY_HOME" not in text.message
