"""Law (P6): any split of a date's notices into cycles gives the sums of one draw of all of them."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.ledger.commit import Ledger
from lottery.method.methodology import JPMS_2024_09_06, Pooling
from tests.builders import (
    AAPL,
    GE,
    META,
    SmallDay,
    asks_making,
    assert_sound,
    made,
    notice,
    position,
    positions_of,
    replays_of,
    request_of_wire,
)
from tests.reference import Row, allocate_day

FEW, MANY = 40, 1_000
"""So many days are tried, and where there is time so many."""
DATES = [dt.date(2024, 9, day) for day in (9, 10, 11, 12, 13, 16, 17, 18, 19, 20)]
"""The dates of a ledger; to make, open and verify one takes as long as to record some days."""


def _a_day(generator: random.Random, seed: int) -> SmallDay:
    """Return a day of up to three pools, none of them a break, with several notices each.

    Its volumes and the ids of its notices are those of no other date of its ledger.
    """
    notices: list[Row] = []
    positions: list[Row] = []
    for series in (AAPL, GE, META)[: generator.randint(1, 3)]:
        shorts = [generator.randint(1, 30) for _ in range(generator.randint(1, 8))]
        numbers = generator.sample(range(1, 10_000), len(shorts))
        positions += positions_of(series, zip(map(str, numbers), shorts, strict=True), "C")
        left = sum(shorts)
        for count in range(generator.randint(1, 6)):
            if left:
                quantity = generator.randint(1, left)
                left -= quantity
                notices.append(notice(f"{series[:2].strip()}{seed}-{count}", series, quantity, "C"))
    asks = asks_making(generator.randrange(10**8, 10**9))
    return SmallDay(notices=notices, positions=positions, asks=asks)


def _assigned(ledger: Ledger, runs: Sequence[str]) -> Counter[tuple[str, str]]:
    """Return what the runs assigned to each account of a series, together."""
    sums: Counter[tuple[str, str]] = Counter()
    for run in runs:
        for row in ledger.read(ledger.get(run), "allocations.parquet").to_pylist():
            sums[row["series"], row["account"]] += row["assigned_quantity"]
    return sums


def _without(positions: Sequence[Row], assigned: Counter[tuple[str, str]]) -> list[Row]:
    """Return the positions with what was assigned taken off; an account may have none left."""
    return [
        {
            **row,
            "short_quantity": int(str(row["short_quantity"]))
            - assigned[str(row["series"]), str(row["account"])],
        }
        for row in positions
    ]


@pytest.mark.parametrize(
    "first_seed",
    [
        pytest.param(seed, marks=pytest.mark.slow if seed < FEW else pytest.mark.long)
        for seed in range(0, MANY, len(DATES))
    ],
)
def test_cycles_in_any_split_and_order_give_what_one_draw_gives(
    first_seed: int, tmp_path: Path
) -> None:
    # In turn what makes a pool (P3): the OCC account and the series, or the series.
    pooling = [*Pooling][first_seed // len(DATES) % len(Pooling)]
    ledger = made(tmp_path / "ledger", replace(JPMS_2024_09_06, pool=pooling))
    for seed, date in enumerate(DATES, first_seed):
        _assert_one_draw(ledger, seed, date, pooling)

    assert all(replayed.matched for replayed in replays_of(tmp_path / "ledger", Engine.SQL))
    assert_sound(tmp_path / "ledger")


def _assert_one_draw(ledger: Ledger, seed: int, date: dt.date, pooling: Pooling) -> None:
    """Record a day in cycles, and compare what they assign with one draw of all of it."""
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    day = replace(_a_day(generator, seed), date=date)
    day = replace(day, notices=_as_they_come(day.notices, generator, pooling))
    at_once = _as_they_come(day.positions, generator, pooling)
    once = allocate_day(day.notices, at_once, day.asks, pool=pooling.value)
    notices = generator.sample(day.notices, len(day.notices))
    cuts = sorted({0, len(notices), *(generator.randint(0, len(notices)) for _ in range(3))})
    runs: list[str] = []
    first_hits: set[tuple[object, object]] = set()
    for number, (start, end) in enumerate(pairwise(cuts)):
        positions = list(day.positions)
        if runs and (seed + number) % 3 == 1:  # What is left.
            positions = _without(positions, _assigned(ledger, runs))
        elif (seed + number) % 3 == 2:
            drawn = {series for series, _ in first_hits}
            positions = [row for row in positions if row["series"] not in drawn]
        # A file has a row at least.
        positions.append(position("KO    240920C00067500", "1", 1, "C"))
        positions = _as_they_come(positions, generator, pooling)
        cycle = replace(day, notices=notices[start:end], positions=positions)
        methodology = replace(JPMS_2024_09_06, pool=pooling)
        request = request_of_wire(cycle, as_arrow=False, cycle=number + 1, methodology=methodology)
        recorded = operations.run_lottery(ledger, request)
        assert recorded.record.break_count == 0
        runs.append(recorded.record.run)
        first_hits |= _first_hits(ledger, runs[-1])
        # The same request again is known, although what stands has changed by it.
        assert operations.run_lottery(ledger, request).already_recorded

    assert _assigned(ledger, runs) == {
        (row["series"], row["account"]): row["assigned_quantity"] for row in once.allocations
    }
    assert first_hits == {(pool["series"], pool["first_hit"]) for pool in once.pools}


def _as_they_come(rows: Sequence[Row], generator: random.Random, pooling: Pooling) -> list[Row]:
    """Return the rows; where a pool is a series, each with any OCC account."""
    if pooling is Pooling.OCC_ACCOUNT:
        return list(rows)
    return [{**row, "occ_account": generator.choice(["", "C", "F", "M/ABC"])} for row in rows]


def _first_hits(ledger: Ledger, run: str) -> set[tuple[object, object]]:
    """Return the series of a run's pools with their first hits."""
    rows = ledger.read(ledger.get(run), "pools.parquet").to_pylist()
    return {(row["series"], row["first_hit"]) for row in rows}
