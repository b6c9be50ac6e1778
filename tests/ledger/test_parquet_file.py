"""Parquet files of two halves: every reader finds one file, and its bytes follow from the table."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

from lottery.day.tables import ALLOCATIONS, LABEL, NOTICES, POOLS
from lottery.errors import LedgerDamaged
from lottery.ledger import evidence, parquet_file
from tests.builders import label

SCHEMAS = {"allocations": ALLOCATIONS, "pools": POOLS, "notices": NOTICES}
MAGIC = b"PAR1"


@pytest.fixture(autouse=True)
def every_table_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a table of two rows and more one for two threads, with row groups of four at most."""
    monkeypatch.setattr(parquet_file, "ROWS_WORTH_A_THREAD", 1)
    monkeypatch.setattr(parquet_file, "ROW_GROUP", 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.parquet"


def table_of(schema: pa.Schema, row_count: int, seed: int = 4313) -> pa.Table:
    """Rows in the order of their pools, as the day's tables have them."""
    random = Random(seed)  # noqa: S311 - no lottery is drawn with it.
    columns: dict[str, Any] = {}
    for field in schema:
        if pa.types.is_integer(field.type):
            values: list[Any] = [
                random.randint(0, 2 ** random.randint(1, 62)) for _ in range(row_count)
            ]
        elif field.name == "series":
            values = [f"Z{row // 3:05d}240920C00220000" for row in range(row_count)]
        elif field.name == "occ_account":
            values = ["CFM"[row * 3 // row_count] for row in range(row_count)]
        else:
            values = [str(random.randint(0, 10**18)) for _ in range(row_count)]
        if field.nullable:
            values = [None if random.random() < 0.4 else value for value in values]
        columns[field.name] = label(values) if field.type == LABEL else pa.array(values, field.type)
    return pa.table(columns, schema)


def plain(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True))


def read_back(path: Path, schema: pa.Schema) -> pa.Table:
    table = pq.read_table(path, page_checksum_verification=True)
    table.validate(full=True)
    return table.select(schema.names).cast(schema)


def row_groups(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def footer_of(data: bytes) -> bytes:
    (size,) = struct.unpack("<I", data[-8:-4])
    return data[-8 - size : -8]


def fields_of(footer: bytes) -> dict[int, tuple[int, Any]]:
    return parquet_file._read_struct(TCompactProtocol(TMemoryBuffer(footer)))


def column_chunks(path: Path) -> list[tuple[int, int]]:
    """Where the pages of each column of each row group start and end."""
    metadata = pq.read_metadata(path)
    chunks = []
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        for number in range(group.num_columns):
            column = group.column(number)
            offsets = [column.data_page_offset]
            if column.dictionary_page_offset is not None:
                offsets.append(column.dictionary_page_offset)
            start, end = min(offsets), min(offsets) + column.total_compressed_size
            assert column.num_values == group.num_rows
            assert max(offsets) < end
            chunks.append((start, end))
    return chunks


def assert_one_sound_file(path: Path, table: pa.Table) -> None:
    """Asserts that what a file says of itself fits its rows and its bytes."""
    data = path.read_bytes()
    footer = footer_of(data)
    pages_end = len(data) - 8 - len(footer)
    metadata = pq.read_metadata(path)
    assert metadata.num_rows == table.num_rows == sum(row_groups(path))
    assert data[:4] == data[-4:] == MAGIC
    chunks = column_chunks(path)
    # The pages of all columns of all row groups stand one behind the other, and fill the file.
    assert [start for start, _ in chunks] == [len(MAGIC), *(end for _, end in chunks[:-1])]
    assert chunks[-1][1] == pages_end
    told = fields_of(footer)
    for place, group in enumerate(told[4][1][1]):
        assert group.get(7, (TType.I16, place))[1] == place  # Not every writer numbers them.
        assert group[5][1] == chunks[place * metadata.num_columns][0]


def assert_every_reader_finds(path: Path, table: pa.Table) -> None:
    expected = plain(table)
    assert plain(read_back(path, table.schema)) == expected
    names = ", ".join(table.column_names)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select {names} from read_parquet(?, file_row_number = true) "  # noqa: S608
            "order by file_row_number",
            [str(path)],
        ).fetchall()
    assert found == expected
    assert pl.read_parquet(path).select(table.column_names).rows() == expected


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("row_count", [2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 25, 33])
def test_every_reader_finds_the_rows_of_both_halves(path: Path, name: str, row_count: int) -> None:
    table = table_of(SCHEMAS[name], row_count)

    evidence.write_parquet(table, path)

    assert_one_sound_file(path, table)
    assert_every_reader_finds(path, table)


@pytest.mark.parametrize("row_count", [0, 1])
@pytest.mark.parametrize("name", SCHEMAS)
def test_few_rows_are_one_file_as_arrow_writes_it(path: Path, name: str, row_count: int) -> None:
    table = table_of(SCHEMAS[name], row_count)

    evidence.write_parquet(table, path)

    assert read_back(path, table.schema).equals(table)
    assert row_groups(path) == ([1] if row_count else row_groups(path))
    assert pq.read_metadata(path).num_rows == row_count


@pytest.mark.parametrize(
    ("row_count", "groups"),
    [
        (2, [1, 1]),
        (3, [2, 1]),
        (7, [4, 3]),
        (8, [4, 4]),
        (9, [3, 3, 3]),
        (15, [4, 4, 4, 3]),
        (16, [4, 4, 4, 4]),
        (17, [3, 3, 3, 3, 3, 2]),
        (24, [4] * 6),
        (25, [4] * 6 + [1]),
    ],
)
def test_row_groups_are_few_and_all_but_the_last_of_one_size(
    path: Path, row_count: int, groups: list[int]
) -> None:
    evidence.write_parquet(table_of(ALLOCATIONS, row_count), path)

    assert row_groups(path) == groups


@pytest.mark.parametrize(("row_count", "groups"), [(9, [9]), (10, [5, 5]), (11, [6, 5])])
def test_a_table_is_split_from_two_threads_worth_of_rows_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, row_count: int, groups: list[int]
) -> None:
    monkeypatch.setattr(parquet_file, "ROWS_WORTH_A_THREAD", 5)
    monkeypatch.setattr(parquet_file, "ROW_GROUP", 1 << 20)
    table = table_of(NOTICES, row_count)

    evidence.write_parquet(table, path)

    assert row_groups(path) == groups
    assert_one_sound_file(path, table)


def test_the_second_half_is_encoded_as_a_file_of_its_own_would_be(path: Path) -> None:
    table = table_of(ALLOCATIONS, 16)
    evidence.write_parquet(table, path)
    whole = path.read_bytes()
    halves = []
    for half in (table.slice(0, 8), table.slice(8)):
        sink = pa.BufferOutputStream()
        pq.write_table(
            half,
            sink,
            row_group_size=4,
            compression="zstd",
            compression_level=1,
            use_dictionary=["occ_account", "series"],
            write_statistics=["occ_account", "series"],
            column_encoding={
                field.name: "DELTA_BINARY_PACKED"
                for field in table.schema
                if pa.types.is_integer(field.type)
            },
            write_page_checksum=True,
        )
        data = sink.getvalue().to_pybytes()
        halves.append(data[4 : -8 - len(footer_of(data))])

    assert whole[: -8 - len(footer_of(whole))] == MAGIC + b"".join(halves)


def test_labels_keep_their_statistics_in_both_halves(path: Path) -> None:
    table = table_of(ALLOCATIONS, 17)
    evidence.write_parquet(table, path)
    metadata = pq.read_metadata(path)
    series = table.column("series").to_pylist()

    first = 0
    for number, size in enumerate(row_groups(path)):
        group = metadata.row_group(number)
        statistics = group.column(ALLOCATIONS.names.index("series")).statistics
        assert statistics.min == min(series[first : first + size])
        assert statistics.max == max(series[first : first + size])
        assert statistics.null_count == 0
        assert not group.column(ALLOCATIONS.names.index("account")).is_stats_set
        first += size


def test_a_pool_is_found_in_either_half(path: Path) -> None:
    table = table_of(ALLOCATIONS, 33)
    evidence.write_parquet(table, path)

    for one in table.column("series").unique().to_pylist():
        expected = table.filter(pc.equal(table.column("series").cast(pa.string()), one))
        found = pq.read_table(path, filters=pc.field("series") == one)
        assert plain(found.select(table.column_names)) == plain(expected)
        taken = evidence.TABLES["allocations.parquet"]
        path.rename(path.with_name("allocations.parquet"))
        read = evidence.read_table(path.parent, "allocations.parquet", pc.field("series") == one)
        path.with_name("allocations.parquet").rename(path)
        assert (read.schema, plain(read)) == (taken, plain(expected))


def test_every_byte_changed_before_the_footer_is_found_or_changes_no_row(path: Path) -> None:
    table = table_of(NOTICES, 5)
    evidence.write_parquet(table, path)
    data = path.read_bytes()
    second_half = fields_of(footer_of(data))[4][1][1][1][5][1]
    found = [0, 0]
    pages_end = len(data) - 8 - len(footer_of(data))
    for at in range(len(MAGIC), pages_end):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            read = read_back(path, NOTICES)
        except (pa.ArrowException, OSError):
            found[at >= second_half] += 1
        else:
            assert plain(read) == plain(table), at  # A byte of a page's header that says nothing.

    assert found[0] > (second_half - len(MAGIC)) / 2
    assert found[1] > (pages_end - second_half) / 2


def test_the_last_byte_of_any_column_changed_is_damage_to_the_evidence(tmp_path: Path) -> None:
    path = tmp_path / "allocations.parquet"
    evidence.write_parquet(table_of(ALLOCATIONS, 16), path)
    data = path.read_bytes()
    ends = [end for _, end in column_chunks(path)]
    assert len(ends) == 4 * len(ALLOCATIONS)
    for end in ends:
        # A reader may still hold the file before: it is replaced, not written over.
        changed = tmp_path / "changed"
        changed.write_bytes(data[: end - 1] + bytes([data[end - 1] ^ 0x01]) + data[end:])
        changed.replace(path)

        with pytest.raises(LedgerDamaged):
            evidence.read_table(tmp_path, path.name)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_bytes_follow_from_the_rows_alone(tmp_path: Path, name: str) -> None:
    table = table_of(SCHEMAS[name], 27)
    tables = [
        table,
        table,
        pa.concat_tables([table.slice(0, 5), table.slice(5, 1), table.slice(6)]),
        pa.concat_tables([table, table]).combine_chunks().slice(27),
    ]
    written = []
    for one in tables:
        evidence.write_parquet(one, tmp_path / "one.parquet")
        written.append(hashlib.sha256((tmp_path / "one.parquet").read_bytes()).hexdigest())

    assert len(set(written)) == 1


def test_a_file_takes_the_place_of_what_was_there(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)
    table = table_of(POOLS, 9)

    evidence.write_parquet(table, path)

    assert_one_sound_file(path, table)


def test_what_cannot_be_written_leaves_its_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        evidence.write_parquet(table_of(POOLS, 9), tmp_path / "missing" / "table.parquet")


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("row_count", [1, 9])
def test_a_footer_is_written_as_it_was_read(path: Path, name: str, row_count: int) -> None:
    pq.write_table(table_of(SCHEMAS[name], row_count), path, row_group_size=2)
    footer = footer_of(path.read_bytes())

    assert parquet_file._written(fields_of(footer)) == footer

    evidence.write_parquet(table_of(SCHEMAS[name], row_count), path)
    joined = footer_of(path.read_bytes())

    assert parquet_file._written(fields_of(joined)) == joined


def test_a_struct_of_every_type_is_written_as_it_was_read() -> None:
    fields = {
        1: (TType.BOOL, True),
        2: (TType.BOOL, False),
        3: (TType.BYTE, -7),
        4: (TType.I16, -(2**15)),
        5: (TType.I32, 2**31 - 1),
        6: (TType.I64, -(2**63)),
        7: (TType.DOUBLE, 0.4314),
        8: (TType.STRING, b"\xff\x00AAPL"),
        40: (TType.STRUCT, {1: (TType.STRUCT, {}), 2: (TType.I64, 2**63 - 1)}),
        41: (TType.LIST, (TType.BOOL, [True, False, True])),
        42: (TType.LIST, (TType.I64, list(range(20)))),
        43: (TType.LIST, (TType.STRUCT, [{3: (TType.STRING, b"")}, {}])),
        44: (TType.LIST, (TType.LIST, [(TType.I32, [1, -1]), (TType.I32, [])])),
        300: (TType.I64, 0),
    }

    written = parquet_file._written(fields)

    assert fields_of(written) == fields
    assert parquet_file._written(fields_of(written)) == written


def test_offsets_that_stand_for_none_are_not_moved() -> None:
    fields: dict[int, tuple[int, Any]] = {2: (TType.I64, 0), 4: (TType.I64, 10), 9: (TType.I64, 5)}

    parquet_file._move(fields, (2, 4, 6), 100)

    assert fields == {2: (TType.I64, 0), 4: (TType.I64, 110), 9: (TType.I64, 5)}


@pytest.mark.parametrize("ordinals", [True, False])
def test_row_groups_with_ordinals_are_numbered_through(*, ordinals: bool) -> None:
    def footer(rows: int) -> dict[int, tuple[int, Any]]:
        chunk = {2: (TType.I64, 4), 3: (TType.STRUCT, {9: (TType.I64, 4)})}
        group: dict[int, tuple[int, Any]] = {
            1: (TType.LIST, (TType.STRUCT, [chunk])),
            3: (TType.I64, rows),
        }
        if ordinals:
            group[7] = (TType.I16, 0)
        return {3: (TType.I64, rows), 4: (TType.LIST, (TType.STRUCT, [group]))}

    joined = parquet_file._joined(footer(2), footer(3), 54)

    assert joined[3] == (TType.I64, 5)
    first, second = joined[4][1][1]
    assert first == footer(2)[4][1][1][0]
    assert second.get(7) == ((TType.I16, 1) if ordinals else None)
    assert second[1][1][1] == [{2: (TType.I64, 54), 3: (TType.STRUCT, {9: (TType.I64, 54)})}]


@st.composite
def drawn_tables(draw: st.DrawFn) -> pa.Table:
    """Draw a table of the evidence; labels may have texts that no row has, and several chunks."""
    schema = SCHEMAS[draw(st.sampled_from(sorted(SCHEMAS)))]
    row_count = draw(st.integers(0, 40))
    texts = st.text(st.characters(codec="utf-8"), max_size=6)

    def values(kind: Any, *, nullable: bool) -> Sequence[Any]:
        one: st.SearchStrategy[Any] = (
            st.integers(-(2**63), 2**63 - 1) if pa.types.is_integer(kind) else texts
        )
        if nullable:
            one = st.none() | one
        return draw(st.lists(one, min_size=row_count, max_size=row_count))

    columns = []
    for field in schema:
        drawn = values(field.type, nullable=field.nullable)
        if field.type == LABEL:
            encoded = label([*draw(st.lists(texts, max_size=3)), *drawn])
            columns.append(encoded.slice(len(encoded) - row_count))
        else:
            columns.append(pa.array(drawn, field.type))
    return pa.table(columns, schema)


@given(
    table=drawn_tables(),
    rows_worth_a_thread=st.integers(1, 12),
    row_group=st.integers(1, 12),
)
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read_again(
    table: pa.Table, rows_worth_a_thread: int, row_group: int
) -> None:
    """Law: every reader finds the table, no row group is too large, the same bytes come again."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_file, "ROWS_WORTH_A_THREAD", rows_worth_a_thread)
        patch.setattr(parquet_file, "ROW_GROUP", row_group)
        path = Path(folder) / "table.parquet"

        evidence.write_parquet(table, path)

        data = path.read_bytes()
        evidence.write_parquet(table, path)
        assert path.read_bytes() == data
        assert_every_reader_finds(path, table)
        groups = row_groups(path)
        assert max(groups, default=0) <= row_group
        if table.num_rows >= 2 * rows_worth_a_thread:
            assert_one_sound_file(path, table)
            assert len(set(groups[:-1])) <= 1
            assert groups[-1] <= groups[0]
