"""Explain: a pool's working step by step, as the published example shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.audit import wording
from lottery.audit.explain import ACCOUNTS_SHOWN, PoolWorking, exact_product
from lottery.errors import NotInRun, PoolBroken, Refused, RunNotFound
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord
from lottery.method.distribution import NumberRange
from lottery.method.methodology import JPMS_2024_09_06
from tests.builders import (
    AAPL,
    FULL,
    GE,
    GOOGL,
    META,
    PUBLISHED,
    SmallDay,
    notice,
    opened,
    position,
    record_in,
    request_of,
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The full day, recorded."""
    return recorded(FULL, tmp_path_factory.mktemp("explained"))


def recorded(day: SmallDay, folder: Path, **given: Any) -> Ledger:
    record_in(folder / "ledger", request_of(day, folder / "in", **given))
    return opened(folder / "ledger")


def numbers(ranges: Sequence[NumberRange]) -> list[tuple[int, int]]:
    return [(hit_range.first_number, hit_range.last_number) for hit_range in ranges]


def accounts(working: PoolWorking) -> list[tuple[str, int, tuple[int, int], int, object]]:
    return [
        (
            account.account,
            account.short_quantity,
            (account.first_number, account.last_number),
            account.assigned_quantity,
            numbers(account.numbers_hit),
        )
        for account in working.accounts
    ]


def test_the_published_example_is_explained_whole(tmp_path: Path) -> None:
    (working,) = operations.explain(recorded(PUBLISHED, tmp_path), "latest", series=AAPL)

    assert (working.seed.composite, working.seed.length, working.seed.cut_position) == (
        282_431_310,
        9,
        4,
    )
    assert (working.seed.digits, working.seed.fraction) == ("4313", "0.4314")
    assert [volume.volume for volume in working.seed.volumes] == [
        86_245_713,
        11_820_946,
        40_793_388,
        143_571_263,
    ]
    assert (working.total_short, working.product, working.first_hit) == (65, "28.041", 28)
    assert (working.notice_count, working.assigned_quantity) == (1, 10)
    assert numbers(working.ranges) == [(28, 37)]
    assert accounts(working) == [
        ("1046", 30, (1, 30), 3, [(28, 30)]),
        ("1047", 30, (31, 60), 7, [(31, 37)]),
        ("1048", 5, (61, 65), 0, []),
    ]
    assert (working.account_count, working.hit_account_count) == (3, 2)
    assert (working.wraps, working.is_zero_hit, working.accounts_left_out) == (False, False, 0)
    assert (working.run, working.business_date) == ("2024-09-16-001", "2024-09-16")
    assert (working.method, working.zero_hit) == ("jpms-2024-09-06", "wrap")


def test_a_wrap_goes_on_from_number_1_and_hits_the_first_account_again(ledger: Ledger) -> None:
    (working,) = operations.explain(ledger, "latest", series=META)

    # 0.4314 x 40 = 17.256, and 38 contracts from 17: 17 to 40, then 1 to 14.
    assert (working.product, working.first_hit, working.notice_count) == ("17.256", 17, 2)
    assert numbers(working.ranges) == [(17, 40), (1, 14)]
    assert working.wraps
    assert accounts(working) == [
        ("0042", 12, (1, 12), 12, [(1, 12)]),
        ("1993", 20, (13, 32), 18, [(17, 32), (13, 14)]),
        ("48213", 5, (33, 37), 5, [(33, 37)]),
        ("2381947", 3, (38, 40), 3, [(38, 40)]),
    ]


def test_a_zero_hit_is_the_last_number(ledger: Ledger) -> None:
    (working,) = operations.explain(ledger, "latest", series=GOOGL, occ_account="C")

    assert (working.product, working.first_hit) == ("0.8628", 2)
    assert working.is_zero_hit
    assert not working.wraps
    assert [(account.account, account.assigned_quantity) for account in working.accounts] == [
        ("263", 0),
        ("104611", 1),
    ]


def test_a_zero_hit_that_was_decided_as_first_is_number_1(tmp_path: Path) -> None:
    decided = JPMS_2024_09_06.deciding({"zero_hit": "first"})
    ledger = recorded(FULL, tmp_path, methodology=decided)

    (working,) = operations.explain(ledger, "latest", series=GOOGL)

    assert (working.zero_hit, working.is_zero_hit, working.first_hit) == ("first", True, 1)
    assert [account.assigned_quantity for account in working.accounts] == [1, 0]


def test_a_break_has_both_figures_and_no_numbers(ledger: Ledger) -> None:
    (working,) = operations.explain(ledger, "latest", series=GE)

    assert (working.break_reason, working.assigned_quantity, working.total_short) == (
        "EXCEEDS_SHORT",
        25,
        22,
    )
    assert (working.first_hit, working.ranges, working.is_zero_hit) == (None, (), False)
    assert accounts(working) == [
        ("0815", 10, (0, 0), 0, []),
        ("904", 3, (0, 0), 0, []),
        ("9038415", 9, (0, 0), 0, []),
    ]
    assert working.accounts_left_out == 0


def test_a_break_without_any_position_is_explained(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", GE, 3), *PUBLISHED.notices[:0]], positions=FULL.positions[:1]
    )
    (working,) = operations.explain(recorded(day, tmp_path), "latest", series=GE)

    assert (working.break_reason, working.total_short, working.product) == ("NO_POSITION", 0, "0")
    assert (working.accounts, working.accounts_left_out, working.is_zero_hit) == ((), 0, False)


@pytest.mark.parametrize("series", [META, META.replace(" ", "")])
def test_a_series_may_be_asked_for_in_either_form(ledger: Ledger, series: str) -> None:
    (working,) = operations.explain(ledger, "latest", series=series)

    assert working.series == META


def test_an_account_is_shown_alone_in_each_of_its_pools(ledger: Ledger) -> None:
    workings = operations.explain(ledger, "latest", account="1993")

    assert [working.series for working in workings] == [META]
    assert [account.account for account in workings[0].accounts] == ["1993"]
    assert workings[0].accounts_left_out == 3
    everything = repr(workings)
    for foreign in ("0042", "48213", "2381947", "1046"):
        assert f"'{foreign}'" not in everything


def test_an_account_of_a_broken_pool_is_shown_alone_too(ledger: Ledger) -> None:
    (working,) = operations.explain(ledger, "latest", account="904")

    assert working.break_reason == "EXCEEDS_SHORT"
    assert accounts(working) == [("904", 3, (0, 0), 0, [])]
    assert working.accounts_left_out == 2


def test_an_account_in_several_pools_is_shown_in_their_order(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[
            notice(f"A{occ}{series}", series, 1, occ) for series in (META, AAPL) for occ in "FC"
        ],
        positions=[
            position(series, account, 2, occ)
            for series in (META, AAPL)
            for occ in "FC"
            for account in ("7", "8")
        ],
    )
    workings = operations.explain(recorded(day, tmp_path), "latest", account="7")

    assert [(working.occ_account, working.series) for working in workings] == [
        ("C", AAPL),
        ("C", META),
        ("F", AAPL),
        ("F", META),
    ]
    assert {account.account for working in workings for account in working.accounts} == {"7"}


def test_leading_zeros_belong_to_an_account(ledger: Ledger) -> None:
    (working,) = operations.explain(ledger, "latest", account="0042")

    assert working.accounts[0].assigned_quantity == 12
    with pytest.raises(NotInRun, match="account '42' is in no pool of run 2024-09-16-001"):
        operations.explain(ledger, "latest", account="42")


@pytest.mark.parametrize("account", ["351406", "99999", "", "x' or '1'='1"])
def test_an_account_that_is_in_no_pool_is_reported(ledger: Ledger, account: str) -> None:
    with pytest.raises(NotInRun):
        operations.explain(ledger, "latest", account=account)


def test_a_series_that_has_no_notice_is_reported(ledger: Ledger) -> None:
    for series, occ_account in (
        ("KO    240920C00067500", None),
        ("XOM   240920P00115000", None),
        (AAPL, "F"),
        (AAPL, ""),
    ):
        with pytest.raises(NotInRun, match="has no pool of series"):
            operations.explain(ledger, "latest", series=series, occ_account=occ_account)


def test_a_series_that_is_no_symbol_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="expected an OSI symbol"):
        operations.explain(ledger, "latest", series="AAPL")


def test_a_run_that_is_not_there_is_reported(ledger: Ledger) -> None:
    with pytest.raises(RunNotFound):
        operations.explain(ledger, "2024-09-16-002", series=AAPL)
    with pytest.raises(RunNotFound):
        operations.explain(ledger, "nonsense", account="1046")


def test_a_series_of_several_pools_asks_for_the_occ_account(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice(f"A{occ}", AAPL, 1, occ) for occ in ("C", "F", "M/ABC")],
        positions=[position(AAPL, "7", 2, occ) for occ in ("C", "F", "M/ABC")],
    )
    opened = recorded(day, tmp_path)

    with pytest.raises(NotInRun, match="name one of the OCC accounts 'C', 'F', 'M/ABC'"):
        operations.explain(opened, "latest", series=AAPL)
    (working,) = operations.explain(opened, "latest", series=AAPL, occ_account="M/ABC")
    assert working.occ_account == "M/ABC"


@pytest.mark.parametrize("hit", [3, ACCOUNTS_SHOWN + 20])
def test_of_very_many_accounts_those_hit_are_shown_up_to_the_limit(
    tmp_path: Path, hit: int
) -> None:
    count = ACCOUNTS_SHOWN + 50
    day = SmallDay(
        notices=[notice("A1", AAPL, hit)],
        positions=[position(AAPL, str(number), 1) for number in range(1, count + 1)],
    )
    opened = recorded(day, tmp_path)

    (working,) = operations.explain(opened, "latest", series=AAPL)

    assert len(working.accounts) == min(hit, ACCOUNTS_SHOWN)
    assert all(account.assigned_quantity == 1 for account in working.accounts)
    assert working.accounts_left_out == count - len(working.accounts)
    (alone,) = operations.explain(opened, "latest", account=str(count))
    assert [account.account for account in alone.accounts] == [str(count)]


def test_of_very_many_accounts_of_a_broken_pool_the_first_are_shown(tmp_path: Path) -> None:
    count = ACCOUNTS_SHOWN + 1
    day = SmallDay(
        notices=[notice("A1", AAPL, count + 1)],
        positions=[position(AAPL, str(number), 1) for number in range(1, count + 1)],
    )
    (working,) = operations.explain(recorded(day, tmp_path), "latest", series=AAPL)

    assert (len(working.accounts), working.accounts_left_out) == (ACCOUNTS_SHOWN, 1)
    assert working.accounts[0].account == "1"


@pytest.mark.parametrize(
    ("ten_thousandths", "total", "product"),
    [
        (4_314, 65, "28.041"),
        (1, 1, "0.0001"),
        (10_000, 65, "65"),
        (5_000, 20, "10"),
        (2_900, 100, "29"),
        (1, 0, "0"),
        (9_999, 2**63 - 1, "9222449699651090329.4193"),
    ],
)
def test_the_product_is_exact_and_without_idle_zeros(
    ten_thousandths: int, total: int, product: str
) -> None:
    assert exact_product(ten_thousandths, total) == product


def test_recorded_allocations_and_pools_are_read_whole_or_in_part(ledger: Ledger) -> None:
    everything = operations.allocations(ledger, "latest")
    of_pool = operations.allocations(
        ledger, "latest", series=META.replace(" ", ""), occ_account="C"
    )
    of_account = operations.allocations(ledger, "latest", account="0042")

    assert everything.num_rows == 9
    assert of_pool.column("account").to_pylist() == ["0042", "1993", "48213", "2381947"]
    assert of_account.column("assigned_quantity").to_pylist() == [12]
    assert operations.pools(ledger, "latest").column("series").to_pylist() == [
        AAPL,
        GE,
        GOOGL,
        META,
    ]


def test_allocations_of_a_pool_that_the_run_does_not_have_are_an_error(ledger: Ledger) -> None:
    with pytest.raises(NotInRun, match="has no pool of OCC account 'F'"):
        operations.allocations(ledger, "latest", occ_account="F")


class Overtaken(Ledger):
    """A ledger in which another run is recorded right after a run was looked up."""

    def __init__(self, ledger: Ledger, record: Callable[[], object]) -> None:
        super().__init__(ledger.ports, key_file=ledger.key_file)
        self._record = record

    def get(self, run: str) -> RunRecord:
        found = super().get(run)
        self._record()
        return found


def test_the_latest_run_stays_the_same_while_its_allocations_are_read(tmp_path: Path) -> None:
    """The first run has a break, and the one that comes in between has no such pool."""
    day = SmallDay(notices=[notice("A1", AAPL, 3)], positions=[position(AAPL, "7", 2)])
    late = SmallDay(notices=[notice("A2", GE, 1)], positions=[position(GE, "7", 2)])
    request = request_of(late, tmp_path / "late", cycle=2)
    overtaken = Overtaken(recorded(day, tmp_path), lambda: record_in(tmp_path / "ledger", request))

    with pytest.raises(PoolBroken) as broken:
        operations.allocations(overtaken, "latest", series=AAPL)

    assert (broken.value.assigned_quantity, broken.value.total_short) == (3, 2)
    assert operations.pools(overtaken, "latest").column("series").to_pylist() == [GE]


def test_allocations_of_a_series_that_is_no_symbol_are_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="expected an OSI symbol"):
        operations.allocations(ledger, "latest", series="AAPL")


def test_late_notices_are_explained_from_the_number_that_they_continue_from(
    tmp_path: Path,
) -> None:
    recorded(PUBLISHED, tmp_path)
    for cycle, quantity in enumerate((30, 26), 2):
        day = replace(PUBLISHED, notices=[notice(f"L{cycle}", AAPL, quantity)])
        request = request_of(day, tmp_path / str(cycle), cycle=cycle)
        record_in(tmp_path / "ledger", request)
    ledger = opened(tmp_path / "ledger")
    (second,) = operations.explain(ledger, "2024-09-16-002", series=AAPL)
    (third,) = operations.explain(ledger, "2024-09-16-003", series=AAPL)

    assert (second.product, second.first_hit, second.assigned_before) == ("28.041", 28, 10)
    assert numbers(second.ranges) == [(38, 65), (1, 2)]
    assert accounts(second) == [
        ("1046", 30, (1, 30), 2, [(1, 2)]),
        ("1047", 30, (31, 60), 23, [(38, 60)]),
        ("1048", 5, (61, 65), 5, [(61, 65)]),
    ]
    assert wording.distribution_steps(second) == [
        "Earlier cycles assigned 10 contracts from there; these continue from number 38 [P6]",
        "Numbers hit: 38 to 65, then 1 to 2",
        "After the last number comes number 1 [D4]",
    ]
    assert (third.break_reason, third.assigned_before, third.ranges) == ("EXCEEDS_SHORT", 40, ())
    assert wording.quantities(third) == (
        "Assigned by OCC: 26 contracts in 1 notice.  Total short: 65 contracts in 3 accounts.  "
        "Assigned before: 40 [P6]."
    )
