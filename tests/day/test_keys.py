"""Keys of accounts (R1, R2): their order, the texts that come back, and tables keyed."""

from __future__ import annotations

import string
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lottery.day import keys, loops, threads
from lottery.day.assigned_pools import assigned_pools
from lottery.day.identifiers import plain_accounts
from lottery.day.keys import Block, KeyedPositions, TextBlock, key_positions, key_table, ranked
from lottery.day.tables import POSITIONS
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    SPY,
    ZVZZT,
    in_chunks,
    notice,
    notices_table,
    position,
    positions_table,
    rows_of,
    without_chunks,
)
from tests.loops import interpreted_loops
from tests.reference import Row

NUMBERS = st.one_of(
    st.text(string.digits, min_size=1, max_size=3),
    st.text(string.digits, min_size=14, max_size=18),
    st.text(string.digits, min_size=1, max_size=30),
)
TEXTS = st.text(string.digits + string.ascii_letters, min_size=1, max_size=30)
BOUNDARIES = [
    *(0, 1, 10**8 - 1, 10**8, 10**15, 10**16 - 1, 10**16, 10**17 - 1, 10**18 - 1, 10**18, 10**19),
    *(2**31, 2**32, 2**53, 2**53 + 1, 2**58, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30 - 1),
]


def text_block(accounts: Sequence[str], array: pa.StringArray | None = None) -> TextBlock:
    """Return positions of one pool, one contract each."""
    rows = np.arange(len(accounts), dtype=np.int32)
    return TextBlock(
        pools=np.zeros_like(rows),
        accounts=pa.array(accounts, pa.string()) if array is None else array,
        shorts=np.ones(len(accounts), np.int64),
        rows=rows,
    )


def keyed(*blocks: list[str], order: AccountOrder = AccountOrder.NUMERIC) -> KeyedPositions:
    return key_positions([text_block(block) for block in blocks], order)


def numbers_of(positions: KeyedPositions) -> list[int]:
    """Return the number or rank of each row."""
    return [key >> loops.LENGTH_BITS for block in positions.blocks for key in block.keys.tolist()]


def texts_of(positions: KeyedPositions) -> list[list[str]]:
    return [positions.accounts_of(block).to_pylist() for block in positions.blocks]


def places(values: Sequence[int] | Sequence[str]) -> list[int]:
    """Return the place of each value among the distinct ones."""
    place_of = {value: place for place, value in enumerate(sorted(set(values)))}  # type: ignore[type-var]
    return [place_of[value] for value in values]


def cut_in(accounts: list[str], sizes: list[int]) -> list[list[str]]:
    """Cut accounts into blocks, some of them empty; the last one has the rest."""
    ends = [0, *np.cumsum(sizes).tolist()]
    return [*(accounts[first:last] for first, last in pairwise(ends)), accounts[ends[-1] :]]


@given(
    accounts=st.lists(NUMBERS, max_size=40),
    sizes=st.lists(st.integers(0, 9), max_size=4),
    rows_a_thread=st.sampled_from([1, 50_000]),
)
@example(accounts=["007", "7", "0", "0" * 30, "8", "00"], sizes=[2], rows_a_thread=1)
@example(accounts=[str(value) for value in BOUNDARIES], sizes=[], rows_a_thread=1)
@example(
    accounts=[str(value) for value in BOUNDARIES if value < 10**16], sizes=[3], rows_a_thread=9
)
@settings(deadline=None)
def test_keys_sort_as_numbers_do_and_give_their_texts_back(
    accounts: list[str], sizes: list[int], rows_a_thread: int
) -> None:
    """Law R2, numeric: smaller, equal and larger are those of the whole numbers, at any length."""
    blocks = cut_in(accounts, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "ROWS_WORTH_A_THREAD", rows_a_thread)
        positions = keyed(*blocks)

    numbers = numbers_of(positions)
    values = [int(account) for account in accounts]
    if all(len(account) <= loops.KEYED_DIGITS for account in accounts):
        assert numbers == values
    assert places(numbers) == places(values)
    assert texts_of(positions) == blocks
    largest = max((key for block in positions.blocks for key in block.keys.tolist()), default=0)
    assert positions.key_bits == largest.bit_length() <= 59
    for block, texts in zip(positions.blocks, blocks, strict=True):
        assert [positions.account(key) for key in block.keys.tolist()] == texts
    plain = {account.lstrip("0") for account in accounts}
    assert {positions.plain_account(number) for number in numbers} == plain
    assert positions.numbers_of(plain) == set(numbers)


@given(accounts=st.lists(TEXTS, max_size=40), sizes=st.lists(st.integers(0, 9), max_size=4))
@example(accounts=["a1", "B1", "1a", "9", "10", "b", "A1", "Z", "007", "7", "0", "00"], sizes=[3])
@settings(deadline=None)
def test_keys_sort_as_texts_do_by_code_point(accounts: list[str], sizes: list[int]) -> None:
    """Law R2, code-point: smaller, equal and larger are those of the texts."""
    blocks = cut_in(accounts, sizes)

    positions = keyed(*blocks, order=AccountOrder.CODE_POINT)

    assert numbers_of(positions) == places(accounts)
    assert texts_of(positions) == blocks
    assert positions.numbers_of(accounts) == set(numbers_of(positions))


def test_99_comes_before_1000_as_a_number_and_after_it_as_a_text() -> None:
    assert places(numbers_of(keyed(["1000", "99"]))) == [1, 0]
    assert places(numbers_of(keyed(["1000", "99"], order=AccountOrder.CODE_POINT))) == [0, 1]


def test_accounts_that_are_not_there_have_no_rank() -> None:
    positions = keyed(["7" * 17, "8"])

    assert positions.numbers_of({"9", "", "7" * 18}) == frozenset()
    assert positions.numbers_of(()) == frozenset()


@given(accounts=st.lists(st.text(string.digits, min_size=1, max_size=16), min_size=1))
@settings(deadline=None)
def test_ranks_take_the_place_of_numbers(accounts: list[str]) -> None:
    """Law R2: numbers that leave no bits for an index are ranked, to the same order and texts."""
    positions = keyed(accounts[::2], accounts[1::2])

    in_ranks = ranked(positions)

    assert numbers_of(in_ranks) == places(numbers_of(positions))
    assert texts_of(in_ranks) == texts_of(positions)


def test_a_block_with_keys_is_ranked_with_one_that_has_none() -> None:
    with_keys = keyed(["0012", "7"]).blocks[0]

    positions = key_positions([with_keys, text_block(["9" * 30, "12", "00"])], AccountOrder.NUMERIC)

    assert numbers_of(positions) == [2, 1, 3, 2, 0]
    assert texts_of(positions) == [["0012", "7"], ["9" * 30, "12", "00"]]


def test_no_accounts_have_no_keys() -> None:
    for order in AccountOrder:
        assert key_positions([], order).blocks == ()
        assert len(keyed([], [], order=order)) == 0
        assert texts_of(keyed([], [], order=order)) == [[], []]


@pytest.mark.parametrize("interpreted", [False, True])
def test_an_account_is_read_and_written_wherever_its_buffer_ends(*, interpreted: bool) -> None:
    """Every length at every distance from both ends of the bytes, between other digits."""
    texts = [str(10**29 + 12_345_678_901_234_567_890)[-size:] for size in range(1, 31)]
    texts += ["0" * size for size in (1, 8, 9, 16, 17)]
    for text in texts:
        for before in range(18):
            for after in (0, 1, 7, 8):
                array = pa.array(["9" * before, text, "9" * after], pa.string()).slice(1, 1)
                with interpreted_loops() if interpreted else nullcontext():
                    positions = key_positions([text_block([text], array)], AccountOrder.NUMERIC)
                    assert texts_of(positions) == [[text]]
                ranks = len(text) > loops.KEYED_DIGITS
                assert numbers_of(positions) == [0 if ranks else int(text)]


@pytest.mark.parametrize("interpreted", [False, True])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16])
def test_any_byte_that_is_not_a_digit_leaves_no_key(size: int, *, interpreted: bool) -> None:
    """Every byte at every place, at the front of a buffer and far from it."""
    read = loops.read_keys.interpreted if interpreted else loops.read_keys.compiled()
    digits = b"9" * size
    for at in range(size):
        for byte in {*range(256)} - {*string.digits.encode()}:
            text = digits[:at] + bytes([byte]) + digits[at + 1 :]
            data = np.frombuffer(text + b"1" * 16 + text + b"5", np.uint8)
            bounds = np.array([0, size, size + 16, 2 * size + 16, 2 * size + 17], np.int32)
            found = np.empty(4, np.int64)
            assert read(bounds, data, keys.words_of(data), found) == 2
            expected = [-1, 1_111_111_111_111_111 << 5 | 16, -1, 5 << 5 | 1]
            assert found.tolist() == expected


@pytest.mark.parametrize("text", ["", "1" * 17, "0" * 31])
def test_a_text_that_is_too_short_or_too_long_has_no_key(text: str) -> None:
    block = text_block([text, "1" * 16])
    offsets, data = keys.text_buffers(block.accounts)
    found = np.empty(2, np.int64)

    assert loops.read_keys(offsets, data, keys.words_of(data), found) == 1
    assert found.tolist() == [-1, int("1" * 16) << 5 | 16]


POOL = st.tuples(st.sampled_from(["", "C", "F"]), st.sampled_from([AAPL, SPY, ZVZZT]))


@given(
    noticed=st.lists(POOL, max_size=4),
    rows=st.lists(st.tuples(POOL, NUMBERS, st.integers(0, 2**63 - 1)), max_size=20),
    rows_a_chunk=st.integers(1, 21),
    order=st.sampled_from(AccountOrder),
)
@settings(deadline=None)
def test_a_table_is_keyed_as_a_person_would_sort_it_out(
    noticed: list[tuple[str, str]],
    rows: list[tuple[tuple[str, str], str, int]],
    rows_a_chunk: int,
    order: AccountOrder,
) -> None:
    """Law P1: the rows of assigned pools alone, each with its pool and its index."""
    given_rows: list[Row] = [
        position(series, account, short, occ) for (occ, series), account, short in rows
    ]
    assigned = assigned_pools(
        notices_table([notice("1", series, 1, occ) for occ, series in noticed])
    )
    table = in_chunks(positions_table(given_rows), rows_a_chunk)

    positions = key_table(table if rows else without_chunks(POSITIONS), assigned, order)

    pools = sorted(set(noticed))
    taking_part = [row for row, (pool, _, _) in enumerate(rows) if pool in pools]
    [block] = positions.blocks
    assert isinstance(block, Block)
    assert block.rows.tolist() == taking_part
    assert block.pools.tolist() == [pools.index(rows[row][0]) for row in taking_part]
    assert block.shorts.tolist() == [rows[row][2] for row in taking_part]
    assert texts_of(positions) == [[rows[row][1] for row in taking_part]]
    again = positions.table(assigned)
    assert again.schema == POSITIONS
    assert rows_of(again) == [given_rows[row] for row in taking_part]


def test_plain_accounts_lose_their_zeros_in_the_numeric_order_alone() -> None:
    accounts = pa.array(["007", "0", "70"])

    assert plain_accounts(accounts, AccountOrder.NUMERIC).to_pylist() == ["7", "", "70"]
    assert plain_accounts(accounts, AccountOrder.CODE_POINT).to_pylist() == ["007", "0", "70"]
