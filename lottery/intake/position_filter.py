"""Positions of the assigned pools alone, straight from a Parquet file, row group by row group.

Most rows of a file are of pools without notices. They are checked as they are decoded, like all
others, and dropped: what is kept grows with the assigned pools and not with the file.

Nothing is refused here. A file with anything wrong in it, or of another shape than most have, is
read whole by `files`, which names every problem with its row.

Invariants:
- Where a table is given, it is what reading the whole file and leaving out the rows of pools
  without notices gives.
- An account with two rows in one pool is never missed, also where the pool has no notice (P4):
  equal rows have equal marks, and where two marks are equal nothing is given.
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
from lottery.intake import position_filter_loops
from lottery.intake.arrow import check_buffers
from lottery.intake.memory import CHECKED_ROW_BYTES, KEPT_ROW_BYTES
from lottery.intake.parquet import MAGIC

if TYPE_CHECKING:  # It imports much that only types are for.
    import numpy.typing as npt

_FIGURES: Final = {"account": pa.string(), "short_quantity": pa.int64()}
_USUAL: Final = {"series": pa.string(), **_FIGURES}
_OCC_ACCOUNT: Final = "occ_account"
_TEXTS: Final = (pa.string(), LABEL)
_MARKS_A_ROW: Final = 16
"""Bits of the table of marks for each row; the more, the fewer rows share one by chance."""

_Number = TypeVar("_Number", bound=np.generic)
Marks: TypeAlias = "npt.NDArray[np.uint64]"


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
    """The positions of pools that have notices.

    Args:
        data: The whole Parquet file.
        notices: `tables.NOTICES`, at least one and without problems.
        forget: Called once a row group was decoded: its bytes need not stay in memory.
        check: Told how much memory the rows take, as far as they are known; raises to stop.

    Returns:
        The rows, or None where the file is to be read whole: it is small, something is wrong in it,
        a column is of another type than most files have, or an account has more than 18 digits.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        starts = [0, *accumulate(counts)]
        if not _is_usual(data, metadata) or starts[-1] != metadata.num_rows:
            return None
        if metadata.num_rows < ROWS_WORTH_A_THREAD:
            return None
        wanted = _Wanted.of(notices)
        labels = [name for name in ("series", _OCC_ACCOUNT) if name in metadata.schema.names]

        check(starts[-1] * CHECKED_ROW_BYTES)
        kept_rows: list[int] = []

        def read(group: int) -> tuple[_Part, Marks] | None:
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
            part = _read_part(rows, wanted, starts[group])
            kept_rows.append(0 if part is None else part[0].rows.size)
            check(starts[-1] * CHECKED_ROW_BYTES + sum(kept_rows) * KEPT_ROW_BYTES)
            return part

        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(read, range(metadata.num_row_groups)))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None
    kept = _joined(found, wanted, starts[-1])
    # Nothing of the size of a row group is decoded from here on.
    pa.default_memory_pool().release_unused()
    return kept


def keep_assigned_positions(
    tables: Sequence[pa.Table], notices: pa.Table
) -> AssignedPositions | None:
    """The positions of pools that have notices, of tables that were sent.

    Args:
        tables: What was sent, buffers checked; their rows are numbered through.
        notices: `tables.NOTICES`, at least one and without problems.

    Returns:
        As `read_assigned_positions`.
    """
    starts = [0, *accumulate(table.num_rows for table in tables)]
    if starts[-1] < ROWS_WORTH_A_THREAD or not all(_is_usual_table(table) for table in tables):
        return None
    wanted = _Wanted.of(notices)
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(
            threads.map(
                lambda place: _read_part(_with_labels(tables[place]), wanted, starts[place]),
                range(len(tables)),
            )
        )
    return _joined(found, wanted, starts[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The assigned pools, as the compiled passes look them up.

    Attributes:
        symbols: string[k], the assigned series, padded.
        occ_accounts: The assigned OCC accounts; a file's others have the numbers behind theirs.
        pools: bool[OCC accounts + 1, k], the pools with notices; the last row has none.
        padded: uint8[k, 21], the symbols' characters.
        slots: uint64[a power of two], the symbols' hashes, open addressing; 0 is free.
        slot_codes: int32[], the symbol of each slot.
    """

    symbols: pa.StringArray
    occ_accounts: list[str]
    pools: npt.NDArray[np.bool_]
    padded: npt.NDArray[np.uint8]
    slots: Marks
    slot_codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, notices: pa.Table) -> _Wanted:
        series, symbols = label_indices(notices.column("series"))
        occ_indices, occ_accounts = label_indices(notices.column(_OCC_ACCOUNT))
        pools = np.zeros((len(occ_accounts) + 1, len(symbols)), np.bool_)
        pools[occ_indices, series] = True
        text = "".join(symbols.to_pylist()).encode("ascii")
        padded = np.frombuffer(text, np.uint8).reshape(len(symbols), PADDED_LENGTH)
        size = 1 << (2 * len(symbols)).bit_length()
        slots, slot_codes = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        position_filter_loops.fill_slots(padded, slots, slot_codes)
        return cls(
            symbols=symbols,
            occ_accounts=occ_accounts.to_pylist(),
            pools=pools,
            padded=padded,
            slots=slots,
            slot_codes=slot_codes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The rows of assigned pools in a row group, by column."""

    codes: npt.NDArray[np.int32]
    occ_accounts: npt.NDArray[np.int32]
    occ_texts: list[str]
    accounts: pa.StringArray
    shorts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


def _is_usual(data: pa.Buffer, metadata: pq.FileMetaData) -> bool:
    """Whether this is a Parquet file with the columns that nearly every one has, in their types."""
    schema = metadata.schema.to_arrow_schema()
    types = {field.name: field.type for field in schema}
    return (
        data.slice(0, len(MAGIC)).to_pybytes() == MAGIC
        and len(types) == len(schema)
        and types in (_USUAL, {**_USUAL, _OCC_ACCOUNT: pa.string()})
    )


def _is_usual_table(table: pa.Table) -> bool:
    """Whether a table that was sent has these columns and rows; its labels may be dictionaries."""
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    labels = {name: types.pop(name) for name in ("series", _OCC_ACCOUNT) if name in types}
    is_usual = all(kind in _TEXTS for kind in labels.values()) and types == _FIGURES
    return is_usual and table.num_rows > 0


def _with_labels(table: pa.Table) -> pa.Table:
    """The table with its label columns as dictionaries."""
    for name in ("series", _OCC_ACCOUNT):
        if name in table.column_names and table.column(name).type == pa.string():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table.column(name).dictionary_encode())
    return table


def _read_part(rows: pa.Table, wanted: _Wanted, first_row: int) -> tuple[_Part, Marks] | None:
    """A row group's rows and the marks of its others, or None where something in it is wrong."""
    if any(column.null_count for column in rows.columns):
        return None
    symbols = _labels(rows.column("series"))
    offsets, characters = text_buffers(symbols.dictionary)
    codes = np.empty(len(symbols.dictionary), np.int32)
    hashes = np.empty(len(symbols.dictionary), np.uint64)
    if position_filter_loops.read_symbols(
        offsets, characters, wanted.padded, wanted.slots, wanted.slot_codes, codes, hashes
    ):
        return None
    occ_indices, occ_texts = _occ_accounts(rows)
    if not all(is_occ_account(text) for text in occ_texts):
        return None
    known = {text: number for number, text in enumerate(wanted.occ_accounts)}
    pool_rows = np.array([known.get(text, len(known)) for text in occ_texts], np.int32)
    occ_hashes = np.array([hash_of(text) for text in occ_texts], np.uint64)
    accounts = rows.column("account").combine_chunks()
    shorts = rows.column("short_quantity").to_numpy()
    series = symbols.indices.to_numpy()
    kept, marks = np.empty(rows.num_rows, np.int32), np.empty(rows.num_rows, np.uint64)
    counts = np.zeros(2, np.int64)
    if not position_filter_loops.keep_assigned(
        series,
        codes,
        hashes,
        occ_indices,
        pool_rows,
        occ_hashes,
        wanted.pools,
        *text_buffers(accounts),
        shorts,
        kept,
        marks,
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
    return part, marks[: counts[1]].copy()


def _labels(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A label column of a row group as one array that was checked."""
    check_buffers(column)
    one = column if column.num_chunks == 1 else column.unify_dictionaries()
    labels = one.combine_chunks()
    return labels.chunk(0) if isinstance(labels, pa.ChunkedArray) else labels


def _occ_accounts(rows: pa.Table) -> tuple[npt.NDArray[np.int32], list[str]]:
    """int32[n] into the OCC accounts of a row group, and these."""
    if _OCC_ACCOUNT not in rows.column_names:
        return np.zeros(rows.num_rows, np.int32), [""]
    labels = _labels(rows.column(_OCC_ACCOUNT))
    return labels.indices.to_numpy(), labels.dictionary.to_pylist()


def hash_of(text: str) -> int:
    """64 bits of an OCC account (FNV-1a); different ones may share them, equal ones do."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _any_twice(marks: list[Marks], row_count: int) -> bool:
    """Whether two marks are equal: an account that may have two rows in one pool."""
    words = 1 << max(0, (row_count * _MARKS_A_ROW // 64).bit_length())
    seen, again = np.zeros((2, words), np.uint64)
    shares = [(part, THREADS) for part in range(THREADS)]

    def mark(part: int, parts: int) -> None:
        for one in marks:
            position_filter_loops.mark_again(one, part, parts, seen, again)

    in_threads(mark, shares)
    found = [np.empty(one.size, np.uint64) for one in marks]
    counts = [
        position_filter_loops.list_again(one, again, to)
        for one, to in zip(marks, found, strict=True)
    ]
    ordered = np.sort(np.concatenate([to[:n] for to, n in zip(found, counts, strict=True)]))
    return bool((ordered[1:] == ordered[:-1]).any())


def _joined(
    found: list[tuple[_Part, Marks] | None], wanted: _Wanted, row_count: int
) -> AssignedPositions | None:
    """The rows of all parts as one table, each label with one dictionary.

    None where a part has something wrong, or an account may have two rows in one pool. What was
    found is spent: marks, and a column's parts, go as soon as nothing needs them, because each is
    as large as what is kept.
    """
    sound = [pair for pair in found if pair is not None]
    if len(sound) < len(found) or _any_twice([marks for _, marks in sound], row_count):
        return None
    parts = [part for part, _ in sound]
    found.clear()
    sound.clear()
    texts = list(dict.fromkeys(text for part in parts for text in part.occ_texts))
    place = {text: number for number, text in enumerate(texts)}
    occ_accounts = [
        np.array([place[text] for text in part.occ_texts], np.int32)[part.occ_accounts]
        for part in parts
    ]
    codes, shorts, rows = (
        [getattr(part, name) for part in parts] for name in ("codes", "shorts", "rows")
    )
    accounts = [part.accounts for part in parts]
    parts.clear()
    table = pa.table(
        {
            "series": pa.DictionaryArray.from_arrays(pa.array(_one(codes)), wanted.symbols),
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
    """The parts as one array; the list is emptied."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def _one_array(texts: list[pa.StringArray]) -> pa.ChunkedArray:
    """One chunk, from which rows are taken fastest, or the chunks where they are too large."""
    if sum(text.nbytes for text in texts) >= 1 << 31:
        return pa.chunked_array(texts)
    joined = pa.concat_arrays(texts)
    texts.clear()
    return pa.chunked_array([joined])
