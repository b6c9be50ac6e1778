"""`lottery.v1.LotteryService`: convert, call operations, convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import grpc

from lottery import operations
from lottery.errors import Abandoned, Problem, Refused
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity, is_run_id
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import derive_seed
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc as pb_grpc
from server import convert, telemetry
from server.odds import from_series_odds
from server.status import aborting, aborting_stream
from server.streams import SentStreams

PAGE_SIZE: Final = 100
LARGEST_PAGE: Final = 1_000
PAGE_BYTES: Final = 2 << 20


class LotteryService(pb_grpc.LotteryServiceServicer):
    """The lottery over one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_rows: int,
        identify: Callable[[grpc.ServicerContext], Identity],
        memory: MemoryLimit = UNLIMITED,
        streams: SentStreams | None = None,
    ) -> None:
        self._ledger = ledger
        self._max_rows = max_rows
        self._memory = memory
        self._streams = streams
        self._identify = identify

    @aborting
    def DeriveSeed(
        self, request: pb.DeriveSeedRequest, context: grpc.ServicerContext
    ) -> pb.DeriveSeedResponse:
        asks = convert.to_asks(request.exchange_asks)
        return convert.from_derived(
            derive_seed(asks, JPMS_2024_09_06.securities, source="exchange_asks")
        )

    @aborting
    def AllocateSeries(
        self, request: pb.AllocateSeriesRequest, context: grpc.ServicerContext
    ) -> pb.AllocateSeriesResponse:
        asked = convert.to_series_request(request, self._max_rows)
        telemetry.note(account_count=len(asked.accounts))
        return convert.from_series_allocation(asked, operations.allocate_series(asked))

    @aborting
    def RunLottery(
        self, request: Iterator[pb.RunLotteryRequest], context: grpc.ServicerContext
    ) -> pb.RunLotteryResponse:
        proceed = _while_active(context)
        asked = convert.to_run_request(
            request,
            max_rows=self._max_rows,
            memory=self._memory,
            requested_by=self._identify(context),
            proceed=proceed,
        )
        outcome = operations.run_lottery(lambda: self._ledger, asked, proceed=proceed)
        _note_run(outcome)
        return convert.from_outcome(outcome)

    @aborting
    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        record = self._ledger.get(request.run)
        superseded_by = self._ledger.superseded_by(record.run)
        return pb.GetRunResponse(run=convert.from_record(record, superseded_by))

    @aborting
    def ListRuns(
        self, request: pb.ListRunsRequest, context: grpc.ServicerContext
    ) -> pb.ListRunsResponse:
        records = self._ledger.iterate(
            first=convert.optional_date(request.first_date, "first_date"),
            last=convert.optional_date(request.last_date, "last_date"),
            after=_page_token(request.page_token),
        )
        superseded = self._ledger.supersedings()
        runs = (convert.from_record(record, superseded.get(record.run)) for record in records)
        return _page(runs, request.page_size)

    @aborting_stream
    def StreamAllocations(
        self, request: pb.StreamAllocationsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamAllocationsResponse]:
        run = self._ledger.get(request.run).run
        if self._streams is not None and convert.is_whole_in_arrow(request):
            key = (run, request.content)
            yield from self._streams.messages(key, lambda: self._messages(request, run))
        else:
            yield from self._messages(request, run)

    @aborting
    def ExplainPool(
        self, request: pb.ExplainPoolRequest, context: grpc.ServicerContext
    ) -> pb.ExplainPoolResponse:
        if bool(request.series) == bool(request.account):
            message = "either a series or an account is expected"
            raise Refused([Problem(source="series", message=message)])
        workings = operations.explain(
            self._ledger,
            request.run,
            series=request.series or None,
            occ_account=request.occ_account if request.HasField("occ_account") else None,
            account=request.account or None,
        )
        return pb.ExplainPoolResponse(workings=map(convert.from_working, workings))

    @aborting
    def GetOdds(
        self, request: pb.GetOddsRequest, context: grpc.ServicerContext
    ) -> pb.GetOddsResponse:
        asked = convert.to_odds_request(request, self._max_rows)
        telemetry.note(account_count=len(asked.accounts))
        return from_series_odds(operations.series_odds(asked))

    def _messages(
        self, request: pb.StreamAllocationsRequest, run: str
    ) -> Iterator[pb.StreamAllocationsResponse]:
        """What is asked for of a run, read from its evidence."""
        if request.content == pb.ROW_CONTENT_POOLS:
            return convert.pool_messages(operations.pools(self._ledger, run), request.format)
        allocations = operations.allocations(
            self._ledger,
            run,
            series=request.series or None,
            occ_account=request.occ_account if request.HasField("occ_account") else None,
            account=request.account or None,
        )
        return convert.allocation_messages(allocations, request.format)


def _while_active(context: grpc.ServicerContext) -> Callable[[], None]:
    """Raises `Abandoned` once the caller has gone or its deadline has passed."""

    def proceed() -> None:
        if not context.is_active():
            raise Abandoned("the caller went away or its deadline passed; nothing was recorded")

    return proceed


def _note_run(outcome: operations.RunOutcome) -> None:
    record = outcome.record
    telemetry.note(
        run=record.run,
        already_recorded=outcome.already_recorded,
        pool_count=record.pool_count,
        notice_count=record.notice_count,
        break_count=len(record.breaks),
    )
    if not outcome.already_recorded:
        telemetry.count_contracts(
            allocated=record.allocated_quantity,
            broken=record.assigned_quantity - record.allocated_quantity,
        )


def _page_token(token: str) -> str | None:
    """The run that the page before ended with."""
    if token and not is_run_id(token):
        message = "the page token is none of this server's"
        raise Refused([Problem(source="page_token", message=message)])
    return token or None


def _page(runs: Iterator[lottery_pb2.Run], page_size: int) -> pb.ListRunsResponse:
    """A page: as many runs as asked for, fewer where their records grow large."""
    most = min(page_size if page_size > 0 else PAGE_SIZE, LARGEST_PAGE)
    page = pb.ListRunsResponse()
    size = 0
    for run in runs:
        if len(page.runs) == most or size > PAGE_BYTES:
            page.next_page_token = page.runs[-1].run
            break
        page.runs.append(run)
        size += run.ByteSize()
    return page
