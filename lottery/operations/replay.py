"""Recorded runs, computed again from their evidence and compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lottery.audit.bundle_reader import opened_bundle
from lottery.audit.replay import Engine, Mismatch, Replayed, replay
from lottery.errors import EngineMissing
from lottery.intake.memory import UNLIMITED, DayMemory, MemoryLimit, naming
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import REPLAY
from lottery.ledger.run_record import RunRecord
from lottery.operations.requester import Requester
from lottery.tlog.keys import VerifierKey

__all__ = ["Engine", "Mismatch", "Replayed", "replay_bundle", "replay_dates", "replay_run"]


def replay_run(
    ledger: Ledger,
    run: str,
    requester: Requester,
    *,
    engine: Engine,
    memory: DayMemory = UNLIMITED.day,
) -> Replayed:
    """Replay one run and enter the outcome in the log.

    Raises:
        RunNotFound: There is no such run.
        EngineMissing: The engine is not installed.
        LimitExceeded: What is kept of it needs more memory.
    """
    record = ledger.get(run)
    replayed = _replay(ledger, record, engine, memory)
    outcome = "matches" if replayed.matched else "differs"
    requester.enter(ledger, REPLAY, record.run, f"{outcome} ({engine.value})")
    return replayed


def replay_dates(
    ledger: Ledger,
    requester: Requester,
    *,
    engine: Engine,
    first: dt.date | None = None,
    last: dt.date | None = None,
    memory: DayMemory = UNLIMITED.day,
) -> Iterator[Replayed]:
    """Replay every run between two dates, both inclusive, superseded runs included.

    The log gets one entry for all of them, also if the caller stops early.

    Args:
        ledger: The ledger.
        requester: Who asks.
        engine: What computes.
        first: The first date; None for the first one recorded.
        last: The last date; None for the last one recorded.
        memory: What each run may take.

    Raises:
        EngineMissing: The engine is not installed.
        LimitExceeded: What is kept of a run needs more memory.
    """
    count = matched = 0
    is_installed = True
    try:
        for record in ledger.iterate(first=first, last=last):
            replayed = _replay(ledger, record, engine, memory)
            count += 1
            matched += replayed.matched
            yield replayed
    except EngineMissing:
        is_installed = False
        raise
    finally:
        if is_installed:
            dates = f"{first or 'the first date'} to {last or 'the last date'}"
            outcome = f"{matched} of {count} match ({engine.value})"
            requester.enter(ledger, REPLAY, dates, outcome)


def replay_bundle(
    path: Path,
    keys: Sequence[VerifierKey],
    *,
    engine: Engine = Engine.COMPILED,
    memory: MemoryLimit = UNLIMITED,
) -> Replayed:
    """Replay the run of a bundle and verify that it is in its log; needs no ledger.

    Args:
        path: The bundle.
        keys: The log's public key as known from elsewhere; without any, the bundle's own is used.
        engine: What computes.
        memory: What the day may take.

    Raises:
        Refused: The file is not a bundle, or is not safe to open.
        EngineMissing: The engine is not installed.
        LimitExceeded: What is in it needs more memory.
    """
    with opened_bundle(path, keys) as bundle:
        with naming(path.name):
            replayed = replay(
                bundle.record, bundle.directory, engine=engine, reads_changed=False, memory=memory
            )
        return replace(
            replayed,
            mismatches=bundle.mismatches + replayed.mismatches,
            approval=bundle.approval,
        )


def _replay(ledger: Ledger, record: RunRecord, engine: Engine, memory: DayMemory) -> Replayed:
    with (
        ledger.evidence_of(record) as directory,
        memory() as limit,
        naming(f"run {record.run}"),
    ):
        return replay(record, directory, engine=engine, memory=limit)
