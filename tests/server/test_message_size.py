"""Messages of very many records are refused before they are parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message

from lottery.errors import LimitExceeded
from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.message_size import RECORDS, _singular_messages, count_records, parse_bounded
from tests.builders import PUBLISHED
from tests.server.calls import (
    Stubs,
    called,
    failure_of,
    failure_to,
    odds_request,
    run_count,
    series_request,
    spec_of,
)

EMPTY_POSITIONS: Final = b"\x1a\x00"
EMPTY_ASKS: Final = b"\x12\x00"
EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
INNER: Final = _singular_messages(pb.RunLotteryRequest.DESCRIPTOR)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    with called(tmp_path_factory.mktemp("sizes") / "ledger") as stubs:
        yield stubs


def records_of(message: bytes) -> int:
    """Count as Python and compiled."""
    data = np.frombuffer(message, np.uint8)
    loops = (count_records.interpreted, count_records.compiled())
    counts = {loop(data, INNER, RECORDS) for loop in loops}
    (count,) = counts
    return int(count)


def test_very_many_empty_positions_are_refused_unread(stubs: Stubs) -> None:
    bomb = pb.RunLotteryRequest()
    bomb.spec.CopyFrom(spec_of(PUBLISHED).spec)
    bomb.positions.extend([lottery_pb2.Position()] * RECORDS)

    failure = failure_to(stubs, [bomb])

    assert failure.status == (EXHAUSTED, "LIMIT_EXCEEDED")
    assert failure.metadata == {"limit": "records=1048576"}
    assert run_count(stubs) == 0


def test_very_many_asks_of_a_spec_are_refused_unread(stubs: Stubs) -> None:
    bomb = spec_of(PUBLISHED)
    bomb.spec.exchange_asks.extend([lottery_pb2.ExchangeAsk()] * RECORDS)

    assert failure_to(stubs, [bomb]).metadata == {"limit": "records=1048576"}


def test_very_many_values_of_a_single_message_are_refused_unread(stubs: Stubs) -> None:
    series, odds = series_request(), odds_request()
    for pool in (series, odds):
        pool.positions.extend([pb.AccountPosition()] * RECORDS)
    keys = audit_pb.VerifyLedgerRequest(keys=[""] * (RECORDS + 1))
    seed = pb.DeriveSeedRequest(exchange_asks=[lottery_pb2.ExchangeAsk()] * (RECORDS + 1))

    requests: tuple[Message, ...] = (series, odds, keys, seed)
    for request in requests:
        failure = failure_to(stubs, request)
        assert failure.status == (EXHAUSTED, "LIMIT_EXCEEDED")
        assert failure.metadata == {"limit": "records=1048576"}


def test_a_large_message_of_few_rows_is_read(stubs: Stubs) -> None:
    request = series_request(series="A" * (2 << 20))

    assert failure_to(stubs, request).status == (INVALID, "INVALID_INPUT")


def test_a_large_message_that_is_none_is_left_to_the_parser() -> None:
    with pytest.raises(DecodeError):
        parse_bounded(pb.RunLotteryRequest.FromString, b"\x0f" * (2 << 20))


def test_many_keys_and_values_of_a_spec_are_refused(stubs: Stubs) -> None:
    spec = spec_of(PUBLISHED)
    spec.spec.supersedes.extend(["latest"] * 1_001)
    failure = failure_to(stubs, [spec])
    assert failure.fields == ["spec.supersedes"]
    assert failure.violations[0][1] == "expected at most 1,000 of them, got 1,001"

    failure = failure_of(
        lambda: stubs.audit.VerifyLedger(audit_pb.VerifyLedgerRequest(keys=["-"] * 101))
    )
    assert failure.fields == ["keys"]
    assert failure.violations[0][1] == "expected at most 100 keys, got 101"


def test_records_are_counted_as_protobuf_has_them() -> None:
    message = pb.RunLotteryRequest(arrow_positions=b"\x1a\x00" * 1_000)
    message.spec.business_date.year = 2024
    message.spec.exchange_asks.extend([lottery_pb2.ExchangeAsk(ask_price="1.00")] * 10)
    message.positions.extend([lottery_pb2.Position(series="A" * 200, short_quantity=-1)] * 20)
    # The spec, its date, the date's year, the asks, the positions, the payload.
    assert records_of(message.SerializeToString()) == 1 + 1 + 1 + 10 + 20 + 1


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (b"", 0),
        (b"\x1a\x00\x1a\x00", 2),
        (b"\x08\x80\x01\x1a\x00", 2),
        (b"\x09" + bytes(8) + b"\x0d" + bytes(4), 2),
        (b"\x1a\x7f\x00", 1),
        (b"\x0b\x1a\x00", 1),
        (b"\x80", 1),
        (b"\xff" * 20, 1),
    ],
    ids=["empty", "rows", "varint", "fixed", "cut short", "group", "half a tag", "no tag"],
)
def test_what_cannot_be_read_ends_the_count(message: bytes, count: int) -> None:
    assert records_of(message) == count


def test_the_count_ends_with_the_first_record_too_many() -> None:
    data = np.frombuffer(EMPTY_ASKS * 10, np.uint8)
    loops = (count_records.interpreted, count_records.compiled())
    assert {loop(data, INNER, 3) for loop in loops} == {4}
    assert {loop(data, INNER, 10) for loop in loops} == {10}


def test_the_limit_is_named_with_what_to_do() -> None:
    with pytest.raises(LimitExceeded) as refused:
        parse_bounded(pb.AllocateSeriesRequest.FromString, EMPTY_ASKS * (RECORDS + 1))
    assert str(refused.value) == (
        "expected at most 1,048,576 rows and other values in one message, got more; send rows in "
        "several messages or as Arrow"
    )
    message = parse_bounded(pb.RunLotteryRequest.FromString, EMPTY_POSITIONS * RECORDS)
    assert len(message.positions) == RECORDS
