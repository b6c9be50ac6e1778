"""A date without notices, and notices that OCC takes back (N1), in every place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import (
    RUN_HAS_DEPENDENTS,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    LedgerDamaged,
    Refused,
    RunNotFound,
)
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import NOTHING_ASSIGNED, WITHDRAWN
from lottery.method.methodology import JPMS_2024_09_06
from lottery.operations.ledgers import CharterTerms
from tests.builders import AAPL, OTHER_ASKS, PUBLISHED, REQUESTER, TESTER, SmallDay, notice
from tests.ledger.contract.places import (
    A,
    B,
    Place,
    assert_whole,
    conflict,
    nothing_recorded,
    record,
    runs_in,
)
from tests.ledger.ledgers import META_ONLY

NOTHING = SmallDay(notices=[], positions=PUBLISHED.positions)
WHY = "OCC took the notices back at 23:10"


def withdraw(ledger: Ledger, run: str, reason: str = WHY) -> operations.RecordedRun:
    return operations.withdraw_run(ledger, run, reason=reason, by=TESTER)


def test_a_date_without_notices_is_recorded_as_such(ledger: Ledger) -> None:
    recorded = record(ledger, NOTHING)
    again = record(ledger, NOTHING)

    assert recorded.record.state == NOTHING_ASSIGNED
    assert (recorded.record.notice_count, recorded.record.pool_count) == (0, 0)
    assert recorded.record.seed.fraction == "0.4314"
    assert (again.already_recorded, runs_in(ledger)) == (True, [A])
    assert_whole(ledger)

    # Notices that come late after all are drawn; the date's seed is what it was.
    with conflict(SEED_CONFLICT):
        record(ledger, replace(PUBLISHED, asks=OTHER_ASKS), cycle=2)
    assert record(ledger, PUBLISHED, cycle=2).record.run == B


def test_a_run_is_withdrawn_by_one_without_notices(ledger: Ledger) -> None:
    first = record(ledger, PUBLISHED, cycle=1).record

    withdrawn = withdraw(ledger, A)
    again = withdraw(ledger, A)

    taken_back = withdrawn.record
    assert (taken_back.run, taken_back.state, taken_back.supersedes) == (B, WITHDRAWN, (A,))
    assert (taken_back.reason, taken_back.cycle) == (WHY, 1)
    assert taken_back.seed == first.seed
    assert (taken_back.notice_count, taken_back.allocated_quantity) == (0, 0)
    assert taken_back.requested_by == TESTER
    assert (again.record, again.already_recorded) == (taken_back, True)
    assert ledger.described(ledger.get(A)).superseded_by == B
    assert ledger.get(A) == first
    with pytest.raises(LedgerDamaged, match="expected one source volume of run"):
        evidence.read_source(ledger.ports.objects, first, "volume")
    assert_whole(ledger)

    # The notice may come again, and the date keeps its seed.
    with conflict(SEED_CONFLICT, B):
        record(ledger, replace(PUBLISHED, asks=OTHER_ASKS), cycle=1)
    # The old command does not bring back what was withdrawn.
    with conflict(RUN_SUPERSEDED, B):
        record(ledger, PUBLISHED)
    other = replace(PUBLISHED, notices=[notice("A1", AAPL, 11)])
    assert record(ledger, other).record.run == "2024-09-16-003"


def test_a_withdrawal_replays_and_is_judged_like_any_run(ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    withdraw(ledger, "latest")

    assert_whole(ledger)
    replayed = list(
        operations.replay_dates(ledger, operations.Requester(by=TESTER), engine=Engine.COMPILED)
    )
    assert [one.matched for one in replayed] == [True, True]


def test_a_withdrawal_has_no_positions_to_keep(place: Place) -> None:
    kept = JPMS_2024_09_06.deciding({"positions_source": "kept"})
    ledger = place.init(CharterTerms(decisions=kept.decisions()))
    record(ledger, PUBLISHED, methodology=kept)

    withdraw(ledger, A)

    assert_whole(ledger)
    replayed = list(operations.replay_dates(ledger, REQUESTER, engine=Engine.COMPILED))
    assert [one.mismatches for one in replayed] == [(), ()]


def test_what_cannot_be_withdrawn_is_refused(ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    record(ledger, PUBLISHED.renamed("L"), cycle=2)

    with nothing_recorded(ledger):
        with conflict(RUN_HAS_DEPENDENTS, B):
            withdraw(ledger, A)
        with pytest.raises(RunNotFound):
            withdraw(ledger, "2024-09-16-009")
        for reason in ("", " ", "two\nlines"):
            with pytest.raises(Refused, match="reason"):
                withdraw(ledger, B, reason)
    # The later one first: then nothing rests on the other.
    withdraw(ledger, B)
    withdraw(ledger, A)
    with nothing_recorded(ledger):
        with pytest.raises(Refused, match="has none to take back"):
            withdraw(ledger, "latest")
        with conflict(RUN_SUPERSEDED, "2024-09-16-004"):
            withdraw(ledger, A, "another reason")
    assert_whole(ledger)


def test_withdrawing_one_run_leaves_the_others_of_its_date(ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    record(ledger, META_ONLY, cycle=2)

    # Of a cycle below the highest: what takes back holds nothing.
    assert withdraw(ledger, A).record.acknowledgements == ()
    assert ledger.described(ledger.get(B)).superseded_by is None
