"""Positions in, whatever they come as: the rows of assigned pools, each account as one number.

A row of a pool without notices takes no part (P1, P4): its series and its OCC account are checked,
and it is dropped while its block is in the cache. So memory follows the assigned pools, not the
file.

A block is a row group of a Parquet file, or some rows of a CSV file or of a message. Compiled
passes read it if it is large and of the usual types. If it is not, or if something in it is wrong,
`columns` reads it and names every problem with its row. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.assigned_pools import AssignedPools
from lottery.day.identifiers import (
    PADDED_LENGTH,
    describe_account,
    is_occ_account,
    wrong_accounts,
)
from lottery.day.keys import (
    Block,
    KeyedPositions,
    TextBlock,
    key_positions,
    one_array,
    text_buffers,
    words_of,
)
from lottery.day.loops import LENGTH_BITS
from lottery.day.tables import LABEL, NOTICES
from lottery.day.threads import THREADS
from lottery.errors import NO_PROBLEMS, Problem, Problems
from lottery.intake import loops
from lottery.intake.arrow import check_buffers
from lottery.intake.columns import occ_account_labels, quantities, series_labels, texts
from lottery.intake.memory import CHECKED_ROW_BYTES, KEPT_ROW_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.sources import Reading, RowLocator, SourceFile
from lottery.method.methodology import AccountOrder

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

BLOCK_ROWS: Final = 1 << 20
"""Maximum rows of a block that is cut from a table."""
ROWS_WORTH_PASSES: Final = 50_000
"""Rows from which on a block is read by compiled passes."""
_LABELS: Final = ("series", "occ_account")


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
    def of_problems(cls, problems: Problems) -> PositionBlocks:
        """Return the blocks of a source that cannot be read: none."""
        return cls(row_counts=(), read=[].__getitem__, problems=problems)

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> PositionBlocks:
        """Return the blocks of raw tables, large ones cut."""
        blocks = [
            replace(
                reading,
                locator=replace(reading.locator, first_row=reading.locator.first_row + start),
                table=reading.table.slice(start, BLOCK_ROWS),
                problems=NO_PROBLEMS,
            )
            for reading in readings
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
        has_occ_accounts: Whether any row has an OCC account.
    """

    assigned: AssignedPools
    positions: KeyedPositions
    locator: RowLocator
    sources: tuple[SourceFile, ...] = ()
    locators: tuple[RowLocator, ...] = ()
    problems: Problems = NO_PROBLEMS
    row_count: int = 0
    has_occ_accounts: bool = False

    def table(self) -> pa.Table:
        """Return `tables.POSITIONS` of the assigned pools."""
        return self.positions.table(self.assigned)

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
        locator: Locates the row.
        index: Its index there.
    """

    pool: int
    number: int
    account: str
    locator: RowLocator
    index: int


def read_positions(
    blocks: PositionBlocks,
    assigned: AssignedPools,
    order: AccountOrder,
    *,
    locator: RowLocator,
    memory: MemoryLimit = UNLIMITED,
) -> ReceivedPositions:
    """Read the positions of the assigned pools.

    Args:
        blocks: The positions.
        assigned: The pools.
        order: The choice of R2.
        locator: Locates problems of the source as a whole.
        memory: What the day may take.

    Raises:
        LimitExceeded: The rows need more memory.
    """
    lookup = _PoolLookup.of(assigned, order)
    row_count = sum(blocks.row_counts)
    kept_rows: list[int] = []
    memory.check(locator.source, row_count * CHECKED_ROW_BYTES)

    def read(index: int) -> _Kept:
        kept = _read_block(blocks.read(index), lookup)
        kept_rows.append(len(kept.block))
        needed = row_count * CHECKED_ROW_BYTES + sum(kept_rows) * KEPT_ROW_BYTES
        memory.check(locator.source, needed)
        return kept

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(read, range(len(blocks.row_counts))))
    # Nothing of the size of a block is decoded from here on.
    pa.default_memory_pool().release_unused()
    problems = _distinct(sum((kept.problems for kept in found), blocks.problems))
    if not row_count and not problems:
        problems = Problems.of(locator.problem("expected at least one row, got none"))
    return ReceivedPositions(
        assigned=assigned,
        positions=key_positions([kept.block for kept in found], order),
        locator=locator,
        locators=tuple(kept.locator for kept in found),
        problems=problems,
        row_count=row_count,
        has_occ_accounts=any(kept.has_occ_accounts for kept in found),
    )


def notices_of_all(blocks: PositionBlocks) -> pa.Table:
    """Return `tables.NOTICES` with one notice for each pool of the positions.

    With them as the day's notices, every row of the positions takes part.
    """
    pairs = [NOTICES.empty_table().select(_LABELS)]
    for index in range(len(blocks.row_counts)):
        raw = blocks.read(index)
        if raw.table is not None:
            labels = (series_labels(raw)[0], occ_account_labels(raw)[0])
            found = pa.table(dict(zip(_LABELS, labels, strict=True)))
            pairs.append(found.cast(pairs[0].schema))
    plain = pa.concat_tables(pairs).cast(pa.schema([(name, pa.string()) for name in _LABELS]))
    pools = plain.group_by(list(_LABELS)).aggregate([])
    count = pools.num_rows
    columns = {
        "notice_id": list(map(str, range(count))),
        "series": pools.column("series").combine_chunks().dictionary_encode(),
        "quantity": np.ones(count, np.int64),
        "occ_account": pools.column("occ_account").combine_chunks().dictionary_encode(),
    }
    return pa.table(columns, NOTICES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _PoolLookup:
    """The assigned pools, as the passes look them up.

    Attributes:
        order: The choice of R2.
        series: string[k], the assigned series, padded.
        symbols: uint64[k, 3], three words of each.
        hashes: uint64[a power of two], a hash table of them; 0 is free.
        codes: int32[], the series in each bucket.
        occ_rows: The row of each assigned OCC account in `pool_of`; others have the last.
        pool_of: int32[OCC accounts + 1, k + 1], pools; -1 for none.
    """

    order: AccountOrder
    series: pa.StringArray
    symbols: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint64]
    codes: npt.NDArray[np.int32]
    occ_rows: Mapping[str, int]
    pool_of: npt.NDArray[np.int32]

    @classmethod
    def of(cls, assigned: AssignedPools, order: AccountOrder) -> _PoolLookup:
        series = assigned.series_texts
        # A series that was refused may have any length, and no position can be of it.
        symbols = [
            text.encode().ljust(PADDED_LENGTH)[:PADDED_LENGTH] for text in series.to_pylist()
        ]
        padded = np.frombuffer(b"".join(symbols), np.uint8).reshape(len(series), PADDED_LENGTH)
        size = 1 << (2 * len(series)).bit_length()
        words = np.empty((len(series), 3), np.uint64)
        hashes, codes = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        loops.fill_buckets(padded, words, hashes, codes)
        pool_of = np.full((len(assigned.occ_texts) + 1, len(series) + 1), -1, np.int32)
        pool_of[assigned.occ_accounts, assigned.series] = np.arange(len(assigned))
        return cls(
            order=order,
            series=series,
            symbols=words,
            hashes=hashes,
            codes=codes,
            occ_rows={text: row for row, text in enumerate(assigned.occ_texts.to_pylist())},
            pool_of=pool_of,
        )

    def rows_of(self, occ_accounts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the row of each OCC account in `pool_of`."""
        other = len(self.occ_rows)
        return np.array([self.occ_rows.get(text, other) for text in occ_accounts], np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """The rows of assigned pools in a block, and what is wrong in it."""

    block: Block | TextBlock
    locator: RowLocator
    has_occ_accounts: bool
    problems: Problems = NO_PROBLEMS


def _distinct(problems: Problems) -> Problems:
    """Return problems with those of a column's type once, which every block has."""
    return Problems(tuple(dict.fromkeys(problems.listed)), problems.unlisted)


def _read_block(raw: Reading, lookup: _PoolLookup) -> _Kept:
    if raw.table is None:
        empty = np.empty(0, np.int64)
        none = np.empty(0, np.int32)
        return _Kept(
            block=Block(pools=none, keys=empty, shorts=empty, rows=none),
            locator=raw.locator,
            has_occ_accounts=False,
            problems=raw.problems,
        )
    is_usual = raw.table.num_rows >= ROWS_WORTH_PASSES and _is_usual(raw.table)
    kept = _read_by_passes(raw, lookup) if is_usual else None
    return kept or _read_checked(raw, lookup)


def _is_usual(rows: pa.Table) -> bool:
    """Return whether a block has the types that most have, and no nulls."""
    types = dict(zip(rows.schema.names, rows.schema.types, strict=True))
    labels = {types.pop(name) for name in _LABELS if name in types}
    return (
        labels <= {pa.string(), LABEL}
        and types == {"account": pa.string(), "short_quantity": pa.int64()}
        and not any(column.null_count for column in rows.columns)
    )


def _read_by_passes(raw: Reading, lookup: _PoolLookup) -> _Kept | None:
    """Read a block by compiled passes; return None if something in it is wrong."""
    rows = raw.table
    series = _label_array(rows.column("series"))
    symbols = series.dictionary if pa.types.is_dictionary(series.type) else series
    offsets, data = text_buffers(symbols)
    found = np.empty(len(symbols), np.int32)
    if loops.find_series(
        offsets, data, words_of(data), lookup.symbols, lookup.hashes, lookup.codes, found
    ):
        return None
    codes = found if symbols is series else found[series.indices.to_numpy()]
    occ_indices, occ_accounts = _occ_accounts(rows)
    if not all(map(is_occ_account, occ_accounts)):
        return None
    occ_rows = lookup.rows_of(occ_accounts)[occ_indices]
    kept, pools = np.empty((2, rows.num_rows + 1), np.int32)
    count = loops.keep_assigned(codes, occ_rows, lookup.pool_of, kept, pools)
    kept, pools = kept[:count].copy(), pools[:count].copy()
    accounts = one_array(rows.column("account"))
    shorts = one_array(rows.column("short_quantity")).to_numpy()
    offsets, data = text_buffers(accounts)
    keys, kept_shorts = np.empty(count, np.int64), np.empty(count, np.int64)
    block: Block | TextBlock
    if lookup.order is AccountOrder.NUMERIC and loops.read_kept(
        kept, offsets, data, words_of(data), shorts, keys, kept_shorts
    ):
        block = Block(pools=pools, keys=keys, shorts=kept_shorts, rows=kept)
    else:  # Accounts that have no key, or something that is wrong.
        chosen, kept_shorts = accounts.take(pa.array(kept)), shorts[kept]
        if kept_shorts.min(initial=0) < 0 or wrong_accounts(chosen, lookup.order).size:
            return None
        block = TextBlock(pools=pools, accounts=chosen, shorts=kept_shorts, rows=kept)
    return _Kept(block=block, locator=raw.locator, has_occ_accounts=any(occ_accounts))


def _read_checked(raw: Reading, lookup: _PoolLookup) -> _Kept:
    """Read a block column by column, and name every problem."""
    series, series_problems = series_labels(raw)
    occ_accounts, occ_problems = occ_account_labels(raw)
    codes = pc.index_in(series.dictionary, value_set=lookup.series).fill_null(-1).to_numpy()
    occ_rows = lookup.rows_of(occ_accounts.dictionary.to_pylist())
    pools = lookup.pool_of[
        occ_rows[occ_accounts.indices.to_numpy()], codes[series.indices.to_numpy()]
    ]
    kept = np.flatnonzero(pools >= 0)
    numbers = raw.locator.row_numbers
    locator = replace(
        raw.locator,
        row_numbers=raw.locator.first_row + kept if numbers is None else numbers[kept],
    )
    chosen = replace(raw, locator=locator, table=raw.table.take(pa.array(kept)))
    accounts, account_problems = texts(chosen, "account")
    shorts, short_problems = quantities(chosen, "short_quantity", 0)
    invalid = wrong_accounts(accounts, lookup.order)
    invalid_problems = locator.row_problems(
        invalid,
        lambda index: describe_account(_decoded(accounts[index]), lookup.order),
        column="account",
        rule="R2",
    )
    valid = np.delete(np.arange(len(kept)), invalid)
    return _Kept(
        block=TextBlock(
            pools=pools[kept[valid]],
            accounts=one_array(accounts).take(pa.array(valid)),
            shorts=one_array(shorts).to_numpy()[valid],
            rows=kept[valid].astype(np.int32),
        ),
        locator=raw.locator,
        has_occ_accounts=any(occ_accounts.dictionary.to_pylist()),
        problems=series_problems
        + account_problems
        + short_problems
        + invalid_problems
        + occ_problems,
    )


def _decoded(account: pa.Scalar) -> str:
    text: str = account.cast(pa.binary()).as_py().decode("utf-8", "replace")
    return text


def _label_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a label column as one array, plain or a dictionary whose indices were checked."""
    if pa.types.is_dictionary(column.type):
        check_buffers(column)
    return one_array(column)


def _occ_accounts(rows: pa.Table) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return int32[n] into the OCC accounts of a block, and these."""
    if "occ_account" not in rows.column_names:
        return np.zeros(rows.num_rows, np.int32), [""]
    labels = _label_array(rows.column("occ_account"))
    if not pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_encode()
    return labels.indices.to_numpy(), labels.dictionary.to_pylist()
