"""`lottery run` killed at random, again and again, on one ledger: nothing acknowledged is lost.

Each command is `lottery.cli.main.main` itself in a process of its own, which is killed at a random
moment: mostly while it writes. How many are killed says LOTTERY_KILLS, and LOTTERY_SEED from what
number the moments are drawn (`make crash-test KILLS=500`).
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import random
import secrets
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.cli.main import main
from lottery.ledger import write_transaction
from lottery.ledger.commit import Ledger
from lottery.ledger.write_transaction import DATABASE
from tests.apart import run_apart
from tests.builders import AAPL, FULL, SmallDay, assert_sound, notice, position, write_files

KILLS: Final = int(os.environ.get("LOTTERY_KILLS", "60"))
SEED: Final = int(os.environ.get("LOTTERY_SEED", "0")) or secrets.randbelow(1 << 32)
FIRST: Final = dt.date(2024, 9, 6)
DONE: Final = {0, 4}
"""Recorded, or recorded with breaks."""
POLL: Final = 0.000_2
KINDS: Final = {
    "a new date": 50,
    "other notices of a date": 10,
    "a later cycle": 10,
    "a run superseded": 10,
    "the same command again": 10,
    "a replay": 6,
    "an export": 4,
}

LATE = SmallDay(notices=[notice("L1", AAPL, 3, "C")], positions=FULL.positions)
"""A later cycle of the full day, with gross positions."""
CORRECTED = replace(FULL, positions=[*FULL.positions, position(AAPL, "1049", 2, "C")])
OTHER = SmallDay(notices=[notice("O1", "KO    240920C00067500", 2, "C")], positions=FULL.positions)
DAYS: Final = {"full": FULL, "late": LATE, "corrected": CORRECTED, "other": OTHER}

LOOKS: Final = {"a replay": "replay", "an export": "export"}
BUILT_ON_A_RUN: Final = {
    "other notices of a date": ("other", ()),
    "a later cycle": ("late", ("--cycle=2", "--positions-basis=gross")),
    "a run superseded": ("corrected", ("--supersede={run}", "--reason=an account was missing")),
}
"""The files, and everything else that is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line after `lottery`; `date` is that of a run that it records."""

    kind: str
    arguments: tuple[str, ...]
    date: str | None = None


@dataclass(slots=True, kw_only=True)
class Reported:
    """What the commands have been reported.

    Attributes:
        runs: The run that a command was reported to have recorded.
        given: Every command that records a run, as it was given.
        free: Acknowledged runs of full days that no other command builds on yet.
        phases: How many were killed in which phase.
        kinds: How many commands of each kind were given.
    """

    runs: dict[Command, str] = field(default_factory=dict)
    given: list[Command] = field(default_factory=list)
    free: list[tuple[str, str]] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """Seconds to the end of a run: from its start, its first staged file, its announcement."""

    whole: float
    staged: float
    announced: float


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * KILLS)
def test_a_ledger_whose_commands_are_killed_at_random_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    sys.stdout.write(f"LOTTERY_SEED={SEED} LOTTERY_KILLS={KILLS}\n")

    run_apart(_kill_commands, tmp_path, KILLS, SEED)

    sys.stdout.write((tmp_path / "report").read_text("utf-8"))


def _kill_commands(folder: Path, kills: int, seed: int) -> None:
    began = time.perf_counter()
    ledger = folder / "ledger"
    for name, day in DAYS.items():
        write_files(day, folder / name)
    generator = random.Random(seed)  # noqa: S311 - moments to kill at.
    reported, takes = Reported(), _warm_up(folder)
    killed = 0
    while killed < kills:
        command = _next_command(folder, reported, generator)
        reported.kinds[command.kind] += 1
        phase, answer = _killed(ledger, command, generator, takes)
        reported.phases[phase] += 1
        killed += phase != "ended before"
        _note(reported, command, answer)
    gone = time.perf_counter() - began
    # Whatever the last one left, the next one finishes.
    last = _run_of("a new date", folder / "full", FIRST + dt.timedelta(5_000))
    code, answer = _answer_of(ledger, last)
    assert code in DONE
    _note(reported, last, answer)
    _check(ledger, reported, generator)
    _report(folder, reported, killed, gone, time.perf_counter() - began - gone)


def _next_command(folder: Path, reported: Reported, generator: random.Random) -> Command:
    """Something that goes through whatever of the commands before it was recorded."""
    (kind,) = generator.choices(list(KINDS), list(KINDS.values()))
    if kind == "the same command again" and reported.given:
        return replace(generator.choice(reported.given), kind=kind)
    if kind in LOOKS and reported.runs:
        run = generator.choice(list(reported.runs.values()))
        file = [] if kind == "a replay" else [str(folder / f"{run}.zip")]
        return Command(kind=kind, arguments=(LOOKS[kind], run, *file))
    if kind in BUILT_ON_A_RUN and reported.free:
        date, run = reported.free.pop(generator.randrange(len(reported.free)))
        files, more = BUILT_ON_A_RUN[kind]
        given = [option.format(run=run) for option in more]
        return _run_of(kind, folder / files, dt.date.fromisoformat(date), *given)
    return _run_of("a new date", folder / "full", FIRST + dt.timedelta(len(reported.given)))


def _run_of(kind: str, files: Path, date: dt.date, *more: str) -> Command:
    options = [f"--{role}={files / role}.csv" for role in ("notices", "positions", "volumes")]
    arguments = ("run", f"--date={date}", *options, *more, "--json")
    return Command(kind=kind, arguments=arguments, date=date.isoformat())


def _note(reported: Reported, command: Command, answer: dict[str, Any] | None) -> None:
    """Notes what a command was reported, and that it was given."""
    if command.date is None:
        return
    first = replace(command, kind="")
    if first not in reported.given:
        reported.given.append(first)
    if answer is None:
        return
    assert reported.runs.setdefault(first, answer["run"]) == answer["run"]
    if command.kind == "a new date":
        reported.free.append((command.date, answer["run"]))


def _warm_up(folder: Path) -> Takes:
    """Loads all that a command needs, and measures what one takes on this machine at this time."""
    operations.warm_up()
    ledger, measured = folder / "warm", []
    for number in range(5):
        command = _run_of("a new date", folder / "full", FIRST + dt.timedelta(number))
        if not number:
            with suppress(SystemExit), redirect_stdout(io.StringIO()):
                _command(ledger, command)
            continue
        process, out = _forked(ledger, command)
        moments = [time.perf_counter()]
        for event in (_is_staged, write_transaction.is_unfinished):
            while not event(ledger):
                time.sleep(POLL)
            moments.append(time.perf_counter())
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) in DONE, out.read_text("utf-8")
        end = time.perf_counter()
        measured.append([end - moment for moment in moments])
    whole, staged, announced = (sorted(column)[1] for column in zip(*measured, strict=True))
    return Takes(whole=whole, staged=staged, announced=announced)


def _killed(
    ledger: Path, command: Command, generator: random.Random, takes: Takes
) -> tuple[str, dict[str, Any] | None]:
    """Gives a command and kills it at a random moment: in which phase, and what it had said."""
    before = _content(ledger)
    event, seconds = generator.choices(
        [
            (_at_once, takes.whole),
            (_is_staged, takes.staged),
            (write_transaction.is_unfinished, takes.announced),
        ],
        [10, 30, 60],
    )[0]
    process, out = _forked(ledger, command)
    while not event(ledger):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(POLL)
    time.sleep(generator.uniform(0.0, 1.4 * seconds))
    os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    said = out.read_text("utf-8")
    if code != -signal.SIGKILL:
        assert code in DONE, f"{command.arguments} ended with {code}: {said}"
        assert command.date is None or _document(said) is not None
    return _phase(ledger, before, code, said), _document(said) if command.date else None


def _phase(ledger: Path, before: bytes, code: int, said: str) -> str:
    if code != -signal.SIGKILL:
        return "ended before"
    if not write_transaction.is_unfinished(ledger):
        if said:
            return "it had answered"
        return "recorded, not reported" if _content(ledger) != before else "nothing announced"
    if (ledger / f"{DATABASE}-journal").exists() or _content(ledger) == before:
        return "announced, not committed"
    return "committed, not finished"


def _answer_of(ledger: Path, command: Command) -> tuple[int, dict[str, Any] | None]:
    """Gives a command and lets it end."""
    process, out = _forked(ledger, command)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code, _document(out.read_text("utf-8"))


def _forked(ledger: Path, command: Command) -> tuple[int, Path]:
    """A process of the command, and the file that it prints to."""
    out = ledger.with_name("out")
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    process = os.fork()
    if process:
        os.close(descriptor)
        return process, out
    code = 1
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        _command(ledger, command)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _command(ledger: Path, command: Command) -> None:
    """Gives a command in this process.

    Raises:
        SystemExit: With its exit code.
    """
    sys.argv = ["lottery", f"--ledger={ledger}", *command.arguments]
    main()


def _document(said: str) -> dict[str, Any] | None:
    """The document that was printed, where it was printed whole."""
    try:
        document: dict[str, Any] = json.loads(said)
    except ValueError:
        return None
    return document


def _content(ledger: Path) -> bytes:
    return (ledger / DATABASE).read_bytes() if (ledger / DATABASE).exists() else b""


def _at_once(_: Path) -> bool:
    return True


def _is_staged(ledger: Path) -> bool:
    """Whether a command is at its evidence; what killed ones left may stand for it."""
    try:
        return any(path.stat().st_mtime > time.time() - 0.05 for path in _staged(ledger))
    except OSError:
        return False


def _staged(ledger: Path) -> Sequence[Path]:
    folder = ledger / write_transaction.STAGING
    return list(folder.iterdir()) if folder.is_dir() else []


def _check(ledger: Path, reported: Reported, generator: random.Random) -> None:
    """Asserts all that the ledger promises."""
    assert_sound(ledger)
    recorded = {record.run: record for record in Ledger.open(ledger).iterate()}
    for command, run in reported.runs.items():
        assert recorded[run].business_date.isoformat() == command.date
    _check_notices(ledger)
    with closing(sqlite3.connect(ledger / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # What was given finds its run, if it has recorded one, and records it else; once.
    for command in generator.sample(reported.given, min(10, len(reported.given))):
        answers = [_answer_of(ledger, command) for _ in range(2)]
        assert all(code in DONE for code, _ in answers)
        first, again = (answer or {} for _, answer in answers)
        assert again["already_recorded"]
        assert first["run"] == again["run"] == reported.runs.get(command, again["run"])
        assert first["already_recorded"] or first["run"] not in recorded
    assert_sound(ledger)
    _check_notices(ledger)


def _check_notices(ledger: Path) -> None:
    """No notice stands allocated twice, by the evidence alone: no code of the ledger is asked."""
    folders = sorted((ledger / "evidence").glob("*/*"))
    records = [json.loads((folder / "run.json").read_bytes()) for folder in folders]
    superseded = [run for record in records for run in record["supersedes"]]
    assert len(superseded) == len(set(superseded))
    allocated: Counter[tuple[str, str, str]] = Counter()
    for folder, record in zip(folders, records, strict=True):
        if record["run"] in superseded:
            continue
        pools = pq.read_table(folder / "pools.parquet").to_pylist()
        broken = {(row["occ_account"], row["series"]) for row in pools if row["break_reason"]}
        for row in pq.read_table(folder / "notices.parquet").to_pylist():
            if (row["occ_account"], row["series"]) not in broken:
                key = (record["business_date"], row["occ_account"], row["notice_id"])
                allocated[key] += 1
    assert allocated
    assert set(allocated.values()) == {1}


def _report(folder: Path, reported: Reported, killed: int, gone: float, checked: float) -> None:
    """Writes down what happened, for who reads the test's output."""
    lines = [
        f"{killed} killed in {gone:.1f} s, checked in {checked:.1f} s",
        f"{len(reported.runs)} of {len(reported.given)} runs were acknowledged",
        *(f"  {count:5} {phase}" for phase, count in reported.phases.most_common()),
        *(f"  {count:5} {kind}" for kind, count in reported.kinds.most_common()),
    ]
    (folder / "report").write_text("\n".join([*lines, ""]), "utf-8")
