"""Law (P6): any split of a date's notices into cycles gives the sums of one draw of all of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lottery.audit.replay import Engine
from lottery.ledger.commit import Ledger
from tests.builders import (
    AAPL,
    GE,
    META,
    SmallDay,
    assert_sound,
    notice,
    opened,
    position,
    positions_of,
    record_in,
    replays_of,
    request_of_wire,
)
from tests.reference import Row, allocate_day

DAYS = 8
MANY = 1_000
"""So many days are tried where there is time."""


def _a_day(generator: random.Random) -> SmallDay:
    """Return a day of up to three pools, none of them a break, with several notices each."""
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
                notices.append(notice(f"{series[:2].strip()}{count}", series, quantity, "C"))
    return SmallDay(notices=notices, positions=positions)


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
    "seed",
    [*range(DAYS), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(DAYS, MANY))],
)
def test_cycles_in_any_split_and_order_give_what_one_draw_gives(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    day = _a_day(generator)
    once = allocate_day(day.notices, day.positions, day.asks)
    notices = generator.sample(day.notices, len(day.notices))
    cuts = sorted({0, len(notices), *(generator.randint(0, len(notices)) for _ in range(3))})
    runs: list[str] = []
    first_hits: set[tuple[object, object]] = set()
    for number, (start, end) in enumerate(pairwise(cuts)):
        positions = list(day.positions)
        if runs and (seed + number) % 3 == 1:  # What is left.
            positions = _without(positions, _assigned(opened(tmp_path / "ledger"), runs))
        elif (seed + number) % 3 == 2:
            drawn = {series for series, _ in first_hits}
            positions = [row for row in positions if row["series"] not in drawn]
        # A file has a row at least.
        positions.append(position("KO    240920C00067500", "1", 1, "C"))
        cycle = replace(day, notices=notices[start:end], positions=positions)
        request = request_of_wire(cycle, as_arrow=False, cycle=number + 1)
        recorded = record_in(tmp_path / "ledger", request)
        assert recorded.record.break_count == 0
        runs.append(recorded.record.run)
        first_hits |= _first_hits(opened(tmp_path / "ledger"), runs[-1])
        # The same request again is known, although what stands has changed by it.
        assert record_in(tmp_path / "ledger", request).already_recorded

    assert _assigned(opened(tmp_path / "ledger"), runs) == {
        (row["series"], row["account"]): row["assigned_quantity"] for row in once.allocations
    }
    assert first_hits == {(pool["series"], pool["first_hit"]) for pool in once.pools}
    assert all(replayed.matched for replayed in replays_of(tmp_path / "ledger", Engine.SQL))
    assert_sound(tmp_path / "ledger")


def _first_hits(ledger: Ledger, run: str) -> set[tuple[object, object]]:
    """Return the series of a run's pools with their first hits."""
    rows = ledger.read(ledger.get(run), "pools.parquet").to_pylist()
    return {(row["series"], row["first_hit"]) for row in rows}
