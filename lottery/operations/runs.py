"""What is recorded: shown, explained, replayed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.bundle import opened_bundle
from lottery.audit.explain import PoolWorking, explain_account, explain_pool
from lottery.audit.replay import Engine, Replayed, replay
from lottery.audit.seeds import SeedHistory, seed_history
from lottery.errors import EngineMissing
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord
from lottery.ledger.trail import RUNS_REPLAYED
from lottery.operations.requester import Requester
from lottery.operations.validation import checked_series
from lottery.tlog.keys import VerifierKey


def explain(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> list[PoolWorking]:
    """The working of one pool of a recorded run, or of every pool that an account is in.

    Args:
        ledger: The ledger.
        run: The run's id, or `latest`.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None where the series has one pool only.
        account: Instead of a series: every pool of this account, with this account alone.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool or account, or several pools and none was named.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    read = ledger.reader(record)
    if account is not None:
        return list(explain_account(record, read, account))
    return [explain_pool(record, read, checked_series(series or ""), occ_account)]


def replay_run(ledger: Ledger, run: str, requester: Requester, *, engine: Engine) -> Replayed:
    """Computes a recorded run again and compares every value; the trail says so.

    Raises:
        RunNotFound: There is no such run.
        EngineMissing: The engine is not installed.
    """
    record = ledger.get(run)
    replayed = replay(record, ledger.evidence_of(record), engine=engine)
    outcome = "matches" if replayed.matched else "differs"
    requester.enter(ledger, RUNS_REPLAYED, record.run, f"{outcome} ({engine.value})")
    return replayed


def replay_dates(
    ledger: Ledger,
    requester: Requester,
    *,
    engine: Engine,
    first: dt.date | None = None,
    last: dt.date | None = None,
) -> Iterator[Replayed]:
    """Computes every run between two dates again, both inclusive; without dates, all of them.

    The superseded ones too. The trail has one entry for all of them, also where the caller stops.

    Raises:
        EngineMissing: The engine is not installed.
    """
    count = matched = 0
    is_done = True
    try:
        for record in ledger.iterate(first=first, last=last):
            replayed = replay(record, ledger.evidence_of(record), engine=engine)
            count += 1
            matched += replayed.matched
            yield replayed
    except EngineMissing:
        is_done = False
        raise
    finally:
        span = f"{first or 'the first date'} to {last or 'the last date'}"
        if is_done:
            outcome = f"{matched} of {count} match ({engine.value})"
            requester.enter(ledger, RUNS_REPLAYED, span, outcome)


def replay_bundle(
    path: Path, keys: Sequence[VerifierKey], *, engine: Engine = Engine.COMPILED
) -> Replayed:
    """Computes the run of a bundle again, and verifies that it is in its log; needs no ledger.

    Args:
        path: The bundle.
        keys: The log's public key as it is known from elsewhere; without any the bundle's own word
            is taken for it.
        engine: What computes it.

    Raises:
        Refused: It is no bundle, or not safe to open.
        EngineMissing: The engine is not installed.
    """
    with opened_bundle(path, keys) as bundle:
        replayed = replay(bundle.record, bundle.directory, engine=engine)
        return Replayed(run=replayed.run, mismatches=bundle.mismatches + replayed.mismatches)


def seeds(
    runs: Callable[[dt.date | None, dt.date | None], Iterator[RunRecord]],
    *,
    first: dt.date | None = None,
    last: dt.date | None = None,
) -> SeedHistory:
    """The seed of every standing date between two, both inclusive; without dates, of all.

    Args:
        runs: The records between two dates, of a ledger or a server. The dates before `first` are
            asked for too: a composite that comes again is marked wherever it was before.
        first: The first date to tell of.
        last: The last one.

    Raises:
        LedgerDamaged: Two seeds stand for one date.
    """
    return seed_history(runs(None, last), first=first)


def allocations(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> pa.Table:
    """The recorded allocations of a run, all or those of a pool or an account.

    Returns:
        `tables.ALLOCATIONS`.

    Raises:
        RunNotFound: There is no such run.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    wanted = {
        "series": None if series is None else checked_series(series),
        "occ_account": occ_account,
        "account": account,
    }
    where = None
    for name, value in wanted.items():
        if value is not None:
            match = pc.field(name) == value
            where = match if where is None else where & match
    return ledger.read(record, evidence.ALLOCATIONS_FILE, where)


def pools(ledger: Ledger, run: str) -> pa.Table:
    """The recorded pools of a run, `tables.POOLS`.

    Raises:
        RunNotFound: There is no such run.
    """
    record = ledger.get(run)
    return ledger.read(record, evidence.POOLS_FILE)
