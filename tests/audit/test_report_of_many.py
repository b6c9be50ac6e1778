"""The audit page of days too large to be shown whole: it stays small and says what it left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.audit.report.request import PageRequest
from lottery.audit.report.run_page import POOLS_LISTED, POOLS_SHOWN
from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.ledger.commit import Ledger
from tests.audit.pages import read_page
from tests.builders import (
    ASKS,
    REQUESTER,
    opened,
    record_in,
    request_of_files,
    volumes_text,
)

LIMIT = 5_000_000
"""Bytes of a page at most."""
POOLS = 20_000
A_BREAK_IN = 20
LARGE = 9 * 10**17
"""Contracts of the largest quantities, whose figures are as wide as figures can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A day as columns: by position its pool, account and short; by pool its contracts."""

    series: Sequence[str]
    pool_of: Sequence[int]
    accounts: Sequence[str]
    shorts: Sequence[int]
    assigned: Sequence[int]


def ledger_of(columns: Columns, folder: Path) -> Ledger:
    """A ledger with that day; pool n is of OCC account C."""
    folder.mkdir(exist_ok=True)
    names = pa.array(columns.series)
    positions = {
        "series": names.take(pa.array(columns.pool_of)),
        "account": pa.array(columns.accounts),
        "short_quantity": pa.array(columns.shorts, pa.int64()),
        "occ_account": pa.array(["C"] * len(columns.accounts)),
    }
    notices = {
        "notice_id": pa.array([f"N{index:09d}" for index in range(len(names))]),
        "series": names,
        "quantity": pa.array(columns.assigned, pa.int64()),
        "occ_account": pa.array(["C"] * len(names)),
    }
    paths = {role: folder / f"{role}.parquet" for role in ("positions", "notices")}
    pq.write_table(pa.table(positions).select(POSITION_ROWS.names), paths["positions"])
    pq.write_table(pa.table(notices).select(NOTICE_ROWS.names), paths["notices"])
    paths["volumes"] = folder / "volumes.csv"
    paths["volumes"].write_text(volumes_text(ASKS), "utf-8")
    record_in(folder / "ledger", request_of_files(paths))
    return opened(folder / "ledger")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """20,000 pools of two accounts; every twentieth is a break."""
    pools = np.arange(POOLS)
    return ledger_of(
        Columns(
            series=[f"P     240920C{pool:08d}" for pool in range(POOLS)],
            pool_of=np.repeat(pools, 2).tolist(),
            accounts=["100000001046", "100000001047"] * POOLS,
            shorts=np.repeat(pools + 1, 2).tolist(),
            assigned=np.where(pools % A_BREAK_IN, pools + 1, 3 * pools + 3).tolist(),
        ),
        tmp_path_factory.mktemp("many"),
    )


def test_the_page_of_20_000_pools_is_small_and_says_exactly_what_it_left_out(
    many: Ledger,
) -> None:
    asked = ("P     240920C00000001", "P     240920C00000002")
    page = operations.report(many, "latest", PageRequest(series=asked), REQUESTER)
    assert len(page.html.encode()) < LIMIT
    assert (page.pool_count, page.shown_pool_count) == (POOLS, POOLS_SHOWN)
    text = read_page(page.html).text
    record = many.get("latest")

    # Asked for: 2. Breaks: 1,000, of which 10 are shown and 500 listed. Then the largest.
    assigned = {pool: 3 * pool + 3 if pool % A_BREAK_IN == 0 else pool + 1 for pool in range(POOLS)}
    breaks = [pool for pool in range(POOLS) if pool % A_BREAK_IN == 0]
    by_size = sorted(assigned, key=lambda pool: (-assigned[pool], pool))
    shown = list(dict.fromkeys([1, 2, *breaks[:10], *by_size]))[:POOLS_SHOWN]
    listed = list(dict.fromkeys([1, 2, *breaks[:500], *by_size]))[:POOLS_LISTED]
    for some, count in ((shown, POOLS_SHOWN), (listed, POOLS_LISTED)):
        left = record.assigned_quantity - sum(assigned[pool] for pool in some)
        assert f"Left out: {POOLS - count:,} pools with {left:,} contracts." in text
    left = sum(assigned[pool] for pool in breaks[500:])
    assert f"Left out: 500 breaks with {left:,} contracts." in text
    for series in asked:
        assert f"{' '.join(series.split())} · OCC account C" in text


def test_the_page_of_an_account_in_20_000_pools_is_small_too(many: Ledger) -> None:
    request = PageRequest(account="100000001046")
    page = operations.report(many, "latest", request, REQUESTER)
    assert len(page.html.encode()) < LIMIT
    assert page.pool_count == POOLS
    text = read_page(page.html).text
    assert "Left out: 15,000 positions with" in text
    assert "100000001047" not in page.html


def test_pages_of_the_widest_figures_and_the_most_accounts_are_small(tmp_path: Path) -> None:
    pools, accounts = 30, 500
    numbers = [str(10**29 + index) for index in range(accounts)] * pools
    columns = Columns(
        series=[f"WIDEST240920C{pool:08d}" for pool in range(pools)],
        pool_of=np.repeat(np.arange(pools), accounts).tolist(),
        accounts=numbers,
        shorts=[LARGE // accounts] * len(numbers),
        # Past half of the numbers, so that accounts are hit in two ranges.
        assigned=[LARGE // 3 * 2] * 10 + [LARGE // accounts * accounts] * 20,
    )
    ledger = ledger_of(columns, tmp_path / "widest")
    page = operations.report(ledger, "latest", PageRequest(), REQUESTER)
    assert len(page.html.encode()) < LIMIT
    text = read_page(page.html).text
    # 6,000 rows of accounts for 30 pools: 200 of each.
    assert "Left out: 300 accounts, " in text


def test_a_giant_pool_says_how_many_accounts_it_draws_together_and_leaves_out(
    tmp_path: Path,
) -> None:
    accounts = 50_000
    columns = Columns(
        series=["AAPL  240920C00220000"],
        pool_of=[0] * accounts,
        accounts=[str(10**9 + index) for index in range(accounts)],
        shorts=[1] * accounts,
        assigned=[25],
    )
    ledger = ledger_of(columns, tmp_path / "giant")
    page = operations.report(ledger, "latest", PageRequest(), REQUESTER)
    text = read_page(page.html).text
    assert "The thin band: 50,000 accounts whose ranges are too narrow" in text
    # 0.4314 of 50,000 is 21,570: 25 accounts are hit, and shown with those beside.
    shown = 10**9 + 21_569
    assert f"{shown} 1 21,570 21,570 1" in text
    assert f"{shown - 1} 1 21,569 none 0" in text
    assert f"{shown + 25} 1 21,595 none 0" in text
