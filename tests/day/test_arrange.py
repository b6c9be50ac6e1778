"""Which rows belong together (P1 to P5): pools, sums of notices, doubled rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day import arrange as arrange_module
from lottery.day import threads
from lottery.day.account_keys import AccountNumbers
from lottery.day.arrange import Arrangement, Doubled, arrange, split_pools
from lottery.day.assigned_pools import (
    AssignedPool,
    assigned_pools,
    label_indices,
)
from lottery.day.tables import INT64_MAX, LABEL, NOTICES, POSITIONS
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    SPY,
    ZVZZT,
    allocate_rows,
    allocate_tables,
    in_chunks,
    label,
    notice,
    notices_table,
    position,
    positions_of,
    positions_table,
    tuples_of,
    without_chunks,
)
from tests.reference import Row

NOTICES_OF_THE_DAY = [
    notice("N1", SPY, 3, "F"),
    notice("N2", AAPL, 2, "C"),
    notice("N3", AAPL, 1),
    notice("N4", SPY, 1, "C"),
    notice("N5", AAPL, 4, "C"),
]
POSITIONS_OF_THE_DAY = [
    *positions_of(SPY, {"99": 2, "1000": 3, "7": 0}, "F"),
    *positions_of(ZVZZT, {"5": 8, "4": 8}, "C"),
    *positions_of(AAPL, {"0042": 3, "1": 4, "1000": 2}, "C"),
    *positions_of(AAPL, {"42": 1, "12": 2}),
    *positions_of(SPY, {"1": 4}, "C"),
    *positions_of(AAPL, {"42": 9}, "F"),
]


def arranged(
    notices: list[Row], positions: list[Row], order: AccountOrder = AccountOrder.NUMERIC
) -> Arrangement:
    """Arrange a day of rows."""
    return arrange(notices_table(notices), positions_table(positions), order)


def accounts_of(arrangement: Arrangement) -> list[list[str]]:
    """List each assigned pool's accounts in the order arranged."""
    accounts = arrangement.positions.column("account").to_pylist()
    in_pool = (1 << arrangement.index_bits) - 1
    listed = []
    for code in range(len(arrangement.pools)):
        start, end = arrangement.starts[code : code + 2]
        rows = arrangement.rows[start + (arrangement.keys[start:end] & in_pool)]
        listed.append([accounts[row] for row in rows])
    return listed


def test_the_notices_of_one_pool_add_up_and_pools_stand_in_their_order() -> None:
    assert tuple(assigned_pools(notices_table(NOTICES_OF_THE_DAY))) == (
        AssignedPool(occ_account="", series=AAPL, notice_count=1, assigned_quantity=1),
        AssignedPool(occ_account="C", series=AAPL, notice_count=2, assigned_quantity=6),
        AssignedPool(occ_account="C", series=SPY, notice_count=1, assigned_quantity=1),
        AssignedPool(occ_account="F", series=SPY, notice_count=1, assigned_quantity=3),
    )


def test_each_pool_has_its_own_accounts_in_order_and_no_others() -> None:
    arrangement = arranged(NOTICES_OF_THE_DAY, POSITIONS_OF_THE_DAY)

    assert accounts_of(arrangement) == [
        ["12", "42"],
        ["1", "0042", "1000"],
        ["1"],
        ["7", "99", "1000"],
    ]
    assert arrangement.doubled == ()
    assert arrangement.wrong_accounts.size == 0


def test_by_code_point_a_pools_accounts_stand_in_the_order_of_their_texts() -> None:
    arrangement = arranged(
        [notice("N1", AAPL, 1)],
        positions_of(AAPL, {"b2": 1, "99": 1, "A1": 1, "1000": 1}),
        AccountOrder.CODE_POINT,
    )

    assert accounts_of(arrangement) == [["1000", "99", "A1", "b2"]]


def test_no_occ_account_is_a_pool_of_its_own_beside_the_others() -> None:
    arrangement = arranged(
        [notice("N1", AAPL, 1), notice("N2", AAPL, 1, "C"), notice("N3", AAPL, 1, "M/ABC")],
        [position(AAPL, "1", 1, "C"), position(AAPL, "2", 1), position(AAPL, "3", 1, "c")],
    )

    assert accounts_of(arrangement) == [["2"], ["1"], []]


def test_an_assigned_pool_without_a_position_is_there_and_empty() -> None:
    arrangement = arranged(
        [notice("N1", ZVZZT, 1), notice("N2", AAPL, 1, "F"), notice("N3", AAPL, 1)],
        [position(AAPL, "1", 1)],
    )

    assert [(pool.occ_account, pool.series) for pool in arrangement.pools] == [
        ("", AAPL),
        ("", ZVZZT),
        ("F", AAPL),
    ]
    assert accounts_of(arrangement) == [["1"], [], []]


def test_a_day_without_any_position_has_its_assigned_pools_all_the_same() -> None:
    arrangement = arranged([notice("N1", AAPL, 1), notice("N2", SPY, 1, "C")], [])

    assert len(arrangement.pools) == 2
    assert accounts_of(arrangement) == [[], []]


def test_notices_past_64_bits_are_kept_whole_and_their_pools_named() -> None:
    assigned = assigned_pools(
        notices_table(
            [
                notice("N1", AAPL, INT64_MAX),
                notice("N2", SPY, INT64_MAX, "C"),
                notice("N3", SPY, 1, "C"),
                notice("N4", ZVZZT, INT64_MAX - 1),
                notice("N5", ZVZZT, 1),
            ]
        )
    )

    assert [pool.assigned_quantity for pool in assigned] == [INT64_MAX, INT64_MAX, INT64_MAX + 1]
    assert assigned.overflowing() == [
        AssignedPool(occ_account="C", series=SPY, notice_count=2, assigned_quantity=INT64_MAX + 1)
    ]


QUANTITIES = st.one_of(
    st.integers(1, 9),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**32 + 1, INT64_MAX - 1, INT64_MAX]),
    st.integers(1, INT64_MAX),
)


@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(["", "C", "F", "C/ZZZ", "c"]),
            st.sampled_from([AAPL, SPY, ZVZZT]),
            QUANTITIES,
        ),
        max_size=30,
    ),
    encoding=st.sampled_from(
        ["as it is", "repeated texts", "unused texts", "a chunk a row", "chunks", "cut out"]
    ),
)
def test_assigned_pools_are_those_that_a_person_would_add_up(
    drawn: list[tuple[str, str, int]], encoding: str
) -> None:
    """Law P3, P5: a dictionary and Python's own numbers say the same, however large the sums."""
    sums: dict[tuple[str, str], list[int]] = {}
    for occ_account, series, quantity in drawn:
        sums.setdefault((occ_account, series), []).append(quantity)
    notices = notices_table(
        [notice("N1", series, quantity, occ) for occ, series, quantity in drawn]
    )
    encode: dict[str, Callable[[pa.Table], pa.Table]] = {
        "as it is": lambda table: table,
        "repeated texts": with_repeated_texts,
        "unused texts": with_unused_texts,
        "a chunk a row": lambda table: in_chunks(table, 1),
        "chunks": lambda table: in_chunks(table, 7),
        "cut out": cut_out,
    }

    assigned = assigned_pools(encode[encoding](notices))

    assert tuple(assigned) == tuple(
        AssignedPool(
            occ_account=occ_account,
            series=series,
            notice_count=len(quantities),
            assigned_quantity=sum(quantities),
        )
        for (occ_account, series), quantities in sorted(sums.items())
    )
    assert all(
        type(figure) is int
        for pool in assigned
        for figure in (pool.notice_count, pool.assigned_quantity)
    )


@pytest.mark.parametrize("count", [2, 3, 5_000])
def test_a_sum_of_the_largest_notices_is_exact(count: int) -> None:
    rows = [notice("N1", AAPL, INT64_MAX, "C")] * count + [notice("N1", AAPL, 1, "F")]

    assigned = assigned_pools(notices_table(rows))

    assert [pool.assigned_quantity for pool in assigned] == [count * INT64_MAX, 1]
    assert assigned.overflowing() == [assigned[0]]


@pytest.mark.parametrize("empty", [pa.Schema.empty_table, without_chunks])
def test_no_notices_are_of_no_pool(empty: Callable[[pa.Schema], pa.Table]) -> None:
    assert tuple(assigned_pools(empty(NOTICES))) == ()


def test_pools_stand_in_the_order_of_their_texts_whatever_that_of_the_notices() -> None:
    names = [(occ, series) for occ in ("", "C", "C/ZZZ", "c") for series in (AAPL, SPY, ZVZZT)]

    assigned = assigned_pools(
        notices_table([notice("N1", series, 1, occ) for occ, series in reversed(names)])
    )

    assert [(pool.occ_account, pool.series) for pool in assigned] == names


def test_a_doubled_account_is_found_in_a_assigned_pool() -> None:
    rows = positions_of(AAPL, [("1", 5), ("2", 5), ("1", 6)])

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (Doubled(row=2, first_row=0),)


def test_a_doubled_account_is_found_where_no_notice_came() -> None:
    rows = [
        position(AAPL, "1", 5),
        position(SPY, "8", 5),
        position(SPY, "8", 5, "C"),
        position(SPY, "8", 5, "C"),
    ]

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (Doubled(row=3, first_row=2),)
    assert arranged([], rows).doubled == (Doubled(row=3, first_row=2),)


def test_two_spellings_of_one_number_are_one_account_doubled() -> None:
    rows = positions_of(AAPL, [("007", 5), ("70", 1), ("7", 5)])

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (Doubled(row=2, first_row=0),)


def test_two_spellings_of_one_long_number_are_one_account_doubled() -> None:
    long = "1" + "0" * 27
    rows = positions_of(AAPL, [(f"0{long}", 5), ("1" + "0" * 26, 1), (long, 5), (f"00{long}", 1)])

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (
        Doubled(row=2, first_row=0),
        Doubled(row=3, first_row=0),
    )


def test_accounts_of_18_digits_keep_their_order_if_index_and_number_exceed_64_bits() -> None:
    accounts = [str(10**18 - 1 - 7 * row % 20) for row in range(20)]

    arrangement = arranged([notice("N1", AAPL, 1)], [position(AAPL, one, 1) for one in accounts])

    assert accounts_of(arrangement) == [sorted(accounts, key=int)]
    assert arrangement.doubled == ()


def test_by_code_point_two_spellings_are_two_accounts_and_one_spelling_is_one() -> None:
    rows = positions_of(AAPL, [("007", 5), ("7", 5), ("a7", 5), ("A7", 5), ("7", 5)])

    arrangement = arranged([notice("N1", AAPL, 1)], rows, AccountOrder.CODE_POINT)

    assert arrangement.doubled == (Doubled(row=4, first_row=1),)


def test_an_account_in_two_pools_is_not_doubled() -> None:
    rows = [
        position(AAPL, "1", 5),
        position(AAPL, "1", 5, "C"),
        position(SPY, "1", 5),
        position(SPY, "1", 5, "C"),
    ]

    assert arranged([notice("N1", AAPL, 1), notice("N2", SPY, 1)], rows).doubled == ()


def test_a_doubled_row_of_no_contracts_is_doubled_too() -> None:
    rows = positions_of(AAPL, [("1", 0), ("1", 5)])

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (Doubled(row=1, first_row=0),)


def test_every_repeated_row_is_listed_with_the_first_of_its_account_sorted_by_row() -> None:
    rows = [
        position(SPY, "3", 1),
        position(AAPL, "2", 1),
        position(AAPL, "1", 1),
        position(AAPL, "2", 1),
        position(SPY, "3", 1),
        position(AAPL, "5", 1),
        position(AAPL, "1", 1),
        position(AAPL, "02", 1),
        position(AAPL, "6", 1),
        position(AAPL, "6", 1),
    ]

    assert arranged([notice("N1", AAPL, 1)], rows).doubled == (
        Doubled(row=3, first_row=1),
        Doubled(row=4, first_row=0),
        Doubled(row=6, first_row=2),
        Doubled(row=7, first_row=1),
        Doubled(row=9, first_row=8),
    )


@given(st.lists(st.tuples(st.sampled_from(["", "C"]), st.integers(0, 4), st.integers(1, 2))))
def test_the_doubled_rows_are_those_that_a_person_would_find(
    drawn: list[tuple[str, int, int]],
) -> None:
    """Law P4, R2: a dictionary of all rows finds the same rows, in every pool."""
    rows = [
        position(AAPL, str(number).zfill(width), 1, occ_account)
        for occ_account, number, width in drawn
    ]
    first_of: dict[tuple[str, int], int] = {}
    expected = []
    for row, (occ_account, number, _) in enumerate(drawn):
        first_row = first_of.setdefault((occ_account, number), row)
        if first_row != row:
            expected.append(Doubled(row=row, first_row=first_row))

    assert arranged([notice("N1", AAPL, 1, "C")], rows).doubled == tuple(expected)


def test_rows_of_wrong_accounts_are_in_no_pool_and_hide_no_doubled_one() -> None:
    rows = positions_of(
        AAPL, [("2", 1), ("x", 1), ("1", 1), ("", 1), ("2", 1), ("-", 1), ("1x", 1), ("y", 1)]
    )

    arrangement = arranged([notice("N1", AAPL, 1)], rows)

    assert arrangement.wrong_accounts.tolist() == [1, 3, 5, 6, 7]
    assert accounts_of(arrangement) == [["1", "2", "2"]]
    assert arrangement.doubled == (Doubled(row=4, first_row=0),)


def test_more_wrong_accounts_than_any_pool_has_rows_disturb_no_pool() -> None:
    series = [f"Z{number:<5}240920C00220000" for number in range(40)]
    rows = [position(one, account, 1) for one in series for account in ("no", "7")]

    arrangement = arranged([notice("N1", one, 1) for one in series], rows)

    assert arrangement.wrong_accounts.tolist() == list(range(0, 80, 2))
    assert accounts_of(arrangement) == [["7"]] * 40
    assert arrangement.doubled == ()


def test_a_wrong_account_in_the_order_of_texts_is_in_no_pool_either() -> None:
    rows = positions_of(AAPL, [("b", 1), ("b-", 1), ("a", 1)])

    arrangement = arranged([notice("N1", AAPL, 1)], rows, AccountOrder.CODE_POINT)

    assert arrangement.wrong_accounts.tolist() == [1]
    assert accounts_of(arrangement) == [["a", "b"]]


def with_repeated_texts(table: pa.Table) -> pa.Table:
    """The same rows; label dictionaries hold their texts twice, rows point at both in turn."""
    for name in ("series", "occ_account"):
        texts = table.column(name).to_pylist()
        distinct = sorted(set(texts))
        indices = [
            distinct.index(text) + (row % 2) * len(distinct) for row, text in enumerate(texts)
        ]
        repeated = pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int32()), pa.array(distinct * 2, pa.string())
        )
        table = table.set_column(
            table.schema.get_field_index(name), table.schema.field(name), repeated
        )
    return table


def with_unused_texts(table: pa.Table) -> pa.Table:
    """The same rows; label dictionaries have texts that no row has."""
    for name in ("series", "occ_account"):
        column = table.column(name).combine_chunks()
        unused = ["F", *column.dictionary.to_pylist(), ZVZZT, "M"]
        unused = list(dict.fromkeys(unused))
        indices = [unused.index(text) for text in column.to_pylist()]
        longer = pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int32()), pa.array(unused, pa.string())
        )
        table = table.set_column(
            table.schema.get_field_index(name), table.schema.field(name), longer
        )
    return table


def cut_out(table: pa.Table) -> pa.Table:
    """The same rows, cut out of a longer table by their index."""
    return pa.concat_tables([table, table]).combine_chunks().slice(table.num_rows, table.num_rows)


def with_chunks_of_repeated_texts(table: pa.Table) -> pa.Table:
    """The same rows in two chunks, the second one with repeated texts in its dictionaries."""
    half = table.num_rows // 2
    return pa.concat_tables([table.slice(0, half), with_repeated_texts(table.slice(half))])


@pytest.mark.parametrize(
    "encode",
    [
        lambda table: in_chunks(table, 1),
        lambda table: in_chunks(table, 3),
        with_repeated_texts,
        with_unused_texts,
        cut_out,
        with_chunks_of_repeated_texts,
    ],
    ids=["a chunk a row", "chunks", "repeated texts", "unused texts", "cut out", "mixed chunks"],
)
@pytest.mark.parametrize("order", list(AccountOrder))
def test_how_labels_are_encoded_changes_nothing(
    encode: Callable[[pa.Table], pa.Table], order: AccountOrder
) -> None:
    notices = notices_table(NOTICES_OF_THE_DAY)
    positions = positions_table(POSITIONS_OF_THE_DAY)
    expected = allocate_tables(notices, positions, account_order=order)
    encoded = encode(positions)
    assert encoded.to_pylist() == positions.to_pylist()

    day = allocate_tables(encode(notices), encoded, account_order=order)

    assert day.pools == expected.pools
    assert day.allocations == expected.allocations
    assert day.broken_positions == expected.broken_positions
    assert day.breaks == expected.breaks


def test_one_text_at_two_indices_of_a_dictionary_is_one_label() -> None:
    column = pa.chunked_array(
        [
            pa.DictionaryArray.from_arrays(
                pa.array([3, 0, 2, 1], pa.int32()), pa.array(["b", "a", "b", "c"], pa.string())
            )
        ]
    )

    indices, distinct = label_indices(column)

    assert [distinct[int(index)].as_py() for index in indices] == ["c", "b", "b", "a"]
    assert distinct.to_pylist() == ["b", "a", "c"]


def test_a_label_column_without_chunks_has_no_labels() -> None:
    indices, distinct = label_indices(pa.chunked_array([], LABEL))

    assert (len(indices), len(distinct)) == (0, 0)


@pytest.mark.parametrize("empty", [pa.Schema.empty_table, without_chunks])
def test_a_day_of_nothing_has_no_pools(empty: Callable[[pa.Schema], pa.Table]) -> None:
    arrangement = arrange(empty(NOTICES), empty(POSITIONS), AccountOrder.NUMERIC)

    assert tuple(arrangement.pools) == ()
    assert (arrangement.keys.size, arrangement.rows.size) == (0, 0)
    assert (arrangement.doubled, arrangement.wrong_accounts.size) == ((), 0)


def every_pair() -> list[Row]:
    """Positions in which every OCC account is short in every series."""
    return [
        position(series, account, 2, occ_account)
        for occ_account in ("F", "C", "")
        for series in (SPY, ZVZZT, AAPL)
        for account in ("12", "9", "0100")
    ]


@pytest.mark.parametrize("rows", [POSITIONS_OF_THE_DAY, every_pair()], ids=["some", "every pair"])
def test_pools_are_the_same_where_a_table_of_all_pairs_would_be_too_large(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    notices = [*NOTICES_OF_THE_DAY, notice("N1", ZVZZT, 1, "F"), notice("N2", ZVZZT, 1, "M")]
    expected = arranged(notices, rows)
    day = allocate_rows(notices, rows)

    monkeypatch.setattr(arrange_module, "_PAIRS_IN_A_TABLE", 1)

    arrangement = arranged(notices, rows)
    assert tuple(arrangement.pools) == tuple(expected.pools)
    assert accounts_of(arrangement) == accounts_of(expected)
    assert allocate_rows(notices, rows).allocations == day.allocations
    assert allocate_rows(notices, rows).pools == day.pools


def test_doubled_rows_are_found_where_a_table_of_all_pairs_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrange_module, "_PAIRS_IN_A_TABLE", 1)
    rows = [*POSITIONS_OF_THE_DAY, position(ZVZZT, "05", 1, "C"), position(AAPL, "42", 1, "F")]

    arrangement = arranged([notice("N1", AAPL, 1)], rows)

    assert arrangement.doubled == (
        Doubled(row=len(rows) - 2, first_row=3),
        Doubled(row=len(rows) - 1, first_row=len(rows) - 3),
    )


@pytest.mark.parametrize("rows", [[], POSITIONS_OF_THE_DAY[:1], POSITIONS_OF_THE_DAY])
def test_two_threads_arrange_and_allocate_as_one_does(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = arranged(NOTICES_OF_THE_DAY, rows)
    day = allocate_rows(NOTICES_OF_THE_DAY, rows)

    monkeypatch.setattr(threads, "ROWS_WORTH_A_THREAD", 0)

    arrangement = arranged(NOTICES_OF_THE_DAY, rows)
    assert arrangement.starts.tolist() == expected.starts.tolist()
    assert arrangement.rows.tolist() == expected.rows.tolist()
    assert arrangement.keys.tolist() == expected.keys.tolist()
    assert allocate_rows(NOTICES_OF_THE_DAY, rows).allocations == day.allocations


def test_wrong_and_doubled_accounts_are_found_by_two_threads_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "ROWS_WORTH_A_THREAD", 1)
    rows = positions_of(AAPL, [("2", 1), ("x", 1), ("1", 1), ("y", 1), ("02", 1), ("1", 1)])

    arrangement = arranged([notice("N1", AAPL, 1)], rows)

    assert arrangement.wrong_accounts.tolist() == [1, 3]
    assert arrangement.doubled == (Doubled(row=4, first_row=0), Doubled(row=5, first_row=2))


def test_a_large_day_is_arranged_as_its_rows_sorted() -> None:
    row_count = 120_000  # Enough for two threads.
    random = np.random.default_rng(20240916)
    series = random.choice([AAPL, SPY, ZVZZT], row_count).tolist()
    accounts = [str(number) for number in random.permutation(10 * row_count)[:row_count]]
    positions = pa.table(
        {
            "series": label(series),
            "account": accounts,
            "short_quantity": np.ones(row_count, np.int64),
            "occ_account": label([""] * row_count),
        },
        POSITIONS,
    )

    arrangement = arrange(
        notices_table([notice("N1", SPY, 1), notice("N2", AAPL, 1)]),
        positions,
        AccountOrder.NUMERIC,
    )

    held: dict[str, list[str]] = {AAPL: [], SPY: [], ZVZZT: []}
    for one, account in zip(series, accounts, strict=True):
        held[one].append(account)
    assert accounts_of(arrangement) == [sorted(held[AAPL], key=int), sorted(held[SPY], key=int)]
    assert arrangement.doubled == ()


@given(sizes=st.lists(st.integers(0, 60_000), max_size=12))
def test_every_pool_is_one_threads_and_the_rows_are_shared_out(sizes: list[int]) -> None:
    """Law: the parts follow each other through all pools; no part exceeds its half by a pool."""
    starts = np.array([0, *np.cumsum(sizes)], np.int64)

    parts = split_pools(starts)

    assert [pool for first, last in parts for pool in range(first, last)] == list(range(len(sizes)))
    assert len(parts) == (1 if sum(sizes) < 50_000 else 2)
    if len(parts) == 2:
        largest = max(sum(sizes[first:last]) for first, last in parts)
        assert largest <= sum(sizes) / 2 + max(sizes)


@pytest.mark.parametrize(
    "assigned", [[], [notice("N1", AAPL, 1)], [notice("N1", AAPL, 1), notice("N2", SPY, 1)]]
)
def test_among_many_rows_exactly_the_repeated_ones_are_found(assigned: list[Row]) -> None:
    row_count = 60_000
    random = np.random.default_rng(4314)
    series = random.choice([AAPL, SPY, ZVZZT], row_count).tolist()
    numbers = random.integers(0, 20 * row_count, row_count).tolist()
    first_of: dict[tuple[str, int], int] = {}
    expected = []
    for row, account in enumerate(zip(series, numbers, strict=True)):
        first_row = first_of.setdefault(account, row)
        if first_row != row:
            expected.append(Doubled(row=row, first_row=first_row))
    positions = pa.table(
        {
            "series": label(series),
            "account": [str(number) for number in numbers],
            "short_quantity": np.ones(row_count, np.int64),
            "occ_account": label([""] * row_count),
        },
        POSITIONS,
    )

    arrangement = arrange(notices_table(assigned), positions, AccountOrder.NUMERIC)

    assert len(expected) > 100
    assert list(arrangement.doubled) == expected


def test_more_rows_than_keys_have_bits_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_very_many_rows(
        accounts: pa.ChunkedArray, _order: AccountOrder, *, spare_bits: int
    ) -> AccountNumbers:
        nothing = np.empty(0, np.int64)
        return AccountNumbers(numbers=np.arange(len(accounts)), bits=64 - spare_bits, wrong=nothing)

    monkeypatch.setattr(arrange_module, "account_numbers", of_very_many_rows)

    with pytest.raises(OverflowError, match="more rows than can be sorted: 2"):
        arranged([notice("N1", AAPL, 1)], positions_of(AAPL, {"1": 1, "2": 1}))


def test_the_table_arranged_is_the_one_that_came() -> None:
    positions = positions_table(POSITIONS_OF_THE_DAY)

    arrangement = arrange(notices_table(NOTICES_OF_THE_DAY), positions, AccountOrder.NUMERIC)

    assert arrangement.positions is positions
    assert tuples_of(positions) == tuples_of(positions_table(POSITIONS_OF_THE_DAY))
