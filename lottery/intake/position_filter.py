"""The positions of assigned pools only, read from a Parquet file row group by row group.

Most rows of a file belong to pools without notices. They are checked when they are decoded, like
all others, and dropped: memory grows with the assigned pools and not with the file.

Nothing is refused here. A file with a problem, or with columns of uncommon types, is read whole by
`files`, which names every problem with its row.

Invariants:
- A returned table equals the table of the whole file without the rows of pools without notices.
- An account with two rows in one pool is never missed, even if the pool has no notice (P4): equal
  rows have equal fingerprints, and no table is returned if two fingerprints are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lottery.day.account_keys import text_buffers
from lottery.day.assigned_pools import label_indices
from lottery.day.identifiers import PADDED_LENGTH, is_occ_account
from lottery.day.tables import LABEL, POSITIONS
from lottery.day.threads import ROWS_WORTH_A_THREAD, THREADS, in_threads
from lottery.intake import loops
from lottery.intake.arrow import check_buffers
from lottery.intake.memory import CHECKED_ROW_BYTES, KEPT_ROW_BYTES
from lottery.intake.parquet import MAGIC

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

_FIGURE_TYPES: Final = {"account": pa.string(), "short_quantity": pa.int64()}
_COLUMN_TYPES: Final = {"series": pa.string(), **_FIGURE_TYPES}
_OCC_ACCOUNT: Final = "occ_account"
_LABEL_TYPES: Final = (pa.string(), LABEL)
_BITS_A_ROW: Final = 16
"""Bits for each row in the table of fingerprints; with more, fewer rows share one by chance."""

_Number = TypeVar("_Number", bound=np.generic)
Fingerprints: TypeAlias = "npt.NDArray[np.uint64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedPositions:
    """The rows of assigned pools.

    Attributes:
        table: `tables.POSITIONS`.
        rows: int64[n], the data row of each, the first being 1.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]


def read_assigned_positions(
    data: pa.Buffer,
    notices: pa.Table,
    *,
    forget: Callable[[], None],
    check: Callable[[int], None],
) -> AssignedPositions | None:
    """Read the positions of pools that have notices.

    Args:
        data: The whole Parquet file.
        notices: `tables.NOTICES`, at least one and without problems.
        forget: Called when a row group was decoded: its bytes need not stay in memory.
        check: Called with the bytes that the rows known so far need; raises to stop.

    Returns:
        The rows, or None if the file must be read whole: it is small, it has a problem, a column is
        of an uncommon type, or an account has more than 18 digits.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        starts = [0, *accumulate(counts)]
        if not _is_common_file(data, metadata) or starts[-1] != metadata.num_rows:
            return None
        if metadata.num_rows < ROWS_WORTH_A_THREAD:
            return None
        assigned = _AssignedPools.of(notices)
        labels = [name for name in ("series", _OCC_ACCOUNT) if name in metadata.schema.names]

        check(starts[-1] * CHECKED_ROW_BYTES)
        kept_rows: list[int] = []

        def read(group: int) -> tuple[_Part, Fingerprints] | None:
            file = pq.ParquetFile(
                pa.BufferReader(data),
                metadata=metadata,
                read_dictionary=labels,
                page_checksum_verification=True,
            )
            rows = file.read_row_group(group, use_threads=False)
            forget()
            if len(rows) != counts[group]:
                return None
            part = _read_part(rows, assigned, starts[group])
            kept_rows.append(0 if part is None else part[0].rows.size)
            check(starts[-1] * CHECKED_ROW_BYTES + sum(kept_rows) * KEPT_ROW_BYTES)
            return part

        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(read, range(metadata.num_row_groups)))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None
    kept = _joined(found, assigned, starts[-1])
    # From here on, nothing as large as a row group is decoded.
    pa.default_memory_pool().release_unused()
    return kept


def keep_assigned_positions(
    tables: Sequence[pa.Table], notices: pa.Table
) -> AssignedPositions | None:
    """Return the positions of pools that have notices, from tables that were sent.

    Args:
        tables: What was sent, with buffers checked; rows are numbered across all of them.
        notices: `tables.NOTICES`, at least one and without problems.

    Returns:
        As from `read_assigned_positions`.
    """
    starts = [0, *accumulate(table.num_rows for table in tables)]
    if starts[-1] < ROWS_WORTH_A_THREAD or not all(_has_common_columns(table) for table in tables):
        return None
    assigned = _AssignedPools.of(notices)
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(
            threads.map(
                lambda index: _read_part(_with_labels(tables[index]), assigned, starts[index]),
                range(len(tables)),
            )
        )
    return _joined(found, assigned, starts[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _AssignedPools:
    """The assigned pools, as the loops look them up.

    Attributes:
        symbols: string[k], the assigned series, padded.
        occ_accounts: The assigned OCC accounts; the others of a file share the index after theirs.
        pools: bool[OCC accounts + 1, k], the pools with notices; the last row has none.
        padded: uint8[k, 21], the symbols' characters.
        buckets: uint64[a power of two], the symbols' fingerprints, open addressing; 0 is free.
        bucket_codes: int32[], the symbol of each bucket.
    """

    symbols: pa.StringArray
    occ_accounts: list[str]
    pools: npt.NDArray[np.bool_]
    padded: npt.NDArray[np.uint8]
    buckets: Fingerprints
    bucket_codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, notices: pa.Table) -> _AssignedPools:
        series, symbols = label_indices(notices.column("series"))
        occ_indices, occ_accounts = label_indices(notices.column(_OCC_ACCOUNT))
        pools = np.zeros((len(occ_accounts) + 1, len(symbols)), np.bool_)
        pools[occ_indices, series] = True
        text = "".join(symbols.to_pylist()).encode("ascii")
        padded = np.frombuffer(text, np.uint8).reshape(len(symbols), PADDED_LENGTH)
        size = 1 << (2 * len(symbols)).bit_length()
        buckets, bucket_codes = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        loops.fill_buckets(padded, buckets, bucket_codes)
        return cls(
            symbols=symbols,
            occ_accounts=occ_accounts.to_pylist(),
            pools=pools,
            padded=padded,
            buckets=buckets,
            bucket_codes=bucket_codes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The rows of assigned pools in one row group, by column."""

    codes: npt.NDArray[np.int32]
    occ_accounts: npt.NDArray[np.int32]
    occ_texts: list[str]
    accounts: pa.StringArray
    shorts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


def _is_common_file(data: pa.Buffer, metadata: pq.FileMetaData) -> bool:
    """Return whether this is a Parquet file with the common columns in their common types."""
    schema = metadata.schema.to_arrow_schema()
    types = {field.name: field.type for field in schema}
    return (
        data.slice(0, len(MAGIC)).to_pybytes() == MAGIC
        and len(types) == len(schema)
        and types in (_COLUMN_TYPES, {**_COLUMN_TYPES, _OCC_ACCOUNT: pa.string()})
    )


def _has_common_columns(table: pa.Table) -> bool:
    """Return whether a table has the common columns and rows; labels may be dictionaries."""
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    labels = {name: types.pop(name) for name in ("series", _OCC_ACCOUNT) if name in types}
    has_common_types = (
        all(kind in _LABEL_TYPES for kind in labels.values()) and types == _FIGURE_TYPES
    )
    return has_common_types and table.num_rows > 0


def _with_labels(table: pa.Table) -> pa.Table:
    """Return the table with its label columns as dictionaries."""
    for name in ("series", _OCC_ACCOUNT):
        if name in table.column_names and table.column(name).type == pa.string():
            index = table.schema.get_field_index(name)
            table = table.set_column(index, name, table.column(name).dictionary_encode())
    return table


def _read_part(
    rows: pa.Table, assigned: _AssignedPools, first_row: int
) -> tuple[_Part, Fingerprints] | None:
    """Return a group's assigned rows and fingerprints of its others; None if a row is wrong."""
    if any(column.null_count for column in rows.columns):
        return None
    symbols = _labels(rows.column("series"))
    offsets, characters = text_buffers(symbols.dictionary)
    codes = np.empty(len(symbols.dictionary), np.int32)
    fingerprints = np.empty(len(symbols.dictionary), np.uint64)
    if loops.read_symbols(
        offsets,
        characters,
        assigned.padded,
        assigned.buckets,
        assigned.bucket_codes,
        codes,
        fingerprints,
    ):
        return None
    occ_indices, occ_texts = _occ_accounts(rows)
    if not all(is_occ_account(text) for text in occ_texts):
        return None
    known = {text: index for index, text in enumerate(assigned.occ_accounts)}
    pool_rows = np.array([known.get(text, len(known)) for text in occ_texts], np.int32)
    occ_fingerprints = np.array([fingerprint_of(text) for text in occ_texts], np.uint64)
    accounts = rows.column("account").combine_chunks()
    shorts = rows.column("short_quantity").to_numpy()
    series = symbols.indices.to_numpy()
    kept = np.empty(rows.num_rows, np.int32)
    row_fingerprints = np.empty(rows.num_rows, np.uint64)
    counts = np.zeros(2, np.int64)
    if not loops.keep_assigned(
        series,
        codes,
        fingerprints,
        occ_indices,
        pool_rows,
        occ_fingerprints,
        assigned.pools,
        *text_buffers(accounts),
        shorts,
        kept,
        row_fingerprints,
        counts,
    ):
        return None
    kept = kept[: counts[0]]
    part = _Part(
        codes=codes[series[kept]],
        occ_accounts=occ_indices[kept],
        occ_texts=occ_texts,
        accounts=accounts if kept.size == len(accounts) else accounts.take(pa.array(kept)),
        shorts=shorts[kept],
        rows=first_row + kept.astype(np.int64) + 1,
    )
    return part, row_fingerprints[: counts[1]].copy()


def _labels(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a label column of a row group as one array, with its buffers checked."""
    check_buffers(column)
    one = column if column.num_chunks == 1 else column.unify_dictionaries()
    labels = one.combine_chunks()
    return labels.chunk(0) if isinstance(labels, pa.ChunkedArray) else labels


def _occ_accounts(rows: pa.Table) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return int32[n] into the OCC accounts of a row group, and those accounts."""
    if _OCC_ACCOUNT not in rows.column_names:
        return np.zeros(rows.num_rows, np.int32), [""]
    labels = _labels(rows.column(_OCC_ACCOUNT))
    return labels.indices.to_numpy(), labels.dictionary.to_pylist()


def fingerprint_of(text: str) -> int:
    """Return 64 bits for an OCC account (FNV-1a); different accounts may share them."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _has_repeats(parts: list[Fingerprints], row_count: int) -> bool:
    """Return whether two fingerprints are equal: an account may have two rows in one pool."""
    words = 1 << max(0, (row_count * _BITS_A_ROW // 64).bit_length())
    seen, repeated = np.zeros((2, words), np.uint64)
    shares = [(share, THREADS) for share in range(THREADS)]

    def flag(share: int, share_count: int) -> None:
        for fingerprints in parts:
            loops.flag_repeats(fingerprints, share, share_count, seen, repeated)

    in_threads(flag, shares)
    found = []
    for fingerprints in parts:
        listed = np.empty(fingerprints.size, np.uint64)
        found.append(listed[: loops.list_repeats(fingerprints, repeated, listed)])
    ordered = np.sort(np.concatenate(found))
    return bool((ordered[1:] == ordered[:-1]).any())


def _joined(
    found: list[tuple[_Part, Fingerprints] | None], assigned: _AssignedPools, row_count: int
) -> AssignedPositions | None:
    """Return the rows of all parts as one table, each label with one dictionary.

    Return None if a part has a problem, or an account may have two rows in one pool. The argument
    is emptied: fingerprints, and a column's parts, are freed as soon as they are not needed,
    because each is as large as what is kept.
    """
    valid = [pair for pair in found if pair is not None]
    if len(valid) < len(found) or _has_repeats([each for _, each in valid], row_count):
        return None
    parts = [part for part, _ in valid]
    found.clear()
    valid.clear()
    texts = list(dict.fromkeys(text for part in parts for text in part.occ_texts))
    index_of = {text: index for index, text in enumerate(texts)}
    occ_accounts = [
        np.array([index_of[text] for text in part.occ_texts], np.int32)[part.occ_accounts]
        for part in parts
    ]
    codes, shorts, rows = (
        [getattr(part, name) for part in parts] for name in ("codes", "shorts", "rows")
    )
    accounts = [part.accounts for part in parts]
    parts.clear()
    table = pa.table(
        {
            "series": pa.DictionaryArray.from_arrays(pa.array(_one(codes)), assigned.symbols),
            "account": _one_array(accounts),
            "short_quantity": _one(shorts),
            "occ_account": pa.DictionaryArray.from_arrays(
                pa.array(_one(occ_accounts)), pa.array(texts, pa.string())
            ).cast(LABEL),
        },
        POSITIONS,
    )
    return AssignedPositions(table=table, rows=_one(rows))


def _one(parts: list[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Return the parts as one array; the list is emptied."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def _one_array(texts: list[pa.StringArray]) -> pa.ChunkedArray:
    """Return one chunk, from which rows are taken fastest, or the chunks if they are too large."""
    if sum(text.nbytes for text in texts) >= 1 << 31:
        return pa.chunked_array(texts)
    joined = pa.concat_arrays(texts)
    texts.clear()
    return pa.chunked_array([joined])
