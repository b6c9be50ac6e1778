"""Statuses by themselves: their codes, and that their details fit the metadata of any client."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from lottery import errors
from lottery.day.allocate import EXCEEDS_SHORT, NO_POSITION
from lottery.errors import (
    Conflict,
    Held,
    Hold,
    LotteryError,
    PoolBroken,
    Problem,
    Refused,
    RunNotFound,
)
from lottery.ledger.holds import HOLDS
from server.status import DETAILS_KEY, code_of, status_of

METADATA_BYTES = 8 << 10
"""Maximum size of the metadata in bytes that clients accept by default."""
OVERHEAD = 32
"""Size in bytes that HTTP/2 counts for each field in addition to its name and value."""
WIDE = "\N{SLICE OF PIZZA}"


def wire_bytes(error: LotteryError) -> int:
    """Return the size of an error's trailing metadata, as HTTP/2 counts it."""
    status = status_of(error)
    details = base64.b64encode(status.SerializeToString()).decode()
    fields = {
        "grpc-status": str(status.code),
        "grpc-message": quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[]^_`{|}~\\-."),
        DETAILS_KEY: details,
    }
    return sum(len(name) + len(value) + OVERHEAD for name, value in fields.items())


@pytest.mark.parametrize(
    "error_of",
    [
        RunNotFound,
        errors.NotInRun,
        lambda text: Conflict(errors.REQUEST_ID_REUSED, text, run="2024-09-16-001"),
        lambda text: errors.LimitExceeded(text, limit=text),
        errors.LedgerUnwritable,
        lambda text: Held([Hold(code=code, message=text) for code in HOLDS]),
        lambda text: Refused([Problem(source="positions", message=text)]),
        lambda text: Refused([Problem(source="positions", message="?", row=1, column=text)]),
        lambda text: Refused(
            [Problem(source="positions", message=text, row=row) for row in range(1, 101)],
            total=100_000,
        ),
        lambda text: Refused(
            [Problem(source=text[:row], message=text[:row], row=row) for row in range(1, 101)]
        ),
    ],
    ids=[
        "run",
        "pool",
        "request id",
        "limit",
        "ledger",
        "holds",
        "problem",
        "column",
        "problems",
        "short problems",
    ],
)
def test_details_fit_the_metadata_of_any_client(error_of: Callable[[str], LotteryError]) -> None:
    sizes = {
        (ascii(text), length): wire_bytes(error_of(text * length))
        for text in ("x", "\n", "\u00e9", WIDE)
        for length in (100, 500, 5_000, 20_000)
    }

    assert {case: size for case, size in sizes.items() if size > METADATA_BYTES} == {}


def test_as_many_problems_are_sent_as_fit() -> None:
    problems = [
        Problem(source="positions", message="must not be negative, got -1", row=row)
        for row in range(1, 101)
    ]

    status = status_of(Refused(problems))

    assert wire_bytes(Refused(problems)) > METADATA_BYTES // 2
    assert len(status.details) == 2


def test_every_hold_is_sent_however_long_its_message_is() -> None:
    holds = [Hold(code=code, message=WIDE * 5_000) for code in sorted(HOLDS)]
    conflict = Conflict(errors.SEED_CONFLICT, WIDE * 5_000, run="2024-09-16-001")
    conflict.holds = tuple(holds)

    for error in (Held(holds), conflict):
        failure = error_details_pb2.PreconditionFailure()
        assert any(detail.Unpack(failure) for detail in status_of(error).details)
        assert [one.type for one in failure.violations] == sorted(HOLDS)
        assert {one.subject for one in failure.violations} == {"spec.acknowledgements"}
        assert all(WIDE in one.description for one in failure.violations)


def refused(reason: str) -> Refused:
    return Refused([Problem(source="a", message="b", reason=reason)])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused(errors.INVALID_INPUT), grpc.StatusCode.INVALID_ARGUMENT),
        (refused(errors.INVALID_SEED), grpc.StatusCode.INVALID_ARGUMENT),
        (refused(errors.METHOD_NOT_IN_FORCE), grpc.StatusCode.FAILED_PRECONDITION),
        *(
            (Conflict(reason, "it contradicts", run="2024-09-16-001"), code)
            for reason, code in (
                (errors.NOTICE_ALREADY_ALLOCATED, grpc.StatusCode.ALREADY_EXISTS),
                (errors.REQUEST_ID_REUSED, grpc.StatusCode.ALREADY_EXISTS),
                (errors.POPULATION_DIFFERS, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.RUN_HAS_DEPENDENTS, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.SEED_CONFLICT, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.RUN_SUPERSEDED, grpc.StatusCode.FAILED_PRECONDITION),
            )
        ),
        *(
            (
                PoolBroken(reason, assigned_quantity=66, total_short=65),
                grpc.StatusCode.FAILED_PRECONDITION,
            )
            for reason in (EXCEEDS_SHORT, NO_POSITION)
        ),
        (Held([Hold(code="FUTURE_DATE", message="no")]), grpc.StatusCode.FAILED_PRECONDITION),
        (RunNotFound("latest"), grpc.StatusCode.NOT_FOUND),
        (errors.LimitExceeded("no", limit="max_rows=1"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        *(
            (kind("no"), code)
            for kind, code in (
                (errors.NotInRun, grpc.StatusCode.NOT_FOUND),
                (errors.LedgerBusy, grpc.StatusCode.UNAVAILABLE),
                (errors.LedgerUnwritable, grpc.StatusCode.UNAVAILABLE),
                (errors.LedgerUnfinished, grpc.StatusCode.UNAVAILABLE),
                (errors.LedgerNotFound, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.EngineMissing, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.KeyUnusable, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.LedgerDamaged, grpc.StatusCode.DATA_LOSS),
                (errors.CheckpointInvalid, grpc.StatusCode.DATA_LOSS),
                (errors.ProofInvalid, grpc.StatusCode.DATA_LOSS),
                (errors.Abandoned, grpc.StatusCode.CANCELLED),
                (errors.Silent, grpc.StatusCode.CANCELLED),
                (errors.TooLate, grpc.StatusCode.DEADLINE_EXCEEDED),
                (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
                (errors.ServerFailed, grpc.StatusCode.INTERNAL),
            )
        ),
    ],
    ids=lambda value: value.reason if isinstance(value, LotteryError) else "",
)
def test_every_error_has_its_code(error: LotteryError, code: grpc.StatusCode) -> None:
    assert code_of(error) is code
    assert status_of(error).code == code.value[0]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        *(
            (kind("no"), 1)
            for kind in (
                *(errors.LedgerBusy, errors.StandingChanged, errors.LedgerUnwritable),
                *(errors.LedgerUnfinished, errors.ConnectionLost, errors.Overloaded),
            )
        ),
        (errors.LimitExceeded("no", limit="max_rows=1"), 60),
        (RunNotFound("latest"), None),
        (errors.LedgerDamaged("no"), None),
        (refused(errors.INVALID_INPUT), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_that_another_attempt_can_get_over_says_when(
    error: LotteryError, seconds: int | None
) -> None:
    found = error_details_pb2.RetryInfo()
    unpacked = [
        found.retry_delay.seconds for detail in status_of(error).details if detail.Unpack(found)
    ]

    assert unpacked == ([] if seconds is None else [seconds])
