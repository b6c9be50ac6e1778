"""`lottery.v1.LotteryService`: each method converts, calls operations and converts back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Final

import grpc

from lottery import operations
from lottery.errors import Abandoned, Refused, quote
from lottery.operations.inputs import UNLIMITED, MemoryLimit
from lottery.operations.requester import Identity
from lottery.operations.runs import Ledger, RunRecord, is_run_id
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc as pb_grpc
from server import requests, responses, run_stream, telemetry
from server.status import aborting, aborting_stream

PAGE_SIZE: Final = 100
"""Number of runs on a page if the request does not say."""
MAX_PAGE_SIZE: Final = 1_000
"""Maximum number of runs on a page."""
PAGE_BYTES: Final = 2 << 20
"""Size of a page in bytes past which no further run is added."""


class LotteryService(pb_grpc.LotteryServiceServicer):
    """The lottery of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_rows: int,
        identify: Callable[[grpc.ServicerContext], Identity],
        memory: MemoryLimit = UNLIMITED,
    ) -> None:
        self._ledger = ledger
        self._max_rows = max_rows
        self._memory = memory
        self._identify = identify

    @aborting
    def DeriveSeed(
        self, request: pb.DeriveSeedRequest, context: grpc.ServicerContext
    ) -> pb.DeriveSeedResponse:
        volumes = requests.to_volumes(request.exchange_asks)
        business_date, problems = requests.to_optional_date(request.business_date)
        return responses.from_derived(
            operations.derive_seed(volumes, business_date=business_date, problems=problems)
        )

    @aborting
    def AllocateSeries(
        self, request: pb.AllocateSeriesRequest, context: grpc.ServicerContext
    ) -> pb.AllocateSeriesResponse:
        asked = requests.to_series_request(request, self._max_rows)
        telemetry.note(account_count=len(asked.accounts))
        return responses.from_series_allocation(asked, operations.allocate_series(asked))

    @aborting
    def RunLottery(
        self, request: Iterator[pb.RunLotteryRequest], context: grpc.ServicerContext
    ) -> pb.RunLotteryResponse:
        received = run_stream.receive_run(request, max_rows=self._max_rows, memory=self._memory)
        _require_active(context)
        try:
            asked = run_stream.to_run_request(
                received, self._identify(context), partial(operations.methodology_for, self._ledger)
            )
            recorded = operations.run_lottery(
                self._ledger, asked, proceed=partial(_require_active, context)
            )
        except Refused as error:
            raise run_stream.located(error) from None
        _note_run(recorded)
        return responses.from_recorded(recorded)

    @aborting
    def GetCharter(
        self, request: pb.GetCharterRequest, context: grpc.ServicerContext
    ) -> pb.GetCharterResponse:
        business_date, problems = requests.to_business_date(request.business_date)
        problems.refuse_if_any()
        return responses.from_charter(self._ledger.charter_for(business_date))

    @aborting
    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        return pb.GetRunResponse(
            run=responses.from_run(
                operations.recorded_run(self._ledger, requests.to_run(request.run))
            )
        )

    @aborting
    def ListRuns(
        self, request: pb.ListRunsRequest, context: grpc.ServicerContext
    ) -> pb.ListRunsResponse:
        if request.page_size < 0:
            raise requests.refused("page_size", f"expected 0 or more, got {request.page_size}")
        first, last = requests.to_dates(request)
        after = _page_token(request.page_token, first, last)
        records = self._ledger.iterate(first=first, last=last, after=after)
        return _page(self._runs(records), request.page_size)

    def _runs(self, records: Iterator[RunRecord]) -> Iterator[lottery_pb2.Run]:
        """Convert runs that come date by date, each with the run that supersedes it."""
        for date, of_date in groupby(records, lambda record: record.business_date.isoformat()):
            superseded = self._ledger.supersedings(date)
            for record in of_date:
                yield responses.from_record(record, superseded.get(record.run))

    @aborting_stream
    def StreamAllocations(
        self, request: pb.StreamAllocationsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamAllocationsResponse]:
        run, series = requests.to_run(request.run), request.series or None
        occ_account = request.occ_account if request.HasField("occ_account") else None
        if request.content == pb.ROW_CONTENT_POOLS:
            if request.account:
                raise requests.refused("account", "expected no account, since pools have none")
            pools = operations.pools(self._ledger, run, series=series, occ_account=occ_account)
            return responses.from_table(pools, "pools", request.format)
        allocations = operations.allocations(
            self._ledger,
            run,
            series=series,
            occ_account=occ_account,
            account=request.account or None,
        )
        return responses.from_table(allocations, "allocations", request.format)

    @aborting
    def ExplainPool(
        self, request: pb.ExplainPoolRequest, context: grpc.ServicerContext
    ) -> pb.ExplainPoolResponse:
        series, account = requests.to_target(request)
        workings = operations.explain(
            self._ledger,
            requests.to_run(request.run),
            series=series,
            occ_account=request.occ_account if request.HasField("occ_account") else None,
            account=account,
        )
        return pb.ExplainPoolResponse(workings=map(responses.from_working, workings))

    @aborting
    def GetOdds(
        self, request: pb.GetOddsRequest, context: grpc.ServicerContext
    ) -> pb.GetOddsResponse:
        asked = requests.to_odds_request(request, self._max_rows)
        telemetry.note(account_count=len(asked.accounts))
        return responses.from_odds(operations.series_odds(asked))


def _require_active(context: grpc.ServicerContext) -> None:
    """Raise `Abandoned` if the client has gone or its deadline has passed."""
    if not context.is_active():
        raise Abandoned("the client cancelled or its deadline passed; nothing was recorded")


def _note_run(recorded: operations.RecordedRun) -> None:
    record = recorded.record
    telemetry.note(
        run=record.run,
        already_recorded=recorded.already_recorded,
        pool_count=record.pool_count,
        notice_count=record.notice_count,
        break_count=record.break_count,
    )
    if not recorded.already_recorded:
        telemetry.count_contracts(
            allocated=record.allocated_quantity,
            broken=record.assigned_quantity - record.allocated_quantity,
        )


def _page_token(token: str, first: dt.date | None, last: dt.date | None) -> str | None:
    """Return the last run of the previous page."""
    if not token:
        return None
    date = token.rpartition("-")[0]
    least, most = first or date, last or date
    if not is_run_id(token) or not str(least) <= date <= str(most):
        message = f"expected a token that ListRuns returned for these dates, got {quote(token)}"
        raise requests.refused("page_token", message)
    return token


def _page(runs: Iterator[lottery_pb2.Run], page_size: int) -> pb.ListRunsResponse:
    """Fill a page with as many runs as requested, or fewer if their records are large."""
    most = min(page_size or PAGE_SIZE, MAX_PAGE_SIZE)
    page = pb.ListRunsResponse()
    size = 0
    for run in runs:
        if len(page.runs) == most or size > PAGE_BYTES:
            page.next_page_token = page.runs[-1].run
            break
        page.runs.append(run)
        size += run.ByteSize()
    return page
