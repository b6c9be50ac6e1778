"""The seeds of many dates: what stands, what is flagged, and whether they are spread evenly."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, factorial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.audit.seeds import (
    ENOUGH_DATES,
    REPEATED_COMPOSITE,
    UNEVEN_SEEDS,
    seed_history,
    uniformity_of,
)
from lottery.errors import LedgerDamaged
from lottery.ledger.run_record import RunRecord
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import LOW_PRECISION_COMPOSITE, ExchangeAsk, Seed, derive_seed
from tests.builders import PUBLISHED, record_in, request_of

FIRST = dt.date(2025, 1, 2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A record, to make others of."""
    directory = tmp_path_factory.mktemp("recorded")
    return record_in(directory / "ledger", request_of(PUBLISHED, directory)).record


def seed_of(composite: int) -> Seed:
    whole, part = divmod(composite, 100_000)
    asks = [
        ExchangeAsk(security_number=security.number, ask_price="0.00000")
        for security in JPMS_2024_09_06.securities
    ]
    asks[0] = replace(asks[0], ask_price=f"{whole}.{part:05d}")
    return derive_seed(asks, JPMS_2024_09_06.securities)


def run_on(
    template: RunRecord,
    date: dt.date,
    composite: int,
    *,
    number: int = 1,
    supersedes: tuple[str, ...] = (),
) -> RunRecord:
    return replace(
        template,
        run=f"{date}-{number:03d}",
        business_date=date,
        seed=seed_of(composite),
        supersedes=supersedes,
        reason="the volumes were wrong" if supersedes else None,
    )


def days(count: int) -> list[dt.date]:
    return [FIRST + dt.timedelta(days=day) for day in range(count)]


def test_a_date_has_one_seed_with_every_run_that_stands(recorded: RunRecord) -> None:
    records = [
        run_on(recorded, FIRST, 282_431_310),
        run_on(recorded, FIRST, 282_431_310, number=2),
    ]

    (seed,) = seed_history(records).seeds

    assert (seed.business_date, seed.composite) == (FIRST, "282431310")
    assert (seed.digits, seed.fraction) == ("4313", "0.4314")
    assert seed.runs == (f"{FIRST}-001", f"{FIRST}-002")
    assert seed.flags == ()


def test_a_superseded_run_is_no_runs_of_its_date(recorded: RunRecord) -> None:
    first = run_on(recorded, FIRST, 282_431_310)
    second = run_on(recorded, FIRST, 282_555_510, number=2, supersedes=(first.run,))
    third = run_on(recorded, FIRST, 282_777_710, number=3, supersedes=(second.run,))

    (seed,) = seed_history([first, second, third]).seeds

    assert (seed.composite, seed.runs) == ("282777710", (third.run,))


def test_the_composite_of_a_superseded_run_does_not_come_again(recorded: RunRecord) -> None:
    yesterdays = run_on(recorded, FIRST + dt.timedelta(days=1), 282_431_310)
    right = run_on(
        recorded, yesterdays.business_date, 282_555_510, number=2, supersedes=(yesterdays.run,)
    )

    history = seed_history([run_on(recorded, FIRST, 282_431_310), yesterdays, right])

    assert [seed.flags for seed in history.seeds] == [(), ()]


def test_a_composite_that_comes_again_is_flagged_with_the_last_date_that_had_it(
    recorded: RunRecord,
) -> None:
    dates = days(4)
    composites = [282_431_310, 282_431_310, 300_123_456, 282_431_310]

    history = seed_history(map(run_on, [recorded] * 4, dates, composites))

    flags = [[(flag.code, flag.earlier_date) for flag in seed.flags] for seed in history.seeds]
    assert flags == [
        [],
        [(REPEATED_COMPOSITE, dates[0])],
        [],
        [(REPEATED_COMPOSITE, dates[1])],
    ]
    assert str(dates[1]) in history.seeds[3].flags[0].message


def test_digits_that_come_again_by_another_composite_are_not_flagged(recorded: RunRecord) -> None:
    records = [
        run_on(recorded, FIRST, 282_431_310),
        run_on(recorded, FIRST + dt.timedelta(days=1), 282_431_311),
    ]

    seeds = seed_history(records).seeds

    assert [seed.digits for seed in seeds] == ["4313", "4313"]
    assert [seed.flags for seed in seeds] == [(), ()]


@pytest.mark.parametrize(
    ("composite", "flagged"),
    [
        (282_431_000, [(LOW_PRECISION_COMPOSITE, "S7")]),
        (282_430_000, [(LOW_PRECISION_COMPOSITE, "S7")]),
        (282_431_100, []),
        (282_431_001, []),
    ],
)
def test_a_multiple_of_a_thousand_is_flagged_by_its_rule(
    recorded: RunRecord, composite: int, flagged: list[tuple[str, str]]
) -> None:
    (seed,) = seed_history([run_on(recorded, FIRST, composite)]).seeds

    assert [(flag.code, flag.rule) for flag in seed.flags] == flagged


def test_a_composite_from_before_the_first_date_is_flagged_too(recorded: RunRecord) -> None:
    records = [
        run_on(recorded, FIRST, 282_431_310),
        run_on(recorded, FIRST + dt.timedelta(days=9), 282_431_310),
    ]

    history = seed_history(records, first=FIRST + dt.timedelta(days=1))

    (seed,) = history.seeds
    assert [flag.earlier_date for flag in seed.flags] == [FIRST]
    assert history.uniformity.dates == 1


def test_two_seeds_that_stand_for_a_date_are_damage(recorded: RunRecord) -> None:
    records = [
        run_on(recorded, FIRST, 282_431_310),
        run_on(recorded, FIRST, 282_431_311, number=2),
    ]

    with pytest.raises(
        LedgerDamaged,
        match=f"expected one seed for {FIRST}, got several: .* {FIRST}-001, {FIRST}-002",
    ):
        seed_history(records)


def test_a_date_without_a_run_that_stands_is_damage(recorded: RunRecord) -> None:
    run = run_on(recorded, FIRST, 282_431_310)

    with pytest.raises(LedgerDamaged, match="expected a standing run of 2025-01-02, got none"):
        seed_history([replace(run, supersedes=(run.run,))])


def test_without_a_date_there_is_nothing_to_test() -> None:
    history = seed_history([])

    assert history.seeds == ()
    assert (history.uniformity.statistic, history.uniformity.p_value) == (None, None)
    assert "spread evenly, got 0" in history.uniformity.message()
    assert history.uniformity.warnings() == ()


def distance_of(digits: Sequence[int]) -> Fraction:
    """The largest distance between the digits' middles and an even spread, in exact fractions."""
    count = len(digits)
    middles = [Fraction(2 * each + 1, 20_000) for each in sorted(digits)]
    return max(
        max(Fraction(rank, count) - middle, middle - Fraction(rank - 1, count))
        for rank, middle in enumerate(middles, start=1)
    )


def probability_of(distance: Fraction, count: int) -> Fraction:
    """How often the distance is as large or larger, by Marsaglia, Tsang and Wang's matrix.

    "Evaluating Kolmogorov's Distribution", Journal of Statistical Software 8 (2003); here in exact
    fractions.
    """
    most = ceil(count * distance)
    rest = most - count * distance
    size = 2 * most - 1
    matrix = [
        [Fraction(int(row - column + 1 >= 0)) for column in range(size)] for row in range(size)
    ]
    for index in range(size):
        matrix[index][0] -= rest ** (index + 1)
        matrix[size - 1][index] -= rest ** (size - index)
    matrix[size - 1][0] += max(Fraction(0), 2 * rest - 1) ** size
    for row in range(size):
        for column in range(size):
            if row - column + 1 > 0:
                matrix[row][column] /= factorial(row - column + 1)
    line = [Fraction(int(column == most - 1)) for column in range(size)]
    for _ in range(count):
        line = [
            sum((line[row] * matrix[row][column] for row in range(size)), Fraction())
            for column in range(size)
        ]
    return 1 - line[most - 1] * factorial(count) / Fraction(count) ** count


def test_the_reference_gives_what_is_plain_for_one_date() -> None:
    # One draw is d or further from an even spread where it lies outside 1 - d to d.
    assert probability_of(Fraction(3, 4), 1) == Fraction(1, 2)
    assert probability_of(Fraction(1), 1) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=12))
def test_the_figures_are_those_of_exact_fractions(digits: list[int]) -> None:
    tested = uniformity_of([f"{each:04d}" for each in digits])

    distance = distance_of(digits)
    assert tested.statistic == pytest.approx(float(distance), rel=1e-3)
    exact = float(probability_of(distance, len(digits)))
    assert tested.p_value == pytest.approx(exact, rel=1e-3, abs=1e-12)


def test_the_figures_of_a_years_quarter_are_those_of_exact_fractions() -> None:
    digits = random.Random(63).sample(range(10_000), 63)  # noqa: S311 - no lottery is drawn with it.

    tested = uniformity_of([f"{each:04d}" for each in digits])

    exact = float(probability_of(distance_of(digits), len(digits)))
    assert tested.p_value == pytest.approx(exact, rel=1e-3)


def year_of(template: RunRecord, digits: Sequence[int]) -> list[RunRecord]:
    composites = [28_200_000_011 + each * 100 for each in digits]
    return list(map(run_on, [template] * len(digits), days(len(digits)), composites))


def test_an_even_year_is_not_warned_of(recorded: RunRecord) -> None:
    digits = random.Random(2025).choices(range(10_000), k=252)  # noqa: S311 - as above.

    history = seed_history(year_of(recorded, digits))

    assert [int(seed.digits) for seed in history.seeds] == digits
    assert history.uniformity.p_value is not None
    assert history.uniformity.p_value > 0.1
    assert history.uniformity.warnings() == ()
    assert "consistent with an even spread" in history.uniformity.message()


@pytest.mark.parametrize("count", [ENOUGH_DATES, 252])
def test_a_year_of_which_the_upper_third_never_comes_is_warned_of(
    recorded: RunRecord, count: int
) -> None:
    generator = random.Random(7)  # noqa: S311 - as above.
    digits = [generator.randrange(6_000) for _ in range(count)]

    uniformity = seed_history(year_of(recorded, digits)).uniformity

    (warning,) = uniformity.warnings()
    assert warning.code == UNEVEN_SEEDS
    assert f"{count} fair draws are at least this uneven with a probability of" in warning.message
    assert "check where the volumes of these dates come from" in warning.message


def test_a_year_of_one_and_the_same_fraction_is_described_in_plain_figures() -> None:
    message = uniformity_of(["4313"] * 252).message()

    assert "252 fair draws are at least this uneven with a probability of under 0.0001;" in message


def test_a_few_dates_alone_are_never_warned_of(recorded: RunRecord) -> None:
    history = seed_history(year_of(recorded, [17] * (ENOUGH_DATES - 1)))

    assert history.uniformity.p_value is not None
    assert history.uniformity.p_value < 1e-6
    assert history.uniformity.warnings() == ()
    assert "spread evenly, got 19" in history.uniformity.message()


def test_one_fair_year_in_a_hundred_is_warned_of_and_no_more() -> None:
    """The warning comes by chance as often as it says: 2,000 fair years, 5 standard errors."""
    generator = random.Random(11)  # noqa: S311 - as above.
    years = [
        [f"{each:04d}" for each in generator.choices(range(10_000), k=60)] for _ in range(2_000)
    ]

    warned = sum(bool(uniformity_of(year).warnings()) for year in years)

    assert abs(warned - 20) <= 5 * (2_000 * 0.01 * 0.99) ** 0.5


def test_recorded_runs_have_their_seeds(tmp_path: Path, recorded: RunRecord) -> None:
    later = replace(PUBLISHED, asks={**PUBLISHED.asks, "Z901803": "862.00000"})
    first = record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path)).record
    second = record_in(
        tmp_path / "ledger",
        request_of(later, tmp_path, supersedes=[first.run], reason="other volumes"),
    ).record

    (seed,) = seed_history([first, second]).seeds

    assert first.seed == recorded.seed
    assert (seed.runs, seed.composite) == ((second.run,), str(second.seed.composite))
