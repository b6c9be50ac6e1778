"""Late notices continue the draw of their date (P6), and what others rest on stays (H2)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POPULATION_DIFFERS,
    RUN_HAS_DEPENDENTS,
    Conflict,
    LedgerBusy,
    LedgerDamaged,
    StandingChanged,
)
from lottery.ledger.draft import RunKey
from lottery.ledger.log_writer import ATTEMPTS
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from tests.builders import (
    AAPL,
    GE,
    GOOGL,
    META,
    PUBLISHED,
    SmallDay,
    asks_making,
    evidence_in,
    made,
    notice,
    opened,
    position,
    positions_of,
    record_in,
    replay_of,
    replays_of,
    request_of,
    request_of_wire,
)
from tests.ledger.ledgers import META_ONLY, Run, assert_sound, conflict, runs_in, unchanged

A, B, C, D = (f"2024-09-16-00{number}" for number in range(1, 5))
WHY = "an account was missing"
AS_IT_WAS = {"1046": 30, "1047": 30, "1048": 5}
WHAT_IS_LEFT = {"1046": 27, "1047": 23, "1048": 5}
"""The published example assigns 3 and 7, from number 28 on."""
CODE_POINT = JPMS_2024_09_06.deciding({"account_order": "code-point", "zero_hit": "wrap"})


def late(quantity: int, shorts: Mapping[str, int] = AS_IT_WAS, name: str = "L1") -> SmallDay:
    """Return a later cycle of the published pool."""
    return SmallDay(
        notices=[notice(name, AAPL, quantity)],
        # A file without a row is not one of positions: another pool's row is always there.
        positions=[*positions_of(AAPL, shorts), position(GE, "1", 1)],
    )


def assigned(ledger: Path, *runs: str) -> dict[tuple[str, str], int]:
    """Return what runs assigned together, by series and account."""
    sums: dict[tuple[str, str], int] = {}
    for run in runs:
        for row in operations.allocations(opened(ledger), run).to_pylist():
            key = (row["series"], row["account"])
            sums[key] = sums.get(key, 0) + row["assigned_quantity"]
    return sums


def pools(ledger: Path, run: str, *names: str) -> list[tuple[object, ...]]:
    """Return columns of a run's pools."""
    rows = opened(ledger).read(opened(ledger).get(run), "pools.parquet").to_pylist()
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("shorts", [AS_IT_WAS, WHAT_IS_LEFT, {}])
def test_notices_of_10_and_then_5_give_what_15_give(
    run: Run, ledger: Path, tmp_path: Path, shorts: dict[str, int]
) -> None:
    record = run(late(5, shorts), cycle=2).record

    record_in(tmp_path / "once", request_of(late(15), tmp_path / "in"))
    assert assigned(ledger, A, B) == assigned(tmp_path / "once", A)
    assert list(assigned(ledger, B).values()) == [0, 5, 0]
    assert pools(ledger, B, "total_short", "assigned_before", "first_hit") == [(65, 10, 28)]
    assert record.rests_on == (A,)
    (continued,) = opened(ledger).read(record, "continued.parquet").to_pylist()
    assert (continued["first_run"], continued["assigned_before"]) == (A, 10)
    # The positions are kept as they were given, and what was drawn from apart from them.
    for name, kept in (("positions.parquet", shorts), ("population.parquet", AS_IT_WAS)):
        rows = opened(ledger).read(record, name).to_pylist()
        assert {row["account"]: row["short_quantity"] for row in rows} == kept
    assert_sound(ledger)
    assert all(replayed.matched for replayed in replays_of(ledger, Engine.SQL))


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("shorts", "told"),
    [
        ({**AS_IT_WAS, "1049": 2}, "account 1049 short 0, got 2"),
        ({**WHAT_IS_LEFT, "1049": 2}, "account 1049 short 0, got 2"),
        ({"1046": 30, "1047": 30}, "account 1048 short 5, got none"),
        ({"1046": 30, "1048": 5}, "account 1047 short 30, or 23 without what was assigned since, "),
        ({**AS_IT_WAS, "1048": 6}, "account 1048 short 5, got 6"),
        ({**AS_IT_WAS, "1046": 28}, "account 1046 short 30, or 27 without what was assigned sinc"),
        ({"01046": 30, "1047": 30, "1048": 5}, "account 01046 short 0, got 30"),
        (
            {**AS_IT_WAS, "1046": 27},
            "every account with what was assigned since, or every one without it, got account 1047",
        ),
    ],
    ids=[
        *("more", "more than is left", "less", "less and assigned", "another quantity"),
        *("neither", "another spelling", "a mixture"),
    ],
)
def test_any_other_population_is_a_conflict_that_names_an_account_with_both_figures(
    run: Run, ledger: Path, shorts: dict[str, int], told: str
) -> None:
    with (
        unchanged(ledger),
        pytest.raises(Conflict) as caught,
    ):
        run(late(5, shorts), cycle=2)

    assert (caught.value.reason, caught.value.run) == (POPULATION_DIFFERS, A)
    assert f"run {A} has drawn {AAPL} from other positions: expected {told}" in str(caught.value)
    assert "leave the pool out of the file, or supersede that run" in str(caught.value)


@pytest.mark.usefixtures("published")
def test_more_late_notices_than_numbers_left_are_a_break_of_these_alone(
    run: Run, ledger: Path
) -> None:
    outcome = run(late(56), cycle=2)

    assert [
        (one.reason, one.assigned_quantity, one.total_short, one.assigned_before)
        for one in outcome.breaks
    ] == [("EXCEEDS_SHORT", 56, 65, 10)]
    assert (outcome.record.rests_on, assigned(ledger, B)) == ((A,), {})
    # It assigned nothing, so fewer can be assigned, from the same number on and up to the last.
    again = run(late(55, {}, "L2"), cycle=3)
    assert (again.record.rests_on, again.breaks) == ((A,), ())
    assert list(assigned(ledger, A, C).values()) == [30, 30, 5]
    one_more = run(late(1, {}, "L3"), cycle=4)
    assert [(one.assigned_quantity, one.assigned_before) for one in one_more.breaks] == [(1, 65)]
    assert_sound(ledger)
    assert all(replayed.matched for replayed in replays_of(ledger, Engine.SQL))


def test_a_pool_that_was_a_break_before_is_drawn_afresh(run: Run, ledger: Path) -> None:
    assert run(late(66)).breaks

    record = run(late(5, {"1": 9}, "L2"), cycle=2).record

    assert (record.rests_on, assigned(ledger, B)) == ((), {(AAPL, "1"): 5})
    assert pools(ledger, B, "total_short", "assigned_before") == [(9, 0)]
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_third_cycle_rests_on_both_and_may_give_what_both_left(run: Run, ledger: Path) -> None:
    run(late(5), cycle=2)

    with conflict(POPULATION_DIFFERS):
        run(late(30, WHAT_IS_LEFT, "M1"), cycle=3)
    record = run(late(30, {"1046": 27, "1047": 18, "1048": 5}, "M1"), cycle=3).record

    assert record.rests_on == (A, B)
    assert pools(ledger, C, "assigned_before", "first_hit") == [(15, 28)]
    # From 43 to 65 and from 1 to 7.
    assert list(assigned(ledger, C).values()) == [7, 18, 5]
    assert_sound(ledger)
    assert all(replayed.matched for replayed in replays_of(ledger, Engine.SQL))


@pytest.mark.parametrize(
    ("zero_hit", "hit"), [("wrap", ["3", "1", "2"]), ("first", ["1", "2", "3"])]
)
def test_a_first_hit_of_zero_is_continued_from_the_number_that_was_decided(
    run: Run, ledger: Path, zero_hit: str, hit: list[str]
) -> None:
    methodology = JPMS_2024_09_06.deciding({"account_order": "numeric", "zero_hit": zero_hit})
    asks = asks_making(1_000_099)  # The fraction is 0.0001.
    for cycle, name in enumerate("abc", 1):
        day = replace(late(1, {"1": 1, "2": 1, "3": 1}, name), asks=asks)
        run(day, cycle=cycle, methodology=methodology)

    found = [account for one in (A, B, C) for (_, account), n in assigned(ledger, one).items() if n]
    assert found == hit
    assert_sound(ledger)


def test_of_several_pools_only_those_that_were_drawn_continue(run: Run, ledger: Path) -> None:
    both = [*positions_of(AAPL, AS_IT_WAS, "C"), *positions_of(AAPL, {"1046": 4}, "F")]
    run(SmallDay(notices=[notice("A1", AAPL, 10, "C")], positions=both))
    second = SmallDay(
        notices=[
            *(notice("L1", AAPL, 5, "C"), notice("L2", AAPL, 2, "F"), notice("L3", META, 3)),
            notice("L4", GOOGL, 9),
        ],
        positions=[*both, *META_ONLY.positions],
    )

    outcome = run(second, cycle=2)

    assert outcome.record.rests_on == (A,)
    assert pools(ledger, B, "occ_account", "series", "assigned_before", "break_reason") == [
        ("", GOOGL, 0, "NO_POSITION"),
        ("", META, 0, None),
        ("C", AAPL, 10, None),
        ("F", AAPL, 0, None),
    ]
    third = replace(second, notices=[notice("M1", META, 1), notice("M2", AAPL, 1, "F")])
    assert run(third, cycle=3).record.rests_on == (B,)
    assert_sound(ledger)
    assert all(replayed.matched for replayed in replays_of(ledger, Engine.SQL))


@pytest.mark.parametrize(
    ("methodology", "accounts"),
    [
        (CODE_POINT, ["10", "9", "A10", "Z", "a1"]),
        (JPMS_2024_09_06, ["7", "0012345678901234567", "98765432109876543210", "9" * 30]),
    ],
    ids=["code points", "17 and more digits"],
)
def test_accounts_of_every_kind_are_continued_in_their_order(
    run: Run, ledger: Path, tmp_path: Path, methodology: Methodology, accounts: Sequence[str]
) -> None:
    shorts = dict.fromkeys(accounts, 3)
    run(late(4, shorts), methodology=methodology)
    run(late(5, dict(reversed(shorts.items())), "L2"), cycle=2, methodology=methodology)

    once = request_of(late(9, shorts), tmp_path / "in", methodology=methodology)
    record_in(tmp_path / "once", once)
    assert assigned(ledger, A, B) == assigned(tmp_path / "once", A)
    assert_sound(ledger)
    assert replay_of(ledger, B, Engine.SQL).matched


@pytest.mark.usefixtures("published")
def test_the_same_request_is_known_whatever_was_drawn_since(run: Run, ledger: Path) -> None:
    first = run(late(5, WHAT_IS_LEFT), cycle=2)
    run(late(40, {}, "M1"), cycle=3)

    with unchanged(ledger):
        again = run(late(5, WHAT_IS_LEFT).shuffled(4), cycle=2)
        with conflict(NOTICE_ALREADY_ALLOCATED, B):
            run(late(5), cycle=2)

    assert (again.already_recorded, again.record) == (True, first.record)


@pytest.mark.usefixtures("published")
def test_a_run_is_superseded_only_with_those_that_rest_on_it(run: Run, ledger: Path) -> None:
    run(late(5), cycle=2)
    run(META_ONLY)
    run(late(1, {}, "M1"), cycle=3)
    other = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)])

    for left, superseded in (((B, D), [A]), ((D,), [A, B]), ((D,), [B])):
        with unchanged(ledger), pytest.raises(Conflict) as caught:
            run(other, supersedes=superseded, reason=WHY)
        assert (caught.value.reason, caught.value.run) == (RUN_HAS_DEPENDENTS, left[0])
        rest = "rests" if len(left) == 1 else "rest"
        assert str(caught.value).startswith(f"{', '.join(left)} {rest} on a run that is to be")

    # The last one alone rests on nothing that is superseded, and its notices can come again.
    record = run(late(2, {}, "M1"), supersedes=[D], reason=WHY).record
    assert (record.rests_on, list(assigned(ledger, record.run).values())) == ((A, B), [0, 2, 0])
    both = run(other, supersedes=[A, B, record.run], reason=WHY).record
    assert (both.rests_on, pools(ledger, both.run, "total_short")) == ((), [(66,)])
    again = run(late(5, {}), cycle=2).record
    assert (again.rests_on, pools(ledger, again.run, "assigned_before")) == ((both.run,), [(10,)])
    assert_sound(ledger)
    assert all(replayed.matched for replayed in replays_of(ledger, Engine.SQL))


@pytest.mark.usefixtures("published")
def test_a_draw_that_changes_meanwhile_is_continued_as_it_stands_then(
    ledger: Path, tmp_path: Path
) -> None:
    other = replace(PUBLISHED, notices=[notice("A1", AAPL, 12)])
    meanwhile = iter(
        (
            request_of(other, tmp_path / "other", supersedes=[A], reason=WHY),
            request_of(late(3, {}, "M1"), tmp_path / "late", cycle=2),
        )
    )
    steps = 0

    def proceed() -> None:
        nonlocal steps
        steps += 1
        if steps in (2, 3):  # Its draft is made; then it is to be inserted, or made once more.
            record_in(ledger, next(meanwhile))

    request = request_of(late(5), tmp_path / "in", cycle=2)
    record = operations.run_lottery(made(ledger), request, proceed=proceed).record

    assert runs_in(ledger) == [A, B, C, D]
    assert record.rests_on == (B, C)
    assert pools(ledger, D, "assigned_before") == [(15,)]
    assert steps == 5
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_draw_that_is_superseded_meanwhile_is_not_continued(ledger: Path, tmp_path: Path) -> None:
    steps = itertools.count(1)

    def proceed() -> None:
        if next(steps) == 2:  # By a run that has nothing of the pool.
            other = request_of(META_ONLY, tmp_path / "other", supersedes=[A], reason=WHY)
            record_in(ledger, other)

    request = request_of(late(5), tmp_path / "in", cycle=2)
    record = operations.run_lottery(made(ledger), request, proceed=proceed).record

    assert (record.run, record.rests_on, next(steps)) == (C, (), 5)
    assert pools(ledger, C, "assigned_before") == [(0,)]
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_draws_that_change_at_every_attempt_make_it_busy(ledger: Path, tmp_path: Path) -> None:
    steps = itertools.count()

    def proceed() -> None:
        number = next(steps)
        if number:
            day = late(1, {}, f"M{number}")
            record_in(ledger, request_of(day, tmp_path / str(number), cycle=2))

    request = request_of(late(5), tmp_path / "in", cycle=2)
    with pytest.raises(StandingChanged, match="in the meantime; try again") as caught:
        operations.run_lottery(made(ledger), request, proceed=proceed)

    assert (isinstance(caught.value, LedgerBusy), next(steps)) == (True, ATTEMPTS + 1)
    assert len(runs_in(ledger)) == ATTEMPTS + 1


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("shorts", [AS_IT_WAS, {}])
def test_late_cycles_at_once_give_the_sums_of_one_draw(
    ledger: Path, tmp_path: Path, shorts: dict[str, int]
) -> None:
    made_by_all = threading.Barrier(2, timeout=60)

    def record(number: int) -> None:
        steps = itertools.count(1)

        def proceed() -> None:
            if next(steps) == 2:  # Both have read the same draws.
                made_by_all.wait()

        request = request_of(late(5, shorts, f"L{number}"), tmp_path / str(number), cycle=2)
        operations.run_lottery(opened(ledger), request, proceed=proceed)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(record, range(2)))

    record_in(tmp_path / "once", request_of(late(20), tmp_path / "in"))
    assert assigned(ledger, A, B, C) == assigned(tmp_path / "once", A)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_request_recorded_meanwhile_is_known_though_its_positions_are_not_what_is_left_now(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of_wire(late(5, WHAT_IS_LEFT), as_arrow=False, cycle=2)
    ours = opened(ledger)
    known = ours.known

    def first_unknown(_: RunKey) -> operations.RecordedRun | None:
        monkeypatch.setattr(ours, "known", known)
        record_in(ledger, request)  # By another process, right after we look.
        return None

    monkeypatch.setattr(ours, "known", first_unknown)
    answered = operations.run_lottery(ours, request)

    assert (answered.already_recorded, answered.record.run) == (True, B)
    assert runs_in(ledger) == [A, B]


@pytest.mark.usefixtures("published")
def test_no_draw_is_continued_from_allocations_that_are_not_the_recorded_ones(
    run: Run, ledger: Path
) -> None:
    (evidence_in(ledger, A) / "allocations.parquet").unlink()

    with (
        unchanged(ledger),
        pytest.raises(LedgerDamaged, match=r"allocations\.parquet of run .* is missing"),
    ):
        run(late(5), cycle=2)


@pytest.mark.parametrize(("first", "second"), [("", "C"), ("C", "")])
def test_one_notice_id_with_and_without_an_occ_account_is_one_notice(
    run: Run, ledger: Path, first: str, second: str
) -> None:
    def a_day(occ_account: str) -> SmallDay:
        return SmallDay(
            notices=[notice("A1", AAPL, 10, occ_account)],
            positions=positions_of(AAPL, {"1048": 5, "1046": 30, "1047": 30}, occ_account),
        )

    run(a_day(first))
    with conflict(NOTICE_ALREADY_ALLOCATED, A):
        run(a_day(second), cycle=2)
    assert runs_in(ledger) == [A]
