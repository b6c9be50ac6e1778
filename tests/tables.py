"""Small builders of a day's tables, shared by the tests.

Rows are dictionaries as `tests.reference` takes them, so that one list of rows goes to the library
and to the reference alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from lottery.day.allocate import Day, allocate
from lottery.day.arrange import arrange
from lottery.day.tables import LABEL, NOTICES, POSITIONS
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.method.seed import ExchangeAsk
from tests.reference import Row

AAPL = "AAPL  240920C00220000"
SPY = "SPY   240920P00550000"
ZVZZT = "ZVZZT 241018C00010000"

PUBLISHED_TEN_THOUSANDTHS = 4314
PUBLISHED_ASKS = {
    "Z901803": "862.45713",
    "Z901439": "118.20946",
    "Z901466": "407.93388",
    "Z901448": "1435.71263",
}


def notice(series: str, quantity: int, occ_account: str = "") -> Row:
    """One notice's row."""
    return {"series": series, "quantity": quantity, "occ_account": occ_account}


def position(series: str, account: str, short_quantity: int, occ_account: str = "") -> Row:
    """One position's row."""
    return {
        "series": series,
        "account": account,
        "short_quantity": short_quantity,
        "occ_account": occ_account,
    }


def positions_of(
    series: str, shorts: Mapping[str, int] | Iterable[tuple[str, int]], occ_account: str = ""
) -> list[Row]:
    """One pool's rows from its accounts and their shorts."""
    pairs = shorts.items() if isinstance(shorts, Mapping) else shorts
    return [position(series, account, short, occ_account) for account, short in pairs]


PUBLISHED_POSITIONS = positions_of(AAPL, {"1046": 30, "1047": 30, "1048": 5})


def notices_table(rows: Iterable[Row]) -> pa.Table:
    """`tables.NOTICES` of rows, which are numbered where they have no id."""
    listed = list(rows)
    return pa.table(
        {
            "notice_id": [
                str(row.get("notice_id", f"N{number}")) for number, row in enumerate(listed, 1)
            ],
            "series": label(_texts(listed, "series")),
            "quantity": pa.array([row["quantity"] for row in listed], pa.int64()),
            "occ_account": label(_texts(listed, "occ_account")),
        },
        NOTICES,
    )


def positions_table(rows: Iterable[Row]) -> pa.Table:
    """`tables.POSITIONS` of rows."""
    listed = list(rows)
    return pa.table(
        {
            "series": label(_texts(listed, "series")),
            "account": pa.array(_texts(listed, "account"), pa.string()),
            "short_quantity": pa.array([row["short_quantity"] for row in listed], pa.int64()),
            "occ_account": label(_texts(listed, "occ_account")),
        },
        POSITIONS,
    )


def label(texts: Iterable[str]) -> pa.DictionaryArray:
    """A label column: its dictionary has the texts in the order in which they come."""
    return pa.array(list(texts), pa.string()).dictionary_encode()


def without_chunks(schema: pa.Schema) -> pa.Table:
    """A table without rows, of which no column has a chunk."""
    return pa.table([pa.chunked_array([], kind) for kind in schema.types], schema=schema)


def in_chunks(table: pa.Table, rows_a_chunk: int) -> pa.Table:
    """The same rows in several chunks, each with label dictionaries of its own."""
    columns = []
    for field in table.schema:
        column = table.column(field.name)
        parts = [
            column.slice(start, rows_a_chunk).combine_chunks()
            for start in range(0, table.num_rows, rows_a_chunk)
        ]
        if field.type == LABEL:
            parts = [label(part.to_pylist()) for part in parts]
        columns.append(pa.chunked_array(parts, field.type))
    return pa.table(columns, schema=table.schema)


def allocate_rows(
    notices: Iterable[Row],
    positions: Iterable[Row],
    *,
    ten_thousandths: int = PUBLISHED_TEN_THOUSANDTHS,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    account_order: AccountOrder = AccountOrder.NUMERIC,
) -> Day:
    """Arranges and allocates a day of rows."""
    return allocate_tables(
        notices_table(notices),
        positions_table(positions),
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
        account_order=account_order,
    )


def allocate_tables(
    notices: pa.Table,
    positions: pa.Table,
    *,
    ten_thousandths: int = PUBLISHED_TEN_THOUSANDTHS,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    account_order: AccountOrder = AccountOrder.NUMERIC,
) -> Day:
    """Arranges and allocates a day of tables."""
    arrangement = arrange(notices, positions, account_order)
    return allocate(arrangement, ten_thousandths=ten_thousandths, zero_hit=zero_hit)


def exchange_asks(asks: Mapping[str, str]) -> list[ExchangeAsk]:
    """Ask prices by security number, as the method takes them."""
    return [
        ExchangeAsk(security_number=number, ask_price=ask_price)
        for number, ask_price in asks.items()
    ]


def asks_making(composite: int) -> dict[str, str]:
    """Asks whose volumes add up to a composite, a different share on every exchange."""
    eighth = composite // 8
    volumes = (composite - 6 * eighth, eighth, 2 * eighth, 3 * eighth)
    return {
        number: price_of(volume) for number, volume in zip(PUBLISHED_ASKS, volumes, strict=True)
    }


def price_of(volume: int) -> str:
    """The ask price of a volume, with all of its five decimals."""
    return f"{volume // 100_000}.{volume % 100_000:05d}"


def rows_of(table: pa.Table) -> list[Row]:
    """A table's rows as dictionaries, in the order of its columns."""
    rows: list[Row] = table.to_pylist()
    return rows


def tuples_of(table: pa.Table, *names: str) -> list[tuple[str | int | None, ...]]:
    """The named columns of a table's rows; all of them where none is named."""
    columns: Iterator[list[str | int | None]] = (
        table.column(name).to_pylist() for name in names or table.column_names
    )
    return list(zip(*columns, strict=True))


def _texts(rows: Iterable[Row], name: str) -> list[str]:
    return [str(row.get(name) or "") for row in rows]
