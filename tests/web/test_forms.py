"""Four eyes by forms, and what stops a form that no page of the console has sent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.operations.requester import system_identity
from tests.builders import FULL, META, notice, opened, record_in, request_of
from tests.web import consoles
from tests.web.consoles import DATE, HOME, NEXT_DATE, RUN, Console, asking

OWN = {"origin": HOME}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return asking(consoles.four_eyes(tmp_path))


def state_of(tmp_path: Path, run: str = RUN) -> str:
    ledger = opened(tmp_path / "ledger")
    return ledger.described(ledger.get(run)).state


def test_what_waits_is_listed_with_the_digest_of_its_record(console: Console) -> None:
    page = console.get("/proposals")
    today = console.get(f"/days/{DATE}")

    assert "It would be allocated, with breaks: 6 notices for 4 pools, 74 contracts" in page.text
    assert "Proposed by tester on backend" in page.text
    assert {f"/proposals/{RUN}", f"/proposals/{NEXT_DATE}-001"} <= set(page.links)
    assert console.get(f"/proposals/{RUN}").field("record_sha256") in page.text
    assert "1 proposal waits for approval; nothing stands yet." in today.text
    assert f"/proposals/{RUN}" in today.links
    broken = console.get(f"/runs/{RUN}/breaks/GE1240920C00160000?occ_account=C")
    assert "This run is a proposal that counts for nobody: proposed: waits" in broken.text


def test_another_person_approves_what_was_looked_at(console: Console, tmp_path: Path) -> None:
    digest = console.get(f"/proposals/{RUN}").field("record_sha256")

    unsure = console.post(f"/proposals/{RUN}/approve", record_sha256=digest)
    assert (unsure.status, state_of(tmp_path)) == (400, "PROPOSED")
    other = console.post(f"/proposals/{RUN}/approve", record_sha256="00" * 32, looked="yes")
    assert (other.status, state_of(tmp_path)) == (409, "PROPOSED")
    assert "RECORD_DIFFERS" in other.text
    done = console.post(f"/proposals/{RUN}/approve", record_sha256=digest, looked="yes")
    assert (done.status, done.headers["location"]) == (303, f"/runs/{RUN}")

    assert state_of(tmp_path) == "ALLOCATED_WITH_BREAKS"
    page = console.get(f"/runs/{RUN}")
    assert f"by {system_identity().name} on" in page.text
    assert "Approved" in page.text
    # What is decided is decided about no more.
    assert console.get(f"/proposals/{RUN}").headers["location"] == f"/runs/{RUN}"
    assert f"/proposals/{RUN}" not in console.get("/proposals").links


def test_a_proposal_is_rejected_with_a_reason(console: Console, tmp_path: Path) -> None:
    digest = console.get(f"/proposals/{RUN}").field("record_sha256")

    silent = console.post(f"/proposals/{RUN}/reject", record_sha256=digest, reason=" ")
    assert (silent.status, state_of(tmp_path)) == (400, "PROPOSED")
    done = console.post(f"/proposals/{RUN}/reject", record_sha256=digest, reason=consoles.MARKUP)
    assert done.status == 303

    assert state_of(tmp_path) == "REJECTED"
    page = console.get(f"/runs/{RUN}")
    assert consoles.MARKUP in page.text
    assert "<script" not in page.html
    assert "Nothing stands" in console.get(f"/days/{DATE}").text
    assert "Propose it again" in console.get(f"/days/{DATE}").text


def test_the_proposer_does_not_approve(tmp_path: Path) -> None:
    ledger = consoles.four_eyes(tmp_path)
    own = FULL.later(2)
    request = request_of(own, tmp_path / "own")
    record_in(ledger, replace(request, requested_by=system_identity()))
    console = asking(ledger)
    run = f"{own.date}-001"

    digest = console.get(f"/proposals/{run}").field("record_sha256")
    page = console.post(f"/proposals/{run}/approve", record_sha256=digest, looked="yes")

    assert (page.status, page.heading) == (409, "In conflict with the record")
    assert "SAME_PERSON" in page.text
    assert state_of(tmp_path, run) == "PROPOSED"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.test"},
        {"origin": "http://console.test:8080"},
        {"origin": "null"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"origin": HOME, "sec-fetch-site": "cross-site"},
        {"origin": "http://evil.test", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_form_of_another_page_does_nothing(
    console: Console, tmp_path: Path, headers: dict[str, str]
) -> None:
    digest = console.get(f"/proposals/{RUN}").field("record_sha256")

    for action in ("approve", "reject"):
        page = console.post(
            f"/proposals/{RUN}/{action}",
            headers,
            record_sha256=digest,
            looked="yes",
            reason="no",
        )
        assert page.status == 403
        assert re.search(
            "a page that is not the console's|expected a request of this site's own", page.text
        )
    assert console.post(f"/runs/{RUN}/bundle", headers).status == 403
    assert state_of(tmp_path) == "PROPOSED"


def test_what_is_no_form_is_refused(console: Console, tmp_path: Path) -> None:
    path = f"/proposals/{RUN}/approve"
    form = "application/x-www-form-urlencoded"

    for content, kind in (
        (b"looked=yes", "application/json"),
        (b"x=" + b"0" * 20_000, form),
        (b"&".join(b"a=%d" % number for number in range(30)), form),
        (b"looked=\xff", form),
    ):
        page = console.ask("POST", path, headers={**OWN, "content-type": kind}, content=content)
        assert (page.status, "expected" in page.text) == (400, True)
    assert state_of(tmp_path) == "PROPOSED"


def test_a_proposal_that_may_end_a_break_is_looked_at_first(
    console: Console, tmp_path: Path
) -> None:
    digest = console.get(f"/proposals/{RUN}").field("record_sha256")
    assert (
        console.post(f"/proposals/{RUN}/approve", record_sha256=digest, looked="yes").status == 303
    )
    late = replace(FULL, notices=[notice("L1", META, 1, "C")])
    record_in(tmp_path / "ledger", request_of(late, tmp_path / "late", cycle=2))

    page = console.get(f"/days/{DATE}")

    assert (
        "Recorded, with 1 break open: 25 contracts not allocated; 1 proposal waits for approval."
    ) in page.text
    assert "Another person looks at what waits first" in page.text
