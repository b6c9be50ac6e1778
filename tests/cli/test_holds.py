"""`lottery run --acknowledge CODE… --reason TEXT`, `--dry-run`, and `lottery withdraw` (H1, N1).

What holds what is in `tests/ledger/test_holds.py` and `tests/ledger/contract/test_holds.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import AAPL, NEXT_DATE, OTHER_ASKS, PUBLISHED, SmallDay, notice
from tests.cli.calls import (
    CORRECTED,
    EXAMPLE_RUN,
    Door,
    fails,
    files_in,
    lottery,
    run_of,
    succeeds,
    superseding,
)

AGAIN = replace(PUBLISHED, date=NEXT_DATE)
"""Yesterday's files under today's date."""
NOTHING = SmallDay(notices=[], positions=PUBLISHED.positions)
CODES = ["STALE_VOLUMES", "NOTICE_ON_ANOTHER_DATE"]
WHY = "checked with the desk"
TODAY_RUN = "2024-09-17-001"


@pytest.fixture
def recorded(either: Door, tmp_path: Path) -> Door:
    """Return a ledger with the published day, its files or a server."""
    assert either(*run_of(PUBLISHED, tmp_path / "published")).exit_code == 0
    return either


def test_yesterdays_files_exit_7_until_each_code_is_acknowledged(
    recorded: Door, tmp_path: Path
) -> None:
    command = run_of(AGAIN, tmp_path / "again")

    text, document = fails(recorded, *command, exit_code=7, reason="HELD")

    assert [hold["code"] for hold in document["held"]] == CODES
    assert [hold["acknowledge"] for hold in document["held"]] == [
        f"--acknowledge {code} --reason TEXT" for code in CODES
    ]
    title, *holds, hint = text.error_lines
    assert title == "Held, nothing recorded (HELD)"
    assert holds == [f"  {hold['code']}: {hold['message']}" for hold in document["held"]]
    assert hint == (
        "If that is right: --acknowledge STALE_VOLUMES --acknowledge NOTICE_ON_ANOTHER_DATE "
        "--reason TEXT"
    )
    assert recorded.recorded() == [EXAMPLE_RUN]

    one = [*command, "--acknowledge", CODES[0], "--reason", WHY]
    _, document = fails(recorded, *one, exit_code=7, reason="HELD")
    assert [hold["code"] for hold in document["held"]] == CODES[1:]
    both = [*command, "--acknowledge", *CODES, "--reason", WHY]
    answer = recorded(*both, "--json")
    assert answer.exit_code == 0
    acknowledged = answer.document["acknowledgements"]
    assert [(each["code"], each["reason"]) for each in acknowledged] == [
        (code, WHY) for code in CODES
    ]
    # The same command again, with or without them, finds it recorded.
    assert [recorded(*given).exit_code for given in (command, both)] == [0, 0]
    assert recorded.recorded() == [EXAMPLE_RUN, TODAY_RUN]
    shown = recorded("show", TODAY_RUN).out
    assert f"acknowledged STALE_VOLUMES: {WHY}" in shown


def test_runs_and_codes_stand_in_any_order_after_their_options(
    recorded: Door, tmp_path: Path
) -> None:
    weekend = replace(PUBLISHED, asks=OTHER_ASKS, date=NEXT_DATE)
    assert recorded(*run_of(weekend.renamed("W"), tmp_path / "first")).exit_code == 0
    command = [
        *run_of(replace(CORRECTED, date=NEXT_DATE), tmp_path / "second"),
        *("--acknowledge", CODES[0], "--supersede", TODAY_RUN, CODES[1], "--reason", WHY),
    ]
    answer = recorded(*command, "--json")
    assert (answer.exit_code, answer.document["supersedes"]) == (0, [TODAY_RUN])
    assert [one["code"] for one in answer.document["acknowledgements"]] == CODES


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--acknowledge", CODES[0]], "--acknowledge needs a --reason"),
        (["--acknowledge", CODES[0], "--reason", " "], "--acknowledge needs a --reason"),
        (["--reason", WHY], "--reason goes with --supersede or --acknowledge"),
        ([CODES[0]], "unexpected argument 'STALE_VOLUMES'"),
        (["--acknowledge", CODES[0], EXAMPLE_RUN, "--reason", WHY], "unexpected argument"),
        (["--dry-run", "--output", "out"], "--output goes with a recorded run"),
    ],
)
def test_acknowledging_wrongly_is_wrong_usage(
    tmp_path: Path, given: list[str], message: str
) -> None:
    answer = lottery(*run_of(PUBLISHED, tmp_path / "in"), *given)
    assert answer.exit_code == 2
    assert message in answer.message
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_unknown_code_is_refused(either: Door, tmp_path: Path) -> None:
    command = [*run_of(PUBLISHED, tmp_path), "--acknowledge", "STALE", "--reason", WHY]
    _, document = fails(either, *command, exit_code=3, reason="INVALID_INPUT")
    (problem,) = document["problems"]
    assert (problem["file"], problem["rule"]) == ("acknowledge", "H1")
    assert "NOT_A_TRADING_DAY" in problem["message"]


def test_a_rehearsal_exits_as_the_run_would_and_records_nothing(
    either: Door, tmp_path: Path
) -> None:
    command = run_of(PUBLISHED, tmp_path / "in")
    before = files_in(either.ledger)
    text, document = succeeds(either, *command, "--dry-run")
    assert files_in(either.ledger) == before
    assert text.lines[0] == f"Run {EXAMPLE_RUN} would be recorded, and is not: ALLOCATED"
    assert (document["dry_run"], document["already_recorded"]) == (True, False)

    recorded = either(*command, "--json").document
    assert recorded["dry_run"] is False
    changing = ("dry_run", "recorded_at")
    assert {k: v for k, v in document.items() if k not in changing} == {
        k: v for k, v in recorded.items() if k not in changing
    }
    _, known = succeeds(either, *command, "--dry-run")
    assert (known["dry_run"], known["already_recorded"]) == (False, True)

    before = files_in(either.ledger)
    fails(either, *run_of(AGAIN, tmp_path / "b"), "--dry-run", exit_code=7, reason="HELD")
    command = [*run_of(CORRECTED, tmp_path / "c"), "--cycle", "3", "--dry-run"]
    text, document = fails(either, *command, exit_code=5, reason="NOTICE_ALREADY_ALLOCATED")
    assert [hold["code"] for hold in document["held"]] == ["CYCLE_OUT_OF_ORDER"]
    assert "It would be held too" in text.err
    assert "CYCLE_OUT_OF_ORDER: expected cycle 1 or 2 of 2024-09-16" in text.err
    assert files_in(either.ledger) == before


def test_a_date_without_notices_is_recorded_and_shown(either: Door, tmp_path: Path) -> None:
    answer = either(*run_of(NOTHING, tmp_path), "--json")
    assert (answer.exit_code, answer.document["state"]) == (0, "NOTHING_ASSIGNED")
    assert "NOTHING_ASSIGNED" in either("show", "latest").out
    assert either("replay", "latest").exit_code == 0


def test_a_run_whose_notices_were_taken_back_is_withdrawn(recorded: Door, tmp_path: Path) -> None:
    text, document = succeeds(recorded, "withdraw", EXAMPLE_RUN, "--reason", WHY)

    assert (document["run"], document["state"]) == ("2024-09-16-002", "WITHDRAWN")
    assert (document["supersedes"], document["reason"]) == ([EXAMPLE_RUN], WHY)
    assert text.lines[0] == "Run 2024-09-16-002 is recorded: WITHDRAWN"
    assert document["already_recorded"] is True
    shown = recorded("show", EXAMPLE_RUN).out
    assert "superseded by 2024-09-16-002" in shown
    old = run_of(PUBLISHED, tmp_path / "published")
    fails(
        recorded,
        *(*old, "--output", tmp_path / "out"),
        exit_code=5,
        reason="RUN_SUPERSEDED",
    )
    assert not list((tmp_path / "out").glob("*"))
    assert recorded("replay", "--all").exit_code == 0


def test_what_cannot_be_withdrawn_exits_with_what_is_wrong(recorded: Door, tmp_path: Path) -> None:
    late = [*run_of(PUBLISHED.renamed("L"), tmp_path / "late"), "--cycle", "2"]
    assert recorded(*late).exit_code == 0
    for run, exit_code, reason in (
        ("2024-09-16-009", 2, "RUN_NOT_FOUND"),
        (EXAMPLE_RUN, 5, "RUN_HAS_DEPENDENTS"),
    ):
        fails(recorded, "withdraw", run, "--reason", WHY, exit_code=exit_code, reason=reason)
    assert recorded("withdraw", EXAMPLE_RUN).exit_code == 2
    command = ["withdraw", EXAMPLE_RUN, "--reason", "\a"]
    fails(recorded, *command, exit_code=3, reason="INVALID_INPUT")
    assert recorded(*superseding(CORRECTED, tmp_path / "x", EXAMPLE_RUN)).exit_code == 5


def test_a_charter_names_its_own_days_and_warnings(tmp_path: Path) -> None:
    calendar = tmp_path / "calendar.csv"
    calendar.write_text("date,exchanges\n2024-09-16,closed\n2024-09-21,open\n")
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init", "--calendar", calendar, "--hold-on", "ZERO_ASK").exit_code == 0
    charter = door("charter")
    assert "exchanges closed: 2024-09-16" in charter.out
    assert "exchanges open: 2024-09-21" in charter.out
    assert "holds on: ZERO_ASK" in charter.out
    day = replace(PUBLISHED, asks={**PUBLISHED.asks, "Z901439": "0"})
    _, document = fails(door, *run_of(day, tmp_path / "in"), exit_code=7, reason="HELD")
    assert [hold["code"] for hold in document["held"]] == ["NOT_A_TRADING_DAY", "ZERO_ASK"]
    amend = ["charter", "amend", "--from", "2024-09-17", "--decision", "zero_hit=first"]
    assert door(*amend).exit_code == 0
    (_, amended) = door("charter", "--json").document["charters"]
    assert (amended["closed_dates"], amended["holding_warnings"]) == (["2024-09-16"], ["ZERO_ASK"])


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("", ["expected the header date,exchanges, got an empty file"]),
        ("date\n", ["expected the header date,exchanges, got 'date'"]),
        (
            "date,exchanges\n2024-09-16\n2024-9-16,open\n2024-09-16,x\n2024-09-17,open\n2024-09-17,open",
            [
                "expected a date and open or closed, got '2024-09-16'",
                "expected a date YYYY-MM-DD, got '2024-9-16'",
                "expected a date and open or closed, got '2024-09-16,x'",
                "2024-09-17 is listed already",
            ],
        ),
        ("\xff", ["expected CSV in UTF-8"]),
    ],
)
def test_a_calendar_that_is_none_is_refused_with_every_problem(
    tmp_path: Path, content: str, problems: list[str]
) -> None:
    calendar = tmp_path / "calendar.csv"
    calendar.write_bytes(content.encode("latin-1"))
    ledger = tmp_path / "ledger"
    command = ["init", "--ledger", ledger, "--calendar", calendar]
    _, document = fails(lottery, *command, exit_code=3, reason="INVALID_INPUT")
    found = [problem["message"] for problem in document["problems"]]
    assert len(found) == len(problems)
    assert all(said.startswith(expected) for said, expected in zip(found, problems, strict=True))
    assert not ledger.exists()
    _, document = fails(
        lottery, "init", "--calendar", tmp_path / "gone.csv", exit_code=3, reason="INVALID_INPUT"
    )


def test_notices_that_are_cut_off_within_a_number_are_held(either: Door, tmp_path: Path) -> None:
    day = replace(
        PUBLISHED,
        notices=[notice("A1", AAPL, 391)],
        positions=[{**row, "short_quantity": 200} for row in PUBLISHED.positions],
    )
    command = run_of(day, tmp_path)
    notices = tmp_path / "notices.csv"
    text = "notice_id,series,quantity\nA1,AAPL240920C00220000,391\n"
    notices.write_text(text[:-2])

    _, document = fails(either, *command, exit_code=7, reason="HELD")

    assert [hold["code"] for hold in document["held"]] == ["MAY_BE_CUT_OFF"]
    assert "notices.csv" in document["held"][0]["message"]
    fails(either, *command, "--expect", "contracts=391", exit_code=3, reason="INVALID_INPUT")
    answer = either(*command, "--expect", "contracts=39", "--json")
    assert (answer.exit_code, answer.document["assigned_quantity"]) == (0, 39)
    notices.write_text(text)
    fails(either, *command, exit_code=5, reason="NOTICE_ALREADY_ALLOCATED")


def test_a_day_of_breaks_alone_is_held(either: Door, tmp_path: Path) -> None:
    day = SmallDay(notices=[notice("A1", AAPL, 66)], positions=PUBLISHED.positions)
    command = run_of(day, tmp_path)
    _, document = fails(either, *command, exit_code=7, reason="HELD")
    assert [hold["code"] for hold in document["held"]] == ["MOSTLY_BREAKS"]
    assert either(*command, "--acknowledge", "MOSTLY_BREAKS", "--reason", WHY).exit_code == 4
