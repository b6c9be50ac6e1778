"""The day (P2, P5, D1 to D6): every assigned pool allocated or broken, in tables as promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day import jit, recheck
from lottery.day.allocate import Break, Day, PositionsInvalid, continued_numbers
from lottery.day.assigned_pools import AssignedPool
from lottery.day.tables import (
    ALLOCATIONS,
    INT64_MAX,
    NOTICES,
    POOLS,
    POSITIONS,
)
from lottery.method.distribution import continued_number
from lottery.method.methodology import AccountOrder, ZeroHit
from tests.builders import (
    AAPL,
    PUBLISHED_POSITIONS,
    SPY,
    ZVZZT,
    allocate_rows,
    allocate_tables,
    notice,
    notices_table,
    position,
    positions_of,
    positions_table,
    rows_of,
    tuples_of,
    without_chunks,
)
from tests.loops import interpreted_loops


def assigned(day: Day) -> list[tuple[str | int | None, ...]]:
    """List each account and what it was assigned, in the order of the table."""
    return tuples_of(day.allocations, "account", "assigned_quantity")


def broken(occ_account: str, series: str, reason: str, figures: tuple[int, int]) -> Break:
    """Write a break with its figures, assigned and total short."""
    return Break(
        occ_account=occ_account,
        series=series,
        reason=reason,
        assigned_quantity=figures[0],
        total_short=figures[1],
    )


def test_the_published_day_comes_out_column_by_column() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 4), notice("N2", AAPL, 6)], reversed(PUBLISHED_POSITIONS)
    )

    assert rows_of(day.pools) == [
        {
            "occ_account": "",
            "series": AAPL,
            "notice_count": 2,
            "assigned_quantity": 10,
            "total_short": 65,
            "assigned_before": 0,
            "first_hit": 28,
            "account_count": 3,
            "hit_account_count": 2,
            "break_reason": None,
        }
    ]
    assert tuples_of(day.allocations) == [
        ("", AAPL, "1046", 30, 1, 30, 3),
        ("", AAPL, "1047", 30, 31, 60, 7),
        ("", AAPL, "1048", 5, 61, 65, 0),
    ]
    assert tuples_of(day.positions) == [
        (AAPL, "1046", 30, ""),
        (AAPL, "1047", 30, ""),
        (AAPL, "1048", 5, ""),
    ]
    assert day.breaks == ()
    assert day.allocated_quantity == 10


def test_hits_beyond_the_last_number_continue_from_number_1() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 16)],
        positions_of(AAPL, {"1": 10, "2": 5, "3": 5}),
        ten_thousandths=4314,
    )

    assert assigned(day) == [("1", 6), ("2", 5), ("3", 5)]


@pytest.mark.parametrize(
    ("zero_hit", "first_hit", "hit"),
    [(ZeroHit.WRAP, 2, [("7", 0), ("8", 1)]), (ZeroHit.FIRST, 1, [("7", 1), ("8", 0)])],
)
def test_a_product_below_one_hits_the_number_that_was_decided(
    zero_hit: ZeroHit, first_hit: int, hit: list[tuple[str, int]]
) -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 1)], positions_of(AAPL, {"7": 1, "8": 1}), zero_hit=zero_hit
    )

    assert tuples_of(day.pools, "first_hit") == [(first_hit,)]
    assert assigned(day) == hit


def test_more_assigned_than_short_breaks_its_pool_and_no_other() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 66), notice("N2", SPY, 1), notice("N3", AAPL, 10, "C")],
        [
            *PUBLISHED_POSITIONS,
            position(SPY, "5", 1),
            *positions_of(AAPL, {"2": 6, "1": 4}, "C"),
        ],
    )

    assert day.breaks == (broken("", AAPL, "EXCEEDS_SHORT", (66, 65)),)
    assert tuples_of(day.pools) == [
        ("", AAPL, 1, 66, 65, 0, None, 3, 0, "EXCEEDS_SHORT"),
        ("", SPY, 1, 1, 1, 0, 1, 1, 1, None),
        ("C", AAPL, 1, 10, 10, 0, 4, 2, 2, None),
    ]
    assert tuples_of(day.allocations) == [
        ("", SPY, "5", 1, 1, 1, 1),
        ("C", AAPL, "1", 4, 1, 4, 4),
        ("C", AAPL, "2", 6, 5, 10, 6),
    ]
    assert tuples_of(day.positions) == [
        (AAPL, "1046", 30, ""),
        (AAPL, "1047", 30, ""),
        (AAPL, "1048", 5, ""),
        (SPY, "5", 1, ""),
        (AAPL, "1", 4, "C"),
        (AAPL, "2", 6, "C"),
    ]
    assert day.allocated_quantity == 11


def test_a_pool_can_be_assigned_as_much_as_it_is_short_and_no_more() -> None:
    whole = allocate_rows([notice("N1", AAPL, 60), notice("N2", AAPL, 5)], PUBLISHED_POSITIONS)
    more = allocate_rows([notice("N1", AAPL, 60), notice("N2", AAPL, 6)], PUBLISHED_POSITIONS)

    assert assigned(whole) == [("1046", 30), ("1047", 30), ("1048", 5)]
    assert (whole.breaks, whole.allocated_quantity) == ((), 65)
    assert more.breaks == (broken("", AAPL, "EXCEEDS_SHORT", (66, 65)),)
    assert (assigned(more), more.allocated_quantity) == ([], 0)


def test_late_notices_go_on_after_the_last_number_hit_and_break_alone() -> None:
    notices = [notice("N1", AAPL, 37), notice("N2", SPY, 4), notice("N3", AAPL, 2, "C")]
    positions = [
        *PUBLISHED_POSITIONS,
        position(SPY, "5", 10),
        *positions_of(AAPL, {"1": 1, "2": 1}, "C"),
    ]

    day = allocate_rows(notices, positions, assigned_before=[10, 7, 0])

    assert tuples_of(day.pools, "total_short", "assigned_before", "first_hit") == [
        (65, 10, 28),
        (10, 7, None),
        (2, 0, 2),
    ]
    assert assigned(day) == [("1046", 9), ("1047", 23), ("1048", 5), ("1", 1), ("2", 1)]
    assert day.breaks == (replace(broken("", SPY, "EXCEEDS_SHORT", (4, 10)), assigned_before=7),)


@given(
    total=st.integers(1, INT64_MAX) | st.integers(INT64_MAX - 3, INT64_MAX) | st.integers(1, 5),
    shares=st.tuples(*[st.integers(0, 10**19) | st.sampled_from([0, 10**19])] * 2),
)
def test_the_number_to_continue_from_is_round_the_circle_and_never_overflows(
    total: int, shares: tuple[int, int]
) -> None:
    """Law P6, D4: by the method, by the day's arrays and by the second look it is one number."""
    first_hit = max(1, total * shares[0] // 10**19)
    before = min(total - 1, total * shares[1] // 10**19)
    arrays = [np.array([value], np.int64) for value in (first_hit, before, total)]

    expected = (first_hit - 1 + before) % total + 1

    assert continued_number(first_hit, before, total) == expected
    assert continued_numbers(*arrays).tolist() == [expected]
    assert recheck._continued(*arrays).tolist() == [expected]
    # Of a pool of which every number was hit there is none: what is computed is not used.
    all_hit = np.array([total], np.int64)
    assert 1 <= continued_numbers(arrays[0], all_hit, arrays[2]).tolist()[0] <= total


def test_a_pool_without_an_open_position_is_a_break_and_no_notice_is_lost() -> None:
    day = allocate_rows(
        [
            notice("N1", ZVZZT, 3),
            notice("N2", SPY, 2),
            notice("N3", SPY, 2, "F"),
            notice("N4", AAPL, 1),
        ],
        [
            *positions_of(SPY, {"1": 0, "2": 0}),
            position(SPY, "3", 5, "C"),
            position(AAPL, "1", 1),
        ],
    )

    assert day.breaks == (
        broken("", SPY, "NO_POSITION", (2, 0)),
        broken("", ZVZZT, "NO_POSITION", (3, 0)),
        broken("F", SPY, "NO_POSITION", (2, 0)),
    )
    assert tuples_of(day.pools) == [
        ("", AAPL, 1, 1, 1, 0, 1, 1, 1, None),
        ("", SPY, 1, 2, 0, 0, None, 0, 0, "NO_POSITION"),
        ("", ZVZZT, 1, 3, 0, 0, None, 0, 0, "NO_POSITION"),
        ("F", SPY, 1, 2, 0, 0, None, 0, 0, "NO_POSITION"),
    ]
    assert day.positions.num_rows == day.allocations.num_rows == 1
    assert day.allocated_quantity == 1


def test_a_position_of_no_contracts_takes_no_number_and_has_no_row() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 1), notice("N2", SPY, 5)],
        [
            *positions_of(AAPL, {"0": 0, "1": 2, "2": 0, "3": 2, "4": 0}),
            *positions_of(SPY, {"1": 0, "2": 4, "3": 0}),
        ],
        ten_thousandths=7_500,
    )

    assert tuples_of(day.allocations) == [
        ("", AAPL, "1", 2, 1, 2, 0),
        ("", AAPL, "3", 2, 3, 4, 1),
    ]
    assert tuples_of(day.positions, "series", "account", "short_quantity") == [
        (AAPL, "1", 2),
        (AAPL, "3", 2),
        (SPY, "2", 4),
    ]
    assert tuples_of(day.pools, "account_count") == [(2,), (1,)]


def test_rows_of_pools_without_a_notice_take_no_part_whatever_they_say() -> None:
    other = positions_of(SPY, [("1", INT64_MAX), ("01", INT64_MAX), ("1", 5)])

    day = allocate_rows(
        [notice("N1", AAPL, 1)],
        [*other, *positions_of(AAPL, [("1", 9), ("1", 9)], "C"), position(AAPL, "2", 3)],
    )

    assert assigned(day) == [("2", 1)]
    assert tuples_of(day.positions) == [(AAPL, "2", 3, "")]


def test_an_occ_account_and_none_and_another_case_are_different_pools() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, 1), notice("N2", AAPL, 1, "C"), notice("N3", AAPL, 1, "M/ABC")],
        [position(AAPL, "1", 1, "C"), position(AAPL, "2", 1), position(AAPL, "3", 1, "c")],
    )

    assert tuples_of(day.allocations, "occ_account", "account") == [("", "2"), ("C", "1")]
    assert day.breaks == (broken("M/ABC", AAPL, "NO_POSITION", (1, 0)),)


LONG = "1" + "0" * 27
REPEATED = [
    pytest.param(["1", "2", "1"], {"1"}, id="one spelling"),
    pytest.param(["007", "70", "7"], {"7"}, id="two spellings"),
    pytest.param(["0", "1", "0000"], {""}, id="zero"),
    pytest.param([f"0{LONG}", LONG[:-1], LONG, f"00{LONG}"], {LONG}, id="long numbers"),
    pytest.param(["9" * 16, "9" * 15, "0" + "9" * 15], {"9" * 15}, id="the longest with a key"),
    pytest.param(["3", "2", "1", "2", "5", "1", "02", "6", "6"], {"2", "1", "6"}, id="several"),
    pytest.param(["5", *map(str, range(100, 160)), "05"], {"5"}, id="a larger pool"),
    pytest.param([*map(str, range(3_000)), "02999"], {"2999"}, id="a large pool"),
]


@pytest.mark.parametrize("assigned_quantity", [1, INT64_MAX], ids=["allocated", "broken"])
@pytest.mark.parametrize(("accounts", "expected"), REPEATED)
def test_repeated_accounts_of_assigned_pools_are_found(
    accounts: list[str], expected: set[str], assigned_quantity: int
) -> None:
    positions = [
        *positions_of(SPY, [(account, 1) for account in accounts]),
        *positions_of(AAPL, [(account, 1) for account in accounts], "C"),
    ]

    with pytest.raises(PositionsInvalid, match="accounts are repeated in 1 pools") as raised:
        allocate_rows(
            [notice("N1", AAPL, 1), notice("N2", AAPL, assigned_quantity, "C")], positions
        )

    assert raised.value.repeated == {1: expected}
    assert raised.value.too_large == ()


def test_a_repeated_account_of_no_contracts_is_repeated_too() -> None:
    with pytest.raises(PositionsInvalid) as raised:
        allocate_rows([notice("N1", AAPL, 1)], positions_of(AAPL, [("1", 0), ("01", 5)]))

    assert raised.value.repeated == {0: {"1"}}


def test_by_code_point_two_spellings_are_two_accounts_and_one_spelling_is_one() -> None:
    rows = positions_of(AAPL, [("007", 5), ("7", 5), ("a7", 5), ("A7", 5)])
    notices = [notice("N1", AAPL, 1)]

    day = allocate_rows(notices, rows, account_order=AccountOrder.CODE_POINT)
    with pytest.raises(PositionsInvalid) as raised:
        allocate_rows(
            notices, [*rows, position(AAPL, "7", 5)], account_order=AccountOrder.CODE_POINT
        )

    assert [account for account, _ in assigned(day)] == ["007", "7", "A7", "a7"]
    assert raised.value.repeated == {0: {"7"}}


def test_repeated_accounts_and_totals_past_64_bits_are_found_together() -> None:
    with pytest.raises(PositionsInvalid) as raised:
        allocate_rows(
            [notice("N1", AAPL, 1), notice("N2", SPY, 1), notice("N3", ZVZZT, 1)],
            [
                *positions_of(AAPL, [("1", 1), ("2", 1), ("01", 1)]),
                *positions_of(SPY, [("1", INT64_MAX), ("2", 1), ("3", 1), ("03", 1)]),
                *positions_of(ZVZZT, {"1": 1}),
            ],
        )

    assert [pool.series for pool in raised.value.too_large] == [SPY]
    assert raised.value.repeated == {0: {"1"}, 1: {"3"}}


def test_an_account_in_several_pools_is_not_repeated() -> None:
    pools = [("", AAPL), ("", SPY), ("C", AAPL), ("C", SPY)]

    day = allocate_rows(
        [notice("N1", series, 1, occ_account) for occ_account, series in pools],
        [position(series, "1", 1, occ_account) for occ_account, series in pools],
    )

    assert assigned(day) == [("1", 1)] * 4


@pytest.mark.parametrize("digits", [13, 14, 15, 16, 17, 18, 30])
@pytest.mark.parametrize("count", [20, 200, 2_500])
def test_long_accounts_come_out_in_order_and_with_their_zeros(
    count: int, digits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their numbers and the index of a row have 63 bits together, or more.
    monkeypatch.setattr(jit, "ROWS_WORTH_COMPILING", 0)
    first = 10**digits // 3
    accounts = [str(first + 7 * row % 10_007) for row in range(count)]
    accounts[1:3] = ["0" * 5 + "12", "0" * 15 + "4"]

    positions = positions_of(AAPL, dict.fromkeys(accounts, 1))
    day = allocate_rows([notice("N1", AAPL, 1)], positions)

    assert [account for account, _ in assigned(day)] == sorted(accounts, key=int)
    with interpreted_loops():
        assert allocate_rows([notice("N1", AAPL, 1)], positions) == day


def test_tables_come_out_by_occ_account_series_and_account_whatever_order_came_in() -> None:
    notices = [
        notice("N1", series, quantity, occ_account)
        for occ_account, series, quantity in [
            ("F", SPY, 2),
            ("", SPY, 9),
            ("C", AAPL, 1),
            ("", AAPL, 1),
            ("C/ZZZ", AAPL, 9),
        ]
    ]
    positions = [
        position(series, account, 2, occ_account)
        for occ_account, series in [
            ("F", SPY),
            ("C/ZZZ", AAPL),
            ("", SPY),
            ("", AAPL),
            ("C", AAPL),
        ]
        for account in ("1000", "99", "0100")
    ]

    day = allocate_rows(notices, positions)

    in_order = ["99", "0100", "1000"]
    assert tuples_of(day.pools, "occ_account", "series") == [
        ("", AAPL),
        ("", SPY),
        ("C", AAPL),
        ("C/ZZZ", AAPL),
        ("F", SPY),
    ]
    assert tuples_of(day.allocations, "occ_account", "series", "account") == [
        (occ_account, series, account)
        for occ_account, series in [("", AAPL), ("C", AAPL), ("F", SPY)]
        for account in in_order
    ]
    assert tuples_of(day.positions, "occ_account", "series", "account") == [
        (occ_account, series, account)
        for occ_account, series in [("", AAPL), ("", SPY), ("C", AAPL), ("C/ZZZ", AAPL), ("F", SPY)]
        for account in in_order
    ]
    assert allocate_rows(reversed(notices), reversed(positions)) == day


def test_label_dictionaries_hold_the_texts_in_use_alone_and_sorted() -> None:
    day = allocate_rows(
        [notice("N1", SPY, 1, "F"), notice("N2", AAPL, 1, "C"), notice("N3", ZVZZT, 9, "M")],
        [
            position(SPY, "1", 1, "F"),
            position(AAPL, "1", 1, "C"),
            position(ZVZZT, "1", 1, "M"),
            position(ZVZZT, "1", 1, "P"),
        ],
    )

    def dictionary(table: pa.Table, name: str) -> list[str]:
        texts: list[str] = table.column(name).chunk(0).dictionary.to_pylist()
        return texts

    assert dictionary(day.allocations, "occ_account") == ["C", "F"]
    assert dictionary(day.allocations, "series") == [AAPL, SPY]
    assert dictionary(day.positions, "occ_account") == ["C", "F", "M"]
    assert dictionary(day.positions, "series") == [AAPL, SPY, ZVZZT]


LABEL_TYPE = "dictionary<values=string, indices=int32, ordered=0>"
POOL_FIELDS = [
    ("occ_account", LABEL_TYPE, False),
    ("series", LABEL_TYPE, False),
]


def fields_of(table: pa.Table) -> list[tuple[str, str, bool]]:
    """List each column's name, type and whether it may be null."""
    return [(field.name, str(field.type), field.nullable) for field in table.schema]


def test_the_outputs_have_the_columns_and_types_that_are_promised() -> None:
    day = allocate_rows([notice("N1", AAPL, 1), notice("N2", SPY, 1)], PUBLISHED_POSITIONS)

    assert fields_of(day.pools) == [
        ("occ_account", "string", False),
        ("series", "string", False),
        ("notice_count", "int64", False),
        ("assigned_quantity", "int64", False),
        ("total_short", "int64", False),
        ("assigned_before", "int64", False),
        ("first_hit", "int64", True),
        ("account_count", "int64", False),
        ("hit_account_count", "int64", False),
        ("break_reason", "string", True),
    ]
    assert fields_of(day.allocations) == [
        *POOL_FIELDS,
        ("account", "string", False),
        ("short_quantity", "int64", False),
        ("first_number", "int64", False),
        ("last_number", "int64", False),
        ("assigned_quantity", "int64", False),
    ]
    assert fields_of(day.positions) == [
        POOL_FIELDS[1],
        ("account", "string", False),
        ("short_quantity", "int64", False),
        POOL_FIELDS[0],
    ]
    for table in (day.pools, day.allocations, day.positions):
        table.validate(full=True)


@pytest.mark.parametrize("order", list(AccountOrder))
@pytest.mark.parametrize("empty", [pa.Schema.empty_table, without_chunks])
def test_a_day_of_nothing_is_empty_tables_of_the_same_schemas(
    empty: Callable[[pa.Schema], pa.Table], order: AccountOrder
) -> None:
    day = allocate_tables(empty(NOTICES), empty(POSITIONS), account_order=order)

    assert day.pools.schema.equals(POOLS)
    assert day.allocations.schema.equals(ALLOCATIONS)
    assert day.positions.schema.equals(POSITIONS)
    assert (day.pools.num_rows, day.allocations.num_rows, day.positions.num_rows) == (*(0, 0, 0),)
    assert (day.breaks, day.allocated_quantity) == ((), 0)


@pytest.mark.parametrize("empty", [pa.Schema.empty_table, without_chunks])
def test_without_positions_every_notice_is_a_break(
    empty: Callable[[pa.Schema], pa.Table],
) -> None:
    day = allocate_tables(
        notices_table([notice("N1", SPY, 2), notice("N2", AAPL, 1)]), empty(POSITIONS)
    )

    assert day.breaks == (
        broken("", AAPL, "NO_POSITION", (1, 0)),
        broken("", SPY, "NO_POSITION", (2, 0)),
    )
    assert day.allocations.schema.equals(ALLOCATIONS)
    assert day.allocated_quantity == 0


@pytest.mark.parametrize("empty", [pa.Schema.empty_table, without_chunks])
def test_without_notices_nothing_is_allocated(empty: Callable[[pa.Schema], pa.Table]) -> None:
    day = allocate_tables(empty(NOTICES), positions_table(PUBLISHED_POSITIONS))

    assert (day.pools.num_rows, day.allocations.num_rows, day.breaks) == (0, 0, ())


def test_a_total_of_as_much_as_64_bits_hold_is_allocated() -> None:
    half = 2**62
    day = allocate_rows(
        [notice("N1", AAPL, INT64_MAX - 1), notice("N2", AAPL, 1), notice("N3", SPY, INT64_MAX)],
        [
            *positions_of(AAPL, {"1": half, "2": half - 1}),
            *positions_of(SPY, {"1": half, "2": half - 2}),
        ],
        ten_thousandths=1,
    )

    # n // 10,000 of 2**63 - 1, worked by hand: 922,337,203,685,477.
    assert tuples_of(day.pools, "total_short", "first_hit") == [
        (INT64_MAX, 922_337_203_685_477),
        (INT64_MAX - 1, None),
    ]
    assert tuples_of(day.allocations, "first_number", "last_number", "assigned_quantity") == [
        (1, half, half),
        (half + 1, INT64_MAX, half - 1),
    ]
    assert day.breaks == (broken("", SPY, "EXCEEDS_SHORT", (INT64_MAX, INT64_MAX - 1)),)
    assert day.allocated_quantity == INT64_MAX


def test_pools_that_are_short_more_than_64_bits_hold_are_named_all() -> None:
    half = 2**62
    positions = [
        *positions_of(AAPL, {"1": half, "2": half}),
        position(SPY, "1", 1),
        *positions_of(ZVZZT, {"1": INT64_MAX, "2": 1}, "C"),
        *positions_of(ZVZZT, {"1": INT64_MAX, "2": INT64_MAX}, "F"),
    ]
    notices = [
        notice("N1", ZVZZT, 1, "C"),
        notice("N2", AAPL, 1),
        notice("N3", AAPL, 2),
        notice("N4", SPY, 1),
    ]

    with pytest.raises(PositionsInvalid, match=f"add up to more than {INT64_MAX} in 2$") as raised:
        allocate_rows(notices, positions)

    assert raised.value.too_large == [
        AssignedPool(occ_account="", series=AAPL, notice_count=2, assigned_quantity=3),
        AssignedPool(occ_account="C", series=ZVZZT, notice_count=1, assigned_quantity=1),
    ]
    assert raised.value.repeated == {}


def test_products_past_32_bits_hit_the_exact_number() -> None:
    # 0.4314 x 5,000,000,000 = 2,157,000,000, the last number of the first account.
    shorts = {"1": 2_157_000_000, "2": 2_843_000_000}

    day = allocate_rows([notice("N1", AAPL, 3)], positions_of(AAPL, shorts))

    assert tuples_of(day.pools, "first_hit") == [(2_157_000_000,)]
    assert assigned(day) == [("1", 1), ("2", 2)]


def test_contracts_allocated_add_up_past_64_bits() -> None:
    day = allocate_rows(
        [notice("N1", AAPL, INT64_MAX), notice("N2", SPY, INT64_MAX), notice("N3", ZVZZT, 1)],
        [position(AAPL, "1", INT64_MAX), position(SPY, "1", INT64_MAX)],
    )

    assert day.allocated_quantity == 2 * INT64_MAX
