"""Processes that record tasks in one ledger, are killed at random moments, and are replaced.

They are forked from a process in which everything is loaded. Each writes a line to a file of its
own once a run is acknowledged to it, before it goes on: a process that is killed by a signal takes
nothing with it that it wrote.
"""

from __future__ import annotations

import gc
import mmap
import os
import random
import signal
import struct
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from lottery import operations
from lottery.errors import LotteryError
from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import CharterTerms, LedgerSettings, init_ledger, open_ledger
from lottery.operations.verification import verify_ledger
from tests.builders import TESTER, made
from tests.faults import look, tasks

_AGAIN: Final = 0.2
"""The share of tasks that are not new: another process has recorded them, or was killed at it."""
_Answer = TypeVar("_Answer")
_SHARED: Final = struct.Struct("qq")
"""The next task, and how many were acknowledged."""
_RUNS_A_KILL: Final = 0.25
"""Kills wait for at least so many acknowledged runs, however slow the machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is killed.

    Attributes:
        settings: The ledger, which is made.
        folder: Where the processes write what was acknowledged to them.
        kills: How many processes are killed.
        writers: How many run at a time.
        threads: How many threads record in each.
        retried: The errors that a caller answers by the same call again.
        mean_seconds: The mean time between two kills, if runs are fast enough.
    """

    settings: LedgerSettings
    folder: Path
    kills: int
    writers: int
    threads: int
    retried: tuple[type[LotteryError], ...]
    mean_seconds: float


@dataclass(slots=True, kw_only=True)
class Summary:
    """What happened, and what was found."""

    kills: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    replayed: int = 0
    differing: list[str] = field(default_factory=list)
    seconds: float = 0.0
    checked_in: float = 0.0
    retries: Counter[str] = field(default_factory=Counter)
    more: str = ""
    errors: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return the figures on one line."""
        retries = ", ".join(f"{count} {reason}" for reason, count in self.retries.items()) or "none"
        return (
            f"{name}: kills {self.kills}, acknowledged {self.acknowledged}, found {self.found}, "
            f"lost {len(self.lost)}, doubled {len(self.doubled)}, "
            f"verify {'sound' if not self.faults else f'{len(self.faults)} faults'}, "
            f"replayed {self.replayed - len(self.differing)} of {self.replayed}, "
            f"seconds {self.seconds:.1f} ({self.kills / self.seconds:.1f} kills a second) and "
            f"{self.checked_in:.1f} to check; tried again: {retries}"
            f"{'; ' * bool(self.more)}{self.more}"
        )

    def refuse(self) -> None:
        """Assert that nothing is wrong."""
        wrong = (self.errors, self.lost, self.doubled, self.faults, self.differing)
        assert not any(wrong), [found[:3] for found in wrong]
        assert self.acknowledged, "expected runs that were acknowledged, got none"


def kill_writers(plan: Plan, seed: int, *, before_check: Callable[[], str] = lambda: "") -> Summary:
    """Kill processes that record, until there were as many as planned, and check the ledger.

    Args:
        plan: What is killed.
        seed: From which number the moments are drawn.
        before_check: Called after the last kill; what it returns is told in the summary.
    """
    generator = random.Random(seed)  # noqa: S311 - moments to kill at.
    plan.folder.mkdir()
    operations.warm_up()
    warm = made(plan.folder / "warm")
    for task in range(tasks.TASKS_A_DATE):
        tasks.recorded(warm, task)
    _in_a_fork(plan, lambda: init_ledger(plan.settings, CharterTerms(decisions={}), TESTER))
    shared = mmap.mmap(-1, _SHARED.size)
    numbers = iter(range(1 << 62))

    def started() -> int:
        return _forked(plan, shared, next(numbers), generator.random())

    summary = Summary()
    began = time.perf_counter()
    with suppress(PermissionError):  # So that it comes in time on a busy machine.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    gc.freeze()  # What is here now is not copied by a process that collects its own garbage.
    writers = [started() for _ in range(plan.writers)]
    dying: list[int] = []
    try:
        while summary.kills + len(dying) < plan.kills and not list(plan.folder.glob("*.failed")):
            time.sleep(generator.uniform(0, 2 * plan.mean_seconds))
            if _SHARED.unpack(shared)[1] < _RUNS_A_KILL * (summary.kills - plan.writers):
                continue
            killed = writers.pop(generator.randrange(len(writers)))
            os.kill(killed, signal.SIGKILL)
            dying.append(killed)
            writers.append(started())
            summary.kills += _buried(dying, os.WNOHANG)
    finally:
        summary.kills += _buried(dying, 0)
        for writer in writers:
            os.kill(writer, signal.SIGKILL)
        _buried(writers, 0)
    summary.seconds = time.perf_counter() - began
    summary.more = before_check()
    _read_logs(plan, summary)
    _check(plan, summary, _SHARED.unpack(shared)[0])
    summary.checked_in = time.perf_counter() - began - summary.seconds
    return summary


def _buried(processes: list[int], options: int) -> int:
    """Forget the processes that have ended, and return how many of them ran until the kill."""
    killed = 0
    for process in tuple(processes):
        ended, status = os.waitpid(process, options)
        if ended:
            processes.remove(process)
            killed += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    return killed


def _forked(plan: Plan, shared: mmap.mmap, number: int, seed: float) -> int:
    process = os.fork()
    if process:
        return process
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    try:
        ledger = _until_done(lambda: open_ledger(plan.settings), plan.retried)
        threads = [
            threading.Thread(
                target=_noting_failure, args=(plan, ledger, shared, f"{number}-{thread}", seed)
            )
            for thread in range(1, plan.threads)
        ]
        for one in threads:
            one.start()
        _noting_failure(plan, ledger, shared, f"{number}-0", seed)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it.
        (plan.folder / f"{number}.failed").write_text(traceback.format_exc(), "utf-8")
    finally:
        os._exit(1)


def _noting_failure(plan: Plan, ledger: Ledger, shared: mmap.mmap, name: str, seed: float) -> None:
    try:
        _record_for_ever(plan, ledger, shared, name, random.Random(f"{seed} {name}"))  # noqa: S311
    except BaseException:  # noqa: BLE001 - whatever it is, the parent reports it.
        (plan.folder / f"{name}.failed").write_text(traceback.format_exc(), "utf-8")
        os._exit(1)


def _record_for_ever(
    plan: Plan, ledger: Ledger, shared: mmap.mmap, name: str, generator: random.Random
) -> None:
    """Record one task after another, and write down what is acknowledged before the next."""
    acknowledged = os.open(plan.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        # Two processes may read one number: then they record one task at the same time.
        number, done = _SHARED.unpack(shared)
        _SHARED.pack_into(shared, 0, number + 1, done)
        if number and generator.random() < _AGAIN:
            number = generator.randrange(max(0, number - 50), number)
        line = None
        while line is None:
            try:
                run = tasks.recorded(ledger, number).record.run
                line = f"{tasks.request_id_of(number)} {run}\n"
            except plan.retried as error:
                os.write(acknowledged, f"again {error.reason}\n".encode())
        os.write(acknowledged, line.encode())
        number, done = _SHARED.unpack(shared)
        _SHARED.pack_into(shared, 0, number, done + 1)


def _read_logs(plan: Plan, summary: Summary) -> None:
    """Compare what was acknowledged with what the ledger has for the same request."""
    summary.errors = [path.read_text("utf-8") for path in plan.folder.glob("*.failed")]
    acknowledged: dict[str, str] = {}
    for path in plan.folder.glob("*.log"):
        for line in path.read_text("ascii").splitlines():
            request_id, run = line.split(" ")
            if request_id == "again":
                summary.retries[run] += 1
            elif acknowledged.setdefault(request_id, run) != run:
                summary.doubled.append(f"{request_id} is {acknowledged[request_id]} and {run}")
    summary.acknowledged = len(acknowledged)
    found = _requests(open_ledger(plan.settings))
    for request_id, run in acknowledged.items():
        if found.get(request_id) == run:
            summary.found += 1
        else:
            summary.lost.append(f"{request_id}: {run}, found {found.get(request_id)}")


def _requests(ledger: Ledger) -> Mapping[str, str]:
    """Return the run of every request id, from the entries alone."""
    named = {record.request_id: record.run for record in ledger.iterate()}
    for entry in ledger.trail():
        if entry.type == "request":
            named[entry.request_id] = entry.run
    return named


def _check(plan: Plan, summary: Summary, task: int) -> None:
    """Let one more process record, which finishes what the last one left, and look at it all."""
    _in_a_fork(plan, lambda: tasks.recorded(open_ledger(plan.settings), task))
    ledger = open_ledger(plan.settings)
    runs = [record.run for record in ledger.iterate()]
    summary.replayed = len(runs)
    summary.differing = look.replayed(plan.settings, runs, os.cpu_count() or 1)
    summary.faults = [*look.problems_of(ledger)]
    summary.faults += [f"{fault.where}: {fault.problem}" for fault in verify_ledger(plan.settings)]
    summary.doubled += look.doubled(ledger)


def _in_a_fork(plan: Plan, call: Callable[[], object]) -> None:
    """Call a function in a process of its own: a client of a bucket does not survive a fork."""
    process = os.fork()
    if not process:
        code = 1
        try:
            _until_done(call, plan.retried)
            code = 0
        except BaseException:  # noqa: BLE001 - the parent asserts that it succeeded.
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == 0, f"expected a process that succeeds, got exit code {code}"


def _until_done(call: Callable[[], _Answer], retried: tuple[type[LotteryError], ...]) -> _Answer:
    while True:
        with suppress(*retried):
            return call()
