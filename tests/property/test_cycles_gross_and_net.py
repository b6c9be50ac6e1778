"""Random days in cycles: gross positions give what net ones give that are worked by hand (rule 3).

The hand is the tests' own reference, contract by contract: after each cycle it takes what that
assigned off the positions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lottery import operations
from tests.builders import (
    AAPL,
    ASKS,
    META,
    SmallDay,
    assert_sound,
    notice,
    opened,
    position,
    record_in,
    request_of_wire,
)
from tests.reference import ReferenceDay, Row, allocate_day

Account = tuple[str, str, str]
"""occ_account, series, account."""
Pool = tuple[str, str]

POOLS: Sequence[Pool] = (("", AAPL), ("", META), ("C", AAPL))
ACCOUNTS = ("7", "12", "104", "0009")


@dataclass(frozen=True, slots=True, kw_only=True)
class CycledDay:
    """Positions before anything is assigned, and what OCC assigns to pools, cycle by cycle."""

    gross: Mapping[Account, int]
    cycles: Sequence[Mapping[Pool, int]]


def cycled_days() -> st.SearchStrategy[CycledDay]:
    accounts = st.tuples(st.sampled_from(POOLS), st.sampled_from(ACCOUNTS)).map(
        lambda drawn: (*drawn[0], drawn[1])
    )
    cycle = st.dictionaries(st.sampled_from(POOLS), st.integers(1, 14), min_size=1)
    return st.builds(
        lambda gross, cycles: CycledDay(gross=gross, cycles=cycles),
        st.dictionaries(accounts, st.integers(0, 12), min_size=1),
        st.lists(cycle, min_size=2, max_size=3),
    )


def rows_of(positions: Mapping[Account, int]) -> list[Row]:
    return [
        position(series, account, short, occ_account)
        for (occ_account, series, account), short in positions.items()
    ]


def notices_of(number: int, cycle: Mapping[Pool, int]) -> list[Row]:
    return [
        notice(f"{number}{occ_account}{series[:4]}", series, quantity, occ_account)
        for (occ_account, series), quantity in cycle.items()
    ]


def after(positions: Mapping[Account, int], day: ReferenceDay) -> dict[Account, int]:
    """The positions less what a cycle assigned."""
    left = dict(positions)
    for row in day.allocations:
        account = (str(row["occ_account"]), str(row["series"]), str(row["account"]))
        left[account] -= int(str(row["assigned_quantity"]))
    return left


@settings(max_examples=12, deadline=None)
@given(day=cycled_days())
def test_gross_cycles_allocate_as_net_ones_and_as_worked_by_hand(day: CycledDay) -> None:
    """gross(positions) == net(positions - assigned before), in every cycle."""
    with tempfile.TemporaryDirectory() as directory:
        ledgers = {basis: Path(directory) / basis for basis in ("gross", "net")}
        net = dict(day.gross)
        for number, cycle in enumerate(day.cycles, 1):
            notices = notices_of(number, cycle)
            expected = allocate_day(notices, rows_of(net), ASKS)
            for basis, positions in (("gross", day.gross), ("net", net)):
                small = SmallDay(notices=notices, positions=rows_of(positions))
                request = request_of_wire(small, as_arrow=True, cycle=number, positions_basis=basis)
                run = record_in(ledgers[basis], request).record.run
                there = opened(ledgers[basis])
                assert operations.pools(there, run).to_pylist() == expected.pools
                assert operations.allocations(there, run).to_pylist() == expected.allocations
            net = after(net, expected)
        for ledger in ledgers.values():
            assert_sound(ledger)
