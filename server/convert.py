"""Wire to domain and back; no rules, no calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
from google.type import date_pb2

from lottery import operations
from lottery.audit.explain import PoolWorking
from lottery.audit.replay import Engine, Replayed
from lottery.audit.verify_log import Fault
from lottery.errors import KeyUnusable, LimitExceeded, Problem, Problems, Refused
from lottery.intake.arrow import with_own_labels, write_arrow
from lottery.intake.memory import MemoryLimit
from lottery.intake.wire import IncomingRows, volumes_of_asks
from lottery.ledger.run_record import ALLOCATED, Identity, RunRecord, SeedRecord
from lottery.method.distribution import NumberRange
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import ExchangeAsk, Seed
from lottery.tlog.keys import VerifierKey
from lottery.tlog.merkle import leaf_hash
from lottery.v1 import audit_service_pb2, lottery_pb2
from lottery.v1 import lottery_service_pb2 as service_pb2
from server.allocation_wire import add_allocations

ROWS_A_MESSAGE: Final = 4_096
ARROW_ROWS_A_MESSAGE: Final = 65_536


def to_date(date: date_pb2.Date, source: str) -> dt.date:
    """The date of a message.

    Raises:
        Refused: It is absent or no calendar date.
    """
    try:
        return dt.date(date.year, date.month, date.day)
    except (ValueError, OverflowError):
        given = f"{date.year:04d}-{date.month:02d}-{date.day:02d}"
        message = f"{given} is no date" if date.ByteSize() else "there is no date"
        raise Refused([Problem(source=source, message=message)]) from None


def optional_date(date: date_pb2.Date, source: str) -> dt.date | None:
    """The date of a message, or None where it is absent.

    Raises:
        Refused: It is no calendar date.
    """
    return to_date(date, source) if date.ByteSize() else None


def from_date(date: dt.date) -> date_pb2.Date:
    """A date as a message."""
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def to_asks(asks: Iterable[lottery_pb2.ExchangeAsk]) -> list[ExchangeAsk]:
    """The asks of a message."""
    return [
        ExchangeAsk(security_number=ask.security_number, ask_price=ask.ask_price) for ask in asks
    ]


def to_methodology(decisions: lottery_pb2.Decisions, problems: Problems) -> Methodology:
    """The method with the choices of a message; an unknown choice is a problem."""
    given = {
        name: choice
        for name, choice in (
            ("account_order", decisions.account_order),
            ("zero_hit", decisions.zero_hit),
        )
        if choice
    }
    if not given:
        return JPMS_2024_09_06
    try:
        return JPMS_2024_09_06.deciding(given)
    except ValueError as error:
        problems.add(Problem(source="decisions", message=str(error)))
        return JPMS_2024_09_06


def to_business_date(date: date_pb2.Date, problems: Problems) -> dt.date:
    """The business date of a message; where it is none, a problem and a date in its place."""
    try:
        return to_date(date, "business_date")
    except Refused as error:
        problems.add(error.problems[0])
        return JPMS_2024_09_06.effective


def to_series_request(
    request: service_pb2.AllocateSeriesRequest, max_rows: int
) -> operations.SeriesRequest:
    """One pool's request; a date or a decision that is none is among its problems.

    Raises:
        LimitExceeded: It has more rows than the limit.
    """
    accounts, shorts = _rows_of(request.positions, max_rows)
    problems = Problems()
    return operations.SeriesRequest(
        business_date=to_business_date(request.business_date, problems),
        asks=to_asks(request.exchange_asks),
        series=request.series,
        occ_account=request.occ_account,
        assigned_quantity=request.assigned_quantity,
        accounts=accounts,
        shorts=shorts,
        methodology=to_methodology(request.decisions, problems),
        problems=problems,
    )


def to_odds_request(request: service_pb2.GetOddsRequest, max_rows: int) -> operations.OddsRequest:
    """The request for one pool's odds; a decision that is none is among its problems.

    Raises:
        LimitExceeded: It has more rows than the limit.
    """
    accounts, shorts = _rows_of(request.positions, max_rows)
    problems = Problems()
    return operations.OddsRequest(
        series=request.series,
        occ_account=request.occ_account,
        assigned_quantity=request.assigned_quantity,
        accounts=accounts,
        shorts=shorts,
        methodology=to_methodology(request.decisions, problems),
        problems=problems,
        account=request.account,
    )


def from_series_allocation(
    request: operations.SeriesRequest, allocation: operations.SeriesAllocation
) -> service_pb2.AllocateSeriesResponse:
    """One pool's answer."""
    pool = allocation.pool
    series, occ_account = allocation.series, request.occ_account
    response = service_pb2.AllocateSeriesResponse(
        seed=from_seed(allocation.seed),
        pool=lottery_pb2.Pool(
            occ_account=occ_account,
            series=series,
            notice_count=1,
            assigned_quantity=request.assigned_quantity,
            total_short=pool.total_short,
            first_hit=pool.first_hit,
            account_count=len(pool.rows),
            hit_account_count=pool.hit_account_count,
        ),
    )
    add_allocations(response, pool, occ_account=occ_account, series=series)
    return response


def to_run_request(
    messages: Iterator[service_pb2.RunLotteryRequest],
    *,
    max_rows: int,
    memory: MemoryLimit,
    requested_by: Identity,
    proceed: Callable[[], None],
) -> operations.RunRequest:
    """A run's request of all messages of a stream.

    Args:
        messages: The stream.
        max_rows: The limit of notices and of positions.
        memory: What their rows may take.
        requested_by: Who asks.
        proceed: Called behind the last message; raises where the caller has gone.

    Raises:
        Refused: There is no spec, a second one, or not as many rows as it announces.
        LimitExceeded: There are more rows than the limit, or they take more memory.
    """
    problems = Problems()
    notices, positions, occ_positions = (
        IncomingRows(role=role, problems=problems, max_rows=max_rows, memory=memory)
        for role in ("notices", "positions", "occ_positions")
    )
    spec: service_pb2.RunSpec | None = None
    for message in messages:
        if message.HasField("spec"):
            if spec is not None:
                raise Refused([Problem(source="spec", message="there is a second spec")])
            spec = message.spec
        elif spec is None:
            break
        _gather(message, notices, positions)
        if message.arrow_occ_positions:
            occ_positions.add_arrow(message.arrow_occ_positions)
    proceed()
    if spec is None:
        raise Refused([Problem(source="spec", message="the first message has no spec")])
    if spec.HasField("notice_count"):
        _check_count(notices, spec.notice_count, problems)
    if spec.HasField("position_count"):
        _check_count(positions, spec.position_count, problems)
    if spec.HasField("occ_position_count"):
        _check_count(occ_positions, spec.occ_position_count, problems)
    received = notices.received()
    return operations.RunRequest(
        business_date=to_business_date(spec.business_date, problems),
        cycle=spec.cycle or 1,
        notices=received,
        positions=positions.received_of(received),
        volumes=volumes_of_asks(to_asks(spec.exchange_asks), problems),
        problems=problems,
        requested_by=requested_by,
        request_id=spec.request_id or None,
        supersedes=tuple(spec.supersedes),
        reason=spec.reason or None,
        positions_basis=spec.positions_basis or None,
        occ_positions=occ_positions.received() if occ_positions.has_arrived else None,
        methodology=to_methodology(spec.decisions, problems),
    )


def from_outcome(outcome: operations.RunOutcome) -> service_pb2.RunLotteryResponse:
    """A recorded run's answer."""
    return service_pb2.RunLotteryResponse(
        run=from_record(outcome.record, outcome.superseded_by),
        already_recorded=outcome.already_recorded,
    )


def from_seed(seed: Seed | SeedRecord) -> lottery_pb2.Seed:
    """A seed as a message."""
    return lottery_pb2.Seed(
        volumes=[
            lottery_pb2.ExchangeVolume(
                security_number=volume.security_number,
                ask_price=volume.ask_price,
                volume=volume.volume,
            )
            for volume in seed.volumes
        ],
        composite=str(seed.composite),
        length=seed.length,
        cut_position=seed.cut_position,
        digits=seed.digits,
        fraction=seed.fraction,
    )


def from_derived(seed: Seed) -> service_pb2.DeriveSeedResponse:
    """A derived seed's answer."""
    return service_pb2.DeriveSeedResponse(
        seed=from_seed(seed),
        warnings=[
            lottery_pb2.Warning(code=warning.code, rule=warning.rule, message=warning.message)
            for warning in seed.warnings()
        ],
    )


def from_record(record: RunRecord, superseded_by: str | None) -> lottery_pb2.Run:
    """A run record as a message, its canonical bytes included."""
    run = lottery_pb2.Run(
        run=record.run,
        state=(
            lottery_pb2.RUN_STATE_ALLOCATED
            if record.state == ALLOCATED
            else lottery_pb2.RUN_STATE_ALLOCATED_WITH_BREAKS
        ),
        business_date=from_date(record.business_date),
        cycle=record.cycle,
        method=record.method.id,
        decisions=record.method.decisions,
        seed=from_seed(record.seed),
        pool_count=record.pool_count,
        notice_count=record.notice_count,
        assigned_quantity=record.assigned_quantity,
        allocated_quantity=record.allocated_quantity,
        breaks=[
            lottery_pb2.Break(
                occ_account=broken.occ_account,
                series=broken.series,
                reason=broken.reason,
                assigned_quantity=broken.assigned_quantity,
                total_short=broken.total_short,
            )
            for broken in record.breaks
        ],
        warnings=[
            lottery_pb2.Warning(code=warning.code, rule=warning.rule, message=warning.message)
            for warning in record.warnings
        ],
        request_id=record.request_id,
        record=record.canonical(),
        supersedes=record.supersedes,
        reason=record.reason or "",
        superseded_by=superseded_by or "",
        positions_basis=record.positions_basis or "",
    )
    run.recorded_at.FromJsonString(record.recorded_at)
    return run


def allocation_messages(
    allocations: pa.Table, response_format: int
) -> Iterator[service_pb2.StreamAllocationsResponse]:
    """`tables.ALLOCATIONS` as messages of rows or of Arrow."""
    for part in _parts(allocations, response_format):
        if response_format == service_pb2.ROW_FORMAT_ARROW:
            yield service_pb2.StreamAllocationsResponse(arrow_allocations=write_arrow(part))
        else:
            rows = [lottery_pb2.Allocation(**row) for row in part.to_pylist()]
            yield service_pb2.StreamAllocationsResponse(allocations=rows)


def is_whole_in_arrow(request: service_pb2.StreamAllocationsRequest) -> bool:
    """Whether a request is for all pools or all allocations of a run, as Arrow."""
    is_narrowed = request.series or request.account or request.HasField("occ_account")
    return request.format == service_pb2.ROW_FORMAT_ARROW and not is_narrowed


def pool_messages(
    pools: pa.Table, response_format: int
) -> Iterator[service_pb2.StreamAllocationsResponse]:
    """`tables.POOLS` as messages of rows or of Arrow."""
    for part in _parts(pools, response_format):
        if response_format == service_pb2.ROW_FORMAT_ARROW:
            yield service_pb2.StreamAllocationsResponse(arrow_pools=write_arrow(part))
        else:
            rows = [lottery_pb2.Pool(**row) for row in part.to_pylist()]
            yield service_pb2.StreamAllocationsResponse(pools=rows)


def from_working(working: PoolWorking) -> service_pb2.PoolWorking:
    """A working as a message."""
    return service_pb2.PoolWorking(
        run=working.run,
        business_date=from_date(dt.date.fromisoformat(working.business_date)),
        method=working.method,
        zero_hit=working.zero_hit,
        seed=from_seed(working.seed),
        pool=lottery_pb2.Pool(
            occ_account=working.occ_account,
            series=working.series,
            notice_count=working.notice_count,
            assigned_quantity=working.assigned_quantity,
            total_short=working.total_short,
            first_hit=working.first_hit,
            account_count=working.account_count,
            hit_account_count=working.hit_account_count,
            break_reason=working.break_reason or "",
        ),
        product=working.product,
        numbers_hit=_ranges(working.ranges),
        accounts=[
            service_pb2.AccountWorking(
                account=account.account,
                short_quantity=account.short_quantity,
                first_number=account.first_number,
                last_number=account.last_number,
                assigned_quantity=account.assigned_quantity,
                numbers_hit=_ranges(account.numbers_hit),
            )
            for account in working.accounts
        ],
        accounts_left_out=working.accounts_left_out,
    )


def from_replayed(replayed: Replayed) -> lottery_pb2.ReplayResult:
    """A replay's result as a message."""
    return lottery_pb2.ReplayResult(
        run=replayed.run,
        matched=replayed.matched,
        mismatches=[
            lottery_pb2.Mismatch(
                run=mismatch.run,
                where=mismatch.where,
                recorded=mismatch.recorded,
                computed=mismatch.computed,
            )
            for mismatch in replayed.mismatches
        ],
    )


def to_dates(
    request: audit_service_pb2.ReplayDayRequest,
) -> tuple[dt.date | None, dt.date | None]:
    """The first and the last date of a replay; None is open."""
    first = optional_date(request.business_date, "business_date")
    last = optional_date(request.last_date, "last_date")
    return first, last if last is not None or first is None else first


_ENGINES: Final[Mapping[int, Engine]] = {
    audit_service_pb2.REPLAY_ENGINE_UNSPECIFIED: Engine.COMPILED,
    audit_service_pb2.REPLAY_ENGINE_COMPILED: Engine.COMPILED,
    audit_service_pb2.REPLAY_ENGINE_SQL: Engine.SQL,
}


def to_engine(engine: int) -> Engine:
    """The engine of a message.

    Raises:
        Refused: It is none that is known here.
    """
    if engine not in _ENGINES:
        raise Refused([Problem(source="engine", message=f"{engine} is no engine")])
    return _ENGINES[engine]


def to_keys(texts: Sequence[str]) -> list[VerifierKey]:
    """The public keys of a message.

    Raises:
        Refused: One is none; every one that is none is listed.
    """
    problems = Problems()
    keys = []
    for place, text in enumerate(texts, 1):
        try:
            keys.append(VerifierKey.parse(text))
        except KeyUnusable as error:
            problems.add(Problem(source="keys", row=place, message=str(error)))
    problems.refuse_if_any()
    return keys


def from_fault(fault: Fault) -> audit_service_pb2.Fault:
    """A fault as a message."""
    return audit_service_pb2.Fault(where=fault.where, problem=fault.problem)


def from_inclusion(inclusion: operations.Inclusion) -> audit_service_pb2.GetInclusionProofResponse:
    """An inclusion proof as a message."""
    return audit_service_pb2.GetInclusionProofResponse(
        run=inclusion.run,
        log_index=inclusion.proof.index,
        tree_size=inclusion.tree_size,
        leaf_hash=leaf_hash(inclusion.canonical),
        hashes=inclusion.proof.hashes,
        checkpoint=inclusion.proof.note,
        proof=inclusion.proof.text(),
    )


def _rows_of(
    positions: Sequence[service_pb2.AccountPosition], max_rows: int
) -> tuple[list[str], list[int]]:
    """The accounts of one pool's rows, and their shorts.

    Raises:
        LimitExceeded: There are more rows than the limit, or they take more memory.
    """
    if len(positions) > max_rows:
        raise LimitExceeded(
            f"{len(positions)} positions; {max_rows} are the limit", limit=f"max_rows={max_rows}"
        )
    accounts, shorts = [], []
    for position in positions:
        accounts.append(position.account)
        shorts.append(position.short_quantity)
    return accounts, shorts


def _check_count(incoming: IncomingRows, announced: int, problems: Problems) -> None:
    """Refuses a stream that brought another number of rows than its spec announced."""
    if incoming.row_count != announced:
        message = f"{announced} {incoming.role} were announced and {incoming.row_count} arrived"
        problems.add(Problem(source="spec", message=message))


def _gather(
    message: service_pb2.RunLotteryRequest, notices: IncomingRows, positions: IncomingRows
) -> None:
    if message.notices:
        notices.add_rows(
            (
                [row.notice_id for row in message.notices],
                [row.series for row in message.notices],
                [row.quantity for row in message.notices],
                [row.occ_account for row in message.notices],
            )
        )
    if message.positions:
        positions.add_rows(
            (
                [row.series for row in message.positions],
                [row.account for row in message.positions],
                [row.short_quantity for row in message.positions],
                [row.occ_account for row in message.positions],
            )
        )
    if message.arrow_notices:
        notices.add_arrow(message.arrow_notices)
    if message.arrow_positions:
        positions.add_arrow(message.arrow_positions)


def _parts(table: pa.Table, response_format: int) -> Iterator[pa.Table]:
    arrow = response_format == service_pb2.ROW_FORMAT_ARROW
    size = ARROW_ROWS_A_MESSAGE if arrow else ROWS_A_MESSAGE
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        # A message would carry the labels of the whole table, which can be more than its rows.
        yield with_own_labels(part) if arrow else part


def _ranges(ranges: Iterable[NumberRange]) -> list[service_pb2.NumberRange]:
    return [
        service_pb2.NumberRange(
            first_number=hit_range.first_number, last_number=hit_range.last_number
        )
        for hit_range in ranges
    ]
