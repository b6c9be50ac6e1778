"""A failed call's status to the library's own error, from `ErrorInfo` and `BadRequest`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lottery.errors import (
    CONFLICTS,
    CheckpointInvalid,
    Conflict,
    EngineMissing,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnfinished,
    LedgerUnwritable,
    LimitExceeded,
    LotteryError,
    NotInRun,
    PoolBroken,
    Problem,
    ProofInvalid,
    Refused,
    RunNotFound,
    ServerAway,
    ServerFailed,
)

_FIELD: Final = re.compile(r"(?P<source>[^\[.]+)(?:\[(?P<index>\d+)\])?(?:\.(?P<column>.+))?")


@contextmanager
def translated() -> Iterator[None]:
    """Raises the library's errors in place of a call's status."""
    try:
        yield
    except grpc.RpcError as error:
        raise _error_of(error) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Details:
    """What a failed call's trailing metadata says."""

    reason: str
    metadata: Mapping[str, str]
    problems: Sequence[Problem]


def _details_of(error: Any) -> _Details:
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # The details and the status line disagree.
        status = None
    for detail in status.details if status is not None else ():
        if not detail.Unpack(info):
            detail.Unpack(request)
    return _Details(
        reason=info.reason,
        metadata=dict(info.metadata),
        problems=[_problem(violation) for violation in request.field_violations],
    )


def _error_of(error: Any) -> LotteryError:
    """The library's error of a failed call."""
    message = error.details() or error.code().name
    details = _details_of(error)
    reason, metadata = details.reason, details.metadata
    if "problem_count" in metadata:
        problems = details.problems or [Problem(source="request", message=message, reason=reason)]
        return Refused(problems, total=int(metadata["problem_count"]), reason=reason)
    if reason in CONFLICTS:
        return Conflict(reason, message, run=metadata["run"])
    if "total_short" in metadata:
        return PoolBroken(reason, **{name: int(value) for name, value in metadata.items()})
    if reason in _BY_REASON:
        return _BY_REASON[reason](message, metadata)
    return _BY_CODE.get(error.code(), ServerFailed)(f"{error.code().name}: {message}")


_BY_REASON: Final[Mapping[str, Callable[[str, Mapping[str, str]], LotteryError]]] = {
    RunNotFound.reason: lambda message, data: RunNotFound(data["run"], message),
    NotInRun.reason: lambda message, _: NotInRun(message),
    LimitExceeded.reason: lambda message, data: LimitExceeded(message, limit=data["limit"]),
    LedgerBusy.reason: lambda message, _: LedgerBusy(message),
    LedgerDamaged.reason: lambda message, _: LedgerDamaged(message),
    LedgerNotFound.reason: lambda message, _: LedgerNotFound(message),
    LedgerUnwritable.reason: lambda message, _: LedgerUnwritable(message),
    LedgerUnfinished.reason: lambda message, _: LedgerUnfinished(message),
    EngineMissing.reason: lambda message, _: EngineMissing(message),
    KeyUnusable.reason: lambda message, _: KeyUnusable(message),
    CheckpointInvalid.reason: lambda message, _: CheckpointInvalid(message),
    ProofInvalid.reason: lambda message, _: ProofInvalid(message),
}


_BY_CODE: Final[Mapping[grpc.StatusCode, Callable[[str], LotteryError]]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: lambda message: LimitExceeded(
        message, limit="max_message_bytes"
    ),
    grpc.StatusCode.UNAVAILABLE: lambda message: ServerAway(f"no server answers: {message}"),
    grpc.StatusCode.DEADLINE_EXCEEDED: ServerAway,
    grpc.StatusCode.CANCELLED: ServerAway,
}


def _problem(violation: error_details_pb2.BadRequest.FieldViolation) -> Problem:
    match = _FIELD.fullmatch(violation.field)
    source = match["source"] if match else violation.field
    index = match["index"] if match else None
    return Problem(
        source=source,
        message=violation.description,
        row=None if index is None else int(index) + 1,
        column=match["column"] if match else None,
        reason=violation.reason,
    )
