"""Responses for the wire: what `lottery.operations` returns to messages.

No rules and no calls.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, islice
from typing import Any, Final, TypeVar

import pyarrow as pa
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from lottery import operations
from lottery.operations.inputs import with_own_labels, write_arrow
from lottery.operations.ledgers import Charter
from lottery.operations.odds import OccWheelOdds, RandomDrawOdds
from lottery.operations.proofs import Entry, leaf_hash
from lottery.operations.replay import Replayed
from lottery.operations.runs import Break, Proposal, Verdict, canonical, record_sha256
from lottery.operations.seed import Seed
from lottery.operations.standing import Certificate, LastRun
from lottery.operations.verification import Verification
from lottery.operations.workings import PoolWorking
from lottery.v1 import audit_service_pb2, lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.allocation_wire import add_allocations

ENTRIES_PER_MESSAGE: Final = 128
"""Maximum number of entries in a message: 2 MiB if each is as large as an entry may be."""
ROWS_PER_MESSAGE: Final = 4_096
"""Maximum number of rows in a message of rows."""
ARROW_ROWS_PER_MESSAGE: Final = 12_288
"""Maximum number of rows in a message of Arrow: some 600 KB, which gRPC sends faster than more."""

_Message = TypeVar("_Message", bound=Message)


def from_series_allocation(
    request: operations.SeriesRequest, allocation: operations.SeriesAllocation
) -> pb.AllocateSeriesResponse:
    """Convert one pool that was allocated without being recorded."""
    pool = allocation.pool
    series, occ_account = allocation.series, request.pool_occ_account
    response = pb.AllocateSeriesResponse.FromString(_encoded_seed(allocation.seed))
    message = response.pool
    message.occ_account, message.series, message.notice_count = occ_account, series, 1
    message.assigned_quantity = request.assigned_quantity
    message.total_short, message.first_hit = pool.total_short, pool.first_hit
    message.account_count = pool.account_count
    message.hit_account_count = pool.hit_account_count
    add_allocations(response, pool, occ_account=occ_account, series=series)
    return response


def from_recorded(response: Callable[..., _Message], recorded: operations.RecordedRun) -> _Message:
    """Convert a run that an RPC recorded or decided about, or found so.

    Args:
        response: The RPC's type of answers.
        recorded: The run.
    """
    return response(run=from_run(recorded), already_recorded=recorded.already_recorded)


def from_proposals(proposals: operations.Proposals) -> pb.ListProposalsResponse:
    """Convert the proposals that wait, and whether any charter has four eyes."""
    return pb.ListProposalsResponse(
        runs=map(from_record, proposals.waiting), four_eyes=proposals.four_eyes
    )


def from_derived(derived: operations.DerivedSeed) -> pb.DeriveSeedResponse:
    """Convert a derived seed and its warnings."""
    warnings = _copies(lottery_pb2.Warning, derived.warnings)
    return pb.DeriveSeedResponse(seed=_seed(derived.seed), warnings=warnings)


def from_charter(charter: Charter) -> pb.GetCharterResponse:
    """Convert a charter; the message contains its canonical bytes."""
    return pb.GetCharterResponse(
        method=charter.method.id,
        decisions=charter.method.decisions,
        approval_reference=charter.approval_reference,
        notice_version=charter.notice_version,
        clearing_member=charter.clearing_member,
        four_eyes=charter.four_eyes,
        proposal_hours=charter.proposal_hours,
        entry=canonical(charter),
    )


def from_run(recorded: operations.RecordedRun) -> lottery_pb2.Run:
    """Convert a recorded run with its breaks."""
    run = from_record(recorded)
    run.breaks.extend(_breaks(recorded.breaks))
    return run


def from_record(recorded: operations.RecordedRun, *, with_record: bool = True) -> lottery_pb2.Run:
    """Convert a recorded run, without its breaks.

    Args:
        recorded: The run.
        with_record: Whether the message contains its canonical bytes.
    """
    record, verdict = recorded.record, recorded.verdict
    return _copied(
        lottery_pb2.Run,
        record,
        state=lottery_pb2.RunState.Value(f"RUN_STATE_{recorded.state}"),
        business_date=_date(record.business_date),
        method=record.method.id,
        decisions=record.method.decisions,
        seed=_seed(record.seed),
        warnings=_copies(lottery_pb2.Warning, record.warnings),
        acknowledgements=_copies(lottery_pb2.AcknowledgedHold, record.acknowledgements),
        breaks=(),
        recorded_at=_recorded_time(record.recorded_at),
        record=canonical(record) if with_record else b"",
        record_sha256=record_sha256(record),
        superseded_by=recorded.superseded_by,
        expires_at=_recorded_time(record.expires_at) if isinstance(record, Proposal) else None,
        verdict=None if verdict is None else _verdict(verdict),
    )


def _verdict(verdict: Verdict) -> lottery_pb2.Verdict:
    return lottery_pb2.Verdict(
        approved=verdict.is_approval,
        reason=verdict.reason or "",
        person=verdict.requested_by.name,
        recorded_at=_recorded_time(verdict.recorded_at),
        entry=canonical(verdict),
    )


def from_table(
    table: pa.Table, field: str, row_format: int
) -> Iterator[pb.StreamAllocationsResponse]:
    """Convert a table of a run's evidence to messages of rows or of Arrow.

    Args:
        table: `tables.ALLOCATIONS`, `tables.POOLS` or `tables.NOTICES`.
        field: The field for its rows: `allocations`, `pools` or `notices`.
        row_format: A `RowFormat`.
    """
    for fields in _row_fields(table, field, row_format):
        yield pb.StreamAllocationsResponse(**fields)


def from_day(day: operations.StandingDay, row_format: int) -> Iterator[pb.GetDayResponse]:
    """Convert what stands for a date: a summary, the pools and the allocations."""
    summary = _copied(
        pb.Day,
        day,
        business_date=_date(day.business_date),
        state=lottery_pb2.RunState.Value(f"RUN_STATE_{day.state}"),
        superseded=[
            pb.SupersededRun(run=run, superseded_by=later)
            for run, later in day.superseded_by.items()
        ],
        recorded_at=_recorded_time(day.recorded_at),
        breaks=_breaks(day.breaks),
    )
    yield pb.GetDayResponse(day=summary)
    for table, field in ((day.pools, "pools"), (day.allocations, "allocations")):
        for fields in _row_fields(table, field, row_format):
            yield pb.GetDayResponse(**fields)


def from_difference(
    difference: operations.Difference, row_format: int
) -> Iterator[pb.DiffRunsResponse]:
    """Convert what changed for whom: a summary and the rows."""
    business_date = _date(difference.business_date)
    summary = _copied(pb.Difference, difference, business_date=business_date)
    yield pb.DiffRunsResponse(difference=summary)
    for fields in _row_fields(difference.changes, "changes", row_format):
        yield pb.DiffRunsResponse(**fields)


def from_history(rows: Iterable[operations.HistoryRow]) -> Iterator[pb.StreamHistoryResponse]:
    """Convert what runs did, as the rows come: a message has rows of one run."""
    for _, of_run in groupby(rows, lambda row: row.run):
        while part := [
            _copied(
                pb.HistoryRow,
                row,
                business_date=_date(row.business_date),
                break_reason=_label("break_reason", row.break_reason),
            )
            for row in islice(of_run, ROWS_PER_MESSAGE)
        ]:
            yield pb.StreamHistoryResponse(rows=part)


def from_working(working: PoolWorking) -> pb.PoolWorking:
    """Convert a pool's working."""
    return _copied(
        pb.PoolWorking,
        working,
        business_date=_date(dt.date.fromisoformat(working.business_date)),
        seed=_seed(working.seed),
        zero_hit=_label("zero_hit", working.zero_hit),
        pool=_copied(
            lottery_pb2.Pool, working, break_reason=_label("break_reason", working.break_reason)
        ),
        numbers_hit=_copies(pb.NumberRange, working.ranges),
        accounts=[
            _copied(
                pb.AccountWorking,
                account,
                numbers_hit=_copies(pb.NumberRange, account.numbers_hit),
            )
            for account in working.accounts
        ],
    )


def from_odds(odds: operations.SeriesOdds) -> pb.GetOddsResponse:
    """Convert the odds in a pool."""
    return _copied(
        pb.GetOddsResponse,
        odds,
        account_order=_label("account_order", odds.account_order),
        zero_hit=_label("zero_hit", odds.zero_hit),
        evenness=_copies(pb.NumbersHitFirst, odds.evenness),
        accounts=map(_account_odds, odds.accounts),
    )


def from_replayed(replayed: Replayed) -> lottery_pb2.ReplayResult:
    """Convert the result of a replay."""
    mismatches = _copies(lottery_pb2.Mismatch, replayed.mismatches)
    return _copied(lottery_pb2.ReplayResult, replayed, mismatches=mismatches)


def from_verification(
    verification: Verification,
) -> audit_service_pb2.VerifyLedgerResponse:
    """Convert the faults of a ledger, without any of which it is sound, and what was looked at."""
    listed = _copies(audit_service_pb2.Fault, verification)
    tally = verification.tally
    return audit_service_pb2.VerifyLedgerResponse(
        sound=not listed,
        faults=listed,
        run_count=tally.runs,
        file_count=tally.files,
        byte_count=tally.bytes,
        tree_size=tally.tree_size,
        public_key=tally.public_key or "",
        unnamed_folder_count=tally.unnamed_folders,
        root_hash=tally.root_hash or "",
        origin=tally.origin or "",
    )


def from_inclusion(inclusion: operations.Inclusion) -> audit_service_pb2.GetInclusionProofResponse:
    """Convert an inclusion proof."""
    return audit_service_pb2.GetInclusionProofResponse(
        run=inclusion.run,
        log_index=inclusion.proof.index,
        tree_size=inclusion.tree_size,
        leaf_hash=leaf_hash(inclusion.canonical),
        hashes=inclusion.proof.hashes,
        checkpoint=inclusion.proof.note,
        proof=inclusion.proof.text(),
    )


def from_overview(found: operations.Overview) -> audit_service_pb2.GetStatusResponse:
    """Convert how a ledger stands."""
    run, charter = found.last_run, found.charter
    log = _copied(
        audit_service_pb2.LogStatus,
        found.status,
        cosigned=found.cosigned,
        unnamed_folder_count=found.status.unnamed_folders,
    )
    return _copied(
        audit_service_pb2.GetStatusResponse,
        found,
        log=log,
        charter=_copied(
            audit_service_pb2.CharterInBrief,
            charter,
            holds_from=None if charter.holds_from is None else _date(charter.holds_from),
        ),
        last_run=None if run is None else _last_run(run),
        open_breaks=_breaks(found.open_breaks),
        certificate=None if found.certificate is None else _certificate(found.certificate),
        limits=_copied(audit_service_pb2.Limits, found.limits),
    )


def from_entries(entries: Iterable[Entry]) -> Iterator[audit_service_pb2.StreamEntriesResponse]:
    """Convert entries of the log; each message contains their canonical bytes."""
    rest = iter(entries)
    while part := list(islice(rest, ENTRIES_PER_MESSAGE)):
        yield audit_service_pb2.StreamEntriesResponse(
            entries=(
                audit_service_pb2.Entry(
                    type=entry.type,
                    recorded_at=_recorded_time(entry.recorded_at),
                    requested_by=_copied(audit_service_pb2.Requester, entry.requested_by),
                    entry=canonical(entry),
                )
                for entry in part
            )
        )


def _last_run(run: LastRun) -> audit_service_pb2.LastRun:
    return _copied(
        audit_service_pb2.LastRun,
        run,
        business_date=_date(run.business_date),
        state=lottery_pb2.RunState.Value(f"RUN_STATE_{run.state}"),
        recorded_at=_recorded_time(run.recorded_at),
        requested_by=_copied(audit_service_pb2.Requester, run.requested_by),
    )


def _certificate(certificate: Certificate) -> audit_service_pb2.CertificateStatus:
    message = _copied(audit_service_pb2.CertificateStatus, certificate, expires=None)
    if certificate.expires is not None:
        message.expires.FromDatetime(certificate.expires)
    return message


def _recorded_time(text: str) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(text)
    return time


def _account_odds(named: operations.NamedOdds) -> pb.AccountOdds:
    odds = named.odds
    return pb.AccountOdds(
        account=named.account,
        short_quantity=odds.short_quantity,
        first_number=odds.owned.first_number,
        last_number=odds.owned.last_number,
        none_count=odds.none_count,
        full_count=odds.full_count,
        chances=_copies(pb.Chance, odds.chances),
        mean=_figure(odds.mean),
        variance=_figure(odds.variance),
        share_quantity=_figure(odds.share_quantity),
        mean_less_share=_figure(odds.mean_less_share),
        random_draw=_compared_odds(odds.random_draw),
        occ_wheel=None if odds.occ_wheel is None else _compared_odds(odds.occ_wheel),
    )


def _compared_odds(odds: RandomDrawOdds | OccWheelOdds) -> pb.ComparedOdds:
    return pb.ComparedOdds(
        none=_figure(odds.none),
        full=_figure(odds.full),
        mean=_figure(odds.mean),
        variance=_figure(odds.variance),
    )


def _figure(figure: Fraction | Decimal) -> pb.Figure:
    fraction = str(figure) if isinstance(figure, Fraction) else ""
    return pb.Figure(fraction=fraction, decimal=operations.decimal_text(figure))


def _breaks(breaks: Iterable[Break]) -> Iterator[lottery_pb2.Break]:
    for broken in breaks:
        yield _copied(lottery_pb2.Break, broken, reason=_label("break_reason", broken.reason))


def _row_fields(table: pa.Table, field: str, row_format: int) -> Iterator[dict[str, Any]]:
    """Yield the field of each message that a table is sent in; that of Arrow is `arrow_FIELD`."""
    is_arrow = row_format == pb.ROW_FORMAT_ARROW
    size = ARROW_ROWS_PER_MESSAGE if is_arrow else ROWS_PER_MESSAGE
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        # Without labels of its own, each part would carry those of the whole table.
        yield (
            {f"arrow_{field}": write_arrow(with_own_labels(part))}
            if is_arrow
            else {field: [_labelled(row) for row in part.to_pylist()]}
        )


@functools.lru_cache(maxsize=64)
def _encoded_seed(seed: Seed) -> bytes:
    """Return a response of nothing but a seed: parsing it is a sixth of copying its messages."""
    return pb.AllocateSeriesResponse(seed=_seed(seed)).SerializeToString()


def _seed(seed: Seed) -> lottery_pb2.Seed:
    volumes = _copies(lottery_pb2.ExchangeVolume, seed.volumes)
    return _copied(lottery_pb2.Seed, seed, volumes=volumes, composite=str(seed.composite))


def _label(field: str, choice: str | None) -> str | None:
    """Return the name of a choice as a value of the enum that its field has; None stays None."""
    return None if choice is None else f"{field}_{choice}".upper().replace("-", "_")


def _labelled(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table with the name of its break reason, if it is of pools."""
    if "break_reason" not in row:
        return row
    return {**row, "break_reason": _label("break_reason", row["break_reason"])}


def _date(date: dt.date) -> date_pb2.Date:
    return date_pb2.Date(year=date.year, month=date.month, day=date.day)


def _copied(message_type: type[_Message], value: object, **other_fields: Any) -> _Message:
    """Make a message whose fields are the attributes of the same names.

    Args:
        message_type: The type of the message.
        value: What has the attributes; None leaves a field unset.
        other_fields: The fields that are not attributes of the value.
    """
    names = message_type.DESCRIPTOR.fields_by_name.keys()
    return message_type(
        **{name: getattr(value, name) for name in names if name not in other_fields},
        **other_fields,
    )


def _copies(message_type: type[_Message], values: Iterable[object]) -> list[_Message]:
    return [_copied(message_type, value) for value in values]
