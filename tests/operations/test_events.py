"""What became of a run, as an event: which one, what it says, and what it must not say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.errors import Conflict, Held, LedgerBusy, OutputUnwritable, Refused
from lottery.ledger.commit import Ledger
from lottery.operations.events import BREAKS_LISTED, Announcing, Asked, Event
from lottery.operations.ledgers import CharterTerms, init_ledger
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    GE,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    SmallDay,
    made,
    notice,
    position,
    request_of,
    settings_of,
)

ASKED = Asked(business_date=DATE, cycle=1)
RUN = "2024-09-16-001"
ACCOUNT = "83920174650192"
"""Long enough to be found wherever it slips in."""
DAY = SmallDay(
    notices=[notice(ACCOUNT, AAPL, 10, "C"), notice("A2", GE, 7, "C")],
    positions=[position(AAPL, ACCOUNT, 30, "C"), position(GE, ACCOUNT + "7", 5, "C")],
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return made(tmp_path / "ledger")


def event_of(
    ledger: Ledger, day: SmallDay, folder: Path, *, dry_run: bool = False, **given: Any
) -> Event:
    """Run a day as a door does, and return the event of it."""
    (event,) = events_of(ledger, day, folder, ASKED, dry_run=dry_run, **given)
    return event


def events_of(
    ledger: Ledger, day: SmallDay, folder: Path, asked: Asked, *, dry_run: bool, **given: Any
) -> list[Event]:
    events: list[Event] = []
    with suppress(Held, Conflict, Refused), Announcing(asked, events.append) as announcing:
        request = request_of(day, folder, **given)
        announcing.read(request, lambda: ledger.origin)
        announcing.recorded(operations.run_lottery(ledger, request, dry_run=dry_run))
    return events


def events_before(error: BaseException, **given: Any) -> list[Event]:
    """Return the events of a request that ends with an error before it is read."""
    events: list[Event] = []
    with pytest.raises(type(error)), Announcing(ASKED, events.append, **given):
        raise error
    return events


def said_by(event: Event) -> Any:
    return json.loads(event.body())


def test_a_run_that_stands_is_recorded(ledger: Ledger, tmp_path: Path) -> None:
    event = event_of(ledger, PUBLISHED, tmp_path)

    record = ledger.get(RUN)
    assert said_by(event) == {
        "type": "run.recorded",
        "timestamp": record.recorded_at,
        "data": {
            "ledger": ledger.origin,
            "business_date": "2024-09-16",
            "cycle": 1,
            "run": RUN,
            "request_id": record.request_id,
            "reason": None,
            "held": [],
            "problem_count": 0,
            "break_count": 0,
            "breaks": [],
        },
    }


def test_a_run_with_breaks_is_broken(ledger: Ledger, tmp_path: Path) -> None:
    said = said_by(event_of(ledger, FULL, tmp_path))

    assert (said["type"], said["data"]["run"], said["data"]["break_count"]) == (
        "run.broken",
        RUN,
        1,
    )
    assert said["data"]["breaks"] == [
        {"series": GE, "reason": "EXCEEDS_SHORT", "assigned_quantity": 25, "total_short": 22}
    ]


def test_of_many_breaks_the_first_are_listed_and_all_are_counted(
    ledger: Ledger, tmp_path: Path
) -> None:
    count = BREAKS_LISTED + 1
    notices = [notice(f"N{each}", f"ABC   240920C{each:08d}", 1) for each in range(1, count + 1)]
    day = SmallDay(notices=notices, positions=[position(AAPL, "1", 1)])

    data = said_by(event_of(ledger, day, tmp_path))["data"]

    assert (data["break_count"], len(data["breaks"])) == (count, BREAKS_LISTED)


def test_a_run_that_is_held_has_the_codes(ledger: Ledger, tmp_path: Path) -> None:
    day = replace(PUBLISHED, date=DATE.replace(day=21))

    said = said_by(event_of(ledger, day, tmp_path, acknowledged={}))

    assert (said["type"], said["data"]["reason"], said["data"]["run"]) == ("run.held", "HELD", None)
    assert said["data"]["held"] == ["SERIES_EXPIRED", "NOT_A_TRADING_DAY"]


def test_a_run_in_conflict_names_the_run_that_it_contradicts(
    ledger: Ledger, tmp_path: Path
) -> None:
    event_of(ledger, PUBLISHED, tmp_path)

    said = said_by(event_of(ledger, replace(PUBLISHED, asks=OTHER_ASKS), tmp_path))

    assert (said["type"], said["data"]["run"]) == ("run.conflicted", RUN)
    assert said["data"]["reason"] == "SEED_CONFLICT"


def test_a_refused_run_has_failed_with_so_many_problems(ledger: Ledger, tmp_path: Path) -> None:
    wrong = replace(PUBLISHED, notices=[notice("A1", AAPL, "x"), notice("A1", "Q", 1)])

    said = said_by(event_of(ledger, wrong, tmp_path))

    assert (said["type"], said["data"]["reason"]) == ("run.failed", "INVALID_INPUT")
    assert said["data"]["problem_count"] == 3


def test_a_run_under_four_eyes_is_proposed(tmp_path: Path) -> None:
    terms = CharterTerms(decisions={}, four_eyes=True)
    ledger = init_ledger(settings_of(tmp_path / "ledger"), terms, TESTER)

    said = said_by(event_of(ledger, FULL, tmp_path))

    assert (said["type"], said["data"]["run"]) == ("run.proposed", RUN)
    assert said["data"]["break_count"] == 1


@pytest.mark.parametrize(
    ("error", "reason"), [(LedgerBusy("busy"), "LEDGER_BUSY"), (ValueError("a fault"), "INTERNAL")]
)
def test_what_fails_before_anything_is_read_has_date_and_cycle(
    error: Exception, reason: str
) -> None:
    (event,) = events_before(error)

    data = said_by(event)["data"]
    assert event.said.type == "run.failed"
    assert (data["business_date"], data["cycle"], data["ledger"]) == ("2024-09-16", 1, None)
    assert data["reason"] == reason


def test_a_door_has_reasons_of_its_own() -> None:
    (event,) = events_before(ValueError("a fault"), reason_of=lambda _: "WRONG_USAGE")

    assert event.said.data.reason == "WRONG_USAGE"


def test_what_fails_once_the_run_is_recorded_names_the_run(ledger: Ledger, tmp_path: Path) -> None:
    events: list[Event] = []
    request = request_of(FULL, tmp_path)
    with suppress(OutputUnwritable), Announcing(ASKED, events.append) as announcing:
        announcing.read(request, lambda: ledger.origin)
        announcing.recorded(operations.run_lottery(ledger, request))
        raise OutputUnwritable("the disk is full")

    (event,) = events
    data = event.said.data
    assert (event.said.type, data.run, data.reason) == ("run.failed", RUN, "OUTPUT_UNWRITABLE")
    assert data.break_count == 1


def test_nobody_is_called_for_a_command_that_somebody_interrupts() -> None:
    assert events_before(KeyboardInterrupt()) == []


def test_nobody_is_called_for_a_rehearsal(ledger: Ledger, tmp_path: Path) -> None:
    rehearsal = replace(ASKED, is_rehearsal=True)
    held = replace(PUBLISHED, date=DATE.replace(day=21))

    assert events_of(ledger, FULL, tmp_path, rehearsal, dry_run=True) == []
    assert events_of(ledger, held, tmp_path, rehearsal, dry_run=True, acknowledged={}) == []


def test_the_same_command_again_has_the_same_id(ledger: Ledger, tmp_path: Path) -> None:
    held = replace(PUBLISHED, date=DATE.replace(day=21))
    commands: list[tuple[SmallDay, dict[str, Any]]] = [
        (FULL, {}),
        (replace(FULL, asks=OTHER_ASKS), {}),
        (held, {"acknowledged": {}}),
        (replace(PUBLISHED, notices=[notice("A1", AAPL, "x")]), {}),
    ]
    first = [event_of(ledger, day, tmp_path, **given).id for day, given in commands]
    again = [event_of(ledger, day, tmp_path, **given).id for day, given in commands]

    assert first == again
    assert len({*first}) == len(commands)
    assert all("." not in each for each in first)


def test_other_files_and_other_ledgers_have_other_ids(ledger: Ledger, tmp_path: Path) -> None:
    held = replace(PUBLISHED, date=DATE.replace(day=21))
    other = made(tmp_path / "other")

    ids = [
        event_of(ledger, held, tmp_path, acknowledged={}).id,
        event_of(other, held, tmp_path, acknowledged={}).id,
        event_of(ledger, held.renamed("B"), tmp_path, acknowledged={}).id,
        event_of(ledger, PUBLISHED, tmp_path).id,
        event_of(other, PUBLISHED, tmp_path).id,
    ]

    assert len({*ids}) == len(ids)


def test_a_request_id_that_a_caller_wrote_freely_is_not_said(
    ledger: Ledger, tmp_path: Path
) -> None:
    uuid = "7f9c24e8-3b12-4fef-91e0-3f1a3a9a3f5c"
    plain = event_of(ledger, PUBLISHED, tmp_path, request_id=uuid)
    free = event_of(ledger, PUBLISHED.later(), tmp_path, request_id=ACCOUNT)

    assert plain.said.data.request_id == uuid
    assert str(free.said.data.request_id).startswith("sha256:")


def test_no_event_names_an_account_or_what_a_file_says(ledger: Ledger, tmp_path: Path) -> None:
    late = [notice("B1", AAPL, 1, "C")]
    other_population = [position(AAPL, ACCOUNT, 31, "C")]
    doubled = [*DAY.positions, position(AAPL, ACCOUNT, 30, "C")]
    days: list[tuple[SmallDay, dict[str, Any]]] = [
        (replace(DAY, positions=doubled), {}),
        (replace(DAY, date=DATE.replace(day=21)), {"acknowledged": {}}),
        (DAY, {"request_id": ACCOUNT}),
        (DAY, {}),
        (replace(DAY, asks=OTHER_ASKS), {}),
        (replace(DAY, notices=late, positions=other_population), {"cycle": 2}),
        (replace(PUBLISHED, date=DATE.replace(day=23)), {"supersedes": [ACCOUNT], "reason": "x"}),
    ]
    events = [event_of(ledger, day, tmp_path, **given) for day, given in days]

    assert [event.said.type for event in events] == [
        *("run.failed", "run.held", "run.broken", "run.broken"),
        *("run.conflicted", "run.conflicted", "run.failed"),
    ]
    for event in events:
        assert ACCOUNT not in event.body().decode()
        assert str(tmp_path) not in event.body().decode()
