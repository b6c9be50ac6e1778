"""Positions in, whatever they come as: the rows of assigned pools, each account as one number.

A row of a pool without notices takes no part (P1, P4): its series and its OCC account are checked,
and it is dropped while its block is in the cache. So memory follows the assigned pools, not the
file. A block is a row group of a Parquet file, or some rows of a CSV file or of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from typing import Final

import numpy as np
import pyarrow as pa

from lottery.day.assigned_pools import AssignedPools
from lottery.day.identifiers import padded_series
from lottery.day.keys import Block, KeyedPositions, key_positions
from lottery.day.loops import LENGTH_BITS
from lottery.day.tables import NOTICES
from lottery.day.threads import THREADS
from lottery.errors import NO_PROBLEMS, PROBLEM_LIMIT, Problem, Problems
from lottery.intake import as_of
from lottery.intake.columns import LABEL_COLUMNS, occ_account_labels, series_labels
from lottery.intake.memory import (
    CHECKED_ROW_BYTES,
    DECODED_ROW_BYTES,
    KEPT_ROW_BYTES,
    UNLIMITED,
    MemoryLimit,
)
from lottery.intake.position_block import KeptRows, PoolLookup, read_block
from lottery.intake.sources import Reading, RowLocator, SourceFile
from lottery.method.methodology import AccountOrder

BLOCK_ROWS: Final = 1 << 20
"""Maximum rows of a block that is cut from a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBlocks:
    """The raw columns of positions, block by block.

    Attributes:
        row_counts: The rows of each block.
        read: Reads a block; its rows are numbered from the source's first.
        problems: What is wrong with the source as a whole.
    """

    row_counts: Sequence[int]
    read: Callable[[int], Reading]
    problems: Problems = NO_PROBLEMS

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> PositionBlocks:
        """Return the blocks of raw tables, large ones cut; a source that is refused has none."""
        blocks = [
            replace(
                reading,
                locator=reading.locator.rows_from(start),
                table=reading.table.slice(start, BLOCK_ROWS),
                problems=NO_PROBLEMS,
            )
            for reading in readings
            if reading.table is not None
            for start in range(0, max(1, reading.table.num_rows), BLOCK_ROWS)
        ]
        return cls(
            row_counts=[block.table.num_rows for block in blocks],
            read=blocks.__getitem__,
            problems=sum((reading.problems for reading in readings), NO_PROBLEMS),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceivedPositions:
    """The positions of the assigned pools as received.

    Attributes:
        assigned: The assigned pools.
        positions: Their positions, those with a valid account.
        sources: The files or payloads that were read.
        locator: Locates problems of the source as a whole.
        locators: One for each block of the positions.
        problems: What is wrong with them.
        row_count: Rows received, those of other pools too.
        total_short: Contracts short in all of them; None if they are not added up.
        as_of: Of which date or time they say that they are, or None.
        sample: Series and OCC account of a row received, with an OCC account if any row has one.
    """

    assigned: AssignedPools
    positions: KeyedPositions
    locator: RowLocator
    sources: tuple[SourceFile, ...] = ()
    locators: tuple[RowLocator, ...] = ()
    problems: Problems = NO_PROBLEMS
    row_count: int = 0
    total_short: int | None = None
    as_of: str | None = None
    sample: tuple[str, str] = ("", "")

    @property
    def has_occ_accounts(self) -> bool:
        """Whether any row received has an OCC account."""
        return bool(self.sample[1])

    def table(self) -> pa.Table:
        """Return `tables.POSITIONS` of the assigned pools."""
        return self.positions.table(self.assigned)

    def table_to_send(self) -> pa.Table:
        """Return `table`, and a row that takes no part if it shows what the others do not.

        Whoever receives it sees as well whether there were rows, OCC accounts among them, and of
        which date or time they are.
        """
        table = self._with_sample(self.table())
        if self.as_of is None:
            return table
        said = pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(table.num_rows, np.int32)), pa.array([self.as_of])
        )
        return table.append_column(as_of.COLUMN, said)

    def _with_sample(self, table: pa.Table) -> pa.Table:
        shown = any(table.column("occ_account").unique().to_pylist())
        if not self.row_count or (table.num_rows and shown == self.has_occ_accounts):
            return table
        series, occ_account = self.sample
        row = dict.fromkeys(table.column_names, "0") | {"short_quantity": 0}
        row |= {"series": padded_series(series), "occ_account": occ_account}
        return pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)])

    def locate(self, index: int) -> tuple[RowLocator, int]:
        """Return the locator of a row of `table`, and the row's index there."""
        starts = [0, *accumulate(map(len, self.positions.blocks))]
        block = int(np.searchsorted(starts, index, side="right")) - 1
        return self.locators[block], int(self.positions.blocks[block].rows[index - starts[block]])

    def row_problem(
        self, index: int, message: str, *, column: str | None = None, rule: str | None = None
    ) -> Problem:
        """Return a problem of a row of `table`."""
        locator, row = self.locate(index)
        return locator.row_problem(row, message, column=column, rule=rule)

    def find(self, accounts: Mapping[int, frozenset[str]]) -> Iterator[FoundRow]:
        """Yield the rows of some accounts, in their order.

        Args:
            accounts: By the index of their pool, without leading zeros.
        """
        numbers = {pool: self.positions.numbers_of(plain) for pool, plain in accounts.items()}
        for block, locator in zip(self.positions.blocks, self.locators, strict=True):
            found = np.flatnonzero(np.isin(block.pools, list(numbers)))
            pools, keys = block.pools[found].tolist(), block.keys[found]
            for index, pool, key in zip(found.tolist(), pools, keys.tolist(), strict=True):
                number = key >> LENGTH_BITS
                if number in numbers[pool]:
                    yield FoundRow(
                        pool=pool,
                        number=number,
                        account=self.positions.account(key),
                        occ_account=_own_occ_account(block, index),
                        locator=locator,
                        index=int(block.rows[index]),
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """A row that was found again.

    Attributes:
        pool: The index of its pool.
        number: The number or rank of its account.
        account: The account as received.
        occ_account: Its own OCC account, if that is not its pool's (P3); else empty.
        locator: Locates the row.
        index: Its index there.
    """

    pool: int
    number: int
    account: str
    occ_account: str
    locator: RowLocator
    index: int


def _own_occ_account(block: Block, index: int) -> str:
    return "" if block.occ_accounts is None else block.occ_accounts[index].as_py()


def read_positions(
    blocks: PositionBlocks,
    assigned: AssignedPools,
    order: AccountOrder,
    *,
    locator: RowLocator,
    memory: MemoryLimit = UNLIMITED,
    adds_up: bool = False,
    may_be_empty: bool = False,
) -> ReceivedPositions:
    """Read the positions of the assigned pools.

    Args:
        blocks: The positions.
        assigned: The pools.
        order: The choice of R2.
        locator: Locates problems of the source as a whole.
        memory: What the day may take.
        adds_up: Whether the contracts of all rows are added up, those of other pools too.
        may_be_empty: Whether there may be no rows at all.

    Raises:
        LimitExceeded: The rows need more memory.
    """
    lookup = PoolLookup.of(assigned, order)
    row_count = sum(blocks.row_counts)
    kept_rows: list[int] = []
    # A process has room for two blocks of the usual size that are being decoded.
    larger = max(blocks.row_counts, default=0) - BLOCK_ROWS
    checked_bytes = row_count * CHECKED_ROW_BYTES + max(0, larger) * THREADS * DECODED_ROW_BYTES
    memory.check(locator.source, checked_bytes)

    full: list[int] = []

    def read(index: int) -> KeptRows:
        if full and index > min(full):  # Nothing more is looked for after that block.
            return read_block(Reading(locator=locator), lookup)
        kept = read_block(blocks.read(index), lookup, adds_up=adds_up)
        if len(kept.problems.listed) >= PROBLEM_LIMIT:
            full.append(index)
        kept_rows.append(len(kept.block))
        memory.check(locator.source, checked_bytes + sum(kept_rows) * KEPT_ROW_BYTES)
        return kept

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(read, range(len(blocks.row_counts))))
    # Nothing of the size of a block is decoded from here on.
    pa.default_memory_pool().release_unused()
    read_count = min(full) + 1 if full else len(found)
    is_whole = read_count == len(found)
    problems = _joined([blocks.problems, *(kept.problems for kept in found[:read_count])])
    if not is_whole:
        last_row = sum(blocks.row_counts[:read_count])
        problems = Problems.of(locator.stopped_after(last_row)) + problems
    said, said_problems = as_of.one_as_of(
        (
            (text, kept.locator, index)
            for kept in found
            for text, index in sorted(kept.as_of.items(), key=itemgetter(1))
        ),
        "positions",
    )
    problems += said_problems
    if not row_count and not problems and not may_be_empty:
        problems = Problems.of(locator.problem("expected at least one row, got none"))
    return ReceivedPositions(
        assigned=assigned,
        positions=key_positions([kept.block for kept in found], order),
        locator=locator,
        locators=tuple(kept.locator for kept in found),
        problems=problems,
        row_count=row_count,
        total_short=sum(kept.total_short for kept in found) if adds_up and is_whole else None,
        as_of=said,
        sample=max((kept.sample for kept in found), key=_has_labels, default=("", "")),
    )


def notices_of_all(blocks: PositionBlocks) -> pa.Table:
    """Return `tables.NOTICES` with one notice for each pool of the positions.

    With them as the day's notices, every row of the positions takes part.
    """
    pairs = [NOTICES.empty_table().select(LABEL_COLUMNS)]
    for index in range(len(blocks.row_counts)):
        raw = blocks.read(index)
        if raw.table is not None:
            labels = (series_labels(raw)[0], occ_account_labels(raw)[0])
            found = pa.table(dict(zip(LABEL_COLUMNS, labels, strict=True)))
            pairs.append(found.cast(pairs[0].schema))
    plain = pa.concat_tables(pairs).cast(pa.schema([(name, pa.string()) for name in LABEL_COLUMNS]))
    pools = plain.group_by(list(LABEL_COLUMNS)).aggregate([])
    count = pools.num_rows
    columns = {
        "notice_id": list(map(str, range(count))),
        "series": pools.column("series").combine_chunks().dictionary_encode(),
        "quantity": np.ones(count, np.int64),
        "occ_account": pools.column("occ_account").combine_chunks().dictionary_encode(),
    }
    return pa.table(columns, NOTICES)


def _has_labels(sample: tuple[str, str]) -> tuple[bool, bool]:
    """Return whether a sample has an OCC account, and whether it has a series."""
    return bool(sample[1]), bool(sample[0])


def _joined(found: Sequence[Problems]) -> Problems:
    """Return the problems of all blocks; one that names no row is of all blocks, and comes once."""
    joined = NO_PROBLEMS
    seen: set[Problem] = set()
    for problems in found:
        new = tuple(one for one in problems if one.row is not None or one not in seen)
        seen.update(one for one in new if one.row is None)
        joined += Problems(new, problems.unlisted)
    return joined
