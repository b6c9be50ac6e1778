"""Errors over HTTP: `google.rpc.Status` as JSON, whatever refused the request.

The HTTP status is the one that google/rpc/code.proto gives for the code; what HTTP itself knows (no
such path, another type of content, a large body) has HTTP's own.

Invariants:
- Every error has `google.rpc.ErrorInfo`, and one that another attempt can get over has `RetryInfo`
  and `Retry-After`.
- What gRPC says by itself, which may name a file of the server, is replaced by a sentence of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
import orjson
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from starlette.responses import Response

from lottery.errors import Problem, Refused, ServerAway, ServerFailed, TooLate

DOMAIN: Final = "lottery.v1"
"""Domain of every `ErrorInfo`, as the services have it."""
JSON: Final = "application/json"
RETRY_SECONDS: Final = 1
"""Seconds after which to try again if no worker answers."""

HTTP_STATUSES: Final[Mapping[int, int]] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}
"""The HTTP status of each code, as google/rpc/code.proto documents it."""

_OF_HTTP: Final[Mapping[int, tuple[int, str]]] = {
    403: (code_pb2.PERMISSION_DENIED, "FOREIGN_ORIGIN"),
    404: (code_pb2.NOT_FOUND, "NO_SUCH_PATH"),
    405: (code_pb2.UNIMPLEMENTED, "METHOD_NOT_ALLOWED"),
    408: (code_pb2.CANCELLED, "SILENT"),
    413: (code_pb2.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"),
    415: (code_pb2.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE"),
    421: (code_pb2.PERMISSION_DENIED, "FOREIGN_HOST"),
    500: (code_pb2.INTERNAL, ServerFailed.reason),
}
"""The code and the reason of what HTTP itself refuses."""


def response_of(
    status: status_pb2.Status, http_status: int | None = None, headers: Mapping[str, str] = {}
) -> Response:
    """Return the response that has a status.

    Args:
        status: The status.
        http_status: The HTTP status; that of the status's code unless it says so.
        headers: Further headers.
    """
    more = dict(headers)
    if status.code == code_pb2.UNAUTHENTICATED:
        more["WWW-Authenticate"] = "Bearer"
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        more["Retry-After"] = str(retry.retry_delay.seconds)
    code = HTTP_STATUSES[status.code] if http_status is None else http_status
    return Response(as_json(status), code, more, JSON)


def as_json(message: Message) -> bytes:
    """Return a message as JSON: the names of the protos, and fields without presence always."""
    document = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def of_call(error: Any, seconds: float) -> status_pb2.Status:
    """Return the status of a call that failed.

    Args:
        error: What gRPC raised.
        seconds: The time that the call was given.
    """
    said = rpc_status.from_call(error)
    if said is not None:
        return said
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return _status(
            code_pb2.UNAVAILABLE,
            ServerAway.reason,
            "no worker of the server answers; try again in a second",
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)),
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _status(
            code_pb2.DEADLINE_EXCEEDED,
            TooLate.reason,
            f"expected an answer within {seconds:g} seconds, got none; what records may have been "
            "done all the same: ask again, or allow more with X-Server-Timeout",
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return _status(
            code_pb2.RESOURCE_EXHAUSTED,
            "LIMIT_EXCEEDED",
            "the answer is too large for JSON over HTTP; ask over gRPC",
        )
    return _status(code_pb2.INTERNAL, ServerFailed.reason, "the call failed; see the server's log")


def of_refusal(refused: Refused) -> status_pb2.Status:
    """Return the status of a request that is none of its RPC, with every problem that is listed."""
    request = error_details_pb2.BadRequest(
        field_violations=[_violation(problem) for problem in refused.problems]
    )
    return _status(code_pb2.INVALID_ARGUMENT, refused.reason, str(refused), request)


def of_http(http_status: int, message: str) -> status_pb2.Status:
    """Return the status of what HTTP itself refuses."""
    code, reason = _OF_HTTP.get(http_status, (code_pb2.UNKNOWN, f"HTTP_{http_status}"))
    return _status(code, reason, message)


def _status(code: int, reason: str, message: str, *details: Message) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN), *details):
        status.details.add().Pack(detail)
    return status


def _violation(problem: Problem) -> error_details_pb2.BadRequest.FieldViolation:
    row = "" if problem.row is None else f"[{problem.row - 1}]"
    column = "" if problem.column is None else f".{problem.column}"
    return error_details_pb2.BadRequest.FieldViolation(
        field=f"{problem.source}{row}{column}", description=problem.message, reason=problem.reason
    )
