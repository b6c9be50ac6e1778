"""Positions of assigned pools: compiled passes and checked columns give the same, and the right."""

from __future__ import annotations

import hashlib
import itertools
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery import operations
from lottery.day import jit
from lottery.day.assigned_pools import assigned_pools
from lottery.day.identifiers import pad_series, padded_series
from lottery.day.keys import text_buffers, words_of
from lottery.day.tables import LABEL, POSITIONS
from lottery.errors import PROBLEM_LIMIT, Problem, Refused
from lottery.intake import files, loops, position_block, positions
from lottery.intake.columns import valid_utf8
from lottery.intake.positions import PositionBlocks, ReceivedPositions, read_positions
from lottery.intake.sources import Reading, Received, RowLocator
from lottery.intake.wire import volumes_of_asks
from lottery.method.methodology import AccountOrder
from tests.apart import run_apart
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    SPY,
    TESTER,
    ZVZZT,
    csv_text,
    exchange_asks,
    notice,
    notices_table,
    position,
    positions_of,
)
from tests.intake.conftest import locations, read_all, rows
from tests.loops import interpreted_loops, loops_of, versions_of
from tests.reference import Row

NUMERIC: Final = AccountOrder.NUMERIC
KO: Final = "KO    240920C00067500"
TAIL: Final = "240920C00220000"
OCC_ACCOUNTS: Final = ("", "C", "F", "C/ZZZ", "M/ABC", "c")
NOTICES: Final = [
    notice("N1", AAPL, 10),
    notice("N2", SPY, 3, "C"),
    notice("N3", SPY, 1, "F"),
    notice("N4", ZVZZT, 2, "C"),
]
SOUND: Final = [
    *positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5}),
    *positions_of(SPY, {"00012": 2, "9" * 16: 1, "5": 4}, "C"),
    *positions_of(SPY, {"9": 3, "8": 3}),
    *positions_of(SPY, {"12": 3, "8": 0}, "F"),
    *positions_of(ZVZZT, {"8": 1}, "F"),
    *positions_of(KO, {"1046": 7, "0": 0}, "C"),
]
ALONE: Final = [row for row in SOUND if row["occ_account"] == ""]
DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


def raw_table(rows: Iterable[Row], *, occ_accounts: bool = True) -> pa.Table:
    """Return rows as nearly every file has them: texts and 64 bit numbers."""
    listed = list(rows)
    names = ["series", "account", *(["occ_account"] if occ_accounts else [])]
    columns = {name: pa.array([row[name] for row in listed], pa.string()) for name in names}
    columns["short_quantity"] = pa.array([row["short_quantity"] for row in listed], pa.int64())
    return pa.table(columns)


def with_column(name: str, values: pa.Array) -> pa.Table:
    """Return the sound rows with another column in place of one."""
    table = raw_table(SOUND)
    return table.set_column(table.schema.get_field_index(name), name, values)


def retyped(name: str, kind: pa.DataType) -> pa.Table:
    """Return the sound rows with one column of another type."""
    return with_column(name, raw_table(SOUND).column(name).cast(kind))


@contextmanager
def worth_passes(row_count: int) -> Iterator[list[bool]]:
    """Have blocks of so many rows read by passes; yield whether these read each that they tried."""
    found: list[bool] = []
    read_by_passes = position_block._read_by_passes

    def recorded(*given: Any, **options: Any) -> Any:
        kept = read_by_passes(*given, **options)
        found.append(kept is not None)
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_block, "ROWS_WORTH_PASSES", row_count)
        patch.setattr(position_block, "_read_by_passes", recorded)
        yield found


def described(received: ReceivedPositions) -> dict[str, object]:
    """Return what a reading came to, its rows with their numbers; bytes may be no text."""
    table = received.table()
    assert table.schema == POSITIONS
    table.validate(full=True)
    numbers = [
        (locator.source, locator.row(row))
        for locator, row in map(received.locate, range(len(table)))
    ]
    return {
        "rows": list(zip(numbers, rows(received), strict=True)),
        "problems": received.problems,
        "sources": received.sources,
        "row_count": received.row_count,
        "total_short": received.total_short,
        "has_occ_accounts": received.has_occ_accounts,
    }


def both_ways(read: Callable[[], ReceivedPositions]) -> tuple[ReceivedPositions, bool]:
    """Return what was read, and whether the passes read all of it; assert the law of a reader.

    Law: the passes and the checked columns give the same rows, problems and figures.
    """
    with worth_passes(1) as by_passes:
        received = read()
    with worth_passes(1 << 40) as never:
        assert described(read()) == described(received)
    assert not never
    return received, bool(by_passes) and all(by_passes)


def read_file(
    path: Path, notices: Sequence[Row] = NOTICES, order: AccountOrder = NUMERIC
) -> tuple[ReceivedPositions, bool]:
    """Return the positions of a file's assigned pools, read both ways."""
    assigned = assigned_pools(notices_table(notices))
    return both_ways(lambda: files.read_positions(path, assigned, order))


def numbered(rows: Iterable[Row], notices: Iterable[Row] = NOTICES) -> list[tuple[int, Row]]:
    """Return the rows of the assigned pools with their numbers: what a sound file gives."""
    pools = {(one["occ_account"], one["series"]) for one in notices}
    padded = (
        (number, {**row, "series": padded_series(str(row["series"]))})
        for number, row in enumerate(rows, start=1)
    )
    return [(number, row) for number, row in padded if (row["occ_account"], row["series"]) in pools]


def found_rows(received: ReceivedPositions) -> list[tuple[int, Row]]:
    """Return the rows that were read with their numbers."""
    located = map(received.locate, range(len(received.positions)))
    numbers = [locator.row(row) for locator, row in located]
    return list(zip(numbers, rows(received), strict=True))


def assert_sound(
    path: Path, rows: Sequence[Row], notices: Sequence[Row] = NOTICES, *, by_passes: bool = True
) -> None:
    """Assert that a file of these rows gives those of the assigned pools, and how it is read."""
    received, passed = read_file(path, notices)
    assert received.problems.total == 0
    assert found_rows(received) == numbered(rows, notices)
    assert received.row_count == len(rows)
    assert passed is by_passes


def problems_of(path: Path, order: AccountOrder = NUMERIC) -> list[Problem]:
    """Return the problems of a file, in which the passes see that something is wrong."""
    received, passed = read_file(path, order=order)
    assert not passed
    assert received.problems.unlisted == 0
    return list(received.problems)


def day_of(
    path: Path, notices: Sequence[Row] = NOTICES, order: AccountOrder = NUMERIC
) -> tuple[operations.RunDraft | None, list[Problem]]:
    """Return the day of a positions file, or what it is refused with."""
    received = Received(
        table=notices_table(notices), sources=(), locators=(RowLocator(source="notices.csv"),)
    )
    request = operations.RunRequest(
        business_date=DATE,
        notices=received,
        positions=read_file(path, notices, order)[0],
        volumes=volumes_of_asks(exchange_asks(ASKS)),
        requested_by=TESTER,
    )
    try:
        return operations.compute_day(request), []
    except Refused as refused:
        return None, list(refused.problems)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "positions.parquet"


# Sound files.


@pytest.mark.parametrize("row_group_size", [1, 2, 5, 7, 100])
@pytest.mark.parametrize("occ_accounts", [True, False], ids=["OCC accounts", "none"])
def test_rows_of_assigned_pools_are_given_with_their_numbers(
    path: Path, row_group_size: int, *, occ_accounts: bool
) -> None:
    held = SOUND if occ_accounts else ALONE
    table = raw_table(held, occ_accounts=occ_accounts)
    pq.write_table(table, path, row_group_size=row_group_size)

    assert_sound(path, held)
    assert rows(read_all(path)) == held
    assert day_of(path)[1] == []


def test_columns_may_come_in_any_order(path: Path) -> None:
    for names in itertools.permutations(raw_table(SOUND).column_names):
        pq.write_table(raw_table(SOUND).select(names), path, row_group_size=6)

        assert_sound(path, SOUND)


def test_a_file_without_a_row_of_an_assigned_pool_gives_no_rows(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path, row_group_size=3)
    notices = [notice("N1", "ZZZ   240920C00220000", 1, "C"), notice("N2", AAPL, 1, "F")]

    assert_sound(path, SOUND, notices)
    assert_sound(path, SOUND, [])
    day, _ = day_of(path, notices)
    assert day is not None
    assert [broken.reason for broken in day.day.breaks] == ["NO_POSITION", "NO_POSITION"]


def test_both_forms_of_a_symbol_are_one_series(path: Path) -> None:
    held = [
        *positions_of("AAPL240920C00220000", {"1": 1}),
        *positions_of(AAPL, {"2": 2}),
        *positions_of("KO240920C00067500", {"1": 1}),
        *positions_of("GOOGL1240920C00155000", {"1": 4}),
    ]
    notices = [notice("N1", AAPL, 1), notice("N2", "GOOGL1240920C00155000", 1)]
    pq.write_table(raw_table(held), path)

    assert_sound(path, held, notices)


@pytest.mark.parametrize("count", [1, 2, 3, 300])
def test_many_assigned_series_are_told_apart(path: Path, count: int) -> None:
    series = [f"Z{number:<5}240920{kind}{number:08d}" for number in range(count) for kind in "CP"]
    held = [position(one, str(number % 7), 1) for number, one in enumerate(series)]
    pq.write_table(raw_table(held), path, row_group_size=170)

    notices = [notice(f"N{index}", one, 1) for index, one in enumerate(series[::2])]
    assert_sound(path, held, notices)


def test_a_refused_series_of_a_notice_is_never_taken_for_another(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)
    wrong = [f"{AAPL}X", f"{AAPL}0", "AAPL", "", "Ä" * 21, f" {AAPL}"]

    received, passed = read_file(path, [notice("N1", one, 1) for one in wrong])

    assert passed
    assert len(received.positions) == 0


@pytest.mark.parametrize("occ_accounts", [True, False], ids=["positions", "notices"])
def test_occ_accounts_on_one_side_are_warned_of_though_no_row_with_one_is_kept(
    path: Path, *, occ_accounts: bool
) -> None:
    held = ALONE + (positions_of(KO, {"5": 1}, "C") if occ_accounts else [])
    pq.write_table(raw_table(held, occ_accounts=occ_accounts), path, row_group_size=2)
    notices = [notice("N1", AAPL, 10), *([] if occ_accounts else [notice("N2", SPY, 1, "C")])]

    day, _ = day_of(path, notices)

    assert day is not None
    assert "OCC_ACCOUNT_ON_ONE_SIDE" in [warning.code for warning in day.warnings]


def test_a_dictionary_of_symbols_that_grew_too_large_for_its_page_changes_nothing(
    path: Path,
) -> None:
    held = [
        position(f"R{number % 10:<5}{TAIL}", str(number), 1, OCC_ACCOUNTS[number % 6])
        for number in range(60)
    ]
    notices = [
        notice(f"N{number}", str(row["series"]), 1, str(row["occ_account"]))
        for number, row in enumerate(held[:21:7])
    ]
    sizes = []
    for limit in (64, 1 << 20):
        pq.write_table(raw_table(held), path, dictionary_pagesize_limit=limit, write_batch_size=2)
        sizes.append(pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size)

        assert_sound(path, held, notices)
    assert sizes[0] > 2 * sizes[1]  # Later rows have their texts beside them.


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

        assert_sound(path, SOUND)


def test_a_row_group_without_rows_is_nothing(path: Path) -> None:
    table = raw_table(SOUND)
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table.slice(0, 0), table.slice(0, 4), table.slice(0, 0), table.slice(4)):
            writer.write_table(part)

    assert pq.read_metadata(path).num_row_groups == 4
    assert_sound(path, SOUND)


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".PARQUET"])
def test_other_formats_and_capitals_give_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"positions{suffix}"
    if suffix == ".PARQUET":
        pq.write_table(raw_table(SOUND), path)
    else:
        path.write_text(csv_text(SOUND), "utf-8")

    assert_sound(path, SOUND, by_passes=suffix == ".PARQUET")
    assert rows(read_all(path)) == SOUND


UNUSUAL = {
    "uint64 quantity": retyped("short_quantity", pa.uint64()),
    "text quantity": retyped("short_quantity", pa.string()),
    "dictionary account": retyped("account", pa.dictionary(pa.int8(), pa.string())),
}
USUAL = {
    "int32 quantity": retyped("short_quantity", pa.int32()),
    "series dictionary": retyped("series", DICTIONARY),
    "OCC account dictionary": retyped("occ_account", DICTIONARY),
    "small series dictionary": retyped("series", pa.dictionary(pa.uint8(), pa.large_string())),
    "large series": retyped("series", pa.large_string()),
    "series view": retyped("series", pa.string_view()),
    "large account": retyped("account", pa.large_string()),
    "account view": retyped("account", pa.string_view()),
    "large OCC account": retyped("occ_account", pa.large_string()),
    "OCC account view": retyped("occ_account", pa.string_view()),
}


@pytest.mark.parametrize("table", [*UNUSUAL.values(), *USUAL.values()], ids=[*UNUSUAL, *USUAL])
def test_columns_of_other_types_give_the_same_rows(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, row_group_size=5)

    is_usual = any(table is usual for usual in USUAL.values())
    assert_sound(path, SOUND, by_passes=is_usual)


def test_a_file_of_few_rows_is_read_by_columns(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)
    assigned = assigned_pools(notices_table(NOTICES))

    for row_count, expected in ((len(SOUND) + 1, []), (len(SOUND), [True])):
        with worth_passes(row_count) as by_passes:
            files.read_positions(path, assigned, NUMERIC)
        assert by_passes == expected


# What is wrong: named with its row where it takes part, and nobody's business where it does not.

NO_SYMBOLS = [
    *("", " ", "AAPL", TAIL, f" {TAIL}", f"      {TAIL}", f"  AAPL{TAIL}", f"AA PL {TAIL}"),
    *(f"AAPL {TAIL}", f"AAPL   {TAIL}", f"AAPLXYZ{TAIL}", f"aapl  {TAIL}", f"AAPl  {TAIL}"),
    *(f"AA-L  {TAIL}", f"A/    {TAIL}", f"AA:L{TAIL}", f"AA@L{TAIL}", f"AA[L{TAIL}"),
    *(f"ÄPL   {TAIL}", f"AAPL\0 {TAIL}", f"AAPL\t {TAIL}", f"{AAPL} ", f"{AAPL}\n"),
    *(
        f"AAPL  {date}C00220000"
        for date in (
            *("240231", "230229", "241301", "240001", "240900", "240932", "240431", "240631"),
            *("240931", "241131", "24092 ", "24/920", "2:0920", "٢٤٠٩٢٠"),
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
    *(f"{root}{TAIL}" for root in ("A     ", "A", "123456", "0", "ZZZZZZ")),
    *("AAPL  240920P99999999", "AAPL  240920C00000000"),
]


@pytest.mark.parametrize("symbol", NO_SYMBOLS, ids=repr)
def test_what_is_no_symbol_is_refused_with_its_row(path: Path, symbol: str) -> None:
    held = [*SOUND, position(symbol, "not looked at", -1)]
    for row_group_size in (len(held), 4):
        pq.write_table(raw_table(held), path, row_group_size=row_group_size)

        (problem,) = problems_of(path)
        assert (problem.row, problem.column) == (len(held), "series")
        assert problem.message.startswith("expected an OSI symbol")


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_is_read_with_and_without_a_notice(path: Path, symbol: str) -> None:
    held = [*SOUND, position(symbol, "77", 1)]
    pq.write_table(raw_table(held), path, row_group_size=4)

    assert_sound(path, held)
    assert_sound(path, held, [*NOTICES, notice("N5", padded_series(symbol), 1)])


WRONG_ACCOUNTS = [
    *("", " ", " 7", "7 ", "1 7", "x", "1046A", "a1046", "+7", "-7", "7.0", "/", ":", "1/", "1:"),
    *("\u0667", "\uff17", "1\0", "9" * 31, "9" * 300, "x" * 18, "1234567/", "12345678:"),
]


@pytest.mark.parametrize("account", WRONG_ACCOUNTS, ids=repr)
def test_what_is_no_account_is_refused_in_assigned_pools_alone(path: Path, account: str) -> None:
    held = [position(KO, account, 1), *SOUND]
    pq.write_table(raw_table(held), path, row_group_size=4)
    assert_sound(path, held)

    pq.write_table(raw_table([*held, position(AAPL, account, 1)]), path, row_group_size=4)
    (problem,) = problems_of(path)
    assert (problem.row, problem.column, problem.rule) == (len(held) + 1, "account", "R2")


@pytest.mark.parametrize("quantity", [-1, -(2**63)])
def test_a_negative_quantity_is_refused_in_assigned_pools_alone(path: Path, quantity: int) -> None:
    held = [position(KO, "77", quantity), *SOUND]
    pq.write_table(raw_table(held), path, row_group_size=4)
    assert_sound(path, held)

    pq.write_table(raw_table([position(AAPL, "77", quantity), *held]), path, row_group_size=4)
    (problem,) = problems_of(path)
    assert (problem.row, problem.column, problem.rule) == (1, "short_quantity", "P2")


@pytest.mark.parametrize("account", ["1" * 17, "1" + "0" * 18, "0" * 19, "9" * 30, "0" * 16])
@pytest.mark.parametrize("series", [AAPL, KO], ids=["assigned", "other"])
def test_long_accounts_are_given_as_they_are(path: Path, series: str, account: str) -> None:
    held = [*SOUND, position(series, account, 1)]
    pq.write_table(raw_table(held), path, row_group_size=4)

    assert_sound(path, held)
    assert day_of(path)[1] == []


@pytest.mark.parametrize("account", ["b2", "A1", "1046A", "-", "ä"])
def test_accounts_with_letters_are_read_by_code_point(path: Path, account: str) -> None:
    held = [*SOUND, position(AAPL, account, 1)]
    pq.write_table(raw_table(held), path)

    received, passed = read_file(path, order=AccountOrder.CODE_POINT)

    assert passed == (account.isascii() and account.isalnum())
    assert locations(received.problems) == ([] if passed else [(len(held), "account")])
    assert found_rows(received) == numbered(held if passed else SOUND)


@pytest.mark.parametrize(("first", "second"), [("7", "7"), ("007", "7"), ("7", "007"), ("0", "00")])
@pytest.mark.parametrize("pool", [(AAPL, ""), (SPY, "C"), (SPY, "M/ABC"), (ZVZZT, "F")])
@pytest.mark.parametrize("row_group_size", [100, 3])
def test_a_doubled_account_is_refused_in_assigned_pools_alone(
    path: Path, pool: tuple[str, str], first: str, second: str, row_group_size: int
) -> None:
    series, occ_account = pool
    held = [
        position(series, first, 1, occ_account),
        *SOUND,
        position(series.replace(" ", ""), second, 0, occ_account),
    ]
    pq.write_table(raw_table(held), path, row_group_size=row_group_size)
    assert_sound(path, held)
    has_notice = pool in [(one["series"], one["occ_account"]) for one in NOTICES]

    _, problems = day_of(path)
    assert [(problem.row, problem.column, problem.rule) for problem in problems] == [
        (len(held), "account", "P4" if first == second else "R2")
    ] * has_notice
    assert all("on row 1" in problem.message for problem in problems)
    by_text = day_of(path, order=AccountOrder.CODE_POINT)[1]
    assert len(by_text) == (has_notice and first == second)


def test_quantities_up_to_64_bits_are_read_and_a_pool_of_more_is_refused(path: Path) -> None:
    held = [*SOUND, position(ZVZZT, "77", 2**63 - 1, "C")]
    pq.write_table(raw_table(held), path)
    assert_sound(path, held)
    assert day_of(path)[1] == []

    pq.write_table(raw_table([*held, position(ZVZZT, "78", 1, "C")]), path)
    assert [problem.rule for problem in day_of(path)[1]] == ["R3"]


@pytest.mark.parametrize("column", ["series", "account", "short_quantity", "occ_account"])
@pytest.mark.parametrize("kind", ["plain", "dictionary", "inside"])
def test_a_null_is_refused_unless_it_is_of_an_occ_account(column: str, kind: str) -> None:
    table = raw_table(ALONE)
    values = table.column(column).to_pylist()
    nulls = pa.array([*values[:1], None, *values[2:]], table.schema.field(column).type)
    if kind == "dictionary" and column != "short_quantity":
        nulls = nulls.dictionary_encode()
    if kind == "inside" and column != "short_quantity":
        # A null that has a sound text below it, as only a message may have.
        mask = pa.array([False, True, *([False] * (len(values) - 2))])
        texts = pa.array(values, pa.string())
        bits = pa.array(np.packbits(~np.asarray(mask), bitorder="little")).buffers()[1]
        texts = pa.StringArray.from_buffers(len(values), *texts.buffers()[1:], bits)
        nulls = pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int32()), texts)
    at = table.schema.get_field_index(column)
    blocks = PositionBlocks.of(
        [Reading(locator=RowLocator(source="x"), table=table.set_column(at, column, nulls))]
    )

    received, passed = read_blocks(blocks)

    assert not passed
    assert locations(received.problems) == ([] if column == "occ_account" else [(2, column)])


def read_blocks(
    blocks: PositionBlocks, notices: Sequence[Row] = NOTICES, order: AccountOrder = NUMERIC
) -> tuple[ReceivedPositions, bool]:
    """Return the assigned pools' rows of blocks, read both ways."""
    assigned = assigned_pools(notices_table(notices))
    locator = RowLocator(source="x")
    return both_ways(lambda: positions.read_positions(blocks, assigned, order, locator=locator))


@pytest.mark.parametrize("text", [" ", "C Z", "/C", "Ä", "C" * 33, "C\n", "C,F"], ids=repr)
@pytest.mark.parametrize("series", [AAPL, KO], ids=["assigned", "other"])
def test_what_is_no_occ_account_is_refused_with_its_row(path: Path, series: str, text: str) -> None:
    held = [*SOUND, position(series, "77", 1, text)]
    pq.write_table(raw_table(held), path, row_group_size=4)

    (problem,) = problems_of(path)
    assert (problem.row, problem.column) == (len(held), "occ_account")


@pytest.mark.parametrize("column", ["series", "account", "occ_account"])
@pytest.mark.parametrize("is_dictionary", [True, False])
def test_bytes_that_are_no_utf_8_are_refused_with_their_row(
    path: Path, column: str, *, is_dictionary: bool
) -> None:
    good = raw_table(SOUND[:5]).column(column).cast(pa.binary()).to_pylist()
    bad = pa.array([*good[:-1], good[-1] + b"\xff"], pa.binary()).cast(pa.string(), safe=False)
    table = raw_table(SOUND[:5])
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, bad), path, use_dictionary=is_dictionary)

    (problem,) = problems_of(path)
    assert (problem.row, problem.column) == (5, column)


OTHER_SHAPES = {
    "float quantity": (retyped("short_quantity", pa.float64()), ["short_quantity"]),
    "binary account": (retyped("account", pa.binary()), ["account"]),
    "unknown column": (raw_table(SOUND).append_column("qty", pa.array(SOUND)), ["qty"]),
    "no account": (raw_table(SOUND).drop_columns(["account"]), ["account"]),
    "capital": (
        raw_table(SOUND).rename_columns(["Series", "account", "occ_account", "short_quantity"]),
        ["Series", "series"],
    ),
    "account twice": (
        raw_table(SOUND).append_column("account", pa.array(["1"] * len(SOUND))),
        ["account"],
    ),
    "no columns": (raw_table(SOUND).select([]), ["series", "account", "short_quantity"]),
    "no rows": (raw_table([]), [None]),
    "no rows and no OCC accounts": (raw_table([], occ_accounts=False), [None]),
}


@pytest.mark.parametrize(("table", "columns"), OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_another_shape_is_refused_once_however_many_row_groups(
    path: Path, table: pa.Table, columns: list[str | None]
) -> None:
    pq.write_table(table, path, row_group_size=5)

    assert [problem.column for problem in problems_of(path)] == columns


def test_an_unknown_column_is_listed_with_the_problems_of_rows(path: Path) -> None:
    table = raw_table([*SOUND, position("AAPL", "1", 1), position(AAPL, "x", -1)])
    table = table.append_column("qty", pa.array([1] * len(table)))
    pq.write_table(table, path, row_group_size=4)

    assert [(problem.row, problem.column) for problem in problems_of(path)] == [
        (None, "qty"),
        (len(table) - 1, "series"),
        (len(table), "short_quantity"),
        (len(table), "account"),
    ]


def test_problems_past_the_limit_are_counted_and_those_of_a_type_once(path: Path) -> None:
    wrong = 2 * PROBLEM_LIMIT
    held = [position("x", "1", 1) for _ in range(wrong)]
    table = raw_table(held)
    at = table.schema.get_field_index("account")
    table = table.set_column(at, "account", pa.array(range(wrong)))
    pq.write_table(table, path, row_group_size=10)

    received, _ = read_file(path)

    assert received.problems.total == wrong + 1
    assert len(received.problems.listed) == PROBLEM_LIMIT


def test_rows_past_a_block_of_a_file_with_malformed_lines_have_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "BLOCK_ROWS", 2)
    path = tmp_path / "positions.csv"
    lines = [f"{AAPL},{number},1" for number in range(6)] + [f"{AAPL},x,1"]
    path.write_text("\n".join(["series,account,short_quantity", "malformed", *lines]), "utf-8")

    received, _ = read_file(path)

    assert [(problem.row, problem.line) for problem in received.problems] == [(1, 2), (8, 9)]
    assert [number for number, _ in found_rows(received)] == [2, 3, 4, 5, 6, 7]


def test_texts_too_long_for_one_array_are_refused_one_by_one() -> None:
    long = pa.chunked_array([pa.array(["7" * (1 << 20)])] * 2_100)  # 2 GiB, of one MiB.
    table = raw_table([position(AAPL, "7", 1)] * 2_100)
    table = table.set_column(table.schema.get_field_index("account"), "account", long)
    reading = Reading(locator=RowLocator(source="x"), table=table)
    lookup = position_block.PoolLookup.of(assigned_pools(notices_table(NOTICES)), NUMERIC)

    with worth_passes(1) as by_passes:
        kept = position_block.read_block(reading, lookup)

    assert (kept.problems.total, by_passes) == (2_100, [])


# Damaged and changed files.


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path, row_group_size=6)
    whole = path.read_bytes()

    for length in [*range(0, len(whole), 37), *range(len(whole) - 10, len(whole))]:
        path.write_bytes(whole[:length])

        assert len(problems_of(path)) == 1, length


def test_a_damaged_row_group_is_refused_and_the_rows_of_others_are_still_checked(
    path: Path,
) -> None:
    pq.write_table(
        raw_table([*SOUND, position("AAPL", "1", 1)]),
        path,
        compression=None,
        use_dictionary=False,
        write_page_checksum=True,
        write_statistics=False,
        row_group_size=5,
    )
    whole = path.read_bytes()
    for text, other in ((b"1047", b"1041"), (b"00012", b"00013")):
        at = whole.index(text)
        path.write_bytes(whole[:at] + other + whole[at + len(text) :])

        damaged, wrong = problems_of(path)
        assert "damaged or cut short" in damaged.message
        assert (wrong.row, wrong.column) == (len(SOUND) + 1, "series")


def zigzag(number: int) -> bytes:
    """Return a number as Thrift's compact protocol, and so a Parquet footer, has it."""
    left, written = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left])


def change_footer(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Write a file's footer again, changed; no checksum is over it."""
    data = path.read_bytes()
    end = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    footer = change(data[end:-8])
    path.write_bytes(data[:end] + footer + struct.pack("<I", len(footer)) + b"PAR1")


@pytest.mark.parametrize("row_count", [0, 1, 60_000, 2**45, 2**60, 2**63 - 1, -1])
@pytest.mark.parametrize("groups", [True, False], ids=["row groups", "none"])
def test_a_footer_that_announces_another_number_of_rows_is_refused(
    path: Path, row_count: int, *, groups: bool
) -> None:
    def change(footer: bytes) -> bytes:
        # FileMetaData: num_rows, then the list row_groups, then the list key_value_metadata.
        before, found, after = footer.partition(b"\x16" + zigzag(len(SOUND)) + b"\x19")
        assert found
        assert after.count(b"\x19\x1c\x18\x0cARROW:schema") == 1
        if not groups:
            after = b"\x0c" + after[after.index(b"\x19\x1c\x18\x0cARROW:schema") :]
        return before + b"\x16" + zigzag(row_count) + b"\x19" + after

    pq.write_table(raw_table(SOUND), path, row_group_size=5)
    change_footer(path, change)

    assert pq.ParquetFile(path).metadata.num_rows == row_count
    assert len(problems_of(path)) == 1


@pytest.mark.parametrize("row_counts", [(0, 10), (4, 6), (6, 4), (7_000, -6_990), (-1, 11)])
def test_row_groups_that_announce_other_numbers_of_rows_are_refused(
    path: Path, row_counts: tuple[int, int]
) -> None:
    def change(footer: bytes) -> bytes:
        # RowGroup: num_rows, then file_offset, two field ids later.
        before, between, after = footer.split(b"\x16" + zigzag(5) + b"\x26")
        first, second = (b"\x16" + zigzag(count) + b"\x26" for count in row_counts)
        return before + first + between + second + after

    pq.write_table(raw_table(SOUND[:10]), path, row_group_size=5)
    change_footer(path, change)

    metadata = pq.ParquetFile(path).metadata
    assert tuple(metadata.row_group(group).num_rows for group in (0, 1)) == row_counts
    received, _ = read_file(path)
    assert received.problems
    assert all("damaged" in problem.message for problem in received.problems)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_any_byte_changed_is_read_or_refused_alike(version: str, step: int) -> None:
    run_apart(_every_change_is_read_alike, version, step)


def _every_change_is_read_alike(version: str, step: int) -> None:
    held = [*SOUND[:2], *SOUND[3:5], *SOUND[-2:]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        pq.write_table(
            raw_table(held),
            path,
            row_group_size=3,
            compression=None,
            store_schema=False,
            data_page_version=version,
        )
        whole = path.read_bytes()
        for at in range(0, len(whole), step):
            path.unlink()
            flip = (0x40, 0x01, 0xFF, 0x80)[at % 4]
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            received, _ = read_file(path)
            assert len(received.positions) or received.problems, at


def test_problems_name_the_source_that_was_asked_for(path: Path) -> None:
    for held in ([], [position("x", "x", 1)]):
        pq.write_table(raw_table(held), path)

        received = files.read_positions(path, None, NUMERIC, source="backend/positions")

        assert [problem.source for problem in received.problems][:1] == ["backend/positions"]
        assert received.locator.source == "backend/positions"


@pytest.mark.parametrize("happens", ["written", "replaced", "gone"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: str, suffix: str
) -> None:
    path = tmp_path / f"positions{suffix}"
    if suffix == ".csv":
        path.write_text(csv_text(SOUND), "utf-8")
    else:
        pq.write_table(raw_table(SOUND), path)
    content, read = path.read_bytes(), vars(files)["read_positions_of"]

    def read_and_change(*given: Any, **named: Any) -> ReceivedPositions:
        received: ReceivedPositions = read(*given, **named)
        if happens == "written":
            path.write_bytes(content)
        else:
            path.rename(path.with_name("old"))
            if happens == "replaced":
                path.write_bytes(content)
        return received

    monkeypatch.setattr(files, "read_positions_of", read_and_change)

    received = read_all(path)

    assert [str(one) for one in received.problems] == [
        f"positions{suffix}: the file changed while it was read; run again"
    ]


def test_the_digest_is_of_the_bytes_that_were_read(path: Path) -> None:
    pq.write_table(raw_table(SOUND), path)

    (source,) = read_all(path).sources

    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source.size, source.content) == (path.stat().st_size, None)


# The compiled loops.


def find_series(texts: Sequence[bytes], assigned: Sequence[str] = ()) -> tuple[int, list[int]]:
    """Return how many texts are no symbols, and the assigned series that each text is, or -1."""
    lookup = position_block.PoolLookup.of(
        assigned_pools(notices_table([notice(one, one, 1) for one in assigned])), NUMERIC
    )
    # Not at the start of their buffer, and with nothing after them.
    array = pa.array([b"%", *texts], pa.binary()).cast(pa.string(), safe=False)[1:]
    offsets, data = text_buffers(array)
    found = np.empty(len(array), np.int32)
    wrong = loops.find_series(
        offsets,
        data,
        words_of(data),
        lookup.symbols,
        lookup.hashes,
        lookup.codes,
        found,
    )
    index_of = {one: index for index, one in enumerate(assigned)}
    indices = [*map(index_of.__getitem__, lookup.series.to_pylist()), -1]
    return wrong, [indices[code] for code in found.tolist()]


def assert_judged_alike(texts: Sequence[bytes]) -> None:
    """Assert that the passes take those texts for symbols that `pad_series` does, and pad alike."""
    decoded = valid_utf8(pa.array(texts, pa.binary()).cast(pa.string(), safe=False))
    padded, wrong = pad_series(decoded)
    symbols = [text for text, is_wrong in zip(texts, wrong, strict=True) if not is_wrong]
    others = [text for text, is_wrong in zip(texts, wrong, strict=True) if is_wrong]
    assert find_series(others)[0] == len(others)
    normal = padded.filter(pa.array(~wrong)).to_pylist()
    indices = {one: index for index, one in enumerate(dict.fromkeys(normal))}
    assert find_series(symbols, [*indices]) == (0, [indices[one] for one in normal])


ADVERSARIAL = st.one_of(
    st.binary(max_size=24),
    st.text("A0 a/:", max_size=8).map(lambda root: (root + TAIL).encode()),
    st.text("A09 CPc2", max_size=23).map(str.encode),
    st.tuples(
        st.sampled_from([AAPL, KO, f"A{TAIL}"]), st.integers(0, 20), st.binary(max_size=2)
    ).map(lambda one: one[0].encode()[: one[1]] + one[2] + one[0].encode()[one[1] + 1 :]),
    st.sampled_from([*SYMBOLS, *NO_SYMBOLS]).map(str.encode),
)


@given(texts=st.lists(ADVERSARIAL, max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_symbol_for_the_passes_or_not_as_for_the_columns(texts: list[bytes]) -> None:
    """Law: the same texts are symbols, and each is found as its padded form."""
    assert_judged_alike(texts)


@pytest.mark.parametrize("symbol", [AAPL, f"123456{TAIL}", f"AAPL1{TAIL}", f"A{TAIL}"])
def test_every_byte_in_every_character_of_a_symbol_is_judged(symbol: str) -> None:
    text = symbol.encode()

    assert_judged_alike(
        [
            text[:at] + bytes([byte]) + text[at + 1 :]
            for at in range(len(text))
            for byte in range(256)
        ]
    )


def test_every_date_is_judged() -> None:
    leap_days = (year * 10_000 + 200 + day for year in range(100) for day in (28, 29, 30))
    dates = [*range(50_000), *range(990_000, 1_000_000), *leap_days]

    assert_judged_alike([f"AAPL  {date:06d}C00220000".encode() for date in dates])


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1_025])
def test_a_wrong_symbol_in_any_row_of_a_block_is_found(size: int) -> None:
    for at in range(size):
        texts = [AAPL.encode()] * size
        texts[at] = b"AAPL  240920C0022000x"

        wrong, found = find_series(texts, [AAPL])

        assert wrong == 1
        assert [row for row, code in enumerate(found) if code] == [at]


@pytest.fixture
def in_plain_python() -> Iterator[None]:
    """Interpret the loops, which checks every index as well."""
    with interpreted_loops():
        yield


@pytest.mark.usefixtures("in_plain_python")
def test_the_passes_say_the_same_as_plain_python(path: Path) -> None:
    symbols = [notice(f"M{n}", padded_series(one), 1, "M") for n, one in enumerate(SYMBOLS)]
    held = [*SOUND, *(position(one, str(n), 1, "M") for n, one in enumerate(SYMBOLS))]
    for row_group_size in (3, 100):
        pq.write_table(raw_table(held), path, row_group_size=row_group_size)
        assert_sound(path, held)
        assert_sound(path, held, [*NOTICES, *symbols])
    wrong = [
        *(position(symbol, "77", 1) for symbol in NO_SYMBOLS),
        *(position(AAPL, account, 1) for account in WRONG_ACCOUNTS),
        position(AAPL, "77", -1),
    ]
    for row in wrong:
        pq.write_table(raw_table([*SOUND, row]), path, row_group_size=8)
        assert len(problems_of(path)) == 1, row


@pytest.mark.usefixtures("in_plain_python")
def test_series_of_one_hash_are_told_apart_by_their_characters(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "hash_symbol", lambda *_: np.uint64(1))
    series = [
        AAPL,
        *("AAPL1 240920C00220000", "AAP   240920C00220000", "AAPL  240920P00220000"),
        *("AAPL  240920C00220001", "AAPL  240921C00220000"),
    ]
    held = [position(one, str(number), 1) for number, one in enumerate([*series, *series])]
    pq.write_table(raw_table(held), path, row_group_size=5)

    for count in range(1, len(series) + 1):
        assert_sound(
            path, held, [notice(f"N{index}", one, 1) for index, one in enumerate(series[:count])]
        )


def test_the_passes_are_compiled_and_wait_for_no_lock_of_python() -> None:
    passes = loops_of(loops)
    assert passes.keys() == {
        "fill_buckets",
        "find_series",
        "has_valid_quotes",
        "keep_assigned",
        "longest_text",
        "read_digits",
        "read_kept",
    }
    for loop in passes.values():
        assert loop.compiled().targetoptions["nogil"] is True  # type: ignore[attr-defined]


def test_warmed_up_no_file_has_a_pass_compiled_again() -> None:
    run_apart(_no_pass_is_compiled_again)  # Where no other test's arrays have been seen.


def _no_pass_is_compiled_again() -> None:
    jit.warm_up()
    warm = versions_of(loops)
    assert set(warm.values()) == {1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        for held, occ_accounts in ((SOUND, True), (ALONE, False), (SOUND[:1], True)):
            pq.write_table(raw_table(held, occ_accounts=occ_accounts), path, row_group_size=5)
            assert_sound(path, held)
    assert versions_of(loops) == warm


# Random blocks.


@st.composite
def drawn_rows(draw: st.DrawFn) -> list[Row]:
    """Draw rows, some of them with wrong values."""
    is_wrong = draw(st.booleans())
    series = st.sampled_from([AAPL, SPY, ZVZZT, KO, AAPL.replace(" ", "")])
    accounts = st.integers(0, 10**18).map(str) | st.sampled_from(["0", "007", "1" * 30, "9" * 17])
    shorts = st.sampled_from([0, 1, 5, 2**40, 2**63 - 1])
    occ_accounts = st.sampled_from(OCC_ACCOUNTS)
    if is_wrong:
        series |= st.sampled_from(NO_SYMBOLS)
        accounts |= st.sampled_from([*WRONG_ACCOUNTS, "b2", "A1"])
        shorts |= st.sampled_from([-1, -(2**63)])
        occ_accounts |= st.sampled_from([" ", "C" * 33, "ä"])
    row = st.builds(position, series, accounts, shorts, occ_accounts)
    return draw(st.lists(row, min_size=1, max_size=40))


def is_valid(pattern: str, text: object) -> bool:
    return re.fullmatch(pattern, str(text)) is not None


def expected_of(
    held: Sequence[Row], order: AccountOrder
) -> tuple[list[tuple[int, Row]], list[tuple[int | None, str | None]]]:
    """Return what rows come to, row by row: those of assigned pools, and the problems."""
    pools = {(one["occ_account"], one["series"]) for one in NOTICES}
    pattern = "[0-9]{1,30}" if order is NUMERIC else "[0-9A-Za-z]{1,30}"
    kept: list[tuple[int, Row]] = []
    problems: list[tuple[int | None, str | None]] = []
    for number, row in enumerate(held, start=1):
        try:
            series = padded_series(str(row["series"]))
        except ValueError:
            series = ""
            problems.append((number, "series"))
        if not is_valid("(?:[A-Za-z0-9][A-Za-z0-9/._-]{0,31})?", row["occ_account"]):
            problems.append((number, "occ_account"))
        if (row["occ_account"], series) in pools:
            short = int(row["short_quantity"] or 0)
            if not is_valid(pattern, row["account"]):
                problems.append((number, "account"))
            else:
                kept.append((number, {**row, "series": series, "short_quantity": max(short, 0)}))
            if short < 0:
                problems.append((number, "short_quantity"))
    return kept, sorted(problems, key=lambda one: (one[0] or 0, one[1] or ""))


@given(
    held=drawn_rows(),
    order=st.sampled_from(AccountOrder),
    block_rows=st.integers(1, 41),
    chunk_rows=st.integers(1, 41),
    labels=st.sets(st.sampled_from(["series", "occ_account"])),
    cut=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_any_rows_are_read_or_refused_as_they_should_be(
    held: list[Row],
    order: AccountOrder,
    block_rows: int,
    chunk_rows: int,
    labels: set[str],
    cut: int,
) -> None:
    """Law: both ways, in any blocks, chunks and slices, rows and problems are those expected."""
    around = positions_of(AAPL, {"x": -1}) * cut  # Rows of the buffers that are sliced off.
    table = raw_table([*around, *held, *around])
    for name in labels:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).cast(LABEL))
    table = table.slice(cut, len(held))
    chunks = [table.slice(start, chunk_rows) for start in range(0, len(held), chunk_rows)]
    reading = Reading(locator=RowLocator(source="x"), table=pa.concat_tables(chunks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "BLOCK_ROWS", block_rows)
        blocks = PositionBlocks.of([reading])

        received, passed = read_blocks(blocks, NOTICES, order)

    kept, problems = expected_of(held, order)
    assert found_rows(received) == kept
    assert locations(received.problems) == problems
    assert received.row_count == len(held)
    assert received.has_occ_accounts == any(row["occ_account"] for row in held)
    # Texts that no row has may be in a dictionary; what is wrong with them is for the columns.
    assert passed == (not problems) or labels


@given(held=drawn_rows(), suffix=st.sampled_from([".csv", ".parquet"]), group=st.integers(1, 41))
@settings(max_examples=100, deadline=None)
def test_every_row_of_a_file_is_read_if_no_pools_are_given(
    held: list[Row], suffix: str, group: int
) -> None:
    """Law: all rows but those of a wrong account, each with its number."""
    held = [row for row in held if "\n" not in f"{row['series']}{row['account']}"]
    held = [row for row in held if "\0" not in f"{row['series']}{row['account']}"] or SOUND
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"positions{suffix}"
        if suffix == ".csv":
            path.write_text(csv_text(held), "utf-8")
        else:
            pq.write_table(raw_table(held), path, row_group_size=group)

        received, _ = both_ways(lambda: read_all(path))

        expected = [
            (number, row["account"], max(int(row["short_quantity"] or 0), 0))
            for number, row in enumerate(held, start=1)
            if is_valid("[0-9]{1,30}", row["account"])
        ]
        found = [
            (number, row["account"], row["short_quantity"]) for number, row in found_rows(received)
        ]
        assert found == expected


def test_after_a_block_of_a_hundred_problems_no_further_block_is_read() -> None:
    blocks_read = []
    wrong = raw_table([position("x", "1", 1)] * PROBLEM_LIMIT)

    def read(index: int) -> Reading:
        blocks_read.append(index)
        locator = RowLocator(source="positions", first_row=1 + index * PROBLEM_LIMIT)
        return Reading(locator=locator, table=wrong)

    received = read_positions(
        PositionBlocks(row_counts=[PROBLEM_LIMIT] * 1_000, read=read),
        assigned_pools(notices_table([notice("N", AAPL, 1)])),
        AccountOrder.NUMERIC,
        locator=RowLocator(source="positions"),
        adds_up=True,
    )

    assert received.problems.listed[0].message == (
        "expected no problems, got 100 or more; nothing is looked for after row 100"
    )
    assert received.problems.total == PROBLEM_LIMIT + 1
    assert received.total_short is None
    assert received.row_count == 1_000 * PROBLEM_LIMIT
    assert len(blocks_read) < 1_000
