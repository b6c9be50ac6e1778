"""Two at once: of two that contradict each other one is recorded, and the other is reported so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POOL_ALREADY_ALLOCATED,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Conflict,
)
from lottery.ledger.commit import Ledger
from tests.builders import (
    AAPL,
    META,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    assert_sound,
    notice,
    position,
    record_in,
    request_of,
    write_files,
)
from tests.faults.test_killed import reported_in, start

META_ONLY = SmallDay(notices=[notice("B1", META, 5)], positions=[position(META, "1", 9)])


def race(ledger: Path, requests: Sequence[operations.RunRequest]) -> list[str]:
    """Run requests in threads that meet right before they record; return each one's outcome."""
    meeting = threading.Barrier(len(requests), timeout=60)

    def run(request: operations.RunRequest) -> str:
        steps = 0

        def proceed() -> None:
            nonlocal steps
            steps += 1
            if steps == 2:  # The ledger is open, and nothing is looked up in it yet.
                meeting.wait()

        try:
            outcome = operations.run_lottery(
                lambda: Ledger.create(ledger), request, proceed=proceed
            )
        except Conflict as conflict:
            return conflict.reason
        return "already recorded" if outcome.already_recorded else "recorded"

    with ThreadPoolExecutor(len(requests)) as threads:
        return sorted(threads.map(run, requests))


Rival = Callable[[Path], operations.RunRequest]


@pytest.mark.parametrize(
    ("rival", "reported"),
    [
        pytest.param(PUBLISHED, "already recorded", id="the same day"),
        pytest.param(PUBLISHED.shuffled(5), "already recorded", id="the same day shuffled"),
        pytest.param(
            replace(META_ONLY, notices=[notice("A1", META, 5)]),
            NOTICE_ALREADY_ALLOCATED,
            id="the same notice",
        ),
        pytest.param(PUBLISHED.renamed("B"), POOL_ALREADY_ALLOCATED, id="the same pool"),
        pytest.param(replace(META_ONLY, asks=OTHER_ASKS), SEED_CONFLICT, id="another seed"),
        pytest.param(META_ONLY, "recorded", id="another pool"),
    ],
)
def test_of_two_threads_that_contradict_each_other_one_records(
    tmp_path: Path, rival: SmallDay, reported: str
) -> None:
    for again in range(5):
        folder = tmp_path / str(again)
        requests = [request_of(PUBLISHED, folder / "a"), request_of(rival, folder / "b")]

        assert race(folder / "ledger", requests) == sorted(["recorded", reported])

        records = list(Ledger.open(folder / "ledger").iterate())
        assert len(records) == (2 if reported == "recorded" else 1)
        assert_sound(folder / "ledger")
        assert list((folder / "ledger/staging").iterdir()) == []


def test_a_day_that_another_one_has_recorded_meanwhile_is_found(tmp_path: Path) -> None:
    ledger, steps = tmp_path / "ledger", 0
    request = request_of(PUBLISHED, tmp_path / "a")

    def proceed() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:  # The ledger was asked for this day, and did not know it.
            record_in(ledger, request_of(PUBLISHED.shuffled(5), tmp_path / "b"))

    outcome = operations.run_lottery(lambda: Ledger.create(ledger), request, proceed=proceed)

    assert (outcome.already_recorded, steps) == (True, 2)
    assert [record.run for record in Ledger.open(ledger).iterate()] == [outcome.record.run]
    assert_sound(ledger)


def test_of_sixteen_that_record_the_same_notices_one_wins_and_the_others_are_reported_so(
    tmp_path: Path,
) -> None:
    requests = [
        request_of(
            replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", number)]),
            tmp_path / str(number),
        )
        for number in range(1, 17)
    ]

    reported = race(tmp_path / "ledger", requests)

    assert reported == [*[NOTICE_ALREADY_ALLOCATED] * 15, "recorded"]
    assert [record.run for record in Ledger.open(tmp_path / "ledger").iterate()] == [
        "2024-09-16-001"
    ]
    assert list((tmp_path / "ledger/staging").iterdir()) == []
    assert_sound(tmp_path / "ledger")


def test_of_sixteen_that_supersede_the_same_run_one_does(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    record_in(ledger, request_of(PUBLISHED, tmp_path / "first"))
    requests = [
        request_of(
            replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", number)]),
            tmp_path / str(number),
            supersedes=["2024-09-16-001"],
            reason="an account was missing",
        )
        for number in range(1, 17)
    ]

    reported = race(ledger, requests)

    assert reported == [*[RUN_SUPERSEDED] * 15, "recorded"]
    assert Ledger.open(ledger).superseded_by("2024-09-16-001") == "2024-09-16-002"
    assert_sound(ledger)


def test_of_two_contents_with_one_request_id_one_records(tmp_path: Path) -> None:
    requests = [
        request_of(PUBLISHED, tmp_path / "a", request_id="mine"),
        request_of(META_ONLY, tmp_path / "b", request_id="mine"),
    ]

    assert race(tmp_path / "ledger", requests) == [REQUEST_ID_REUSED, "recorded"]


def test_many_threads_with_a_pool_each_are_all_recorded(tmp_path: Path) -> None:
    requests = [
        request_of(
            SmallDay(
                notices=[notice(f"N{number}", series, 1)], positions=[position(series, "1", 1)]
            ),
            tmp_path / str(number),
        )
        for number, series in enumerate(f"{AAPL[:15]}{strike:06d}" for strike in range(8))
    ]

    assert race(tmp_path / "ledger", requests) == ["recorded"] * 8
    assert [record.run for record in Ledger.open(tmp_path / "ledger").iterate()] == [
        f"2024-09-16-{number:03d}" for number in range(1, 9)
    ]


def test_of_two_processes_with_the_same_days_one_records_each(tmp_path: Path) -> None:
    write_files(PUBLISHED, tmp_path / "in")
    dates = [f"2024-09-{day}" for day in range(10, 22)]
    reported = [tmp_path / "reported-a", tmp_path / "reported-b"]

    writers = [start(tmp_path / "ledger", tmp_path / "in", dates, path) for path in reported]
    for writer in writers:
        writer.join(120)

    assert [writer.exitcode for writer in writers] == [0, 0]
    ours, theirs = (reported_in(path) for path in reported)
    assert [line[:2] for line in ours] == [line[:2] for line in theirs]
    assert all(a[2] != b[2] for a, b in zip(ours, theirs, strict=True))
    assert [record.run for record in Ledger.open(tmp_path / "ledger").iterate()] == [
        f"{date}-001" for date in dates
    ]


def test_of_two_processes_with_other_positions_for_the_same_notices_one_is_refused(
    tmp_path: Path,
) -> None:
    write_files(PUBLISHED, tmp_path / "a")
    write_files(replace(PUBLISHED, positions=PUBLISHED.positions[:2]), tmp_path / "b")
    dates = [f"2024-09-{day}" for day in range(10, 22)]
    reported = [tmp_path / "reported-a", tmp_path / "reported-b"]

    writers = [
        start(tmp_path / "ledger", tmp_path / name, dates, path)
        for name, path in zip("ab", reported, strict=True)
    ]
    for writer in writers:
        writer.join(120)

    ours, theirs = (reported_in(path) for path in reported)
    for a, b in zip(ours, theirs, strict=True):
        assert {a[1], b[1]} == {f"{a[0]}-001", NOTICE_ALREADY_ALLOCATED}
