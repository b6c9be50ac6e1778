"""Verify under four eyes: what is wrong with a proposal or a verdict is found in the entries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Entry, canonical, digest_of
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.ledger.run_record import RunRecord
from tests.audit.test_verify import appended, changed
from tests.builders import (
    META,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    copied,
    faults_of,
    notice,
    opened,
    settings_of,
)
from tests.ledger.contract.places import APPROVER, FOUR_EYES, A, B, C, approve, record, reject
from tests.ledger.ledgers import META_ONLY

LATER = "2024-09-17T09:00:00.000000Z"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a ledger with a run that is approved, one that is rejected, and one that waits."""
    settings = settings_of(tmp_path_factory.mktemp("eyes") / "ledger")
    ledger = operations.init_ledger(settings, replace(FOUR_EYES, proposal_hours=2), TESTER)
    at = dt.datetime(2024, 9, 17, 4, 0, tzinfo=dt.UTC)
    ledger.ports = replace(ledger.ports, clock=lambda: at)
    approve(ledger, record(ledger, PUBLISHED))
    reject(ledger, record(ledger, META_ONLY))
    record(ledger, replace(META_ONLY, notices=[notice("B2", META, 4)]))
    return Path(settings.ledger)


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "ledger")


def problems_of(ledger: Path) -> list[str]:
    return [fault.problem for fault in faults_of(ledger)]


def last_digest(ledger: Path) -> str:
    digest = opened(ledger).runs_of(PUBLISHED.date).last_digest
    assert digest is not None
    return digest


def verdict_on(ledger: Path, run: str, **given: Any) -> Verdict:
    """Return an approval of a proposal, with whatever is wrong with it."""
    sound = Verdict(
        type="approval",
        run=run,
        record_sha256=digest_of(canonical(opened(ledger).get(run))),
        reason=None,
        previous=last_digest(ledger),
        requested_by=APPROVER,
        recorded_at="2024-09-17T05:00:00.000000Z",
        software=opened(ledger).get(run).software,
    )
    return replace(sound, **given)


def test_proposals_and_verdicts_are_sound(ledger: Path) -> None:
    assert problems_of(ledger) == []
    appended(ledger, verdict_on(ledger, C))
    assert problems_of(ledger) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"requested_by": replace(TESTER, host="elsewhere")}, "another person than the proposer"),
        ({"record_sha256": "00" * 32}, "expected the record"),
        ({"previous": "00" * 32}, "expected that it follows"),
        ({"recorded_at": LATER}, "expected it before 2024-09-17T06:00:00.000000Z"),
        ({"reason": "because"}, "expected a reason exactly if it rejects"),
        ({"type": "rejection"}, "expected a reason exactly if it rejects"),
    ],
)
def test_a_verdict_that_breaks_a_rule_is_found_however_well_it_is_signed(
    ledger: Path, given: dict[str, Any], problem: str
) -> None:
    appended(ledger, verdict_on(ledger, C, **given))

    assert problem in "\n".join(problems_of(ledger))


def test_a_second_verdict_and_one_on_no_proposal_are_found(ledger: Path) -> None:
    # The table refuses a second row: it goes before.
    changed(ledger, "DELETE FROM verdicts WHERE run = ?", [A])
    second = verdict_on_last(ledger, A)
    nothing = replace(second, run="2024-09-16-009", previous=digest_of(canonical(second)))
    elsewhere = replace(nothing, run="2024-09-20-001")
    appended(ledger, second, nothing, elsewhere)

    found = "\n".join(problems_of(ledger))
    assert "expected one verdict on a proposal, got another" in found
    assert "expected the verdict on a proposal before it, got none" in found
    assert "expected the verdict on a proposal, got that on '2024-09-20-001'" in found


def verdict_on_last(ledger: Path, run: str) -> Verdict:
    """Return an approval after the last entry of the date, which no row of a verdict leads to."""
    there = opened(ledger)
    with there.reading() as connection:
        rows = connection.exec_driver_sql("SELECT entry FROM entries ORDER BY log_index").all()
    return Verdict(
        type="approval",
        run=run,
        record_sha256=digest_of(canonical(there.get(run))),
        reason=None,
        previous=digest_of(bytes(rows[-1][0])),
        requested_by=APPROVER,
        recorded_at="2024-09-17T05:00:00.000000Z",
        software=there.get(run).software,
    )


def other(record: RunRecord, **given: Any) -> RunRecord:
    """Return a proposal's record as another proposal after it."""
    return replace(
        record,
        **{"run": "2024-09-16-004", "request_id": "x", "content_sha256": "11" * 32, **given},
    )


def as_run(proposal: RunRecord) -> RunRecord:
    """Return a proposal as a run that nobody had to approve."""
    names = [name for name in RunRecord.__slots__ if name != "type"]
    return RunRecord(**{name: getattr(proposal, name) for name in names})


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (as_run, "expected a proposal, since its charter has four eyes"),
        (lambda one: replace(one, expires_at=LATER), "expected that it expires at 2024-09-17T06"),
        (lambda one: replace(one, recorded_at="late"), "expires at 2 hours after a time"),
        (lambda one: one, "NOTICE_ALREADY_ALLOCATED: proposal 2024-09-16-003 holds notice B2"),
        (
            lambda one: replace(
                one, content_sha256=one.content_sha256[::-1], supersedes=(C,), reason="r"
            ),
            "is a proposal that is not approved",
        ),
    ],
)
def test_a_proposal_that_breaks_a_rule_is_found(
    ledger: Path, make: Callable[[RunRecord], RunRecord], problem: str
) -> None:
    waiting = opened(ledger).get(C)
    assert isinstance(waiting, Proposal)

    appended(ledger, make(other(waiting, previous=last_digest(ledger))))

    assert problem in "\n".join(problems_of(ledger))


def test_the_content_of_a_proposal_that_waits_is_not_proposed_again(ledger: Path) -> None:
    waiting = opened(ledger).get(C)
    same = waiting.content_sha256
    appended(ledger, other(waiting, previous=last_digest(ledger), content_sha256=same))

    assert any("expected other content" in problem for problem in problems_of(ledger))


def test_a_proposal_where_the_charter_has_no_four_eyes_is_found(
    ledger: Path, tmp_path: Path
) -> None:
    proposal = opened(ledger).get(A)
    plain = operations.init_ledger(
        settings_of(tmp_path / "plain"), replace(FOUR_EYES, four_eyes=False), TESTER
    )
    recorded = record(plain, PUBLISHED).record
    place = Path(plain.ports.objects.place)
    copy = replace(
        proposal,
        **{
            name: getattr(recorded, name)
            for name in ("charter", "recorded_at", "evidence", "sources")
        },
        run=B,
        request_id="x",
        previous=digest_of(canonical(recorded)),
    )
    appended(place, copy)

    assert any("has no four eyes, got a proposal" in problem for problem in problems_of(place))


def approved_in_spite(ledger: Ledger, run: str) -> Entry:
    return verdict_on(Path(ledger.ports.objects.place), run, recorded_at=ledger.now())


@pytest.mark.parametrize(
    ("rival", "problem"),
    [
        (replace(META_ONLY, asks=OTHER_ASKS), "SEED_CONFLICT"),
        (PUBLISHED.renamed("R"), "has drawn series AAPL"),
    ],
)
def test_an_approval_against_what_stands_by_then_is_found(
    tmp_path: Path, rival: Any, problem: str
) -> None:
    settings = settings_of(tmp_path / "ledger")
    ledger = operations.init_ledger(settings, FOUR_EYES, TESTER)
    record(ledger, PUBLISHED)
    approve(ledger, record(ledger, rival))
    assert problems_of(tmp_path / "ledger") == []

    appended(tmp_path / "ledger", approved_in_spite(ledger, A))

    assert any(problem in one or "continues" in one for one in problems_of(tmp_path / "ledger"))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM verdicts", "the row is missing"),
        ("UPDATE verdicts SET business_date = '2024-09-17'", "business_date: expected"),
        (
            "INSERT INTO verdicts VALUES ('2024-09-16-003', 99, '2024-09-16')",
            "expected no such row",
        ),
    ],
)
def test_a_row_of_a_verdict_that_no_entry_gives_is_found(
    ledger: Path, statement: str, problem: str
) -> None:
    changed(ledger, statement)

    assert any(problem in one for one in problems_of(ledger))
