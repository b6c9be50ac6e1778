"""The stream of `RunLottery`, read to its end and converted to one request.

Nothing is computed before the stream has ended: a client that goes away in the middle of it has
asked for nothing.

Invariants:
- What is refused is named by its path in `RunLotteryRequest`, whatever a command line calls it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from lottery import operations
from lottery.errors import Problem, ProblemCollector, Problems, Refused, quote
from lottery.operations.events import Asked
from lottery.operations.inputs import (
    NO_MAPPINGS,
    ControlTotals,
    IncomingRows,
    Mappings,
    MemoryLimit,
    NamedMember,
    PositionsSource,
    assigned_pools,
    figures_of_notices,
    figures_of_positions,
    of_one_member,
    received_mapping,
)
from lottery.operations.ledgers import Charter
from lottery.operations.requester import Identity
from lottery.v1 import lottery_service_pb2 as pb
from server import requests, telemetry
from server.call_notes import note_request_id

_SPEC_FIELDS: Final = {
    **{name: f"spec.{name}" for name in pb.RunSpec.DESCRIPTOR.fields_by_name},
    "supersede": "spec.supersedes",
    "acknowledge": "spec.acknowledgements",
}
"""The path of each field of the spec, by what a problem of it has as its source."""
_TOTALS: Final = {
    "notices": "notice_count",
    "contracts": "assigned_quantity",
    "positions": "position_count",
    "shorts": "short_quantity",
}
"""The field of the spec that announces each control total."""
SPEC_VALUES: Final = 1_000
"""Maximum number of values of each repeated field of the spec; a date has fewer runs."""
NAME_CHARACTERS: Final = 255
"""Maximum length of the name of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRun:
    """Everything that a stream of `RunLottery` brought.

    Attributes:
        spec: What to run.
        notices: The notices.
        positions: The positions.
        occ_positions: OCC's own position figures.
    """

    spec: pb.RunSpec
    notices: IncomingRows
    positions: IncomingRows
    occ_positions: IncomingRows


def begun(
    messages: Iterator[pb.RunLotteryRequest], ledger: str
) -> tuple[Asked, Iterator[pb.RunLotteryRequest]]:
    """Return what the first message of a stream asks for, and all messages.

    Args:
        messages: The stream.
        ledger: The origin of the ledger's log.
    """
    first = next(messages, None)
    if first is None:
        return Asked(ledger=ledger), iter(())
    whole = chain((first,), messages)
    if not first.HasField("spec"):
        return Asked(ledger=ledger), whole
    spec = first.spec
    business_date, problems = requests.to_business_date(spec.business_date)
    asked = Asked(
        ledger=ledger,
        business_date=None if problems else business_date,
        cycle=spec.cycle or 1,
        request_id=spec.request_id or None,
        is_rehearsal=spec.validate_only,
    )
    return asked, whole


def receive_run(
    messages: Iterator[pb.RunLotteryRequest], *, max_rows: int, memory: MemoryLimit
) -> ReceivedRun | None:
    """Read a stream of `RunLottery` to its end.

    Args:
        messages: The stream.
        max_rows: Maximum number of notices, and of positions.
        memory: Limit on the memory that the rows need.

    Returns:
        What arrived, or None if the first message has no spec.

    Raises:
        Refused: There is a second spec.
        Refused: There are two specs, or one of very many values.
        LimitExceeded: There are more rows than the limit, or they need more memory.
    """
    notices, positions, occ_positions = (
        IncomingRows(role=role, max_rows=max_rows, memory=memory)
        for role in ("notices", "positions", "occ_positions")
    )
    spec: pb.RunSpec | None = None
    for message in messages:
        if message.HasField("spec"):
            if spec is not None:
                raise requests.refused("spec", "expected one spec, got a second one")
            spec = message.spec
            _refuse_many(spec)
        elif spec is None:
            return None
        notices.expect_rows(len(message.notices))
        positions.expect_rows(len(message.positions))
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
        for rows, payload in (
            (notices, message.arrow_notices),
            (positions, message.arrow_positions),
            (occ_positions, message.arrow_occ_positions),
        ):
            if payload:
                rows.add_arrow(payload)
    if spec is None:
        return None
    return ReceivedRun(
        spec=spec,
        notices=notices,
        positions=positions,
        occ_positions=occ_positions,
    )


def to_run_request(
    received: ReceivedRun | None,
    requested_by: Identity,
    charter_for: Callable[[dt.date], Charter],
) -> operations.RunRequest:
    """Convert a stream that was read to its end.

    Args:
        received: The stream.
        requested_by: Who sent it.
        charter_for: Returns the charter that holds for a date (C1).

    Raises:
        Refused: There is no spec.
    """
    if received is None:
        raise requests.refused("spec", "expected a spec in the first message, got none")
    spec = received.spec
    rows = (received.notices, received.positions, received.occ_positions)
    telemetry.note(rows=sum(each.row_count for each in rows))
    if spec.request_id:
        note_request_id(spec.request_id)
    business_date, date_problems = requests.to_business_date(spec.business_date)
    charter = charter_for(business_date)
    decided = charter.method.methodology()
    methodology, decision_problems = requests.to_methodology(spec.decisions.ListFields(), decided)
    if not decision_problems and methodology != decided:
        message = "expected the decisions of the charter, got others; leave them out"
        decision_problems = Problems.of(Problem(source="decisions", message=message, rule="C1"))
    named = NamedMember.of(charter.clearing_member, spec.clearing_member)
    mapping = _to_mapping(spec)
    problems = date_problems + decision_problems + named.problems + mapping.problems
    acknowledged, hold_problems = _to_acknowledged(spec)
    problems += hold_problems
    totals = _to_totals(spec)
    none_announced = spec.HasField("notice_count") and not spec.notice_count
    arrived = received.notices.received(none_announced=none_announced)
    notices, warnings = of_one_member(arrived, named.member, methodology.other_members)
    positions = received.positions.positions(
        assigned_pools(notices.table, methodology.pool),
        methodology.account_order,
        keep=methodology.positions_source is PositionsSource.KEPT,
        adds_up=totals.adds_up_shorts,
        none_announced=none_announced and spec.HasField("position_count"),
    )
    figures = {**figures_of_notices(arrived), **figures_of_positions(positions)}
    problems += totals.problems({key: (_TOTALS[key], came) for key, (_, came) in figures.items()})
    occ_count = received.occ_positions.row_count
    if spec.HasField("occ_position_count") and spec.occ_position_count != occ_count:
        message = f"expected {spec.occ_position_count} of them, as announced, got {occ_count}"
        problems += Problems.of(Problem(source="occ_position_count", message=message))
    return operations.RunRequest(
        business_date=business_date,
        cycle=spec.cycle or 1,
        notices=notices,
        positions=positions,
        volumes=requests.to_volumes(spec.exchange_asks, spec.volumes_as_of),
        problems=problems,
        requested_by=requested_by,
        request_id=spec.request_id or None,
        supersedes=tuple(spec.supersedes),
        reason=spec.reason or None,
        acknowledged=acknowledged,
        may_be_cut_off=tuple(spec.may_be_cut_off),
        occ_positions=(
            received.occ_positions.received() if received.occ_positions.has_arrived else None
        ),
        mapping=mapping.sources,
        methodology=methodology,
        clearing_member=named.member,
        warnings=warnings,
    )


def _refuse_many(spec: pb.RunSpec) -> None:
    """Refuse a spec with more values than any day has.

    Raises:
        Refused: It has.
    """
    for name in ("supersedes", "acknowledgements", "may_be_cut_off"):
        count = len(getattr(spec, name))
        if count > SPEC_VALUES:
            message = f"expected at most {SPEC_VALUES:,} of them, got {count:,}"
            raise requests.refused(f"spec.{name}", message)


def _to_acknowledged(spec: pb.RunSpec) -> tuple[dict[str, str], Problems]:
    """Convert acknowledgements; one without code or reason, or of a code again, is a problem."""
    acknowledged: dict[str, str] = {}
    found = ProblemCollector()
    for index, each in enumerate(spec.acknowledgements):
        field = f"spec.acknowledgements[{index}]"
        if not each.code or each.code in acknowledged:
            message = f"expected a code, each once, got {quote(each.code)}"
            found.add(Problem(source=f"{field}.code", message=message, rule="H1"))
        elif not each.reason:
            message = f"expected the reason to acknowledge {quote(each.code)}, got none"
            found.add(Problem(source=f"{field}.reason", message=message, rule="H1"))
            acknowledged[each.code] = "-"
        else:
            acknowledged[each.code] = each.reason
    return acknowledged, found.problems()


def _to_mapping(spec: pb.RunSpec) -> Mappings:
    """Convert the mapping by which the caller read its files, which is for the record alone."""
    if not (spec.mapping or spec.mapping_name):
        return NO_MAPPINGS
    name = spec.mapping_name
    if not name.isprintable() or not 1 <= len(name) <= NAME_CHARACTERS or "/" in name:
        message = f"expected the base name of a file, got {quote(name)}"
        return Mappings(problems=Problems.of(Problem(source="mapping_name", message=message)))
    mappings = received_mapping(name, spec.mapping)
    problems = (replace(each, source="mapping", column=None) for each in mappings.problems)
    return replace(mappings, problems=Problems(tuple(problems), mappings.problems.unlisted))


def _to_totals(spec: pb.RunSpec) -> ControlTotals:
    """Convert the totals that a spec announces."""
    announced = {field.name: value for field, value in spec.ListFields()}
    return ControlTotals(**{key: announced.get(name) for key, name in _TOTALS.items()})


def located(refused: Refused) -> Refused:
    """Return a refusal whose problems are located in `RunLotteryRequest`."""
    problems = (_located(problem) for problem in refused.problems)
    return Refused(problems, total=refused.total, reason=refused.reason)


def _located(problem: Problem) -> Problem:
    if (problem.source, problem.column) == ("exchange_asks", "as_of"):
        return replace(problem, source="spec.volumes_as_of", column=None)
    return replace(problem, source=_SPEC_FIELDS.get(problem.source, problem.source))
