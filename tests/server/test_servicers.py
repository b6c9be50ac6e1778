"""The servicers by themselves, through grpcio-testing: a real ledger and no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message
from google.type import date_pb2

from lottery.operations.variables import Variables
from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.audit_service import AuditService
from server.lottery_service import LotteryService
from tests.builders import (
    AAPL,
    ASKS,
    FULL,
    GE,
    GOOGL,
    META,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    made,
)
from tests.server.calls import (
    METHODS,
    SERVICES,
    asks_of,
    date_of,
    messages_of,
    method_of,
    odds_request,
    series_request,
    spec_of,
)

MAX_ROWS: Final = 1_000
RUN: Final = "2024-09-16-001"

Request = Message | Sequence[pb.RunLotteryRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call ended with; grpcio-testing drops the trailing metadata of one that aborts."""

    responses: Sequence[Any]
    code: grpc.StatusCode
    message: str


class Servicers:
    """Both servicers over one ledger."""

    def __init__(self, folder: Path) -> None:
        self.ledger = ledger = made(folder)
        lottery = LotteryService(ledger, max_rows=MAX_ROWS, identify=lambda: TESTER)
        auditing: Any = AuditService(
            ledger, settings=Variables(ledger=str(folder)), identify=lambda: TESTER
        )
        self._server = grpc_testing.server_from_dictionary(
            dict(zip(SERVICES, (lottery, auditing), strict=True)), grpc_testing.strict_real_time()
        )

    def call(self, request: Request) -> Answer:
        """Call the method whose request this is; several messages are a run's."""
        method = method_of(request)
        if not isinstance(request, Message):
            call = self._server.invoke_stream_unary(method, (), None)
            for message in request:
                call.send_request(message)
            call.requests_closed()
        elif method.server_streaming:
            call = self._server.invoke_unary_stream(method, (), request, None)
            _, code, message = call.termination()
            return Answer(responses=list(taken(call)), code=code, message=message)
        else:
            call = self._server.invoke_unary_unary(method, (), request, None)
        response, _, code, message = call.termination()
        responses = [] if response is None else [response]
        return Answer(responses=responses, code=code, message=message)


def taken(call: Any) -> Iterator[Any]:
    """Take the responses of a call that has ended; grpcio-testing raises after the last one."""
    while True:
        try:
            yield call.take_response()
        except ValueError:
            return


@pytest.fixture(scope="module")
def servicers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servicers]:
    """Return servicers over a ledger in which only `FULL` is recorded."""
    servicers = Servicers(tmp_path_factory.mktemp("servicers") / "ledger")
    (recorded,) = servicers.call(messages_of(FULL)).responses
    assert (recorded.run.run, recorded.already_recorded) == (RUN, False)
    assert b'"requested_by":{"host":"backend",' in recorded.run.record
    yield servicers
    servicers.ledger.close()


ANSWERS: Final[Sequence[tuple[Request, Callable[..., object], object]]] = (
    (
        pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS)),
        lambda answer: (answer.seed.composite, answer.seed.digits, answer.seed.fraction),
        ("282431310", "4313", "0.4314"),
    ),
    (
        series_request(),
        lambda answer: [(row.account, row.assigned_quantity) for row in answer.allocations],
        [("1046", 3), ("1047", 7), ("1048", 0)],
    ),
    (
        messages_of(FULL.shuffled(7)),
        lambda answer: (answer.run.run, answer.already_recorded, answer.run.breaks[0].series),
        (RUN, True, GE),
    ),
    (
        pb.GetCharterRequest(business_date=date_of(FULL.date)),
        lambda answer: (answer.method, answer.decisions["zero_hit"], answer.entry[:24]),
        ("jpms-2024-09-06", "wrap", b'{"approval_reference":""'),
    ),
    (
        pb.ListProposalsRequest(),
        lambda answer: (len(answer.runs), answer.four_eyes),
        (0, False),
    ),
    (
        pb.GetRunRequest(run="latest"),
        lambda answer: (answer.run.run, answer.run.break_count, len(answer.run.breaks)),
        (RUN, 1, 1),
    ),
    (
        pb.ListRunsRequest(),
        lambda answer: [(run.run, run.break_count, len(run.breaks)) for run in answer.runs],
        [(RUN, 1, 0)],
    ),
    (
        pb.StreamAllocationsRequest(run=RUN, series=AAPL, occ_account="C"),
        lambda answer: [row.assigned_quantity for row in answer.allocations],
        [3, 7, 0],
    ),
    (
        pb.ExplainPoolRequest(run=RUN, series=AAPL),
        lambda answer: [(pool.product, pool.pool.first_hit) for pool in answer.workings],
        [("28.041", 28)],
    ),
    (
        odds_request(),
        lambda answer: [account.none_count for account in answer.accounts],
        [4_000, 4_000, 7_846],
    ),
    (
        pb.GetDayRequest(business_date=date_of(FULL.date)),
        lambda day, pools, allocations: (
            (list(day.day.runs), day.day.pool_count, day.day.breaks[0].series),
            [pool.series for pool in pools.pools],
            [row.assigned_quantity for row in allocations.allocations][:3],
        ),
        (([RUN], 4, GE), [AAPL, GE, GOOGL, META], [3, 7, 0]),
    ),
    (
        pb.DiffRunsRequest(run=RUN, other_run="latest"),
        lambda answer: (list(answer.difference.after_runs), answer.difference.after),
        ([RUN], 49),
    ),
    (
        pb.StreamHistoryRequest(series=GE),
        lambda answer: [(row.run, row.break_reason) for row in answer.rows],
        [(RUN, lottery_pb2.BREAK_REASON_EXCEEDS_SHORT)],
    ),
    (audit.ReplayRunRequest(run=RUN), lambda answer: answer.result.matched, True),
    (
        audit.ReplayRunsRequest(),
        lambda answer: (answer.result.run, answer.result.matched),
        (RUN, True),
    ),
    (audit.VerifyLedgerRequest(), lambda answer: answer.sound, True),
    (
        audit.ExportRunRequest(run=RUN),
        lambda run, *parts: (run.run, b"".join(part.data for part in parts)[:4]),
        (RUN, b"PK\3\4"),
    ),
    (audit.GetCheckpointRequest(), lambda answer: answer.tree_size > 0, True),
    (
        audit.GetInclusionProofRequest(run=RUN, tree_size=2),
        lambda answer: (answer.log_index, answer.tree_size, len(answer.hashes)),
        (1, 2, 1),
    ),
    (
        audit.GetConsistencyProofRequest(first_size=1, second_size=1),
        lambda answer: (answer.first_size, answer.second_size, list(answer.hashes)),
        (1, 1, []),
    ),
    (
        audit.GetStatusRequest(),
        lambda answer: (answer.last_run.run, [each.series for each in answer.open_breaks]),
        (RUN, [GE]),
    ),
    (
        audit.StreamEntriesRequest(),
        lambda answer: [entry.type for entry in answer.entries],
        ["charter", "replay", "replay", "export"],
    ),
)
REFUSALS: Final[Sequence[tuple[Request, grpc.StatusCode]]] = (
    (pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS)[:3]), grpc.StatusCode.INVALID_ARGUMENT),
    (series_request(assigned_quantity=66), grpc.StatusCode.FAILED_PRECONDITION),
    (
        series_request(positions={str(account): 1 for account in range(MAX_ROWS + 1)}),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ),
    (odds_request(account="1049"), grpc.StatusCode.INVALID_ARGUMENT),
    ([spec_of(PUBLISHED)] * 2, grpc.StatusCode.INVALID_ARGUMENT),
    (messages_of(replace(FULL, asks=OTHER_ASKS)), grpc.StatusCode.FAILED_PRECONDITION),
    (
        messages_of(FULL, decisions=lottery_pb2.Decisions(zero_hit=lottery_pb2.ZERO_HIT_FIRST)),
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
    (
        pb.GetCharterRequest(business_date=date_pb2.Date(year=2024, month=2, day=30)),
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
    (pb.GetRunRequest(run="2024-09-16-002"), grpc.StatusCode.NOT_FOUND),
    (pb.ApproveRunRequest(run="2024-09-16-002", record_sha256="00"), grpc.StatusCode.NOT_FOUND),
    (
        pb.RejectRunRequest(run=RUN, record_sha256="00", reason="x"),
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    (pb.StreamAllocationsRequest(run="2024-09-16-002"), grpc.StatusCode.NOT_FOUND),
    (pb.ExplainPoolRequest(run=RUN, account="4711"), grpc.StatusCode.NOT_FOUND),
    (
        pb.GetDayRequest(business_date=date_pb2.Date(year=2024, month=9, day=17)),
        grpc.StatusCode.NOT_FOUND,
    ),
    (pb.DiffRunsRequest(run=RUN), grpc.StatusCode.INVALID_ARGUMENT),
    (pb.StreamHistoryRequest(), grpc.StatusCode.INVALID_ARGUMENT),
    (
        audit.ReplayRunsRequest(business_date=date_pb2.Date(year=2024, month=9, day=31)),
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
)


def test_every_method_has_an_answer_here() -> None:
    answered = {method_of(request).name for request, *_ in ANSWERS}

    # They change what the others answer: below, and in test_four_eyes.py, they have another ledger.
    apart = {"WithdrawRun", "ApproveRun", "RejectRun"}
    assert answered == {method.name for method in METHODS.values()} - apart


def test_a_run_is_withdrawn(tmp_path: Path) -> None:
    servicers = Servicers(tmp_path / "ledger")
    servicers.call(messages_of(PUBLISHED))
    request = pb.WithdrawRunRequest(run="latest", reason="OCC took the notices back")

    (answer,) = servicers.call(request).responses

    assert (answer.run.state, answer.already_recorded) == (lottery_pb2.RUN_STATE_WITHDRAWN, False)
    assert (list(answer.run.supersedes), answer.run.reason) == ([RUN], request.reason)
    assert servicers.call(request).code is grpc.StatusCode.INVALID_ARGUMENT
    servicers.ledger.close()


@pytest.mark.parametrize(
    ("request_of_it", "shown", "expected"),
    ANSWERS,
    ids=[method_of(request).name for request, *_ in ANSWERS],
)
def test_every_method_answers(
    servicers: Servicers, request_of_it: Request, shown: Callable[..., object], expected: object
) -> None:
    answer = servicers.call(request_of_it)

    assert answer.code is grpc.StatusCode.OK, answer.message
    assert shown(*answer.responses) == expected


@pytest.mark.parametrize(
    ("request_of_it", "code"), REFUSALS, ids=[method_of(request).name for request, _ in REFUSALS]
)
def test_a_refusal_has_its_status_and_no_response(
    servicers: Servicers, request_of_it: Request, code: grpc.StatusCode
) -> None:
    answer = servicers.call(request_of_it)

    assert (answer.code, answer.responses) == (code, [])
    assert answer.message
