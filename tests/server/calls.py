"""How the tests talk to a server: one on loopback, its stubs, and what a failed call says."""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.rpc import error_details_pb2
from google.type import date_pb2
from grpc_status import rpc_status

from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.v1 import audit_service_pb2_grpc, lottery_pb2, lottery_service_pb2_grpc
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer, create_server
from server.settings import Settings
from tests.builders import ASKS, DATE, SmallDay, arrow_payload, table_of
from tests.reference import Row

LOOPBACK = "127.0.0.1:0"
PATIENCE = 60.0
"""Seconds after which a call that should have been answered fails its test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """Both services on one channel, as a client without any options has them."""

    channel: grpc.Channel
    lottery: lottery_service_pb2_grpc.LotteryServiceStub
    audit: audit_service_pb2_grpc.AuditServiceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed call: its status and the details in its trailing metadata."""

    code: grpc.StatusCode
    message: str
    domain: str
    reason: str
    metadata: Mapping[str, str]
    violations: Sequence[tuple[str, str, str]]

    @property
    def fields(self) -> list[str]:
        """The fields that are wrong."""
        return [field for field, _, _ in self.violations]

    @property
    def status(self) -> tuple[grpc.StatusCode, str]:
        """The code and the reason."""
        return self.code, self.reason


class Stream:
    """A client's stream that stays open until it is told to end."""

    def __init__(self, *messages: pb.RunLotteryRequest) -> None:
        self._messages: queue.SimpleQueue[pb.RunLotteryRequest | None] = queue.SimpleQueue()
        self.taken = threading.Semaphore(0)
        self.send(*messages)

    def __iter__(self) -> Iterator[pb.RunLotteryRequest]:
        while (message := self._messages.get()) is not None:
            yield message
            self.taken.release()

    def send(self, *messages: pb.RunLotteryRequest) -> None:
        for message in messages:
            self._messages.put(message)

    def end(self) -> None:
        self._messages.put(None)


def settings_of(ledger: Path, **given: Any) -> Settings:
    """Settings on free ports of loopback."""
    ports = {"listen": LOOPBACK, "health_listen": LOOPBACK, "metrics_listen": ""}
    return Settings(**{**ports, "ledger": ledger, "grace_seconds": 20.0, **given})


@contextmanager
def serving(ledger: Path, **given: Any) -> Iterator[LotteryServer]:
    """A server while the block runs."""
    server = create_server(settings_of(ledger, **given))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connected(
    port: int, credentials: grpc.ChannelCredentials | None = None, host: str = "127.0.0.1"
) -> Iterator[Stubs]:
    """A client's stubs while the block runs."""
    target = f"{host}:{port}"
    channel = (
        grpc.insecure_channel(target)
        if credentials is None
        else grpc.secure_channel(target, credentials)
    )
    with channel:
        yield Stubs(
            channel=channel,
            lottery=lottery_service_pb2_grpc.LotteryServiceStub(channel),
            audit=audit_service_pb2_grpc.AuditServiceStub(channel),
        )


@contextmanager
def called(ledger: Path, **given: Any) -> Iterator[Stubs]:
    """A server and a client's stubs while the block runs."""
    with serving(ledger, **given) as server, connected(server.port) as stubs:
        yield stubs


def date_of(date: dt.date) -> date_pb2.Date:
    """A date as a message."""
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def asks_of(asks: Mapping[str, str]) -> list[lottery_pb2.ExchangeAsk]:
    """Asks as messages."""
    return [
        lottery_pb2.ExchangeAsk(security_number=number, ask_price=ask)
        for number, ask in asks.items()
    ]


def spec_of(day: SmallDay, **given: Any) -> pb.RunLotteryRequest:
    """The first message of a run."""
    return pb.RunLotteryRequest(
        spec=pb.RunSpec(
            **{"business_date": date_of(day.date), "exchange_asks": asks_of(day.asks), **given}
        )
    )


def rows_of(day: SmallDay) -> list[pb.RunLotteryRequest]:
    """A message for each row, notices before positions."""
    return [notices_of(row) for row in day.notices] + [positions_of(row) for row in day.positions]


def notices_of(*rows: Row) -> pb.RunLotteryRequest:
    """A message of notices."""
    return pb.RunLotteryRequest(notices=[_notice(**row) for row in rows])


def positions_of(*rows: Row) -> pb.RunLotteryRequest:
    """A message of positions."""
    return pb.RunLotteryRequest(positions=[_position(**row) for row in rows])


def arrow_of(day: SmallDay, rows_a_message: int = 1_000) -> list[pb.RunLotteryRequest]:
    """The day as Arrow payloads."""
    return [
        pb.RunLotteryRequest(arrow_notices=payload)
        for payload in _payloads(day.notices, NOTICE_ROWS, rows_a_message)
    ] + [
        pb.RunLotteryRequest(arrow_positions=payload)
        for payload in _payloads(day.positions, POSITION_ROWS, rows_a_message)
    ]


def run_day(stubs: Stubs, day: SmallDay, **spec: Any) -> pb.RunLotteryResponse:
    """Runs a day as rows."""
    return run_messages(stubs, [spec_of(day, **spec), *rows_of(day)])


def run_messages(stubs: Stubs, messages: Sequence[pb.RunLotteryRequest]) -> pb.RunLotteryResponse:
    """Runs what the messages say."""
    return stubs.lottery.RunLottery(iter(messages), timeout=PATIENCE)


def series_request(
    series: str = "AAPL  240920C00220000", assigned_quantity: int = 10, **given: Any
) -> pb.AllocateSeriesRequest:
    """The published example, or what is given in its place."""
    positions = given.pop("positions", {"1046": 30, "1047": 30, "1048": 5})
    asks = given.pop("asks", ASKS)
    return pb.AllocateSeriesRequest(
        **{
            "business_date": date_of(DATE),
            "series": series,
            "assigned_quantity": assigned_quantity,
            "exchange_asks": asks_of(asks),
            "positions": [
                pb.AccountPosition(account=account, short_quantity=short)
                for account, short in positions.items()
            ],
            **given,
        }
    )


def odds_request(
    series: str = "AAPL  240920C00220000", assigned_quantity: int = 10, **given: Any
) -> pb.GetOddsRequest:
    """The published example's pool, or what is given in its place."""
    positions = given.pop("positions", {"1046": 30, "1047": 30, "1048": 5})
    return pb.GetOddsRequest(
        series=series,
        assigned_quantity=assigned_quantity,
        positions=[
            pb.AccountPosition(account=account, short_quantity=short)
            for account, short in positions.items()
        ],
        **given,
    )


def failure_of(call: Callable[[], object]) -> Failure:
    """What a call fails with; a stream is read to its end."""
    with pytest.raises(grpc.RpcError) as caught:
        _finish(call())
    return failure_in(caught.value)


def failure_in(error: Any) -> Failure:
    """What an error of a call says."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        assert detail.Unpack(info) or detail.Unpack(request)
    return Failure(
        code=error.code(),
        message=error.details() or "",
        domain=info.domain,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=[
            (violation.field, violation.description, violation.reason)
            for violation in request.field_violations
        ],
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread or process brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def run_count(stubs: Stubs) -> int:
    """How many runs are recorded."""
    return len(stubs.lottery.ListRuns(pb.ListRunsRequest(page_size=1_000)).runs)


def _finish(answer: object) -> None:
    if isinstance(answer, Iterator):
        list(answer)


def _notice(**row: Any) -> lottery_pb2.Notice:
    return lottery_pb2.Notice(**row)


def _position(**row: Any) -> lottery_pb2.Position:
    return lottery_pb2.Position(**row)


def _payloads(rows: Sequence[Row], schema: pa.Schema, size: int) -> list[bytes]:
    return [
        arrow_payload(table_of(rows[start : start + size], schema))
        for start in range(0, len(rows), size)
    ]
