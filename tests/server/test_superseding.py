"""Runs that supersede others, and what their positions say of earlier runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import grpc
import pytest

from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import AAPL, PUBLISHED, SmallDay, position
from tests.server.calls import Stubs, failure_to, messages_of, run_count, run_day

RUN: Final = "2024-09-16-001"
NEXT_RUN: Final = "2024-09-16-002"
LATER: Final = PUBLISHED.renamed("B")
INVALID: Final = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


def corrected(short: int) -> SmallDay:
    """Return the published day with one more account."""
    added = position(AAPL, "2000", short)
    return replace(PUBLISHED, positions=[*PUBLISHED.positions, added])


def test_a_run_has_its_chain_and_what_it_rests_on(stubs: Stubs) -> None:
    first = run_day(stubs, PUBLISHED).run
    assert (list(first.supersedes), first.reason, first.superseded_by) == ([], "", "")
    assert list(first.rests_on) == []
    spec = {"supersedes": ["latest"], "reason": "late"}
    new = run_day(stubs, corrected(1), **spec).run
    assert (list(new.supersedes), new.reason, new.superseded_by) == ([RUN], "late", "")
    late = run_day(stubs, corrected(1).renamed("L"), cycle=2).run
    assert (list(new.rests_on), list(late.rests_on)) == ([], [NEXT_RUN])

    got = stubs.lottery.GetRun(pb.GetRunRequest(run=RUN)).run
    listed = stubs.lottery.ListRuns(pb.ListRunsRequest()).runs

    assert got.superseded_by == NEXT_RUN
    assert [run.superseded_by for run in listed] == [NEXT_RUN, "", ""]
    # The old run's record is what it was.
    assert got.record == first.record


def test_a_run_that_is_superseded_already_is_a_precondition(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    run_day(stubs, corrected(1), supersedes=[RUN], reason="an account was missing")

    another = messages_of(corrected(2), supersedes=[RUN], reason="another")
    for messages in (another, messages_of(PUBLISHED)):
        failure = failure_to(stubs, messages)

        assert failure.status == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_SUPERSEDED")
        assert failure.metadata == {"run": NEXT_RUN}
    assert run_count(stubs) == 2


def test_a_run_that_another_rests_on_is_a_precondition(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    run_day(stubs, LATER, cycle=2)

    failure = failure_to(stubs, messages_of(corrected(2), supersedes=[RUN], reason="another"))

    assert failure.status == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_HAS_DEPENDENTS")
    assert failure.metadata == {"run": NEXT_RUN}


def test_a_run_to_supersede_that_is_not_recorded_is_not_found(stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    spec = {"supersedes": [RUN, "2024-09-16-009"], "reason": "late"}

    failure = failure_to(stubs, messages_of(LATER, **spec))

    assert failure.status == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert failure.metadata == {"run": "2024-09-16-009"}


@pytest.mark.parametrize(
    ("day", "spec", "fields"),
    [
        *(
            (LATER, spec, ["spec.reason"])
            for spec in (
                {"supersedes": [RUN]},
                {"supersedes": [RUN], "reason": " "},
                {"supersedes": [RUN], "reason": "two\nlines"},
                {"supersedes": [RUN], "reason": "x" * 1_001},
                {"reason": "late"},
            )
        ),
        (LATER, {"supersedes": ["yesterday", RUN, ""], "reason": "late"}, ["spec.supersedes"] * 2),
        (
            PUBLISHED.later(),
            {"supersedes": ["latest"], "reason": "late"},
            ["spec.supersedes"],
        ),
    ],
    ids=[
        *("no reason", "a blank reason", "two lines", "a long reason", "nothing to supersede"),
        *("no runs", "another date"),
    ],
)
def test_what_cannot_supersede_is_named(
    stubs: Stubs, day: SmallDay, spec: dict[str, Any], fields: list[str]
) -> None:
    run_day(stubs, PUBLISHED)

    failure = failure_to(stubs, messages_of(day, **spec))

    assert failure.status == INVALID
    assert failure.fields == fields
    assert all(description for _, description, _ in failure.violations)
    assert failure.metadata == {"problem_count": str(len(fields))}
    assert run_count(stubs) == 1
