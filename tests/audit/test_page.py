"""The audit page's HTML: it asks for nothing, escapes everything, and says it all in words."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit import wording
from lottery.audit.report import html as html_module
from lottery.audit.report.html import aligned_ask
from lottery.audit.report.request import PageRequest
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity
from lottery.method.methodology import ZeroHit
from lottery.method.odds import pool_odds
from tests.audit.pages import PageReader, read_page
from tests.builders import (
    AAPL,
    FULL,
    PUBLISHED,
    REQUESTER,
    SmallDay,
    notice,
    opened,
    record_in,
    request_of,
)

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)> & \"'"

REQUESTS = {
    "the run": PageRequest(),
    "the run, masked": PageRequest(mask_accounts=True),
    "an account": PageRequest(account="1046"),
    "an account of a break": PageRequest(account="904"),
    "an account, masked": PageRequest(account="1046", mask_accounts=True),
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The full day, recorded by someone with a hostile name, and superseded for hostile reasons."""
    folder = tmp_path_factory.mktemp("paged")
    record_in(folder / "ledger", request_of(FULL, folder / "in"))
    again = request_of(
        FULL.renamed("B"), folder / "b", supersedes=["2024-09-16-001"], reason=HOSTILE
    )
    who = Identity(kind="system-user", name=HOSTILE, host=HOSTILE)
    record_in(folder / "ledger", replace(again, requested_by=who))
    return opened(folder / "ledger")


def html_of(ledger: Ledger, request: PageRequest, run: str = "latest") -> str:
    return operations.report(ledger, run, request, REQUESTER).html


@pytest.fixture(params=list(REQUESTS.values()), ids=list(REQUESTS))
def html(request: pytest.FixtureRequest, ledger: Ledger) -> str:
    return html_of(ledger, request.param)


def test_every_reference_is_to_something_on_the_page(html: str) -> None:
    page = read_page(html)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)


def test_headings_go_down_one_level_at_a_time(html: str) -> None:
    headings = read_page(html).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_styled_or_scripted_in_attributes(
    html: str,
) -> None:
    loading = {"src", "srcset", "action", "data", "poster", "background", "xlink:href"}
    for tag, name, value in read_page(html).attributes:
        assert name not in loading
        assert name != "style"
        assert not name.startswith("on")
        if name == "href":
            assert value.startswith("#") or (tag, value) == ("link", "data:,")
    assert "url(" not in html.replace("url(#hatch)", "")
    assert "@import" not in html
    assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", html)


def test_the_policy_allows_the_pages_own_style_and_script_and_no_other(html: str) -> None:
    (policy,) = [
        value
        for tag, name, value in read_page(html).attributes
        if (tag, name) == ("meta", "content") and value.startswith("default-src")
    ]

    def digests(element: str) -> str:
        texts = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in texts]
        return " ".join(f"'sha256-{one.decode()}'" for one in hashes)

    assert policy == (
        f"default-src 'none'; style-src {digests('style')}; script-src {digests('script')}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_what_people_wrote_is_text_and_never_markup(ledger: Ledger) -> None:
    html = html_of(ledger, PageRequest())
    assert HOSTILE not in html
    assert "<script>alert" not in html
    assert "<img" not in html
    text = read_page(html).text
    assert f"Reason given: {HOSTILE}" in text
    assert f"{HOSTILE} on {HOSTILE}" in text


def test_the_same_run_gives_the_same_page(ledger: Ledger) -> None:
    assert html_of(ledger, PageRequest()) == html_of(ledger, PageRequest())


def test_that_a_run_was_superseded_is_reported_before_all_else(ledger: Ledger) -> None:
    old = read_page(html_of(ledger, PageRequest(), "2024-09-16-001")).text
    new = read_page(html_of(ledger, PageRequest())).text
    assert "Superseded. Run 2024-09-16-002 supersedes this run." in old
    assert "Superseded." not in new
    assert "Supersedes 2024-09-16-001." in new
    assert new.index("Supersedes") < new.index("Breaks and warnings") < new.index("The seed")


def published_page(tmp_path: Path, request: PageRequest, day: SmallDay = PUBLISHED) -> PageReader:
    record_in(tmp_path / "ledger", request_of(day, tmp_path / "in"))
    return read_page(html_of(opened(tmp_path / "ledger"), request))


def test_the_published_example_is_on_the_page_step_by_step(tmp_path: Path) -> None:
    text = published_page(tmp_path, PageRequest()).text
    steps = (
        "NYSE Volume Z901803 862.45713 86,245,713",
        "Composite volume 282,431,310",
        "282 [4313] 10 Length 9 digits; 9 − 5 = 4, the cut starts at position 4: 282[4313]10",  # noqa: RUF001 - a minus.
        "4,313 / 10,000 + 0.0001 = 0.4314",
        "Assigned by OCC: 10 contracts in 1 notice. Total short: 65 contracts in 3 accounts.",
        "First hit: 0.4314 × 65 = 28.041, decimals removed: 28",  # noqa: RUF001 - a times sign.
        "Numbers hit: 28 to 37",
        "1046 30 1 to 30 28, 29, 30 3",
        "1047 30 31 to 60 31 to 37 7",
        "1048 5 61 to 65 none 0",
    )
    offsets = [text.index(step) for step in steps]
    assert offsets == sorted(offsets)


def test_an_accounts_page_says_what_hit_it_and_how_likely_that_was(tmp_path: Path) -> None:
    text = published_page(tmp_path, PageRequest(account="1047")).text
    for step in (
        "From 28 on, 10 contracts are assigned in sequence.",
        "This account's numbers are 31 to 60. Assigned: 31 to 37 , 7 contracts of 30.",
        "4,154 of them assign this account 7 contracts or more, as happened here.",
        "Assigned its whole position 0.00 %",
        "In proportion to its short contracts, the account would be assigned 4.6154 contracts.",
    ):
        assert step in text
    assert "1046" not in text
    assert "1048" not in text


def test_late_notices_are_on_the_pages_where_they_continue(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "in"))
    for cycle, quantity in enumerate((5, 51), 2):
        day = replace(PUBLISHED, notices=[notice(f"L{cycle}", AAPL, quantity)])
        request = request_of(day, tmp_path / str(cycle), cycle=cycle)
        record_in(tmp_path / "ledger", request)
    ledger = opened(tmp_path / "ledger")
    late = read_page(html_of(ledger, PageRequest(), "2024-09-16-002")).text
    account = read_page(html_of(ledger, PageRequest(account="1047"), "2024-09-16-002")).text
    broken = read_page(html_of(ledger, PageRequest())).text

    continues = "Earlier cycles assigned 10 contracts from there; these continue from number 38"
    assert "Continues the draws of 2024-09-16-001" in late
    assert late.index("decimals removed: 28") < late.index(continues) < late.index("38 to 42")
    assert account.index(continues) < account.index(
        "From 38 on, 5 contracts are assigned in sequence."
    )
    # They are counted from the number after ten more, and not from the first hit.
    odds = pool_odds(
        [30, 30, 5], assigned_quantity=5, zero_hit=ZeroHit.WRAP, assigned_before=10
    ).accounts[1]
    count = sum(one.fraction_count for one in odds.chances if one.assigned_quantity >= 5)
    assert f"{count:,} of them assign this account 5 contracts or more" in account
    assert f"{AAPL.replace('  ', ' ')} 51 65, 15 assigned before more is assigned" in broken


def test_what_held_a_run_is_on_its_page_with_the_reason(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "a"))
    day = replace(PUBLISHED.later(), asks=PUBLISHED.asks)
    acknowledged = {"STALE_VOLUMES": "asked 1046 the vendor <b>twice</b>"}
    record_in(tmp_path / "ledger", request_of(day, tmp_path / "b", acknowledged=acknowledged))
    ledger = opened(tmp_path / "ledger")

    text = read_page(html_of(ledger, PageRequest())).text
    masked = read_page(html_of(ledger, PageRequest(mask_accounts=True))).text

    assert "Held by STALE_VOLUMES, and acknowledged: the composite 282,431,310 is that of" in text
    assert "Reason given: asked 1046 the vendor <b>twice</b> [H1]" in text
    assert "1046 the vendor" not in masked


def test_the_page_of_a_withdrawal_says_so_and_has_no_section_of_pools(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "a"))
    ledger = opened(tmp_path / "ledger")
    operations.withdraw_run(ledger, "latest", reason="OCC took it back", by=REQUESTER.by)

    html = html_of(ledger, PageRequest())

    text = read_page(html).text
    assert "Withdrawn: OCC took the notices back (WITHDRAWN)" in text
    assert "Supersedes 2024-09-16-001. Reason given: OCC took it back" in text
    assert "None: there were no notices." in text
    assert "All pools" not in text
    assert "Volumes and their sum" in text


def test_both_figures_of_a_break_and_its_reason_come_first(ledger: Ledger) -> None:
    text = read_page(html_of(ledger, PageRequest())).text
    expected = "C GE1 240920C00160000 25 22 more is assigned than the pool is short EXCEEDS_SHORT"
    assert expected in text
    assert text.index(expected) < text.index("Volumes and their sum")


def test_warnings_are_reported_with_their_rule(tmp_path: Path) -> None:
    coarse = replace(PUBLISHED, asks={**PUBLISHED.asks, "Z901439": "0"})
    text = published_page(tmp_path, PageRequest(), coarse).text
    assert "Warning. the ask price of Z901439 is zero: was that exchange closed? [S2]" in text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (lambda: wording.percent(Fraction(0)), "0.00 %"),
        (lambda: wording.percent(Fraction(1)), "100.00 %"),
        (lambda: wording.percent(Fraction(1, 10_000)), "0.01 %"),
        (lambda: wording.percent(Fraction(1, 10_001)), "<0.01 %"),
        (lambda: wording.percent(Fraction(10_000, 10_001)), ">99.99 %"),
        (lambda: wording.percent(Fraction(9_999, 10_000)), "99.99 %"),
        (lambda: wording.percent(Fraction(2, 3)), "66.67 %"),
        (lambda: wording.decimal(Fraction(-1, 8), 2), "-0.12"),
        (lambda: wording.decimal(Fraction(1, 8), 2), "0.13"),
        (lambda: wording.decimal(Fraction(12_345_678, 1_000), 1), "12,345.7"),
        (lambda: aligned_ask("862.4"), "862.4" + "\u2007" * 4),
        (lambda: aligned_ask("862"), "862\u2008" + "\u2007" * 5),
        (lambda: aligned_ask("862.45713"), "862.45713"),
    ],
)
def test_figures_are_rounded_for_people_without_looking_certain(
    shown: Callable[[], str], expected: str
) -> None:
    assert shown() == expected


def test_every_file_of_the_templates_is_with_the_package() -> None:
    folder = Path(html_module.__file__).parent / "templates"
    assert {path.name for path in folder.iterdir()} == {
        "base.html.j2",
        "run.html.j2",
        "account.html.j2",
        "parts.html.j2",
        "page.css",
        "page.js",
        "log.js",
        "rules.js",
        "checks.js",
    }
