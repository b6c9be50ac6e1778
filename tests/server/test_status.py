"""Statuses by themselves: their codes, and that their details fit the metadata of any client."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import grpc
import pytest

from lottery import errors
from lottery.errors import Conflict, LotteryError, PoolBroken, Problem, Refused, RunNotFound
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
        for length in (100, 500, 5_000, 100_000)
    }

    assert {case: size for case, size in sizes.items() if size > METADATA_BYTES} == {}


def test_as_many_problems_are_sent_as_fit() -> None:
    problems = [
        Problem(source="positions", message="-1 is no quantity", row=row) for row in range(1, 101)
    ]

    status = status_of(Refused(problems))

    assert wire_bytes(Refused(problems)) > METADATA_BYTES // 2
    assert len(status.details) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused([Problem(source="a", message="b")]), grpc.StatusCode.INVALID_ARGUMENT),
        (
            Refused([Problem(source="a", message="b", reason=errors.INVALID_SEED)]),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            Refused([Problem(source="a", message="b", reason=errors.METHOD_NOT_IN_FORCE)]),
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        *(
            (Conflict(reason, "it stands", run="2024-09-16-001"), code)
            for reason, code in (
                (errors.NOTICE_ALREADY_ALLOCATED, grpc.StatusCode.ALREADY_EXISTS),
                (errors.REQUEST_ID_REUSED, grpc.StatusCode.ALREADY_EXISTS),
                (errors.POOL_ALREADY_ALLOCATED, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.SEED_CONFLICT, grpc.StatusCode.FAILED_PRECONDITION),
                (errors.RUN_SUPERSEDED, grpc.StatusCode.FAILED_PRECONDITION),
            )
        ),
        (
            PoolBroken("EXCEEDS_SHORT", assigned_quantity=66, total_short=65),
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        (RunNotFound("latest"), grpc.StatusCode.NOT_FOUND),
        (errors.NotInRun("no"), grpc.StatusCode.NOT_FOUND),
        (errors.LimitExceeded("no", limit="max_rows=1"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.LedgerBusy("no"), grpc.StatusCode.UNAVAILABLE),
        (errors.LedgerUnwritable("no"), grpc.StatusCode.UNAVAILABLE),
        (errors.LedgerNotFound("no"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.LedgerUnfinished("no"), grpc.StatusCode.UNAVAILABLE),
        (errors.LedgerDamaged("no"), grpc.StatusCode.DATA_LOSS),
        (errors.CheckpointInvalid("no"), grpc.StatusCode.DATA_LOSS),
        (errors.ProofInvalid("no"), grpc.StatusCode.DATA_LOSS),
        (errors.EngineMissing("no"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.KeyUnusable("no"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Abandoned("no"), grpc.StatusCode.CANCELLED),
        (errors.ServerFailed("no"), grpc.StatusCode.INTERNAL),
    ],
    ids=lambda value: value.reason if isinstance(value, LotteryError) else "",
)
def test_every_error_has_its_code(error: LotteryError, code: grpc.StatusCode) -> None:
    assert code_of(error) is code
    assert status_of(error).code == code.value[0]
