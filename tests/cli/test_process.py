"""The commands as processes of their own: pipes, terminals, `python -m lottery`, serving."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.builders import TRUSTED
from tests.cli.calls import EXAMPLE, EXAMPLE_RUN, LOOPBACK, Answer, Door, example_arguments, lottery

PATIENCE = 120.0
"""Seconds after which a process that should have ended fails its test."""

WAITING = """
import threading

from lottery.audit import verify
from lottery.cli import main, session
from lottery.intake import files


def once_the_bar_is_due(function):
    def wait(*arguments, **options):
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
        return function(*arguments, **options)

    return wait


session.PROGRESS_AFTER = 0.0
"""
BAR_AT_ONCE = f"""{WAITING}
files.read_positions = once_the_bar_is_due(files.read_positions)
main.main()
"""
VERIFY_BAR_AT_ONCE = f"""{WAITING}
verify.date_faults = once_the_bar_is_due(verify.date_faults)
main.main()
"""


def environment(**more: str) -> Mapping[str, str]:
    """Return the caller's environment on a terminal of 80 columns, with some more."""
    return {**os.environ, "COLUMNS": "80", "TERM": "xterm", **more}


def started(
    *command: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **more: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


def ended(process: subprocess.Popen[bytes]) -> Answer:
    out, err = process.communicate(timeout=PATIENCE)
    return Answer(
        exit_code=process.returncode, out=(out or b"").decode(), err=(err or b"").decode()
    )


def test_python_m_lottery_is_the_command_and_its_exit_code(example: Path) -> None:
    answer = ended(started("-m", "lottery", "--ledger", str(example), "show", "2024-09-16-009"))
    assert (answer.exit_code, answer.out) == (2, "")
    assert answer.err == "run 2024-09-16-009 is not recorded (RUN_NOT_FOUND)\n"


def test_the_installed_command_is_the_same(example: Path) -> None:
    command = Path(sys.executable).with_name("lottery")
    if not command.exists():
        pytest.skip("the package is on the path and not installed")
    process = subprocess.Popen(
        [command, "--ledger", str(example), "runs", "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    answer = ended(process)
    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.document == lottery("--ledger", example, "runs", "--json").document


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_stops_reading_ends_a_command_quietly(example: Path, form: list[str]) -> None:
    command = ["-m", "lottery", "--ledger", str(example), "show", "latest", "--allocations"]
    process = started(*command, *form)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=PATIENCE), err) == (141, b"")


def test_no_progress_bar_shows_on_a_pipe_though_standard_output_is_a_terminal(
    door: Door,
) -> None:
    command = ["-c", BAR_AT_ONCE, *example_arguments()]
    with terminal() as (slave, read):
        process = started(*command, *door.options, stdout=slave)
        os.close(slave)
        answer = ended(process)
        seen = read()
    assert (answer.exit_code, answer.err) == (4, "")
    assert f"Run {EXAMPLE_RUN} is recorded" in seen
    assert "reading the positions" not in seen


def test_a_progress_bar_shows_on_a_terminal_and_on_standard_error_alone(door: Door) -> None:
    command = ["-c", BAR_AT_ONCE, *example_arguments(), "--json"]
    with terminal() as (slave, read):
        process = started(*command, *door.options, stderr=slave)
        os.close(slave)
        answer = ended(process)
        seen = read()
    assert answer.exit_code == 4
    assert "recording" in seen
    assert "━" in seen
    assert answer.document["run"] == EXAMPLE_RUN


def test_a_verification_shows_on_a_terminal_which_run_it_looks_at(example: Path) -> None:
    command = ["-c", VERIFY_BAR_AT_ONCE, "verify", "--json", "--ledger", str(example)]
    with terminal() as (slave, read):
        process = started(*command, stderr=slave)
        os.close(slave)
        answer = ended(process)
        seen = read()
    assert answer.exit_code == 0
    assert f"verified {EXAMPLE_RUN}" in seen
    assert "━" in seen
    assert (answer.document["sound"], answer.document["runs"]) == (True, 1)


def test_a_verification_shows_no_progress_on_a_pipe(example: Path) -> None:
    answer = ended(started("-c", VERIFY_BAR_AT_ONCE, "verify", "--ledger", str(example)))
    assert (answer.exit_code, answer.lines[-1], answer.err) == (0, "The ledger is sound", "")


def test_a_bundle_is_checked_by_a_process_that_has_no_ledger(example: Path, tmp_path: Path) -> None:
    exported = ended(
        started("-m", "lottery", "--ledger", str(example), "export", "latest", "run.zip")
    )
    assert exported.exit_code == 0
    key = lottery("--ledger", example, "keys", "--json").document["public_key"]
    answer = ended(started("-m", "lottery", "replay", "run.zip", "--key", key))
    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.out == f"{EXAMPLE_RUN}  matches\n1 replayed, 1 matched\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run.zip"]


def test_a_served_ledger_is_worked_on_and_its_log_names_no_account(
    door: Door, tmp_path: Path
) -> None:
    process = started(
        *("-m", "lottery", "serve", "--listen", LOOPBACK, *door.options),
        LOTTERY_HEALTH_LISTEN=LOOPBACK,
        LOTTERY_METRICS_LISTEN="",
        LOTTERY_TRUST_LOCAL=TRUSTED,
    )
    try:
        assert process.stderr is not None
        first, serving = "", {"event": ""}
        while serving["event"] != "serving":  # What comes before it are warnings, and compiling.
            line = process.stderr.readline().decode()
            first, serving = first + line, json.loads(line)
        healthy = lottery("health", "--listen", f"127.0.0.1:{serving['health_port']}")
        assert (healthy.exit_code, healthy.out) == (0, "SERVING\n")
        answers = work_through(f"127.0.0.1:{serving['port']}", tmp_path)
    finally:
        process.send_signal(signal.SIGTERM)
        served = ended(process)
    assert [answer.exit_code for answer in answers] == [4, 0, 0, 2, 0, 3, 0, 0, 0, 5]
    assert (served.exit_code, served.out) == (0, "")
    lines = [json.loads(line) for line in (first + served.err).splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["draining", "stopped"]
    calls = [line["method"] for line in lines if line["event"] == "call"]
    assert {"RunLottery", "ExplainPool", "StreamAllocations", "ReplayRun"} <= set(calls)
    assert {"VerifyLedger", "ExportRun", "GetCheckpoint"} <= set(calls)
    assert long_accounts().isdisjoint(re.findall(r"\d+", first + served.err))


def work_through(target: str, tmp_path: Path) -> list[Answer]:
    """Give commands that send, ask for and are refused accounts."""
    account = max(long_accounts(), key=len)
    doubled = tmp_path / "doubled.csv"
    lines = (EXAMPLE / "positions.csv").read_text("utf-8").splitlines()
    assigned = next(line for line in lines if line.startswith("XSP   240916P00565000"))
    doubled.write_text("\n".join([*lines, assigned, ""]), "utf-8")
    commands = (
        [*example_arguments(), "--output", str(tmp_path / "out")],
        ["show", "latest", "--allocations"],
        ["explain", "latest", "--account", account],
        ["explain", "latest", "--account", account + "0"],
        ["replay", "latest"],
        [*example_arguments(), "--positions", str(doubled)],
        ["verify"],
        ["keys"],
        ["export", "latest", str(tmp_path / "run.zip")],
        [*example_arguments(), "--cycle", "2"],
    )
    return [lottery("--server", target, *command) for command in commands]


def long_accounts() -> set[str]:
    """Return the example's account numbers that are too long to be anything else."""
    lines = (EXAMPLE / "positions.csv").read_text("utf-8").splitlines()[1:]
    return {account for account in (line.split(",")[1] for line in lines) if len(account) > 6}


def test_serving_beyond_loopback_without_tls_is_wrong_usage(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    command = ("-m", "lottery", "serve", "--ledger", str(ledger), "--listen", "0.0.0.0:0")
    answer = ended(started(*command))
    assert (answer.exit_code, answer.out) == (2, "")
    assert "expected an address on loopback without TLS" in answer.err
    assert "Traceback" not in answer.err
    assert not ledger.exists()


def test_the_objects_of_a_server_may_be_named_before_its_command(door: Door) -> None:
    answer = ended(started("-m", "lottery", "--objects", "nowhere", *door.options, "serve"))
    assert (answer.exit_code, answer.out) == (2, "")
    assert "expected a directory at nowhere" in answer.err


def test_serving_with_a_wrong_setting_is_wrong_usage_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_CALL_THREADS", "many")
    answer = lottery("serve", "--ledger", tmp_path / "ledger")
    assert (answer.exit_code, answer.out) == (2, "")
    assert answer.err.startswith("LOTTERY_CALL_THREADS: ")


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """Open a terminal: its end for a process, and what it showed once that process has ended."""
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def drain() -> None:
        # Linux answers EIO once every process has closed its end.
        with suppress(OSError):
            while part := os.read(master, 4096):
                shown.append(part)

    reader = threading.Thread(target=drain)
    reader.start()

    def read() -> str:
        reader.join()
        return b"".join(shown).decode()

    try:
        yield slave, read
    finally:
        reader.join()
        os.close(master)
