"""Four eyes over gRPC: what one local caller proposes, another one approves or rejects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from lottery import operations
from lottery.client import LotteryClient
from lottery.errors import (
    CONFLICTS,
    NOT_APPROVED,
    PROPOSAL_DECIDED,
    RECORD_DIFFERS,
    SAME_PERSON,
    Conflict,
    RoleMissing,
)
from lottery.operations.runs import record_sha256
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.status import code_of
from tests.builders import DATE, PUBLISHED, TESTER
from tests.builders import settings_of as ledger_settings
from tests.ledger.contract.places import FOUR_EYES
from tests.ledger.ledgers import META_ONLY
from tests.server.calls import called, failure_to, run_day, serving
from tests.test_client import run_rows

RUN = "2024-09-16-001"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Return a ledger whose charter has four eyes."""
    path = tmp_path / "ledger"
    operations.init_ledger(ledger_settings(path), FOUR_EYES, TESTER)
    return path


@contextmanager
def client_of(ledger: Path, person: str) -> Iterator[LotteryClient]:
    """Connect a person, `NAME:ROLE[,ROLE]`."""
    with (
        serving(ledger, trust_local=person) as server,
        LotteryClient(f"127.0.0.1:{server.port}", timeout=60) as client,
    ):
        yield client


def test_what_one_person_proposes_another_one_approves(ledger: Path) -> None:
    with client_of(ledger, "ann:operator,approver") as ann:
        proposed = run_rows(ann, PUBLISHED)
        digest = record_sha256(proposed.record)
        found = ann.list_proposals()
        assert (proposed.state, proposed.verdict) == ("PROPOSED", None)
        assert ([one.record for one in found.waiting], found.four_eyes) == ([proposed.record], True)
        assert ann.get_run(RUN).state == "PROPOSED"
        assert list(ann.list_runs(standing_only=True)) == []
        with pytest.raises(Conflict) as caught:
            ann.allocations(RUN)
        assert caught.value.reason == NOT_APPROVED
        with pytest.raises(Conflict) as caught:
            ann.approve_run(RUN, digest)
        assert caught.value.reason == SAME_PERSON

    with client_of(ledger, "bob:approver") as bob:
        with pytest.raises(Conflict) as caught:
            bob.approve_run(RUN, "00" * 32)
        assert caught.value.reason == RECORD_DIFFERS
        approved = bob.approve_run(RUN, digest)
        assert (approved.state, approved.record) == ("ALLOCATED", proposed.record)
        assert approved.verdict is not None
        assert approved.verdict.requested_by.name == "bob"
        assert bob.approve_run(RUN, digest).already_recorded
        with pytest.raises(Conflict) as caught:
            bob.reject_run(RUN, digest, "too late")
        assert caught.value.reason == PROPOSAL_DECIDED
        assert bob.list_proposals().waiting == ()
        assert [one.state for one in bob.list_runs(standing_only=True)] == ["ALLOCATED"]
        assert bob.allocations(RUN).num_rows == 3
        assert bob.get_day(DATE).runs == (RUN,)


def test_a_rejected_proposal_says_why_and_an_operator_alone_approves_nothing(ledger: Path) -> None:
    with client_of(ledger, "ann:operator") as ann:
        digest = record_sha256(run_rows(ann, META_ONLY).record)
        with pytest.raises(RoleMissing):
            ann.approve_run(RUN, digest)
    with client_of(ledger, "bob:approver") as bob:
        rejected = bob.reject_run(RUN, digest, "yesterday's file")
        assert rejected.state == "REJECTED"
        found = bob.get_run(RUN).verdict
        assert found is not None
        assert (found.reason, found.is_approval) == ("yesterday's file", False)


def test_the_messages_say_what_a_proposal_is_and_who_decided(ledger: Path) -> None:
    with called(ledger, trust_local="ann:operator") as stubs:
        run = run_day(stubs, PUBLISHED).run
        charter = stubs.lottery.GetCharter(pb.GetCharterRequest(business_date=run.business_date))
        assert (charter.four_eyes, charter.proposal_hours) == (True, 12)
        assert run.state == lottery_pb2.RUN_STATE_PROPOSED
        assert run.expires_at.ToSeconds() - run.recorded_at.ToSeconds() == 12 * 3600
        assert not run.HasField("verdict")
        failure = failure_to(stubs, pb.StreamAllocationsRequest(run=RUN))
        assert failure.status == (grpc.StatusCode.FAILED_PRECONDITION, NOT_APPROVED)
        assert failure.metadata == {"run": RUN}
    with called(ledger, trust_local="bob:approver") as stubs:
        request = pb.ApproveRunRequest(run=RUN, record_sha256=run.record_sha256)
        verdict = stubs.lottery.ApproveRun(request).run.verdict
        assert (verdict.approved, verdict.reason, verdict.person) == (True, "", "bob")


def test_every_conflict_has_a_status_code() -> None:
    codes = {code_of(Conflict(reason, "x", run=RUN)) for reason in CONFLICTS}

    assert codes == {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS}


def test_without_four_eyes_nothing_is_ever_proposed(tmp_path: Path) -> None:
    plain = replace(FOUR_EYES, four_eyes=False)
    operations.init_ledger(ledger_settings(tmp_path / "ledger"), plain, TESTER)
    with client_of(tmp_path / "ledger", "ann:operator,approver") as ann:
        recorded = run_rows(ann, PUBLISHED)
        assert recorded.state == "ALLOCATED"
        found = ann.list_proposals()
        assert (found.waiting, found.four_eyes) == ((), False)
        with pytest.raises(Conflict, match="asks for no four eyes") as caught:
            ann.approve_run(RUN, record_sha256(recorded.record))
        assert caught.value.reason == "NOT_PROPOSED"
