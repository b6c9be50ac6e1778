"""Approvals and rejections at once: a proposal gets one verdict, in every place."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lottery import operations
from lottery.errors import PROPOSAL_DECIDED, Conflict
from lottery.ledger.four_eyes import REJECTED
from lottery.ledger.run_record import ALLOCATED
from lottery.operations.ledgers import open_ledger
from tests.builders import AAPL, PUBLISHED, position
from tests.ledger.contract.places import (
    APPROVER,
    FOUR_EYES,
    A,
    B,
    Place,
    approve,
    assert_whole,
    conflict,
    entries_in,
    nothing_recorded,
    record,
    reject,
)
from tests.ledger.contract.test_races import SPAWNED, asked, race
from tests.ledger.ledgers import META_ONLY

PEOPLE, PROCESSES = 16, 4


def decide_at_once(
    place: Place, proposed: operations.RecordedRun, people: Sequence[int]
) -> list[str]:
    """Decide in threads that meet before: even people approve, odd ones reject."""
    meeting = threading.Barrier(len(people), timeout=60)

    def decide(number: int) -> str:
        ledger = open_ledger(place.settings)
        by = replace(APPROVER, name=f"approver-{number}")
        meeting.wait()
        try:
            (reject if number % 2 else approve)(ledger, proposed, by=by)
        except Conflict as refused:
            return refused.reason
        finally:
            ledger.close()
        return "rejected" if number % 2 else "approved"

    with ThreadPoolExecutor(len(people)) as threads:
        return list(threads.map(decide, people))


def assert_one_verdict(place: Place, outcomes: Sequence[str]) -> None:
    counts = Counter(outcomes)
    assert counts[PROPOSAL_DECIDED] == PEOPLE - 1
    assert counts["approved"] + counts["rejected"] == 1
    ledger = place.opened()
    state = operations.recorded_run(ledger, A).state
    assert state == (ALLOCATED if counts["approved"] else REJECTED)
    assert len(entries_in(ledger)) == 3
    assert_whole(ledger)


def test_of_many_verdicts_in_threads_one_is_recorded(place: Place) -> None:
    proposed = record(place.init(FOUR_EYES), PUBLISHED)

    assert_one_verdict(place, decide_at_once(place, proposed, range(PEOPLE)))


def decide_in_process(
    place: Place, proposed: operations.RecordedRun, people: Sequence[int], outcomes: object
) -> None:
    """Decide in the threads of a process of its own, and report the outcomes."""
    outcomes.put(decide_at_once(place, proposed, people))  # type: ignore[attr-defined]


def test_of_many_verdicts_in_processes_one_is_recorded(sqlite_place: Place) -> None:
    proposed = record(sqlite_place.init(FOUR_EYES), PUBLISHED)
    outcomes = SPAWNED.Queue()
    share = PEOPLE // PROCESSES
    workers = [
        SPAWNED.Process(
            target=decide_in_process,
            args=(sqlite_place, proposed, range(at, at + share), outcomes),
        )
        for at in range(0, PEOPLE, share)
    ]

    for worker in workers:
        worker.start()
    reported = [outcome for _ in workers for outcome in outcomes.get(timeout=120)]
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    assert_one_verdict(sqlite_place, reported)


def test_of_many_proposals_with_the_same_notices_one_is_recorded(place: Place) -> None:
    ledger = place.init(FOUR_EYES)
    days = [
        replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", number)])
        for number in range(1, 9)
    ]

    outcomes = race(place, [asked(day) for day in days])

    assert outcomes == [*["NOTICE_ALREADY_ALLOCATED"] * 7, "recorded"]
    assert_whole(ledger)


def test_what_is_approved_while_a_run_is_computed_is_judged_under_the_lock(place: Place) -> None:
    ledger = place.init(FOUR_EYES)
    waiting = record(ledger, PUBLISHED)
    steps = iter([None, None])

    def proceed() -> None:
        if next(steps, "done") is None and next(steps, "done") is None:
            approve(place.opened(), waiting)

    late = record(ledger, PUBLISHED.renamed("L"), proceed=proceed)

    assert late.record.rests_on == (A,)
    approve(ledger, late)
    assert operations.standing_day(ledger, PUBLISHED.date).runs == (A, B)
    assert_whole(ledger)


def test_a_verdict_is_found_again_where_its_answer_was_lost(place: Place) -> None:
    ledger = place.init(FOUR_EYES)
    first, second = record(ledger, PUBLISHED), record(ledger, META_ONLY)
    approve(ledger, first)
    reject(ledger, second)

    with nothing_recorded(ledger):
        assert approve(place.opened(), first).already_recorded
        assert reject(place.opened(), second).already_recorded
        with conflict(PROPOSAL_DECIDED, B):
            approve(ledger, second)
    assert_whole(ledger)
