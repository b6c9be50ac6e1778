"""Killed while it makes a ledger, recovers one or enters its trail: the next one finishes it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lottery.errors import KeyUnusable
from lottery.ledger import write_transaction
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.trail import LEDGER_MADE, RUN_RECORDED, WRITE_RECOVERED
from lottery.ledger.write_transaction import DATABASE
from lottery.operations import proofs
from lottery.tlog.keys import VerifierKey
from tests.builders import PUBLISHED, assert_sound, faults_of, record_in, replays_of, write_files
from tests.faults import worker

RUN = "2024-09-16-001"
OF_A_MAKER = (*worker.OF_MAKING, *worker.UNANNOUNCED, *worker.UNCOMMITTED, *worker.COMMITTED)
# A ledger is made without evidence and runs.
NOT_OF_A_MAKER = {"the folder is moved", "the row is inserted"}
OF_AN_ENTRY = [
    step
    for step in (*worker.UNCOMMITTED, *worker.COMMITTED, *worker.DONE)
    if step not in NOT_OF_A_MAKER
]
KILLED_BEFORE = ("the folder is moved", "the mirror is half written")
# A run that is committed has no evidence to withdraw, and one that is not no mirror to mend.
NOT_OF_A_RECOVERY = {
    ("the folder is moved", "the mirror is half copied"),
    ("the mirror is half written", "the evidence is half withdrawn"),
    ("the mirror is half written", "the evidence is withdrawn"),
}
RECOVERIES = [
    (before, step)
    for before in KILLED_BEFORE
    for step in (*worker.OF_RECOVERING, *OF_AN_ENTRY)
    if (before, step) not in NOT_OF_A_RECOVERY
]


def killed(function: Callable[..., None], *arguments: object) -> None:
    """Runs a worker's function in a process that kills itself."""
    process = multiprocessing.get_context("forkserver").Process(target=function, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def operations_of(ledger: Path) -> list[str]:
    """The trail's operations in order."""
    return [entry.operation for entry in Ledger.open(ledger).trail_entries()]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    write_files(PUBLISHED, tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def interrupted(request: pytest.FixtureRequest, tmp_path: Path, ledger: Path, sources: Path) -> str:
    """A ledger whose writer was killed at a step: the parameter, or with its files half written."""
    step = str(getattr(request, "param", "the mirror is half written"))
    killed(worker.record_days, ledger, sources, ["2024-09-16"], tmp_path / "reported", step)
    assert write_transaction.is_unfinished(ledger)
    return step


@pytest.mark.parametrize("step", [step for step in OF_A_MAKER if step not in NOT_OF_A_MAKER])
def test_a_ledger_whose_maker_is_killed_is_made_by_the_next_one(
    ledger: Path, sources: Path, step: str
) -> None:
    killed(worker.make_or_recover, ledger, step)
    # The next one dies at the same step, if it comes to it.
    again = multiprocessing.get_context("forkserver").Process(
        target=worker.make_or_recover, args=(ledger, step)
    )
    again.start()
    again.join(60)
    assert again.exitcode in {0, -signal.SIGKILL}
    key = (ledger / KEY_FILE).read_bytes()

    record = record_in(ledger, worker.request_of(sources)).record

    assert record.run == RUN
    assert (ledger / KEY_FILE).read_bytes() == key
    made, *recovered, recorded = operations_of(ledger)
    assert (made, recorded) == (LEDGER_MADE, RUN_RECORDED)
    assert set(recovered) <= {WRITE_RECOVERED}
    assert_sound(ledger)


@pytest.mark.parametrize(("interrupted", "step"), RECOVERIES, indirect=["interrupted"])
def test_a_recovery_that_is_killed_is_finished_by_the_next_one(
    ledger: Path, sources: Path, interrupted: str, step: str
) -> None:
    killed(worker.make_or_recover, ledger, step)

    again = record_in(ledger, worker.request_of(sources))

    assert (again.record.run, again.already_recorded) == (RUN, interrupted in worker.COMMITTED)
    operations = operations_of(ledger)
    assert operations.count(RUN_RECORDED) == operations.count(LEDGER_MADE) == 1
    # The first recovery is in the trail where it was committed, and the second one where it was
    # not, or where it had to finish the first one's own entry.
    ended = step in worker.DONE
    expected = 1 if ended or step not in worker.COMMITTED else 2
    assert operations.count(WRITE_RECOVERED) == expected
    assert_sound(ledger)


@pytest.mark.parametrize("interrupted", [*worker.UNCOMMITTED, *worker.COMMITTED], indirect=True)
def test_who_verifies_a_ledger_whose_writer_was_killed_finishes_the_write_first(
    ledger: Path, interrupted: str
) -> None:
    assert faults_of(ledger) == []

    assert operations_of(ledger)[-1] == WRITE_RECOVERED
    committed = interrupted in worker.COMMITTED
    assert [record.run for record in Ledger.open(ledger).iterate()] == [RUN] * committed
    assert_sound(ledger)


@pytest.mark.parametrize("interrupted", [*worker.UNCOMMITTED, *worker.COMMITTED], indirect=True)
def test_an_auditor_without_the_key_is_reported_that_a_write_did_not_end_and_changes_nothing(
    ledger: Path, tmp_path: Path, interrupted: str
) -> None:
    (ledger / KEY_FILE).rename(tmp_path / "key")
    before = {
        path: path.read_bytes()
        for path in ledger.rglob("*")
        if path.is_file() and path.name not in {DATABASE, f"{DATABASE}-journal"}
    }

    faults = faults_of(ledger, keys=[_public_key(ledger)])

    assert "unfinished" in [fault.where for fault in faults]
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "key").rename(ledger / KEY_FILE)
    Ledger.create(ledger)
    assert [record.run for record in Ledger.open(ledger).iterate()] == [RUN] * (
        interrupted in worker.COMMITTED
    )
    assert_sound(ledger)


def _public_key(ledger: Path) -> VerifierKey:
    return proofs.public_keys(Ledger.open(ledger)).key


@pytest.mark.parametrize("interrupted", KILLED_BEFORE, indirect=True)
def test_who_replays_a_ledger_whose_writer_was_killed_finishes_the_write_first(
    ledger: Path, interrupted: str
) -> None:
    replayed = replays_of(ledger)

    assert [result.matched for result in replayed] == [True] * (interrupted in worker.COMMITTED)
    assert operations_of(ledger)[-2:] == [WRITE_RECOVERED, "RUNS_REPLAYED"]
    assert_sound(ledger)


@pytest.mark.parametrize("interrupted", KILLED_BEFORE, indirect=True)
def test_nothing_is_recovered_without_the_key_and_it_can_be_done_later(
    ledger: Path, sources: Path, tmp_path: Path, interrupted: str
) -> None:
    (ledger / KEY_FILE).rename(tmp_path / "key")
    before = {path: path.read_bytes() for path in ledger.rglob("*") if path.is_file()}

    with pytest.raises(KeyUnusable, match=r"signing\.key cannot be read"):
        record_in(ledger, worker.request_of(sources))

    assert {path: path.read_bytes() for path in ledger.rglob("*") if path.is_file()} == before
    (tmp_path / "key").rename(ledger / KEY_FILE)
    again = record_in(ledger, worker.request_of(sources))
    assert again.already_recorded == (interrupted in worker.COMMITTED)
    assert_sound(ledger)
