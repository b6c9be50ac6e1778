"""Calls whose failed status is raised as the library's error, from `ErrorInfo` and `BadRequest`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lottery.errors import (
    CONFLICTS,
    AllocationWrong,
    CheckpointInvalid,
    Conflict,
    ConnectionLost,
    EngineMissing,
    Held,
    Hold,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnfinished,
    LedgerUnwritable,
    LimitExceeded,
    LotteryError,
    NotInRun,
    Overloaded,
    PoolBroken,
    Problem,
    ProofInvalid,
    Refused,
    RoleMissing,
    RunNotFound,
    ServerAway,
    ServerFailed,
    TlsMismatch,
    Unauthenticated,
    WitnessAhead,
)

# The fields of a run's spec are arguments of their own here.
_FIELD: Final = re.compile(
    r"(?:spec\.)?(?P<source>[^\[.]+)(?:\[(?P<index>\d+)\])?(?:\.(?P<column>.+))?"
)

_NO_HANDSHAKE: Final = "TSI_PROTOCOL_FAILURE"
"""What gRPC says if its own side of TLS refuses the connection."""
_CLOSED: Final = "Socket closed"
"""What it says if the server's side does, which may be for any reason."""
PAUSES: Final = (0.25, 0.5, 1.0)
"""Seconds between the attempts of a call that is sent again."""

_Response = TypeVar("_Response")


def call(method: Callable[..., _Response], request: object, timeout: float | None) -> _Response:
    """Call a server for one response.

    Raises:
        LotteryError: The server's error, or that no server answers.
    """
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise _error_of(error) from None


def call_again(
    method: Callable[..., _Response], requests: Callable[[], object], timeout: float | None
) -> _Response:
    """Call a server for one response, and again while nobody answers.

    Args:
        method: A method that does a thing once, however often it is asked for it.
        requests: Returns the request, or all of its messages, for each attempt.
        timeout: Seconds that an attempt may take.

    Raises:
        LotteryError: The server's error, or that no server answers.
    """
    for pause in PAUSES:
        try:
            return method(requests(), timeout=timeout)
        except grpc.RpcError as error:
            away = _error_of(error)
            if not (isinstance(away, ServerAway) and _is_unavailable(error)):
                raise away from None
        time.sleep(pause)
    return call(method, requests(), timeout)


def _is_unavailable(error: Any) -> bool:
    return bool(error.code() is grpc.StatusCode.UNAVAILABLE)


def stream(
    method: Callable[..., Iterator[_Response]], request: object, timeout: float | None
) -> Iterator[_Response]:
    """Call a server for a stream of responses; raises as `call` does, while it is read."""
    try:
        yield from method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise _error_of(error) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Details:
    """The details in a failed call's trailing metadata."""

    reason: str
    metadata: Mapping[str, str]
    problems: Sequence[Problem]
    holds: Sequence[Hold]


def _details_of(error: Any) -> _Details:
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    failure = error_details_pb2.PreconditionFailure()
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # The details and the status line disagree.
        status = None
    for detail in status.details if status is not None else ():
        for message in (info, request, failure):
            detail.Unpack(message)
    return _Details(
        reason=info.reason,
        metadata=dict(info.metadata),
        problems=[_problem(violation) for violation in request.field_violations],
        holds=[Hold(code=each.type, message=each.description) for each in failure.violations],
    )


def _error_of(error: Any) -> LotteryError:  # noqa: PLR0911 - one a kind of error.
    """Return the library's error of a failed call."""
    message = error.details() or error.code().name
    details = _details_of(error)
    reason, metadata = details.reason, details.metadata
    if "problem_count" in metadata:
        problems = details.problems or [Problem(source="request", message=message, reason=reason)]
        return Refused(problems, total=int(metadata["problem_count"]), reason=reason)
    if reason in CONFLICTS:
        conflict = Conflict(reason, message, run=metadata["run"])
        conflict.holds = tuple(details.holds)
        return conflict
    if "total_short" in metadata:
        return PoolBroken(reason, **{name: int(value) for name, value in metadata.items()})
    if reason == Held.reason:
        return Held(details.holds)
    if reason in _BY_REASON:
        return _BY_REASON[reason](message, metadata)
    if reason in _MESSAGE_ALONE:
        return _MESSAGE_ALONE[reason](message)
    return _BY_CODE.get(error.code(), ServerFailed)(f"{error.code().name}: {message}")


def _unavailable(message: str) -> LotteryError:
    """Return why no server has answered: what does not fit stays so, and all else may pass."""
    if _NO_HANDSHAKE in message:
        return TlsMismatch(
            f"the server's certificate is not of the authorities to trust, or it speaks no TLS: "
            f"{message}; check LOTTERY_SERVER_CA and the address"
        )
    hint = "; it may want TLS, or a certificate that it knows" if _CLOSED in message else ""
    return ServerAway(f"no server answers: {message}{hint}")


_BY_REASON: Final[Mapping[str, Callable[[str, Mapping[str, str]], LotteryError]]] = {
    RunNotFound.reason: lambda message, details: RunNotFound(details["run"], message),
    LimitExceeded.reason: lambda message, details: LimitExceeded(message, limit=details["limit"]),
    RoleMissing.reason: lambda message, details: RoleMissing(message, roles=details["roles"]),
    WitnessAhead.reason: lambda message, details: WitnessAhead(
        message,
        witness=details["witness"],
        witness_size=int(details["witness_size"]),
        log_size=int(details["log_size"]),
    ),
}
_MESSAGE_ALONE: Final[Mapping[str, type[LotteryError]]] = {
    error.reason: error
    for error in (
        *(AllocationWrong, CheckpointInvalid, ConnectionLost, EngineMissing, KeyUnusable),
        *(
            LedgerBusy,
            LedgerDamaged,
            LedgerNotFound,
            LedgerUnfinished,
            LedgerUnwritable,
            NotInRun,
            Overloaded,
            ProofInvalid,
            Unauthenticated,
        ),
    )
}
_BY_CODE: Final[Mapping[grpc.StatusCode, Callable[[str], LotteryError]]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: lambda message: LimitExceeded(
        message, limit="max_message_bytes"
    ),
    grpc.StatusCode.UNAVAILABLE: _unavailable,
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
