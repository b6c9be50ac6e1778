"""Every call of a command that writes is killed, and fails, one after another.

What the command says is true: with 0 the run is recorded and published; killed or failed, the same
command again comes to a sound ledger with the one run.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from lottery import operations
from tests.apart import run_apart
from tests.builders import FULL, PUBLISHED, faults_of, opened, write_files
from tests.faults import commands, look, traced
from tests.faults.disk import Disk

SAMPLE: Final = 10
"""Of the calls, those that fail in each way unless all of them do."""
FAILURES: Final = {"killed": "signal=KILL", "no space": "error=ENOSPC", "broken": "error=EIO"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(traced.why_not() is not None, reason=str(traced.why_not())),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("sample", [pytest.param(SAMPLE, id="sample"), traced.ALL])
def test_a_run_whose_calls_fail_one_by_one_says_the_truth_and_is_recorded_by_the_next_command(
    tmp_path: Path, failure: str, sample: int | None
) -> None:
    run_apart(_fail_calls, tmp_path, failure, sample)

    sys.stdout.write((tmp_path / "summary").read_text("utf-8"))


def _fail_calls(folder: Path, failure: str, sample: int | None) -> None:
    operations.warm_up()
    write_files(FULL, folder / "in")
    write_files(PUBLISHED, folder / "before")
    empty, ledger = folder / "empty", folder / "ledger"
    commands.lottery(folder, empty, "init")
    assert commands.lottery(folder, empty, *commands.run("2024-09-13", folder / "before")).code == 0
    commands.warm_up(folder)
    calls = _calls_of_a_run(folder, empty, ledger)
    chosen = calls
    if sample is not None:
        generator = random.Random(failure)  # noqa: S311 - a sample.
        chosen = generator.sample(calls, min(sample, len(calls)))
    outcomes: Counter[str] = Counter()
    wrong = []
    for call in chosen:
        inject = f"{call.name}:{FAILURES[failure]}:when={call.number}"
        try:
            outcomes[_outcome(folder, empty, ledger, inject)] += 1
        except AssertionError as error:
            wrong.append(f"{inject} {call.arguments[:200]!r}: {error}")
    (folder / "summary").write_text(
        f"{failure}: {len(chosen)} of {len(calls)} calls, {dict(outcomes)}, {len(wrong)} wrong\n",
        "utf-8",
    )
    assert not wrong, f"{len(wrong)} of {len(chosen)} calls\n" + "\n".join(wrong[:8])


def _outcome(folder: Path, empty: Path, ledger: Path, inject: str) -> str:
    """Let a call of the command fail, check what it said and what is there, and say it."""
    _copy(empty, ledger)
    command = commands.run("2024-09-16", folder / "in")
    ended = commands.lottery(folder, ledger, *command, inject=inject)
    assert ended.failed, f"expected a failure that was injected, got {ended}"
    what = commands.checked(ledger, ended)
    again = commands.lottery(folder, ledger, *command)
    assert again.code == commands.BREAKS, f"again: {again.code}: {again.said}"
    assert json.loads(again.said)["already_recorded"] == ("recorded" in what.split())
    assert [record.run for record in opened(ledger).iterate()][-1] == commands.RUN
    assert faults_of(ledger) == []
    assert look.doubled(opened(ledger)) == []
    return what


def _calls_of_a_run(folder: Path, empty: Path, ledger: Path) -> Sequence[traced.Call]:
    """Return the calls of a run that change something in the ledger's folder, or sync it."""
    _copy(empty, ledger)
    disk = Disk(ledger)
    ended = commands.lottery(
        folder, ledger, *commands.run("2024-09-16", folder / "in"), record=True
    )
    assert ended.code == commands.BREAKS, ended.said
    changing = [call for call in ended.calls if disk.apply(call)]
    assert all(call.thread == 0 for call in changing), "expected one thread that writes"
    return changing


def _copy(empty: Path, ledger: Path) -> None:
    shutil.rmtree(ledger, ignore_errors=True)
    shutil.copytree(empty, ledger)
