"""The pools that have notices, and the sums of these (rules P3, P5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import INT64_MAX
from lottery.method.methodology import Pooling

if TYPE_CHECKING:  # It imports much that only types need.
    import numpy.typing as npt

Integers: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedPool:
    """A pool with notices (P3), and their sum (P5)."""

    occ_account: str
    series: str
    notice_count: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssignedPools:
    """The assigned pools by column, sorted by occ_account and series.

    Attributes:
        occ_texts: string[], the OCC accounts, sorted.
        occ_accounts: int32[pools], indices into them.
        series_texts: string[], the series, sorted.
        series: int32[pools], indices into them.
        notice_counts: int64[pools].
        high: int64[pools]; the assigned quantity is high * 2**32 + low (P5). Neither half's sum
            can exceed 64 bits.
        low: int64[pools].
        pooling: What makes a pool; with `series` the one OCC account of all pools is empty (P3).
    """

    occ_texts: pa.StringArray
    occ_accounts: npt.NDArray[np.int32]
    series_texts: pa.StringArray
    series: npt.NDArray[np.int32]
    notice_counts: Integers
    high: Integers
    low: Integers
    pooling: Pooling = Pooling.OCC_ACCOUNT

    def __len__(self) -> int:
        return len(self.notice_counts)

    def __iter__(self) -> Iterator[AssignedPool]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> AssignedPool:
        return AssignedPool(
            occ_account=self.occ_texts[self.occ_accounts[index]].as_py(),
            series=self.series_texts[self.series[index]].as_py(),
            notice_count=int(self.notice_counts[index]),
            assigned_quantity=(int(self.high[index]) << 32) + int(self.low[index]),
        )

    def occ_rows(self, texts: pa.StringArray) -> npt.NDArray[np.int32]:
        """Return the row in `index_table` of each OCC account that comes along: int32[n]."""
        if self.pooling is Pooling.SERIES:
            return np.zeros(len(texts), np.int32)
        found = pc.index_in(texts, value_set=self.occ_texts).fill_null(len(self.occ_texts))
        rows: npt.NDArray[np.int32] = found.to_numpy()
        return rows

    def index_table(self) -> npt.NDArray[np.int32]:
        """Return the pool of each OCC account and series; -1 for a pair without notices.

        Returns:
            int32[OCC accounts + 1, series + 1]; the last row and column stand for any other text.
        """
        indices = np.full((len(self.occ_texts) + 1, len(self.series_texts) + 1), -1, np.int32)
        indices[self.occ_accounts, self.series] = np.arange(len(self))
        return indices

    def quantities(self) -> Integers:
        """Return int64[pools], the assigned quantities; 2**63 - 1 for a larger one."""
        return np.where(
            halves_overflow(self.high, self.low), INT64_MAX, (self.high << 32) + self.low
        )

    def overflowing(self) -> list[AssignedPool]:
        """Return the pools whose notices add up to more than 2**63 - 1."""
        overflow = halves_overflow(self.high, self.low)
        return [self[index] for index in np.flatnonzero(overflow).tolist()]


def halves_overflow(high: Integers, low: Integers) -> npt.NDArray[np.bool_]:
    """Return whether each sum, high * 2**32 + low, exceeds 2**63 - 1: bool[n]."""
    overflow: npt.NDArray[np.bool_] = high + (low >> 32) >= 1 << 31
    return overflow


def pooled(rows: pa.Table, pooling: Pooling) -> pa.Table:
    """Return the same rows, each with the OCC account of its pool instead of its own (P3).

    Args:
        rows: A table with the label column `occ_account`.
        pooling: What makes a pool.
    """
    if pooling is Pooling.OCC_ACCOUNT:
        return rows
    index = rows.schema.get_field_index("occ_account")
    none = pa.DictionaryArray.from_arrays(np.zeros(rows.num_rows, np.int32), pa.array([""]))
    return rows.set_column(index, rows.schema.field(index), none)


def assigned_pools(notices: pa.Table, pooling: Pooling = Pooling.OCC_ACCOUNT) -> AssignedPools:
    """Return the pools with notices and their sums (P3, P5).

    Args:
        notices: `tables.NOTICES`.
        pooling: What makes a pool.
    """
    notices = pooled(notices, pooling)
    series, series_texts = _sorted_labels(notices.column("series"))
    occ_accounts, occ_texts = _sorted_labels(notices.column("occ_account"))
    width = max(1, len(series_texts))
    pairs = occ_accounts.astype(np.int64) * width + series
    present, pool_of = np.unique(pairs, return_inverse=True)
    quantities = notices.column("quantity").to_numpy()
    high, low = np.zeros((2, len(present)), np.int64)
    np.add.at(high, pool_of, quantities >> 32)
    np.add.at(low, pool_of, quantities & 0xFFFF_FFFF)
    occ_of, series_of = np.divmod(present, width)
    return AssignedPools(
        occ_texts=occ_texts,
        occ_accounts=occ_of.astype(np.int32),
        series_texts=series_texts,
        series=series_of.astype(np.int32),
        notice_counts=np.bincount(pool_of, minlength=len(present)),
        high=high,
        low=low,
        pooling=pooling,
    )


def label_indices(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """Return the int32[n] indices of a label column and its dictionary, each text in it once."""
    array = column.unify_dictionaries().combine_chunks()
    distinct = array.dictionary.unique()
    indices = array.indices.to_numpy()
    if len(distinct) < len(array.dictionary):
        indices = pc.index_in(array.dictionary, value_set=distinct).to_numpy()[indices]
    return indices, distinct


def labels_in_use(
    indices: npt.NDArray[Any], texts: pa.StringArray
) -> tuple[npt.NDArray[Any], pa.StringArray]:
    """Return indices into those of the texts that they refer to, and these texts in their order.

    Args:
        indices: integer[n], indices into the texts.
        texts: The texts.

    Returns:
        integer[n] of the same type, and the texts in use.
    """
    # Those of sorted rows lie together, and mostly are all in use.
    first, last = (int(indices.min()), int(indices.max())) if len(indices) else (0, -1)
    indices = indices - first
    texts = texts[first : last + 1]
    in_use = np.zeros(len(texts), np.bool_)
    in_use[indices] = True
    if in_use.all():
        return indices, texts
    return (np.cumsum(in_use, dtype=indices.dtype) - 1)[indices], texts.filter(pa.array(in_use))


def _sorted_labels(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """Return the same as `label_indices`, with the dictionary sorted."""
    indices, texts = label_indices(column)
    order = pc.sort_indices(texts).to_numpy()
    new_index = np.empty(len(order), np.int32)
    new_index[order] = np.arange(len(order), dtype=np.int32)
    return new_index[indices], texts.take(pa.array(order))
