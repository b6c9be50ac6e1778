"""The global options, wrong usage, help: what holds for every command."""

from __future__ import annotations

import importlib.metadata
import re
import socket
from pathlib import Path

import pytest
import typer.main

from lottery.cli.main import app
from lottery.tlog.keys import create_key_file
from tests.builders import AAPL, PUBLISHED
from tests.cli.calls import (
    EXAMPLE,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    example_arguments,
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
    "keys": ["keys"],
}
ONLY_WHERE_THE_LEDGER_IS = {
    "trail": ["trail"],
    "cosign": ["cosign", "--key", "officer.key"],
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
    "an unknown account order": [*example_arguments(), "--account-order", "random"],
    "an unknown zero hit": [*example_arguments(), "--zero-hit", "last"],
    "a date that is none": ["run", "--date", "2024-13-01", *example_arguments()[3:]],
    "a first date that is none": ["runs", "--from", "yesterday"],
    "a last date that is none": ["replay", "--to", "yesterday"],
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
    "replay of a bundle by a key that is none": ["replay", "run.zip", "--key", "none"],
    "verify by a key that is none": ["verify", "--key", SOMEBODYS_KEY[:-4]],
    "verify by one key that is none of two": ["verify", "--key", SOMEBODYS_KEY, "--key", ""],
    "verify of a run": ["verify", "latest"],
    "export without a run": ["export"],
    "export without a file": ["export", "latest"],
    "export to no bundle": ["export", "latest", "run.tar"],
    "export to a name that is all suffix": ["export", "latest", ".zip"],
    "keys made without a name": ["keys", "--make", "officer.key"],
    "keys named without being made": ["keys", "--name", "example.org/officer"],
    "cosign without a key": ["cosign"],
    "the trail of a run": ["trail", "latest"],
    "superseding without a reason": [*example_arguments(), "--supersede", EXAMPLE_RUN],
    "superseding for a blank reason": [
        *(*example_arguments(), "--supersede", EXAMPLE_RUN, "--reason", " "),
    ],
    "a reason without superseding": [*example_arguments(), "--reason", "late"],
    "a run too many": [*example_arguments(), EXAMPLE_RUN],
    "an unknown positions basis": [*example_arguments(), "--positions-basis", "fair"],
}

OPTIONS = {
    "run": [
        *("--date", "--notices", "--positions", "--volumes", "--cycle", "--output", "--format"),
        *("--supersede", "--reason", "--positions-basis", "--account-order", "--zero-hit"),
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
    "keys": ["--make", "--name", "--ledger", "--server", "--json"],
    "cosign": ["--key", "--ledger", "--json"],
    "trail": ["--ledger", "--json"],
    "serve": ["--listen", "--ledger"],
    "health": ["--listen", "--json"],
}


@pytest.fixture
def in_the_ledgers_folder(example: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the example day's ledger under the name `ledger`."""
    monkeypatch.chdir(example.parent)
    return Path(example.name)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_the_global_options_stand_before_or_behind_the_command(reader: Door, name: str) -> None:
    command = COMMANDS[name]
    before = lottery(*reader.options, "--json", *command)
    behind = lottery(*command, *reader.options, "--json")
    around = lottery("--json", *command, *reader.options)
    assert before.exit_code == 0
    assert before.document == behind.document == around.document


def test_the_global_options_of_a_run_stand_before_or_behind_it(door: Door) -> None:
    before = lottery(*door.options, "--json", *example_arguments())
    behind = lottery(*example_arguments(), *door.options, "--json")
    assert [before.exit_code, behind.exit_code] == [4, 4]
    assert behind.document == {**before.document, "already_recorded": True}


def test_an_option_behind_the_command_goes_before_the_one_in_front(
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


def test_the_option_goes_before_the_environment_wherever_it_stands(
    in_the_ledgers_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LEDGER", "nowhere")
    assert lottery("runs").exit_code == 2
    assert lottery("runs", "--ledger", in_the_ledgers_folder).exit_code == 0
    assert lottery("--ledger", in_the_ledgers_folder, "runs").exit_code == 0


def test_without_any_the_ledger_is_the_folder_lottery_ledger_here(tmp_path: Path) -> None:
    assert lottery(*run_of(PUBLISHED, tmp_path)).exit_code == 0
    assert (tmp_path / "lottery-ledger" / "ledger.db").is_file()
    assert files_of(tmp_path / "lottery-ledger").recorded() == [EXAMPLE_RUN]
    assert lottery("replay", "--all").exit_code == 0


def test_a_server_goes_before_a_ledger_of_the_environment(
    both_readers: tuple[Door, Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_LEDGER", "nowhere")
    _, server = both_readers
    assert server("runs").exit_code == 0
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_that_is_away_exits_75(name: str) -> None:
    with socket.socket() as taken:
        # A port that is bound and does not listen refuses every connection.
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        text = lottery("--server", target, *COMMANDS[name])
        answer = lottery("--server", target, *COMMANDS[name], "--json")
    assert [text.exit_code, answer.exit_code] == [75, 75]
    assert (text.out, answer.complaints) == ("", [])
    assert target in text.told
    assert text.told.endswith("(SERVER_AWAY)")
    assert answer.document["reason"] == "SERVER_AWAY"


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("name", ONLY_WHERE_THE_LEDGER_IS)
def test_what_is_done_where_the_ledger_is_is_not_asked_of_a_server(
    both_readers: tuple[Door, Door], tmp_path: Path, name: str, place: str
) -> None:
    create_key_file(tmp_path / "officer.key", "example.org/officer")
    _, server = both_readers
    trail = trail_of(server.ledger)
    command, options = ONLY_WHERE_THE_LEDGER_IS[name], server.options
    given = [*options, *command] if place == "before" else [*command, *options]
    text, answer = lottery(*given), lottery(*given, "--json")
    assert [text.exit_code, answer.exit_code] == [2, 2]
    assert (text.out, answer.complaints) == ("", [])
    assert "run it where the ledger is, without --server" in text.told
    assert answer.document["reason"] == "WRONG_USAGE"
    assert trail_of(server.ledger) == trail


@pytest.mark.parametrize("what", WRONG_USAGE)
def test_wrong_usage_exits_2_and_leaves_standard_output_empty(tmp_path: Path, what: str) -> None:
    answer = lottery(*WRONG_USAGE[what])
    assert answer.exit_code == 2
    assert "LEDGER_NOT_FOUND" not in answer.told  # How it is used is looked at first.
    if what != "no command":  # There the help is the answer.
        assert answer.out == ""
        assert answer.told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", WRONG_USAGE)
def test_wrong_usage_is_one_document_where_json_is_asked_for(what: str) -> None:
    answer = lottery("--json", *WRONG_USAGE[what])
    assert answer.exit_code == 2
    assert answer.document["reason"] == "WRONG_USAGE"
    assert answer.document["message"]


def test_wrong_usage_is_the_same_document_where_json_stands_behind_the_command() -> None:
    before = lottery("--json", "explain", "latest")
    behind = lottery("explain", "latest", "--json")
    assert [before.exit_code, behind.exit_code] == [2, 2]
    assert before.document == behind.document


def test_without_a_command_the_help_is_shown() -> None:
    answer = lottery()
    assert answer.exit_code == 2
    assert "COMMAND [ARGS]..." in answer.out + answer.err
    assert all(name in answer.out + answer.err for name in COMMANDS)


def test_the_version_is_that_of_the_package() -> None:
    answer = lottery("--version")
    version = importlib.metadata.version("options-assignment-lottery")
    assert (answer.exit_code, answer.out, answer.err) == (0, f"{version}\n", "")


def test_the_help_lists_every_command() -> None:
    answer = lottery("--help")
    assert answer.exit_code == 0
    assert lottery("-h").out == answer.out
    for name in (*OPTIONS, "--ledger", "LOTTERY_LEDGER", "--server", "--json", "--version"):
        assert name in answer.out


@pytest.mark.parametrize("name", OPTIONS)
def test_the_help_of_a_command_tells_every_option(name: str) -> None:
    answer = lottery(name, "--help")
    assert answer.exit_code == 0
    for option in OPTIONS[name]:
        assert option in answer.out


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_a_command_says_what_it_is_for(name: str) -> None:
    root = typer.main.get_command(app)
    command = root.commands[name]  # type: ignore[attr-defined]
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    helped = [parameter.help for parameter in shown if hasattr(parameter, "help")]
    assert helped
    assert all(helped)


def test_a_server_is_no_option_of_serving() -> None:
    # Serving cannot be done by another server; an option that is ignored misleads.
    assert OPTIONS["serve"] == re.findall("--(?!help)[a-z-]+", lottery("serve", "--help").out)


def test_a_ledgers_address_is_told_as_it_was_given() -> None:
    address = "postgresql://backend@records/lottery"
    answer = lottery("--ledger", address, "runs")
    assert answer.exit_code == 2
    assert address in answer.told


def test_a_certificate_that_is_not_there_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_SERVER_CA", str(tmp_path / "gone.pem"))
    answer = lottery("--server", "127.0.0.1:50051", "runs")
    assert answer.exit_code == 2
    assert "gone.pem" in answer.told
