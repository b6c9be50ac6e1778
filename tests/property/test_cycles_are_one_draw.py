"""Law (P6): any split of a date's notices into cycles gives the sums of one draw of all of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
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
    made,
    notice,
    position,
    positions_of,
    record_in,
    replays_of,
    request_of,
)
from tests.reference import Row

DAYS = 20


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


@pytest.mark.parametrize("seed", range(DAYS))
def test_cycles_in_any_split_and_order_give_what_one_draw_gives(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    day = _a_day(generator)
    at_once = record_in(tmp_path / "once", request_of(day, tmp_path / "in"))
    once = made(tmp_path / "once")
    expected = _assigned(once, [at_once.record.run])
    notices = list(day.notices)
    generator.shuffle(notices)
    cycles: list[list[Row]] = []
    while notices:
        size = generator.randint(1, len(notices))
        cycles.append(notices[:size])
        notices = notices[size:]

    runs: list[str] = []
    ledger = made(tmp_path / "split")
    for number, some in enumerate(cycles, 1):
        series = {row["series"] for row in some}
        kind = generator.choice(("as it was", "what is left", "left out"))
        positions = list(day.positions)
        if kind == "what is left":
            positions = _without(positions, _assigned(ledger, runs))
        elif kind == "left out":
            drawn = {str(one["series"]) for run in runs for one in _pools(ledger, run)}
            positions = [row for row in positions if row["series"] not in drawn & series]
        positions.append(position("KO    240920C00067500", "1", 1, "C"))
        cycle = replace(day, notices=some, positions=positions)
        request = request_of(cycle, tmp_path / f"in{number}", cycle=number)
        recorded = record_in(tmp_path / "split", request)
        assert recorded.record.break_count == 0
        runs.append(recorded.record.run)
        # The same request again is known, although what stands has changed by it.
        assert record_in(tmp_path / "split", request).already_recorded

    assert _assigned(ledger, runs) == expected
    first_hits = [
        {(one["series"], one["first_hit"]) for one in _pools(of, run)}
        for of, some_runs in ((once, [at_once.record.run]), (ledger, runs))
        for run in some_runs
    ]
    assert set.union(*first_hits) == first_hits[0]
    for engine in Engine:
        assert all(replayed.matched for replayed in replays_of(tmp_path / "split", engine))
    assert_sound(tmp_path / "split")


def _pools(ledger: Ledger, run: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = ledger.read(ledger.get(run), "pools.parquet").to_pylist()
    return rows
