"""Errors on the wire (AIP-193): the table of status codes, and the decorators that abort a call.

Invariants:
- Every error of ours carries `google.rpc.ErrorInfo`. Invalid requests also carry `BadRequest` with
  as many problems as fit the trailing metadata.
- Every error that another attempt can get over carries `RetryInfo`.
- Any other error becomes INTERNAL and reveals nothing; it is logged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar, cast

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from lottery.errors import Abandoned, Conflict, Held, Hold, LotteryError, Refused
from server import telemetry

DOMAIN: Final = "lottery.v1"
"""Domain of every `ErrorInfo`."""
DETAILS_KEY: Final = "grpc-status-details-bin"
"""Metadata key of the rich status."""
DETAILS_BYTES: Final = 4_096
"""Maximum size of the rich status in bytes, before base64. By default, clients accept 8 KiB of
metadata."""
MESSAGE_BYTES: Final = 300
"""Maximum size of the message in bytes. It is sent twice, once with escapes of three bytes."""
VALUE_BYTES: Final = 150
"""Maximum size in bytes of a field's name, and of a value of `ErrorInfo.metadata`."""
ANY_BYTES: Final = 80
"""Size in bytes that packing adds to a detail: the name of its type, tags and lengths."""
FRAMING_BYTES: Final = 4
"""Size in bytes that a request adds to each of its violations: a tag and a length."""

_Method = TypeVar("_Method", bound=Callable[..., Any])
_log = structlog.get_logger()

_CODES: Final[Mapping[str, grpc.StatusCode]] = {
    reason: code
    for code, reasons in {
        grpc.StatusCode.INVALID_ARGUMENT: ("INVALID_INPUT", "INVALID_SEED"),
        grpc.StatusCode.FAILED_PRECONDITION: (
            *("METHOD_NOT_IN_FORCE", "EXCEEDS_SHORT", "NO_POSITION"),
            *(
                "POPULATION_DIFFERS",
                "SEED_CONFLICT",
                "RUN_SUPERSEDED",
                "RUN_HAS_DEPENDENTS",
                "HELD",
            ),
            *("NOT_APPROVED", "NOT_PROPOSED", "RECORD_DIFFERS", "SAME_PERSON"),
            *("PROPOSAL_DECIDED", "PROPOSAL_EXPIRED", "PROPOSAL_OUTDATED"),
            *("LEDGER_NOT_FOUND", "ENGINE_MISSING", "KEY_UNUSABLE"),
        ),
        grpc.StatusCode.ALREADY_EXISTS: ("NOTICE_ALREADY_ALLOCATED", "REQUEST_ID_REUSED"),
        grpc.StatusCode.NOT_FOUND: ("RUN_NOT_FOUND", "NOT_IN_RUN"),
        grpc.StatusCode.RESOURCE_EXHAUSTED: ("LIMIT_EXCEEDED", "OVERLOADED"),
        grpc.StatusCode.UNAVAILABLE: (
            *("CONNECTION_LOST", "LEDGER_BUSY", "LEDGER_UNFINISHED", "LEDGER_UNWRITABLE"),
        ),
        grpc.StatusCode.DATA_LOSS: (
            *("LEDGER_DAMAGED", "CHECKPOINT_INVALID", "PROOF_INVALID", "WITNESS_AHEAD"),
        ),
        grpc.StatusCode.CANCELLED: ("ABANDONED", "SILENT"),
        grpc.StatusCode.DEADLINE_EXCEEDED: ("TOO_LATE",),
        grpc.StatusCode.UNAUTHENTICATED: ("UNAUTHENTICATED",),
        grpc.StatusCode.PERMISSION_DENIED: ("ROLE_MISSING",),
    }.items()
    for reason in reasons
}
"""The status code of each reason; any other reason is INTERNAL."""

_RETRY_SECONDS: Final[Mapping[str, int]] = {
    # A lock was waited for, a connection is made again, or a call has ended by then.
    **dict.fromkeys(
        ("CONNECTION_LOST", "LEDGER_BUSY", "LEDGER_UNFINISHED", "LEDGER_UNWRITABLE"), 1
    ),
    "OVERLOADED": 1,
    # A limit is a setting of the server: another one may have more room, or the operator make it.
    "LIMIT_EXCEEDED": 60,
}
"""Seconds after which to try again, by the reason."""


def code_of(error: LotteryError) -> grpc.StatusCode:
    """Return the status code of an error."""
    return _CODES.get(error.reason, grpc.StatusCode.INTERNAL)


def status_of(error: LotteryError) -> status_pb2.Status:
    """Return the rich status of an error, small enough for the metadata of any client."""
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
    if error.reason in _RETRY_SECONDS:
        delay = Duration(seconds=_RETRY_SECONDS[error.reason])
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, Held | Conflict) and error.holds:
        _add(status, _precondition_failure(error.holds, DETAILS_BYTES - status.ByteSize()))
    return status


def aborting(method: _Method) -> _Method:
    """Make an RPC abort with the status of the error that it raises."""

    @functools.wraps(method)
    def answer(service: object, request: object, context: grpc.ServicerContext) -> object:
        try:
            return method(service, request, context)
        except Exception as error:  # noqa: BLE001 - the client must not see any of it.
            abort(context, error)

    return cast("_Method", answer)


def aborting_stream(method: _Method) -> _Method:
    """Make an RPC that streams its responses abort with the status of the error that it raises."""

    @functools.wraps(method)
    def answer(service: object, request: object, context: grpc.ServicerContext) -> Iterator[object]:
        try:
            yield from method(service, request, context)
        except Exception as error:  # noqa: BLE001 - as above.
            abort(context, error)

    return cast("_Method", answer)


def abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """End a call with the status of an error."""
    if not isinstance(error, LotteryError):
        _abort_unknown(context, error)
    telemetry.note(reason=error.reason)
    status = status_of(error)
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(code_of(error), status.message)


def _abort_unknown(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if not context.is_active():
        # Reading the stream of a client that has gone raises a bare Exception.
        telemetry.note(reason=Abandoned.reason)
        context.abort(grpc.StatusCode.CANCELLED, "the client went away")
    _log.error("unexpected error", exc_info=error)
    telemetry.note(reason="INTERNAL")
    context.abort(grpc.StatusCode.INTERNAL, "internal error; see the server's log")


def _bad_request(error: Refused, budget: int) -> error_details_pb2.BadRequest:
    """Return as many problems as fit into the budget, in bytes."""
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


def _precondition_failure(
    holds: Sequence[Hold], budget: int
) -> error_details_pb2.PreconditionFailure:
    """Return every hold, with messages short enough for all to fit into the budget, in bytes."""
    each = (budget - ANY_BYTES) // len(holds) - FRAMING_BYTES
    failure = error_details_pb2.PreconditionFailure()
    for hold in holds:
        violation = failure.violations.add(type=hold.code, subject="spec.acknowledgements")
        left = each - violation.ByteSize() - FRAMING_BYTES
        violation.description = _cut(hold.message, min(MESSAGE_BYTES, left))
    return failure


def _add(status: status_pb2.Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, length: int) -> str:
    """Shorten a text to a length in bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= length:
        return encoded.decode()
    return encoded[: length - 3].decode("utf-8", "ignore") + "..."
