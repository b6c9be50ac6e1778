"""The pools that have notices (P3, P5), and the labels that they are found by."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.assigned_pools import AssignedPool, assigned_pools, label_indices
from lottery.day.tables import INT64_MAX, LABEL, NOTICES
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    SPY,
    ZVZZT,
    allocate_tables,
    in_chunks,
    notice,
    notices_table,
    positions_of,
    positions_table,
    without_chunks,
)

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


def test_the_notices_of_one_pool_add_up_and_pools_stand_in_their_order() -> None:
    assert tuple(assigned_pools(notices_table(NOTICES_OF_THE_DAY))) == (
        AssignedPool(occ_account="", series=AAPL, notice_count=1, assigned_quantity=1),
        AssignedPool(occ_account="C", series=AAPL, notice_count=2, assigned_quantity=6),
        AssignedPool(occ_account="C", series=SPY, notice_count=1, assigned_quantity=1),
        AssignedPool(occ_account="F", series=SPY, notice_count=1, assigned_quantity=3),
    )


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


def relabelled(
    table: pa.Table, relabel: Callable[[list[str]], tuple[list[int], list[str]]]
) -> pa.Table:
    """The same rows; label columns have the indices and dictionaries that a function makes."""
    for name in ("series", "occ_account"):
        indices, texts = relabel(table.column(name).to_pylist())
        column = pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int32()), pa.array(texts, pa.string())
        )
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(name), column)
    return table


def with_repeated_texts(table: pa.Table) -> pa.Table:
    """The same rows; label dictionaries hold their texts twice, rows point at both in turn."""

    def relabel(texts: list[str]) -> tuple[list[int], list[str]]:
        distinct = sorted(set(texts))
        size = len(distinct)
        indices = [distinct.index(text) + row % 2 * size for row, text in enumerate(texts)]
        return indices, distinct * 2

    return relabelled(table, relabel)


def with_unused_texts(table: pa.Table) -> pa.Table:
    """The same rows; label dictionaries have texts that no row has."""

    def relabel(texts: list[str]) -> tuple[list[int], list[str]]:
        distinct = list(dict.fromkeys(["F", *texts, ZVZZT, "M"]))
        return [distinct.index(text) for text in texts], distinct

    return relabelled(table, relabel)


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

    assert allocate_tables(encode(notices), encoded, account_order=order) == expected


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
