"""Servers on loopback, stubs and messages for them, and what a failed call says."""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.type import date_pb2
from grpc_status import rpc_status

from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.ledger.entry import as_json
from lottery.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    lottery_pb2,
    lottery_service_pb2_grpc,
)
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer, create_server
from server.settings import Settings
from tests.builders import AAPL, ASKS, DATE, TRUSTED, SmallDay, arrow_payload, made, table_of

SERVICES: Final = (
    pb.DESCRIPTOR.services_by_name["LotteryService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
)
METHODS: Final = {
    method.input_type.full_name: method for service in SERVICES for method in service.methods
}
"""Every method of both services, by the full name of its request."""
LOOPBACK = "127.0.0.1:0"
PATIENCE = 60.0
"""Time in seconds after which a call that should have been answered fails its test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """Both services on one channel, as a client without any options has them."""

    channel: grpc.Channel
    lottery: lottery_service_pb2_grpc.LotteryServiceStub
    audit: audit_service_pb2_grpc.AuditServiceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The status of a failed call and the details in its trailing metadata."""

    code: grpc.StatusCode
    message: str
    domain: str
    reason: str
    metadata: Mapping[str, str]
    violations: Sequence[tuple[str, str, str]]
    retry_seconds: int

    @property
    def fields(self) -> list[str]:
        """The fields with problems."""
        return [field for field, _, _ in self.violations]

    @property
    def status(self) -> tuple[grpc.StatusCode, str]:
        """The code and the reason."""
        return self.code, self.reason


class Stream:
    """A client's stream that stays open until `end` is called."""

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
    """Return settings with free ports of loopback, where local callers are trusted without TLS."""
    is_local = not {"tls_certificate", "tls_key", "tls_client_ca"} & set(given)
    given = {"trust_local": TRUSTED if is_local else None} | given
    ports = {"listen": LOOPBACK, "health_listen": LOOPBACK, "metrics_listen": ""}
    return Settings(**{**ports, "ledger": str(ledger), "grace_seconds": 20.0, **given})


@contextmanager
def serving(ledger: Path, **given: Any) -> Iterator[LotteryServer]:
    """Run a server during the block; its ledger is made if there is none."""
    made(ledger)
    server = create_server(settings_of(ledger, **given))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connected(port: int, credentials: grpc.ChannelCredentials | None = None) -> Iterator[Stubs]:
    """Connect a client during the block."""
    target = f"127.0.0.1:{port}"
    with (
        grpc.insecure_channel(target)
        if credentials is None
        else grpc.secure_channel(target, credentials)
    ) as channel:
        yield Stubs(
            channel=channel,
            lottery=lottery_service_pb2_grpc.LotteryServiceStub(channel),
            audit=audit_service_pb2_grpc.AuditServiceStub(channel),
        )


@contextmanager
def called(ledger: Path, **given: Any) -> Iterator[Stubs]:
    """Run a server and connect a client to it during the block."""
    with serving(ledger, **given) as server, connected(server.port) as stubs:
        yield stubs


def date_of(date: dt.date) -> date_pb2.Date:
    """Convert a date to a message."""
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def asks_of(asks: Mapping[str, str]) -> list[lottery_pb2.ExchangeAsk]:
    """Convert asks to messages."""
    return [
        lottery_pb2.ExchangeAsk(security_number=number, ask_price=ask)
        for number, ask in asks.items()
    ]


def spec_of(day: SmallDay, **given: Any) -> pb.RunLotteryRequest:
    """Return the first message of a run."""
    return pb.RunLotteryRequest(
        spec=pb.RunSpec(
            **{"business_date": date_of(day.date), "exchange_asks": asks_of(day.asks), **given}
        )
    )


def rows_of(day: SmallDay) -> list[pb.RunLotteryRequest]:
    """Return a message for each row, notices before positions."""
    return [notices_of(row) for row in day.notices] + [positions_of(row) for row in day.positions]


def messages_of(day: SmallDay, **spec: Any) -> list[pb.RunLotteryRequest]:
    """Return all messages of a day, with a message for each row."""
    return [spec_of(day, **spec), *rows_of(day)]


def notices_of(*rows: Any) -> pb.RunLotteryRequest:
    """Return one message of notices."""
    return pb.RunLotteryRequest(notices=rows)


def positions_of(*rows: Any) -> pb.RunLotteryRequest:
    """Return one message of positions."""
    return pb.RunLotteryRequest(positions=rows)


def arrow_of(day: SmallDay, rows_per_message: int = 1_000) -> list[pb.RunLotteryRequest]:
    """Return messages of Arrow, notices before positions."""
    messages = []
    for field, rows, schema in (
        ("arrow_notices", day.notices, NOTICE_ROWS),
        ("arrow_positions", day.positions, POSITION_ROWS),
    ):
        for start in range(0, len(rows), rows_per_message):
            payload: Any = arrow_payload(table_of(rows[start : start + rows_per_message], schema))
            messages.append(pb.RunLotteryRequest(**{field: payload}))
    return messages


def run_day(stubs: Stubs, day: SmallDay, **spec: Any) -> pb.RunLotteryResponse:
    """Run a day that is sent as rows."""
    return run_messages(stubs, messages_of(day, **spec))


def run_messages(stubs: Stubs, messages: Sequence[pb.RunLotteryRequest]) -> pb.RunLotteryResponse:
    """Run a day that is sent as these messages."""
    return stubs.lottery.RunLottery(iter(messages), timeout=PATIENCE)


def series_request(**given: Any) -> pb.AllocateSeriesRequest:
    """Return the request to allocate the published pool, with other values where given."""
    asks = given.pop("asks", ASKS)
    fields = {"business_date": date_of(DATE), "exchange_asks": asks_of(asks), **given}
    return pb.AllocateSeriesRequest(**_pool_of(fields))


def odds_request(**given: Any) -> pb.GetOddsRequest:
    """Return the request for the published pool's odds, with other values where given."""
    return pb.GetOddsRequest(**_pool_of(given))


def _pool_of(given: Mapping[str, Any]) -> dict[str, Any]:
    positions = given.get("positions", {"1046": 30, "1047": 30, "1048": 5})
    return {
        "series": AAPL,
        "assigned_quantity": 10,
        **given,
        "positions": [
            pb.AccountPosition(account=account, short_quantity=short)
            for account, short in positions.items()
        ],
    }


def failure_of(call: Callable[[], object]) -> Failure:
    """Return how a call fails; a stream is read to its end."""
    with pytest.raises(grpc.RpcError) as caught:
        read(call())
    return failure_in(caught.value)


def failure_to(stubs: Stubs, request: Message | Sequence[pb.RunLotteryRequest]) -> Failure:
    """Return how the method fails whose request this is."""
    return failure_of(lambda: send(stubs, request))


def send(stubs: Stubs, request: Message | Sequence[pb.RunLotteryRequest]) -> object:
    """Call the method whose request this is; several messages are a run's."""
    if not isinstance(request, Message):
        return run_messages(stubs, request)
    method = method_of(request)
    service = stubs.lottery if method.containing_service == SERVICES[0] else stubs.audit
    return getattr(service, method.name)(request)


def method_of(request: Message | Sequence[pb.RunLotteryRequest]) -> Any:
    """Return the descriptor of the method whose request this is."""
    message = request if isinstance(request, Message) else request[0]
    return METHODS[message.DESCRIPTOR.full_name]


def failure_in(error: Any) -> Failure:
    """Return what the error of a call says."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        assert detail.Unpack(info) or detail.Unpack(request) or detail.Unpack(retry)
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
        retry_seconds=retry.retry_delay.seconds,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread or process brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.01)


def folder_of(server: LotteryServer) -> Path:
    """Return the directory of a server's ledger."""
    return Path(server.ledger.ports.objects.place)


def trail_of(server: LotteryServer) -> list[dict[str, Any]]:
    """Return the entries of a server's log that are not of a run, without the charter."""
    return [as_json(entry) for entry in server.ledger.trail()][1:]


def run_count(stubs: Stubs) -> int:
    """Return the number of recorded runs."""
    return len(stubs.lottery.ListRuns(pb.ListRunsRequest(page_size=1_000)).runs)


def read(answer: object) -> None:
    """Read an answer to its end if it is a stream."""
    if isinstance(answer, Iterator):
        list(answer)
