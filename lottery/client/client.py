"""The client of both services; the package's docstring shows how to use it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import grpc
import pyarrow as pa

from lottery.audit.explain import PoolWorking
from lottery.client.audit import AuditCalls
from lottery.client.connection import Connection, TlsFiles
from lottery.client.days import DayCalls
from lottery.client.errors import call, call_again, stream
from lottery.client.rows import (
    PoolRows,
    SentRows,
    ask_messages,
    asks_to_send,
    pool_to_send,
    received_asks,
    rows_to_send,
)
from lottery.client.values import (
    allocation_of,
    break_of,
    date_of,
    joined,
    odds_of,
    pool_of,
    seed_of,
    working_of,
)
from lottery.day.tables import ALLOCATIONS, NOTICES, POOLS
from lottery.intake.frames import Asks, Rows
from lottery.ledger.entry import read_entry, read_run
from lottery.ledger.four_eyes import Verdict
from lottery.method.seed import RuleWarning, Seed
from lottery.operations import DerivedSeed, Proposals, RecordedRun, SeriesOdds
from lottery.v1 import (
    audit_service_pb2_grpc,
    lottery_pb2,
    lottery_service_pb2,
    lottery_service_pb2_grpc,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAnswer:
    """One pool as the server allocated it; rows are mappings by column name."""

    seed: Seed
    pool: Mapping[str, Any]
    allocations: Sequence[Mapping[str, Any]]


class LotteryClient(AuditCalls, DayCalls):
    """A connection to a server.

    While no server answers, what computes or reads is sent again up to three times (by gRPC's
    service config), and so is a run, which its request id or its content makes once-only.
    Withdrawals, replays, verifications and exports are not.

    Args:
        target: The server's address, HOST:PORT, or a channel to it, which stays open.
        tls: The files for TLS; None connects without it. When they change, so does the connection.
        timeout: Seconds that a call may take; None waits without limit.

    Raises:
        OSError: A file cannot be read.
        ValueError: The key is not that of the certificate.
    """

    def __init__(
        self,
        target: str | grpc.Channel,
        *,
        tls: TlsFiles | None = None,
        timeout: float | None = None,
    ) -> None:
        self._connection = Connection(target, tls)
        super().__init__(timeout)

    @property
    def _lottery(self) -> lottery_service_pb2_grpc.LotteryServiceStub:
        return self._connection.current().lottery

    @property
    def _audit(self) -> audit_service_pb2_grpc.AuditServiceStub:
        return self._connection.current().audit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def derive_seed(self, asks: Asks, *, business_date: dt.date | str | None = None) -> DerivedSeed:
        """Return every step of the seed of four ask prices.

        Args:
            asks: The four ask prices.
            business_date: Their date, if the method must be in force on it.

        Raises:
            Refused: An ask price or the set of them is wrong, or the method was not in force.
        """
        request = lottery_service_pb2.DeriveSeedRequest(
            business_date=date_of(business_date), exchange_asks=asks_to_send(asks)
        )
        response = call(self._lottery.DeriveSeed, request, self._timeout)
        return DerivedSeed(
            seed=seed_of(response.seed),
            warnings=tuple(
                RuleWarning(code=warning.code, rule=warning.rule, message=warning.message)
                for warning in response.warnings
            ),
        )

    def allocate_series(
        self,
        *,
        business_date: dt.date | str,
        asks: Asks,
        series: str,
        assigned_quantity: int,
        positions: PoolRows,
        occ_account: str = "",
        decisions: Mapping[str, str] | None = None,
    ) -> SeriesAnswer:
        """Allocate one pool without recording it: a frame, rows, or pairs of account and short.

        Raises:
            Refused: Something in the request is wrong.
            PoolBroken: The pool is a break.
        """
        request = lottery_service_pb2.AllocateSeriesRequest(
            business_date=date_of(business_date),
            exchange_asks=asks_to_send(asks),
            series=series,
            occ_account=occ_account,
            assigned_quantity=assigned_quantity,
            positions=pool_to_send(positions),
            decisions=_decisions(decisions),
        )
        response = call(self._lottery.AllocateSeries, request, self._timeout)
        return SeriesAnswer(
            seed=seed_of(response.seed),
            pool=pool_of(response.pool),
            allocations=[allocation_of(row) for row in response.allocations],
        )

    def run_lottery(  # noqa: PLR0913 - one a field of the request.
        self,
        *,
        business_date: dt.date | str,
        asks: Asks,
        notices: Rows,
        positions: Rows,
        cycle: int = 1,
        request_id: str = "",
        supersedes: Iterable[str] = (),
        reason: str = "",
        occ_positions: Rows | None = None,
        decisions: Mapping[str, str] | None = None,
        assigned_quantity: int | None = None,
        short_quantity: int | None = None,
        may_be_cut_off: Iterable[str] = (),
        volumes_as_of: str = "",
        clearing_member: str = "",
        acknowledged: Mapping[str, str] | None = None,
        validate_only: bool = False,
        mapping: tuple[str, bytes] | None = None,
    ) -> RecordedRun:
        """Allocate a business date, or a cycle of it, and record the run.

        Args:
            business_date: The run's date.
            asks: The four ask prices, by security number or as the rows of a volumes file.
            notices: The columns of a notices file, and those of `tables.OCC_REPORTS`.
            positions: The columns of a positions file.
            cycle: The run's cycle.
            request_id: An id that makes the request once-only; empty derives one from the content.
            supersedes: The runs of the date that it supersedes.
            reason: Why it supersedes them.
            occ_positions: OCC's own figures (`series`, `short_quantity` and `occ_account`), to
                compare the positions with.
            decisions: Decisions that differ from the defaults, by name.
            assigned_quantity: What the quantities of all notices must add up to.
            short_quantity: What the short quantities of all positions must add up to.
            may_be_cut_off: The text files that the rows come from and that may be cut off (H1).
            volumes_as_of: Of which date or time the asks are (S8); empty if that is not said.
            clearing_member: Whose notices count (P8), if the charter names nobody.
            acknowledged: The holds that are acknowledged, by code, each with the reason (H1).
            validate_only: Whether to record nothing and to say what would have been.
            mapping: The name and the bytes of the file by which the rows were read, which is
                kept with the record; no row is read by it.

        Raises:
            Refused: Something is wrong; what every charter refuses is refused before it is sent.
            Held: The run is held, and that is not acknowledged.
            Conflict: The run contradicts what is recorded.
            LedgerBusy: Another process writes to the ledger; try again later.
        """
        volumes = received_asks(asks)
        sent_notices, sent_positions, sent_occ = rows_to_send(
            notices, positions, occ_positions, volumes.problems
        )
        asks_as_of = next((source.as_of for source in volumes.sources), None)
        mapping_name, mapping_text = mapping or ("", b"")
        spec = lottery_service_pb2.RunSpec(
            business_date=date_of(business_date),
            cycle=cycle,
            exchange_asks=ask_messages(volumes),
            request_id=request_id,
            decisions=_decisions(decisions),
            notice_count=sent_notices.table.num_rows,
            position_count=sent_positions.table.num_rows,
            supersedes=supersedes,
            reason=reason,
            occ_position_count=None if sent_occ is None else sent_occ.table.num_rows,
            assigned_quantity=assigned_quantity,
            short_quantity=short_quantity,
            may_be_cut_off=may_be_cut_off,
            volumes_as_of=volumes_as_of or asks_as_of or "",
            clearing_member=clearing_member,
            acknowledgements=[
                lottery_pb2.Acknowledgement(code=code, reason=why)
                for code, why in (acknowledged or {}).items()
            ],
            validate_only=validate_only,
            mapping=mapping_text,
            mapping_name=mapping_name,
        )
        response = call_again(
            self._lottery.RunLottery,
            lambda: _run_messages(spec, sent_notices, sent_occ, sent_positions),
            self._timeout,
        )
        recorded = _recorded_run(response.run, already_recorded=response.already_recorded)
        return replace(recorded, is_rehearsed=validate_only and not recorded.already_recorded)

    def withdraw_run(self, run: str, reason: str) -> RecordedRun:
        """Take a run back, or the `latest`, whose notices OCC has taken back (N1).

        Raises:
            RunNotFound: There is no such run.
            Refused: It has no notices, or the reason is not one line of text.
            Conflict: It is superseded already, or another run rests on it.
            LedgerBusy: Another process writes to the ledger; try again later.
        """
        request = lottery_service_pb2.WithdrawRunRequest(run=run, reason=reason)
        response = call(self._lottery.WithdrawRun, request, self._timeout)
        return _recorded_run(response.run, already_recorded=response.already_recorded)

    def approve_run(self, run: str, record_sha256: str) -> RecordedRun:
        """Make a proposal stand, where the charter has four eyes.

        Args:
            run: The proposal.
            record_sha256: The SHA-256 of its record, which was looked at.

        Raises:
            RunNotFound: There is no such run.
            Conflict: It cannot be approved, or not by the caller; the reason says why.
            LedgerBusy: Another process writes to the ledger; try again later.
        """
        request = lottery_service_pb2.ApproveRunRequest(run=run, record_sha256=record_sha256)
        response = call(self._lottery.ApproveRun, request, self._timeout)
        return _recorded_run(response.run, already_recorded=response.already_recorded)

    def reject_run(self, run: str, record_sha256: str, reason: str) -> RecordedRun:
        """End a proposal, where the charter has four eyes.

        Args:
            run: The proposal.
            record_sha256: The SHA-256 of its record, which was looked at.
            reason: Why.

        Raises:
            RunNotFound: There is no such run.
            Refused: The reason is not one line of text.
            Conflict: It cannot be rejected, or not by the caller; the reason says why.
            LedgerBusy: Another process writes to the ledger; try again later.
        """
        request = lottery_service_pb2.RejectRunRequest(
            run=run, record_sha256=record_sha256, reason=reason
        )
        response = call(self._lottery.RejectRun, request, self._timeout)
        return _recorded_run(response.run, already_recorded=response.already_recorded)

    def list_proposals(self) -> Proposals:
        """Return the proposals that wait for a verdict."""
        request = lottery_service_pb2.ListProposalsRequest()
        response = call(self._lottery.ListProposals, request, self._timeout)
        waiting = tuple(_recorded_run(run, already_recorded=True) for run in response.runs)
        return Proposals(waiting=waiting, four_eyes=response.four_eyes)

    def get_charter(self, business_date: dt.date | str) -> Mapping[str, str]:
        """Return the decisions of the charter that holds for a date, by name (C1)."""
        request = lottery_service_pb2.GetCharterRequest(business_date=date_of(business_date))
        return dict(call(self._lottery.GetCharter, request, self._timeout).decisions)

    def clearing_member(self, business_date: dt.date | str) -> str:
        """Return the clearing member that the charter of a date names (P8), or an empty text."""
        request = lottery_service_pb2.GetCharterRequest(business_date=date_of(business_date))
        return str(call(self._lottery.GetCharter, request, self._timeout).clearing_member)

    def get_run(self, run: str) -> RecordedRun:
        """Return a recorded run, or the `latest`.

        Raises:
            RunNotFound: There is no such run.
        """
        request = lottery_service_pb2.GetRunRequest(run=run)
        run_message = call(self._lottery.GetRun, request, self._timeout).run
        return _recorded_run(run_message, already_recorded=True)

    def list_runs(
        self,
        *,
        first: dt.date | str | None = None,
        last: dt.date | str | None = None,
        standing_only: bool = False,
        newest_first: bool = False,
    ) -> Iterator[RecordedRun]:
        """Yield the runs between two dates, both inclusive, without their breaks, page by page.

        Args:
            first: The first date; None for the first one recorded.
            last: The last date; None for the last one recorded.
            standing_only: Whether runs that are superseded or not approved are left out.
            newest_first: Whether the last run of the last date is the first.
        """
        request = lottery_service_pb2.ListRunsRequest(
            first_date=date_of(first),
            last_date=date_of(last),
            standing_only=standing_only,
            order=(
                lottery_service_pb2.RUN_ORDER_NEWEST_FIRST
                if newest_first
                else lottery_service_pb2.RUN_ORDER_OLDEST_FIRST
            ),
            view=lottery_service_pb2.RUN_VIEW_FULL,
        )
        while True:
            page = call(self._lottery.ListRuns, request, self._timeout)
            yield from (_recorded_run(run, already_recorded=True) for run in page.runs)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def allocations(
        self,
        run: str,
        *,
        series: str = "",
        occ_account: str | None = None,
        account: str = "",
    ) -> pa.Table:
        """Return a run's allocations, or those of a pool or an account: `tables.ALLOCATIONS`.

        Raises:
            RunNotFound: There is no such run.
            NotInRun: The run has no such pool or account.
            PoolBroken: What was asked for is a break (D5).
        """
        request = lottery_service_pb2.StreamAllocationsRequest(
            run=run,
            series=series,
            occ_account=occ_account,
            account=account,
            format=lottery_service_pb2.ROW_FORMAT_ARROW,
        )
        messages = stream(self._lottery.StreamAllocations, request, self._timeout)
        return joined([message.arrow_allocations for message in messages], ALLOCATIONS)

    def pools(self, run: str) -> pa.Table:
        """Return a run's pools: `tables.POOLS`."""
        request = lottery_service_pb2.StreamAllocationsRequest(
            run=run,
            content=lottery_service_pb2.ROW_CONTENT_POOLS,
            format=lottery_service_pb2.ROW_FORMAT_ARROW,
        )
        messages = stream(self._lottery.StreamAllocations, request, self._timeout)
        return joined([message.arrow_pools for message in messages], POOLS)

    def notices(
        self, run: str, *, series: str | None = None, occ_account: str | None = None
    ) -> pa.Table:
        """Return a run's notices, or those of a series or of a pool: `tables.NOTICES`.

        Raises:
            RunNotFound: There is no such run.
            NotInRun: The run has no such pool.
        """
        request = lottery_service_pb2.StreamAllocationsRequest(
            run=run,
            series=series or "",
            occ_account=occ_account,
            content=lottery_service_pb2.ROW_CONTENT_NOTICES,
            format=lottery_service_pb2.ROW_FORMAT_ARROW,
        )
        messages = stream(self._lottery.StreamAllocations, request, self._timeout)
        return joined([message.arrow_notices for message in messages], NOTICES)

    def explain(
        self,
        run: str,
        *,
        series: str | None = None,
        occ_account: str | None = None,
        account: str | None = None,
    ) -> list[PoolWorking]:
        """Return the working of a pool, or of every pool that an account is in.

        Raises:
            RunNotFound: There is no such run.
            NotInRun: The run has no such pool or account.
        """
        request = lottery_service_pb2.ExplainPoolRequest(run=run, occ_account=occ_account)
        if series is not None:
            request.series = series
        if account is not None:
            request.account = account
        response = call(self._lottery.ExplainPool, request, self._timeout)
        return [working_of(working) for working in response.workings]

    def odds(
        self,
        *,
        series: str,
        assigned_quantity: int,
        positions: PoolRows,
        occ_account: str = "",
        account: str = "",
        business_date: dt.date | str | None = None,
        decisions: Mapping[str, str] | None = None,
    ) -> SeriesOdds:
        """Return the odds in one pool, a frame, rows or pairs, of all accounts or of one.

        Raises:
            Refused: Something in the request is wrong.
            PoolBroken: The pool would be a break.
        """
        request = lottery_service_pb2.GetOddsRequest(
            business_date=date_of(business_date),
            series=series,
            occ_account=occ_account,
            assigned_quantity=assigned_quantity,
            positions=pool_to_send(positions),
            decisions=_decisions(decisions),
            account=account,
        )
        return odds_of(call(self._lottery.GetOdds, request, self._timeout))


def _run_messages(
    spec: lottery_service_pb2.RunSpec, *sent: SentRows | None
) -> Iterator[lottery_service_pb2.RunLotteryRequest]:
    yield lottery_service_pb2.RunLotteryRequest(spec=spec)
    for rows in sent:
        if rows is not None:
            yield from rows.messages()


def _recorded_run(run: lottery_pb2.Run, *, already_recorded: bool) -> RecordedRun:
    verdict = read_entry(run.verdict.entry) if run.HasField("verdict") else None
    return RecordedRun(
        record=read_run(run.record),
        state=lottery_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_"),
        verdict=verdict if isinstance(verdict, Verdict) else None,
        already_recorded=already_recorded,
        superseded_by=run.superseded_by or None,
        breaks=tuple(map(break_of, run.breaks)),
    )


def _decisions(decisions: Mapping[str, str] | None) -> lottery_pb2.Decisions:
    fields = lottery_pb2.Decisions.DESCRIPTOR.fields_by_name
    labels: Any = {}
    for name, choice in (decisions or {}).items():
        enum: Any = fields[name].enum_type if name in fields else None
        prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED") if enum else ""
        labels[name] = f"{prefix}{choice.upper().replace('-', '_')}"
    return lottery_pb2.Decisions(**labels)
