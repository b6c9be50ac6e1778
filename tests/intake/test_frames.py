"""Frames and rows: polars, pandas, DuckDB, pyarrow and mappings give what files give."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

import lottery
from lottery import AllocatedDay, ExchangeAsk, Refused
from lottery.day.tables import ALLOCATIONS, POOLS
from tests.builders import AAPL, ASKS, DATE, FULL, PUBLISHED, notice, position
from tests.reference import Row

EXAMPLE = Path(__file__).parents[2] / "examples" / "2024-09-16"
TEXTS = ("notice_id", "series", "account", "occ_account", "security_number", "cusip", "ask_price")


def allocate(**given: Any) -> AllocatedDay:
    """Allocate the published day, or what is given instead."""
    return lottery.allocate(
        **{
            "business_date": DATE,
            "asks": ASKS,
            "notices": PUBLISHED.notices,
            "positions": PUBLISHED.positions,
            **given,
        }
    )


def refusal(**given: Any) -> list[str]:
    """Return the lines of a refusal."""
    with pytest.raises(Refused) as caught:
        allocate(**given)
    return str(caught.value).splitlines()


def refused_positions(**columns: Any) -> list[str]:
    """Return the lines of a refusal of two positions of the published pool, as Arrow."""
    usual = {"series": [AAPL, AAPL], "account": ["1046", "1047"], "short_quantity": [30, 30]}
    return refusal(positions=pa.table({**usual, **columns}))


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of an example's file as a CSV reader gives them, all values texts."""
    with (EXAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def polars_of(name: str) -> pl.DataFrame:
    """Return a file as polars has it, small unsigned numbers and categories included."""
    frame = pl.read_csv(EXAMPLE / name, infer_schema=False)
    for quantity in {"quantity", "short_quantity"}.intersection(frame.columns):
        frame = frame.with_columns(pl.col(quantity).cast(pl.UInt32))
    return frame.with_columns(
        pl.col("series").cast(pl.Categorical) if "series" in frame.columns else []
    )


def pandas_of(name: str) -> pd.DataFrame:
    """Return a file as pandas has it, with an index of its own and a nullable quantity."""
    frame = pd.read_csv(EXAMPLE / name, dtype=dict.fromkeys(TEXTS, str))
    for quantity in {"quantity", "short_quantity"}.intersection(frame.columns):
        frame[quantity] = frame[quantity].astype("Int32")
    if "series" in frame.columns:
        frame["series"] = frame["series"].astype("category")
    return frame.sort_values(list(frame.columns), ascending=False)


def duckdb_of(name: str) -> duckdb.DuckDBPyRelation:
    """Return a file as a relation of DuckDB."""
    texts = {column: "VARCHAR" for column in TEXTS if column in rows_of(name)[0]}
    return duckdb.read_csv(str(EXAMPLE / name), dtype=texts)


def pyarrow_of(name: str) -> pa.Table:
    """Return a file as a table of pyarrow."""
    return pa.table(polars_of(name))


def reader_of(name: str) -> pa.RecordBatchReader:
    """Return a file as a reader, which can be read once."""
    return pyarrow_of(name).to_reader(max_chunksize=7)


def iterator_of(name: str) -> Iterator[dict[str, Any]]:
    """Return a file's rows, which can be gone through once."""
    return iter(rows_of(name))


@pytest.mark.parametrize(
    "read",
    [rows_of, iterator_of, polars_of, pandas_of, duckdb_of, pyarrow_of, reader_of],
    ids=lambda read: read.__name__.removesuffix("_of"),
)
def test_the_same_day_from_each_gives_the_allocations_that_files_give(
    read: Callable[[str], Any], tmp_path: Path
) -> None:
    day = lottery.allocate(
        business_date="2024-09-16",
        asks=read("volumes.csv"),
        notices=read("notices.csv"),
        positions=read("positions.csv"),
    )

    for name, table in (("allocations", day.allocations), ("pools", day.pools)):
        path = tmp_path / f"{name}.csv"
        plain = pa.table(
            {column: table.column(column).to_pylist() for column in table.column_names}
        )
        options = pa.csv.WriteOptions(quoting_style="none", quoting_header="none")
        pa.csv.write_csv(plain, path, options)
        assert path.read_bytes() == (EXAMPLE / "expected" / path.name).read_bytes()
    assert [(broken.series, broken.reason) for broken in day.breaks] == [
        ("GE1   240920C00160000", "EXCEEDS_SHORT")
    ]
    assert day.seed.digits == "4313"


def test_what_comes_back_is_arrow_that_each_of_them_takes() -> None:
    day = allocate()
    expected = [(AAPL, "1046", 3), (AAPL, "1047", 7), (AAPL, "1048", 0)]
    names = ["series", "account", "assigned_quantity"]

    assert (day.allocations.schema, day.pools.schema) == (ALLOCATIONS, POOLS)
    assert pl.DataFrame(day.allocations).select(names).rows() == expected
    frame = pd.DataFrame.from_arrow(day.allocations)[names]
    assert list(frame.itertuples(index=False, name=None)) == expected
    relation = duckdb.from_arrow(day.allocations).select(*names)
    assert relation.fetchall() == expected


def test_a_date_is_read_from_its_text_and_a_time_is_refused() -> None:
    assert allocate(business_date="2024-09-16").seed == allocate().seed
    for wrong in ("16.09.2024", "2024-9-16", "2024-02-30", dt.datetime(2024, 9, 16), 20240916):  # noqa: DTZ001
        (line,) = refusal(business_date=wrong)
        assert line.startswith("business_date: expected a date, or its text as 2024-09-16; got ")


def test_a_day_before_the_method_came_into_force_is_refused() -> None:
    (line,) = refusal(business_date="2024-09-05")

    assert line.startswith("business_date: business date must be 2024-09-06 or later")


def test_decisions_are_taken_and_unknown_ones_refused() -> None:
    day = allocate(
        notices=[notice("A1", AAPL, 1)],
        positions=[position(AAPL, "Z9", 1), position(AAPL, "A1", 1)],
        decisions={"account_order": "code-point", "zero_hit": "first"},
    )

    assert day.allocations.column("account").to_pylist() == ["A1", "Z9"]
    (line,) = refusal(decisions={"zero_hit": "last"})
    assert line == "decisions: decision zero_hit must be wrap or first, got 'last'"


def test_asks_are_exact_however_they_come() -> None:
    seed = allocate().seed
    values = [ExchangeAsk(security_number=number, ask_price=ask) for number, ask in ASKS.items()]
    exact = {number: Decimal(ask) for number, ask in ASKS.items()}

    assert allocate(asks=values).seed == allocate(asks=exact).seed == seed


@pytest.mark.parametrize("price", [862.45713, np.float64("862.45713"), np.float32("862.45713")])
def test_an_ask_that_was_rounded_is_refused(price: object) -> None:
    lines = refusal(asks={**ASKS, "Z901803": price})

    assert "asks, row 1, ask_price: ask_price must be text in quotes, so that nothing" in lines[1]


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        (5, "asks, row 1: entry must be an object, got 5"),
        ([5], "asks, row 1: entry must be an object, got 5"),
        ([{1: "2"}], "asks, row 1, 1: member must be one of security_number, ask_price"),
        ({"Z901803": b"1"}, "asks, row 1, ask_price: ask_price must be text in quotes"),
        (pl.Series([1]), "asks: expected a frame with __arrow_c_stream__"),
        (pl.DataFrame({"ask_price": ["1"]}), "asks, row 1, security_number: member"),
    ],
    ids=str,
)
def test_asks_of_another_form_are_refused(asks: object, told: str) -> None:
    assert any(line.startswith(told) for line in refusal(asks=asks))


def test_positions_of_another_date_are_refused() -> None:
    (line,) = refused_positions(as_of=["2024-09-13", "2024-09-13"])

    assert "positions must be of the business date 2024-09-16, got those of '2024-09-13'" in line


def test_only_the_index_that_pandas_adds_by_itself_is_left_out() -> None:
    frame = pd.DataFrame(PUBLISHED.positions, index=[5, 3, 9])
    named = frame.rename_axis("line")

    assert "__index_level_0__" in pa.table(frame).column_names
    assert allocate(positions=frame).allocations == allocate().allocations
    assert allocate(positions=frame.set_index("account")).allocations == allocate().allocations
    (line,) = refusal(positions=named)
    assert line.startswith("positions, line: column must be one of series, account,")


FLOATS = {
    "pandas, which makes floats of missing values": pd.Series([30, None]),
    "polars": pl.Series([30.0, 30.0]),
    "sums of DuckDB": pa.array([Decimal(30), Decimal(30)], pa.decimal128(38, 0)),
}


@pytest.mark.parametrize("shorts", FLOATS.values(), ids=list(FLOATS))
def test_quantities_that_are_not_whole_numbers_are_refused_with_what_to_do(shorts: Any) -> None:
    column = pa.array(shorts)

    assert refused_positions(short_quantity=column) == [
        (
            "positions, short_quantity: column short_quantity must be whole numbers or text of "
            f"digits, got {column.type}; cast it to 64-bit integers"
        )
    ]


def test_accounts_as_numbers_are_refused_once_because_leading_zeros_are_lost() -> None:
    assert refused_positions(account=[1046, 1047]) == [
        "positions, account: column account must be text, which keeps leading zeros, got int64"
    ]


NULLS: dict[str, Callable[[list[Row]], Any]] = {
    "polars": pl.DataFrame,
    "pandas": lambda rows: pd.DataFrame(rows).astype({"short_quantity": "Int64"}),
    "categories of pandas": lambda rows: pd.DataFrame(rows).astype(
        {"short_quantity": "Int64", "series": "category", "account": "category"}
    ),
    "categories of polars": lambda rows: pl.DataFrame(rows).with_columns(
        pl.col("series", "account").cast(pl.Categorical)
    ),
    "pyarrow": pa.Table.from_pylist,
    "rows": lambda rows: rows,
}


@pytest.mark.parametrize("frame_of", NULLS.values(), ids=list(NULLS))
def test_values_that_are_missing_are_named_with_their_rows(
    frame_of: Callable[[list[Row]], Any],
) -> None:
    rows = [
        position(AAPL, "1046", 30),
        position(AAPL, None, 30),
        position(AAPL, "1048", None),
        {**position(AAPL, "1049", 1), "series": None},
    ]

    assert refusal(positions=frame_of(rows)) == [
        "positions, row 2, account: expected an account number of 1 to 30 digits, got '' [R2]",
        (
            "positions, row 3, short_quantity: short quantity must be a whole number of at least "
            "0, got no value [P2]"
        ),
        "positions, row 4, series: series must have a value, got none",
    ]


def test_an_occ_account_that_is_missing_everywhere_is_none() -> None:
    frame = pl.DataFrame(PUBLISHED.positions).with_columns(occ_account=pl.lit(None))

    assert pa.table(frame).schema.field("occ_account").type == pa.null()
    assert allocate(positions=frame).allocations == allocate().allocations


def test_a_number_past_64_bits_is_refused_with_its_row() -> None:
    shorts = pa.array([30, 2**64 - 1], pa.uint64())

    assert refused_positions(short_quantity=shorts) == [
        (
            "positions, row 2, short_quantity: short quantity must be at most 9223372036854775807, "
            "got 18446744073709551615 [P2]"
        )
    ]


@pytest.mark.parametrize("short", [30, "30", np.int32(30), np.uint64(30), Decimal(30)], ids=repr)
def test_rows_may_have_numbers_or_the_texts_of_digits(short: object) -> None:
    rows = [{**row, "short_quantity": short} for row in PUBLISHED.positions]

    assert allocate(positions=rows).allocations.column("short_quantity").to_pylist() == [30] * 3


@pytest.mark.parametrize("short", [30.0, True, 2**63, -1, "3 0", float("nan")], ids=repr)
def test_a_row_whose_quantity_is_no_whole_number_is_refused(short: object) -> None:
    (line,) = refusal(positions=[*PUBLISHED.positions, position(AAPL, "7", short)])  # type: ignore[arg-type]

    assert line.startswith("positions, row 4, short_quantity: short quantity must be ")


def test_every_row_that_no_column_can_hold_is_named_and_the_others_keep_their_numbers() -> None:
    rows: list[Any] = [
        {**position(AAPL, "1046", 30), "account": 1046},
        5,
        position("AAPL", "1047", 30),
        position(AAPL, "10\udc80", 30),
    ]

    assert refusal(positions=rows) == [
        "positions, row 1, account: account must be text, got 1046",
        "positions, row 2: row must be a mapping, got 5",
        (
            "positions, row 3, series: expected an OSI symbol such as 'AAPL  240920C00220000' (a "
            "root of up to 6, YYMMDD, C or P, the strike times 1000 in 8 digits), got 'AAPL'"
        ),
        (
            "positions, row 4, account: expected an account number of 1 to 30 digits, "
            "got '10\ufffd' [R2]"
        ),
    ]


def test_columns_are_refused_by_name_also_of_rows() -> None:
    rows = [{"series": AAPL, "accounts": "1046", "short_quantity": 1}, {"series": AAPL, 7: None}]

    assert refusal(positions=rows) == [
        (
            "positions, accounts: column must be one of series, account, short_quantity, "
            "occ_account, as_of, got 'accounts'"
        ),
        (
            "positions, 7: column must be one of series, account, short_quantity, occ_account, "
            "as_of, got '7'"
        ),
        "positions, account: column account is missing",
    ]


@pytest.mark.parametrize(
    "given", [5, "rows", {"series": [AAPL]}, pl.LazyFrame({"series": [AAPL]}), pl.Series([1])]
)
def test_what_are_no_rows_is_refused_by_its_type(given: Any) -> None:
    (line,) = refusal(positions=given)

    expected = "expected a frame with __arrow_c_stream__, or rows as mappings by column name; got "
    assert line.startswith(f"positions: {expected}{type(given).__name__}")


def test_a_date_without_notices_has_no_pools_and_positions_must_be_there_otherwise() -> None:
    empty = pl.DataFrame(PUBLISHED.positions).clear()

    assert allocate(notices=[], positions=empty).pools.num_rows == 0
    assert allocate(notices=[]).pools.num_rows == 0
    assert refusal(positions=empty) == ["positions: expected at least one row, got none"]
    assert refusal(positions=[]) == ["positions: expected at least one row, got none"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    lines = refusal(
        business_date="today",
        asks={},
        notices=[notice("A1", AAPL, 0)],
        positions=[position(AAPL, "1046", 1), position(AAPL, "1046", 2)],
        decisions={"zero_hit": "last"},
    )

    assert {line.partition(":")[0].partition(",")[0] for line in lines} == {
        *("business_date", "asks", "notices", "positions", "decisions"),
    }


def test_the_day_of_everything_that_can_happen_is_that_of_rows() -> None:
    by_rows = allocate(notices=FULL.notices, positions=FULL.positions)
    by_frames = allocate(
        notices=pd.DataFrame(FULL.notices), positions=pl.DataFrame(FULL.positions).to_arrow()
    )

    assert by_frames.allocations == by_rows.allocations
    assert (by_frames.breaks, by_frames.warnings) == (by_rows.breaks, by_rows.warnings)


def test_the_readme_shows_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLE.parents[1])
    readme = Path("README.md").read_text("utf-8")
    shown, _, _ = readme.partition("```python\n")[2].partition("```")

    exec(compile(shown, "README.md", "exec"), {})  # noqa: S102 - it is the project's own.

    assert "EXCEEDS_SHORT" in capsys.readouterr().out


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute reroll"):
        _ = lottery.reroll  # type: ignore[attr-defined]
