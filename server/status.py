"""Errors on the wire: the one table from error to status code, the one decorator that aborts.

Every error carries `google.rpc.ErrorInfo` (AIP-193); request problems carry `BadRequest` with every
field that fits the trailing metadata. An error that is none of ours becomes INTERNAL and reveals
nothing; the log has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar, cast

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2

from lottery.errors import (
    METHOD_NOT_IN_FORCE,
    NOTICE_ALREADY_ALLOCATED,
    REQUEST_ID_REUSED,
    Abandoned,
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
    ProofInvalid,
    Refused,
    RunNotFound,
)
from server import telemetry

DOMAIN: Final = "lottery.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
DETAILS_BYTES: Final = 4_096
"""Of the status with its details. It travels in base64, and clients take 8 KiB of metadata unless
told otherwise."""
MESSAGE_BYTES: Final = 300
"""Of the message, which travels beside the details once more, with %-escapes of three bytes."""
ANY_BYTES: Final = 80
"""Of the packing of one detail: its type's name, tags and lengths."""
FRAMING_BYTES: Final = 4
"""Of a violation within the request: a tag and a length."""
VALUE_BYTES: Final = 150
"""Of each field's name and each value of `ErrorInfo.metadata`."""

_Method = TypeVar("_Method", bound=Callable[..., Any])
_log = structlog.get_logger()

_CODES: Final[dict[type[LotteryError], grpc.StatusCode]] = {
    PoolBroken: grpc.StatusCode.FAILED_PRECONDITION,
    RunNotFound: grpc.StatusCode.NOT_FOUND,
    NotInRun: grpc.StatusCode.NOT_FOUND,
    LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    EngineMissing: grpc.StatusCode.FAILED_PRECONDITION,
    KeyUnusable: grpc.StatusCode.FAILED_PRECONDITION,
    CheckpointInvalid: grpc.StatusCode.DATA_LOSS,
    ProofInvalid: grpc.StatusCode.DATA_LOSS,
    LedgerUnfinished: grpc.StatusCode.UNAVAILABLE,
    LedgerBusy: grpc.StatusCode.UNAVAILABLE,
    LedgerNotFound: grpc.StatusCode.FAILED_PRECONDITION,
    LedgerUnwritable: grpc.StatusCode.UNAVAILABLE,
    LedgerDamaged: grpc.StatusCode.DATA_LOSS,
    Abandoned: grpc.StatusCode.CANCELLED,
}


def code_of(error: LotteryError) -> grpc.StatusCode:
    """The status code of an error."""
    if isinstance(error, Refused):
        if error.reason == METHOD_NOT_IN_FORCE:
            return grpc.StatusCode.FAILED_PRECONDITION
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, Conflict):
        if error.reason in (NOTICE_ALREADY_ALLOCATED, REQUEST_ID_REUSED):
            return grpc.StatusCode.ALREADY_EXISTS
        return grpc.StatusCode.FAILED_PRECONDITION
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def status_of(error: LotteryError) -> status_pb2.Status:
    """The rich status of an error, small enough for the metadata of any client."""
    code = code_of(error)
    status = status_pb2.Status(
        code=getattr(code_pb2, code.name), message=_cut(str(error), MESSAGE_BYTES)
    )
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={name: _cut(value, VALUE_BYTES) for name, value in error.details().items()},
    )
    if isinstance(error, Refused):
        info.metadata["problem_count"] = str(error.total)
        _add(status, info)
        _add(status, _bad_request(error, DETAILS_BYTES - status.ByteSize() - ANY_BYTES))
    else:
        _add(status, info)
    return status


def aborting(method: _Method) -> _Method:
    """Decorates an RPC: errors become rich statuses, unknown ones INTERNAL without details."""

    @functools.wraps(method)
    def answer(service: object, request: object, context: grpc.ServicerContext) -> Any:
        try:
            return method(service, request, context)
        except LotteryError as error:
            _abort(context, error)
        except Exception as error:  # noqa: BLE001 - nothing of it may reach the caller.
            _abort_unknown(context, error)

    return cast("_Method", answer)


def aborting_stream(method: _Method) -> _Method:
    """As `aborting`, for an RPC that streams its answer."""

    @functools.wraps(method)
    def answer(service: object, request: object, context: grpc.ServicerContext) -> Iterator[object]:
        try:
            yield from method(service, request, context)
        except LotteryError as error:
            _abort(context, error)
        except Exception as error:  # noqa: BLE001 - nothing of it may reach the caller.
            _abort_unknown(context, error)

    return cast("_Method", answer)


def _abort(context: grpc.ServicerContext, error: LotteryError) -> NoReturn:
    telemetry.note(reason=error.reason)
    status = status_of(error)
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(code_of(error), status.message)


def _abort_unknown(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if not context.is_active():
        # The client went away in the middle: reading its stream raises an error without a name.
        telemetry.note(reason=Abandoned.reason)
        context.abort(grpc.StatusCode.CANCELLED, "the caller went away")
    _log.error("unexpected error", exc_info=error)
    telemetry.note(reason="INTERNAL")
    context.abort(grpc.StatusCode.INTERNAL, "an internal error; the server's log has it")


def _bad_request(error: Refused, budget: int) -> error_details_pb2.BadRequest:
    """The problems as field violations, as many as fit."""
    request = error_details_pb2.BadRequest()
    for problem in error.problems:
        field = problem.source
        if problem.row is not None:
            field += f"[{problem.row - 1}]"
        if problem.column is not None:
            field += f".{problem.column}"
        rule = f" [{problem.rule}]" if problem.rule else ""
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(field, VALUE_BYTES),
            description=_cut(problem.message, MESSAGE_BYTES) + rule,
            reason=problem.reason,
        )
        budget -= violation.ByteSize() + FRAMING_BYTES
        if budget < 0:
            break
        request.field_violations.append(violation)
    return request


def _add(status: status_pb2.Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, length: int) -> str:
    """The text, cut to a length in bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= length:
        return encoded.decode()
    return encoded[: length - 3].decode("utf-8", "ignore") + "..."
