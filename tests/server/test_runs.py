"""Runs: what goes in as rows or as Arrow is recorded once, and comes back whole."""

from __future__ import annotations

import csv
import datetime as dt
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import pyarrow as pa
import pytest

from lottery.cli.output import write_csv
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.intake.arrow import read_arrow_table
from lottery.ledger.entry import read_run
from lottery.method.methodology import JPMS_2024_09_06
from lottery.v1 import audit_service_pb2, lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer
from tests import reference
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    FULL,
    GE,
    META,
    NEXT_DATE,
    PUBLISHED,
    SmallDay,
    asks_making,
    made,
    notice,
    position,
)
from tests.reference import Row
from tests.server.calls import (
    Stubs,
    arrow_of,
    called,
    date_of,
    failure_of,
    failure_to,
    folder_of,
    notices_of,
    positions_of,
    rows_of,
    run_count,
    run_day,
    run_messages,
    spec_of,
)

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "2024-09-16"
ROWS_OF_A_MESSAGE: Final = 4_096
ARROW_ROWS_OF_A_MESSAGE: Final = 3 * ROWS_OF_A_MESSAGE

Messages = Sequence[pb.RunLotteryRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleDay:
    """The example's files as rows, and what the command line wrote of them."""

    day: SmallDay
    written: Path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ExampleDay:
    directory = tmp_path_factory.mktemp("local")
    command = [sys.executable, "-m", "lottery", "run", "--date", "2024-09-16"]
    for name in ("notices", "positions", "volumes"):
        command += [f"--{name}", str(EXAMPLE / f"{name}.csv")]
    command += ["--ledger", str(directory / "ledger"), "--output", str(directory / "out")]
    made(directory / "ledger")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode in (0, 4), finished.stderr
    day = SmallDay(
        notices=[{**row, "quantity": int(row["quantity"])} for row in _csv_rows("notices")],
        positions=[
            {**row, "short_quantity": int(row["short_quantity"])} for row in _csv_rows("positions")
        ],
        asks={row["security_number"]: row["ask_price"] for row in _csv_rows("volumes")},
    )
    return ExampleDay(day=day, written=directory / "out")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server over a ledger in which only `FULL` is recorded."""
    with called(tmp_path_factory.mktemp("full") / "ledger") as stubs:
        run_day(stubs, FULL)
        yield stubs


@pytest.fixture(scope="module")
def two_dates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server over a ledger with runs of two dates, the later one recorded first."""
    with called(tmp_path_factory.mktemp("dates") / "ledger") as stubs:
        run_day(stubs, FULL.later())
        run_day(stubs, PUBLISHED)
        yield stubs


def in_rows(day: SmallDay) -> Messages:
    return [spec_of(day), notices_of(*day.notices), positions_of(*day.positions)]


def in_arrow(day: SmallDay) -> Messages:
    return [spec_of(day), *arrow_of(day)]


def in_small_pieces(day: SmallDay) -> Messages:
    pieces = rows_of(day)
    random.Random(5).shuffle(pieces)  # noqa: S311 - no lottery is drawn with it.
    return [spec_of(day), *pieces]


def half_in_rows_and_half_in_arrow(day: SmallDay) -> Messages:
    upper = SmallDay(notices=day.notices[:9], positions=day.positions[500:])
    lower = SmallDay(notices=day.notices[9:], positions=day.positions[:500])
    pieces = [*arrow_of(upper, 100), notices_of(*lower.notices), positions_of(*lower.positions)]
    random.Random(6).shuffle(pieces)  # noqa: S311 - no lottery is drawn with it.
    return [spec_of(day), *pieces]


def in_one_message(day: SmallDay) -> Messages:
    message = pb.RunLotteryRequest()
    for part in [spec_of(day), notices_of(*day.notices), arrow_of(day, 2_000)[-1]]:
        message.MergeFrom(part)
    return [message]


@pytest.mark.parametrize(
    "messages_of",
    [in_rows, in_arrow, in_small_pieces, half_in_rows_and_half_in_arrow, in_one_message],
)
def test_a_day_by_the_server_is_a_day_by_the_command_line_to_the_byte(
    example: ExampleDay, stubs: Stubs, tmp_path: Path, messages_of: Callable[[SmallDay], Messages]
) -> None:
    recorded = run_messages(stubs, messages_of(example.day))

    write_csv(allocations_in_arrow(stubs, run=recorded.run.run), tmp_path / "allocations.csv")
    write_csv(pools_in_arrow(stubs), tmp_path / "pools.csv")

    assert not recorded.already_recorded
    for name in ("allocations.csv", "pools.csv"):
        assert (tmp_path / name).read_bytes() == (example.written / name).read_bytes()
        assert (tmp_path / name).read_bytes() == (EXAMPLE / "expected" / name).read_bytes()
    local = read_run((example.written / "run.json").read_bytes())
    assert read_run(recorded.run.record).content_sha256 == local.content_sha256


def test_rows_and_arrow_of_one_day_are_one_run(example: ExampleDay, stubs: Stubs) -> None:
    every_way = (in_rows, in_arrow, in_small_pieces, half_in_rows_and_half_in_arrow)

    answers = [run_messages(stubs, messages_of(example.day)) for messages_of in every_way]

    assert [answer.already_recorded for answer in answers] == [False, True, True, True]
    assert {answer.run.record for answer in answers} == {answers[0].run.record}
    assert run_count(stubs) == 1


def test_a_day_is_recorded_with_its_breaks_and_its_seed(full: Stubs) -> None:
    run = full.lottery.GetRun(pb.GetRunRequest(run="latest")).run

    assert run.state == lottery_pb2.RUN_STATE_ALLOCATED_WITH_BREAKS
    assert (run.pool_count, run.notice_count, run.assigned_quantity) == (4, 6, 74)
    assert run.allocated_quantity == 74 - 25
    assert [(row.series, row.reason, row.assigned_quantity) for row in run.breaks] == [
        (GE, lottery_pb2.BREAK_REASON_EXCEEDS_SHORT, 25)
    ]
    assert run.seed.fraction == "0.4314"


def test_the_record_in_the_answer_is_what_its_fields_say(full: Stubs) -> None:
    run = full.lottery.GetRun(pb.GetRunRequest(run="latest")).run

    record = read_run(run.record)

    assert (record.run, record.request_id) == (run.run, run.request_id)
    assert record.notice_count == run.notice_count == 6
    assert record.recorded_at == run.recorded_at.ToJsonString()
    assert dict(run.decisions)["zero_hit"] == "wrap"
    assert (record.requested_by.kind, record.requested_by.name) == ("local", "tester")
    assert record.requested_by.host.startswith("ipv4:127.0.0.1:")


def test_a_request_id_names_its_run_for_ever(stubs: Stubs) -> None:
    first = run_day(stubs, PUBLISHED, request_id="morning")

    again = run_day(stubs, PUBLISHED, request_id="morning")

    assert (first.run.request_id, again.already_recorded) == ("morning", True)


def test_counts_that_arrive_as_announced_are_recorded(stubs: Stubs) -> None:
    answer = run_day(stubs, FULL, notice_count=6, position_count=15)

    assert answer.run.run == "2024-09-16-001"


def test_a_cycle_that_is_not_named_is_the_first(stubs: Stubs) -> None:
    later = SmallDay(notices=[notice("B1", META, 1)], positions=[position(META, "1", 1)])

    assert run_day(stubs, PUBLISHED).run.cycle == 1
    assert run_day(stubs, later, cycle=2).run.cycle == 2


def test_the_charters_decisions_are_taken_and_recorded(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, 1)],
        positions=[position(AAPL, "1000", 1), position(AAPL, "99", 1)],
    )
    decisions = {"account_order": "code-point", "zero_hit": "first"}
    made(tmp_path / "ledger", JPMS_2024_09_06.deciding(decisions))
    with called(tmp_path / "ledger") as stubs:
        run = run_day(stubs, day).run
        same = lottery_pb2.Decisions(
            account_order=lottery_pb2.ACCOUNT_ORDER_CODE_POINT,
            zero_hit=lottery_pb2.ZERO_HIT_FIRST,
        )
        assert run_day(stubs, day, decisions=same).already_recorded
        rows = allocations_in_rows(stubs)

    assert [(row["account"], row["assigned_quantity"]) for row in rows] == [("1000", 1), ("99", 0)]
    assert {name: run.decisions[name] for name in decisions} == decisions


def test_allocations_as_rows_are_those_in_arrow_and_the_references(full: Stubs) -> None:
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS)

    assert allocations_in_rows(full) == expected.allocations
    assert allocations_in_arrow(full).to_pylist() == expected.allocations
    assert allocations_in_arrow(full).schema == ALLOCATIONS


def test_more_rows_than_a_message_holds_come_in_several(stubs: Stubs) -> None:
    count = ARROW_ROWS_OF_A_MESSAGE + 1
    day = SmallDay(
        notices=[notice("A1", AAPL, 7)],
        positions=[position(AAPL, str(account), 1) for account in range(1, count + 1)],
    )
    run_messages(stubs, in_arrow(day))

    messages = list(stubs.lottery.StreamAllocations(pb.StreamAllocationsRequest(run="latest")))

    assert [len(message.allocations) for message in messages] == [*[ROWS_OF_A_MESSAGE] * 3, 1]
    in_arrow_too = allocations_in_arrow(stubs)
    assert list(map(len, in_arrow_too.column("account").chunks)) == [ARROW_ROWS_OF_A_MESSAGE, 1]
    assert allocations_in_rows(stubs) == in_arrow_too.to_pylist()


@pytest.mark.parametrize(
    ("asked", "accounts"),
    [
        ({"series": META}, ["0042", "1993", "48213", "2381947"]),
        ({"series": "META240920P00560000"}, ["0042", "1993", "48213", "2381947"]),
        ({"series": META, "occ_account": "C"}, ["0042", "1993", "48213", "2381947"]),
        ({"account": "1046"}, ["1046"]),
        ({"account": "0042"}, ["0042"]),
    ],
)
def test_allocations_are_filtered_by_pool_and_by_account(
    full: Stubs, asked: dict[str, str], accounts: list[str]
) -> None:
    assert [row["account"] for row in allocations_in_rows(full, **asked)] == accounts
    assert allocations_in_arrow(full, **asked).column("account").to_pylist() == accounts


def test_pools_have_the_broken_ones_too(full: Stubs) -> None:
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS).pools

    rows = [
        {
            **{name: getattr(row, name) for name in POOLS.names},
            "first_hit": row.first_hit if row.HasField("first_hit") else None,
            "break_reason": (
                lottery_pb2.BreakReason.Name(row.break_reason).removeprefix("BREAK_REASON_")
                if row.break_reason
                else None
            ),
        }
        for message in full.lottery.StreamAllocations(
            pb.StreamAllocationsRequest(run="latest", content=pb.ROW_CONTENT_POOLS)
        )
        for row in message.pools
    ]

    assert rows == expected
    assert pools_in_arrow(full).to_pylist() == expected
    assert [row["break_reason"] for row in rows].count("EXCEEDS_SHORT") == 1


def test_the_notices_of_a_pool_are_streamed_those_of_a_break_too(full: Stubs) -> None:
    def notices_of(**pool: Any) -> list[tuple[str, int, str]]:
        request = pb.StreamAllocationsRequest(run="latest", content=pb.ROW_CONTENT_NOTICES, **pool)
        rows = [
            row for message in full.lottery.StreamAllocations(request) for row in message.notices
        ]
        return sorted((row.notice_id, row.quantity, row.occ_account) for row in rows)

    assert len(notices_of()) == 6
    assert notices_of(series=GE) == [("A5", 18, "C"), ("A6", 7, "C")]
    assert notices_of(series=GE, occ_account="C") == notices_of(series=GE)
    failure = failure_of(lambda: notices_of(series=GE, occ_account="F"))
    assert failure.status == (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")


@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("allocations", pb.ROW_CONTENT_ALLOCATIONS),
        ("pools", pb.ROW_CONTENT_POOLS),
        ("notices", pb.ROW_CONTENT_NOTICES),
    ],
)
def test_evidence_is_read_and_checked_for_every_stream(
    server: LotteryServer, stubs: Stubs, table: str, content: pb.RowContent.ValueType
) -> None:
    run_day(stubs, PUBLISHED)
    asked = {"content": content}
    first = list(_allocations(stubs, asked, pb.ROW_FORMAT_ARROW))
    assert list(_allocations(stubs, asked, pb.ROW_FORMAT_ARROW)) == first != []
    for path in folder_of(server).rglob(f"{table}.parquet"):
        path.chmod(0o600)
        path.write_bytes(b"")

    failure = failure_of(lambda: _allocations(stubs, asked, pb.ROW_FORMAT_ARROW))

    assert failure.status == (grpc.StatusCode.DATA_LOSS, "LEDGER_DAMAGED")


def test_runs_are_listed_page_by_page(stubs: Stubs) -> None:
    for number in range(1, 6):
        series = f"AAPL  240920C{number:08d}"
        run_day(
            stubs,
            SmallDay(
                notices=[notice(f"A{number}", series, 1)], positions=[position(series, "1", 1)]
            ),
        )
    request = pb.ListRunsRequest(page_size=2)
    pages = [stubs.lottery.ListRuns(request)]
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(stubs.lottery.ListRuns(request))

    assert [[run.run for run in page.runs] for page in pages] == [
        ["2024-09-16-001", "2024-09-16-002"],
        ["2024-09-16-003", "2024-09-16-004"],
        ["2024-09-16-005"],
    ]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server with three dates of two runs; the second run supersedes on the first."""
    with called(tmp_path_factory.mktemp("corrected") / "ledger") as stubs:
        for number in range(3):
            day = replace(
                PUBLISHED.renamed(f"{number}-"),
                date=DATE + dt.timedelta(days=number),
                asks=asks_making(282_431_310 + number),
            )
            run_day(stubs, day)
            run_day(
                stubs,
                replace(day, positions=[*day.positions, position(AAPL, "2000", 1)]),
                supersedes=["latest"],
                reason="an account was missing",
            )
        yield stubs


def pages_of(stubs: Stubs, **asked: Any) -> list[pb.ListRunsResponse]:
    """Return every page of a list."""
    pages = [stubs.lottery.ListRuns(pb.ListRunsRequest(**asked))]
    while token := pages[-1].next_page_token:
        pages.append(stubs.lottery.ListRuns(pb.ListRunsRequest(**asked, page_token=token)))
    return pages


@pytest.mark.parametrize("page_size", [1, 2, 4, 100])
@pytest.mark.parametrize("standing_only", [False, True])
@pytest.mark.parametrize("order", [pb.RUN_ORDER_OLDEST_FIRST, pb.RUN_ORDER_NEWEST_FIRST])
@pytest.mark.parametrize("between", [{}, {"first_date": date_of(NEXT_DATE)}])
def test_a_list_is_the_same_however_it_is_paged(
    corrected: Stubs, page_size: int, standing_only: Any, order: Any, between: dict[str, Any]
) -> None:
    every = [run.run for run in corrected.lottery.ListRuns(pb.ListRunsRequest()).runs]
    wanted = every[2:] if between else every
    if standing_only:
        wanted = [run for run in wanted if run.endswith("-002")]
    if order == pb.RUN_ORDER_NEWEST_FIRST:
        wanted = wanted[::-1]

    pages = pages_of(
        corrected, page_size=page_size, standing_only=standing_only, order=order, **between
    )

    assert len(every) == 6
    assert [run.run for page in pages for run in page.runs] == wanted
    assert [len(page.runs) for page in pages[:-1]] == [page_size] * (len(pages) - 1)
    assert pages[-1].runs


def test_a_token_continues_its_own_list_and_no_other(corrected: Stubs) -> None:
    own: dict[str, Any] = {"first_date": date_of(DATE), "page_size": 1}
    token = corrected.lottery.ListRuns(pb.ListRunsRequest(**own)).next_page_token
    others: list[dict[str, Any]] = [
        {"first_date": date_of(NEXT_DATE)},
        {"last_date": date_of(NEXT_DATE)},
        {"standing_only": True},
        {"order": pb.RUN_ORDER_NEWEST_FIRST},
        {"view": pb.RUN_VIEW_FULL},
    ]

    for other in others:
        failure = failure_to(corrected, pb.ListRunsRequest(**{**own, **other, "page_token": token}))
        assert (failure.code, failure.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            ["page_token"],
        ), other
    # Another size is not another list.
    request = pb.ListRunsRequest(**{**own, "page_size": 9, "page_token": token})
    assert len(corrected.lottery.ListRuns(request).runs) == 5


def test_a_list_has_the_records_if_they_are_asked_for(corrected: Stubs) -> None:
    def listed(**asked: Any) -> list[lottery_pb2.Run]:
        return list(corrected.lottery.ListRuns(pb.ListRunsRequest(**asked)).runs)

    full = listed(view=pb.RUN_VIEW_FULL)

    for run in full:
        got = corrected.lottery.GetRun(pb.GetRunRequest(run=run.run)).run
        assert run.record == got.record != b""
        run.ClearField("record")
    assert listed() == listed(view=pb.RUN_VIEW_BASIC) == full


def test_a_last_page_that_is_full_has_no_token(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)

    page = stubs.lottery.ListRuns(pb.ListRunsRequest(page_size=1))

    assert (len(page.runs), page.next_page_token) == (1, "")


def test_a_run_is_returned_by_its_id_and_as_the_latest(stubs: Stubs) -> None:
    run = run_day(stubs, PUBLISHED).run

    for name in (run.run, "latest"):
        assert stubs.lottery.GetRun(pb.GetRunRequest(run=name)).run == run


@pytest.mark.parametrize(
    ("between", "runs"),
    [
        ({}, ["2024-09-16-001", "2024-09-17-001"]),
        ({"last_date": date_of(DATE)}, ["2024-09-16-001"]),
        ({"first_date": date_of(NEXT_DATE)}, ["2024-09-17-001"]),
    ],
    ids=["every date", "up to a date", "from a date"],
)
def test_runs_are_listed_by_date(
    two_dates: Stubs, between: dict[str, Any], runs: list[str]
) -> None:
    listed = two_dates.lottery.ListRuns(pb.ListRunsRequest(**between)).runs

    assert [run.run for run in listed] == runs


@pytest.mark.parametrize(
    ("between", "runs"),
    [
        ({}, ["2024-09-16-001", "2024-09-17-001"]),
        ({"business_date": date_of(DATE)}, ["2024-09-16-001"]),
        *(
            ({"range": lottery_pb2.DateRange(**dates)}, runs)
            for dates, runs in (
                ({}, ["2024-09-16-001", "2024-09-17-001"]),
                ({"first_date": date_of(NEXT_DATE)}, ["2024-09-17-001"]),
                ({"last_date": date_of(DATE)}, ["2024-09-16-001"]),
                (
                    {"first_date": date_of(DATE), "last_date": date_of(NEXT_DATE)},
                    ["2024-09-16-001", "2024-09-17-001"],
                ),
            )
        ),
        ({"business_date": date_of(NEXT_DATE + dt.timedelta(1))}, []),
    ],
    ids=[
        *("every date", "one date", "an open range", "from a date", "up to a date"),
        *("between two", "a date without a run"),
    ],
)
def test_dates_are_replayed_run_by_run(
    two_dates: Stubs, between: dict[str, Any], runs: list[str]
) -> None:
    responses = two_dates.audit.ReplayRuns(audit_service_pb2.ReplayRunsRequest(**between))

    assert [(response.result.run, response.result.matched) for response in responses] == [
        (run, True) for run in runs
    ]


def test_a_pools_working_is_the_documents_example(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    request = pb.ExplainPoolRequest(run="latest", series="AAPL240920C00220000")

    (working,) = stubs.lottery.ExplainPool(request).workings

    assert (working.product, working.pool.first_hit) == ("28.041", 28)
    assert working.zero_hit == lottery_pb2.ZERO_HIT_WRAP
    assert [(row.first_number, row.last_number) for row in working.numbers_hit] == [(28, 37)]
    assert [(row.account, row.assigned_quantity) for row in working.accounts] == [
        ("1046", 3),
        ("1047", 7),
        ("1048", 0),
    ]
    assert [(row.first_number, row.last_number) for row in working.accounts[1].numbers_hit] == [
        (31, 37)
    ]


def test_an_accounts_working_has_every_pool_it_is_in(full: Stubs) -> None:
    request = pb.ExplainPoolRequest(run="latest", account="0815")

    workings = full.lottery.ExplainPool(request).workings

    assert [(working.pool.series, working.pool.break_reason) for working in workings] == [
        (GE, lottery_pb2.BREAK_REASON_EXCEEDS_SHORT)
    ]


def test_16_callers_with_one_day_get_one_run(stubs: Stubs) -> None:
    with futures.ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: run_day(stubs, FULL), range(16)))

    assert [answer.already_recorded for answer in answers].count(False) == 1
    assert {answer.run.run for answer in answers} == {"2024-09-16-001"}
    assert len({answer.run.record for answer in answers}) == 1
    assert run_count(stubs) == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"series": META, "occ_account": "F"}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"series": "XYZ   240920C00100000"}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"occ_account": ""}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"account": "4711"}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"occ_account": "F"}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"account": "42"}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"account": "1993", "series": GE}, (grpc.StatusCode.NOT_FOUND, "NOT_IN_RUN")),
        ({"series": GE}, (grpc.StatusCode.FAILED_PRECONDITION, "EXCEEDS_SHORT")),
        ({"account": "904"}, (grpc.StatusCode.FAILED_PRECONDITION, "EXCEEDS_SHORT")),
    ],
)
def test_allocations_that_are_not_in_a_run_are_an_error(
    full: Stubs, asked: dict[str, str], status: tuple[grpc.StatusCode, str]
) -> None:
    request = pb.StreamAllocationsRequest(run="latest", **asked)  # type: ignore[arg-type]

    assert failure_to(full, request).status == status


def test_pools_are_filtered_by_what_pools_have(full: Stubs) -> None:
    def pools_of(**asked: Any) -> pb.StreamAllocationsRequest:
        return pb.StreamAllocationsRequest(run="latest", content=pb.ROW_CONTENT_POOLS, **asked)

    (message,) = full.lottery.StreamAllocations(pools_of(series=GE, occ_account="C"))

    assert [(pool.series, pool.break_reason) for pool in message.pools] == [
        (GE, lottery_pb2.BREAK_REASON_EXCEEDS_SHORT)
    ]
    assert failure_to(full, pools_of(series=GE, occ_account="F")).status == (
        grpc.StatusCode.NOT_FOUND,
        "NOT_IN_RUN",
    )
    refused = failure_to(full, pools_of(account="904"))
    assert (refused.status, [field for field, _, _ in refused.violations]) == (
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        ["account"],
    )


def test_a_call_that_no_service_has_is_unimplemented(stubs: Stubs) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = stubs.channel.unary_unary(
        "/lottery.v1.LotteryService/Cheat"
    )

    assert failure_of(lambda: call(b"")).code is grpc.StatusCode.UNIMPLEMENTED


def allocations_in_rows(stubs: Stubs, **asked: Any) -> list[Row]:
    return [
        {name: getattr(row, name) for name in ALLOCATIONS.names}
        for message in _allocations(stubs, asked, pb.ROW_FORMAT_ROWS)
        for row in message.allocations
    ]


def allocations_in_arrow(stubs: Stubs, **asked: Any) -> pa.Table:
    parts = [
        read_arrow_table(message.arrow_allocations)
        for message in _allocations(stubs, asked, pb.ROW_FORMAT_ARROW)
    ]
    return pa.concat_tables(parts) if parts else ALLOCATIONS.empty_table()


def pools_in_arrow(stubs: Stubs) -> pa.Table:
    (message,) = _allocations(stubs, {"content": pb.ROW_CONTENT_POOLS}, pb.ROW_FORMAT_ARROW)
    return read_arrow_table(message.arrow_pools)


def _allocations(
    stubs: Stubs, asked: dict[str, Any], row_format: int
) -> Iterator[pb.StreamAllocationsResponse]:
    request = pb.StreamAllocationsRequest(**{"run": "latest", **asked, "format": row_format})
    yield from stubs.lottery.StreamAllocations(request)


def _csv_rows(name: str) -> list[dict[str, str]]:
    with (EXAMPLE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
