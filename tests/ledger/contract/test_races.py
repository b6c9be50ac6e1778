"""Several at once: of those that contradict each other one is recorded, in every place."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lottery import operations
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POPULATION_DIFFERS,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Conflict,
)
from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import open_ledger
from tests.builders import (
    AAPL,
    META,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    SmallDay,
    notice,
    position,
    request_of_wire,
)
from tests.ledger.contract.places import (
    A,
    Place,
    assert_whole,
    conflict,
    entries_in,
    record,
    requests_in,
    runs_in,
)
from tests.ledger.ledgers import META_ONLY

SPAWNED = multiprocessing.get_context("spawn")


def race(place: Place, requests: Sequence[operations.RunRequest]) -> list[str]:
    """Run requests in threads that meet right before they record; return each one's outcome."""
    meeting = threading.Barrier(len(requests), timeout=60)

    def run(request: operations.RunRequest) -> str:
        steps = 0

        def proceed() -> None:
            nonlocal steps
            steps += 1
            if steps == 2:  # The day is computed, and its evidence is not written yet.
                meeting.wait()

        try:
            outcome = operations.run_lottery(place.opened(), request, proceed=proceed)
        except Conflict as refused:
            return refused.reason
        return "already recorded" if outcome.already_recorded else "recorded"

    with ThreadPoolExecutor(len(requests)) as threads:
        return sorted(threads.map(run, requests))


def asked(day: SmallDay, **given: object) -> operations.RunRequest:
    return request_of_wire(day, as_arrow=False, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rival", "reported"),
    [
        pytest.param(PUBLISHED.shuffled(5), "already recorded", id="the same day"),
        pytest.param(
            replace(META_ONLY, notices=[notice("A1", META, 5)]),
            NOTICE_ALREADY_ALLOCATED,
            id="the same notice",
        ),
        pytest.param(PUBLISHED.renamed("B"), "recorded", id="the same pool"),
        pytest.param(
            replace(
                PUBLISHED,
                notices=[notice("B1", AAPL, 1)],
                positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)],
            ),
            POPULATION_DIFFERS,
            id="another population",
        ),
        pytest.param(replace(META_ONLY, asks=OTHER_ASKS), SEED_CONFLICT, id="another seed"),
        pytest.param(META_ONLY, "recorded", id="another pool"),
    ],
)
def test_of_two_that_contradict_each_other_one_records(
    place: Place, ledger: Ledger, rival: SmallDay, reported: str
) -> None:
    assert race(place, [asked(PUBLISHED), asked(rival)]) == sorted(["recorded", reported])

    assert len(runs_in(ledger)) == (2 if reported == "recorded" else 1)
    assert_whole(ledger)


def test_of_many_with_the_same_notices_one_records(place: Place, ledger: Ledger) -> None:
    days = [
        replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", number)])
        for number in range(1, 9)
    ]

    assert race(place, list(map(asked, days))) == [*[NOTICE_ALREADY_ALLOCATED] * 7, "recorded"]

    assert runs_in(ledger) == [A]
    superseding = [asked(day, supersedes=(A,), reason="again") for day in days]
    assert race(place, superseding) == [*[RUN_SUPERSEDED] * 7, "recorded"]
    assert_whole(ledger)


def test_of_two_contents_with_one_request_id_one_records(place: Place, ledger: Ledger) -> None:
    days = [asked(PUBLISHED, request_id="mine"), asked(META_ONLY, request_id="mine")]

    assert race(place, days) == [REQUEST_ID_REUSED, "recorded"]
    assert len(runs_in(ledger)) == 1


def test_many_request_ids_of_one_content_are_all_answered_with_one_run(
    place: Place, ledger: Ledger
) -> None:
    names = [f"request-{number}" for number in range(8)]

    outcomes = race(place, [asked(PUBLISHED, request_id=name) for name in names])

    assert outcomes == [*["already recorded"] * 7, "recorded"]
    assert requests_in(ledger) == dict.fromkeys(names, A)
    with conflict(REQUEST_ID_REUSED):
        record(ledger, META_ONLY, request_id="request-5")
    assert_whole(ledger)


def test_publishers_do_no_harm_beside_writers(place: Place, ledger: Ledger) -> None:
    done = threading.Event()

    def publish_on() -> None:
        publisher = place.opened()
        while not done.is_set():
            publisher.publish()

    def enter_ten(name: str) -> None:
        writer = place.opened()
        for number in range(10):
            writer.enter("report", f"{name}-{number}", "made", TESTER)

    with ThreadPoolExecutor(4) as threads:
        publishers = [threads.submit(publish_on) for _ in range(2)]
        writers = [threads.submit(enter_ten, name) for name in "ab"]
        try:
            for writer in writers:
                writer.result(timeout=120)
        finally:
            done.set()
        for publisher in publishers:
            publisher.result(timeout=120)

    assert len(entries_in(ledger)) == 21
    assert_whole(ledger)


def write_days(place: Place, days: Sequence[SmallDay], outcomes: object) -> None:
    """Record days in a process of its own, and report how each went."""
    ledger = open_ledger(place.settings)
    for day in days:
        try:
            outcome = "again" if record(ledger, day).already_recorded else "recorded"
        except Conflict as refused:
            outcome = refused.reason
        outcomes.put(outcome)  # type: ignore[attr-defined]


def test_of_two_processes_with_the_same_notices_each_is_recorded_once(
    place: Place, ledger: Ledger
) -> None:
    ours = [
        SmallDay(
            notices=[notice(f"N{number}", series, 1)],
            positions=[position(series, "1", 9), position(series, "2", 9)],
        )
        for number, series in enumerate(f"{AAPL[:15]}{strike:06d}" for strike in range(6))
    ]
    theirs = [replace(day, positions=day.positions[:1]) for day in ours[:3]] + ours[3:]
    outcomes = SPAWNED.Queue()
    writers = [
        SPAWNED.Process(target=write_days, args=(place, days, outcomes)) for days in (ours, theirs)
    ]

    for writer in writers:
        writer.start()
    reported = [outcomes.get(timeout=120) for _ in range(12)]
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert reported.count("recorded") == 6
    assert reported.count(NOTICE_ALREADY_ALLOCATED) == 3
    assert reported.count("again") == 3
    assert len(runs_in(ledger)) == 6
    assert_whole(ledger)
