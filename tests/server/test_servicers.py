"""The servicers by themselves, through grpcio-testing: no socket, real operations and ledger."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.type import date_pb2

from lottery.ledger.commit import Ledger
from lottery.v1 import audit_service_pb2, audit_service_pb2_grpc, lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.audit_service import AuditService
from server.lottery_service import LotteryService
from tests import reference
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    FULL,
    GE,
    GOOGL,
    META,
    NEXT_DATE,
    PUBLISHED,
    TESTER,
    SmallDay,
)
from tests.server.calls import asks_of, date_of, odds_request, rows_of, series_request, spec_of

LOTTERY = pb.DESCRIPTOR.services_by_name["LotteryService"]
AUDIT = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
MAX_ROWS = 1_000
LOCK_SECONDS = 5.0

Answer = tuple[Any, grpc.StatusCode, str]


class Servicers:
    """Both servicers over one ledger, called as grpcio-testing calls them."""

    def __init__(self, ledger: Ledger) -> None:
        audit: audit_service_pb2_grpc.AuditServiceServicer = AuditService(
            ledger, lock_seconds=LOCK_SECONDS, identify=lambda _: TESTER
        )
        lottery = LotteryService(ledger, max_rows=MAX_ROWS, identify=lambda _: TESTER)
        self._server = grpc_testing.server_from_dictionary(
            {LOTTERY: lottery, AUDIT: audit}, grpc_testing.strict_real_time()
        )

    def call(self, name: str, request: Any) -> Answer:
        """A unary call's response, code and message."""
        call = self._server.invoke_unary_unary(_method(name), (), request, None)
        response, _, code, details = call.termination()
        return response, code, details

    def answer(self, name: str, request: Any) -> Any:
        """The response of a unary call that succeeds."""
        response, code, details = self.call(name, request)
        assert code is grpc.StatusCode.OK, details
        return response

    def stream(self, name: str, request: Any) -> tuple[list[Any], grpc.StatusCode]:
        """All responses of a call that streams them, and its code."""
        call = self._server.invoke_unary_stream(_method(name), (), request, None)
        _, code, _ = call.termination()
        responses = []
        if code is grpc.StatusCode.OK:
            while (response := _take(call)) is not None:
                responses.append(response)
        return responses, code

    def run(self, messages: Sequence[pb.RunLotteryRequest]) -> Answer:
        """RunLottery's response, code and message."""
        call = self._server.invoke_stream_unary(_method("RunLottery"), (), None)
        for message in messages:
            call.send_request(message)
        call.requests_closed()
        response, _, code, details = call.termination()
        return response, code, details

    def run_day(self, day: SmallDay) -> pb.RunLotteryResponse:
        """The response of a day that is recorded."""
        response, code, details = self.run([spec_of(day), *rows_of(day)])
        assert code is grpc.StatusCode.OK, details
        assert isinstance(response, pb.RunLotteryResponse)
        return response


@pytest.fixture
def servicers(tmp_path: Path) -> Iterator[Servicers]:
    ledger = Ledger.create(tmp_path / "ledger")
    yield Servicers(ledger)
    ledger.close()


@pytest.fixture(scope="module")
def servicers_without_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servicers]:
    """For calls that record nothing: one empty ledger for all of them."""
    ledger = Ledger.create(tmp_path_factory.mktemp("empty") / "ledger")
    yield Servicers(ledger)
    ledger.close()


def test_the_published_asks_give_the_published_seed_with_every_step(
    servicers_without_runs: Servicers,
) -> None:
    seed = servicers_without_runs.answer(
        "DeriveSeed", pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))
    ).seed

    assert [(row.security_number, row.ask_price, row.volume) for row in seed.volumes] == [
        ("Z901803", "862.45713", 86_245_713),
        ("Z901439", "118.20946", 11_820_946),
        ("Z901466", "407.93388", 40_793_388),
        ("Z901448", "1435.71263", 143_571_263),
    ]
    assert (seed.composite, seed.length, seed.cut_position) == ("282431310", 9, 4)
    assert (seed.digits, seed.fraction) == ("4313", "0.4314")


def test_an_ask_of_zero_is_allowed_and_worth_a_look(servicers_without_runs: Servicers) -> None:
    asks = asks_of({**ASKS, "Z901439": "0"})

    warnings = servicers_without_runs.answer(
        "DeriveSeed", pb.DeriveSeedRequest(exchange_asks=asks)
    ).warnings

    assert [(warning.code, warning.rule) for warning in warnings] == [("ZERO_ASK", "S2")]


def test_a_seed_of_three_asks_is_an_invalid_argument(servicers_without_runs: Servicers) -> None:
    request = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS)[:3])

    _, code, message = servicers_without_runs.call("DeriveSeed", request)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Z901448" in message


def test_the_published_pool_is_assigned_3_7_and_0_from_28_on(
    servicers_without_runs: Servicers,
) -> None:
    response = servicers_without_runs.answer("AllocateSeries", series_request())

    assert (response.seed.composite, response.seed.digits) == ("282431310", "4313")
    assert response.seed.fraction == "0.4314"
    assert response.pool == lottery_pb2.Pool(
        series=AAPL,
        notice_count=1,
        assigned_quantity=10,
        total_short=65,
        first_hit=28,
        account_count=3,
        hit_account_count=2,
    )
    assert [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in response.allocations
    ] == [("1046", 30, 1, 30, 3), ("1047", 30, 31, 60, 7), ("1048", 5, 61, 65, 0)]
    assert {(row.occ_account, row.series) for row in response.allocations} == {("", AAPL)}


def test_a_compact_series_is_answered_padded_and_with_its_occ_account(
    servicers_without_runs: Servicers,
) -> None:
    request = series_request(series="AAPL240920C00220000", occ_account="C/ZZZ")

    response = servicers_without_runs.answer("AllocateSeries", request)

    assert (response.pool.series, response.pool.occ_account) == (AAPL, "C/ZZZ")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("zero_hit", ["wrap", "first"])
@pytest.mark.parametrize("account_order", ["numeric", "code-point"])
def test_any_pool_is_allocated_as_the_reference_allocates_it(
    servicers_without_runs: Servicers, seed: int, zero_hit: Any, account_order: Any
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    digits = chance.choice([2, 7, 18, 29])
    accounts = {chance.randrange(1, 10**digits) for _ in range(chance.randint(1, 60))}
    positions = {str(account): chance.choice([0, 1, 2, 700, 3_000_000]) for account in accounts}
    positions["4711"] = 5
    assigned = chance.randint(1, min(sum(positions.values()), 5_000))
    fraction = reference.seed_of(ASKS).fraction
    expected = reference.allocate_pool(
        list(positions.items()),
        assigned,
        fraction,
        zero_hit=zero_hit,
        account_order=account_order,
    )

    response = servicers_without_runs.answer(
        "AllocateSeries",
        series_request(
            assigned_quantity=assigned,
            positions=positions,
            decisions=lottery_pb2.Decisions(zero_hit=zero_hit, account_order=account_order),
        ),
    )

    assert [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in response.allocations
    ] == [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in expected.accounts
    ]
    pool = response.pool
    assert (pool.first_hit, pool.total_short) == (expected.first_hit, expected.total_short)
    assert pool.account_count == expected.account_count
    assert pool.hit_account_count == expected.hit_account_count


@pytest.mark.parametrize(
    ("request_of_it", "code"),
    [
        (series_request(assigned_quantity=66), grpc.StatusCode.FAILED_PRECONDITION),
        (series_request(positions={}), grpc.StatusCode.FAILED_PRECONDITION),
        (
            series_request(business_date=date_pb2.Date(year=2024, month=9, day=5)),
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        (series_request(series="AAPL"), grpc.StatusCode.INVALID_ARGUMENT),
        (series_request(assigned_quantity=0), grpc.StatusCode.INVALID_ARGUMENT),
        (series_request(occ_account="no blanks"), grpc.StatusCode.INVALID_ARGUMENT),
        (series_request(positions={"1046": -1}), grpc.StatusCode.INVALID_ARGUMENT),
        (series_request(positions={"7": 1, "007": 1}), grpc.StatusCode.INVALID_ARGUMENT),
        (
            series_request(positions={"1": 2**63 - 1, "2": 1}),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            series_request(positions={str(account): 1 for account in range(MAX_ROWS + 1)}),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
    ids=[
        "more assigned than short",
        "no position",
        "before the method",
        "no series",
        "nothing assigned",
        "no OCC account",
        "a negative short",
        "one account in two spellings",
        "more short than 64 bits",
        "more rows than the limit",
    ],
)
def test_one_pool_that_cannot_be_allocated_has_its_status(
    servicers_without_runs: Servicers,
    request_of_it: pb.AllocateSeriesRequest,
    code: grpc.StatusCode,
) -> None:
    assert servicers_without_runs.call("AllocateSeries", request_of_it)[1] is code


def test_the_published_pools_odds_are_answered_exactly(servicers_without_runs: Servicers) -> None:
    response = servicers_without_runs.answer("GetOdds", odds_request())

    assert (response.series, response.occ_account) == (AAPL, "")
    assert (response.method, response.zero_hit) == ("jpms-2024-09-06", "wrap")
    assert (response.assigned_quantity, response.total_short) == (10, 65)
    assert (response.account_count, response.never_first) == (3, 0)
    last = response.accounts[2]
    assert (last.account, last.short_quantity) == ("1048", 5)
    assert (last.first_number, last.last_number) == (61, 65)
    assert (last.none_count, last.full_count) == (7_846, 923)
    assert [chance.fraction_count for chance in last.chances] == [7_846, 308, 307, 308, 308, 923]
    assert last.mean == pb.Figure(fraction="7693/10000", decimal="0.7693")
    assert last.share_quantity.fraction == "10/13"
    assert last.mean_less_share.fraction == "9/130000"
    assert last.random_draw.none == pb.Figure(decimal="0.42116321674095338823")
    assert last.occ_wheel.none == pb.Figure(fraction="51/65", decimal="0.78461538461538461538")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("zero_hit", ["wrap", "first"])
@pytest.mark.parametrize("account_order", ["numeric", "code-point"])
def test_any_pools_odds_have_the_references_ranges_and_sum_to_one(
    servicers_without_runs: Servicers, seed: int, zero_hit: Any, account_order: Any
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    accounts = {chance.randrange(1, 10**29) for _ in range(chance.randint(1, 40))}
    positions = {str(account): chance.choice([0, 1, 2, 700]) for account in accounts}
    positions["4711"] = 5
    assigned = chance.randint(1, sum(positions.values()))
    fraction = reference.seed_of(ASKS).fraction
    expected = reference.allocate_pool(
        list(positions.items()),
        assigned,
        fraction,
        zero_hit=zero_hit,
        account_order=account_order,
    )

    response = servicers_without_runs.answer(
        "GetOdds",
        odds_request(
            assigned_quantity=assigned,
            positions=positions,
            decisions=lottery_pb2.Decisions(zero_hit=zero_hit, account_order=account_order),
        ),
    )

    assert [
        (odds.account, odds.short_quantity, odds.first_number, odds.last_number)
        for odds in response.accounts
    ] == [
        (row.account, row.short_quantity, row.first_number, row.last_number)
        for row in expected.accounts
    ]
    for odds, row in zip(response.accounts, expected.accounts, strict=True):
        counts = {each.assigned_quantity: each.fraction_count for each in odds.chances}
        assert sum(counts.values()) == 10_000
        assert row.assigned_quantity in counts


@pytest.mark.parametrize(
    ("request_of_it", "code"),
    [
        (odds_request(assigned_quantity=66), grpc.StatusCode.FAILED_PRECONDITION),
        (odds_request(positions={}), grpc.StatusCode.FAILED_PRECONDITION),
        (odds_request(series="AAPL"), grpc.StatusCode.INVALID_ARGUMENT),
        (odds_request(assigned_quantity=0), grpc.StatusCode.INVALID_ARGUMENT),
        (odds_request(positions={"7": 1, "007": 1}), grpc.StatusCode.INVALID_ARGUMENT),
        (odds_request(positions={"1": 2**63 - 1, "2": 1}), grpc.StatusCode.INVALID_ARGUMENT),
        (odds_request(account="1049"), grpc.StatusCode.INVALID_ARGUMENT),
        (
            odds_request(positions={str(account): 1 for account in range(MAX_ROWS + 1)}),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
    ids=[
        "more assigned than short",
        "no position",
        "no series",
        "nothing assigned",
        "one account in two spellings",
        "more short than 64 bits",
        "an account that is not in the pool",
        "more rows than the limit",
    ],
)
def test_a_pool_without_odds_has_its_status(
    servicers_without_runs: Servicers, request_of_it: pb.GetOddsRequest, code: grpc.StatusCode
) -> None:
    assert servicers_without_runs.call("GetOdds", request_of_it)[1] is code


def test_a_day_of_rows_is_recorded_with_its_breaks(servicers: Servicers) -> None:
    response = servicers.run_day(FULL)

    run = response.run
    assert (run.run, response.already_recorded) == ("2024-09-16-001", False)
    assert run.state == lottery_pb2.RUN_STATE_ALLOCATED_WITH_BREAKS
    assert (run.pool_count, run.notice_count, run.assigned_quantity) == (4, 6, 74)
    assert run.allocated_quantity == 74 - 25
    assert [(row.series, row.reason, row.assigned_quantity) for row in run.breaks] == [
        (GE, "EXCEEDS_SHORT", 25)
    ]
    assert run.seed.fraction == "0.4314"


def test_the_same_day_again_is_answered_by_the_run_that_has_it(servicers: Servicers) -> None:
    first = servicers.run_day(FULL)

    again = servicers.run_day(FULL.shuffled(7))

    assert again.already_recorded
    assert again.run == first.run


def test_who_asked_is_in_the_record(servicers: Servicers) -> None:
    record = servicers.run_day(PUBLISHED).run.record

    assert b'"requested_by":{"host":"backend","kind":"system-user","name":"tester"}' in record


def test_a_run_is_got_by_its_id_and_as_the_latest(servicers: Servicers) -> None:
    run = servicers.run_day(PUBLISHED).run

    assert servicers.answer("GetRun", pb.GetRunRequest(run=run.run)).run == run
    assert servicers.answer("GetRun", pb.GetRunRequest(run="latest")).run == run


def test_no_run_is_the_latest_of_an_empty_ledger(servicers: Servicers) -> None:
    _, code, message = servicers.call("GetRun", pb.GetRunRequest(run="latest"))

    assert (code, message) == (grpc.StatusCode.NOT_FOUND, "no run is recorded yet")


def test_runs_are_listed_by_date(servicers: Servicers) -> None:
    servicers.run_day(SmallDay(notices=FULL.notices, positions=FULL.positions, date=NEXT_DATE))
    servicers.run_day(PUBLISHED)

    every = servicers.answer("ListRuns", pb.ListRunsRequest())
    first = servicers.answer("ListRuns", pb.ListRunsRequest(last_date=date_of(DATE)))
    second = servicers.answer("ListRuns", pb.ListRunsRequest(first_date=date_of(NEXT_DATE)))

    assert [run.run for run in every.runs] == ["2024-09-16-001", "2024-09-17-001"]
    assert [run.run for run in first.runs] == ["2024-09-16-001"]
    assert [run.run for run in second.runs] == ["2024-09-17-001"]


@pytest.mark.parametrize(
    "request_of_it",
    [
        pb.ListRunsRequest(page_token="tomorrow"),  # noqa: S106 - no secret.
        pb.ListRunsRequest(first_date=date_pb2.Date(year=2024, month=2, day=30)),
        pb.ListRunsRequest(last_date=date_pb2.Date(year=2024)),
    ],
    ids=["a foreign page token", "no first date", "no last date"],
)
def test_a_list_of_nothing_that_exists_is_an_invalid_argument(
    servicers: Servicers, request_of_it: pb.ListRunsRequest
) -> None:
    assert servicers.call("ListRuns", request_of_it)[1] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_pools_working_is_the_documents_example(servicers: Servicers) -> None:
    servicers.run_day(PUBLISHED)

    (working,) = servicers.answer(
        "ExplainPool", pb.ExplainPoolRequest(run="latest", series="AAPL240920C00220000")
    ).workings

    assert (working.product, working.pool.first_hit, working.zero_hit) == ("28.041", 28, "wrap")
    assert [(row.first_number, row.last_number) for row in working.numbers_hit] == [(28, 37)]
    assert [(row.account, row.assigned_quantity) for row in working.accounts] == [
        ("1046", 3),
        ("1047", 7),
        ("1048", 0),
    ]
    assert [(row.first_number, row.last_number) for row in working.accounts[1].numbers_hit] == [
        (31, 37)
    ]


def test_an_accounts_working_has_every_pool_it_is_in(servicers: Servicers) -> None:
    servicers.run_day(FULL)

    workings = servicers.answer(
        "ExplainPool", pb.ExplainPoolRequest(run="latest", account="0815")
    ).workings

    assert [(working.pool.series, working.pool.break_reason) for working in workings] == [
        (GE, "EXCEEDS_SHORT")
    ]


@pytest.mark.parametrize(
    ("request_of_it", "code"),
    [
        (pb.ExplainPoolRequest(run="2024-09-16-002", series=AAPL), grpc.StatusCode.NOT_FOUND),
        (
            pb.ExplainPoolRequest(run="latest", series="KO    240920C00067500"),
            grpc.StatusCode.NOT_FOUND,
        ),
        (
            pb.ExplainPoolRequest(run="latest", series=AAPL, occ_account="F"),
            grpc.StatusCode.NOT_FOUND,
        ),
        (pb.ExplainPoolRequest(run="latest", account="4711"), grpc.StatusCode.NOT_FOUND),
        (pb.ExplainPoolRequest(run="latest", series="AAPL"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ExplainPoolRequest(run="latest"), grpc.StatusCode.INVALID_ARGUMENT),
        (
            pb.ExplainPoolRequest(run="latest", series=AAPL, account="1046"),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
    ids=[
        "no such run",
        "no assigned pool",
        "another OCC account",
        "no such account",
        "no series",
        "neither series nor account",
        "both series and account",
    ],
)
def test_a_working_that_is_not_there_has_its_status(
    servicers: Servicers, request_of_it: pb.ExplainPoolRequest, code: grpc.StatusCode
) -> None:
    servicers.run_day(FULL)

    assert servicers.call("ExplainPool", request_of_it)[1] is code


def test_allocations_are_streamed_in_account_order_with_the_zeros(servicers: Servicers) -> None:
    servicers.run_day(FULL)
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS).allocations

    responses, code = servicers.stream(
        "StreamAllocations", pb.StreamAllocationsRequest(run="latest")
    )

    assert code is grpc.StatusCode.OK
    rows = [row for response in responses for row in response.allocations]
    assert [{name: getattr(row, name) for name in expected[0]} for row in rows] == expected
    assert {row.series for row in rows} == {AAPL, GOOGL, META}


@pytest.mark.parametrize(
    ("request_of_it", "code"),
    [
        (pb.StreamAllocationsRequest(run="2024-09-16-009"), grpc.StatusCode.NOT_FOUND),
        (
            pb.StreamAllocationsRequest(run="latest", series="AAPL"),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
def test_allocations_that_are_not_there_have_their_status(
    servicers: Servicers, request_of_it: pb.StreamAllocationsRequest, code: grpc.StatusCode
) -> None:
    servicers.run_day(PUBLISHED)

    assert servicers.stream("StreamAllocations", request_of_it) == ([], code)


def test_a_recorded_run_replays(servicers: Servicers) -> None:
    servicers.run_day(FULL)

    response = servicers.answer("ReplayRun", audit_service_pb2.ReplayRunRequest(run="latest"))

    assert response.result == lottery_pb2.ReplayResult(run="2024-09-16-001", matched=True)


def test_no_run_is_replayed_where_there_is_none(servicers: Servicers) -> None:
    request = audit_service_pb2.ReplayRunRequest(run="2024-09-16-001")

    assert servicers.call("ReplayRun", request)[1] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_of_it", "runs"),
    [
        (audit_service_pb2.ReplayDayRequest(), ["2024-09-16-001", "2024-09-17-001"]),
        (audit_service_pb2.ReplayDayRequest(business_date=date_of(DATE)), ["2024-09-16-001"]),
        (audit_service_pb2.ReplayDayRequest(last_date=date_of(DATE)), ["2024-09-16-001"]),
        (
            audit_service_pb2.ReplayDayRequest(
                business_date=date_of(DATE), last_date=date_of(NEXT_DATE)
            ),
            ["2024-09-16-001", "2024-09-17-001"],
        ),
        (
            audit_service_pb2.ReplayDayRequest(
                business_date=date_pb2.Date(year=2024, month=9, day=18)
            ),
            [],
        ),
    ],
    ids=["every date", "one date", "up to a date", "between two", "a date without a run"],
)
def test_dates_are_replayed_run_by_run(
    servicers: Servicers, request_of_it: audit_service_pb2.ReplayDayRequest, runs: list[str]
) -> None:
    servicers.run_day(PUBLISHED)
    servicers.run_day(SmallDay(notices=FULL.notices, positions=FULL.positions, date=NEXT_DATE))

    responses, code = servicers.stream("ReplayDay", request_of_it)

    assert code is grpc.StatusCode.OK
    assert [(response.result.run, response.result.matched) for response in responses] == [
        (run, True) for run in runs
    ]


def test_a_replay_of_no_date_is_an_invalid_argument(servicers: Servicers) -> None:
    request = audit_service_pb2.ReplayDayRequest(
        business_date=date_pb2.Date(year=2024, month=9, day=31)
    )

    assert servicers.stream("ReplayDay", request) == ([], grpc.StatusCode.INVALID_ARGUMENT)


def _method(name: str) -> Any:
    service = LOTTERY if name in LOTTERY.methods_by_name else AUDIT
    return service.methods_by_name[name]


def _take(call: Any) -> Any:
    """The next response of a finished call, or None behind the last one."""
    try:
        return call.take_response()
    except ValueError:
        return None
