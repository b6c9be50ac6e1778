"""examples/cron: the crontab's lines, run as cron runs them, and the script behind the first."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lottery.operations.ledgers import CharterTerms, init_ledger
from tests.builders import TESTER, evidence_in, opened, settings_of
from tests.cli.calls import write_lock
from tests.documents import read
from tests.mornings import deliver

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT = EXAMPLES / "cron" / "assign.sh"
CRONTAB = (EXAMPLES / "cron" / "lottery.cron").read_text("utf-8")
DAY = EXAMPLES / "2024-09-16"
YESTERDAY = dt.date.today() - dt.timedelta(days=1)  # noqa: DTZ011

_FIELD = r"(?:\*|\d+)(?:-\d+)?(?:/\d+)?(?:,\d+(?:-\d+)?)*"
_ENTRY = re.compile(rf"(?P<times>{_FIELD}(?:[ \t]+{_FIELD}){{4}})[ \t]+(?P<command>\S.*)")
_SETTING = re.compile(r"(?P<name>[A-Z_]+)[ \t]*=[ \t]*(?P<value>.*)")

LINES = [line for line in CRONTAB.splitlines() if line and not line.startswith("#")]
SETTINGS = {found["name"]: found["value"] for line in LINES if (found := _SETTING.fullmatch(line))}
ENTRIES = [found for line in LINES if (found := _ENTRY.fullmatch(line))]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of in, out, log and the ledger, beside a folder with the two commands."""
    commands = tmp_path / "bin"
    commands.mkdir()
    shutil.copy(SCRIPT, commands / "assign.sh")
    root = EXAMPLES.parent
    lottery = f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m lottery "$@"\n'
    (commands / "lottery").write_text(lottery, "utf-8")
    (commands / "lottery").chmod(0o755)
    (tmp_path / "in").mkdir()
    # Yesterday may have been a Sunday.
    terms = CharterTerms(decisions={}, trading_dates=(YESTERDAY,))
    init_ledger(settings_of(tmp_path / "lottery-ledger"), terms, TESTER)
    return tmp_path


def delivered(home: Path, date: dt.date, *, without: str = "") -> None:
    """The example day's CSV files as those of a date, without the notices of a series."""
    deliver(home / "in" / date.isoformat(), date, without=without)


def cron(home: Path, command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a line's command as cron does: by /bin/sh, with the crontab's own settings alone."""
    settings: Mapping[str, str] = {
        **SETTINGS,
        "PATH": SETTINGS["PATH"].replace("/opt/lottery/bin", str(home / "bin")),
        "LOTTERY_HOME": str(home),
        "LOTTERY_LEDGER": str(home / "lottery-ledger"),
        "HOME": str(home),
        "SHELL": "/bin/sh",
        **more,
    }
    return subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")],
        env=settings,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def assign(home: Path, date: str = "2024-09-16", **more: str) -> subprocess.CompletedProcess[str]:
    return cron(home, f"assign.sh {date}", **{"LOTTERY_TRIES": "1", **more})


def test_every_line_of_the_crontab_is_one() -> None:
    assert len(SETTINGS) + len(ENTRIES) == len(LINES)
    assert len(ENTRIES) == 3
    for entry in ENTRIES:
        # A percent sign that is not escaped ends a command and begins its input.
        assert not re.search(r"(?<!\\)%", entry["command"])
        minute, hour, *_ = entry["times"].split()
        assert int(minute) < 60
        assert int(hour) < 24
    assert CRONTAB.endswith("\n")


def test_the_runbook_quotes_the_crontab() -> None:
    assert f"```text\n{ENTRIES[0].string}\n```" in read("OPERATIONS.md")


def test_a_morning_without_breaks_says_nothing_and_is_kept_in_the_log(home: Path) -> None:
    delivered(home, yesterday := YESTERDAY, without="GE1 ")

    done = cron(home, ENTRIES[0]["command"])

    assert (done.returncode, done.stdout) == (0, "")
    assert (home / "out" / yesterday.isoformat() / "allocations.csv").exists()
    log = (home / "log" / f"{yesterday}.log").read_text("utf-8")
    assert f"Run {yesterday}-001 is recorded: ALLOCATED" in log


def test_the_other_lines_say_nothing_of_a_sound_ledger_and_name_what_is_not(home: Path) -> None:
    delivered(home, yesterday := YESTERDAY)
    cron(home, ENTRIES[0]["command"])

    for entry in ENTRIES[1:]:
        done = cron(home, entry["command"])
        assert (done.returncode, done.stdout) == (0, "")

    (evidence_in(home / "lottery-ledger", f"{yesterday}-001") / "pools.parquet").unlink()
    for entry in ENTRIES[1:]:
        assert "pools.parquet" in cron(home, entry["command"]).stdout


def test_breaks_are_told_with_their_code(home: Path) -> None:
    shutil.copytree(DAY, home / "in" / "2024-09-16")

    done = assign(home)

    assert done.returncode == 4
    assert "exit code 4 after 1 of 1 tries" in done.stdout
    assert "EXCEEDS_SHORT" in done.stdout
    sources = (home / "out" / "2024-09-16" / "run.json").read_text("utf-8")
    assert "notices.xml" in sources
    assert "occ_positions.xml" in sources


def test_a_refused_file_is_not_tried_again(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16))
    notices = home / "in" / "2024-09-16" / "notices.csv"
    notices.write_text(notices.read_text("utf-8").replace(",18,C", ",-18,C"), "utf-8")

    done = assign(home, LOTTERY_TRIES="3", LOTTERY_WAIT_SECONDS="60")

    assert done.returncode == 3
    assert "exit code 3 after 1 of 3 tries" in done.stdout
    assert "notices.csv, row 10 (line 11), quantity" in done.stdout


def test_files_that_are_not_there_are_waited_for(home: Path) -> None:
    done = assign(home, LOTTERY_TRIES="2", LOTTERY_WAIT_SECONDS="0")

    assert done.returncode == 75
    assert "exit code 75 after 2 of 2 tries" in done.stdout
    assert "does not have notices, positions and volumes yet" in done.stdout


def test_a_locked_ledger_is_tried_again(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16))
    delivered(home, dt.date(2024, 9, 17))
    assert assign(home).returncode == 4

    settings = {"LOTTERY_LOCK_SECONDS": "0.1", "LOTTERY_WAIT_SECONDS": "0"}
    with write_lock(home / "lottery-ledger"):
        done = assign(home, "2024-09-17", LOTTERY_TRIES="2", **settings)

    assert done.returncode == 75
    assert "LEDGER_BUSY" in done.stdout
    assert assign(home, "2024-09-17").returncode == 4


def test_two_at_a_time_are_one(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16))
    (home / "log").mkdir()
    script = home / "bin" / "assign.sh"

    held = cron(home, f"flock log/assign.lock {script} 2024-09-16")

    assert held.returncode == 75
    assert "already running" in held.stdout
    assert list(opened(home / "lottery-ledger").iterate()) == []


def test_the_signed_checkpoint_is_shipped(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16))
    (home / "elsewhere").mkdir()

    assign(home, LOTTERY_SHIP_TO=str(home / "elsewhere"))

    shipped = home / "elsewhere" / "checkpoint-2024-09-16"
    assert shipped.read_bytes() == (home / "lottery-ledger" / "log" / "checkpoint").read_bytes()


def test_a_warning_is_told_though_all_is_allocated(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16), without="GE1 ")
    volumes = home / "in" / "2024-09-16" / "volumes.csv"
    volumes.write_text(volumes.read_text("utf-8").replace("118.20946", "0"), "utf-8")

    done = assign(home)

    assert done.returncode == 0
    assert "the ask price of Z901439 is zero" in done.stdout


def test_a_superseded_run_is_told_and_not_used(home: Path) -> None:
    delivered(home, dt.date(2024, 9, 16), without="GE1 ")
    delivered(home, dt.date(2024, 9, 17), without="GE1 ")
    assert assign(home, "2024-09-17").stdout == ""
    files = "in/2024-09-17"
    superseding = cron(
        home,
        f"lottery run --date 2024-09-17 --notices {files}/notices.csv --positions "
        f"{files}/positions.csv --volumes in/2024-09-16/volumes.csv --supersede latest --reason no",
    )
    assert superseding.returncode == 0, superseding.stdout

    again = assign(home, "2024-09-17")

    assert again.returncode == 5
    assert "superseded by run 2024-09-17-002" in again.stdout
