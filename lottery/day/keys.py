"""Accounts as numbers, their keys: the order of accounts (rules R1, R2).

A key is `number << 5 | length` (`lottery.day.loops`): keys sort as accounts do, and the text comes
back out of its key. If an account has more than 16 digits, or letters (`account_order =
code-point`), all accounts of the day are ranked, and ranks take the place of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day import loops
from lottery.day.assigned_pools import AssignedPools, Integers, label_indices
from lottery.day.identifiers import plain_accounts
from lottery.day.tables import LABEL, POSITIONS
from lottery.day.threads import in_threads, split_rows
from lottery.method.methodology import AccountOrder, Pooling

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextBlock:
    """Positions that were read together.

    Attributes:
        pools: int32[n], the index of each row's pool.
        accounts: string[n], its account.
        shorts: int64[n], contracts short.
        rows: int32[n], its index among the rows that were read.
        occ_accounts: Its own OCC account, string[n] by dictionary, if it is not its pool's (P3).
    """

    pools: npt.NDArray[np.int32]
    accounts: pa.StringArray
    shorts: Integers
    rows: npt.NDArray[np.int32]
    occ_accounts: pa.DictionaryArray | None = None

    def __len__(self) -> int:
        return len(self.pools)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Positions that were read together, each account as its key.

    Attributes:
        pools: int32[n], the index of each row's pool.
        keys: int64[n], its account's key.
        shorts: int64[n], contracts short.
        rows: int32[n], its index among the rows that were read.
        occ_accounts: Its own OCC account, string[n] by dictionary, if it is not its pool's (P3).
    """

    pools: npt.NDArray[np.int32]
    keys: Integers
    shorts: Integers
    rows: npt.NDArray[np.int32]
    occ_accounts: pa.DictionaryArray | None = None

    def __len__(self) -> int:
        return len(self.pools)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyedPositions:
    """The positions of the assigned pools.

    Attributes:
        blocks: The rows, in any order.
        rank_texts: The account of each rank without leading zeros, if accounts are ranked.
    """

    blocks: tuple[Block, ...] = ()
    rank_texts: pa.StringArray | None = None

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def key_bits(self) -> int:
        """Bits of the largest key."""
        largest = max((int(block.keys.max(initial=0)) for block in self.blocks), default=0)
        return largest.bit_length()

    def ranks(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Return the offsets and bytes of the ranks' texts; no offsets if there are no ranks."""
        if self.rank_texts is None:
            return np.empty(0, np.int32), np.empty(0, np.uint8)
        return text_buffers(self.rank_texts)

    def plain_account(self, number: int) -> str:
        """Return the account of a number or rank, without leading zeros."""
        if self.rank_texts is None:
            return str(number) if number else ""
        text: str = self.rank_texts[number].as_py()
        return text

    def numbers_of(self, plain_accounts: Iterable[str]) -> frozenset[int]:
        """Return the numbers or ranks of accounts without leading zeros."""
        if self.rank_texts is None:
            return frozenset(int(account or "0") for account in plain_accounts)
        found = pc.index_in(pa.array(plain_accounts, pa.string()), value_set=self.rank_texts)
        return frozenset(found.drop_null().to_pylist())

    def account(self, key: int) -> str:
        """Return the account of a key, as received."""
        plain = self.plain_account(key >> loops.LENGTH_BITS)
        return plain.rjust(key & loops.LENGTH_MASK, "0")

    def accounts_of(self, block: Block) -> pa.StringArray:
        """Return the accounts of a block, string[n]."""
        offsets = np.zeros(len(block) + 1, np.int32)
        np.cumsum(block.keys & loops.LENGTH_MASK, out=offsets[1:])
        text = np.empty(int(offsets[-1]) + loops.SLACK, np.uint8)
        loops.write_accounts(block.keys, *self.ranks(), offsets, text, words_of(text))
        return pa.StringArray.from_buffers(len(block), pa.py_buffer(offsets), pa.py_buffer(text))

    def table(self, assigned: AssignedPools) -> pa.Table:
        """Return `tables.POSITIONS` of the rows."""
        parts = [POSITIONS.empty_table()]
        for block in self.blocks:
            series = pa.array(assigned.series[block.pools])
            occ_accounts = block.occ_accounts
            if occ_accounts is None:
                codes = pa.array(assigned.occ_accounts[block.pools])
                occ_accounts = pa.DictionaryArray.from_arrays(codes, assigned.occ_texts)
            columns = {
                "series": pa.DictionaryArray.from_arrays(series, assigned.series_texts).cast(LABEL),
                "account": self.accounts_of(block),
                "short_quantity": block.shorts,
                "occ_account": occ_accounts.cast(LABEL),
            }
            parts.append(pa.table(columns, POSITIONS))
        return pa.concat_tables(parts)


def key_positions(blocks: Sequence[Block | TextBlock], order: AccountOrder) -> KeyedPositions:
    """Give every account its key, or its rank if one has no key.

    Args:
        blocks: Positions of valid accounts.
        order: The choice of R2.
    """
    tried = [
        block if isinstance(block, Block) or order is not AccountOrder.NUMERIC else _keyed(block)
        for block in blocks
    ]
    keyed = tuple(block for block in tried if isinstance(block, Block))
    if len(keyed) == len(tried):
        return KeyedPositions(blocks=keyed)
    numbers = KeyedPositions()
    accounts = [
        numbers.accounts_of(block) if isinstance(block, Block) else block.accounts
        for block in tried
    ]
    encoded = one_array(pa.chunked_array(accounts, pa.string()).dictionary_encode())
    ranks, rank_texts = _ranks(plain_accounts(encoded.dictionary, order), order)
    sizes = pc.utf8_length(encoded.dictionary).to_numpy().astype(np.int64)
    keys = (ranks << loops.LENGTH_BITS | sizes)[encoded.indices.to_numpy()]
    return KeyedPositions(blocks=_with_keys(tried, keys), rank_texts=rank_texts)


def key_table(positions: pa.Table, assigned: AssignedPools, order: AccountOrder) -> KeyedPositions:
    """Give every account of a table of valid positions its key.

    Args:
        positions: `tables.POSITIONS`; rows of pools without notices are left out.
        assigned: The pools with notices.
        order: The choice of R2.
    """
    series, series_texts = label_indices(positions.column("series"))
    occ_accounts, occ_texts = label_indices(positions.column("occ_account"))
    columns = pc.index_in(series_texts, value_set=assigned.series_texts)
    columns = columns.fill_null(len(assigned.series_texts)).to_numpy()
    pools = assigned.index_table()[assigned.occ_rows(occ_texts)[occ_accounts], columns[series]]
    kept = np.flatnonzero(pools >= 0)
    accounts = positions.column("account").take(pa.array(kept))
    block = TextBlock(
        pools=pools[kept],
        accounts=one_array(accounts),
        shorts=positions.column("short_quantity").to_numpy()[kept],
        rows=kept.astype(np.int32),
        occ_accounts=own_labels(occ_accounts[kept], occ_texts, assigned.pooling),
    )
    return key_positions([block], order)


def own_labels(
    indices: npt.NDArray[np.int32], texts: pa.StringArray, pooling: Pooling
) -> pa.DictionaryArray | None:
    """Return the OCC accounts that rows have of their own; None if those are their pools' (P3).

    Args:
        indices: int32[n], indices into the texts.
        texts: string[], OCC accounts.
        pooling: What makes a pool.
    """
    if pooling is Pooling.OCC_ACCOUNT:
        return None
    return pa.DictionaryArray.from_arrays(pa.array(indices), texts)


def ranked(positions: KeyedPositions) -> KeyedPositions:
    """Return positions whose accounts are ranked, so that their keys have few bits."""
    keys = np.concatenate([block.keys for block in positions.blocks])
    numbers, ranks = np.unique(keys >> loops.LENGTH_BITS, return_inverse=True)
    return KeyedPositions(
        blocks=_with_keys(positions.blocks, ranks << loops.LENGTH_BITS | keys & loops.LENGTH_MASK),
        rank_texts=plain_accounts(pa.array(numbers).cast(pa.string()), AccountOrder.NUMERIC),
    )


def text_buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return the offsets (int32[n + 1]) and bytes (uint8[]) of a string array without nulls."""
    _, offsets, data = texts.buffers()
    return (
        np.frombuffer(offsets or bytes(4), np.int32, len(texts) + 1, texts.offset * 4),
        np.frombuffer(data or b"", np.uint8),
    )


def words_of(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the eight bytes from each byte on as one number: uint64[bytes - 7], a view."""
    return np.ndarray((max(0, data.size - 7),), np.uint64, data, strides=(1,))


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    joined = column.unify_dictionaries().combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _keyed(block: TextBlock) -> Block | TextBlock:
    """Return a block with the keys of its accounts, or as it is if one has no key."""
    keys = np.empty(len(block), np.int64)
    offsets, data = text_buffers(block.accounts)
    words = words_of(data)
    unread = in_threads(
        lambda first, last: loops.read_keys(
            offsets[first : last + 1], data, words, keys[first:last]
        ),
        split_rows(len(block)),
    )
    return block if sum(unread) else _with_keys([block], keys)[0]


def _ranks(texts: pa.StringArray, order: AccountOrder) -> tuple[Integers, pa.StringArray]:
    """Return the rank of each text, int64[n], and the text of each rank."""
    columns = {"text": texts}
    if order is AccountOrder.NUMERIC:  # Without leading zeros, longer numbers are larger.
        columns = {"length": pc.utf8_length(texts), **columns}
    by_order = pc.sort_indices(
        pa.table(columns), [(name, "ascending") for name in columns]
    ).to_numpy()
    in_order = texts.take(pa.array(by_order))
    is_new = np.ones(len(in_order), np.bool_)
    is_new[1:] = pc.not_equal(in_order[1:], in_order[:-1]).to_numpy(zero_copy_only=False)
    ranks = np.empty(len(in_order), np.int64)
    ranks[by_order] = np.cumsum(is_new) - 1
    return ranks, in_order.filter(pa.array(is_new))


def _with_keys(blocks: Sequence[Block | TextBlock], keys: Integers) -> tuple[Block, ...]:
    """Return blocks with their keys, which are given one after another."""
    ends = accumulate(map(len, blocks))
    return tuple(
        Block(
            pools=block.pools,
            keys=keys[end - len(block) : end],
            shorts=block.shorts,
            rows=block.rows,
            occ_accounts=block.occ_accounts,
        )
        for block, end in zip(blocks, ends, strict=True)
    )
