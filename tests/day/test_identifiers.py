"""Series, account numbers and OCC accounts: what is valid, and what is said of the rest."""

from __future__ import annotations

import calendar
import datetime as dt
import string

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lottery.day.identifiers import (
    describe_account,
    describe_occ_account,
    describe_series,
    describe_slip,
    is_occ_account,
    pad_series,
    padded_series,
    wrong_accounts,
    wrong_occ_accounts,
)
from lottery.method.methodology import AccountOrder
from tests import reference

ROOT_LETTERS = string.ascii_uppercase + string.digits

ROOTS = st.text(ROOT_LETTERS, min_size=1, max_size=6)
DATES = st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31))
TAILS = st.builds(
    lambda date, right, strike: f"{date:%y%m%d}{right}{strike:08d}",
    DATES,
    st.sampled_from("CP"),
    st.integers(0, 99_999_999),
)


@st.composite
def nearly_symbols(draw: st.DrawFn) -> str:
    """Draw a symbol and change, drop or add a character or two of it, or none."""
    text = draw(ROOTS) + " " * draw(st.integers(0, 6)) + draw(TAILS)
    for _ in range(draw(st.integers(0, 2))):
        index = draw(st.integers(0, len(text)))
        inserted = draw(st.text("A09 CPcX-\n\u0661\u00c9", max_size=1))
        text = text[:index] + inserted + text[index + draw(st.integers(0, 1)) :]
    return text


def padded_or_none(text: str) -> str | None:
    """Read a symbol character by character; None where it is none."""
    root, tail = text[:-15], text[-15:]
    if len(tail) < 15 or not set(tail[:6] + tail[7:]) <= set(string.digits) or tail[6] not in "CP":
        return None
    year, month, day = 2000 + int(tail[:2]), int(tail[2:4]), int(tail[4:6])
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if len(text) == 21:
        root = root.rstrip(" ")
    if not 1 <= len(root) <= 6 or not set(root) <= set(ROOT_LETTERS):
        return None
    return root.ljust(6) + tail


@pytest.mark.parametrize(
    ("given_symbol", "padded"),
    [
        ("AAPL  240920C00220000", "AAPL  240920C00220000"),
        ("AAPL240920C00220000", "AAPL  240920C00220000"),
        ("F     240920P00010500", "F     240920P00010500"),
        ("F240920P00010500", "F     240920P00010500"),
        ("GOOGL1240920C00155000", "GOOGL1240920C00155000"),
        # An adjusted series: the digit belongs to the root, not to the date.
        ("AAPL1240920C00220000", "AAPL1 240920C00220000"),
        ("AAPL1 240920C00220000", "AAPL1 240920C00220000"),
        # FLEX roots begin with a digit; a root may be nothing but digits.
        ("1SPX240920C00220000", "1SPX  240920C00220000"),
        ("2AAPL 240920C00220000", "2AAPL 240920C00220000"),
        ("4240920C00220000", "4     240920C00220000"),
        ("123456240920C00220000", "123456240920C00220000"),
        # Days that only some calendars have.
        ("SPY240229C00500000", "SPY   240229C00500000"),
        ("SPY000229C00500000", "SPY   000229C00500000"),
        ("SPY991231C99999999", "SPY   991231C99999999"),
    ],
)
def test_a_symbol_is_written_in_its_21_characters(given_symbol: str, padded: str) -> None:
    assert padded_series(given_symbol) == padded
    assert reference.padded_series(given_symbol) == padded


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        " ",
        "AAPL",
        "240920C00220000",
        "      240920C00220000",
        "ABCDEFG240920C00220000",
        "1234567240920C00220000",
        # Blanks anywhere but up to the sixth character of the root.
        "AAPL 240920C00220000",
        "AAPL   240920C00220000",
        "AAPL      240920C00220000",
        " AAPL 240920C00220000",
        "AA PL 240920C00220000",
        "AAPL  240920C00220000 ",
        " AAPL240920C00220000",
        "AAPL240920C00220000 ",
        "AAPL  240920 C00220000",
        "AAPL240920C 0220000",
        "AAPL\t\t240920C00220000",
        "AAPL240920C00220000\n",
        "AAPL  240920C00220000\n",
        "AAPL\n240920C00220000",
        # The root.
        "aapl240920C00220000",
        "BRK.B 240920C00220000",
        "BRK/B240920C00220000",
        "\u00c9AAPL240920C00220000",
        "\uff21APL240920C00220000",
        # Put or call.
        "AAPL240920c00220000",
        "AAPL240920X00220000",
        "AAPL24092000220000",
        "AAPL  240920000220000",
        # The strike.
        "AAPL240920C0022000",
        "AAPL  240920C002200000",
        "AAPL240920C00220.00",
        "AAPL240920C-0220000",
        "AAPL240920C0022000\u0660",
        # The date.
        "AAPL2409C00220000",
        "AAPL  2024920C00220000",
        "AAPL  24O920C00220000",
        "AAPL\u0662\u0664\u0660\u0669\u0662\u0660C00220000",
        "AAPL240900C00220000",
        "AAPL240931C00220000",
        "AAPL241301C00220000",
        "AAPL240001C00220000",
        "AAPL240230C00220000",
        "AAPL230229C00220000",
        "AAPL000000C00220000",
    ],
)
def test_a_malformed_symbol_is_refused_and_left_as_it_is(symbol: str) -> None:
    padded, wrong = pad_series(pa.array(["SPY240920C00500000", symbol], pa.string()))

    assert wrong.tolist() == [False, True]
    assert padded.to_pylist() == ["SPY   240920C00500000", symbol]
    with pytest.raises(ValueError, match="expected an OSI symbol") as refused:
        padded_series(symbol)
    assert str(refused.value) == describe_series(symbol)


@given(root=ROOTS, tail=TAILS)
def test_both_forms_of_a_symbol_are_one_series(root: str, tail: str) -> None:
    """Law: compact and padded come out padded, and padding a padded symbol changes nothing."""
    padded = f"{root:<6}{tail}"

    assert padded_series(root + tail) == padded
    assert padded_series(padded) == padded
    assert reference.padded_series(root + tail) == padded


@given(symbols=st.lists(nearly_symbols(), max_size=8))
def test_many_symbols_at_once_are_read_as_one_by_one(symbols: list[str]) -> None:
    """Law: the vectorised reading, the single one and a plain character-by-character one agree."""
    padded, wrong = pad_series(pa.array(symbols, pa.string()))

    expected = [padded_or_none(symbol) for symbol in symbols]
    assert wrong.tolist() == [symbol is None for symbol in expected]
    assert padded.to_pylist() == [
        right or symbol for right, symbol in zip(expected, symbols, strict=True)
    ]
    for symbol, right in zip(symbols, expected, strict=True):
        if right is None:
            with pytest.raises(ValueError, match="expected an OSI symbol"):
                padded_series(symbol)
        else:
            assert padded_series(symbol) == right


@pytest.mark.parametrize("year", [0, 1, 4, 24, 25, 96, 99])
def test_a_date_is_one_that_the_calendar_has(year: int) -> None:
    dates = [f"{year:02d}{month:02d}{day:02d}" for month in range(14) for day in range(33)]

    _, wrong = pad_series(pa.array([f"SPY{date}C00500000" for date in dates], pa.string()))

    days = 366 if calendar.isleap(2000 + year) else 365
    assert (~wrong).sum() == days


def test_a_missing_symbol_is_none() -> None:
    padded, wrong = pad_series(pa.array([None, "SPY240920C00500000", None], pa.string()))

    assert wrong.tolist() == [True, False, True]
    assert padded.to_pylist() == [None, "SPY   240920C00500000", None]
    assert describe_series(None).endswith(", got None")


def test_no_symbols_at_all_are_no_problem() -> None:
    padded, wrong = pad_series(pa.array([], pa.string()))

    assert (len(padded), padded.type, wrong.size) == (0, pa.string(), 0)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_symbols_of_another_text_type_are_read_too(kind: pa.DataType) -> None:
    padded, wrong = pad_series(pa.array(["SPY240920C00500000", "?"], pa.string()).cast(kind))

    assert padded.type == pa.string()
    assert padded.to_pylist() == ["SPY   240920C00500000", "?"]
    assert wrong.tolist() == [False, True]


@given(texts=st.lists(st.text("09azAZ/.-_ \n\u0661", max_size=33)))
@example(texts=["0" * 30, "0" * 31, "1\n", "\n", "", "a" * 30, "a" * 31, "9" * 300])
@example(texts=["1", "0", "007", "9" * 18, "9" * 19, "9" * 20, "z" * 30, "A1z"])
@example(
    texts=["x" + "1" * 29, "1" * 29 + "x", "12a4", "1.0", "1e3", "-1", "+1", "1 ", " 1", "0x1"]
)
@example(texts=["/", ":", "[", "`", "{", "@", "\x00", "1\x001", "A_1", "A.1", "A-1", "A/1"])
@example(
    texts=["\u0661", "\uff11\uff12", "\u00b2", "1\u0301", "\u00e9", "e\u0301", "\uff21", "\u0131"]
)
def test_an_account_is_valid_by_its_length_and_characters(texts: list[str]) -> None:
    """Law R2: 1 to 30 digits, or digits and letters, in any chunks."""
    accounts = pa.chunked_array([texts], pa.string())
    characters = {
        AccountOrder.NUMERIC: set(string.digits),
        AccountOrder.CODE_POINT: set(string.digits + string.ascii_letters),
    }

    for order, allowed in characters.items():
        assert wrong_accounts(accounts, order).tolist() == [
            row
            for row, text in enumerate(texts)
            if not (1 <= len(text) <= 30 and {*text} <= allowed)
        ]
    chunks = pa.chunked_array([texts[:2], [], texts[2:]], pa.string())
    for order in AccountOrder:
        assert wrong_accounts(chunks, order).tolist() == wrong_accounts(accounts, order).tolist()


@pytest.mark.parametrize("order", list(AccountOrder))
def test_bytes_that_are_no_text_are_no_account(order: AccountOrder) -> None:
    received = pa.array([b"12", b"\xff\xfe", b"\xc3", b"1\x80"], pa.binary())
    accounts = pa.chunked_array([received.cast(pa.string(), safe=False)])

    assert wrong_accounts(accounts, order).tolist() == [1, 2, 3]


@given(texts=st.lists(st.text("09azAZ/.-_ \n\u0661", max_size=33)))
@example(texts=["", "C", "F/ZZZ", "a" * 32, "a" * 33, "C\n", "\n", "/C"])
def test_an_occ_account_is_valid_one_by_one_as_in_an_array(texts: list[str]) -> None:
    """Law P3: nothing, or up to 32 letters, digits and four signs after a first that is none."""
    plain = set(string.digits + string.ascii_letters)
    expected = [
        text == "" or (len(text) <= 32 and text[0] in plain and {*text} <= plain | set("/._-"))
        for text in texts
    ]

    assert [is_occ_account(text) for text in texts] == expected
    assert (~wrong_occ_accounts(pa.array(texts, pa.string()))).tolist() == expected


def test_what_is_expected_of_an_account_and_an_occ_account_is_described() -> None:
    assert describe_account("A-1", AccountOrder.NUMERIC) == (
        "expected an account number of 1 to 30 digits, got 'A-1'"
    )
    assert describe_account("A-1", AccountOrder.CODE_POINT) == (
        "expected an account number of 1 to 30 digits and ASCII letters, got 'A-1'"
    )
    assert describe_occ_account("C D").endswith("or nothing, got 'C D'")


def test_letters_are_named_where_they_need_another_decision() -> None:
    assert describe_account("12A", AccountOrder.NUMERIC) == (
        "expected an account number of 1 to 30 digits, without letters unless the charter has "
        "account_order=code-point, got '12A'"
    )
    assert "without letters" not in describe_account("1" * 31, AccountOrder.NUMERIC)


@pytest.mark.parametrize(
    ("text", "slip"),
    [
        (" 5", ", without blanks around it"),
        ("5\u00a0", ", without no-break spaces"),
        ("1.2E+09", ", not rounded by a spreadsheet (make its column text)"),
        ("'5", ", without a spreadsheet's sign of text"),
        ("(5)", ", not negative"),
        ("1,005,000", ", without thousands separators"),
        ("5.0", ", without decimals"),
        ("5", ""),
        ("5 " * 100, ""),
    ],
)
def test_what_spreadsheets_add_is_named(text: str, slip: str) -> None:
    assert describe_slip(text) == slip
