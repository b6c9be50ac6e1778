"""One block of positions: the rows of assigned pools, and every problem of the block.

Compiled passes read a block if it is large and of the usual types. If it is not, or if something
in it is wrong, `columns` reads it and names every problem with its row. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from lottery.day.keys import Block, TextBlock, one_array, own_labels, text_buffers, words_of
from lottery.day.tables import LABEL
from lottery.errors import NO_PROBLEMS, Problems
from lottery.intake import loops
from lottery.intake.as_of import COLUMN
from lottery.intake.columns import (
    LABEL_COLUMNS,
    as_of_texts,
    is_text,
    occ_account_labels,
    quantities,
    series_labels,
    texts,
    usual_types,
    valid_utf8,
)
from lottery.intake.sources import Reading, RowLocator
from lottery.method.methodology import AccountOrder

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

ROWS_WORTH_PASSES: Final = 50_000
"""Rows from which on a block is read by compiled passes."""
_MAX_BYTES: Final = 2**31 - 1
"""Bytes of a block whose texts surely fit into one array."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolLookup:
    """The assigned pools, as the passes look them up.

    Attributes:
        order: The choice of R2.
        series: string[k], the assigned series, padded.
        symbols: uint64[k, 3], three words of each.
        hashes: uint64[a power of two], a hash table of them; 0 is free.
        codes: int32[], the series in each bucket.
        assigned: The pools.
        pool_of: int32[OCC accounts + 1, k + 1], pools (`AssignedPools.index_table`).
    """

    order: AccountOrder
    series: pa.StringArray
    symbols: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint64]
    codes: npt.NDArray[np.int32]
    assigned: AssignedPools
    pool_of: npt.NDArray[np.int32]

    @classmethod
    def of(cls, assigned: AssignedPools, order: AccountOrder) -> PoolLookup:
        """Return the lookup of some pools under the choice of R2."""
        series = assigned.series_texts
        # A series that was refused may have any length, and no position can be of it.
        encoded = [text.encode() for text in series.to_pylist()]
        symbols = [text if len(text) == PADDED_LENGTH else bytes(PADDED_LENGTH) for text in encoded]
        padded = np.frombuffer(b"".join(symbols), np.uint8).reshape(len(series), PADDED_LENGTH)
        size = 1 << (2 * len(series)).bit_length()
        words = np.empty((len(series), 3), np.uint64)
        hashes, codes = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        loops.fill_buckets(padded, words, hashes, codes)
        return cls(
            order=order,
            series=series,
            symbols=words,
            hashes=hashes,
            codes=codes,
            assigned=assigned,
            pool_of=assigned.index_table(),
        )

    def rows_of(self, occ_accounts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the row of each OCC account in `pool_of`."""
        return self.assigned.occ_rows(pa.array(occ_accounts, pa.string()))

    def own_labels(
        self, indices: npt.NDArray[np.int32], occ_accounts: Sequence[str]
    ) -> pa.DictionaryArray | None:
        """Return the OCC accounts of kept rows, if they are not those of their pools (P3)."""
        texts = pa.array(occ_accounts, pa.string())
        return own_labels(indices, texts, self.assigned.pooling)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptRows:
    """The rows of assigned pools in a block, and what is wrong in it.

    Attributes:
        block: The rows, those with a valid account.
        locator: Locates the block's rows.
        total_short: Contracts short in all rows of the block, if they are added up; else 0.
        as_of: The index of the first row of each as-of time that its rows say.
        sample: Series and OCC account of one of its rows, with an OCC account if any row has one.
        problems: What is wrong with the block.
    """

    block: Block | TextBlock
    locator: RowLocator
    total_short: int = 0
    as_of: Mapping[str, int] = field(default_factory=dict)
    sample: tuple[str, str] = ("", "")
    problems: Problems = NO_PROBLEMS


def read_block(raw: Reading, lookup: PoolLookup, *, adds_up: bool = False) -> KeptRows:
    """Return the rows of assigned pools in a block, and what is wrong in it.

    Args:
        raw: The block's raw columns.
        lookup: The assigned pools.
        adds_up: Whether the contracts of all rows are added up, those of other pools too.
    """
    if raw.table is None:
        empty = np.empty(0, np.int64)
        none = np.empty(0, np.int32)
        return KeptRows(
            block=Block(pools=none, keys=empty, shorts=empty, rows=none),
            locator=raw.locator,
            problems=raw.problems,
        )
    as_of, as_of_problems = as_of_texts(raw)
    read = [name for name in raw.table.column_names if name != COLUMN]
    raw = replace(raw, table=usual_types(raw.table.select(read)))
    is_usual = raw.table.num_rows >= ROWS_WORTH_PASSES and _is_usual(raw.table)
    kept = _read_by_passes(raw, lookup, adds_up=adds_up) if is_usual else None
    kept = kept or _read_checked(raw, lookup, adds_up=adds_up)
    return replace(kept, as_of=as_of, problems=kept.problems + as_of_problems)


def _is_usual(rows: pa.Table) -> bool:
    """Return whether a block has the types that most have, no nulls, and no huge texts."""
    types = dict(zip(rows.schema.names, rows.schema.types, strict=True))
    labels = {types.pop(name) for name in LABEL_COLUMNS if name in types}
    return (
        labels <= {pa.string(), LABEL}
        and types == {"account": pa.string(), "short_quantity": pa.int64()}
        and not any(map(_has_nulls, rows.columns))
        and rows.nbytes <= _MAX_BYTES
    )


def _has_nulls(column: pa.ChunkedArray) -> bool:
    """Return whether a column has nulls, also as texts of its dictionaries."""
    if pa.types.is_dictionary(column.type):
        return any(chunk.null_count or chunk.dictionary.null_count for chunk in column.chunks)
    return bool(column.null_count)


def _read_by_passes(raw: Reading, lookup: PoolLookup, *, adds_up: bool) -> KeptRows | None:
    """Read a block by compiled passes; return None if something in it is wrong."""
    rows = raw.table
    series = one_array(rows.column("series"))
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
    own = lookup.own_labels(occ_indices[kept], occ_accounts)
    accounts = one_array(rows.column("account"))
    shorts = one_array(rows.column("short_quantity")).to_numpy()
    if adds_up and shorts.min(initial=0) < 0:
        return None
    offsets, data = text_buffers(accounts)
    keys, kept_shorts = np.empty(count, np.int64), np.empty(count, np.int64)
    block: Block | TextBlock
    if lookup.order is AccountOrder.NUMERIC and loops.read_kept(
        kept, offsets, data, words_of(data), shorts, keys, kept_shorts
    ):
        block = Block(pools=pools, keys=keys, shorts=kept_shorts, rows=kept, occ_accounts=own)
    else:  # Accounts that have no key, or something that is wrong.
        chosen, kept_shorts = accounts.take(pa.array(kept)), shorts[kept]
        if kept_shorts.min(initial=0) < 0 or wrong_accounts(chosen, lookup.order).size:
            return None
        block = TextBlock(
            pools=pools, accounts=chosen, shorts=kept_shorts, rows=kept, occ_accounts=own
        )
    return KeptRows(
        block=block,
        locator=raw.locator,
        total_short=_sum(shorts) if adds_up else 0,
        sample=_sample(series, occ_indices, occ_accounts),
    )


def _read_checked(raw: Reading, lookup: PoolLookup, *, adds_up: bool) -> KeptRows:
    """Read a block column by column, and name every problem."""
    series, series_problems = series_labels(raw)
    occ_accounts, occ_problems = occ_account_labels(raw)
    codes = pc.index_in(series.dictionary, value_set=lookup.series).fill_null(-1).to_numpy()
    occ_texts, occ_indices = occ_accounts.dictionary.to_pylist(), occ_accounts.indices.to_numpy()
    occ_rows = lookup.rows_of(occ_texts)[occ_indices]
    pools = lookup.pool_of[occ_rows, codes[series.indices.to_numpy()]]
    kept = np.flatnonzero(pools >= 0)
    numbers = raw.locator.row_numbers
    locator = replace(
        raw.locator,
        row_numbers=raw.locator.first_row + kept if numbers is None else numbers[kept],
    )
    names = ("account",) if adds_up else ("account", "short_quantity")
    values = {name: _filtered(raw.table.column(name), pools >= 0) for name in names}
    chosen = replace(raw, locator=locator, table=pa.table(values))
    accounts, account_problems = texts(chosen, "account")
    # Every row's quantity is read only where all are added up (P1).
    given, short_problems = quantities(raw if adds_up else chosen, "short_quantity", 0)
    shorts = one_array(given).to_numpy()
    total_short = _sum(shorts) if adds_up else 0
    shorts = shorts[kept] if adds_up else shorts
    invalid = wrong_accounts(accounts, lookup.order)
    invalid_problems = locator.row_problems(
        invalid,
        lambda index: describe_account(_decoded(accounts[index]), lookup.order),
        column="account",
        rule="R2",
    )
    # A column of another type is one problem, and its rows are of no account.
    valid = np.full(len(kept), is_text(raw.table.column("account").type))
    valid[invalid] = False
    return KeptRows(
        block=TextBlock(
            pools=pools[kept[valid]],
            accounts=one_array(accounts.filter(pa.array(valid))),
            shorts=shorts[valid],
            rows=kept[valid].astype(np.int32),
            occ_accounts=lookup.own_labels(occ_indices[kept[valid]], occ_texts),
        ),
        locator=raw.locator,
        total_short=total_short,
        sample=_sample(series, occ_indices, occ_texts),
        problems=series_problems
        + account_problems
        + short_problems
        + invalid_problems
        + occ_problems,
    )


def _sum(numbers: npt.NDArray[np.int64]) -> int:
    """Return the sum of numbers of at least 0, which may exceed 64 bits."""
    high, low = numbers >> 32, numbers & 0xFFFFFFFF
    return (int(high.sum()) << 32) + int(low.sum())


def _filtered(column: pa.ChunkedArray, kept: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
    """Return the rows of a column that are kept; any others if its type will be refused."""
    if is_text(column.type) or pa.types.is_integer(column.type):
        return column.filter(pa.array(kept))
    return column.slice(0, int(kept.sum()))


def _decoded(account: pa.Scalar) -> str:
    text: str = account.cast(pa.binary()).as_py().decode("utf-8", "replace")
    return text


def _occ_accounts(rows: pa.Table) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return int32[n] into the OCC accounts of a block, and these."""
    if "occ_account" not in rows.column_names:
        return np.zeros(rows.num_rows, np.int32), [""]
    labels = one_array(rows.column("occ_account"))
    if not pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_encode()
    return labels.indices.to_numpy(), valid_utf8(labels.dictionary).to_pylist()


def _sample(
    series: pa.Array, occ_indices: npt.NDArray[np.int32], occ_accounts: Sequence[str]
) -> tuple[str, str]:
    """Return series and OCC account of the first row that has an OCC account, or of the first."""
    if not len(occ_indices):
        return "", ""
    # A dictionary may have texts that no row has.
    is_named = np.array([bool(text) for text in occ_accounts])
    row = int(is_named[occ_indices].argmax()) if is_named.any() else 0
    return series[row].as_py(), occ_accounts[occ_indices[row]]
