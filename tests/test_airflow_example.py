"""examples/airflow: what the DAG asks of `lottery`, and the DAG itself where there is an Airflow.

Airflow is not among the project's dependencies: it is heavy, and pins its own. Where
`LOTTERY_AIRFLOW` names a Python that has Airflow 3 and its standard provider, or where this one
has, the DAG runs in it.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from examples.airflow.lottery_command import PROGRAM, Verdict, ask, assign, files_of, verdict_of
from lottery.cli import exits
from tests.builders import evidence_in, made
from tests.cli.calls import write_lock
from tests.mornings import deliver

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
DAY: Final = EXAMPLES / "2024-09-16"
AIRFLOW: Final = os.environ.get("LOTTERY_AIRFLOW") or (
    sys.executable if importlib.util.find_spec("airflow") else None
)
TRIES: Final = 3


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a morning: 16 has a break, 17 has none, 18 is refused, 19 has not come."""
    for name in list(os.environ):
        if name.startswith("LOTTERY_"):
            monkeypatch.delenv(name)
    program = f"env PYTHONPATH={EXAMPLES.parent} {shlex.quote(sys.executable)} -m lottery"
    monkeypatch.setenv(PROGRAM, program)
    for day, without in ((16, ""), (17, "GE1 "), (18, "")):
        date = dt.date(2024, 9, day)
        deliver(tmp_path / "in" / date.isoformat(), date, without=without)
    notices = tmp_path / "in" / "2024-09-18" / "notices.csv"
    notices.write_text(notices.read_text("utf-8").replace(",18,C", ",-18,C"), "utf-8")
    (tmp_path / "in" / "2024-09-19").mkdir()
    made(tmp_path / "lottery-ledger")
    return tmp_path


def test_every_exit_code_of_the_command_line_has_a_verdict() -> None:
    codes = {code for name, code in vars(exits).items() if name.isupper() and isinstance(code, int)}

    verdicts = {code: verdict_of(code) for code in codes}

    assert verdicts.pop(exits.DONE) is Verdict.GO_ON
    assert verdicts.pop(exits.BREAKS) is Verdict.GO_ON_AND_REPORT
    assert verdicts.pop(exits.TRY_AGAIN) is Verdict.TRY_AGAIN
    assert set(verdicts) == {
        exits.FAILED,
        exits.USAGE,
        exits.REFUSED,
        exits.CONFLICT,
        exits.HELD,
        exits.MISMATCH,
    }
    assert set(verdicts.values()) == {Verdict.FAIL}


@pytest.mark.parametrize("exit_code", [-9, 126, 127, 130, 137])
def test_a_command_that_was_killed_or_is_not_there_fails(exit_code: int) -> None:
    assert verdict_of(exit_code) is Verdict.FAIL


def test_a_date_is_allocated_into_the_home(home: Path) -> None:
    answer = assign(home, "2024-09-17")

    assert answer.exit_code == exits.DONE
    assert answer.document["run"] == "2024-09-17-001"
    assert answer.document["breaks"] == []
    assert (home / "out" / "2024-09-17" / "allocations.csv").exists()


def test_breaks_and_warnings_are_in_the_answer(home: Path) -> None:
    answer = assign(home, "2024-09-16")

    assert answer.exit_code == exits.BREAKS
    assert [each["reason"] for each in answer.document["breaks"]] == ["EXCEEDS_SHORT"]
    assert answer.document["warnings"] == []


def test_a_refusal_names_its_problems(home: Path) -> None:
    answer = assign(home, "2024-09-18")

    assert answer.exit_code == exits.REFUSED
    assert answer.message.startswith(
        "INVALID_INPUT: notices.csv, row 10 (line 11), quantity: quantity must be"
    )


def test_files_that_are_not_there_are_named_and_tried_again(home: Path) -> None:
    answer = assign(home, "2024-09-19")

    assert answer.exit_code == exits.TRY_AGAIN
    assert answer.message.endswith("2024-09-19 has no notices, positions, volumes yet")


def test_a_locked_ledger_is_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assign(home, "2024-09-17")
    monkeypatch.setenv("LOTTERY_LOCK_SECONDS", "0.1")

    with write_lock(home / "lottery-ledger"):
        answer = assign(home, "2024-09-16")

    assert answer.exit_code == exits.TRY_AGAIN
    assert answer.message.startswith("LEDGER_BUSY: ")


def test_what_occ_sends_is_taken_first(home: Path) -> None:
    for name in ("notices.xml", "occ_positions.xml"):
        shutil.copy(DAY / name, home / "in" / "2024-09-16")

    files = files_of(home / "in" / "2024-09-16")

    assert {role: file.name for role, file in files.items()} == {
        "notices": "notices.xml",
        "positions": "positions.csv",
        "volumes": "volumes.csv",
        "occ_positions": "occ_positions.xml",
    }
    assert assign(home, "2024-09-16").exit_code == exits.BREAKS


def test_a_ledger_that_is_not_sound_fails_and_says_where(home: Path) -> None:
    assign(home, "2024-09-17")
    (evidence_in(home / "lottery-ledger", "2024-09-17-001") / "pools.parquet").unlink()

    answer = ask(home, "verify")

    assert verdict_of(answer.exit_code) is Verdict.FAIL
    assert "pools.parquet" in answer.message


@pytest.mark.skipif(AIRFLOW is None, reason="LOTTERY_AIRFLOW names no Python with Airflow 3")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("date", "state", "tries", "told"),
    [
        ("2024-09-16", "success", 1, True),
        ("2024-09-17", "success", 1, False),
        ("2024-09-18", "failed", 1, False),
        ("2024-09-19", "failed", TRIES, False),
    ],
    ids=["breaks", "no breaks", "refused", "not there yet"],
)
def test_a_morning_in_airflow(home: Path, date: str, state: str, tries: int, told: bool) -> None:  # noqa: FBT001
    printed = airflow(
        home, "dags", "test", "assignment_lottery", "--conf", json.dumps({"business_date": date})
    )

    assert re.search(rf"DagRun Finished: .*state={state},", printed), printed
    assert printed.count("starting task_id=assign ") == tries
    assert printed.count("new_state=up_for_retry") == tries - 1
    assert ("EXCEEDS_SHORT: C GE1   240920C00160000 is assigned 25 and short 22" in printed) is told
    assert ("end task task_id=verify " in printed) is (state == "success")


@pytest.mark.skipif(AIRFLOW is None, reason="LOTTERY_AIRFLOW names no Python with Airflow 3")
@pytest.mark.slow
def test_a_scheduled_morning_is_that_of_the_date_before(home: Path) -> None:
    # A quarter past four in New York; in UTC it could be either date.
    printed = airflow(home, "dags", "test", "assignment_lottery", "2024-09-18T08:15:00+00:00")

    assert re.search(r"DagRun Finished: .*state=success,", printed), printed
    assert [path.name for path in (home / "out").iterdir()] == ["2024-09-17"]


def airflow(home: Path, *arguments: str) -> str:
    """What a command of Airflow prints, over a database of its own."""
    assert AIRFLOW is not None
    settings = {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "LOTTERY_HOME": str(home),
        "LOTTERY_TRIES": str(TRIES),
        "LOTTERY_WAIT_SECONDS": "1",
    }
    environment = {**os.environ, **settings}
    environment.pop("PYTHONPATH", None)
    printed = ""
    for command in (["db", "migrate"], arguments):
        done = subprocess.run(
            [AIRFLOW, "-m", "airflow", *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=200,
        )
        printed = done.stdout
    return printed
