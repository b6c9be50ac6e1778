"""Positions of assigned pools alone: what reading the whole file gives, or exactly that reading."""

from __future__ import annotations

import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery import operations
from lottery.day import jit
from lottery.day.tables import POSITIONS
from lottery.errors import Problem, Problems, Refused
from lottery.intake import files, loops, position_filter
from lottery.intake.sources import Received, RowLocator
from lottery.intake.wire import volumes_of_asks
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from lottery.method.seed import ExchangeAsk
from tests.apart import run_apart
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    SPY,
    TESTER,
    ZVZZT,
    notice,
    notices_table,
    position,
    positions_of,
)
from tests.loops import interpreted_loops, loops_of, versions_of
from tests.reference import Row

Read: TypeAlias = Callable[[Path], Received]

OCC_ACCOUNTS = ("", "C", "F", "C/ZZZ", "M/ABC", "c")
TAIL = "240920C00220000"

NOTICES = [
    notice("N1", AAPL, 10),
    notice("N2", SPY, 3, "C"),
    notice("N3", SPY, 1, "F"),
    notice("N4", ZVZZT, 2, "C"),
]
SOUND = [
    *positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5}),
    *positions_of(SPY, {"00012": 2, "9" * 18: 1, "5": 4}, "C"),
    *positions_of(SPY, {"9": 3, "8": 3}),
    *positions_of(SPY, {"12": 3, "8": 0}, "F"),
    *positions_of(ZVZZT, {"8": 1}, "F"),
    *positions_of("KO    240920C00067500", {"1046": 7, "0": 0}, "C"),
]
ALONE = [row for row in SOUND if row["occ_account"] == ""]


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file of few rows worth the passes over the assigned pools."""
    monkeypatch.setattr(position_filter, "ROWS_WORTH_A_THREAD", 1)


def raw_table(rows: Iterable[Row], *, occ_accounts: bool = True) -> pa.Table:
    """Rows as nearly every file has them: texts and 64 bit numbers."""
    listed = list(rows)
    columns = {
        "series": pa.array([row["series"] for row in listed], pa.string()),
        "account": pa.array([row["account"] for row in listed], pa.string()),
        "short_quantity": pa.array([row["short_quantity"] for row in listed], pa.int64()),
    }
    if occ_accounts:
        columns["occ_account"] = pa.array([row["occ_account"] for row in listed], pa.string())
    return pa.table(columns)


def with_column(name: str, values: pa.Array) -> pa.Table:
    """The sound rows with another column in the place of one."""
    table = raw_table(SOUND)
    return table.set_column(table.schema.get_field_index(name), name, values)


def retyped(name: str, kind: pa.DataType) -> pa.Table:
    """The sound rows with one column of another type."""
    return with_column(name, raw_table(SOUND).column(name).cast(kind))


def received_notices(rows: Iterable[Row]) -> Received:
    """Return notices as the intake returns them."""
    locator = RowLocator(source="notices.csv")
    return Received(table=notices_table(rows), sources=(), locators=(locator,))


def read_of(notices: Iterable[Row]) -> Read:
    """A reading of the pools that these notices are of."""
    received = received_notices(notices)
    return lambda path: files.read_positions_of(received, path)


def is_of_assigned_pools(received: Received) -> bool:
    """Whether the rows of the other pools were left out."""
    return received.locators[0].row_numbers is not None


def assigned_alone(path: Path, notices: list[Row] = NOTICES) -> bool:
    """Asserts the law of a file; says whether the rows of assigned pools alone were given.

    Law: they are the whole file's without those of other pools, or it is the whole file.
    """
    some = read_of(notices)(path)
    whole = files.read_positions(path)
    assert some.problems == whole.problems
    assert some.sources == whole.sources
    assert some.starts == whole.starts
    (locator,) = some.locators
    assert locator.source == path.name
    some.table.validate(full=True)
    assert some.table.schema == whole.table.schema == POSITIONS
    rows = whole.table.to_pylist()
    numbers = list(range(1, len(rows) + 1))
    if is_of_assigned_pools(some):
        assert not some.problems
        pools = {(one["occ_account"], one["series"]) for one in notices}
        numbers = [
            n for n in numbers if (rows[n - 1]["occ_account"], rows[n - 1]["series"]) in pools
        ]
        rows = [rows[number - 1] for number in numbers]
    assert some.table.to_pylist() == rows
    assert [locator.row(index) for index in range(len(rows))] == numbers
    return is_of_assigned_pools(some)


def whole_reading_of(path: Path) -> bool:
    """Asserts that a file is read as `read_positions` reads it, whatever is wrong in it."""
    return not assigned_alone(path)


def day_of(
    read: Read, path: Path, notices: list[Row], order: AccountOrder = AccountOrder.NUMERIC
) -> tuple[operations.RunDraft | None, tuple[Problem, ...], int]:
    """The day computed of a positions file, or what it is refused with."""
    asks = [ExchangeAsk(security_number=key, ask_price=ask) for key, ask in ASKS.items()]
    request = operations.RunRequest(
        business_date=DATE,
        notices=received_notices(notices),
        positions=read(path),
        volumes=volumes_of_asks(asks),
        requested_by=TESTER,
        methodology=replace(JPMS_2024_09_06, account_order=order),
    )
    try:
        return operations.compute_day(request), (), 0
    except Refused as refused:
        return None, tuple(refused.problems), refused.total


def same_day_both_ways(
    path: Path, notices: list[Row] = NOTICES, order: AccountOrder = AccountOrder.NUMERIC
) -> tuple[operations.RunDraft | None, tuple[Problem, ...]]:
    """Asserts that a day is the same, or refused alike, whichever way its positions are read."""
    some = day_of(read_of(notices), path, notices, order)
    whole = day_of(files.read_positions, path, notices, order)
    assert some == whole
    return some[:2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "positions.parquet"


# Sound files.


@pytest.mark.parametrize("row_group_size", [1, 2, 5, 7, 100])
@pytest.mark.parametrize("occ_accounts", [True, False], ids=["OCC accounts", "none"])
def test_the_rows_of_assigned_pools_are_given_as_the_whole_file_has_them(
    path: Path, row_group_size: int, *, occ_accounts: bool
) -> None:
    table = raw_table(SOUND if occ_accounts else ALONE, occ_accounts=occ_accounts)
    pq.write_table(table, path, row_group_size=row_group_size)

    assert assigned_alone(path)
    same_day_both_ways(path)


def test_a_file_without_a_row_of_a_assigned_pool_gives_no_rows(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path, row_group_size=3)
    notices = [notice("N1", "ZZZ   240920C00220000", 1, "C"), notice("N2", AAPL, 1, "F")]

    assert assigned_alone(path, notices)
    day, _ = same_day_both_ways(path, notices)
    assert day is not None
    assert [broken.reason for broken in day.day.breaks] == ["NO_POSITION", "NO_POSITION"]


def test_a_file_of_assigned_pools_alone_is_given_whole(path: Path) -> None:
    rows = positions_of(AAPL, {"3": 1, "2": 5, "1": 0})
    pq.write_table(raw_table(rows), path, row_group_size=2)

    assert assigned_alone(path)
    assert read_of(NOTICES)(path).table.to_pylist() == rows


def test_both_forms_of_a_symbol_are_one_series_in_one_row_group(path: Path) -> None:
    rows = [
        position("AAPL240920C00220000", "1", 1),
        position(AAPL, "2", 2),
        position("KO240920C00067500", "1", 1),
        position("KO    240920C00067500", "2", 1),
        position("GOOGL1240920C00155000", "1", 4),
    ]
    pq.write_table(raw_table(rows), path)

    assert assigned_alone(path, [notice("N1", AAPL, 1), notice("N2", "GOOGL1240920C00155000", 1)])


@pytest.mark.parametrize("occ_accounts", [True, False], ids=["positions", "notices"])
def test_occ_accounts_on_one_side_are_warned_of_though_no_row_with_one_is_kept(
    path: Path, *, occ_accounts: bool
) -> None:
    rows = ALONE + (positions_of("KO    240920C00067500", {"5": 1}, "C") if occ_accounts else [])
    pq.write_table(raw_table(rows, occ_accounts=occ_accounts), path, row_group_size=2)
    notices = (
        [notice("N1", AAPL, 10)]
        if occ_accounts
        else [notice("N1", AAPL, 10), notice("N2", SPY, 1, "C")]
    )

    assert assigned_alone(path, notices)
    day, _ = same_day_both_ways(path, notices)
    assert day is not None
    assert "OCC_ACCOUNT_ON_ONE_SIDE" in [warning.code for warning in day.warnings]


def test_a_dictionary_of_symbols_that_grew_too_large_for_its_page_changes_nothing(
    path: Path,
) -> None:
    rows = [
        position(f"R{number % 10:<5}{TAIL}", str(number), 1, OCC_ACCOUNTS[number % 6])
        for number in range(60)
    ]
    notices = [
        notice(f"N{number}", str(row["series"]), 1, str(row["occ_account"]))
        for number, row in enumerate(rows[:21:7])
    ]
    sizes = []
    for limit in (64, 1 << 20):
        pq.write_table(raw_table(rows), path, dictionary_pagesize_limit=limit, write_batch_size=2)
        sizes.append(pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size)

        assert assigned_alone(path, notices)
    assert sizes[0] > 2 * sizes[1]  # The rows behind the page's end have their texts beside them.


def test_labels_in_any_number_of_chunks_are_one_array() -> None:
    def texts_of(*chunks: list[str]) -> list[str]:
        kind = pa.dictionary(pa.int32(), pa.string())
        arrays = [pa.array(chunk, pa.string()).dictionary_encode() for chunk in chunks]
        texts: list[str] = position_filter._labels(pa.chunked_array(arrays, kind)).to_pylist()
        return texts

    assert texts_of() == []
    assert texts_of(["b", "a", "b"]) == ["b", "a", "b"]
    assert texts_of(["b", "a"], [], ["a", "c", "b"]) == ["b", "a", "a", "c", "b"]


@pytest.mark.parametrize("count", [1, 2, 3, 300])
def test_many_assigned_series_are_told_apart(path: Path, count: int) -> None:
    series = [f"Z{number:<5}240920{kind}{number:08d}" for number in range(count) for kind in "CP"]
    rows = [position(one, str(number % 7), 1) for number, one in enumerate(series)]
    pq.write_table(raw_table(rows), path, row_group_size=170)

    assert assigned_alone(
        path, [notice(f"N{index}", one, 1) for index, one in enumerate(series[::2])]
    )


def test_a_row_group_without_rows_is_nothing(path: Path) -> None:
    table = raw_table(SOUND)
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table.slice(0, 0), table.slice(0, 4), table.slice(0, 0), table.slice(4)):
            writer.write_table(part)

    assert pq.read_metadata(path).num_row_groups == 4
    assert assigned_alone(path)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_how_pages_are_written_changes_nothing(path: Path, version: str, compression: str) -> None:
    for dictionaries, checksums in itertools.product((True, False), (True, False)):
        pq.write_table(
            raw_table(SOUND),
            path,
            row_group_size=4,
            data_page_version=version,
            compression=compression,
            use_dictionary=dictionaries,
            write_page_checksum=checksums,
        )

        assert assigned_alone(path)


def test_an_account_in_several_pools_is_not_doubled(path: Path) -> None:
    rows = [
        position(series, account, 1, occ_account)
        for occ_account in OCC_ACCOUNTS
        for series in (AAPL, SPY, ZVZZT, "KO    240920C00067500")
        for account in ("7", "8", "0")
    ]
    pq.write_table(raw_table(rows), path, row_group_size=5)

    assert assigned_alone(path)


def test_a_suffix_in_capitals_is_parquet_too(tmp_path: Path) -> None:
    path = tmp_path / "POSITIONS.PARQUET"
    pq.write_table(raw_table(SOUND), path)

    assert assigned_alone(path)


# Marks.


def test_accounts_that_share_a_mark_by_chance_are_not_doubled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position_filter, "_BITS_A_ROW", 0)  # One word: 300 accounts share 64 marks.
    rows = [
        position(series, str(number), 1, "C")
        for number in range(100)
        for series in (AAPL, SPY, ZVZZT)
    ]
    pq.write_table(raw_table(rows), path, row_group_size=64)

    assert assigned_alone(path, [notice("N1", SPY, 1, "F")])


@pytest.mark.parametrize("marks_a_row", [0, 1, 16])
@pytest.mark.parametrize("twin", ["33", "033"])
@pytest.mark.parametrize("at", [0, 150, 300])
def test_no_doubled_account_is_missed_where_marks_are_few(
    path: Path, monkeypatch: pytest.MonkeyPatch, marks_a_row: int, twin: str, at: int
) -> None:
    monkeypatch.setattr(position_filter, "_BITS_A_ROW", marks_a_row)
    rows = [
        position(series, str(number), 1) for number in range(100) for series in (AAPL, SPY, ZVZZT)
    ]
    rows.insert(at, position(ZVZZT, twin, 1))
    pq.write_table(raw_table(rows), path, row_group_size=64)

    assert whole_reading_of(path)
    _, problems = same_day_both_ways(path)
    assert [problem.rule for problem in problems] == ["P4" if twin == "33" else "R2"]


def test_equal_occ_accounts_have_equal_hashes_and_the_usual_ones_different_ones() -> None:
    usual = [f"{kind}{sub}" for kind in ("", "C", "F", "M") for sub in ("", "/ABC", "/ZZZ", "C")]

    assert len({position_filter.fingerprint_of(text) for text in usual}) == len(set(usual))
    assert position_filter.fingerprint_of("") == 0xCBF29CE484222325
    assert position_filter.fingerprint_of("a") == 0xAF63DC4C8601EC8C  # The published FNV-1a of it.


# Files with something wrong in them are read whole.

NO_SYMBOLS = [
    "",
    " ",
    "AAPL",
    TAIL,
    f" {TAIL}",
    f"      {TAIL}",
    f"  AAPL{TAIL}",
    f"AA PL {TAIL}",
    f"AAPL {TAIL}",
    f"AAPL   {TAIL}",
    f"AAPLXYZ{TAIL}",
    f"aapl  {TAIL}",
    f"AAPl  {TAIL}",
    f"AA-L  {TAIL}",
    f"A/    {TAIL}",
    f"AA:L{TAIL}",
    f"AA@L{TAIL}",
    f"AA[L{TAIL}",
    f"ÄPL   {TAIL}",
    f"AAPL\0 {TAIL}",
    f"AAPL\t {TAIL}",
    f"{AAPL} ",
    f"{AAPL}\n",
    *(
        f"AAPL  {date}C00220000"
        for date in (
            "240231",
            "230229",
            "241301",
            "240001",
            "240900",
            "240932",
            "240431",
            "240631",
            "240931",
            "241131",
            "24092 ",
            "24/920",
            "2:0920",
            "٢٤٠٩٢٠",
        )
    ),
    *(f"AAPL  240920{kind}00220000" for kind in ("c", "p", "B", "D", "X", " ", "0")),
    *(f"AAPL  240920C{strike}" for strike in ("0022000", "002200000", "0022000x", "-0220000")),
]
SYMBOLS = [
    *(
        f"AAPL  {date}C00220000"
        for date in ("240229", "000229", "990131", "240430", "241231", "960229", "240630")
    ),
    f"A     {TAIL}",
    f"A{TAIL}",
    f"123456{TAIL}",
    f"0{TAIL}",
    f"ZZZZZZ{TAIL}",
    "AAPL  240920P99999999",
    "AAPL  240920C00000000",
]


@pytest.mark.parametrize("symbol", NO_SYMBOLS, ids=repr)
def test_a_file_with_what_is_no_symbol_is_read_whole(path: Path, symbol: str) -> None:
    rows = [*SOUND, position(symbol, "77", 1)]
    for row_group_size in (len(rows), 4):
        pq.write_table(raw_table(rows), path, row_group_size=row_group_size)

        assert whole_reading_of(path)
    _, problems = same_day_both_ways(path)
    assert [(problem.row, problem.column) for problem in problems] == [(len(rows), "series")]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_is_read_with_and_without_a_notice(path: Path, symbol: str) -> None:
    pq.write_table(raw_table([*SOUND, position(symbol, "77", 1)]), path, row_group_size=4)
    padded = symbol if len(symbol) == 21 else symbol[:-15].ljust(6) + symbol[-15:]

    assert assigned_alone(path)
    assert assigned_alone(path, [*NOTICES, notice("N5", padded, 1)])


WRONG_ACCOUNTS = [
    "",
    " ",
    " 7",
    "7 ",
    "1 7",
    "x",
    "1046A",
    "a1046",
    "+7",
    "-7",
    "7.0",
    "/",
    ":",
    "1/",
    "1:",
    "\u0667",
    "\uff17",
    "1\0",
    "9" * 31,
    "9" * 300,
    "x" * 18,
]


@pytest.mark.parametrize("account", WRONG_ACCOUNTS, ids=repr)
@pytest.mark.parametrize("series", [AAPL, "KO    240920C00067500"], ids=["assigned", "other"])
def test_a_file_with_what_is_no_account_is_read_whole(
    path: Path, series: str, account: str
) -> None:
    pq.write_table(raw_table([*SOUND, position(series, account, 1)]), path, row_group_size=4)

    assert whole_reading_of(path)
    _, problems = same_day_both_ways(path)
    assert [(problem.row, problem.rule) for problem in problems] == [(len(SOUND) + 1, "R2")]


@pytest.mark.parametrize("account", ["1" + "0" * 18, "0" * 19, "9" * 30])
@pytest.mark.parametrize("series", [AAPL, "KO    240920C00067500"], ids=["assigned", "other"])
def test_a_file_with_an_account_of_more_than_18_digits_is_read_whole_and_is_not_wrong(
    path: Path, series: str, account: str
) -> None:
    pq.write_table(raw_table([*SOUND, position(series, account, 1, "M")]), path)

    assert whole_reading_of(path)
    assert same_day_both_ways(path)[1] == ()


@pytest.mark.parametrize("account", ["b2", "A1", "1046A", "-"])
@pytest.mark.parametrize("series", [AAPL, "KO    240920C00067500"], ids=["assigned", "other"])
def test_accounts_with_letters_are_read_whole_by_code_point(
    path: Path, series: str, account: str
) -> None:
    pq.write_table(raw_table([*SOUND, position(series, account, 1)]), path)

    assert whole_reading_of(path)
    _, problems = same_day_both_ways(path, order=AccountOrder.CODE_POINT)
    assert len(problems) == (account == "-")


@pytest.mark.parametrize(("first", "second"), [("7", "7"), ("007", "7"), ("7", "007"), ("0", "00")])
@pytest.mark.parametrize("pool", [(AAPL, ""), (SPY, "C"), (SPY, "M/ABC"), (ZVZZT, "F")])
@pytest.mark.parametrize("row_group_size", [100, 3])
def test_a_doubled_account_is_refused_alike_in_every_pool_and_across_row_groups(
    path: Path, pool: tuple[str, str], first: str, second: str, row_group_size: int
) -> None:
    series, occ_account = pool
    rows = [
        position(series, first, 1, occ_account),
        *SOUND,
        position(series, second, 0, occ_account),
    ]
    pq.write_table(raw_table(rows), path, row_group_size=row_group_size)
    has_notice = pool in [(one["series"], one["occ_account"]) for one in NOTICES]

    # In a assigned pool it is found when its rows are arranged; elsewhere the file is read whole.
    assert assigned_alone(path) == has_notice
    _, problems = same_day_both_ways(path)
    assert [(problem.row, problem.column, problem.rule) for problem in problems] == [
        (len(rows), "account", "P4" if first == second else "R2")
    ]
    assert "on row 1" in problems[0].message
    by_text = same_day_both_ways(path, order=AccountOrder.CODE_POINT)[1]
    assert len(by_text) == (first == second)


def test_a_doubled_account_in_both_forms_of_a_symbol_is_refused_alike(path: Path) -> None:
    for compact, notices in (("AAPL240920C00220000", NOTICES), ("KO240920C00067500", NOTICES)):
        padded = compact[:-15].ljust(6) + compact[-15:]
        rows = [*SOUND, position(compact, "7", 1, "M"), position(padded, "7", 1, "M")]
        pq.write_table(raw_table(rows), path, row_group_size=7)

        assert whole_reading_of(path)
        assert [problem.rule for problem in same_day_both_ways(path, notices)[1]] == ["P4"]


@pytest.mark.parametrize("quantity", [-1, -(2**63)])
@pytest.mark.parametrize("series", [AAPL, "KO    240920C00067500"], ids=["assigned", "other"])
def test_a_file_with_a_negative_quantity_is_read_whole(
    path: Path, series: str, quantity: int
) -> None:
    pq.write_table(raw_table([position(series, "77", quantity), *SOUND]), path, row_group_size=4)

    assert whole_reading_of(path)
    assert [problem.rule for problem in same_day_both_ways(path)[1]] == ["P2"]


def test_quantities_up_to_64_bits_are_read(path: Path) -> None:
    pq.write_table(raw_table([*SOUND, position(ZVZZT, "77", 2**63 - 1, "C")]), path)

    assert assigned_alone(path)
    assert same_day_both_ways(path)[1] == ()


def test_a_pool_short_more_than_64_bits_is_refused_alike(path: Path) -> None:
    rows = [position(AAPL, "77", 2**63 - 1), *SOUND]
    pq.write_table(raw_table(rows), path)

    assert assigned_alone(path)
    assert [problem.rule for problem in same_day_both_ways(path)[1]] == ["R3"]


@pytest.mark.parametrize("column", ["series", "account", "short_quantity", "occ_account"])
def test_a_file_with_a_null_is_read_whole(path: Path, column: str) -> None:
    table = raw_table(SOUND)
    values = table.column(column).to_pylist()
    values[-1] = None
    kind = table.schema.field(column).type
    pq.write_table(with_column(column, pa.array(values, kind)), path, row_group_size=4)

    assert whole_reading_of(path)
    assert len(same_day_both_ways(path)[1]) == (column != "occ_account")


@pytest.mark.parametrize("text", [" ", "C Z", "/C", "Ä", "C" * 33, "C\n", "C,F"], ids=repr)
def test_a_file_with_what_is_no_occ_account_is_read_whole(path: Path, text: str) -> None:
    pq.write_table(raw_table([*SOUND, position(AAPL, "77", 1, text)]), path, row_group_size=4)

    assert whole_reading_of(path)
    assert [one.column for one in same_day_both_ways(path)[1]] == ["occ_account"]


@pytest.mark.parametrize("column", ["series", "account", "occ_account"])
def test_a_file_with_bytes_that_are_no_utf_8_is_read_whole(path: Path, column: str) -> None:
    good = raw_table(SOUND).column(column).cast(pa.binary()).to_pylist()
    bad = pa.array([*good[:-1], good[-1] + b"\xff"], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(with_column(column, bad), path, row_group_size=4)

    some, whole = read_of(NOTICES)(path), files.read_positions(path)

    assert not is_of_assigned_pools(some)
    assert (some.problems, some.sources) == (whole.problems, whole.sources)
    assert [one.column for one in same_day_both_ways(path)[1]] == [column]


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(retyped("short_quantity", pa.int32()), id="int32 quantity"),
        pytest.param(retyped("short_quantity", pa.uint64()), id="uint64 quantity"),
        pytest.param(retyped("short_quantity", pa.string()), id="text quantity"),
        pytest.param(retyped("short_quantity", pa.float64()), id="float quantity"),
        pytest.param(retyped("series", pa.large_string()), id="large series"),
        pytest.param(retyped("account", pa.large_string()), id="large account"),
        pytest.param(retyped("account", pa.string_view()), id="account view"),
        pytest.param(retyped("occ_account", pa.large_string()), id="large OCC account"),
        pytest.param(
            retyped("series", pa.dictionary(pa.int32(), pa.string())), id="dictionary series"
        ),
        pytest.param(
            retyped("account", pa.dictionary(pa.int8(), pa.string())), id="dictionary account"
        ),
        pytest.param(
            retyped("occ_account", pa.dictionary(pa.int32(), pa.string())),
            id="dictionary OCC account",
        ),
        pytest.param(retyped("account", pa.binary()), id="binary account"),
        pytest.param(raw_table(SOUND).append_column("qty", pa.array(SOUND)), id="unknown column"),
        pytest.param(raw_table(SOUND).drop_columns(["account"]), id="no account"),
        pytest.param(raw_table(SOUND).drop_columns(["short_quantity"]), id="no quantity"),
        pytest.param(
            raw_table(SOUND).rename_columns(["Series", "account", "short_quantity", "occ_account"]),
            id="capital",
        ),
        pytest.param(
            raw_table(SOUND).append_column("account", pa.array(["1"] * len(SOUND))),
            id="account twice",
        ),
        pytest.param(
            raw_table(SOUND)
            .append_column("qty", pa.array([1] * len(SOUND)))
            .append_column("qty", pa.array([1] * len(SOUND))),
            id="unknown column twice",
        ),
        pytest.param(raw_table(SOUND).select([]), id="no columns"),
        pytest.param(raw_table([]), id="no rows"),
        pytest.param(raw_table([], occ_accounts=False), id="no rows and no OCC accounts"),
    ],
)
def test_a_file_of_another_shape_than_most_is_read_whole(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, row_group_size=5)

    assert whole_reading_of(path)
    same_day_both_ways(path)


def test_columns_may_stand_in_any_order(path: Path) -> None:
    for names in itertools.permutations(raw_table(SOUND).column_names):
        pq.write_table(raw_table(SOUND).select(names), path, row_group_size=6)

        assert assigned_alone(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"series,account,short_quantity\n",
        b"PAR1",
        b"PAR1PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
        b"PAR1" + bytes(8) + b"PAR1",
    ],
    ids=["empty", "CSV", "magic alone", "twice", "huge footer", "empty footer"],
)
def test_what_is_no_parquet_is_refused_alike(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert whole_reading_of(path)
    assert len(same_day_both_ways(path)[1]) == 1


def test_a_file_that_does_not_start_as_parquet_is_read_as_whole_files_are(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)
    path.write_bytes(b"PARX" + path.read_bytes()[4:])

    assert whole_reading_of(path)


def test_a_folder_a_missing_file_and_another_suffix_are_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "positions.xml").write_text("<positions/>", "utf-8")
    for name in ("folder.parquet", "missing.parquet", "positions.xml"):
        assert whole_reading_of(tmp_path / name)
        assert len(same_day_both_ways(tmp_path / name)[1]) == 1


def test_a_csv_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(f"series,account,short_quantity\n{AAPL},1046,30\n{SPY},1046,30\n", "utf-8")

    assert whole_reading_of(path)


def test_a_file_cut_short_anywhere_is_refused_alike(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path, row_group_size=6)
    whole = path.read_bytes()

    for length in [*range(0, len(whole), 37), *range(len(whole) - 10, len(whole))]:
        path.write_bytes(whole[:length])

        assert whole_reading_of(path), length


def test_a_page_that_does_not_match_its_checksum_is_refused_alike(path: Path) -> None:
    pq.write_table(
        raw_table(SOUND),
        path,
        compression=None,
        use_dictionary=False,
        write_page_checksum=True,
        write_statistics=False,
        row_group_size=5,
    )
    whole = path.read_bytes()
    for text, other in ((b"1047", b"1041"), (b"00067500", b"00067501"), (b"C/ZZZ", b"C/ZZY")):
        at = whole.find(text)
        if at >= 0:
            path.write_bytes(whole[:at] + other + whole[at + len(text) :])

            assert whole_reading_of(path)
            assert "damaged or cut short" in same_day_both_ways(path)[1][0].message


def zigzag(number: int) -> bytes:
    """An integer as Thrift's compact protocol writes one, which a Parquet footer is written in."""
    left, written = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left])


def change_footer(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Writes a file's footer again, changed; no checksum is over it."""
    data = path.read_bytes()
    end = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    footer = change(data[end:-8])
    assert footer
    path.write_bytes(data[:end] + footer + struct.pack("<I", len(footer)) + b"PAR1")


@pytest.mark.parametrize("row_count", [0, 1, 60_000, 2**45, 2**60, 2**63 - 1, -1])
@pytest.mark.parametrize("groups", [True, False], ids=["row groups", "none"])
def test_a_footer_that_tells_another_number_of_rows_is_read_or_refused_alike(
    path: Path, row_count: int, *, groups: bool
) -> None:
    def tell(footer: bytes) -> bytes:
        # FileMetaData: num_rows, then the list row_groups, then the list key_value_metadata.
        before, rows, after = footer.partition(b"\x16" + zigzag(len(SOUND)) + b"\x19")
        assert rows
        assert after.count(b"\x19\x1c\x18\x0cARROW:schema") == 1
        if not groups:
            after = b"\x0c" + after[after.index(b"\x19\x1c\x18\x0cARROW:schema") :]
        return before + b"\x16" + zigzag(row_count) + b"\x19" + after

    pq.write_table(raw_table(SOUND), path, row_group_size=5)
    change_footer(path, tell)

    assert pq.ParquetFile(path).metadata.num_rows == row_count
    assigned_alone(path)
    same_day_both_ways(path)


@pytest.mark.parametrize("row_count", [0, 1, 4, 6, 7_000, -1])
def test_a_row_group_that_tells_another_number_of_rows_is_read_or_refused_alike(
    path: Path, row_count: int
) -> None:
    def tell(footer: bytes) -> bytes:
        # RowGroup: num_rows, then file_offset, two field ids later.
        before, rows, after = footer.partition(b"\x16" + zigzag(5) + b"\x26")
        assert rows
        return before + b"\x16" + zigzag(row_count) + b"\x26" + after

    pq.write_table(raw_table(SOUND), path, row_group_size=5)
    change_footer(path, tell)

    assert pq.ParquetFile(path).metadata.row_group(0).num_rows == row_count
    assigned_alone(path)
    same_day_both_ways(path)


def test_any_byte_changed_is_read_or_refused_alike() -> None:
    run_apart(_every_change_is_read_alike)


def _every_change_is_read_alike() -> None:
    position_filter.ROWS_WORTH_A_THREAD = 1  # type: ignore[attr-defined]
    rows = [*SOUND[:2], *SOUND[3:5], *SOUND[-2:]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        pq.write_table(
            raw_table(rows), path, row_group_size=3, compression=None, store_schema=False
        )
        whole = path.read_bytes()
        path.unlink()
        for at in range(len(whole)):
            flip = (0x40, 0x01, 0xFF)[at % 3]
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            some, all_rows = (
                _told(read, path) for read in (read_of(NOTICES), files.read_positions)
            )
            assert some == all_rows, at
            path.unlink()


def _told(read: Read, path: Path) -> object:
    """What a reading of a damaged file comes to: its problems, or its rows of assigned pools."""
    received = read(path)
    if received.problems:
        return received.problems
    pools = {(one["occ_account"], one["series"]) for one in NOTICES}
    binary = received.table.set_column(
        1, "account", received.table.column("account").cast(pa.binary())
    )
    (locator,) = received.locators
    return [
        (locator.row(index), row)
        for index, row in enumerate(binary.to_pylist())
        if (row["occ_account"], row["series"]) in pools
    ]


# When a file is read whole though nothing is wrong in it.


def test_a_file_of_few_rows_is_read_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(raw_table(SOUND), path)
    monkeypatch.setattr(position_filter, "ROWS_WORTH_A_THREAD", len(SOUND) + 1)
    assert whole_reading_of(path)

    monkeypatch.setattr(position_filter, "ROWS_WORTH_A_THREAD", len(SOUND))
    assert assigned_alone(path)


def test_if_the_notices_have_problems_the_file_is_read_whole(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)
    problems = Problems.of(Problem(source="notices.csv", message="no such file"))

    received = files.read_positions_of(replace(received_notices(NOTICES), problems=problems), path)

    assert not is_of_assigned_pools(received)
    assert received.table.to_pylist() == SOUND
    assert not received.problems


def test_without_notices_the_file_is_read_whole(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)

    assert not assigned_alone(path, [])


def test_problems_name_the_source_that_was_asked_for(path: Path) -> None:
    for rows in (SOUND, [*SOUND, position(AAPL, "x", 1)], []):
        pq.write_table(raw_table(rows), path)

        received = files.read_positions_of(
            received_notices(NOTICES), path, source="backend/positions"
        )

        assert received.locators[0].source == "backend/positions"
        assert [problem.source for problem in received.problems] == (
            ["backend/positions"] * (not rows)
        )


def test_a_file_changed_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(raw_table(SOUND), path)
    identity = files._identity
    calls = itertools.count()

    def touched(one: Path) -> tuple[int, int, int]:
        inode, size, changed = identity(one)
        return inode, size, changed + next(calls)  # Somebody writes all the time.

    monkeypatch.setattr(files, "_identity", touched)

    received = read_of(NOTICES)(path)

    assert [str(one) for one in received.problems] == [
        "positions.parquet: the file changed while it was read; run again"
    ]
    assert not is_of_assigned_pools(received)


def test_a_file_replaced_while_it_is_read_is_read_again_as_it_is_now(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(raw_table(SOUND), path)
    read = position_filter.read_assigned_positions
    now = [*SOUND, position(AAPL, "77", 1)]

    def read_and_replaced(*given: Any, **named: Any) -> position_filter.AssignedPositions | None:
        found = read(*given, **named)
        assert found is not None
        pq.write_table(raw_table(now), path.with_name("new.parquet"))
        path.with_name("new.parquet").replace(path)
        return found

    monkeypatch.setattr(files, "read_assigned_positions", read_and_replaced)

    received = read_of(NOTICES)(path)

    assert not received.problems
    assert received.table.to_pylist() == now
    assert received.sources == files.read_positions(path).sources


# The compiled loops.


@pytest.fixture
def in_plain_python() -> Iterator[None]:
    """Makes the passes run as the plain Python that they are written in."""
    with interpreted_loops():
        yield


def test_the_passes_are_compiled_and_wait_for_no_lock_of_python() -> None:
    passes = loops_of(loops)
    assert passes.keys() == {
        "fill_buckets",
        "flag_repeats",
        "has_valid_quotes",
        "keep_assigned",
        "list_repeats",
        "read_symbols",
    }
    for loop in passes.values():
        assert loop.compiled().targetoptions["nogil"] is True  # type: ignore[attr-defined]


def test_warmed_up_no_file_has_a_pass_compiled_again() -> None:
    run_apart(_no_pass_is_compiled_again)  # Where no other test's arrays have been seen.


def _no_pass_is_compiled_again() -> None:
    position_filter.ROWS_WORTH_A_THREAD = 1  # type: ignore[attr-defined]
    jit.warm_up()
    warm = versions_of(loops)
    assert set(warm.values()) == {1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        for rows, occ_accounts in ((SOUND, True), (ALONE, False), (SOUND[:1], True)):
            pq.write_table(raw_table(rows, occ_accounts=occ_accounts), path, row_group_size=5)
            assert assigned_alone(path)
    assert versions_of(loops) == warm


@pytest.mark.usefixtures("in_plain_python")
@pytest.mark.parametrize("row_group_size", [3, 100])
def test_the_passes_say_the_same_as_plain_python(path: Path, row_group_size: int) -> None:
    # Plain Python also checks every index, which machine code does not.
    rows = [*SOUND, *(position(symbol, str(n), 1, "M") for n, symbol in enumerate(SYMBOLS))]
    pq.write_table(raw_table(rows), path, row_group_size=row_group_size)

    assert assigned_alone(path)
    assert assigned_alone(
        path,
        [
            *NOTICES,
            *(
                notice(f"M{index}", one, 1, "M")
                for index, one in enumerate(SYMBOLS)
                if len(one) == 21
            ),
        ],
    )


@pytest.mark.usefixtures("in_plain_python")
def test_plain_python_reads_whole_what_has_something_wrong(path: Path) -> None:
    wrong = [
        *(position(symbol, "77", 1) for symbol in NO_SYMBOLS),
        *(position(AAPL, account, 1) for account in [*WRONG_ACCOUNTS, "9" * 19]),
        position(AAPL, "77", -1),
        position(SPY, "9", 1),
        position(SPY, "009", 1),
    ]
    for row in wrong:
        pq.write_table(raw_table([*SOUND, row]), path, row_group_size=8)

        assert whole_reading_of(path), row


@pytest.mark.usefixtures("in_plain_python")
def test_series_of_one_hash_are_told_apart_by_their_characters(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "fingerprint_of_symbol", lambda *_: np.uint64(1))
    series = [
        AAPL,
        "AAPL1 240920C00220000",
        "AAP   240920C00220000",
        "AAPL  240920P00220000",
        "AAPL  240920C00220001",
        "AAPL  240921C00220000",
    ]
    # Of one hash, an account in two series without notices would be taken for a doubled one.
    rows = [position(one, str(number), 1) for number, one in enumerate([*series, *series])]
    pq.write_table(raw_table(rows), path, row_group_size=5)

    for count in range(1, len(series) + 1):
        assert assigned_alone(
            path, [notice(f"N{index}", one, 1) for index, one in enumerate(series[:count])]
        )
    same_account = [position(one, "7", 1) for one in series]
    pq.write_table(raw_table(same_account), path)
    assert whole_reading_of(path)
    assert same_day_both_ways(path)[1] == ()


def test_texts_too_long_for_one_array_stay_in_chunks() -> None:
    long = pa.array(["7" * (1 << 20)])
    parts = [long] * (1 << 11)  # One array of 1 MiB, 2,048 times: 2 GiB without taking them.

    assert position_filter._one_array([long, long]).num_chunks == 1
    assert position_filter._one_array(parts).num_chunks == len(parts)


# Random days.


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFile:
    """A random positions file and the notices of its day."""

    notices: list[Row]
    rows: list[Row]
    occ_accounts: bool
    writing: Mapping[str, Any]
    order: AccountOrder

    def write(self, path: Path) -> None:
        table = raw_table(self.rows, occ_accounts=self.occ_accounts)
        pq.write_table(table, path, write_batch_size=2, **self.writing)


@st.composite
def drawn_files(draw: st.DrawFn, *, doubled: bool) -> DrawnFile:
    """Draw a small day; without doubled accounts everything in it is sound."""
    roots = draw(st.lists(st.text("AZ09", min_size=1, max_size=6), min_size=1, max_size=5))
    series = [f"{root:<6}{TAIL[:12]}{number:03d}" for number, root in enumerate(roots)]
    with_occ_accounts = draw(st.booleans())
    occ_accounts = st.sampled_from(OCC_ACCOUNTS if with_occ_accounts else ("",))
    rows = draw(
        st.lists(
            st.tuples(
                occ_accounts,
                st.sampled_from(series),
                st.integers(0, 3) if doubled else st.integers(0, 10**9),
                st.sampled_from([0, 0, 1, 3]),
                st.booleans(),
                st.sampled_from([0, 1, 5, 2**40]),
            ),
            min_size=1,
            max_size=30,
            unique_by=None if doubled else (lambda row: row[:3]),
        )
    )
    pools = draw(st.lists(st.tuples(occ_accounts, st.sampled_from(series)), min_size=1, max_size=4))
    if draw(st.booleans()):
        pools.append(("F", draw(st.sampled_from([*series, AAPL]))))
    return DrawnFile(
        notices=[
            notice(f"N{quantity}", one, quantity, occ)
            for quantity, (occ, one) in enumerate(pools, 1)
        ],
        rows=[
            position(
                one.replace(" ", "") if compact else one, "0" * zeros + str(number), short, occ
            )
            for occ, one, number, zeros, compact, short in rows
        ],
        occ_accounts=with_occ_accounts,
        writing={
            "row_group_size": draw(st.integers(1, 7) | st.just(30)),
            "dictionary_pagesize_limit": draw(st.sampled_from([1, 30, 1 << 20])),
            "data_page_size": draw(st.sampled_from([1, 1 << 20])),
            "compression": draw(st.sampled_from(["none", "snappy"])),
            "use_dictionary": draw(st.booleans()),
        },
        order=draw(st.sampled_from(AccountOrder)),
    )


@given(drawn=drawn_files(doubled=False))
@settings(max_examples=150, deadline=None)
def test_a_sound_file_gives_the_rows_of_assigned_pools_and_the_same_day(drawn: DrawnFile) -> None:
    """Law: nothing but the rows of other pools is left out, and the day is the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        drawn.write(path)

        assert assigned_alone(path, drawn.notices)
        assert same_day_both_ways(path, drawn.notices, drawn.order)[1] == ()


@given(drawn=drawn_files(doubled=True), marks_a_row=st.sampled_from([0, 1, 16]))
@settings(max_examples=150, deadline=None)
def test_every_doubled_account_is_refused_alike(drawn: DrawnFile, marks_a_row: int) -> None:
    """Law P4, R2: none is missed, and each has the row and the words of the whole reading."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_filter, "_BITS_A_ROW", marks_a_row)
        path = Path(folder) / "positions.parquet"
        drawn.write(path)

        alone = assigned_alone(path, drawn.notices)
        _, problems = same_day_both_ways(path, drawn.notices, drawn.order)
        pools = {(one["occ_account"], one["series"]) for one in drawn.notices}
        others = [row for row in keys_of(drawn.rows) if row[:2] not in pools]
        assert alone == (len(set(others)) == len(others))
        if drawn.order is AccountOrder.NUMERIC:
            assert len(problems) == len(drawn.rows) - len(set(keys_of(drawn.rows)))


def keys_of(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    """OCC account, padded series and account number of each row."""
    return [
        (
            str(row["occ_account"]),
            str(row["series"])[:-15].ljust(6) + str(row["series"])[-15:],
            int(str(row["account"])),
        )
        for row in rows
    ]


@given(
    text=st.one_of(
        st.text("A0 a/:", max_size=8).map(lambda root: root + TAIL),
        st.integers(0, 999_999).map(lambda date: f"AAPL  {date:06d}C00220000"),
        st.text("A09 CPc2", max_size=23),
        st.tuples(st.integers(0, 20), st.characters(max_codepoint=0x17F)).map(
            lambda change: AAPL[: change[0]] + change[1] + AAPL[change[0] + 1 :]
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_what_is_a_symbol_is_the_same_for_both_readings(text: str) -> None:
    """Law: a file is read whole exactly where one of its texts is no OSI symbol."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        pq.write_table(raw_table([position(AAPL, "1", 1), position(text, "2", 1)]), path)

        assert assigned_alone(path) != bool(files.read_positions(path).problems)
