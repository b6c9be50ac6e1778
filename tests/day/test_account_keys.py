"""Account numbers (R1, R2): what is one, and in which order they stand."""

from __future__ import annotations

import string

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day import threads
from lottery.day.account_keys import (
    AccountNumbers,
    account_numbers,
    read_numbers,
)
from lottery.method.methodology import AccountOrder

NUMBERS = st.one_of(
    st.text(string.digits, min_size=1, max_size=3),
    st.text(string.digits, min_size=17, max_size=20),
    st.text(string.digits, min_size=1, max_size=30),
)
TEXTS = st.text(string.digits + string.ascii_letters, min_size=1, max_size=30)


def texts_of(accounts: list[str]) -> pa.ChunkedArray:
    """Make an account column of one chunk."""
    return pa.chunked_array([pa.array(accounts, pa.string())])


def ranks(values: list[int] | list[str]) -> list[int]:
    """Give each value its rank among the distinct ones."""
    rank_of = {value: rank for rank, value in enumerate(sorted(set(values)))}  # type: ignore[type-var]
    return [rank_of[value] for value in values]


def numeric(accounts: list[str], spare_bits: int = 1) -> AccountNumbers:
    """Read accounts for the numeric order."""
    return account_numbers(texts_of(accounts), AccountOrder.NUMERIC, spare_bits=spare_bits)


def code_point(accounts: list[str]) -> AccountNumbers:
    """Read accounts for the code-point order."""
    return account_numbers(texts_of(accounts), AccountOrder.CODE_POINT, spare_bits=1)


def test_account_99_stands_before_account_1000_as_a_number_and_after_it_as_a_text() -> None:
    in_numbers = numeric(["1000", "99"]).numbers
    in_texts = code_point(["1000", "99"]).numbers

    assert in_numbers[1] < in_numbers[0]
    assert in_texts[0] < in_texts[1]


def test_leading_zeros_are_equal_as_a_number_and_different_as_a_text() -> None:
    assert ranks(numeric(["007", "7", "0", "0" * 30, "8"]).numbers.tolist()) == [1, 1, 0, 0, 2]
    assert ranks(code_point(["007", "7", "0", "00"]).numbers.tolist()) == [2, 3, 0, 1]


def test_as_texts_digits_come_before_capitals_and_capitals_before_small_letters() -> None:
    accounts = ["a1", "B1", "1a", "9", "10", "b", "A1", "Z"]

    numbers = code_point(accounts).numbers

    assert [accounts[index] for index in np.argsort(numbers)] == [
        *("10", "1a", "9", "A1", "B1", "Z", "a1", "b"),
    ]


@pytest.mark.parametrize("spare_bits", [0, 3, 63])
def test_accounts_at_the_64_bit_boundaries_stand_in_their_order(spare_bits: int) -> None:
    values = [
        *(10**17 - 1, 10**17, 10**18 - 1, 10**18, 10**18 + 1, 10**19 - 1, 10**19, 10**20),
        *(2**31, 2**32, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1),
        *(10**29, 10**30 - 1, 0, 1),
    ]

    read = numeric([str(value) for value in values], spare_bits)

    assert ranks(read.numbers.tolist()) == ranks(values)
    assert read.wrong.size == 0


@given(accounts=st.lists(NUMBERS, max_size=40), spare_bits=st.sampled_from([0, 1, 20, 63]))
@settings(deadline=None)
def test_numbers_sort_and_compare_as_the_accounts_do(accounts: list[str], spare_bits: int) -> None:
    """Law R2, numeric: smaller, equal and larger are those of the whole numbers, at any length."""
    read = numeric(accounts, spare_bits)

    assert ranks(read.numbers.tolist()) == ranks([int(account) for account in accounts])
    assert read.numbers.dtype == np.int64
    assert read.bits == int(read.numbers.max(initial=0)).bit_length()
    assert read.wrong.size == 0


@given(accounts=st.lists(TEXTS, max_size=40))
def test_texts_sort_and_compare_by_code_point(accounts: list[str]) -> None:
    """Law R2, code-point: smaller, equal and larger are those of the texts."""
    read = code_point(accounts)

    assert ranks(read.numbers.tolist()) == ranks(accounts)
    assert read.numbers.dtype == np.int64
    assert read.bits == int(read.numbers.max(initial=0)).bit_length()
    assert read.wrong.size == 0


@given(accounts=st.lists(st.text(string.digits, min_size=1, max_size=18), min_size=1))
@settings(deadline=None)
def test_packed_and_ranked_numbers_agree(accounts: list[str]) -> None:
    """Law R2: where accounts are too long to be packed, their ranks order them alike."""
    packed = numeric(accounts, 3)
    ranked = numeric(accounts, 63)

    assert packed.numbers.tolist() == [int(account) for account in accounts]
    assert ranked.numbers.tolist() == ranks(packed.numbers.tolist())


def test_a_number_is_packed_as_long_as_it_and_the_spare_bits_fit_63() -> None:
    largest = 10**18 - 1  # 60 bits.
    accounts = ["5", str(largest)]

    assert numeric(accounts, 3).numbers.tolist() == [5, largest]
    assert numeric(accounts, 3).bits == 60
    assert numeric(accounts, 4).numbers.tolist() == [0, 1]
    assert numeric(accounts, 4).bits == 1
    assert numeric(["5", "1" + "0" * 18], 0).numbers.tolist() == [0, 1]


def test_long_numbers_are_read_in_two_parts_the_lower_one_of_18_digits() -> None:
    high, low = read_numbers(texts_of(["0", "0007", "9" * 18, "1" + "0" * 18, "x", "9" * 30]))

    assert high is not None
    assert high.tolist() == [0, 0, 0, 1, -1, 10**12 - 1]
    assert low.tolist() == [0, 7, 10**18 - 1, 0, 0, 10**18 - 1]


def test_numbers_of_up_to_18_digits_have_no_higher_part() -> None:
    high, low = read_numbers(texts_of(["0", "0007", "9" * 18]))

    assert high is None
    assert low.tolist() == [0, 7, 10**18 - 1]


@given(
    texts=st.lists(
        st.one_of(NUMBERS, st.text("0189/:x", max_size=32), st.text("0123456789", max_size=32))
    ),
    rows_a_thread=st.sampled_from([1, 50_000]),
    cut=st.integers(0, 20),
)
@settings(deadline=None)
def test_texts_are_read_as_their_whole_numbers_in_any_chunks_by_any_threads(
    texts: list[str], rows_a_thread: int, cut: int
) -> None:
    """Law R2: a text of 1 to 30 digits is its number, and any other text is none."""
    accounts = pa.chunked_array([texts[:cut], [], texts[cut:]], pa.string())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "ROWS_WORTH_A_THREAD", rows_a_thread)
        high, low = read_numbers(accounts)

    expected = [
        int(text) if 1 <= len(text) <= 30 and set(text) <= set(string.digits) else -1
        for text in texts
    ]
    if high is None:
        high = np.zeros(len(texts), np.int64)
    assert [
        -1 if above < 0 else above * 10**18 + below
        for above, below in zip(high.tolist(), low.tolist(), strict=True)
    ] == expected


@pytest.mark.parametrize(
    "account",
    [
        "",
        " ",
        "1 ",
        " 1",
        "1\n",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "12a4",
        "A",
        "/",
        ":",
        "\x00",
        "1\x001",
        "0" * 31,
        "1" * 31,
        "9" * 300,
        "x" + "1" * 29,
        "1" * 29 + "x",
        "\u0661",
        "\uff11\uff12",
        "\u00b2",
        "1\u0301",
    ],
)
def test_what_is_no_number_of_1_to_30_plain_digits_is_no_account(account: str) -> None:
    accounts = texts_of(["1", account, "9" * 30])

    assert account_numbers(accounts, AccountOrder.NUMERIC, spare_bits=0).wrong.tolist() == [1]


@pytest.mark.parametrize(
    "account",
    [
        *("", " ", "A ", " A", "A\n", "A-1", "A_1", "A.1", "A/1", "[", "`", "{", "@", "\x00"),
        *("A" * 31, "\u00e9", "e\u0301", "\uff21", "\u0131", "\U0001f600"),
    ],
)
def test_what_is_no_text_of_1_to_30_digits_and_ascii_letters_is_no_account(account: str) -> None:
    accounts = texts_of(["A1z", account, "z" * 30])

    assert account_numbers(accounts, AccountOrder.CODE_POINT, spare_bits=0).wrong.tolist() == [1]


@pytest.mark.parametrize("account", ["1", "0", "007", "9" * 18, "9" * 19, "9" * 20, "0" * 30])
@pytest.mark.parametrize("order", list(AccountOrder))
def test_digits_are_an_account_in_both_orders(account: str, order: AccountOrder) -> None:
    assert account_numbers(texts_of([account]), order, spare_bits=0).wrong.size == 0


@pytest.mark.parametrize("order", list(AccountOrder))
def test_bytes_that_are_no_text_are_no_account(order: AccountOrder) -> None:
    received = pa.array([b"12", b"\xff\xfe", b"\xc3", b"1\x80"], pa.binary())
    accounts = pa.chunked_array([received.cast(pa.string(), safe=False)])

    assert account_numbers(accounts, order, spare_bits=0).wrong.tolist() == [1, 2, 3]


@pytest.mark.parametrize("order", list(AccountOrder))
def test_wrong_accounts_are_found_at_their_rows_across_chunks(order: AccountOrder) -> None:
    whole = pa.array(["!", "1", "22", "", "333"], pa.string())
    accounts = pa.chunked_array(
        [
            whole[1:3],
            pa.array([], pa.string()),
            pa.array([""], pa.string()),
            whole.slice(3, 2),
            pa.array(["4" * 31, "5555"], pa.string()),
        ]
    )

    read = account_numbers(accounts, order, spare_bits=1)

    assert read.wrong.tolist() == [2, 3, 5]
    assert ranks(read.numbers[[0, 1, 4, 6]].tolist()) == [0, 1, 2, 3]


def test_a_wrong_account_among_long_ones_leaves_the_order_of_the_others() -> None:
    read = numeric(["9" * 30, "oops", "1" + "0" * 29, "3"])

    assert read.wrong.tolist() == [1]
    assert ranks(read.numbers[[0, 2, 3]].tolist()) == [2, 1, 0]


@pytest.mark.parametrize("order", list(AccountOrder))
@pytest.mark.parametrize(
    "accounts",
    [pa.chunked_array([], pa.string()), texts_of([]), pa.chunked_array([[], []], pa.string())],
)
def test_no_accounts_at_all_are_no_problem(accounts: pa.ChunkedArray, order: AccountOrder) -> None:
    read = account_numbers(accounts, order, spare_bits=1)

    assert (read.numbers.size, read.bits, read.wrong.size) == (0, 0, 0)
