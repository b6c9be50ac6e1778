"""Frames and rows to messages: what is wrong with them is refused before anything is sent.

Only what every charter refuses is refused here: under another account order more accounts are
valid, and a server leaves out the notices of other clearing members.

Invariants:
- Rows are sent as rows if a message can hold them, and everything else as Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from lottery.day.assigned_pools import assigned_pools
from lottery.errors import NO_PROBLEMS, Problems
from lottery.intake.arrow import with_own_labels, write_arrow
from lottery.intake.columns import QUANTITY_COLUMNS, usual_types
from lottery.intake.frames import (
    Asks,
    Rows,
    is_frame,
    read_asks,
    read_rows,
    received_pool,
    received_positions,
    received_rows,
)
from lottery.intake.sources import ReceivedVolumes, RowLocator
from lottery.intake.wire import ROLES
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from lottery.method.seed import ExchangeAsk
from lottery.v1 import lottery_pb2, lottery_service_pb2

ROWS_A_MESSAGE: Final = 4_096
ARROW_ROWS_A_MESSAGE: Final = 131_072
ARROW_BYTES_A_MESSAGE: Final = 8 << 20
"""Size of Arrow past which rows are sent in two messages: half of what a server takes."""

PoolRows: TypeAlias = Rows | Iterable[tuple[str, int]]
"""One pool's rows: `account` and `short_quantity` by name, or pairs of them."""
_Message: TypeAlias = lottery_service_pb2.RunLotteryRequest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentRows:
    """The rows of a role, as they are sent.

    Attributes:
        role: `notices`, `positions` or `occ_positions`.
        table: The raw columns.
        as_arrow: Whether they are sent as Arrow.
    """

    role: str
    table: pa.Table
    as_arrow: bool

    def messages(self) -> Iterator[_Message]:
        """Yield the messages that carry them."""
        at_once = ARROW_ROWS_A_MESSAGE if self.as_arrow else ROWS_A_MESSAGE
        for start in range(0, self.table.num_rows, at_once):
            rows = self.table.slice(start, at_once)
            field: dict[str, Any]
            if self.as_arrow:
                for payload in _payloads(rows):
                    field = {f"arrow_{self.role}": payload}
                    yield _Message(**field)
            else:
                row_of = _ROW_OF[self.role]
                field = {self.role: [row_of(**row) for row in rows.to_pylist()]}
                yield _Message(**field)


_ROW_OF: Final[dict[str, Callable[..., Any]]] = {
    "notices": lottery_pb2.Notice,
    "positions": lottery_pb2.Position,
}


def _payloads(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as Arrow streams that fit a message; a single row is sent whatever its size."""
    # Without labels of its own, a message carries those of the whole table.
    payload = write_arrow(with_own_labels(usual_types(rows)))
    if len(payload) <= ARROW_BYTES_A_MESSAGE or rows.num_rows == 1:
        yield payload
    else:
        half = rows.num_rows // 2
        yield from _payloads(rows.slice(0, half))
        yield from _payloads(rows.slice(half))


def rows_to_send(
    notices: Rows, positions: Rows, occ_positions: Rows | None, problems: Problems = NO_PROBLEMS
) -> tuple[SentRows, SentRows, SentRows | None]:
    """Read what a run is asked with.

    Args:
        notices: The notices.
        positions: The positions.
        occ_positions: OCC's own figures.
        problems: What is wrong with the request otherwise.

    Raises:
        Refused: Something is wrong with it; every problem is listed with its row.
    """
    given = {"notices": notices, "positions": positions}
    if occ_positions is not None:
        given["occ_positions"] = occ_positions
    read = {role: read_rows(rows, role) for role, rows in given.items()}
    received = received_rows(read["notices"], "notices")
    problems += received.problems
    assigned = assigned_pools(received.table)
    problems += received_positions(read["positions"], assigned, AccountOrder.CODE_POINT).problems
    if occ_positions is not None:
        problems += received_rows(read["occ_positions"], "occ_positions").problems
    problems.refuse_if_any()
    sent = {
        role: SentRows(
            role=role,
            table=reading.table,
            as_arrow=is_frame(given[role]) or not _fit_a_message(reading.table, role),
        )
        for role, reading in read.items()
    }
    return sent["notices"], sent["positions"], sent.get("occ_positions")


def asks_to_send(asks: Asks) -> list[lottery_pb2.ExchangeAsk]:
    """Return the asks of a request.

    Raises:
        Refused: They are no rows of a volumes file, or an ask price is not text.
    """
    received = received_asks(asks)
    received.problems.refuse_if_any()
    return ask_messages(received)


def received_asks(asks: Asks) -> ReceivedVolumes:
    """Return asks as they are sent, and what is wrong with them."""
    given: Any = asks
    if not (is_frame(given) or isinstance(given, Mapping)):
        given = list(given)
    if isinstance(given, list) and all(isinstance(ask, ExchangeAsk) for ask in given):
        return ReceivedVolumes(asks=tuple(given), sources=(), locator=RowLocator(source="asks"))
    return read_asks(given, JPMS_2024_09_06.securities)


def ask_messages(received: ReceivedVolumes) -> list[lottery_pb2.ExchangeAsk]:
    """Return asks as messages."""
    return [
        lottery_pb2.ExchangeAsk(security_number=ask.security_number, ask_price=ask.ask_price)
        for ask in received.asks
    ]


def pool_to_send(positions: PoolRows) -> list[lottery_service_pb2.AccountPosition]:
    """Return the rows of one pool.

    Raises:
        Refused: They are rows or a frame, and something is wrong with them.
    """
    given: Any = positions
    if not is_frame(given):
        given = list(given)
    if is_frame(given) or any(isinstance(row, Mapping) for row in given):
        given, problems = received_pool(read_rows(given, "pool", source="positions"))
        problems.refuse_if_any()
    return [
        lottery_service_pb2.AccountPosition(account=account, short_quantity=short)
        for account, short in given
    ]


def _fit_a_message(table: pa.Table, role: str) -> bool:
    """Return whether protobuf's rows can hold a table's values."""
    rows = ROLES[role].rows
    return rows is not None and all(
        each.name in rows.names
        and (each.name not in QUANTITY_COLUMNS or _is_numbers(table.column(each.name)))
        for each in table.schema
    )


def _is_numbers(column: pa.ChunkedArray) -> bool:
    return bool(column.type == pa.int64() and not column.null_count)
