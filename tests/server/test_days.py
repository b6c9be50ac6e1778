"""What stands for a date, what changed and what happened, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.type import date_pb2

from lottery.day.tables import ALLOCATIONS, CHANGES, POOLS
from lottery.intake.arrow import read_arrow_table
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import (
    AAPL,
    META,
    NEXT_DATE,
    PUBLISHED,
    SmallDay,
    asks_making,
    evidence_in,
    notice,
    position,
    positions_of,
)
from tests.server.calls import Stubs, called, date_of, failure_to, run_day

INVALID: Final = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
NOT_FOUND: Final = (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
FIRST, LATE, CORRECTED, NEXT = (
    *(f"2024-09-16-00{number}" for number in (1, 2, 3)),
    "2024-09-17-001",
)
DAY: Final = pb.GetDayRequest(business_date=date_of(PUBLISHED.date))
NO_DATE: Final = date_pb2.Date(year=2024, month=2, day=30)
ARROW: Final = pb.ROW_FORMAT_ARROW
UNKNOWN: Final = cast("pb.RowFormat.ValueType", 7)

LATE_DAY: Final = replace(PUBLISHED, notices=[notice("L1", AAPL, 5)])
OTHER: Final = SmallDay(
    notices=[notice("M1", META, 3)],
    positions=positions_of(META, {"1046": 4, "7": 2}),
    asks=asks_making(345_678_901),
    date=NEXT_DATE,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("days") / "ledger"


@pytest.fixture(scope="module")
def dates(folder: Path) -> Iterator[Stubs]:
    """Serve a date with late notices and a correction of both runs, and another date."""
    with called(folder) as stubs:
        assert run_day(stubs, PUBLISHED).run.run == FIRST
        assert run_day(stubs, LATE_DAY, cycle=2).run.run == LATE
        corrected = SmallDay(
            notices=[*PUBLISHED.notices, *LATE_DAY.notices],
            positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)],
        )
        spec = {"cycle": 2, "supersedes": [FIRST, LATE], "reason": "an account was missing"}
        assert run_day(stubs, corrected, **spec).run.run == CORRECTED
        assert run_day(stubs, OTHER).run.run == NEXT
        yield stubs


def test_a_day_is_its_summary_its_pools_and_its_allocations(dates: Stubs) -> None:
    summary, pools, allocations = dates.lottery.GetDay(DAY)

    day = summary.day
    assert (day.business_date, day.state) == (DAY.business_date, lottery_pb2.RUN_STATE_ALLOCATED)
    assert (list(day.runs), day.last_run) == ([CORRECTED], CORRECTED)
    assert [(one.run, one.superseded_by) for one in day.superseded] == [
        (FIRST, CORRECTED),
        (LATE, CORRECTED),
    ]
    got = dates.lottery.GetRun(pb.GetRunRequest(run=CORRECTED)).run
    assert day.recorded_at == got.recorded_at
    figures = (day.pool_count, day.notice_count, day.assigned_quantity, day.allocated_quantity)
    assert (figures, list(day.breaks)) == ((1, 2, 15, 15), [])
    (pool,) = pools.pools
    assert (pool.notice_count, pool.total_short, pool.first_hit) == (2, 66, 28)
    assert [(row.account, row.assigned_quantity) for row in allocations.allocations] == [
        ("1046", 3),
        ("1047", 12),
        ("1048", 0),
        ("2000", 0),
    ]


@pytest.mark.parametrize("rows_per_message", [1, 3, 10])
@pytest.mark.parametrize(
    ("request_of_it", "fields"),
    [
        (DAY, {"pools": POOLS, "allocations": ALLOCATIONS}),
        (pb.DiffRunsRequest(run=FIRST, other_run=CORRECTED), {"changes": CHANGES}),
    ],
    ids=["GetDay", "DiffRuns"],
)
def test_rows_are_those_in_arrow_in_however_many_messages(
    dates: Stubs,
    monkeypatch: pytest.MonkeyPatch,
    request_of_it: Any,
    fields: dict[str, Any],
    rows_per_message: int,
) -> None:
    monkeypatch.setattr("server.responses.ROWS_PER_MESSAGE", rows_per_message)
    monkeypatch.setattr("server.responses.ARROW_ROWS_PER_MESSAGE", rows_per_message)
    method = getattr(dates.lottery, request_of_it.DESCRIPTOR.name.removesuffix("Request"))
    in_arrow = type(request_of_it)()
    in_arrow.CopyFrom(request_of_it)
    in_arrow.format = ARROW

    rows, arrow = list(method(request_of_it)), list(method(in_arrow))

    assert len(rows) == len(arrow) > 1
    for field, schema in fields.items():
        sent = [row for message in rows for row in getattr(message, field)]
        parts = [getattr(message, f"arrow_{field}") for message in arrow]
        tables = [read_arrow_table(part) for part in parts if part]
        assert all(table.num_rows <= rows_per_message for table in tables)
        assert all(table.schema == schema for table in tables)
        table_rows = [row for table in tables for row in table.to_pylist()]
        assert sent
        for row, message in zip(table_rows, sent, strict=True):
            assert {name: getattr(message, name) for name in row} == {
                name: 0 if value is None else value for name, value in row.items()
            }


def test_what_changed_since_a_run_is_against_what_stands(dates: Stubs) -> None:
    since = pb.DiffRunsRequest(run=FIRST, business_date=DAY.business_date)

    summary, rows = dates.lottery.DiffRuns(since)

    difference = summary.difference
    assert list(difference.before_runs) == [FIRST]
    assert list(difference.after_runs) == [CORRECTED]
    assert (difference.before, difference.after) == (10, 15)
    assert rows.changes == [
        pb.Change(series=AAPL, account="1047", before=7, after=12, difference=5)
    ]
    (nothing,) = dates.lottery.DiffRuns(
        pb.DiffRunsRequest(run=CORRECTED, business_date=DAY.business_date)
    )
    assert (nothing.difference.before, nothing.difference.after) == (15, 15)


def test_a_history_is_run_by_run_and_says_what_stands(dates: Stubs) -> None:
    account = list(dates.lottery.StreamHistory(pb.StreamHistoryRequest(account="1046")))
    series = list(
        dates.lottery.StreamHistory(pb.StreamHistoryRequest(series="AAPL240920C00220000"))
    )

    assert [
        (row.run, row.series, row.short_quantity, row.assigned_quantity, row.superseded_by)
        for message in account
        for row in message.rows
    ] == [
        (FIRST, AAPL, 30, 3, CORRECTED),
        (LATE, AAPL, 30, 0, CORRECTED),
        (CORRECTED, AAPL, 30, 3, ""),
        (NEXT, META, 4, 3, ""),
    ]
    assert [(row.run, row.cycle, row.account) for message in series for row in message.rows] == [
        (FIRST, 1, ""),
        (LATE, 2, ""),
        (CORRECTED, 2, ""),
    ]


def test_a_history_is_between_its_dates_and_may_be_empty(dates: Stubs) -> None:
    next_date = date_of(NEXT_DATE)

    def runs(**asked: Any) -> list[str]:
        messages = dates.lottery.StreamHistory(pb.StreamHistoryRequest(account="1046", **asked))
        return [row.run for message in messages for row in message.rows]

    assert runs(first_date=next_date) == [NEXT]
    assert runs(last_date=DAY.business_date) == [FIRST, LATE, CORRECTED]
    assert list(dates.lottery.StreamHistory(pb.StreamHistoryRequest(account="4711"))) == []


@pytest.mark.parametrize(
    ("request_of_it", "status", "fields"),
    [
        (pb.GetDayRequest(), INVALID, ["business_date"]),
        (pb.GetDayRequest(business_date=NO_DATE), INVALID, ["business_date"]),
        (pb.GetDayRequest(business_date=DAY.business_date, format=UNKNOWN), INVALID, ["format"]),
        (pb.DiffRunsRequest(run=FIRST, other_run=LATE, format=UNKNOWN), INVALID, ["format"]),
        (
            pb.GetDayRequest(business_date=date_pb2.Date(year=2024, month=9, day=18)),
            NOT_FOUND,
            [],
        ),
        (pb.DiffRunsRequest(other_run=FIRST), INVALID, ["run"]),
        (pb.DiffRunsRequest(run=FIRST), INVALID, ["other_run"]),
        (pb.DiffRunsRequest(run=FIRST, other_run=""), INVALID, ["other_run"]),
        (pb.DiffRunsRequest(run=FIRST, business_date=NO_DATE), INVALID, ["business_date"]),
        (pb.DiffRunsRequest(run=FIRST, business_date=date_pb2.Date()), INVALID, ["business_date"]),
        (pb.DiffRunsRequest(run=FIRST, other_run=NEXT), INVALID, ["other_run"]),
        (
            pb.DiffRunsRequest(run="latest", business_date=DAY.business_date),
            INVALID,
            ["run"],
        ),
        (pb.DiffRunsRequest(run=FIRST, other_run="2024-09-16-009"), NOT_FOUND, []),
        (pb.DiffRunsRequest(run="yesterday", other_run=FIRST), NOT_FOUND, []),
        (
            pb.DiffRunsRequest(run="2024-09-16-009", business_date=DAY.business_date),
            NOT_FOUND,
            [],
        ),
        (pb.StreamHistoryRequest(), INVALID, ["account"]),
        (pb.StreamHistoryRequest(account=""), INVALID, ["account"]),
        (pb.StreamHistoryRequest(series=""), INVALID, ["series"]),
        (pb.StreamHistoryRequest(series="AAPL"), INVALID, ["series"]),
        (pb.StreamHistoryRequest(account="1", first_date=NO_DATE), INVALID, ["first_date"]),
        (
            pb.StreamHistoryRequest(
                account="1", first_date=date_of(NEXT_DATE), last_date=DAY.business_date
            ),
            INVALID,
            ["last_date"],
        ),
    ],
)
def test_what_cannot_be_asked_names_its_field(
    dates: Stubs, request_of_it: Message, status: tuple[grpc.StatusCode, str], fields: list[str]
) -> None:
    failure = failure_to(dates, request_of_it)

    assert (failure.status, failure.fields) == (status, fields)


@pytest.mark.parametrize(
    "request_of_it",
    [
        DAY,
        pb.DiffRunsRequest(run="latest", other_run="latest"),
        pb.StreamHistoryRequest(account="1"),
    ],
    ids=["GetDay", "DiffRuns", "StreamHistory"],
)
def test_evidence_that_was_changed_is_data_loss(tmp_path: Path, request_of_it: Message) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        file = evidence_in(tmp_path / "ledger", FIRST) / "allocations.parquet"
        file.chmod(0o600)
        file.write_bytes(file.read_bytes() + b"x")

        failure = failure_to(stubs, request_of_it)

    assert failure.status == (grpc.StatusCode.DATA_LOSS, "LEDGER_DAMAGED")
