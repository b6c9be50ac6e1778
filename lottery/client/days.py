"""The calls about what stands for a date, what changed, and what happened over the dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from lottery.client.errors import stream
from lottery.client.values import calendar_date, date_of, history_row_of, joined
from lottery.day.tables import ALLOCATIONS, CHANGES, POOLS
from lottery.intake.dates import read_date
from lottery.ledger.ports import rfc3339
from lottery.operations import Difference, HistoryRow, StandingDay
from lottery.v1 import lottery_pb2, lottery_service_pb2, lottery_service_pb2_grpc


class DayCalls:
    """The calls of `lottery.v1.LotteryService` about dates; `LotteryClient` has them."""

    _timeout: float | None

    @property
    def _lottery(self) -> lottery_service_pb2_grpc.LotteryServiceStub:
        raise NotImplementedError

    def get_day(self, business_date: dt.date | str) -> StandingDay:
        """Return what stands for a date, over all cycles.

        Raises:
            RunNotFound: The date has no run.
        """
        request = lottery_service_pb2.GetDayRequest(
            business_date=date_of(business_date), format=lottery_service_pb2.ROW_FORMAT_ARROW
        )
        messages = list(stream(self._lottery.GetDay, request, self._timeout))
        day = messages[0].day
        return StandingDay(
            business_date=read_date(business_date)[0],
            state=lottery_pb2.RunState.Name(day.state).removeprefix("RUN_STATE_"),
            runs=tuple(day.runs),
            superseded_by={one.run: one.superseded_by for one in day.superseded},
            last_run=day.last_run,
            recorded_at=rfc3339(lambda: day.recorded_at.ToDatetime(dt.UTC)),
            pools=joined([message.arrow_pools for message in messages], POOLS),
            allocations=joined([message.arrow_allocations for message in messages], ALLOCATIONS),
        )

    def diff_runs(self, before: str, after: str) -> Difference:
        """Return what one run of a date assigns otherwise than another, each by itself.

        Raises:
            RunNotFound: One of them is not recorded.
            Refused: They are of different dates.
        """
        return self._difference(lottery_service_pb2.DiffRunsRequest(run=before, other_run=after))

    def diff_since(self, business_date: dt.date | str, since: str) -> Difference:
        """Return what stands for a date otherwise than when one of its runs was the last.

        Raises:
            RunNotFound: The run is not recorded.
            Refused: It is of another date.
        """
        return self._difference(
            lottery_service_pb2.DiffRunsRequest(run=since, business_date=date_of(business_date))
        )

    def _difference(self, request: lottery_service_pb2.DiffRunsRequest) -> Difference:
        request.format = lottery_service_pb2.ROW_FORMAT_ARROW
        messages = list(stream(self._lottery.DiffRuns, request, self._timeout))
        difference = messages[0].difference
        return Difference(
            business_date=calendar_date(difference.business_date),
            before_runs=tuple(difference.before_runs),
            after_runs=tuple(difference.after_runs),
            before=difference.before,
            after=difference.after,
            changes=joined([message.arrow_changes for message in messages], CHANGES),
        )

    def history(
        self,
        *,
        account: str | None = None,
        series: str | None = None,
        first: dt.date | str | None = None,
        last: dt.date | str | None = None,
    ) -> Iterator[HistoryRow]:
        """Yield what the runs between two dates, both inclusive, did with an account or a series.

        Raises:
            Refused: The series is not an OSI symbol, or there is neither an account nor a series.
        """
        request = lottery_service_pb2.StreamHistoryRequest(
            first_date=date_of(first), last_date=date_of(last)
        )
        if account is not None:
            request.account = account
        if series is not None:
            request.series = series
        for message in stream(self._lottery.StreamHistory, request, self._timeout):
            yield from map(history_row_of, message.rows)
