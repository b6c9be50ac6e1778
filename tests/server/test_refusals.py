"""What the server refuses, over a socket: the codes of the contract, and details to the field."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grpc
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from google.type import date_pb2

from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import (
    AAPL,
    ASKS,
    FULL,
    META,
    OTHER_ASKS,
    PUBLISHED,
    SPY,
    SmallDay,
    arrow_payload,
    evidence_in,
    notice,
    position,
)
from tests.cli.calls import write_lock
from tests.server.calls import (
    Failure,
    Stubs,
    asks_of,
    called,
    failure_of,
    failure_to,
    messages_of,
    notices_of,
    odds_request,
    positions_of,
    rows_of,
    run_count,
    run_day,
    series_request,
    spec_of,
)

NOT_FOUND: Final = grpc.StatusCode.NOT_FOUND
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION: Final = grpc.StatusCode.FAILED_PRECONDITION
EXISTS: Final = grpc.StatusCode.ALREADY_EXISTS
EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
NO_SPEC: Final = "expected a spec in the first message, got none"
TWO_SPECS: Final = "expected one spec, got a second one"
BEFORE: Final = date_pb2.Date(year=2024, month=9, day=5)
NO_DECISION: Final = lottery_pb2.Decisions(zero_hit=99)  # type: ignore[arg-type]
NO_DATE: Final = date_pb2.Date(year=2024, month=2, day=30)

POSITIONS: Final = pa.table({"series": [AAPL], "account": ["1046"], "short_quantity": [30]})
PAYLOAD: Final = arrow_payload(POSITIONS)
ACCOUNT: Final = PAYLOAD[PAYLOAD.index(b"1046") :][:8]


def refusal_of(stubs: Stubs, messages: Sequence[pb.RunLotteryRequest]) -> Failure:
    """Return how a run fails; nothing of it may be recorded."""
    before = run_count(stubs)
    failure = failure_to(stubs, messages)
    assert run_count(stubs) == before
    return failure


def refusal_of_day(stubs: Stubs, day: SmallDay, **spec: Any) -> Failure:
    return refusal_of(stubs, messages_of(day, **spec))


@pytest.mark.parametrize("call", ["AllocateSeries", "GetOdds"])
@pytest.mark.parametrize(
    ("wrong", "code", "reason", "metadata"),
    [
        (
            {"assigned_quantity": 66},
            PRECONDITION,
            "EXCEEDS_SHORT",
            {"assigned_quantity": "66", "total_short": "65"},
        ),
        *(
            (
                {"positions": positions},
                PRECONDITION,
                "NO_POSITION",
                {"assigned_quantity": "10", "total_short": "0"},
            )
            for positions in ({}, {"1046": 0})
        ),
        *(
            (wrong, INVALID, "INVALID_INPUT", {"problem_count": "1"})
            for wrong in (
                {"series": "AAPL"},
                {"assigned_quantity": 0},
                {"occ_account": "no blanks"},
                {"positions": {"1046": -1}},
                {"positions": {"7": 1, "007": 1}},
                {"positions": {"1": 2**63 - 1, "2": 1}},
            )
        ),
    ],
    ids=[
        "more assigned than short",
        "no position",
        "no open position",
        "no series",
        "nothing assigned",
        "no OCC account",
        "a negative short",
        "one account in two spellings",
        "more short than 64 bits",
    ],
)
def test_a_pool_that_cannot_be_allocated_has_no_odds_either(
    empty: Stubs,
    call: str,
    wrong: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
    metadata: dict[str, str],
) -> None:
    request: Any = {"AllocateSeries": series_request, "GetOdds": odds_request}[call](**wrong)

    failure = failure_of(lambda: getattr(empty.lottery, call)(request))

    assert failure.status == (code, reason)
    assert failure.domain == "lottery.v1"
    assert failure.metadata == metadata


@pytest.mark.parametrize(
    ("request_of_it", "status", "metadata"),
    [
        (pb.DeriveSeedRequest(), (INVALID, "INVALID_SEED"), {"problem_count": "4"}),
        *(
            (request, (PRECONDITION, "METHOD_NOT_IN_FORCE"), {"problem_count": "1"})
            for request in (
                pb.DeriveSeedRequest(business_date=BEFORE, exchange_asks=asks_of(ASKS)),
                series_request(business_date=BEFORE),
                odds_request(business_date=BEFORE),
            )
        ),
        *(
            (request, (INVALID, "INVALID_INPUT"), {"problem_count": "1"})
            for request in (
                odds_request(account="9"),
                pb.ListRunsRequest(page_token="tomorrow"),  # noqa: S106 - no secret.
                pb.ListRunsRequest(
                    page_token="2024-09-16-001",  # noqa: S106 - no secret.
                    first_date=date_pb2.Date(year=2024, month=9, day=17),
                ),
                pb.ListRunsRequest(page_size=-1),
                pb.ListRunsRequest(
                    first_date=date_pb2.Date(year=2024, month=9, day=17),
                    last_date=date_pb2.Date(year=2024, month=9, day=16),
                ),
                pb.ListRunsRequest(first_date=NO_DATE),
                pb.ListRunsRequest(last_date=NO_DATE),
                audit_pb.ReplayRunsRequest(business_date=NO_DATE),
            )
        ),
        *(
            (request, (NOT_FOUND, "RUN_NOT_FOUND"), {"run": request.run})
            for request in (
                pb.GetRunRequest(run="2024-09-16-001"),
                audit_pb.ReplayRunRequest(run="latest"),
            )
        ),
    ],
    ids=[
        "no asks",
        "a seed before the method",
        "a pool before the method",
        "odds before the method",
        "odds of an account that is not in the pool",
        "a foreign page token",
        "a page token of another list",
        "a page of fewer than no runs",
        "a last date before the first",
        "no first date",
        "no last date",
        "no date to replay",
        "no such run",
        "no run to replay",
    ],
)
def test_an_error_has_its_code_its_reason_and_its_figures(
    empty: Stubs,
    request_of_it: Any,
    status: tuple[grpc.StatusCode, str],
    metadata: dict[str, str],
) -> None:
    failure = failure_to(empty, request_of_it)

    assert failure.status == status
    assert failure.domain == "lottery.v1"
    assert failure.metadata == metadata


@pytest.mark.parametrize(
    ("day", "status"),
    [
        (SmallDay(notices=FULL.notices, positions=[]), (INVALID, "INVALID_INPUT")),
        (
            replace(PUBLISHED, date=dt.date(2024, 9, 5)),
            (PRECONDITION, "METHOD_NOT_IN_FORCE"),
        ),
    ],
    ids=["without positions", "before the method"],
)
def test_a_day_that_cannot_be_run_has_its_status(
    empty: Stubs, day: SmallDay, status: tuple[grpc.StatusCode, str]
) -> None:
    failure = refusal_of_day(empty, day)

    assert failure.status == status
    assert failure.domain == "lottery.v1"
    assert failure.metadata == {"problem_count": "1"}


def test_a_missing_ask_is_named(empty: Stubs) -> None:
    request = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS)[:3])

    failure = failure_to(empty, request)

    assert failure.status == (INVALID, "INVALID_SEED")
    assert "Z901448" in failure.message


@pytest.mark.parametrize(
    ("day", "spec", "code", "reason"),
    [
        (
            SmallDay(notices=[notice("B1", AAPL, 9)], positions=[position(AAPL, "1046", 31)]),
            {},
            PRECONDITION,
            "POPULATION_DIFFERS",
        ),
        (
            SmallDay(notices=[notice("A1", AAPL, 9)], positions=PUBLISHED.positions),
            {},
            EXISTS,
            "NOTICE_ALREADY_ALLOCATED",
        ),
        (
            SmallDay(
                notices=[notice("B1", META, 1)], positions=[position(META, "1", 1)], asks=OTHER_ASKS
            ),
            {},
            PRECONDITION,
            "SEED_CONFLICT",
        ),
        (PUBLISHED.renamed("X"), {"request_id": "morning"}, EXISTS, "REQUEST_ID_REUSED"),
    ],
)
def test_what_contradicts_a_recorded_run_is_refused_and_names_it(
    stubs: Stubs, day: SmallDay, spec: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    run_day(stubs, PUBLISHED, request_id="morning")

    failure = refusal_of_day(stubs, day, **spec)

    assert failure.status == (code, reason)
    assert failure.metadata == {"run": "2024-09-16-001"}
    assert "2024-09-16-001" in failure.message


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"run": "2024-09-16-002", "series": AAPL}, (NOT_FOUND, "RUN_NOT_FOUND")),
        ({"series": META}, (NOT_FOUND, "NOT_IN_RUN")),
        ({"series": AAPL, "occ_account": "F"}, (NOT_FOUND, "NOT_IN_RUN")),
        ({"account": "4711"}, (NOT_FOUND, "NOT_IN_RUN")),
        ({"series": "AAPL"}, (INVALID, "INVALID_INPUT")),
        ({}, (INVALID, "INVALID_INPUT")),
        ({"account": "1046", "occ_account": ""}, (INVALID, "INVALID_INPUT")),
    ],
    ids=[
        "no such run",
        "no assigned pool",
        "another OCC account",
        "no such account",
        "no series",
        "neither series nor account",
        "an account of one OCC account",
    ],
)
def test_a_working_that_does_not_exist_has_its_status(
    stubs: Stubs, asked: dict[str, str], status: tuple[grpc.StatusCode, str]
) -> None:
    run_day(stubs, PUBLISHED)
    request = pb.ExplainPoolRequest(**{"run": "latest", **asked})

    assert failure_to(stubs, request).status == status


def test_allocations_of_no_series_are_an_invalid_argument(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    request = pb.StreamAllocationsRequest(run="latest", series="AAPL")

    failure = failure_to(stubs, request)

    assert failure.status == (INVALID, "INVALID_INPUT")


def test_every_wrong_field_of_a_pool_is_listed(empty: Stubs) -> None:
    request = series_request(
        series="AAPL",
        assigned_quantity=-3,
        occ_account="no blanks",
        business_date=BEFORE,
        asks={**ASKS, "Z901803": "1.000001"},
        positions={"1046": -1, "x": 2},
    )

    failure = failure_to(empty, request)

    assert failure.status == (PRECONDITION, "METHOD_NOT_IN_FORCE")
    assert failure.metadata["problem_count"] == "7"
    assert failure.fields == [
        "assigned_quantity",
        "business_date",
        "exchange_asks[0].ask_price",
        "occ_account",
        "positions[0].short_quantity",
        "positions[1].account",
        "series",
    ]
    reasons = {field: reason for field, _, reason in failure.violations}
    assert reasons["business_date"] == "METHOD_NOT_IN_FORCE"
    assert reasons["exchange_asks[0].ask_price"] == "INVALID_SEED"
    assert reasons["series"] == "INVALID_INPUT"


def test_every_field_of_a_request_for_odds_is_named_at_once(empty: Stubs) -> None:
    request = odds_request(
        series="AAPL",
        assigned_quantity=-3,
        occ_account="no blanks",
        positions={"1046": -1, "x": 2, "7": 1, "007": 1},
        decisions=NO_DECISION,
    )

    failure = failure_to(empty, request)

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert failure.fields == [
        "assigned_quantity",
        "decisions.zero_hit",
        "occ_account",
        "positions[0].short_quantity",
        "positions[1].account",
        "positions[3].account",
        "series",
    ]


@pytest.mark.parametrize(
    ("date", "message"),
    [
        (None, "expected a date, got none"),
        (date_pb2.Date(year=2024, month=2, day=30), "expected a calendar date, got 2024-02-30"),
        (date_pb2.Date(year=2024, month=9), "expected a calendar date, got 2024-09-00"),
        (date_pb2.Date(year=-2024, month=9, day=16), "expected a calendar date, got -2024-09-16"),
        (
            date_pb2.Date(year=2**31 - 1, month=9, day=16),
            "expected a calendar date, got 2147483647-09-16",
        ),
    ],
)
def test_a_date_that_is_none_is_refused(
    empty: Stubs, date: date_pb2.Date | None, message: str
) -> None:
    pool = failure_to(empty, series_request(business_date=date))
    day = refusal_of_day(empty, PUBLISHED, business_date=date)

    for failure, field in ((pool, "business_date"), (day, "spec.business_date")):
        assert failure.status == (INVALID, "INVALID_INPUT")
        assert failure.violations == [(field, message, "INVALID_INPUT")]


def test_an_unknown_decision_is_refused(empty: Stubs) -> None:
    pool = failure_to(empty, series_request(decisions=NO_DECISION))
    day = refusal_of_day(empty, PUBLISHED, decisions=NO_DECISION)

    for failure, field in (
        (pool, "decisions.zero_hit"),
        (day, "spec.decisions.zero_hit"),
    ):
        assert failure.status == (INVALID, "INVALID_INPUT")
        assert "expected a choice from 0 to 2, got 99" in failure.message
        assert failure.fields == [field]


def test_other_decisions_than_the_charters_are_refused_for_a_day(empty: Stubs) -> None:
    decisions = lottery_pb2.Decisions(zero_hit=lottery_pb2.ZERO_HIT_FIRST)

    failure = refusal_of_day(empty, PUBLISHED, decisions=decisions)

    assert failure.status == (INVALID, "INVALID_INPUT")
    ((field, description, _),) = failure.violations
    assert field == "spec.decisions"
    assert "the decisions of the charter" in description
    assert description.endswith("[C1]")
    # A pool that is not recorded may be tried with any.
    assert empty.lottery.AllocateSeries(series_request(decisions=decisions)).pool.first_hit == 28


def test_problems_of_the_spec_and_of_the_rows_are_listed_together(
    empty: Stubs,
) -> None:
    spec = spec_of(
        PUBLISHED,
        business_date=date_pb2.Date(year=2024, month=9, day=31),
        decisions=NO_DECISION,
    )

    failure = refusal_of(empty, [spec, *rows_of(PUBLISHED), notices_of(notice("A2", "AAPL", 1))])

    assert failure.fields == ["notices[1].series", "spec.business_date", "spec.decisions.zero_hit"]


def test_every_wrong_row_of_a_day_is_listed_with_its_row(empty: Stubs) -> None:
    messages = [
        spec_of(FULL, exchange_asks=[]),
        notices_of(notice("A1", "AAPL", 1), notice("", AAPL, 0)),
        notices_of(notice("A3", AAPL, -5, "no blanks")),
        positions_of(position(AAPL, "1046", -1), position(AAPL, "10-46", 2)),
    ]

    failure = refusal_of(empty, messages)

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert sorted(failure.fields) == sorted(
        [
            *["spec.exchange_asks"] * 4,
            "notices[0].series",
            "notices[1].notice_id",
            "notices[1].quantity",
            "notices[2].quantity",
            "notices[2].occ_account",
            "positions[0].short_quantity",
            "positions[1].account",
        ]
    )


def test_rows_of_later_arrow_payloads_are_counted_on(empty: Stubs) -> None:
    wrong = arrow_payload(
        pa.table({"series": ["?", AAPL], "account": ["1047", "1048"], "short_quantity": [1, -1]})
    )

    failure = refusal_of(empty, day_with(PAYLOAD, wrong))

    assert failure.fields == ["arrow_positions[1].series", "arrow_positions[2].short_quantity"]


@pytest.mark.parametrize(
    ("messages", "field", "message"),
    [
        ([], "spec", NO_SPEC),
        (rows_of(PUBLISHED), "spec", NO_SPEC),
        (
            [*rows_of(PUBLISHED), spec_of(PUBLISHED)],
            "spec",
            NO_SPEC,
        ),
        (
            [spec_of(PUBLISHED), *rows_of(PUBLISHED), spec_of(PUBLISHED)],
            "spec",
            TWO_SPECS,
        ),
    ],
    ids=[
        "nothing at all",
        "no spec",
        "the spec last",
        "two specs",
    ],
)
def test_a_stream_has_one_spec_in_its_first_message(
    empty: Stubs, messages: Sequence[pb.RunLotteryRequest], field: str, message: str
) -> None:
    failure = refusal_of(empty, messages)

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert failure.violations == [(field, message, "INVALID_INPUT")]


@pytest.mark.parametrize(
    ("announced", "field", "message"),
    [
        ({"notice_count": 2}, "spec.notice_count", "expected 2 notices, as announced, got 1"),
        ({"notice_count": 0}, "spec.notice_count", "expected 0 notices, as announced, got 1"),
        (
            {"assigned_quantity": 11},
            "spec.assigned_quantity",
            "expected 11 contracts on all notices, as announced, got 10",
        ),
        (
            {"position_count": 0},
            "spec.position_count",
            "expected 0 rows of positions, as announced, got 3",
        ),
        (
            {"position_count": -1},
            "spec.position_count",
            "expected -1 rows of positions, as announced, got 3",
        ),
        (
            {"short_quantity": 64},
            "spec.short_quantity",
            "expected 64 contracts short on all rows of positions, as announced, got 65",
        ),
        (
            {"occ_position_count": 1},
            "spec.occ_position_count",
            "expected 1 of them, as announced, got 0",
        ),
    ],
)
def test_a_stream_that_is_not_what_its_spec_announces_is_refused(
    empty: Stubs, announced: dict[str, int], field: str, message: str
) -> None:
    failure = refusal_of(empty, messages_of(PUBLISHED, **announced))

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert failure.violations == [(field, message, "INVALID_INPUT")]


def test_a_short_quantity_that_is_announced_has_every_row_read(empty: Stubs) -> None:
    elsewhere = positions_of(position(SPY, "1", -1))

    failure = refusal_of(empty, [*messages_of(PUBLISHED, short_quantity=65), elsewhere])

    assert failure.violations == [
        (
            "positions[3].short_quantity",
            "short quantity must be a whole number of at least 0, got -1 [P2]",
            "INVALID_INPUT",
        )
    ]


def test_occs_own_figures_are_refused_by_their_rows(empty: Stubs) -> None:
    wrong = pa.table({"series": [AAPL, "?", AAPL], "short_quantity": [1, -1, 1]})
    messages = [
        spec_of(PUBLISHED),
        *rows_of(PUBLISHED),
        pb.RunLotteryRequest(arrow_occ_positions=arrow_payload(wrong)),
    ]

    assert refusal_of(empty, messages).fields == [
        "arrow_occ_positions[1].series",
        "arrow_occ_positions[1].short_quantity",
        "arrow_occ_positions[2].series",
    ]


def test_a_spec_without_rows_is_refused(empty: Stubs) -> None:
    failure = refusal_of(empty, [spec_of(PUBLISHED)])

    assert failure.fields == ["notices", "positions"]


@pytest.mark.parametrize(
    "payload",
    [
        b"noise",
        PAYLOAD[: len(PAYLOAD) // 2],
        # The account's end, 4, becomes a million: its text would be read from beyond the buffer.
        PAYLOAD.replace(b"\0\0\0\0\x04\0\0\0" + ACCOUNT, b"\0\0\0\0\x40\x42\x0f\0" + ACCOUNT),
        arrow_payload(POSITIONS.drop_columns(["account"])),
        arrow_payload(POSITIONS.set_column(1, "account", pa.array([1046]))),
    ],
    ids=["noise", "cut short", "offsets out of bounds", "a missing column", "accounts as numbers"],
)
def test_a_bad_payload_is_refused_and_no_other(empty: Stubs, payload: bytes) -> None:
    assert payload != PAYLOAD

    failure = refusal_of(empty, day_with(PAYLOAD, payload))

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert {field.split(".")[0] for field in failure.fields} == {"arrow_positions"}


@pytest.mark.parametrize("count", [99, 300, 5_000])
def test_any_number_of_problems_arrives_as_a_status(empty: Stubs, count: int) -> None:
    rows = [position(AAPL, "no account", -row) for row in range(1, count + 1)]
    rows += [position(f"no series {row}", "1", 1) for row in range(1, count + 1)]

    failure = refusal_of(
        empty, [spec_of(PUBLISHED), notices_of(*PUBLISHED.notices), positions_of(*rows)]
    )

    assert failure.status == (INVALID, "INVALID_INPUT")
    assert failure.metadata["problem_count"] == str(3 * count)
    assert len(failure.violations) > 10


@pytest.mark.parametrize("limit", [2, 3])
def test_more_rows_than_the_limit_are_refused_by_its_name(tmp_path: Path, limit: int) -> None:
    notices = [notice(f"A{number}", AAPL, 1) for number in range(limit + 1)]
    day = SmallDay(notices=notices, positions=PUBLISHED.positions)
    positions = {str(account): 1 for account in range(limit + 1)}
    with called(tmp_path / "ledger", max_rows=limit) as stubs:
        for failure in (
            refusal_of_day(stubs, day),
            failure_to(stubs, series_request(positions=positions)),
            failure_to(stubs, odds_request(positions=positions)),
        ):
            assert failure.status == (EXHAUSTED, "LIMIT_EXCEEDED")
            assert failure.metadata == {"limit": f"max_rows={limit}"}


def test_the_limit_counts_rows_and_arrow_together(tmp_path: Path) -> None:
    messages = [*day_with(PAYLOAD, PAYLOAD), positions_of(position(AAPL, "1", 1))]
    with called(tmp_path / "ledger", max_rows=2) as stubs:
        assert refusal_of(stubs, messages).status == (EXHAUSTED, "LIMIT_EXCEEDED")


def test_a_day_past_the_memory_limit_is_refused(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", memory_limit_bytes=1_000_000) as stubs:
        failure = refusal_of_day(stubs, PUBLISHED)
        assert failure.status == (EXHAUSTED, "LIMIT_EXCEEDED")
        assert failure.metadata == {"limit": "memory_limit_bytes=1000000"}
        assert failure.retry_seconds == 60
        assert run_count(stubs) == 0


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"mapping": b"[notices"}, "mapping", "expected TOML in UTF-8"),
        ({"mapping": b"[trades]"}, "mapping", "expected"),
        ({"mapping": b"#" * 65_537}, "mapping", "a mapping must be at most 65536 bytes"),
        ({"mapping_name": ""}, "mapping_name", "expected the base name of a file, got ''"),
        ({"mapping_name": "in/bank.toml"}, "mapping_name", "expected the base name of a file"),
        ({"mapping_name": "a" * 256}, "mapping_name", "expected the base name of a file"),
        ({"mapping_name": "bank\n.toml"}, "mapping_name", "expected the base name of a file"),
    ],
)
def test_a_mapping_that_is_none_is_refused(
    tmp_path: Path, spec: dict[str, Any], field: str, message: str
) -> None:
    given = {"mapping": b"[notices]\ndelimiter = ';'\n", "mapping_name": "bank.toml", **spec}
    with called(tmp_path / "ledger") as stubs:
        failure = refusal_of_day(stubs, PUBLISHED, **given)
        assert failure.status == (INVALID, "INVALID_INPUT")
        ((where, problem, _), *_) = failure.violations
        assert where == f"spec.{field}"
        assert message in problem


def test_a_run_is_not_read_again_past_the_memory_limit(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with called(ledger) as stubs:
        run_day(stubs, PUBLISHED)
    with called(ledger, memory_limit_bytes=1_000_000) as stubs:
        for request in (
            audit_pb.ReplayRunRequest(run="latest"),
            audit_pb.ReplayRunsRequest(),
            audit_pb.VerifyLedgerRequest(),
        ):
            assert failure_to(stubs, request).status == (EXHAUSTED, "LIMIT_EXCEEDED")


def test_a_message_past_the_limit_is_refused(tmp_path: Path) -> None:
    pool = series_request(positions={str(account): 1 for account in range(1_000)})
    with called(tmp_path / "ledger", max_message_bytes=4_096) as stubs:
        assert failure_to(stubs, pool).code is EXHAUSTED
        assert stubs.lottery.AllocateSeries(series_request()).pool.first_hit == 28


def test_an_answer_may_be_larger_than_what_the_server_takes(tmp_path: Path) -> None:
    pool = series_request(positions={str(account): 1 for account in range(200)})
    with called(tmp_path / "ledger", max_message_bytes=4_096) as stubs:
        answer = stubs.lottery.AllocateSeries(pool)

    assert pool.ByteSize() < 4_096 < answer.ByteSize()
    assert len(answer.allocations) == 200


def test_a_ledger_that_another_process_writes_to_is_busy(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", lock_seconds=0.1) as stubs:
        with write_lock(tmp_path / "ledger"):
            failure = refusal_of_day(stubs, PUBLISHED)

        assert failure.status == (grpc.StatusCode.UNAVAILABLE, "LEDGER_BUSY")
        assert failure.retry_seconds == 1
        assert not run_day(stubs, PUBLISHED).already_recorded


def test_a_damaged_ledger_is_data_loss(tmp_path: Path) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        pools = evidence_in(tmp_path / "ledger", "2024-09-16-001") / "pools.parquet"
        pools.chmod(0o600)
        pools.write_bytes(b"PAR1 no more")

        failure = refusal_of_day(stubs, PUBLISHED.renamed("X"))

        assert failure.status == (grpc.StatusCode.DATA_LOSS, "LEDGER_DAMAGED")


LONG: Final = "x" * 100_000
WIDE: Final = "\N{SNOWMAN}" * 30_000


def requests_with(text: str) -> dict[str, tuple[Message, grpc.StatusCode]]:
    """Return requests that have a text where it does not belong, with their codes."""
    ask = lottery_pb2.ExchangeAsk(security_number=text, ask_price=text)
    return {
        "run": (pb.GetRunRequest(run=text), NOT_FOUND),
        "account": (pb.ExplainPoolRequest(run="latest", account=text), NOT_FOUND),
        "page token": (pb.ListRunsRequest(page_token=text), INVALID),
        "series": (series_request(series=text, occ_account=text, positions={text: 1}), INVALID),
        "odds": (
            odds_request(series=text, occ_account=text, positions={text: 1}, account=text),
            INVALID,
        ),
        "odds of an account": (odds_request(account=text), INVALID),
        "ask": (pb.DeriveSeedRequest(exchange_asks=[ask]), INVALID),
    }


@pytest.mark.parametrize("text", [LONG, WIDE], ids=["long", "wide"])
def test_an_error_about_a_text_of_any_length_arrives_with_its_reason(
    stubs: Stubs, text: str
) -> None:
    run_day(stubs, PUBLISHED)
    failures = {
        name: (failure_to(stubs, request), code)
        for name, (request, code) in requests_with(text).items()
    }
    unknown_column = day_with(arrow_payload(pa.table({text: ["1"]})))
    failures["column"] = (refusal_of(stubs, unknown_column), INVALID)
    again = PUBLISHED.renamed("X")
    failures["request id"] = (refusal_of_day(stubs, again, request_id=text), INVALID)

    for name, (failure, code) in failures.items():
        assert (failure.code, failure.domain) == (code, "lottery.v1"), name
        assert failure.reason, name


@pytest.mark.parametrize("request_id", ["a b", " a", "é", "a\n", "a" * 129, "content-0"])
def test_a_request_id_that_is_derived_or_that_a_log_line_could_not_hold_is_refused(
    empty: Stubs, request_id: str
) -> None:
    failure = refusal_of_day(empty, PUBLISHED, request_id=request_id)

    assert failure.code is INVALID
    assert failure.fields == ["spec.request_id"]


def day_with(*payloads: bytes) -> list[pb.RunLotteryRequest]:
    return [
        spec_of(PUBLISHED),
        notices_of(*PUBLISHED.notices),
        *(pb.RunLotteryRequest(arrow_positions=payload) for payload in payloads),
    ]
