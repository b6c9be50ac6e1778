"""What lies near a break: the pool that its notice, or a position, was likely meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery import operations
from lottery.web.console.nearby import NEAR_POOLS, NearPool, near_pools
from tests.builders import SmallDay, notice, position, record_in, request_of, settings_of
from tests.web.consoles import RUN, asking

BROKEN = "XYZ   240920C00100000"


def near(tmp_path: Path, *pools: tuple[str, str]) -> list[NearPool]:
    """Return what lies near a break of OCC account C, of a day that has these pools too."""
    day = SmallDay(
        notices=[notice("A0", BROKEN, 9, "C")]
        + [notice(f"B{at}", series, 1, occ) for at, (series, occ) in enumerate(pools)],
        positions=[position(series, f"10{at}", 2, occ) for at, (series, occ) in enumerate(pools)],
    )
    record_in(tmp_path / "ledger", request_of(day, tmp_path / "in"))
    ledger = operations.open_ledger(settings_of(tmp_path / "ledger"))
    (broken,) = operations.explain(ledger, RUN, series=BROKEN, occ_account="C")
    return near_pools(broken, operations.pools(ledger, RUN))


@pytest.mark.parametrize(
    ("series", "occ_account", "differs"),
    [
        (BROKEN, "F", "the OCC account"),
        (BROKEN, "", "the OCC account"),
        ("XYZ   240920C00105000", "C", "the strike"),
        ("XYZ   240920P00100000", "C", "call or put"),
        ("XYZ   241018C00100000", "C", "the expiration"),
        ("XYZ1  240920C00100000", "C", "the root"),
        ("XYZW  240920C00100000", "C", "the root"),
    ],
)
def test_a_pool_that_differs_in_one_thing_is_near_and_says_in_which(
    tmp_path: Path, series: str, occ_account: str, differs: str
) -> None:
    (found,) = near(tmp_path, (series, occ_account))

    assert found == NearPool(series=series, occ_account=occ_account, differs=(differs,))


@pytest.mark.parametrize("root", ["XY", "XYZAB", "ABC", "X", "XYA"])
def test_another_underlying_is_not_near(tmp_path: Path, root: str) -> None:
    assert near(tmp_path, (f"{root:6}240920C00100000", "C")) == []


def test_the_nearest_come_first_and_not_all_of_them(tmp_path: Path) -> None:
    strikes = [f"XYZ   240920C{strike:08d}" for strike in (90_000, 99_000, 103_000, 150_000)]
    others = ["XYZ   241018C00100000", "XYZ   241018P00100000", "XYZ1  241018P00105000"]

    found = near(tmp_path, *((series, "C") for series in [*others[::-1], *strikes]))

    assert len(found) == NEAR_POOLS
    assert [one.series for one in found] == [others[0], *(strikes[at] for at in (1, 2, 0, 3))]


def test_the_page_of_a_break_names_the_accounts_that_lie_near_it(tmp_path: Path) -> None:
    put = "XYZ   240920P00100000"
    near(tmp_path, (put, "C"), *((f"AB    240920C{at:08d}", "C") for at in range(1, 30)))
    console = asking(tmp_path / "ledger")

    page = console.get(f"/runs/{RUN}/breaks/XYZ240920C00100000?occ_account=C")

    assert "NO_POSITION: nobody is short." in page.text
    assert "no account is short in this pool" in page.text
    assert "XYZ put at 100, expiring 20 September 2024" in page.text
    assert "differs in call or put" in page.text
    assert "Accounts short there. AccountShortIts numbersNumbers assignedAssigned 1002" in page.text
    assert f"/runs/{RUN}/pools/XYZ240920P00100000?occ_account=C" in page.links


def test_a_break_of_a_pool_of_all_occ_accounts_shows_every_notice(tmp_path: Path) -> None:
    method = operations.JPMS_2024_09_06.deciding({"pool": "series"})
    day = SmallDay(
        notices=[notice("A0", BROKEN, 2, "C"), notice("A1", BROKEN, 3, "F")],
        positions=[position(BROKEN, "1046", 4, "C")],
    )
    record_in(tmp_path / "ledger", request_of(day, tmp_path / "in", methodology=method))

    page = asking(tmp_path / "ledger").get(f"/runs/{RUN}/breaks/XYZ240920C00100000?occ_account=")

    assert "NoticeOCC accountContracts A0C2 A1F3" in page.text
