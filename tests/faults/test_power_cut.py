"""The power is cut at every call of a command: what was acknowledged is there, and nothing is torn.

The calls are recorded once and played to a model of a disk (`disk`), which says at each of them
what may be left. From every such state the same command again comes to a sound ledger.
"""

from __future__ import annotations

import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from lottery import operations
from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import CharterTerms, init_ledger
from tests.apart import run_apart
from tests.builders import TESTER, faults_of, opened, settings_of
from tests.faults import look, tasks, traced
from tests.faults.disk import Disk, State, write_state

SAMPLE: Final = 40
"""Of each command's states, those that are checked unless all of them are."""
SUPERSEDED: Final = 2
SUPERSEDING: Final = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(traced.why_not() is not None, reason=str(traced.why_not())),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command whose calls are recorded.

    Attributes:
        before: What is done before, all of which is on the disk.
        do: The command, which may be done again.
        runs: How many runs there are after it, if it was done.
    """

    before: Callable[[Path], object]
    do: Callable[[Path], object]
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A state that a power cut leaves.

    Attributes:
        where: When it is cut, and what is lost.
        state: What is left.
        acknowledged: Whether the command had ended.
    """

    where: str
    state: State
    acknowledged: bool


def _init(ledger: Path) -> Ledger:
    return init_ledger(settings_of(ledger), CharterTerms(decisions={}), TESTER)


def _record(task: int) -> Callable[[Path], object]:
    return lambda ledger: tasks.recorded(opened(ledger), task)


def _recorded_before(ledger: Path) -> None:
    _init(ledger)
    _record(SUPERSEDED)(ledger)


COMMANDS: Final = {
    "init": Command(before=Path.mkdir, do=_init, runs=0),
    "the first run": Command(before=_init, do=_record(0), runs=1),
    "a superseding run": Command(before=_recorded_before, do=_record(SUPERSEDING), runs=2),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("sample", [pytest.param(SAMPLE, id="sample"), traced.ALL])
def test_a_power_cut_at_any_call_leaves_what_the_same_command_makes_sound(
    tmp_path: Path, name: str, sample: int | None
) -> None:
    run_apart(_cut_power, tmp_path, name, sample)

    sys.stdout.write((tmp_path / "summary").read_text("utf-8"))


def _cut_power(folder: Path, name: str, sample: int | None) -> None:
    command, ledger = COMMANDS[name], folder / "ledger"
    operations.warm_up()
    _init(folder / "warm")
    for task in range(tasks.TASKS_A_DATE):  # Nothing is loaded while calls are recorded.
        _record(task)(folder / "warm")
    command.before(ledger)
    disk = Disk(ledger)
    ended = traced.traced(lambda: 0 * bool(command.do(ledger)), folder)
    assert (ended.code, ended.said) == (0, "")
    cuts = list(_cuts(disk, ended))
    assert disk.state(lambda change: change) == _on_disk(ledger), "expected the model of the disk"
    chosen = cuts
    if sample is not None and sample < len(cuts):
        generator = random.Random(name)  # noqa: S311 - a sample.
        rest = [cut for cut in cuts if not cut.acknowledged]
        chosen = [cut for cut in cuts if cut.acknowledged] + generator.sample(rest, sample)
    wrong = [found for cut in chosen if (found := _wrong_after(command, cut, folder / "state"))]
    (folder / "summary").write_text(
        f"{name}: {len(chosen)} of {len(cuts)} states after {len(ended.calls)} calls, "
        f"{len(wrong)} wrong\n",
        "utf-8",
    )
    assert not wrong, f"{len(wrong)} of {len(chosen)} states\n" + "\n".join(wrong[:5])


def _cuts(disk: Disk, ended: traced.Ended) -> Iterator[Cut]:
    """Yield the states that differ in more than hidden names; those of the end are acknowledged."""
    seen: set[object] = set()
    for number, call in enumerate(ended.calls, 1):
        if not disk.apply(call) and number < len(ended.calls):
            continue
        acknowledged = number == len(ended.calls)
        for what, state in disk.states():
            shown = frozenset(
                (path, content) for path, content in state.items() if not path.startswith(".")
            )
            if acknowledged or shown not in seen:
                seen.add(shown)
                where = f"call {number} of {len(ended.calls)}, {call.name}: {what}"
                yield Cut(where=where, state=state, acknowledged=acknowledged)


def _wrong_after(command: Command, cut: Cut, ledger: Path) -> str | None:
    """Return what is wrong after a power cut and the same command again, or None."""
    shutil.rmtree(ledger, ignore_errors=True)
    write_state(cut.state, ledger)
    try:
        if cut.acknowledged:
            _check(ledger, command.runs)
        command.do(ledger)
        _check(ledger, command.runs)
    except Exception:  # noqa: BLE001 - whatever it is, it is reported.
        return f"{cut.where}\n{traceback.format_exc()}"
    return None


def _check(ledger: Path, runs: int) -> None:
    there = opened(ledger)
    assert len(list(there.iterate())) == runs
    assert list(look.problems_of(there)) == []
    assert faults_of(ledger) == []
    assert look.doubled(there) == []


def _on_disk(ledger: Path) -> State:
    return {
        path.relative_to(ledger).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in ledger.rglob("*")
    }
