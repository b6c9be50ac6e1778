"""Compiling ahead: after warming up, no day waits for the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tests
from lottery.day import loops
from lottery.day.warm import warm_up
from tests.loops import versions_of

LOOPS_AFTER_DAYS = """
from lottery.day import arrange as arrange_module, loops, threads
from lottery.day.single_pool import allocate_pool, arrange_pool
from lottery.day.warm import warm_up
from lottery.method.methodology import AccountOrder, ZeroHit
from tests.loops import versions_of
from tests.builders import *

warm_up()
warm = versions_of(loops)
assert all(warm.values()), warm
notices = notices_table([notice("N1", AAPL, 10), notice("N2", SPY, 2, "C"), notice("N3", ZVZZT, 1)])
rows = [
    *PUBLISHED_POSITIONS,
    *positions_of(SPY, {"1" + "0" * 25: 1, "99": 0}, "C"),
    *positions_of(AAPL, {"x": 1, "7": 1, "07": 1}, "F"),
]
for most_pairs in (1 << 26, 1):
    arrange_module._PAIRS_IN_A_TABLE = most_pairs
    for rows_a_thread in (50_000, 1):
        threads.ROWS_WORTH_A_THREAD = rows_a_thread
        for order in AccountOrder:
            for zero_hit in ZeroHit:
                for positions in (
                    positions_table(rows),
                    in_chunks(positions_table(rows), 2),
                    positions_table([]),
                    positions_table([*rows, *rows]).slice(len(rows)),
                ):
                    allocate_tables(notices, positions, zero_hit=zero_hit, account_order=order)
                    now = versions_of(loops)
                    assert now == warm, (most_pairs, rows_a_thread, order, now, warm)
for accounts in (["2", "1"], ["9" * 30, "1"], ["1", "2", "01"]):
    pool = arrange_pool(accounts, AccountOrder.NUMERIC)
    allocate_pool(pool, range(1, len(accounts) + 1), assigned_quantity=1, ten_thousandths=1,
                  zero_hit=ZeroHit.FIRST)
    assert versions_of(loops) == warm, (accounts, versions_of(loops), warm)
"""


def test_warming_up_can_be_done_again() -> None:
    warm_up()
    versions = versions_of(loops)

    warm_up()

    assert all(versions.values())
    assert versions_of(loops) == versions


def test_after_warming_up_no_day_compiles_a_loop_again() -> None:
    root = Path(tests.__path__[0]).parent

    done = subprocess.run(
        [sys.executable, "-c", LOOPS_AFTER_DAYS],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stderr
