"""Four eyes: a run is proposed, and stands once another person approves that very record."""

from __future__ import annotations

import datetime as dt
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import (
    NOT_APPROVED,
    NOT_PROPOSED,
    NOTICE_ALREADY_ALLOCATED,
    PROPOSAL_DECIDED,
    PROPOSAL_EXPIRED,
    PROPOSAL_OUTDATED,
    RECORD_DIFFERS,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SAME_PERSON,
    SEED_CONFLICT,
    Abandoned,
    Held,
    Refused,
    RunNotFound,
)
from lottery.ledger import queries
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import canonical
from lottery.ledger.four_eyes import EXPIRED, PROPOSED, REJECTED, Proposal, wrong_in
from lottery.ledger.holds import NOTICE_ON_ANOTHER_DATE, STALE_VOLUMES
from lottery.ledger.run_record import ALLOCATED, WITHDRAWN, Identity
from lottery.operations.ledgers import CharterTerms
from lottery.operations.runs import record_sha256, recorded_runs, summary
from lottery.operations.verdicts import approve_run, list_proposals, reject_run
from tests import builders
from tests.builders import (
    AAPL,
    DATE,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    REQUESTER,
    TESTER,
    notice,
    position,
    settings_of,
)
from tests.ledger.contract.places import (
    APPROVER,
    FOUR_EYES,
    A,
    B,
    C,
    approve,
    assert_whole,
    conflict,
    nothing_recorded,
    record,
    reject,
)
from tests.ledger.ledgers import META_ONLY

NOW = dt.datetime(2024, 9, 17, 4, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> dt.datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def eyes(tmp_path: Path, clock: Clock) -> Ledger:
    """Return a ledger whose charter has four eyes, with a clock of its own."""
    settings = settings_of(tmp_path / "ledger")
    made = operations.init_ledger(settings, replace(FOUR_EYES, proposal_hours=2), TESTER)
    made.ports = replace(made.ports, clock=clock)
    return made


def state_of(ledger: Ledger, run: str) -> str:
    return operations.recorded_run(ledger, run).state


def assert_sound(ledger: Ledger) -> None:
    """Assert that rows and files say the same, and that the ledger verifies and replays."""
    assert_whole(ledger)
    builders.assert_sound(Path(ledger.ports.objects.place))


def test_a_proposal_counts_for_nobody_until_another_person_approves_it(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)

    assert isinstance(proposed.record, Proposal)
    assert proposed.record.expires_at == "2024-09-17T06:00:00.000000Z"
    assert (proposed.state, proposed.record.state, proposed.counts) == (PROPOSED, ALLOCATED, False)
    assert [one.record for one in list_proposals(eyes).waiting] == [proposed.record]
    assert state_of(eyes, A) == PROPOSED
    for look in (
        lambda: operations.standing_day(eyes, DATE),
        lambda: eyes.get("latest"),
        lambda: operations.difference_since(eyes, DATE, A),
    ):
        with pytest.raises(RunNotFound):
            look()
    with conflict(NOT_APPROVED):
        operations.allocations(eyes, A)
    assert list(operations.history(eyes, series=AAPL)) == []
    assert operations.pools(eyes, A).num_rows == 1

    approved = approve(eyes, proposed)

    assert (approved.state, approved.record) == (ALLOCATED, proposed.record)
    assert approved.verdict is not None
    assert approved.verdict.requested_by == APPROVER
    assert not approved.already_recorded
    assert eyes.get("latest") == proposed.record
    assert operations.standing_day(eyes, DATE).runs == (A,)
    assert operations.allocations(eyes, A).num_rows == 3
    assert [row.run for row in operations.history(eyes, series=AAPL)] == [A]
    assert list_proposals(eyes).waiting == ()
    assert_sound(eyes)


def test_the_same_command_finds_its_proposal_and_then_its_run(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    again = record(eyes, PUBLISHED.shuffled(1), request_id="mine")
    assert (again.record, again.state, again.already_recorded) == (proposed.record, PROPOSED, True)

    approve(eyes, proposed)

    found = record(eyes, PUBLISHED)
    assert (found.record, found.state, found.already_recorded) == (proposed.record, ALLOCATED, True)
    assert record(eyes, PUBLISHED, dry_run=True).record == proposed.record
    assert_sound(eyes)


def test_a_rehearsal_says_that_a_run_would_be_proposed(eyes: Ledger) -> None:
    with nothing_recorded(eyes):
        rehearsed = record(eyes, PUBLISHED, dry_run=True)

    assert (rehearsed.state, rehearsed.is_rehearsed) == (PROPOSED, True)


def test_a_proposal_holds_its_notices_and_nothing_else(eyes: Ledger, clock: Clock) -> None:
    first = record(eyes, PUBLISHED)
    same_notice = replace(META_ONLY, notices=[notice("A1", META, 5)])

    with nothing_recorded(eyes), conflict(NOTICE_ALREADY_ALLOCATED) as how:
        record(eyes, same_notice)
    assert "proposal 2024-09-16-001 holds notice A1" in str(how.value)
    # Another seed and another population contradict nothing that stands.
    other = replace(PUBLISHED.renamed("B"), asks=OTHER_ASKS)
    second = record(eyes, replace(other, positions=[*other.positions, position(AAPL, "7", 1)]))
    assert second.state == PROPOSED

    clock.time += 2 * HOUR
    third = record(eyes, same_notice)
    assert (state_of(eyes, A), state_of(eyes, C)) == (EXPIRED, PROPOSED)
    assert [one.record.run for one in list_proposals(eyes).waiting] == [C]
    with nothing_recorded(eyes), conflict(PROPOSAL_EXPIRED):
        approve(eyes, first)
    with nothing_recorded(eyes), conflict(PROPOSAL_EXPIRED):
        reject(eyes, first)
    approve(eyes, third)
    assert_sound(eyes)


def test_a_rejected_proposal_holds_nothing_and_says_why(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)

    rejected = reject(eyes, proposed)

    assert (rejected.state, rejected.is_over, rejected.counts) == (REJECTED, True, False)
    document = summary(operations.recorded_run(eyes, A))
    assert (document["state"], document["verdict"]["reason"]) == (REJECTED, "yesterday's file")
    assert document["record_sha256"] == record_sha256(proposed.record)
    other = record(eyes, replace(META_ONLY, notices=[notice("A1", META, 5)]))
    approve(eyes, other)
    assert operations.standing_day(eyes, DATE).runs == (B,)
    assert_sound(eyes)


def test_the_same_content_is_proposed_again_once_what_was_proposed_is_over(
    eyes: Ledger, clock: Clock
) -> None:
    reject(eyes, record(eyes, PUBLISHED))
    second = record(eyes, PUBLISHED)
    assert (second.record.run, second.already_recorded) == (B, False)
    assert record(eyes, PUBLISHED).record == second.record

    clock.time += 2 * HOUR
    third = record(eyes, PUBLISHED, request_id="mine")
    assert (third.record.run, third.already_recorded) == (C, False)
    assert record(eyes, PUBLISHED).record == third.record
    reject(eyes, third)
    # A request id of the requester's own answers with what became of it, and never twice.
    with nothing_recorded(eyes), conflict(PROPOSAL_DECIDED, C):
        record(eyes, PUBLISHED, request_id="mine")
    with nothing_recorded(eyes), conflict(REQUEST_ID_REUSED, C):
        record(eyes, META_ONLY, request_id="mine")
    fourth = record(eyes, PUBLISHED, request_id="yours")
    clock.time += 2 * HOUR
    with nothing_recorded(eyes), conflict(PROPOSAL_EXPIRED, fourth.record.run):
        record(eyes, PUBLISHED, request_id="yours")
    states = [one.state for one in recorded_runs(eyes)]
    assert states == [REJECTED, EXPIRED, REJECTED, EXPIRED]
    assert_sound(eyes)


def test_the_approver_is_another_person_and_names_the_record(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    elsewhere = replace(TESTER, host="another host")
    otherwise = Identity(kind="email", name=TESTER.name.upper(), host="")

    with nothing_recorded(eyes):
        for by in (TESTER, elsewhere, otherwise):
            with conflict(SAME_PERSON):
                approve(eyes, proposed, by=by)
            with conflict(SAME_PERSON):
                reject(eyes, proposed, by=by)
        with conflict(RECORD_DIFFERS):
            approve_run(eyes, A, record_sha256="00" * 32, by=APPROVER)
        for run in ("2024-09-16-009", "2024-09-18-001", "nonsense"):
            with pytest.raises(RunNotFound):
                approve_run(eyes, run, record_sha256="00" * 32, by=APPROVER)
        for reason in ("", " ", "two\nlines"):
            with pytest.raises(Refused, match="a reason must be"):
                reject_run(eyes, A, record_sha256="", reason=reason, by=APPROVER)

    # Another name is another person, as far as anybody can tell.
    approve(eyes, proposed, by=replace(TESTER, name="tester-2"))
    assert_sound(eyes)


def test_a_proposal_has_one_verdict_which_the_same_person_may_repeat(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    approve(eyes, proposed)

    with nothing_recorded(eyes):
        assert approve(eyes, proposed).already_recorded
        with conflict(PROPOSAL_DECIDED):
            reject(eyes, proposed)
        with conflict(PROPOSAL_DECIDED):
            approve(eyes, proposed, by=replace(APPROVER, name="another"))
    other = record(eyes, META_ONLY)
    reject(eyes, other)
    with nothing_recorded(eyes):
        assert reject(eyes, other).already_recorded
        with conflict(PROPOSAL_DECIDED, B):
            approve(eyes, other)


def test_a_caller_that_goes_away_decides_nothing(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)

    def gone() -> None:
        raise Abandoned("the caller is gone")

    digest = record_sha256(proposed.record)
    with nothing_recorded(eyes), pytest.raises(Abandoned):
        approve_run(eyes, A, record_sha256=digest, by=APPROVER, proceed=gone)
    assert state_of(eyes, A) == PROPOSED


def test_what_is_wrong_with_a_verdict_by_itself_is_named(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    with eyes.reading() as connection:
        assert queries.stored_approval(connection, A) is None
    verdict = approve(eyes, proposed).verdict
    proposal = proposed.record
    assert isinstance(proposal, Proposal)
    assert verdict is not None
    with eyes.reading() as connection:
        stored = queries.stored_approval(connection, A)
    assert stored is not None
    assert stored[1] == canonical(verdict)
    digest = record_sha256(proposal)

    assert list(wrong_in(verdict, proposal, digest)) == []
    wrong = replace(
        verdict, record_sha256="other", requested_by=proposal.requested_by, reason="because"
    )
    assert list(wrong_in(wrong, proposal, digest)) == [
        (f"the record {digest}", "other"),
        ("another person than the proposer", "the same"),
        ("a reason exactly if it rejects", "'because'"),
    ]


def test_without_four_eyes_there_is_nothing_to_approve(tmp_path: Path, eyes: Ledger) -> None:
    plain = operations.init_ledger(
        settings_of(tmp_path / "plain"), CharterTerms(decisions={}), TESTER
    )
    recorded = record(plain, PUBLISHED)

    assert [list_proposals(one).four_eyes for one in (plain, eyes)] == [False, True]
    assert list_proposals(plain).waiting == ()
    with nothing_recorded(plain), conflict(NOT_PROPOSED):
        approve(plain, recorded)


def test_what_waits_can_be_neither_superseded_nor_withdrawn(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    corrected = replace(PUBLISHED, notices=[notice("A2", AAPL, 9)])

    with nothing_recorded(eyes):
        with conflict(NOT_APPROVED):
            record(eyes, corrected, supersedes=[A], reason="other notices")
        with conflict(NOT_APPROVED):
            operations.withdraw_run(eyes, A, reason="taken back", by=TESTER)
    approve(eyes, proposed)
    withdrawal = operations.withdraw_run(eyes, A, reason="taken back", by=TESTER)
    assert (withdrawal.state, state_of(eyes, A)) == (PROPOSED, ALLOCATED)
    with conflict(NOT_APPROVED, B):
        operations.difference_since(eyes, DATE, B)
    assert eyes.described(eyes.get(A)).superseded_by is None
    approve(eyes, withdrawal)
    assert (state_of(eyes, B), eyes.described(eyes.get(A)).superseded_by) == (WITHDRAWN, B)
    assert operations.standing_day(eyes, DATE).state == WITHDRAWN
    assert_sound(eyes)


def test_of_two_that_supersede_a_run_the_first_that_is_approved_does(eyes: Ledger) -> None:
    approve(eyes, record(eyes, PUBLISHED))
    withdrawal = operations.withdraw_run(eyes, A, reason="taken back", by=TESTER)
    corrected = replace(PUBLISHED, notices=[notice("A2", AAPL, 9)])
    correction = record(eyes, corrected, supersedes=["latest"], reason="other notices")
    assert record(eyes, corrected, supersedes=["latest"], reason="other notices").record.run == C

    approve(eyes, correction)

    with nothing_recorded(eyes), conflict(RUN_SUPERSEDED, C) as caught:
        approve(eyes, withdrawal)
    assert str(caught.value).endswith("reject it, and propose it again")
    # `latest` means what it meant when the command was first given.
    again = record(eyes, corrected, supersedes=["latest"], reason="other notices")
    assert (again.record.run, again.already_recorded) == (C, True)
    # What changed since a run is seen from when it came to count.
    since = operations.difference_since(eyes, DATE, A)
    assert (since.before_runs, since.after_runs) == ((A,), (C,))
    assert_sound(eyes)


def test_another_seed_that_stands_by_then_ends_a_proposal(eyes: Ledger) -> None:
    first = record(eyes, PUBLISHED)
    other = record(eyes, replace(META_ONLY, asks=OTHER_ASKS))
    approve(eyes, other)

    with nothing_recorded(eyes), conflict(SEED_CONFLICT, B):
        approve(eyes, first)
    reject(eyes, first)
    assert_sound(eyes)


def test_a_pool_that_is_drawn_by_then_ends_a_proposal(eyes: Ledger) -> None:
    first = record(eyes, PUBLISHED)
    late = record(eyes, PUBLISHED.renamed("L"))
    approve(eyes, late)

    with nothing_recorded(eyes), conflict(PROPOSAL_OUTDATED) as caught:
        approve(eyes, first)
    assert "has drawn series AAPL" in str(caught.value)
    assert str(caught.value).endswith("in the meantime; reject it, and propose it again")
    reject(eyes, first)
    # Proposed again it continues the draw of the one that stands.
    again = record(eyes, PUBLISHED)
    assert again.record.rests_on == (B,)
    # By then what it rests on may stand no more.
    approve(eyes, operations.withdraw_run(eyes, B, reason="taken back", by=TESTER))
    with nothing_recorded(eyes), conflict(PROPOSAL_OUTDATED, C):
        approve(eyes, again)
    assert_sound(eyes)


def test_what_would_hold_it_by_then_must_have_been_acknowledged(eyes: Ledger) -> None:
    tomorrow = replace(PUBLISHED, date=NEXT_DATE)
    eyes.ports = replace(eyes.ports, clock=lambda: NOW + 24 * HOUR)
    first = record(eyes, PUBLISHED, acknowledged={})
    second = record(eyes, tomorrow, acknowledged={})
    approve(eyes, first)

    with nothing_recorded(eyes), conflict(PROPOSAL_OUTDATED, "2024-09-17-001"):
        approve(eyes, second)
    reject(eyes, second)
    with nothing_recorded(eyes), pytest.raises(Held) as caught:
        record(eyes, tomorrow, acknowledged={})
    codes = [hold.code for hold in caught.value.holds]
    assert codes == [STALE_VOLUMES, NOTICE_ON_ANOTHER_DATE]
    approve(eyes, record(eyes, tomorrow, acknowledged=dict.fromkeys(codes, "it is right")))
    assert_sound(eyes)


def test_the_database_is_made_again_with_its_verdicts(eyes: Ledger, tmp_path: Path) -> None:
    approve(eyes, record(eyes, PUBLISHED))
    reject(eyes, record(eyes, META_ONLY))
    before = [one.state for one in recorded_runs(eyes)]
    eyes.close()
    (tmp_path / "ledger" / "ledger.db").unlink()

    operations.rebuild_ledger(settings_of(tmp_path / "ledger"))

    again = builders.opened(tmp_path / "ledger")
    assert [one.state for one in recorded_runs(again)] == before
    assert [type(entry).__name__ for entry in again.trail()] == ["Charter", "Verdict", "Verdict"]
    assert_sound(again)


def test_the_charter_says_since_when_runs_need_two_people(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "ledger")
    ledger = operations.init_ledger(settings, CharterTerms(decisions={}), TESTER)
    assert record(ledger, PUBLISHED).state == ALLOCATED
    operations.amend_charter(
        settings,
        holds_from=NEXT_DATE,
        change=lambda terms: replace(terms, four_eyes=True, proposal_hours=168),
        by=TESTER,
    )

    assert record(ledger, META_ONLY).state == ALLOCATED
    proposed = record(ledger, PUBLISHED.later())
    assert proposed.state == PROPOSED
    approve(ledger, proposed)
    assert_sound(ledger)
    for hours in (0, 169):
        with pytest.raises(Refused, match="expected 1 to 168 hours"):
            CharterTerms(decisions={}, proposal_hours=hours).members()


def test_an_entry_of_a_proposal_has_the_members_of_a_run(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED).record
    folder = Path(eyes.ports.objects.place) / proposed.folder

    document = json.loads((folder / f"{A}.json").read_bytes())

    assert (document["type"], document["state"]) == ("proposal", ALLOCATED)
    assert document["expires_at"] > document["recorded_at"]


def test_what_leaves_the_ledger_is_approved_and_its_page_says_by_whom(eyes: Ledger) -> None:
    proposed = record(eyes, PUBLISHED)
    with conflict(NOT_APPROVED):
        operations.export_run(eyes, A, io.BytesIO(), TESTER)
    with conflict(NOT_APPROVED):
        operations.report(eyes, A, operations.PageRequest(), REQUESTER)
    approve(eyes, proposed)

    operations.export_run(eyes, A, io.BytesIO(), TESTER)
    page = operations.report(eyes, A, operations.PageRequest(), REQUESTER).html
    assert "Proposed by tester on backend" in page
    assert "and approved by approver on backend" in page
    masked = operations.report(eyes, A, operations.PageRequest(mask_accounts=True), REQUESTER).html
    assert "Proposed by one person" in masked
    assert "and approved by another person" in masked
    assert "approver" not in masked
