"""What holds a run by itself: its date, its series, its files, its breaks, OCC's figures (H1)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import Conflict, Held, Hold, Refused
from lottery.ledger import holds, warning_codes
from lottery.operations.ledgers import CharterTerms, init_ledger
from tests.builders import (
    AAPL,
    ASKS,
    GE,
    PUBLISHED,
    TESTER,
    SmallDay,
    notice,
    position,
    request_of,
    settings_of,
)
from tests.ledger.test_occ_positions import occ

NOON = dt.datetime(2026, 11, 20, 17, tzinfo=dt.UTC)
"""12:00 in New York."""
WHY = "checked with the desk"

Ask = Callable[..., tuple[Hold, ...]]
"""Returns what holds a day, in a ledger of its own at a time; the arguments are a request's."""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def holds_of(
        day: SmallDay,
        *,
        now: dt.datetime = NOON,
        terms: CharterTerms | None = None,
        **given: object,
    ) -> tuple[Hold, ...]:
        ledger = init_ledger(
            settings_of(tmp_path / "ledger"), terms or CharterTerms(decisions={}), TESTER
        )
        ledger.ports = replace(ledger.ports, clock=lambda: now)
        request = replace(
            request_of(day, tmp_path / "in", acknowledged={}),
            **given,  # type: ignore[arg-type]
        )
        try:
            operations.run_lottery(ledger, request, dry_run=True)
        except Held as held:
            return held.holds
        return ()

    return holds_of


def codes(found: tuple[Hold, ...]) -> list[str]:
    return [hold.code for hold in found]


def on(date: str, day: SmallDay = PUBLISHED) -> SmallDay:
    """Return a day on another date, with series that expire on it."""
    moved = dt.date.fromisoformat(date)
    series = f"AAPL  {moved:%y%m%d}C00220000"
    return replace(
        day,
        date=moved,
        notices=[{**row, "series": series} for row in day.notices],
        positions=[{**row, "series": series} for row in day.positions],
    )


def test_nothing_holds_the_published_day(ask: Ask) -> None:
    assert ask(PUBLISHED) == ()


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("2024-09-21", "it is a Saturday"),
        ("2024-09-22", "it is a Sunday"),
        ("2024-11-28", "Thanksgiving"),
        ("2024-12-25", "Christmas"),
        ("2025-01-09", "Carter"),
        ("2025-04-18", "Good Friday"),
        ("2026-07-03", "Independence Day"),
    ],
)
def test_a_date_on_which_the_exchanges_are_closed_holds(ask: Ask, date: str, said: str) -> None:
    (hold,) = ask(on(date))

    assert hold.code == holds.NOT_A_TRADING_DAY
    assert hold.message.startswith(f"{date} is not a trading day: ")
    assert said in hold.message


def test_the_charter_overrules_the_calendar(ask: Ask) -> None:
    terms = CharterTerms(
        decisions={},
        closed_dates=(dt.date(2024, 9, 16),),
        trading_dates=(dt.date(2024, 11, 28), dt.date(2024, 9, 21)),
    )

    assert codes(ask(PUBLISHED, terms=terms)) == [holds.NOT_A_TRADING_DAY]
    assert ask(on("2024-11-28"), terms=terms) == ()
    assert ask(on("2024-09-21"), terms=terms) == ()


@pytest.mark.parametrize(
    ("now", "found"),
    [
        # Midnight in New York is at 4 or 5 o'clock UTC, in summer and in winter.
        ("2024-09-16T03:59:59+00:00", [holds.FUTURE_DATE]),
        ("2024-09-16T04:00:00+00:00", []),
    ],
)
def test_a_date_after_today_in_new_york_holds(ask: Ask, now: str, found: list[str]) -> None:
    assert codes(ask(PUBLISHED, now=dt.datetime.fromisoformat(now))) == found


def test_a_year_that_is_far_off_holds_and_its_series_may_have_expired(ask: Ask) -> None:
    day = replace(PUBLISHED, date=dt.date(2034, 9, 18))

    assert codes(ask(day)) == [holds.SERIES_EXPIRED, holds.FUTURE_DATE]


def test_a_series_that_expired_before_the_date_holds(ask: Ask) -> None:
    assert ask(replace(PUBLISHED, date=dt.date(2024, 9, 20))) == ()
    (hold,) = ask(replace(PUBLISHED, date=dt.date(2024, 9, 23)))

    assert (hold.code, AAPL in hold.message) == (holds.SERIES_EXPIRED, True)


def test_a_file_that_may_be_cut_off_holds(ask: Ask) -> None:
    (hold,) = ask(PUBLISHED, may_be_cut_off=("notices.csv",))

    assert hold.code == holds.MAY_BE_CUT_OFF
    assert "notices.csv" in hold.message


@pytest.mark.parametrize(("broken", "found"), [(10, []), (11, [holds.MOSTLY_BREAKS])])
def test_more_than_half_of_the_contracts_in_breaks_hold(
    ask: Ask, broken: int, found: list[str]
) -> None:
    day = replace(PUBLISHED, notices=[notice("A1", AAPL, 10), notice("G1", GE, broken)])

    assert codes(ask(day)) == found


def test_a_day_of_breaks_alone_holds(ask: Ask) -> None:
    day = SmallDay(notices=[notice("G1", GE, 25)], positions=[position(GE, "904", 22)])

    assert codes(ask(day)) == [holds.MOSTLY_BREAKS]


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ([("", AAPL, 10)], []),
        ([("", AAPL, 9)], [holds.ASSIGNED_EXCEEDS_OCC_SHORT]),
        ([("", GE, 65)], [holds.ASSIGNED_EXCEEDS_OCC_SHORT]),
    ],
)
def test_fewer_contracts_short_at_occ_than_occ_assigned_hold(
    ask: Ask, figures: list[tuple[str, str, int]], found: list[str]
) -> None:
    assert codes(ask(PUBLISHED, occ_positions=occ(figures))) == found


def test_a_warning_that_the_charter_names_holds(ask: Ask) -> None:
    day = replace(PUBLISHED, asks={**ASKS, "Z901439": "0"})
    terms = CharterTerms(decisions={}, holding_warnings=("ZERO_ASK",))

    assert codes(ask(day, terms=terms)) == ["ZERO_ASK"]
    assert ask(day, terms=terms, acknowledged={"ZERO_ASK": WHY}) == ()
    assert ask(PUBLISHED, terms=terms) == (), "a run without that warning"


def test_many_warnings_of_one_code_are_one_hold(ask: Ask) -> None:
    day = replace(PUBLISHED, asks={**dict.fromkeys(ASKS, "0"), "Z901803": "1234.56789"})
    terms = CharterTerms(decisions={}, holding_warnings=("ZERO_ASK",))

    (hold,) = ask(day, terms=terms)

    assert hold.message.endswith("was that exchange closed? and 2 more")


def test_a_warning_holds_nothing_by_itself(ask: Ask) -> None:
    assert ask(replace(PUBLISHED, asks={**ASKS, "Z901439": "0"})) == ()


@pytest.mark.parametrize(
    ("acknowledged", "message"),
    [
        ({"STALE": WHY}, "expected a hold, one of"),
        ({holds.STALE_VOLUMES: " "}, "expected a reason for STALE_VOLUMES"),
        ({holds.STALE_VOLUMES: "two\nlines"}, "expected a reason for STALE_VOLUMES"),
    ],
)
def test_what_is_acknowledged_is_a_hold_with_a_reason(
    ask: Ask, acknowledged: dict[str, str], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        ask(PUBLISHED, acknowledged=acknowledged)


def test_a_charter_holds_on_known_warnings_alone(tmp_path: Path) -> None:
    terms = CharterTerms(decisions={}, holding_warnings=("ZERO_ASKS",))

    with pytest.raises(Refused, match="expected a warning to hold on, one of"):
        init_ledger(settings_of(tmp_path / "ledger"), terms, TESTER)
    assert not (tmp_path / "ledger").exists()
    assert not warning_codes.WARNINGS & holds.HOLDS


def test_a_conflict_says_what_would_hold_besides(tmp_path: Path) -> None:
    ledger = init_ledger(settings_of(tmp_path / "ledger"), CharterTerms(decisions={}), TESTER)
    given = {holds.NOT_A_TRADING_DAY: WHY}
    operations.run_lottery(ledger, request_of(PUBLISHED, tmp_path / "a", acknowledged={}))
    operations.run_lottery(
        ledger,
        request_of(
            on("2024-09-21"), tmp_path / "b", acknowledged={**given, holds.STALE_VOLUMES: WHY}
        ),
    )

    again = replace(on("2024-09-21"), positions=[*on("2024-09-21").positions[:2]])
    for dry_run in (True, False):
        with pytest.raises(Conflict) as caught:
            operations.run_lottery(
                ledger, request_of(again, tmp_path / "c", acknowledged={}), dry_run=dry_run
            )
        assert [hold.code for hold in caught.value.holds] == [
            holds.NOT_A_TRADING_DAY,
            holds.STALE_VOLUMES,
        ]
    assert len(list(ledger.iterate())) == 2
