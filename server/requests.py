"""Requests from the wire: messages to what `lottery.operations` takes.

No rules and no calls. Problems of a request are collected, so that all of them are answered at
once.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.type import date_pb2

from lottery import operations
from lottery.errors import (
    NO_PROBLEMS,
    PROBLEM_LIMIT,
    KeyUnusable,
    LimitExceeded,
    Problem,
    Problems,
    Refused,
)
from lottery.operations.inputs import (
    JPMS_2024_09_06,
    Methodology,
    ReceivedVolumes,
    volumes_of_asks,
)
from lottery.operations.proofs import VerifierKey
from lottery.operations.replay import Engine
from lottery.operations.seed import ExchangeAsk, Seed
from lottery.v1 import audit_service_pb2, lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.call_notes import note_run

KEYS: Final = 100
"""Maximum number of public keys in a request."""

_REMEMBERED_BYTES: Final = 1_000
"""Size of asks up to which their seed is remembered: digits of a price may be very many."""

_Choices: TypeAlias = Sequence[tuple[FieldDescriptor, int]]
"""Decisions as `Message.ListFields` has them."""

_ENGINES: Final[Mapping[int, Engine]] = {
    audit_service_pb2.REPLAY_ENGINE_UNSPECIFIED: Engine.COMPILED,
    audit_service_pb2.REPLAY_ENGINE_COMPILED: Engine.COMPILED,
    audit_service_pb2.REPLAY_ENGINE_SQL: Engine.SQL,
}


def to_series_request(request: pb.AllocateSeriesRequest, max_rows: int) -> operations.SeriesRequest:
    """Convert the request to allocate one pool.

    Raises:
        LimitExceeded: There are more rows than the limit.
    """
    accounts, shorts = _rows_of(request.positions, max_rows)
    date, choices = request.business_date, tuple(request.decisions.ListFields())
    # Of very many asks, which are refused, no more are read than are listed.
    asks = tuple(
        ask.SerializeToString() for ask in itertools.islice(request.exchange_asks, PROBLEM_LIMIT)
    )
    seed, problems = None, NO_PROBLEMS
    drawn = _drawn if sum(map(len, asks)) <= _REMEMBERED_BYTES else _drawn.__wrapped__
    try:
        methodology, seed = drawn(date.year, date.month, date.day, asks, choices)
    except Refused as error:
        methodology, _ = to_methodology(choices)
        problems = Problems(tuple(error.problems), error.total - len(error.problems))
    return operations.SeriesRequest(
        seed=seed,
        series=request.series,
        occ_account=request.occ_account,
        assigned_quantity=request.assigned_quantity,
        accounts=accounts,
        shorts=shorts,
        methodology=methodology,
        problems=problems,
    )


@functools.lru_cache(maxsize=64)
def _drawn(
    year: int, month: int, day: int, asks: tuple[bytes, ...], choices: _Choices
) -> tuple[Methodology, Seed]:
    """Return the method and the seed of a date, remembered: a server is asked for them all day.

    Args:
        year: The date's.
        month: The date's.
        day: The date's.
        asks: The asks, encoded: reading their texts takes longer than all else that is done here.
        choices: The decisions that differ.

    Raises:
        Refused: The date, an ask or a decision is wrong.
    """
    date = date_pb2.Date(year=year, month=month, day=day)
    business_date, date_problems = to_business_date(date)
    methodology, decision_problems = to_methodology(choices)
    volumes = to_volumes(map(lottery_pb2.ExchangeAsk.FromString, asks))
    problems = date_problems + decision_problems
    derived = operations.derive_seed(volumes, business_date=business_date, problems=problems)
    return methodology, derived.seed


def to_odds_request(request: pb.GetOddsRequest, max_rows: int) -> operations.OddsRequest:
    """Convert the request for one pool's odds.

    Raises:
        LimitExceeded: There are more rows than the limit.
    """
    accounts, shorts = _rows_of(request.positions, max_rows)
    business_date, date_problems = to_optional_date(request.business_date)
    methodology, decision_problems = to_methodology(request.decisions.ListFields())
    return operations.OddsRequest(
        business_date=business_date,
        series=request.series,
        occ_account=request.occ_account,
        assigned_quantity=request.assigned_quantity,
        accounts=accounts,
        shorts=shorts,
        methodology=methodology,
        problems=date_problems + decision_problems,
        account=request.account,
    )


def to_volumes(asks: Iterable[lottery_pb2.ExchangeAsk], as_of: str = "") -> ReceivedVolumes:
    """Convert ask prices to volumes, whose source is the JSON file with the same content."""
    return volumes_of_asks(to_asks(asks), as_of or None)


def to_asks(asks: Iterable[lottery_pb2.ExchangeAsk]) -> list[ExchangeAsk]:
    """Convert ask prices; of very many, which are refused, no more are read than are listed."""
    return [
        ExchangeAsk(security_number=ask.security_number, ask_price=ask.ask_price)
        for ask in itertools.islice(asks, PROBLEM_LIMIT)
    ]


def to_date(date: date_pb2.Date, source: str) -> dt.date | None:
    """Convert a date; None if it is not set.

    Raises:
        Refused: It is not a calendar date.
    """
    if not date.ByteSize():
        return None
    try:
        return dt.date(date.year, date.month, date.day)
    except (ValueError, OverflowError):
        got = f"{date.year:04d}-{date.month:02d}-{date.day:02d}"
        raise refused(source, f"expected a calendar date, got {got}") from None


def to_dates(
    dates: lottery_pb2.DateRange | pb.ListRunsRequest | pb.StreamHistoryRequest, path: str = ""
) -> tuple[dt.date | None, dt.date | None]:
    """Return the first and the last date that are asked for; None leaves that end open.

    Args:
        dates: What has them.
        path: What goes before the names of its fields, such as `range.`.

    Raises:
        Refused: One of them is not a calendar date, or the last one is before the first.
    """
    first = to_date(dates.first_date, f"{path}first_date")
    last = to_date(dates.last_date, f"{path}last_date")
    if first and last and first > last:
        raise refused(f"{path}last_date", f"expected {first} or a later date, got {last}")
    return first, last


def to_replayed_dates(
    request: audit_service_pb2.ReplayRunsRequest,
) -> tuple[dt.date | None, dt.date | None]:
    """Return the first and the last date to replay; None leaves that end open.

    Raises:
        Refused: As `to_dates`, or the one business date is not a calendar date.
    """
    if not request.HasField("business_date"):
        return to_dates(request.range, "range.")
    business_date, problems = to_business_date(request.business_date)
    problems.refuse_if_any()
    return business_date, business_date


def to_run(run: str) -> str:
    """Return the run that a request names.

    Raises:
        Refused: It names none.
    """
    if not run:
        raise refused("run", "expected the id of a run, or latest, got none")
    note_run(run)
    return run


def to_digest(record_sha256: str) -> str:
    """Return the SHA-256 of the record that a verdict names.

    Raises:
        Refused: It names none.
    """
    if not record_sha256:
        message = "expected the SHA-256 of the record that was looked at, got none"
        raise refused("record_sha256", message)
    return record_sha256


def to_target(request: pb.ExplainPoolRequest) -> tuple[str | None, str | None]:
    """Return the series or the account to explain; the other one is None.

    Raises:
        Refused: There is neither, or an account of one OCC account only.
    """
    target = request.WhichOneof("target")
    if target is None:
        raise refused("series", "expected a series or an account, got neither")
    if target == "series":
        return request.series, None
    if request.HasField("occ_account"):
        message = "expected no OCC account with an account, whose pools are all explained"
        raise refused("occ_account", message)
    return None, request.account


def refuse_unknown_choices(request: Message) -> None:
    """Refuse a request with a value that its enum does not have.

    Raises:
        Refused: There is one.
    """
    for field, number in request.ListFields():
        enum: Any = field.enum_type
        if enum is not None and number not in enum.values_by_number:
            most = max(enum.values_by_number)
            raise refused(field.name, f"expected a value from 0 to {most}, got {number}")


def to_compared_with(request: pb.DiffRunsRequest) -> str | dt.date:
    """Return the other run to compare with, or the date of which what stands now is.

    Raises:
        Refused: There is neither, or the date is not a calendar date.
    """
    match request.WhichOneof("compared_with"):
        case "other_run" if request.other_run:
            return request.other_run
        case "business_date":
            business_date, problems = to_business_date(request.business_date)
            problems.refuse_if_any()
            return business_date
        case _:
            raise refused("other_run", "expected another run or a business date, got neither")


def to_engine(engine: int) -> Engine:
    """Convert a replay engine.

    Raises:
        Refused: The engine is unknown.
    """
    if engine not in _ENGINES:
        raise refused("engine", f"expected an engine from 0 to {max(_ENGINES)}, got {engine}")
    return _ENGINES[engine]


def to_keys(texts: Sequence[str]) -> list[VerifierKey]:
    """Parse public keys (C2SP vkeys).

    Raises:
        Refused: At least one is malformed, and each such key is listed; or there are very many.
    """
    if len(texts) > KEYS:
        raise refused("keys", f"expected at most {KEYS} keys, got {len(texts):,}")
    problems, keys = [], []
    for row, text in enumerate(texts, 1):
        try:
            keys.append(VerifierKey.parse(text))
        except KeyUnusable as error:
            problems.append(Problem(source="keys", row=row, message=str(error)))
    Problems.of(*problems).refuse_if_any()
    return keys


def to_optional_date(date: date_pb2.Date) -> tuple[dt.date | None, Problems]:
    """Convert the business date; if it is invalid, return None and a problem."""
    try:
        return to_date(date, "business_date"), Problems()
    except Refused as error:
        return None, Problems.of(*error.problems)


def to_business_date(date: date_pb2.Date) -> tuple[dt.date, Problems]:
    """Convert the business date; if it is invalid, return a date in force and a problem."""
    business_date, problems = to_optional_date(date)
    if business_date is not None:
        return business_date, problems
    if not problems:
        missing = Problem(source="business_date", message="expected a date, got none")
        problems = Problems.of(missing)
    return JPMS_2024_09_06.effective, problems


def to_methodology(
    choices: _Choices, known: Methodology = JPMS_2024_09_06
) -> tuple[Methodology, Problems]:
    """Return a methodology with the choices of other decisions; an unknown one is a problem."""
    chosen, problems = {}, NO_PROBLEMS
    for field, number in choices:
        enum: Any = field.enum_type
        labels = enum.values_by_number
        if number in labels:
            label = labels[number].name.removeprefix(labels[0].name.removesuffix("UNSPECIFIED"))
            chosen[field.name] = label.lower().replace("_", "-")
        else:
            message = f"expected a choice from 0 to {max(labels)}, got {number}"
            problem = Problem(source="decisions", column=field.name, message=message)
            problems += Problems.of(problem)
    return known.deciding(chosen) if chosen else known, problems


def _rows_of(positions: Sequence[pb.AccountPosition], max_rows: int) -> tuple[list[str], list[int]]:
    """Return the accounts and the short quantities of one pool's rows."""
    if len(positions) > max_rows:
        raise LimitExceeded(
            f"expected at most {max_rows} positions, got {len(positions)}",
            limit=f"max_rows={max_rows}",
        )
    accounts, shorts = [], []
    for position in positions:
        accounts.append(position.account)
        shorts.append(position.short_quantity)
    return accounts, shorts


def refused(source: str, message: str) -> Refused:
    """Return the refusal for a single problem of a field."""
    return Refused([Problem(source=source, message=message)])
