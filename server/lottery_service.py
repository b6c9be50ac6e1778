"""`lottery.v1.LotteryService`: each method converts, calls operations and converts back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial

import grpc

from lottery import operations
from lottery.errors import Abandoned, Refused
from lottery.operations import Ledger
from lottery.operations.events import INTERNAL, Announcing, Event
from lottery.operations.inputs import UNLIMITED, DayMemory, MemoryLimit
from lottery.operations.requester import Identity
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc as pb_grpc
from server import requests, responses, run_pages, run_stream, telemetry
from server.status import aborting, aborting_stream


class LotteryService(pb_grpc.LotteryServiceServicer):
    """The lottery of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_rows: int,
        identify: Callable[[], Identity],
        memory: DayMemory = UNLIMITED.day,
        announce: Callable[[Event], object] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._max_rows = max_rows
        self._memory = memory
        self._identify = identify
        self._announce = announce

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
        asked, messages = run_stream.begun(request, self._ledger.origin)
        with (
            Announcing(asked, self._announce, reason_of=partial(_reason_of, context)) as announced,
            self._memory() as memory,
        ):
            recorded = self._run(messages, context, memory, announced)
        _note_run(recorded)
        return responses.from_recorded(pb.RunLotteryResponse, recorded)

    def _run(
        self,
        messages: Iterator[pb.RunLotteryRequest],
        context: grpc.ServicerContext,
        memory: MemoryLimit,
        announced: Announcing,
    ) -> operations.RecordedRun:
        received = run_stream.receive_run(messages, max_rows=self._max_rows, memory=memory)
        _require_active(context)
        try:
            asked = run_stream.to_run_request(received, self._identify(), self._ledger.charter_for)
            announced.read(asked, lambda: self._ledger.origin)
            recorded = operations.run_lottery(
                self._ledger,
                asked,
                dry_run=received is not None and received.spec.validate_only,
                proceed=partial(_require_active, context),
            )
        except Refused as error:
            raise run_stream.located(error) from None
        announced.recorded(recorded)
        return recorded

    @aborting
    def WithdrawRun(
        self, request: pb.WithdrawRunRequest, context: grpc.ServicerContext
    ) -> pb.WithdrawRunResponse:
        recorded = operations.withdraw_run(
            self._ledger,
            requests.to_run(request.run),
            reason=request.reason,
            by=self._identify(),
            proceed=partial(_require_active, context),
        )
        _note_run(recorded)
        return responses.from_recorded(pb.WithdrawRunResponse, recorded)

    @aborting
    def ApproveRun(
        self, request: pb.ApproveRunRequest, context: grpc.ServicerContext
    ) -> pb.ApproveRunResponse:
        approved = operations.approve_run(
            self._ledger,
            requests.to_run(request.run),
            record_sha256=requests.to_digest(request.record_sha256),
            by=self._identify(),
            proceed=partial(_require_active, context),
        )
        _note_run(approved)
        return responses.from_recorded(pb.ApproveRunResponse, approved)

    @aborting
    def RejectRun(
        self, request: pb.RejectRunRequest, context: grpc.ServicerContext
    ) -> pb.RejectRunResponse:
        rejected = operations.reject_run(
            self._ledger,
            requests.to_run(request.run),
            record_sha256=requests.to_digest(request.record_sha256),
            reason=request.reason,
            by=self._identify(),
            proceed=partial(_require_active, context),
        )
        _note_run(rejected)
        return responses.from_recorded(pb.RejectRunResponse, rejected)

    @aborting
    def ListProposals(
        self, request: pb.ListProposalsRequest, context: grpc.ServicerContext
    ) -> pb.ListProposalsResponse:
        return responses.from_proposals(operations.list_proposals(self._ledger))

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
        return run_pages.list_runs(self._ledger, request)

    @aborting_stream
    def StreamAllocations(
        self, request: pb.StreamAllocationsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamAllocationsResponse]:
        requests.refuse_unknown_choices(request)
        run, series = requests.to_run(request.run), request.series or None
        occ_account = request.occ_account if request.HasField("occ_account") else None
        of_pools = {
            pb.ROW_CONTENT_POOLS: ("pools", operations.pools),
            pb.ROW_CONTENT_NOTICES: ("notices", operations.notices),
        }
        if request.content in of_pools:
            field, read = of_pools[request.content]
            if request.account:
                raise requests.refused("account", f"expected no account, since {field} have none")
            rows = read(self._ledger, run, series=series, occ_account=occ_account)
            telemetry.note(rows=rows.num_rows)
            return responses.from_table(rows, field, request.format)
        allocations = operations.allocations(
            self._ledger,
            run,
            series=series,
            occ_account=occ_account,
            account=request.account or None,
        )
        telemetry.note(rows=allocations.num_rows)
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

    @aborting_stream
    def GetDay(
        self, request: pb.GetDayRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GetDayResponse]:
        requests.refuse_unknown_choices(request)
        business_date, problems = requests.to_business_date(request.business_date)
        problems.refuse_if_any()
        day = operations.standing_day(self._ledger, business_date)
        telemetry.note(rows=day.pools.num_rows + day.allocations.num_rows)
        return responses.from_day(day, request.format)

    @aborting_stream
    def DiffRuns(
        self, request: pb.DiffRunsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DiffRunsResponse]:
        requests.refuse_unknown_choices(request)
        run, compared_with = requests.to_run(request.run), requests.to_compared_with(request)
        difference = (
            operations.difference_since(self._ledger, compared_with, run)
            if isinstance(compared_with, dt.date)
            else operations.difference_of_runs(self._ledger, run, compared_with)
        )
        return responses.from_difference(difference, request.format)

    @aborting_stream
    def StreamHistory(
        self, request: pb.StreamHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamHistoryResponse]:
        first, last = requests.to_dates(request)
        rows = operations.history(
            self._ledger,
            account=request.account if request.HasField("account") else None,
            series=request.series if request.HasField("series") else None,
            first=first,
            last=last,
        )
        return responses.from_history(rows)


def _require_active(context: grpc.ServicerContext) -> None:
    """Raise `Abandoned` if the client has gone or its deadline has passed."""
    if not context.is_active():
        raise Abandoned("the client cancelled or its deadline passed; nothing was recorded")


def _reason_of(context: grpc.ServicerContext, _: Exception) -> str:
    """Return the reason of an error that is none of ours."""
    # Reading the stream of a client that has gone raises a bare Exception.
    return INTERNAL if context.is_active() else Abandoned.reason


def _note_run(recorded: operations.RecordedRun) -> None:
    record = recorded.record
    telemetry.note(
        run=record.run,
        already_recorded=recorded.already_recorded,
        pool_count=record.pool_count,
        notice_count=record.notice_count,
        break_count=record.break_count,
    )
    if recorded.counts and not recorded.already_recorded:
        telemetry.count_contracts(
            allocated=record.allocated_quantity,
            broken=record.assigned_quantity - record.allocated_quantity,
        )
