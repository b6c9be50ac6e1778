"""The reference itself, against cases worked by hand from the published document."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.reference import (
    ReferencePool,
    Row,
    allocate_day,
    allocate_pool,
    padded_series,
    seed_of,
)

PUBLISHED_ASKS = {
    "Z901803": "862.45713",
    "Z901439": "118.20946",
    "Z901466": "407.93388",
    "Z901448": "1435.71263",
}
PUBLISHED_POSITIONS = [("1048", 5), ("1046", 30), ("1047", 30)]
PUBLISHED_FRACTION = Fraction(4314, 10_000)


def asks_making(composite: int) -> dict[str, str]:
    """Put the whole composite on the first exchange, the three others being closed."""
    whole, decimals = divmod(composite, 100_000)
    return {"Z901803": f"{whole}.{decimals:05d}", "Z901439": "0", "Z901466": "0", "Z901448": "0"}


def assigned_by_account(pool: ReferencePool) -> list[tuple[str, int]]:
    """List what each account got, in the pool's order."""
    return [(row.account, row.assigned_quantity) for row in pool.accounts]


def test_the_published_asks_give_the_published_fraction() -> None:
    seed = seed_of(PUBLISHED_ASKS)

    assert seed.volumes == {
        "Z901803": 86_245_713,
        "Z901439": 11_820_946,
        "Z901466": 40_793_388,
        "Z901448": 143_571_263,
    }
    assert (seed.composite, seed.length, seed.cut_position) == (282_431_310, 9, 4)
    assert (seed.digits, seed.fraction_text) == ("4313", "0.4314")
    assert seed.fraction == PUBLISHED_FRACTION


def test_the_published_pool_is_hit_first_at_28_and_assigned_3_7_and_0() -> None:
    pool = allocate_pool(PUBLISHED_POSITIONS, 10, PUBLISHED_FRACTION)

    assert pool.first_hit == 28
    assert [(row.first_number, row.last_number) for row in pool.accounts] == [
        (1, 30),
        (31, 60),
        (61, 65),
    ]
    assert assigned_by_account(pool) == [("1046", 3), ("1047", 7), ("1048", 0)]
    assert (pool.total_short, pool.account_count, pool.hit_account_count) == (65, 3, 2)
    assert pool.break_reason is None


@pytest.mark.parametrize(
    ("composite", "digits", "fraction_text"),
    [
        (100_000, "1000", "0.1001"),
        (999_999, "9999", "1.0000"),
        (1_000_099, "0000", "0.0001"),
        (10_289_900, "2899", "0.2900"),
        (1_200_034_567, "0345", "0.0346"),
    ],
)
def test_four_digits_are_cut_six_places_from_the_end(
    composite: int, digits: str, fraction_text: str
) -> None:
    seed = seed_of(asks_making(composite))

    assert (seed.composite, seed.digits) == (composite, digits)
    assert seed.fraction_text == fraction_text
    assert seed.fraction == Fraction(fraction_text)


def test_a_composite_of_five_digits_has_no_cut_position() -> None:
    with pytest.raises(ValueError, match="S5"):
        seed_of(asks_making(99_999))


@pytest.mark.parametrize("ask", ["1.000001", "-1", "NaN", "Infinity"])
def test_an_ask_that_makes_no_whole_volume_is_refused(ask: str) -> None:
    with pytest.raises(ValueError, match="S2"):
        seed_of(PUBLISHED_ASKS | {"Z901439": ask})


def test_a_missing_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match="S2"):
        seed_of({"Z901803": "2824.31310"})


def test_after_the_last_number_comes_number_1() -> None:
    # Ranges 1-10, 11-15, 16-20; 0.95 x 20 = 19, so 19, 20, then 1 to 10, then 11 and 12.
    pool = allocate_pool([("1", 10), ("2", 5), ("3", 5)], 14, Fraction(95, 100))

    assert pool.first_hit == 19
    assert assigned_by_account(pool) == [("1", 10), ("2", 2), ("3", 2)]


def test_the_first_account_hit_is_hit_again_at_its_low_numbers() -> None:
    # 0.4314 x 20 = 8.628, so 8, 9, 10, then 11 to 20, then 1, 2, 3.
    pool = allocate_pool([("1", 10), ("2", 5), ("3", 5)], 16, PUBLISHED_FRACTION)

    assert pool.first_hit == 8
    assert assigned_by_account(pool) == [("1", 6), ("2", 5), ("3", 5)]


def test_a_zero_hit_is_the_last_number_of_the_circle() -> None:
    # 0.4314 x 2 = 0.8628, so 0.
    pool = allocate_pool([("7", 1), ("8", 1)], 1, PUBLISHED_FRACTION, zero_hit="wrap")

    assert pool.first_hit == 2
    assert assigned_by_account(pool) == [("7", 0), ("8", 1)]


def test_a_zero_hit_is_number_1_where_that_was_decided() -> None:
    pool = allocate_pool([("7", 1), ("8", 1)], 1, PUBLISHED_FRACTION, zero_hit="first")

    assert pool.first_hit == 1
    assert assigned_by_account(pool) == [("7", 1), ("8", 0)]


def test_more_assigned_than_short_is_a_break_with_both_figures_known() -> None:
    pool = allocate_pool(PUBLISHED_POSITIONS, 66, PUBLISHED_FRACTION)

    assert (pool.break_reason, pool.total_short, pool.account_count) == ("EXCEEDS_SHORT", 65, 3)
    assert (pool.accounts, pool.first_hit, pool.hit_account_count) == ([], None, 0)


@pytest.mark.parametrize("positions", [[], [("1046", 0)]])
def test_a_pool_without_an_open_position_is_a_break(positions: list[tuple[str, int]]) -> None:
    pool = allocate_pool(positions, 1, PUBLISHED_FRACTION)

    assert (pool.break_reason, pool.total_short, pool.account_count) == ("NO_POSITION", 0, 0)
    assert (pool.accounts, pool.first_hit, pool.hit_account_count) == ([], None, 0)


def test_every_contract_of_a_pool_can_be_assigned() -> None:
    pool = allocate_pool(PUBLISHED_POSITIONS, 65, PUBLISHED_FRACTION)

    assert assigned_by_account(pool) == [("1046", 30), ("1047", 30), ("1048", 5)]


def test_late_notices_go_on_after_the_last_number_hit() -> None:
    # 28 to 37 were hit before; 28 more go up to 65, and 9 on from 1.
    late = [
        allocate_pool(PUBLISHED_POSITIONS, quantity, PUBLISHED_FRACTION, assigned_before=10)
        for quantity in (5, 37, 55, 56)
    ]

    assert [pool.first_hit for pool in late] == [28, 28, 28, None]
    assert assigned_by_account(late[0]) == [("1046", 0), ("1047", 5), ("1048", 0)]
    assert assigned_by_account(late[1]) == [("1046", 9), ("1047", 23), ("1048", 5)]
    assert assigned_by_account(late[2]) == [("1046", 27), ("1047", 23), ("1048", 5)]
    assert late[3].break_reason == "EXCEEDS_SHORT"


def test_account_99_comes_before_account_1000_in_numeric_order() -> None:
    positions = [("1000", 1), ("99", 1)]

    numeric = allocate_pool(positions, 1, Fraction(1))
    code_point = allocate_pool(positions, 1, Fraction(1), account_order="code-point")

    assert assigned_by_account(numeric) == [("99", 0), ("1000", 1)]
    assert assigned_by_account(code_point) == [("1000", 0), ("99", 1)]


def test_leading_zeros_are_kept_and_not_compared() -> None:
    pool = allocate_pool([("100", 1), ("0042", 2), ("7", 3)], 1, PUBLISHED_FRACTION)

    assert [row.account for row in pool.accounts] == ["7", "0042", "100"]


def test_two_spellings_of_one_number_are_one_account_and_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        allocate_pool([("007", 1), ("7", 1)], 1, PUBLISHED_FRACTION)


def test_a_position_of_zero_contracts_takes_no_number() -> None:
    pool = allocate_pool([("1", 2), ("2", 0), ("3", 2)], 1, Fraction(3, 4))

    assert [(row.account, row.first_number, row.last_number) for row in pool.accounts] == [
        ("1", 1, 2),
        ("3", 3, 4),
    ]
    assert assigned_by_account(pool) == [("1", 0), ("3", 1)]


def test_digits_2899_at_total_100_give_exactly_29() -> None:
    # Floating point gives 28 here: 0.29 * 100 is 28.999999999999996.
    pool = allocate_pool([("1", 28), ("2", 72)], 1, seed_of(asks_making(10_289_900)).fraction)

    assert pool.first_hit == 29
    assert assigned_by_account(pool) == [("1", 0), ("2", 1)]


def test_a_total_past_32_bits_is_walked_from_its_first_hit() -> None:
    # 0.4314 x 5,000,000,000 = 2,157,000,000: the last number of the first account, so one and two.
    positions = [("1", 2_157_000_000), ("2", 2_843_000_000)]

    pool = allocate_pool(positions, 3, PUBLISHED_FRACTION)

    assert pool.first_hit == 2_157_000_000
    assert assigned_by_account(pool) == [("1", 1), ("2", 2)]


@pytest.mark.parametrize(
    ("given", "padded"),
    [
        ("AAPL240920C00220000", "AAPL  240920C00220000"),
        ("AAPL1240920C00220000", "AAPL1 240920C00220000"),
        ("AAPL  240920C00220000", "AAPL  240920C00220000"),
        ("GOOGL1240920C00155000", "GOOGL1240920C00155000"),
    ],
)
def test_a_compact_series_is_padded_to_21_characters(given: str, padded: str) -> None:
    assert padded_series(given) == padded


def test_where_a_pool_is_a_series_its_rows_are_one_pool_without_an_occ_account() -> None:
    series = "AAPL  240920C00220000"
    notices: list[Row] = [
        {"notice_id": "A1", "series": series, "quantity": 4, "occ_account": "F"},
        {"notice_id": "A2", "series": series, "quantity": 6},
    ]
    positions: list[Row] = [
        {"series": series, "account": account, "short_quantity": quantity, "occ_account": own}
        for (account, quantity), own in zip(PUBLISHED_POSITIONS, ("C", "F", ""), strict=True)
    ]

    day = allocate_day(notices, positions, PUBLISHED_ASKS, pool="series")

    assert [tuple(row.values()) for row in day.pools] == [
        ("", series, 2, 10, 65, 0, 28, 3, 2, None),
    ]
    assert [(row["occ_account"], row["account"]) for row in day.allocations] == [
        ("", "1046"),
        ("", "1047"),
        ("", "1048"),
    ]


def test_a_day_adds_up_notices_keeps_pools_apart_and_goes_on_past_a_break() -> None:
    series = "AAPL  240920C00220000"
    notices: list[Row] = [
        {"notice_id": "A1", "series": "AAPL240920C00220000", "quantity": "4", "occ_account": "C"},
        {"notice_id": "A2", "series": series, "quantity": "6", "occ_account": "C"},
        {"notice_id": "A3", "series": series, "quantity": "2"},
    ]
    positions: list[Row] = [
        {"series": series, "account": account, "short_quantity": quantity, "occ_account": "C"}
        for account, quantity in PUBLISHED_POSITIONS
    ]
    positions.append({"series": series, "account": "1046", "short_quantity": 1})

    day = allocate_day(notices, positions, PUBLISHED_ASKS)

    assert [tuple(row.values()) for row in day.pools] == [
        ("", series, 1, 2, 1, 0, None, 1, 0, "EXCEEDS_SHORT"),
        ("C", series, 2, 10, 65, 0, 28, 3, 2, None),
    ]
    assert [tuple(row.values()) for row in day.allocations] == [
        ("C", series, "1046", 30, 1, 30, 3),
        ("C", series, "1047", 30, 31, 60, 7),
        ("C", series, "1048", 5, 61, 65, 0),
    ]
