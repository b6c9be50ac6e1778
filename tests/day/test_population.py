"""The population of a pool (P6): its digest, and which later positions are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.population import (
    assigned_before,
    by_pool,
    differing_pools,
    population_sha256,
)
from lottery.day.tables import ALLOCATIONS, CONTINUED, POSITIONS
from tests.builders import AAPL, GE, META, in_chunks, position, positions_of, positions_table
from tests.reference import Row

FIRST = {"1046": 30, "1047": 30, "1048": 5}
ASSIGNED = {"1046": 3, "1047": 30, "1048": 0}
LEFT = {"1046": 27, "1048": 5}
Difference = tuple[tuple[str, str], str, int, int | None, int]


def population(pools: Mapping[tuple[str, str], Mapping[str, int]]) -> pa.Table:
    """Return first populations, of which `ASSIGNED` was assigned since."""
    rows = [
        (*pool, account, short, ASSIGNED.get(account, 0))
        for pool, shorts in pools.items()
        for account, short in shorts.items()
    ]
    names = ("occ_account", "series", "account", "short_quantity", "assigned_quantity")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def differences(shorts: Mapping[str, int]) -> list[Difference]:
    rows = positions_of(AAPL, shorts, "C")
    return list(differing_pools(positions_table(rows), population({("C", AAPL): FIRST})))


@pytest.mark.parametrize("shorts", [FIRST, LEFT, dict(reversed(FIRST.items())), {}])
def test_as_it_was_and_what_is_left_and_left_out_are_the_same_population(
    shorts: dict[str, int],
) -> None:
    assert differences(shorts) == []


@pytest.mark.parametrize(
    ("shorts", "expected"),
    [
        ({**FIRST, "1049": 1}, ("1049", 0, 1, 0)),
        ({**LEFT, "1049": 1}, ("1049", 0, 1, 0)),
        ({**LEFT, "01047": 30}, ("01047", 0, 30, 0)),
        ({"1046": 30, "1047": 30}, ("1048", 5, None, 0)),
        ({"1048": 5}, ("1046", 30, None, 3)),
        ({**FIRST, "1046": 28}, ("1046", 30, 28, 3)),
        ({**FIRST, "1047": 29}, ("1047", 30, 29, 30)),
        ({**FIRST, "1046": 27}, ("1047", 30, 30, 30)),
        ({**LEFT, "1046": 30}, ("1046", 30, 30, 3)),
    ],
)
def test_any_other_population_differs_at_an_account_with_its_figures(
    shorts: dict[str, int], expected: tuple[str, int, int | None, int]
) -> None:
    assert differences(shorts) == [(("C", AAPL), *expected)]


def test_every_pool_is_judged_by_itself_and_named_in_order() -> None:
    first = population({("", GE): FIRST, ("C", AAPL): FIRST, ("C", GE): FIRST, ("C", META): FIRST})
    rows = [
        *positions_of(META, {"1": 9}, "C"),
        *positions_of(GE, LEFT, "C"),
        *positions_of(AAPL, FIRST, "C"),
        *positions_of(GE, {**FIRST, "2": 1}),
    ]

    found = list(differing_pools(positions_table(rows), first))

    assert [(pool, account) for pool, account, *_ in found] == [(("", GE), "2"), (("C", META), "1")]


def test_the_digest_is_of_a_line_for_each_account_in_order() -> None:
    table = pa.table({"account": ["007", "A"], "short": pa.array([9, 2**63 - 1], pa.int64())})

    expected = hashlib.sha256(b"007,9\nA,9223372036854775807\n").hexdigest()

    assert population_sha256(table["account"], table["short"]) == expected
    assert population_sha256(table["account"][::-1], table["short"][::-1]) != expected


@given(
    sizes=st.lists(st.integers(1, 3), max_size=6),
    rows_a_chunk=st.integers(1, 4),
)
def test_rows_are_cut_where_a_pool_ends_in_chunks_of_any_size(
    sizes: list[int], rows_a_chunk: int
) -> None:
    pools = [("", AAPL), ("", GE), ("C", GE), ("C", META), ("F", META), ("", META)][: len(sizes)]
    rows: list[Row] = [
        position(pool[1], str(n), n + 1, pool[0])
        for pool, size in zip(pools, sizes, strict=True)
        for n in range(size)
    ]
    table = in_chunks(positions_table(rows), rows_a_chunk) if rows else POSITIONS.empty_table()

    found = list(by_pool(table))

    assert [(pool, part.num_rows) for pool, part in found] == list(zip(pools, sizes, strict=True))
    together = [row for _, part in found for row in part.to_pylist()]
    assert together == rows


def test_no_rows_are_of_no_pool() -> None:
    assert list(by_pool(ALLOCATIONS.empty_table())) == []


def test_what_was_assigned_before_is_in_the_order_of_the_pools() -> None:
    continued = pa.Table.from_pylist(
        [
            {
                "occ_account": occ_account,
                "series": series,
                "first_run": "2024-09-16-001",
                "assigned_before": before,
                "population_sha256": "",
            }
            for occ_account, series, before in (("C", AAPL, 2**62), ("C", GE, 3))
        ],
        CONTINUED,
    )

    before = assigned_before([("", GE), ("C", GE), ("C", AAPL)], continued)

    assert (before.tolist(), before.dtype.name) == ([0, 3, 2**62], "int64")
