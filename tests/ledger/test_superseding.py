"""Superseding: a run supersedes others of its date, says why, and changes none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POOL_ALREADY_ALLOCATED,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Refused,
    RunNotFound,
)
from lottery.ledger.run_record import Superseding
from tests.builders import (
    AAPL,
    DATE,
    GOOGL,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    evidence_in,
    made,
    notice,
    opened,
    position,
)
from tests.ledger.ledgers import (
    META_ONLY,
    Run,
    assert_sound,
    conflict,
    files_in,
    runs_in,
)

A, B, C, D = (f"2024-09-16-00{number}" for number in range(1, 5))
WHY = "the positions were yesterday's"
CORRECTED = replace(PUBLISHED, positions=[*PUBLISHED.positions[:2], position(AAPL, "1047", 31)])
"""The published day with one account short a contract more."""
AGAIN = replace(PUBLISHED, positions=[*PUBLISHED.positions[:2], position(AAPL, "1047", 32)])
GOOGL_ONLY = SmallDay(notices=[notice("C1", GOOGL, 1)], positions=[position(GOOGL, "5", 3)])


@contextmanager
def refused(source: str, message: str) -> Iterator[None]:
    """Expect a refusal for one problem of that source."""
    with pytest.raises(Refused) as caught:
        yield
    assert [(problem.source, problem.message) for problem in caught.value.problems] == [
        (source, message)
    ]


@contextmanager
def nothing_recorded(ledger: Path) -> Iterator[None]:
    """Assert that the log and the database have not changed by the end."""
    made(ledger)
    before = log_of(ledger)
    yield
    assert log_of(ledger) == before


def log_of(ledger: Path) -> Mapping[str, str]:
    """Return the digests of all files but evidence, which may be of no run."""
    files = files_in(ledger)
    return {name: digest for name, digest in files.items() if not name.startswith("evidence/")}


def links_of(ledger: Path) -> Mapping[str, tuple[str, ...]]:
    """Return what each run supersedes, by the records."""
    return {record.run: record.supersedes for record in opened(ledger).iterate()}


def superseded_in(ledger: Path) -> Mapping[str, str]:
    """Return every superseded run and the run that supersedes it."""
    there = opened(ledger)
    pairs = {record.run: there.superseded_by(record.run) for record in there.iterate()}
    return {old: new for old, new in pairs.items() if new is not None}


def test_a_superseded_run_stays_as_it_was_byte_for_byte(run: Run, ledger: Path) -> None:
    first = run(PUBLISHED).record
    there = opened(ledger)
    folder = files_in(evidence_in(ledger, A))

    run(CORRECTED, supersedes=[A], reason=WHY)

    assert there.get(A) == first
    assert files_in(evidence_in(ledger, A)) == folder
    assert runs_in(ledger) == [A, B]
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_the_same_superseding_command_again_finds_its_run(run: Run, ledger: Path) -> None:
    first = run(CORRECTED, supersedes=[A], reason=WHY)

    with nothing_recorded(ledger):
        again = run(CORRECTED.shuffled(3), supersedes=[A], reason=WHY)
        twice_named = run(CORRECTED, supersedes=[A, A], reason=WHY)

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert again.record == twice_named.record == first.record


@pytest.mark.usefixtures("published")
def test_the_order_in_which_runs_are_named_does_not_matter(run: Run, ledger: Path) -> None:
    run(META_ONLY)

    first = run(GOOGL_ONLY, supersedes=[B, A], reason=WHY)

    with nothing_recorded(ledger):
        again = run(GOOGL_ONLY, supersedes=[A, B], reason=WHY)
    assert first.record.supersedes == (A, B)
    assert again.already_recorded


def test_a_request_id_stays_with_its_content_when_its_run_is_superseded(
    run: Run, ledger: Path
) -> None:
    run(PUBLISHED, request_id="mine")
    with nothing_recorded(ledger), conflict(REQUEST_ID_REUSED, A):
        run(CORRECTED, supersedes=[A], reason=WHY, request_id="mine")

    run(CORRECTED, supersedes=[A], reason=WHY, request_id="yours")

    with nothing_recorded(ledger), conflict(REQUEST_ID_REUSED, A):
        run(META_ONLY, request_id="mine")


@pytest.mark.usefixtures("published")
def test_a_run_that_is_not_recorded_cannot_be_superseded(run: Run, ledger: Path) -> None:
    for unknown in (B, "2024-09-16-0001"):
        with nothing_recorded(ledger), pytest.raises(RunNotFound) as caught:
            run(CORRECTED, supersedes=[unknown], reason=WHY)
        assert caught.value.run == unknown
    with nothing_recorded(ledger), pytest.raises(RunNotFound):
        run(CORRECTED, supersedes=[A, B], reason=WHY)


def test_the_latest_of_an_empty_ledger_cannot_be_superseded(run: Run, ledger: Path) -> None:
    with pytest.raises(RunNotFound, match="no run is recorded yet"):
        run(PUBLISHED, supersedes=["latest"], reason=WHY)

    assert runs_in(ledger) == []
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_run_of_another_date_cannot_be_superseded(run: Run, ledger: Path) -> None:
    run(replace(PUBLISHED, date=NEXT_DATE))

    message = "expected a run of {1} to supersede, got {0}"
    with nothing_recorded(ledger), refused("supersede", message.format("2024-09-17-001", DATE)):
        run(CORRECTED, supersedes=["2024-09-17-001"], reason=WHY)
    with nothing_recorded(ledger), refused("supersede", message.format(A, NEXT_DATE)):
        run(replace(CORRECTED, date=NEXT_DATE), supersedes=[A, "2024-09-17-001"], reason=WHY)
    # The latest one is of the next date.
    with nothing_recorded(ledger), refused("supersede", message.format("2024-09-17-001", DATE)):
        run(CORRECTED, supersedes=["latest"], reason=WHY)


@pytest.mark.parametrize("reason", [None, "", " ", "    "])
@pytest.mark.usefixtures("published")
def test_a_run_that_supersedes_says_why(run: Run, ledger: Path, reason: str | None) -> None:
    message = "a run that supersedes another one needs a reason"
    with nothing_recorded(ledger), refused("reason", message):
        run(CORRECTED, supersedes=[A], reason=reason)


@pytest.mark.parametrize("reason", [WHY, ""])
@pytest.mark.usefixtures("published")
def test_a_reason_without_a_run_to_supersede_is_refused(
    run: Run, ledger: Path, reason: str
) -> None:
    with nothing_recorded(ledger), refused("reason", "a reason is given, but no run to supersede"):
        run(META_ONLY, reason=reason)


@pytest.mark.parametrize(
    "reason",
    [
        "two\nlines",
        "a\ttab",
        "an escape \x1b[2J",
        "a zero\x00",
        "half \ud800",
        "r" * 1_001,
        "\u202e",
    ],
)
@pytest.mark.usefixtures("published")
def test_a_reason_is_one_line_of_at_most_a_thousand_printable_characters(
    run: Run, ledger: Path, reason: str
) -> None:
    message = "a reason must be one line of at most 1000 printable characters"
    with nothing_recorded(ledger), refused("reason", message):
        run(CORRECTED, supersedes=[A], reason=reason)


@pytest.mark.parametrize("name", ["", "Latest", "2024-09-16", "2024-9-16-001", f"{A}\n", "../x"])
@pytest.mark.usefixtures("published")
def test_what_is_no_run_id_cannot_be_superseded(run: Run, ledger: Path, name: str) -> None:
    message = f"expected a run id or latest, got {name!r}"
    with nothing_recorded(ledger), refused("supersede", message):
        run(CORRECTED, supersedes=[name], reason=WHY)


def test_everything_wrong_with_superseding_is_reported_at_once(run: Run, ledger: Path) -> None:
    with pytest.raises(Refused) as caught:
        run(CORRECTED, supersedes=["x", "y"], reason="\n", positions_basis="both")

    assert [problem.source for problem in caught.value.problems] == [
        "positions_basis",
        "reason",
        "reason",
        "supersede",
        "supersede",
    ]
    assert runs_in(ledger) == []


def test_the_latest_run_can_be_superseded_by_that_name(run: Run, ledger: Path) -> None:
    run(META_ONLY)
    run(PUBLISHED)

    record = run(CORRECTED, supersedes=["latest"], reason=WHY).record

    assert record.supersedes == (B,)
    assert superseded_in(ledger) == {B: C}
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_runs_supersede_each_other_in_a_chain(run: Run, ledger: Path) -> None:
    run(CORRECTED, supersedes=[A], reason=WHY)
    run(AGAIN, supersedes=[B], reason="not those either")

    assert superseded_in(ledger) == {A: B, B: C}
    there = opened(ledger)
    assert links_of(ledger) == {A: (), B: (A,), C: (B,)}
    assert [stands.run for stands in there.standing("2024-09-16", Superseding())] == [C]
    for old, new in ((A, B), (B, C)):
        with nothing_recorded(ledger), conflict(RUN_SUPERSEDED, new):
            run(PUBLISHED, supersedes=[old], reason="back to the first")
    # What was superseded does not stand again because its successor is superseded.
    with nothing_recorded(ledger), conflict(NOTICE_ALREADY_ALLOCATED, C):
        run(PUBLISHED, cycle=2)
    # Going back is a run of its own.
    back = run(PUBLISHED, supersedes=[C], reason="back to the first").record
    assert (back.run, superseded_in(ledger)) == (D, {A: B, B: C, C: D})
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_one_run_supersedes_several(run: Run, ledger: Path) -> None:
    run(META_ONLY)
    run(GOOGL_ONLY)
    both = SmallDay(
        notices=[*PUBLISHED.notices, *META_ONLY.notices],
        positions=[*CORRECTED.positions, *META_ONLY.positions],
    )

    record = run(both, supersedes=[A, B], reason=WHY).record

    there = opened(ledger)
    assert record.supersedes == (A, B)
    assert superseded_in(ledger) == {A: D, B: D}
    assert [stands.run for stands in there.standing("2024-09-16", Superseding())] == [C, D]
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_superseding_run_that_overlaps_another_standing_run_is_refused(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY)
    both = replace(
        CORRECTED,
        notices=[*CORRECTED.notices, notice("B2", META, 1)],
        positions=[*CORRECTED.positions, *META_ONLY.positions],
    )

    with nothing_recorded(ledger), conflict(POOL_ALREADY_ALLOCATED, B):
        run(both, supersedes=[A], reason=WHY)
    same_notice = replace(both, notices=[*CORRECTED.notices, *META_ONLY.notices])
    with nothing_recorded(ledger), conflict(NOTICE_ALREADY_ALLOCATED, B):
        run(same_notice, supersedes=[A], reason=WHY)
    with nothing_recorded(ledger), conflict(NOTICE_ALREADY_ALLOCATED, A):
        run(both, supersedes=[B], reason=WHY)


@pytest.mark.usefixtures("published")
def test_other_volumes_take_a_run_that_supersedes_every_standing_run_of_the_date(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY)
    run(replace(PUBLISHED, date=NEXT_DATE))
    other = replace(GOOGL_ONLY, asks=OTHER_ASKS)

    for superseded, stands in (([A], B), ([B], A)):
        with nothing_recorded(ledger), conflict(SEED_CONFLICT, stands):
            run(other, supersedes=superseded, reason="another ask was published")
    record = run(other, supersedes=[A, B], reason="another ask was published").record

    assert record.run == C
    assert {volume.ask_price for volume in record.seed.volumes} == set(OTHER_ASKS.values())
    with nothing_recorded(ledger), conflict(SEED_CONFLICT, C):
        run(CORRECTED)
    run(replace(CORRECTED, asks=OTHER_ASKS))
    run(replace(META_ONLY, date=NEXT_DATE))
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_the_same_content_supersedes_for_another_reason_only_what_still_stands(
    run: Run, ledger: Path
) -> None:
    record = run(PUBLISHED, supersedes=[A], reason="asked for again by the backend").record

    assert (record.run, record.supersedes) == (B, (A,))
    assert record.content_sha256 != opened(ledger).get(A).content_sha256
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_the_same_command_again_that_names_the_latest_run_finds_its_run(
    run: Run, ledger: Path
) -> None:
    first = run(CORRECTED, supersedes=["latest"], reason=WHY)

    with nothing_recorded(ledger):
        again = run(CORRECTED, supersedes=["latest"], reason=WHY)

    assert (again.already_recorded, again.record) == (True, first.record)
    # Another day by that name supersedes this one.
    assert run(AGAIN, supersedes=["latest"], reason=WHY).record.supersedes == (B,)
