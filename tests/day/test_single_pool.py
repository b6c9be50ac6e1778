"""One pool by itself: the same allocation as in a day, and as the reference's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lottery.day import pool_loops
from lottery.day.pool_loops import ASSIGNED, END, LAST, RADIX_ROWS, SHORT, START
from lottery.day.single_pool import AllocatedPool, Doubled, allocate_pool, arrange_pool
from lottery.day.tables import INT64_MAX
from lottery.errors import PoolBroken
from lottery.method.methodology import AccountOrder, ZeroHit
from tests import reference
from tests.builders import AAPL, allocate_rows, notice, positions_of, tuples_of
from tests.loops import interpreted_loops, loops_of, versions_of


@pytest.fixture(autouse=True, scope="module", params=[False, True], ids=["compiled", "plain"])
def run_of_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the loops compiled, and again as plain Python, which also checks every index."""
    for loop in loops_of(pool_loops).values():
        loop.compiled()
    with interpreted_loops() if request.param else nullcontext():
        yield


PUBLISHED = [("1048", 5), ("1046", 30), ("1047", 30)]


def pool_or_none(
    shorts: list[tuple[str, int]],
    assigned_quantity: int = 1,
    *,
    ten_thousandths: int = 4314,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    order: AccountOrder = AccountOrder.NUMERIC,
) -> AllocatedPool | None:
    """Allocate one pool of accounts and their shorts."""
    return allocate_pool(
        [account for account, _ in shorts],
        [short for _, short in shorts],
        account_order=order,
        assigned_quantity=assigned_quantity,
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
    )


def allocated(shorts: list[tuple[str, int]], assigned_quantity: int, **given: Any) -> AllocatedPool:
    """Allocate one pool whose rows are sound."""
    pool = pool_or_none(shorts, assigned_quantity, **given)
    assert pool is not None
    return pool


def rows_of(pool: AllocatedPool) -> list[tuple[str, int, int, int, int]]:
    """Return account, short, first and last number, and assigned quantity of each open account."""
    return [
        (
            pool.texts[row[START] : row[END]].decode(),
            row[SHORT],
            row[LAST] - row[SHORT] + 1,
            row[LAST],
            row[ASSIGNED],
        )
        for row in pool.rows[: pool.account_count].tolist()
    ]


def accounts_of(pool: AllocatedPool) -> list[str]:
    return [account for account, *_ in rows_of(pool)]


def with_accounts(*accounts: str) -> list[tuple[str, int]]:
    return [(account, 1) for account in accounts]


def test_the_published_pool_is_hit_first_at_28_and_assigned_3_7_and_0() -> None:
    pool = allocated(PUBLISHED, 10)

    assert (pool.total_short, pool.first_hit, pool.hit_account_count) == (65, 28, 2)
    assert rows_of(pool) == [
        ("1046", 30, 1, 30, 3),
        ("1047", 30, 31, 60, 7),
        ("1048", 5, 61, 65, 0),
    ]


def test_a_position_of_no_contracts_takes_no_number() -> None:
    pool = allocated([("3", 2), ("2", 0), ("1", 2), ("4", 0)], 1, ten_thousandths=7_500)

    assert rows_of(pool) == [("1", 2, 1, 2, 0), ("3", 2, 3, 4, 1)]


@pytest.mark.parametrize(
    ("zero_hit", "first_hit", "assigned"), [(ZeroHit.WRAP, 2, [0, 1]), (ZeroHit.FIRST, 1, [1, 0])]
)
def test_a_product_below_one_hits_the_number_that_was_decided(
    zero_hit: ZeroHit, first_hit: int, assigned: list[int]
) -> None:
    pool = allocated([("7", 1), ("8", 1)], 1, zero_hit=zero_hit)

    assert (pool.first_hit, pool.rows[:, ASSIGNED].tolist()) == (first_hit, assigned)


def test_accounts_stand_in_the_order_that_was_decided() -> None:
    shorts = [("1000", 1), ("99", 1)]

    assert accounts_of(allocated(shorts, 1)) == ["99", "1000"]
    assert accounts_of(allocated(shorts, 1, order=AccountOrder.CODE_POINT)) == ["1000", "99"]


def test_more_assigned_than_short_is_a_break_with_both_figures() -> None:
    with pytest.raises(PoolBroken) as broken:
        allocated(PUBLISHED, 66)

    assert (broken.value.reason, broken.value.assigned_quantity, broken.value.total_short) == (
        *("EXCEEDS_SHORT", 66, 65),
    )


@pytest.mark.parametrize("shorts", [[], [("1", 0)], [("1", 0), ("2", 0)]])
def test_a_pool_without_an_open_position_is_a_break(shorts: list[tuple[str, int]]) -> None:
    with pytest.raises(PoolBroken) as broken:
        allocated(shorts, 3)

    assert (broken.value.reason, broken.value.assigned_quantity, broken.value.total_short) == (
        *("NO_POSITION", 3, 0),
    )


def test_a_total_of_as_much_as_64_bits_hold_is_allocated_and_more_is_refused() -> None:
    pool = allocated([("1", INT64_MAX - 1), ("2", 1)], INT64_MAX)

    assert (pool.total_short, pool.rows[:, ASSIGNED].tolist()) == (INT64_MAX, [INT64_MAX - 1, 1])
    with pytest.raises(OverflowError, match="the shorts add up to more than"):
        allocated([("1", INT64_MAX), ("2", 1)], 1)


def test_repeated_accounts_are_listed_with_the_first_of_each() -> None:
    arranged = arrange_pool(["7", "12", "007", "12", "3", "07"], AccountOrder.NUMERIC)

    assert arranged.doubled == [
        Doubled(row=2, first_row=0),
        Doubled(row=3, first_row=1),
        Doubled(row=5, first_row=0),
    ]
    assert arranged.wrong_accounts == []


def test_accounts_of_18_digits_keep_their_order_where_row_and_number_pass_64_bits() -> None:
    # 60 bits of a number of 18 nines and 5 bits of 20 rows.
    accounts = [str(10**18 - 1 - 7 * row % 20) for row in range(20)]

    pool = allocated(with_accounts(*accounts, "5"), 1)

    assert accounts_of(pool) == sorted([*accounts, "5"], key=int)
    assert pool_or_none(with_accounts(*accounts, "5", accounts[3])) is None


def test_by_code_point_two_spellings_are_two_accounts() -> None:
    accounts = ["7", "007", "a", "A"]

    assert accounts_of(allocated(with_accounts(*accounts), 1, order=AccountOrder.CODE_POINT)) == [
        *("007", "7", "A", "a"),
    ]


@pytest.mark.parametrize("order", list(AccountOrder))
def test_wrong_accounts_are_named_by_their_rows(order: AccountOrder) -> None:
    arranged = arrange_pool(["1", "", "2", "\u00e9", "3-", "4" * 31], order)

    assert arranged.wrong_accounts == [1, 3, 4, 5]
    assert arranged.doubled == []


@pytest.mark.parametrize("accounts", [["1\n2"], ["1\n2", ""], ["1", "2\n"], ["\n", "\n"]])
@pytest.mark.parametrize("order", list(AccountOrder))
def test_an_account_with_a_newline_is_wrong(accounts: list[str], order: AccountOrder) -> None:
    arranged = arrange_pool(accounts, order)

    assert arranged.wrong_accounts == [
        row for row, account in enumerate(accounts) if not account.isdigit()
    ]
    assert arranged.doubled == []
    assert pool_or_none(with_accounts(*accounts), order=order) is None


@pytest.mark.parametrize("order", list(AccountOrder))
def test_a_pool_keeps_its_accounts_as_received(order: AccountOrder) -> None:
    accounts = ["0", "007", "12", "9" * 30] + ["A"] * (order is AccountOrder.CODE_POINT)

    assert accounts_of(allocated(with_accounts(*accounts), 1, order=order)) == accounts


@pytest.mark.parametrize("order", list(AccountOrder))
@pytest.mark.parametrize("spoiled", [("7", 1), ("07x", 1), ("3", -1)])
def test_a_pool_with_a_wrong_row_is_not_allocated(
    order: AccountOrder, spoiled: tuple[str, int]
) -> None:
    shorts = [("7", 30), ("12", 5), ("9" * 20, 5)]
    valid = spoiled == ("07x", 1) and order is AccountOrder.CODE_POINT

    assert (pool_or_none([*shorts, spoiled], order=order) is not None) == valid
    assert (pool_or_none([*shorts[:2], spoiled], order=order) is not None) == valid


@pytest.mark.parametrize("rows", [RADIX_ROWS - 1, RADIX_ROWS])
def test_rows_are_sorted_alike_either_way(rows: int) -> None:
    accounts = [str(7_919 * row % 10_007) for row in range(rows)]

    assert accounts_of(allocated(with_accounts(*accounts), 1)) == sorted(accounts, key=int)
    assert arrange_pool(accounts, AccountOrder.NUMERIC).rows == sorted(
        range(rows), key=lambda row: int(accounts[row])
    )
    assert pool_or_none(with_accounts(*accounts, "0" + accounts[1])) is None


@pytest.mark.parametrize("order", list(AccountOrder))
def test_doubled_accounts_are_found_among_wrong_ones_which_double_nothing(
    order: AccountOrder,
) -> None:
    pool = arrange_pool(["-", "7", "+", "1", "07", "+", "7"], order)

    assert pool.wrong_accounts == [0, 2, 5]
    expected = [(4, 1), (6, 1)] if order is AccountOrder.NUMERIC else [(6, 1)]
    assert [(again.row, again.first_row) for again in pool.doubled] == expected


ACCOUNTS = {
    AccountOrder.NUMERIC: st.one_of(
        st.text("0123456789", min_size=1, max_size=4),
        st.text("0123456789", min_size=17, max_size=30),
    ),
    AccountOrder.CODE_POINT: st.text("019AZaz", min_size=1, max_size=30),
}


@given(
    data=st.data(),
    order=st.sampled_from(AccountOrder),
    zero_hit=st.sampled_from(ZeroHit),
    ten_thousandths=st.one_of(st.integers(1, 10_000), st.integers(1, 20)),
    largest=st.sampled_from([1, 9, 2**33, 2**58]),
)
@settings(deadline=None, max_examples=300)
def test_one_pool_is_allocated_as_in_a_day_and_as_by_the_reference(
    data: st.DataObject,
    order: AccountOrder,
    zero_hit: ZeroHit,
    ten_thousandths: int,
    largest: int,
) -> None:
    """Law: a pool by itself, the same pool in a day and the reference's pool are one pool."""
    shorts = data.draw(
        st.lists(
            st.tuples(ACCOUNTS[order], st.integers(0, largest)),
            min_size=1,
            max_size=12,
            unique_by=lambda pair: int(pair[0]) if order is AccountOrder.NUMERIC else pair[0],
        )
    )
    total_short = sum(short for _, short in shorts)
    assume(total_short > 0)
    assigned_quantity = data.draw(st.integers(1, min(total_short, 60)))

    pool = allocated(
        shorts, assigned_quantity, ten_thousandths=ten_thousandths, zero_hit=zero_hit, order=order
    )

    expected = reference.allocate_pool(
        shorts,
        assigned_quantity,
        Fraction(ten_thousandths, 10_000),
        zero_hit=zero_hit.value,
        account_order=order.value,
    )
    rows = rows_of(pool)
    assert rows == [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in expected.accounts
    ]
    assert (pool.total_short, pool.first_hit, pool.hit_account_count) == (
        expected.total_short,
        expected.first_hit,
        expected.hit_account_count,
    )
    day = allocate_rows(
        [notice("N1", AAPL, assigned_quantity)],
        positions_of(AAPL, shorts),
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
        account_order=order,
    )
    assert [row[2:] for row in tuples_of(day.allocations)] == rows


def test_each_loop_of_a_pool_has_one_version() -> None:
    assert versions_of(pool_loops) == {"allocate_rows": 1}
