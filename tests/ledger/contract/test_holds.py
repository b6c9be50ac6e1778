"""What holds a run because of what is recorded: in every place alike (H1)."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lottery.errors import Held
from lottery.ledger.commit import Ledger
from lottery.ledger.holds import (
    CYCLE_OUT_OF_ORDER,
    HOLDS,
    NOTICE_ON_ANOTHER_DATE,
    STALE_VOLUMES,
)
from tests.builders import AAPL, ASKS, META, NEXT_DATE, OTHER_ASKS, PUBLISHED, notice, position
from tests.ledger.contract.places import A, B, assert_whole, nothing_recorded, record
from tests.ledger.ledgers import BROKEN, GE_COVERED, META_ONLY
from tests.reference import Row

TOMORROW = replace(PUBLISHED.renamed("T"), date=NEXT_DATE, asks=OTHER_ASKS)
WHY = "checked with the desk"


def held(ledger: Ledger, day: object, **given: object) -> list[str]:
    """Return the codes that hold a day of which nothing is acknowledged; nothing is recorded."""
    with nothing_recorded(ledger), pytest.raises(Held) as caught:
        record(ledger, day, acknowledged={}, **given)  # type: ignore[arg-type]
    return [hold.code for hold in caught.value.holds]


def test_yesterdays_files_hold_until_each_code_is_acknowledged(ledger: Ledger) -> None:
    record(ledger, PUBLISHED, acknowledged={})
    again = replace(PUBLISHED, date=NEXT_DATE)

    assert held(ledger, again) == [STALE_VOLUMES, NOTICE_ON_ANOTHER_DATE]
    with nothing_recorded(ledger), pytest.raises(Held) as caught:
        record(ledger, again, acknowledged={STALE_VOLUMES: WHY})
    assert [hold.code for hold in caught.value.holds] == [NOTICE_ON_ANOTHER_DATE]
    assert "the notice A1" in caught.value.holds[0].message
    assert f"run {A} of 2024-09-16" in caught.value.holds[0].message

    # What does not hold need not be acknowledged, and is not recorded if it is.
    recorded = record(ledger, again, acknowledged=dict.fromkeys(HOLDS, WHY)).record

    assert [(one.code, one.reason) for one in recorded.acknowledgements] == [
        (STALE_VOLUMES, WHY),
        (NOTICE_ON_ANOTHER_DATE, WHY),
    ]
    assert_whole(ledger)


def test_an_earlier_date_is_another_date_too(ledger: Ledger) -> None:
    record(ledger, replace(PUBLISHED, date=NEXT_DATE), acknowledged={})

    assert held(ledger, PUBLISHED) == [STALE_VOLUMES, NOTICE_ON_ANOTHER_DATE]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(notice("A1", AAPL, 9), id="another quantity"),
        pytest.param(notice("A1", "AAPL  240920C00225000", 10), id="another series"),
        pytest.param(notice("A2", AAPL, 10), id="another id"),
    ],
)
def test_another_notice_on_another_date_holds_nothing(ledger: Ledger, other: Row) -> None:
    record(ledger, PUBLISHED, acknowledged={})
    positions = [*PUBLISHED.positions, position("AAPL  240920C00225000", "7", 10)]
    day = replace(TOMORROW, notices=[other], positions=positions)

    assert record(ledger, day, acknowledged={}).record.acknowledgements == ()


def test_what_stands_no_more_or_was_a_break_holds_nothing(ledger: Ledger) -> None:
    record(
        ledger, replace(BROKEN, notices=BROKEN.notices[:1]), acknowledged=dict.fromkeys(HOLDS, WHY)
    )
    tomorrow = replace(GE_COVERED, date=NEXT_DATE, asks=OTHER_ASKS)
    first = record(ledger, tomorrow, acknowledged={}).record
    assert first.acknowledgements == ()

    after = replace(tomorrow, date=NEXT_DATE + dt.timedelta(days=1), asks=ASKS)
    record(
        ledger,
        replace(META_ONLY, date=NEXT_DATE, asks=OTHER_ASKS),
        supersedes=[first.run],
        reason="the notices were another firm's",
        acknowledged={},
    )
    # The composite is that of the first date, which stands; the notice stands nowhere.
    assert held(ledger, after) == [STALE_VOLUMES]


def test_cycles_come_in_their_order(ledger: Ledger) -> None:
    assert held(ledger, PUBLISHED, cycle=2) == [CYCLE_OUT_OF_ORDER]
    record(ledger, PUBLISHED, cycle=1, acknowledged={})
    assert held(ledger, META_ONLY, cycle=3) == [CYCLE_OUT_OF_ORDER]
    record(ledger, META_ONLY, cycle=2, acknowledged={})
    assert held(ledger, GE_COVERED, cycle=1) == [CYCLE_OUT_OF_ORDER]
    record(ledger, GE_COVERED, cycle=2, acknowledged={})

    # A correction keeps the cycle of what it supersedes.
    corrected = replace(META_ONLY, positions=[*META_ONLY.positions, position(AAPL, "9", 1)])
    recorded = record(
        ledger,
        replace(corrected, notices=[notice("N9", META, 4)]),
        cycle=2,
        supersedes=["2024-09-16-002", "2024-09-16-003"],
        reason="the positions were yesterday's",
        acknowledged={},
    )
    assert recorded.record.acknowledgements == ()
    first = replace(PUBLISHED, notices=[notice("A9", AAPL, 9)])
    recorded = record(
        ledger, first, cycle=1, supersedes=[A], reason="another notice", acknowledged={}
    )
    assert recorded.record.acknowledgements == ()


def test_what_is_recorded_meanwhile_holds_a_run_under_the_lock(ledger: Ledger) -> None:
    steps = iter([None, None])

    def proceed() -> None:
        if next(steps, "done") is None and next(steps, "done") is None:
            record(ledger, replace(PUBLISHED, date=NEXT_DATE), acknowledged={})

    with pytest.raises(Held) as caught:
        record(ledger, PUBLISHED, acknowledged={}, proceed=proceed)

    assert [hold.code for hold in caught.value.holds] == [STALE_VOLUMES, NOTICE_ON_ANOTHER_DATE]
    assert [one.run for one in ledger.iterate()] == ["2024-09-17-001"]


def test_a_known_request_is_answered_without_being_held(ledger: Ledger) -> None:
    record(ledger, replace(PUBLISHED, date=NEXT_DATE), acknowledged={})
    first = record(ledger, PUBLISHED, acknowledged=dict.fromkeys(HOLDS, WHY))

    again = record(ledger, PUBLISHED, acknowledged={})

    assert (again.already_recorded, again.record) == (True, first.record)


def test_a_rehearsal_says_what_a_run_would_and_records_nothing(ledger: Ledger) -> None:
    with nothing_recorded(ledger):
        rehearsed = record(ledger, PUBLISHED, acknowledged={}, dry_run=True)
    recorded = record(ledger, PUBLISHED, acknowledged={})

    assert (rehearsed.is_rehearsed, recorded.is_rehearsed) == (True, False)
    same = replace(recorded.record, evidence=(), recorded_at=rehearsed.record.recorded_at)
    assert rehearsed.record == same
    again = record(ledger, PUBLISHED, acknowledged={}, dry_run=True)
    assert (again.already_recorded, again.is_rehearsed) == (True, False)
    with nothing_recorded(ledger), pytest.raises(Held):
        record(ledger, replace(PUBLISHED, date=NEXT_DATE), acknowledged={}, dry_run=True)
    assert B not in [one.run for one in ledger.iterate()]
