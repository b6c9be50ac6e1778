"""The client with frames: what is wrong is refused before anything is sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lottery.client import LotteryClient
from lottery.errors import Refused
from server.app import LotteryServer
from tests.builders import AAPL, ASKS, EVERY_HOLD, FULL, notice, position, positions_of
from tests.server.calls import serving

NOWHERE = "127.0.0.1:1"
ASK_ROWS = [{"security_number": number, "ask_price": ask} for number, ask in ASKS.items()]
POOL = positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5})
DAY: dict[str, Any] = {
    "business_date": "2024-09-16",
    "asks": ASKS,
    "notices": FULL.notices,
    "positions": FULL.positions,
    "acknowledged": EVERY_HOLD,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LotteryServer]:
    with serving(tmp_path_factory.mktemp("ledger") / "ledger") as server:
        yield server


@pytest.fixture
def client(server: LotteryServer) -> Iterator[LotteryClient]:
    with LotteryClient(f"127.0.0.1:{server.port}", timeout=60) as client:
        yield client


def relation_of(rows: Any) -> duckdb.DuckDBPyRelation:
    """Return rows as a relation of DuckDB."""
    return duckdb.from_arrow(pa.Table.from_pylist(rows))


def indexed(rows: Any) -> pd.DataFrame:
    """Return rows as a frame of pandas with an index that it adds as a column, and categories."""
    return pd.DataFrame(rows).iloc[::-1].astype({"series": "category"})


def categories(rows: Any) -> pl.DataFrame:
    """Return rows as a frame of polars with categories, whose texts Arrow cannot take by index."""
    return pl.DataFrame(rows).with_columns(pl.col("series", "occ_account").cast(pl.Categorical))


def texts(rows: Any) -> list[dict[str, str]]:
    """Return rows whose quantities are texts, which protobuf's rows cannot hold."""
    return [{name: str(value) for name, value in row.items()} for row in rows]


def lacking(rows: Any) -> list[dict[str, Any]]:
    """Return rows without what is empty in them."""
    return [{name: value for name, value in row.items() if value != ""} for row in rows]


FORMS: list[Callable[[Any], Any]] = [relation_of, indexed, categories, texts, lacking, iter]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_whatever_the_rows_come_as_they_are_one_run(
    client: LotteryClient, form: Callable[[Any], Any]
) -> None:
    first = client.run_lottery(**DAY)

    again = client.run_lottery(
        **{
            **DAY,
            "business_date": dt.date(2024, 9, 16),
            "asks": form(ASK_ROWS) if form in {relation_of, iter} else ASKS,
            "notices": form(FULL.notices),
            "positions": form(FULL.positions),
        }
    )

    assert again.already_recorded
    assert again.record == first.record


def test_what_is_wrong_is_refused_before_anything_is_sent() -> None:
    with LotteryClient(NOWHERE) as client, pytest.raises(Refused) as caught:
        client.run_lottery(
            business_date="2024-09-16",
            asks={**ASKS, "Z901803": 862.45713},  # type: ignore[arg-type]
            notices=pd.DataFrame([notice("A1", AAPL, 10), notice("A2", "AAPL", 0)]),
            positions=pl.DataFrame([position(AAPL, "1046", 1), position(AAPL, None, -1)]),
            occ_positions=[{"series": AAPL, "short_quantity": 1.5}],
        )

    assert [(one.source, one.row, one.column) for one in caught.value.problems] == [
        ("asks", 1, "ask_price"),
        ("notices", 2, "series"),
        ("notices", 2, "quantity"),
        ("occ_positions", 1, "short_quantity"),
        ("positions", 2, "short_quantity"),
        ("positions", 2, "account"),
    ]


@pytest.mark.parametrize(
    ("call", "source"),
    [
        (lambda client: client.run_lottery(**{**DAY, "business_date": "today"}), "business_date"),
        (lambda client: client.get_day("2024-13-01"), "business_date"),
        (lambda client: client.derive_seed([{"ask_price": "1"}]), "asks"),
        (
            lambda client: client.allocate_series(
                business_date="2024-09-16",
                asks=ASKS,
                series=AAPL,
                assigned_quantity=1,
                positions=[{"account": 1046, "short_quantity": 1}],
            ),
            "positions",
        ),
        (
            lambda client: client.odds(
                series=AAPL,
                assigned_quantity=1,
                positions=pl.DataFrame({"account": ["1046"], "short_quantity": [0.5]}),
            ),
            "positions",
        ),
        (
            lambda client: client.odds(
                series=AAPL, assigned_quantity=1, positions=pl.DataFrame({"account": ["1046"]})
            ),
            "positions",
        ),
    ],
)
def test_so_is_what_other_calls_are_given(
    call: Callable[[LotteryClient], object], source: str
) -> None:
    with LotteryClient(NOWHERE) as client, pytest.raises(Refused) as caught:
        call(client)

    assert {problem.source for problem in caught.value.problems} == {source}


@pytest.mark.parametrize(
    "positions",
    [
        [(row["account"], row["short_quantity"]) for row in POOL],
        [{name: row[name] for name in ("account", "short_quantity")} for row in POOL],
        pl.DataFrame(POOL).select("account", "short_quantity"),
        pd.DataFrame(POOL)[["account", "short_quantity"]].iloc[::-1],
    ],
    ids=["pairs", "rows", "polars", "pandas"],
)
def test_one_pool_comes_as_pairs_rows_or_a_frame(client: LotteryClient, positions: Any) -> None:
    answer = client.allocate_series(
        business_date="2024-09-16",
        asks=ASKS,
        series=AAPL,
        assigned_quantity=10,
        positions=positions,
    )
    odds = client.odds(series=AAPL, assigned_quantity=10, positions=positions)

    assert [row["assigned_quantity"] for row in answer.allocations] == [3, 7, 0]
    assert [named.account for named in odds.accounts] == ["1046", "1047", "1048"]


def test_the_date_that_asks_say_they_are_of_is_sent_with_them(client: LotteryClient) -> None:
    asks = pl.DataFrame(ASK_ROWS).with_columns(as_of=pl.lit("2024-09-13"))

    with pytest.raises(Refused) as caught:
        client.run_lottery(**{**DAY, "asks": asks, "validate_only": True})

    assert [problem.source for problem in caught.value.problems] == ["volumes_as_of"]


def test_a_day_and_its_tables_come_back_as_arrow_which_frames_take(client: LotteryClient) -> None:
    client.run_lottery(**DAY)

    day = client.get_day("2024-09-16")

    assert day.business_date == dt.date(2024, 9, 16)
    assert pl.DataFrame(day.allocations).height == client.allocations("latest").num_rows
