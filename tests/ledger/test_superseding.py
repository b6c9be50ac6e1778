"""Superseding: a run supersedes others of its date, says why, and changes none of them.

That a run is superseded once, and by one of its date, is what every ledger promises: `contract`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POPULATION_DIFFERS,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Refused,
    RunNotFound,
)
from lottery.ledger.run_record import Superseding
from tests.builders import (
    AAPL,
    GOOGL,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    evidence_in,
    notice,
    opened,
    position,
)
from tests.ledger.contract.places import A, B, C, D, nothing_recorded
from tests.ledger.ledgers import META_ONLY, Run, assert_sound, conflict, files_in

WHY = "the positions were yesterday's"
CORRECTED = replace(PUBLISHED, positions=[*PUBLISHED.positions[:2], position(AAPL, "1047", 31)])
"""The published day with one account short a contract more."""
AGAIN = replace(PUBLISHED, positions=[*PUBLISHED.positions[:2], position(AAPL, "1047", 32)])
GOOGL_ONLY = SmallDay(notices=[notice("C1", GOOGL, 1)], positions=[position(GOOGL, "5", 3)])

pytestmark = pytest.mark.usefixtures("published")


def superseded_in(ledger: Path) -> dict[str, str]:
    """Return every superseded run and the run that supersedes it."""
    there = opened(ledger)
    pairs = {record.run: there.described(record).superseded_by for record in there.iterate()}
    return {old: new for old, new in pairs.items() if new is not None}


def standing_in(ledger: Path) -> list[str]:
    return [record.run for record in opened(ledger).left_standing("2024-09-16", Superseding())]


def test_a_superseded_run_stays_as_it_was_byte_for_byte(run: Run, ledger: Path) -> None:
    first = opened(ledger).get(A)
    folder = files_in(evidence_in(ledger, A))

    run(CORRECTED, supersedes=[A], reason="“Böse” → 正しい")

    assert opened(ledger).get(A) == first
    assert opened(ledger).get(B).reason == "“Böse” → 正しい"
    assert files_in(evidence_in(ledger, A)) == folder
    assert_sound(ledger)


def test_the_same_command_again_finds_its_run_whatever_the_order_of_names(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY)
    first = run(GOOGL_ONLY, supersedes=[B, A, B], reason=WHY)

    with nothing_recorded(opened(ledger)):
        again = run(GOOGL_ONLY.shuffled(3), supersedes=[A, B], reason=WHY)

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert first.record == again.record
    assert first.record.supersedes == (A, B)


def test_a_request_id_stays_with_its_content_when_its_run_is_superseded(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY, request_id="mine")
    with nothing_recorded(opened(ledger)), conflict(REQUEST_ID_REUSED, B):
        run(GOOGL_ONLY, supersedes=[B], reason=WHY, request_id="mine")

    run(GOOGL_ONLY, supersedes=[B], reason=WHY, request_id="yours")

    for supersedes, reason, request_id, of in (
        ([B], "another reason", "yours", C),
        ([A], WHY, "yours", C),
        ([], None, "yours", C),
        ([], None, "mine", B),
    ):
        with nothing_recorded(opened(ledger)), conflict(REQUEST_ID_REUSED, of):
            run(GOOGL_ONLY, supersedes=supersedes, reason=reason, request_id=request_id)


ONE_LINE = "a reason must be one line of 1 to 1000 printable characters"
WRONG: list[tuple[list[str], str | None, list[tuple[str, str]]]] = [
    *[
        ([A], reason, [("reason", "a run that supersedes another one needs a reason")])
        for reason in (None, "", "    ")
    ],
    *[
        ([], reason, [("reason", "a reason is given, but no run to supersede")])
        for reason in (WHY, "")
    ],
    *[
        ([A], reason, [("reason", ONE_LINE)])
        for reason in ("two\nlines", "an escape \x1b[2J", "half \ud800", "r" * 1_001, "\u202e")
    ],
    *[
        ([name], WHY, [("supersede", f"expected a run id or latest, got {name!r}")])
        for name in ("", "Latest", "2024-09-16", "2024-9-16-001", f"{A}\n", "../x")
    ],
    (
        ["x"],
        "\n",
        [
            ("reason", "a run that supersedes another one needs a reason"),
            ("supersede", "expected a run id or latest, got 'x'"),
        ],
    ),
]


@pytest.mark.parametrize(("supersedes", "reason", "problems"), WRONG)
def test_everything_wrong_with_superseding_is_reported_at_once(
    run: Run,
    ledger: Path,
    supersedes: list[str],
    reason: str | None,
    problems: list[tuple[str, str]],
) -> None:
    with nothing_recorded(opened(ledger)), pytest.raises(Refused) as caught:
        run(META_ONLY, supersedes=supersedes, reason=reason)

    assert [(one.source, one.message) for one in caught.value.problems] == problems


def test_the_latest_run_can_be_superseded_by_that_name(run: Run, ledger: Path) -> None:
    run(META_ONLY)
    first = run(GOOGL_ONLY, supersedes=["latest"], reason=WHY)

    with nothing_recorded(opened(ledger)):
        again = run(GOOGL_ONLY, supersedes=["latest"], reason=WHY)

    assert (first.record.supersedes, again.already_recorded) == ((B,), True)
    # Another day by that name supersedes this one.
    assert run(META_ONLY, supersedes=["latest"], reason=WHY).record.supersedes == (C,)
    # The latest one may be of another date.
    run(replace(PUBLISHED, date=NEXT_DATE))
    with nothing_recorded(opened(ledger)), pytest.raises(Refused, match="to supersede, got 2024-"):
        run(CORRECTED, supersedes=["latest"], reason=WHY)
    with nothing_recorded(opened(ledger)), pytest.raises(RunNotFound) as caught:
        run(CORRECTED, supersedes=["2024-09-16-0001"], reason=WHY)
    assert caught.value.run == "2024-09-16-0001"


def test_runs_supersede_each_other_in_a_chain(run: Run, ledger: Path) -> None:
    run(CORRECTED, supersedes=[A], reason=WHY)
    run(AGAIN, supersedes=[B], reason="not those either")

    assert (superseded_in(ledger), standing_in(ledger)) == ({A: B, B: C}, [C])
    with nothing_recorded(opened(ledger)):
        for old, new in ((A, B), (B, C)):
            with conflict(RUN_SUPERSEDED, new):
                run(PUBLISHED, supersedes=[old], reason="back to the first")
        # What was superseded does not stand again because its successor is superseded.
        with conflict(NOTICE_ALREADY_ALLOCATED, C):
            run(PUBLISHED, cycle=2)
    # Going back is a run of its own, also with other volumes than the first one's.
    back = replace(PUBLISHED, asks=OTHER_ASKS)
    assert run(back, supersedes=[C], reason="back to the first").record.run == D
    assert (superseded_in(ledger), standing_in(ledger)) == ({A: B, B: C, C: D}, [D])
    assert_sound(ledger)


def test_one_run_supersedes_several(run: Run, ledger: Path) -> None:
    run(META_ONLY)
    run(GOOGL_ONLY)
    both = SmallDay(
        notices=[*PUBLISHED.notices, *META_ONLY.notices],
        positions=[*CORRECTED.positions, *META_ONLY.positions],
    )

    assert run(both, supersedes=[A, B], reason=WHY).record.supersedes == (A, B)

    assert (superseded_in(ledger), standing_in(ledger)) == ({A: D, B: D}, [C, D])
    assert_sound(ledger)


def test_a_superseding_run_that_contradicts_another_standing_run_is_refused(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY)
    both = replace(
        CORRECTED,
        notices=[*CORRECTED.notices, notice("B2", META, 1)],
        positions=[*CORRECTED.positions, *META_ONLY.positions],
    )
    other_population = replace(both, positions=[*both.positions, position(META, "3", 1)])
    same_notice = replace(both, notices=[*CORRECTED.notices, *META_ONLY.notices])
    other_seed = replace(GOOGL_ONLY, asks=OTHER_ASKS)

    with nothing_recorded(opened(ledger)):
        for reason, of, day, supersedes in (
            (POPULATION_DIFFERS, B, other_population, [A]),
            (NOTICE_ALREADY_ALLOCATED, B, same_notice, [A]),
            (NOTICE_ALREADY_ALLOCATED, A, both, [B]),
            (SEED_CONFLICT, B, other_seed, [A]),
            (SEED_CONFLICT, A, other_seed, [B]),
        ):
            with conflict(reason, of):
                run(day, supersedes=supersedes, reason=WHY)

    assert run(other_seed, supersedes=[A, B], reason=WHY).record.run == C
    with conflict(SEED_CONFLICT, C):
        run(CORRECTED)
    # What it left out may be allocated by a later one.
    run(replace(CORRECTED, asks=OTHER_ASKS))
    assert_sound(ledger)
