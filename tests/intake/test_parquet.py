"""Parquet files: the same tables as CSV, every column type that can hold the values, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.day.tables import INT64_MAX, NOTICE_ROWS, POSITION_ROWS
from lottery.intake import files
from lottery.intake.columns import NOTICE_COLUMNS, to_notices
from lottery.intake.parquet import read_parquet
from tests.apart import run_apart
from tests.builders import (
    AAPL,
    FULL,
    META,
    SmallDay,
    notice,
    position,
    record_in,
    refusal,
    replay_of,
    request_of_files,
    write_files,
)
from tests.builders import table_of as typed_table
from tests.intake.conftest import Read, ReadAll, locations, read_all, rows, texts

POSITIONS: dict[str, list[Any]] = {
    "series": [AAPL, META],
    "account": ["0042", "42"],
    "short_quantity": [30, 5],
}
TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
]
INTEGER_TYPES = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
]


def positions(**columns: pa.Array) -> pa.Table:
    return pa.table({**POSITIONS, **columns})


def test_csv_and_parquet_give_the_same_tables(tmp_path: Path) -> None:
    read = {}
    for suffix in (".csv", ".parquet"):
        paths = write_files(FULL, tmp_path / suffix[1:], suffix)
        notices = files.read_notices(paths["notices"])
        positions = read_all(paths["positions"])
        read[suffix] = (rows(notices), rows(positions))
        assert not notices.problems + positions.problems

    assert read[".csv"] == read[".parquet"] == (FULL.notices, FULL.positions)


def test_a_parquet_without_occ_accounts_is_read(
    read_positions: ReadAll, read_notices: Read
) -> None:
    received, problems = read_positions(POSITIONS)
    notices, more = read_notices({"notice_id": ["A1"], "series": [AAPL], "quantity": [3]})

    assert not problems
    assert not more
    assert rows(received) == [
        {"series": AAPL, "account": "0042", "short_quantity": 30, "occ_account": ""},
        {"series": META, "account": "42", "short_quantity": 5, "occ_account": ""},
    ]
    assert rows(notices)[0]["quantity"] == 3


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_texts_may_be_of_any_text_type(read_positions: ReadAll, kind: pa.DataType) -> None:
    table = typed_table(FULL.positions, POSITION_ROWS)
    columns = {
        name: table.column(name).combine_chunks().dictionary_encode().cast(kind)
        if pa.types.is_dictionary(kind)
        else table.column(name).cast(kind)
        for name in ("series", "account", "occ_account")
    }

    received, problems = read_positions({**columns, "short_quantity": table["short_quantity"]})

    assert texts(problems) == ""
    assert rows(received) == FULL.positions


@pytest.mark.parametrize("kind", [*INTEGER_TYPES, *TEXT_TYPES], ids=str)
def test_quantities_may_be_of_any_integer_type_or_texts_of_digits(
    read_positions: ReadAll, kind: pa.DataType
) -> None:
    if pa.types.is_integer(kind):
        quantities = pa.array([30, 5], kind)
    else:
        quantities = pa.array(["30", "5"])
        if pa.types.is_dictionary(kind):
            quantities = quantities.dictionary_encode()
        quantities = quantities.cast(kind)

    received, problems = read_positions(positions(short_quantity=quantities))

    assert texts(problems) == ""
    assert [row["short_quantity"] for row in rows(received)] == [30, 5]


@pytest.mark.parametrize(
    "quantity", [pa.scalar(2**63, pa.uint64()), pa.scalar(2**64 - 1, pa.uint64())]
)
def test_an_unsigned_quantity_past_63_bits_is_refused(
    read_positions: ReadAll, quantity: pa.Scalar
) -> None:
    column = pa.array([7, quantity.as_py()], pa.uint64())

    _, problems = read_positions(positions(short_quantity=column))

    assert locations(problems) == [(2, "short_quantity")]
    assert f"got {quantity}" in texts(problems)


def test_the_largest_quantity_is_read(read_positions: ReadAll) -> None:
    for column in (pa.array([7, INT64_MAX], pa.uint64()), pa.array(["7", str(INT64_MAX)])):
        received, problems = read_positions(positions(short_quantity=column))

        assert not problems
        assert [row["short_quantity"] for row in rows(received)] == [7, INT64_MAX]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        pytest.param(
            {"short_quantity": pa.array([30.0, 5.0])},
            "short_quantity must be whole numbers or text of digits, got double",
            id="float quantity",
        ),
        pytest.param(
            {"short_quantity": pa.array([True, False])},
            "short_quantity must be whole numbers or text of digits, got bool",
            id="boolean quantity",
        ),
        pytest.param(
            {"short_quantity": pa.array([30, 5]).cast(pa.decimal128(19, 0))},
            "short_quantity must be whole numbers or text of digits, got decimal128(19, 0)",
            id="decimal quantity",
        ),
        pytest.param(
            {"account": pa.array([42, 1046])},
            "account must be text, which keeps leading zeros, got int64",
            id="integer account",
        ),
        pytest.param(
            {"account": pa.array([b"42", b"1046"])},
            "account must be text, which keeps leading zeros, got binary",
            id="binary account",
        ),
        pytest.param(
            {"series": pa.array([1, 2])}, "series must be text, got int64", id="integer series"
        ),
        pytest.param(
            {"occ_account": pa.array([1, 2])},
            "occ_account must be text, got int64",
            id="integer OCC account",
        ),
        pytest.param(
            {"series": pa.array([[AAPL], [META]])},
            "series must be text, got list",
            id="list of series",
        ),
    ],
)
def test_a_column_of_another_type_is_one_problem(
    read_positions: ReadAll, columns: dict[str, pa.Array], told: str
) -> None:
    _, problems = read_positions(positions(**columns))

    assert told in texts(problems)
    assert problems.total == 1


@pytest.mark.parametrize("column", ["series", "short_quantity"])
def test_a_null_is_refused_with_its_row(read_positions: ReadAll, column: str) -> None:
    kind = pa.int64() if column == "short_quantity" else pa.string()
    values = pa.array([POSITIONS[column][0], None], kind)

    _, problems = read_positions(positions(**{column: values}))

    assert locations(problems) == [(2, column)]
    assert ", got no" in texts(problems)


def test_a_null_account_is_refused_as_the_empty_text(tmp_path: Path) -> None:
    paths = write_files(FULL, tmp_path, ".parquet")
    columns = {"series": [META, AAPL], "account": ["x", None], "occ_account": ["F", "C"]}
    pq.write_table(pa.table({**columns, "short_quantity": [1, 1]}), paths["positions"])

    refused = refusal(request_of_files(paths))

    assert str(refused) == (
        "positions.parquet, row 2, account: "
        "expected an account number of 1 to 30 digits, got '' [R2]"
    )


def test_a_null_notice_id_is_refused_as_the_empty_text(read_notices: Read) -> None:
    columns = {"notice_id": pa.array(["A1", None]), "series": [AAPL, AAPL], "quantity": [1, 1]}

    _, problems = read_notices(columns)

    assert locations(problems) == [(2, "notice_id")]
    assert "notice_id: notice id must be 1 to 128 printable ASCII characters" in texts(problems)


def test_a_null_in_a_column_of_texts_of_digits_is_refused(read_positions: ReadAll) -> None:
    _, problems = read_positions(positions(short_quantity=pa.array(["30", None])))

    assert locations(problems) == [(2, "short_quantity")]


def test_a_null_occ_account_is_none_given(read_positions: ReadAll) -> None:
    received, problems = read_positions(positions(occ_account=pa.array(["C", None])))

    assert not problems
    assert [row["occ_account"] for row in rows(received)] == ["C", ""]


def test_a_day_of_parquet_files_without_occ_accounts_is_recorded_as_one_of_empty_ones(
    tmp_path: Path,
) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, 3), notice("A2", META, 4)],
        positions=[position(AAPL, "0042", 30), position(META, "42", 5)],
    )
    paths = write_files(day, tmp_path / "in", ".parquet")
    whole = refused_nothing(paths)
    for role in ("notices", "positions"):
        table = pq.read_table(paths[role])
        pq.write_table(table.drop_columns(["occ_account"]), paths[role], row_group_size=1)
    bare = refused_nothing(paths)

    record = record_in(tmp_path / "ledger", bare).record

    assert rows(bare.notices) == rows(whole.notices) == day.notices
    assert rows(bare.positions) == rows(whole.positions) == day.positions
    assert replay_of(tmp_path / "ledger", record.run).mismatches == ()


def refused_nothing(paths: dict[str, Path]) -> operations.RunRequest:
    request = request_of_files(paths)
    assert texts(request.problems) == ""
    return request


def test_columns_of_nulls_alone_are_refused(read_positions: ReadAll) -> None:
    _, problems = read_positions(positions(account=pa.nulls(2), short_quantity=pa.nulls(2)))

    assert {problem.column for problem in problems} == {"account", "short_quantity"}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"series": [AAPL], "account": ["1"]}, "column short_quantity is missing"),
        ({**POSITIONS, "qty": [1, 2]}, "got 'qty'"),
        (
            pa.table(
                [[AAPL], ["1"], ["1"], [3]], ["series", "account", "account", "short_quantity"]
            ),
            "column account must appear once, got it 2 times",
        ),
        ({**POSITIONS, "extra": [[1], [2]]}, "got 'extra'"),
    ],
    ids=["missing", "unknown", "doubled", "nested"],
)
def test_wrong_columns_are_named(read_positions: ReadAll, table: object, told: str) -> None:
    _, problems = read_positions(table)

    assert told in texts(problems)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"series,account,short_quantity\nAAPL240920C00220000,1046,30\n",
        b"\x1f\x8b\x08\x00",
        b"PAR1",
        b"PAR1PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
        b"PAR1" + bytes(8) + b"PAR1",
    ],
    ids=["empty", "CSV", "gzip", "magic alone", "twice", "huge footer", "empty footer"],
)
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "positions.parquet"
    path.write_bytes(content)

    received = read_all(path)

    assert received.problems.total == 1
    assert rows(received) == []


def test_notices_cut_short_anywhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    pq.write_table(typed_table(FULL.notices, NOTICE_ROWS), path)
    whole = path.read_bytes()

    for length in [*range(0, len(whole), 7), *range(len(whole) - 16, len(whole))]:
        path.write_bytes(whole[:length])
        assert files.read_notices(path).problems.total == 1, length


def number(value: int) -> bytes:
    """A count as Parquet's metadata has it: Thrift's variable-length integer."""
    value, parts = value * 2, []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


@pytest.mark.parametrize("rows", [44, 400_000_000, 110_974_924_411])
def test_a_row_group_that_tells_of_rows_that_it_does_not_have_is_refused(
    tmp_path: Path, rows: int
) -> None:
    """Memory is taken for them before anyone looks: 2 KB of a file took more than 3 GB."""
    path = tmp_path / "positions.parquet"
    count = 43
    accounts = [f"{each:05d}" for each in range(count)]
    table = {"series": [AAPL] * count, "account": accounts, "short_quantity": [1] * count}
    pq.write_table(pa.table(table), path, store_schema=False)
    whole = path.read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    metadata = whole[start:-8]
    told = [at for at in range(len(metadata)) if metadata[at : at + 1] == number(count)]
    refused = set()

    for at in told:
        changed = metadata[:at] + number(rows) + metadata[at + 1 :]
        end = len(changed).to_bytes(4, "little") + whole[-4:]
        path.write_bytes(whole[:start] + changed + end)
        refused |= set(texts(read_all(path).problems).splitlines()[:1])

    # The file's own count, its row group's, and one of each of the three columns.
    assert len(told) >= 5
    assert sum("its row groups do not have the rows it announces" in text for text in refused) == 1


@pytest.mark.parametrize("column", ["series", "account", "short_quantity", "occ_account"])
def test_an_index_that_its_dictionary_does_not_have_is_refused(tmp_path: Path, column: str) -> None:
    """A dictionary that the file's schema declares is not decoded, so that Arrow checks nothing."""
    path = tmp_path / "positions.parquet"
    table = pa.table({**POSITIONS, "short_quantity": ["30", "5"], "occ_account": ["C", "F"]})
    place = table.column_names.index(column)
    table = table.set_column(place, column, table.column(column).dictionary_encode())
    pq.write_table(table, path, compression=None)
    whole = path.read_bytes()
    chunk = pq.read_metadata(path).row_group(0).column(place)
    refused = 0

    end = chunk.dictionary_page_offset + chunk.total_compressed_size
    for at in range(chunk.data_page_offset, end):
        for byte in (0x24, 0xFF):
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            received = read_all(path)
            # A cast would follow an index out of the data.
            if not received.problems:
                received.table().cast(POSITION_ROWS).validate(full=True)
            refused += "damaged or cut short" in texts(received.problems)

    assert refused > 0


def test_a_column_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    pq.write_table(pa.table(POSITIONS), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"account", b"acc\xffunt"))

    assert read_all(path).problems.total >= 1


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_any_byte_changed_gives_notices_or_problems_and_no_crash(version: str) -> None:
    run_apart(_every_change_is_read_or_refused, version)


def _every_change_is_read_or_refused(version: str) -> None:
    sink = pa.BufferOutputStream()
    table = typed_table(FULL.notices, NOTICE_ROWS)
    pq.write_table(table, sink, compression=None, data_page_version=version)
    whole = sink.getvalue().to_pybytes()
    for at in range(len(whole)):
        for flip in (0x01, 0x41, 0x80, 0xFF):
            changed = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            raw = read_parquet(pa.py_buffer(changed), NOTICE_COLUMNS, "notices")
            assert raw.table is not None or raw.problems, at
            if raw.table is not None:
                to_notices(raw).table.validate(full=True)
