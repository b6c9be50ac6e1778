"""The pages, on the example dates: what an operator reads in the morning, and where it leads."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from lottery import operations
from lottery.errors import LedgerBusy, RoleMissing
from lottery.operations import Identity
from lottery.operations.runs import record_sha256
from lottery.operations.workings import wording
from lottery.web.app import HEADERS
from lottery.web.console import days, runs
from lottery.web.console.app import console_routes
from lottery.web.console.html import NAVIGATION, ROWS_SHOWN
from tests.builders import (
    AAPL,
    FULL,
    GE,
    PUBLISHED,
    TESTER,
    SmallDay,
    position,
    record_in,
    request_of,
    settings_of,
)
from tests.web import consoles
from tests.web.consoles import DATE, NEXT_DATE, RUN, Console, Shown, asking

BREAK = f"/runs/{RUN}/breaks/GE1240920C00160000?occ_account=C"
POOL = f"/runs/{RUN}/pools/AAPL240920C00220000?occ_account=C"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return consoles.morning(tmp_path_factory.mktemp("morning"))


@pytest.fixture(scope="module")
def console(ledger: Path) -> Console:
    return asking(ledger)


def test_a_date_with_a_break_says_so_in_one_sentence_and_what_to_do(console: Console) -> None:
    page = console.get(f"/days/{DATE}")

    assert page.heading == f"Monday, {DATE}"
    assert "Recorded, with 1 break open: 25 contracts not allocated." in page.text
    assert f"lottery run --date {DATE} --cycle 2 --notices F" in page.text
    assert "Allocated to accounts1,818" in page.text
    assert "EXCEEDS_SHORT more is assigned than the pool is short" in page.text
    assert BREAK in page.links
    assert f"/days/{NEXT_DATE}" in page.links
    assert "Composite 282[4313]10, digits 4313, fraction 0.4314" in page.text


def test_the_first_page_is_the_newest_date_and_says_that_it_stands(console: Console) -> None:
    page = console.get("/")

    assert page.heading == f"Tuesday, {NEXT_DATE}"
    assert "Recorded, and it stands: every assigned contract is allocated." in page.text
    assert f"lottery day {NEXT_DATE} --output DIR" in page.text
    # What the later cycles took over or took back is not added up again.
    assert "Notices4" in page.text
    assert "Contracts assigned by OCC61" in page.text
    assert f"superseded by {NEXT_DATE}-005" in page.text
    assert "Withdrawn: OCC took the notices back" in page.text


def test_a_date_on_which_nothing_was_assigned_or_all_was_taken_back_has_nothing_to_book(
    tmp_path: Path,
) -> None:
    nothing = SmallDay(notices=[], positions=PUBLISHED.positions)
    record_in(tmp_path / "one", request_of(nothing, tmp_path / "in"))
    record_in(tmp_path / "two", request_of(PUBLISHED, tmp_path / "in"))
    taken_back = operations.open_ledger(settings_of(tmp_path / "two"))
    operations.withdraw_run(taken_back, RUN, reason="OCC took them back", by=TESTER)

    for name, said in {
        "one": "Nothing was assigned: there is nothing to book.",
        "two": "Withdrawn: OCC took the notices back: there is nothing to book.",
    }.items():
        page = asking(tmp_path / name).get(f"/days/{DATE}")
        assert said in page.text
    assert "The run has no pool" in asking(tmp_path / "one").get(f"/runs/{RUN}").text


def test_many_runs_are_gone_through_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (runs, days):
        monkeypatch.setattr(module, "ROWS_SHOWN", 3)
    day = SmallDay(notices=[], positions=PUBLISHED.positions)
    for cycle in range(1, 5):
        request = request_of(day, tmp_path / "in", cycle=cycle, request_id=f"cycle-{cycle}")
        record_in(tmp_path / "ledger", request)
    console = asking(tmp_path / "ledger")

    newest, oldest = console.get("/runs"), console.get("/runs?page=2")

    assert f"/runs/{RUN}" not in newest.links
    assert "/runs?page=2" in newest.links
    assert f"/runs/{RUN}" in oldest.links
    assert "/runs?page=1" in oldest.links
    assert "Left out: 1 earlier run." in console.get("/").text


def test_a_date_without_a_run_says_that_nothing_is_recorded(console: Console) -> None:
    page = console.get("/days/2024-09-18")

    assert "Nothing is recorded." in page.text
    assert "lottery run --date 2024-09-18" in page.text
    assert f"/days/{NEXT_DATE}" in page.links


def test_dates_are_gone_through_and_one_is_asked_for(console: Console) -> None:
    assert console.get("/days?date=2024-09-16").headers["location"] == "/days/2024-09-16"
    assert console.get("/days").headers["location"] == "/"
    # After the last date with a run comes the next weekday, on which a run may be missing.
    assert "/days/2024-09-18" in console.get(f"/days/{NEXT_DATE}").links
    assert "/days/2024-09-23" in console.get("/days/2024-09-20").links


def test_a_break_shows_its_accounts_and_what_to_check(console: Console) -> None:
    page = console.get(BREAK)

    assert page.heading == wording.contract(GE)
    assert "EXCEEDS_SHORT: more is assigned than the pool is short." in page.text
    assert "a late trade, give-up or transfer" in page.text
    assert re.search("A000000015 ?C ?7 ?A000000019 ?C ?18", page.text)
    assert "Contracts assigned by OCC25" in page.text
    assert re.search("0815 ?10 ?904 ?3 ?9038415 ?9", page.text)
    assert "No other pool of the run is of this underlying." in page.text
    assert "grep '^GE' positions.csv" in page.text


def test_a_break_that_is_open_no_more_says_so(console: Console, tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(FULL, tmp_path / "in"))
    again = asking(tmp_path / "ledger")
    assert "open no more" not in again.get(BREAK).text
    late = replace(
        FULL,
        notices=[one for one in FULL.notices if one["series"] == GE],
        positions=[*FULL.positions, position(GE, "7", 9, "C")],
    )
    record_in(tmp_path / "ledger", request_of(late, tmp_path / "late", cycle=2))

    assert "It is open no more: a later run of the date" in again.get(BREAK).text
    assert "Recorded, and it stands" in again.get(f"/days/{DATE}").text
    assert "No break is open." in again.get("/breaks").text
    superseded = console.get(f"/runs/{NEXT_DATE}-001").links
    (link,) = [one for one in superseded if "/breaks/" in one]
    assert f"This run is superseded by {NEXT_DATE}-005." in console.get(link).text


def test_open_breaks_of_all_dates_are_listed(console: Console) -> None:
    page = console.get("/breaks")

    assert "1 open break of 2024-09-16." in page.text
    assert BREAK in page.links
    # That of the first run of this date was allocated by a later one.
    assert NEXT_DATE not in page.text
    assert "No break is open." in console.get("/breaks?to=2024-09-15").text


def test_the_runs_are_listed_with_their_states(console: Console) -> None:
    page = console.get("/runs")

    listed = re.findall(r'href="/runs/([0-9-]+)">\1</a></th>', page.html)
    assert listed == [*(f"{NEXT_DATE}-00{number}" for number in (5, 4, 3, 2, 1)), RUN]
    only = console.get(f"/runs?to={DATE}")
    assert re.findall(r'href="/runs/([0-9-]+)">\1</a></th>', only.html) == [RUN]
    assert "No run is recorded between those dates." in console.get("/runs?to=2024-01-01").text


def test_a_run_shows_its_figures_its_pools_and_its_digest(console: Console, ledger: Path) -> None:
    page = console.get(f"/runs/{RUN}")

    record = operations.open_ledger(settings_of(ledger)).get(RUN)
    assert page.heading == f"Run {RUN}"
    assert record_sha256(record) in page.text
    assert "17 pools; at most 100 on a page." in page.text
    assert {BREAK, POOL} <= set(page.links)
    for source in record.sources:
        assert source.sha256 in page.text


@pytest.mark.parametrize("text", ["aapl", "AAPL 240920C", "20C0022"])
def test_the_pools_of_a_run_are_searched_by_a_part_of_the_series(
    console: Console, text: str
) -> None:
    page = console.get(f"/runs/{RUN}?series={text}")

    assert f"1 pool with “{text}” in the series" in page.text
    assert POOL in page.links
    assert BREAK not in page.links


def test_a_pool_is_explained_step_by_step(console: Console) -> None:
    page = console.get(POOL)

    assert page.heading == wording.contract(AAPL)
    for step in (
        "Length 9 digits; 9 - 5 = 4, the cut starts at position 4: 282[4313]10",
        "First hit: 0.4314 x 65 = 28.041, decimals removed: 28",
        "Numbers hit: 28 to 37",
        "1046301 to 3028, 29, 303",
    ):
        assert step in page.text
    # The page of a break is another one.
    assert console.get(POOL.replace("AAPL240920C00220000", "GE1240920C00160000")).status == 303
    assert console.get(BREAK.replace("GE1240920C00160000", "AAPL240920C00220000")).status == 303


def test_an_account_shows_every_pool_that_it_is_in(console: Console) -> None:
    page = console.post(f"/runs/{RUN}/account", account="1046")

    assert page.heading == "Account 1046"
    assert POOL in page.links
    assert "28, 29, 30" in page.text
    assert page.field("account") == "1046"
    assert console.post(f"/runs/{RUN}/account").status == 400
    nobody = console.post(f"/runs/{RUN}/account", account="31337")
    assert (nobody.status, "account '31337' is in no pool" in nobody.text) == (404, True)


def test_an_account_and_a_series_are_searched_over_the_dates(console: Console) -> None:
    of_account = console.post("/search", account="1046")
    of_series = console.get("/search?series=AAPL240920C00220000")

    assert of_account.heading == "History of account 1046"
    assert POOL in of_account.links
    assert f"superseded by {NEXT_DATE}-005" in of_account.text
    assert POOL in of_series.links
    assert "No run between these dates has 31337" in console.post("/search", account="31337").text
    assert console.get("/search?series=AAPL").status == 400
    assert console.post("/search", account="1", series="AAPL240920C00220000").status == 400
    assert console.get("/search").status == 200


def test_the_entries_are_listed_the_newest_first(tmp_path: Path) -> None:
    ledger = consoles.held_morning(tmp_path)
    console = asking(ledger)
    assert console.post("/runs/2024-09-14-001/audit").status == 200

    page = console.get("/entries")

    assert re.findall('data-label="What">(.*?)<', page.html) == ["report", "charter"]
    assert "2024-09-14-001a page about the run" in page.text


def test_an_acknowledged_hold_names_who_and_why_and_what_to_check(tmp_path: Path) -> None:
    console = asking(consoles.held_morning(tmp_path))

    page = console.get("/holds")

    assert "2024-09-14 is not a trading day: it is a Saturday" in page.text
    assert f"{consoles.MARKUP}tester" in page.text
    assert "it has recorded nothing" in page.text
    for code, (holds, check) in wording.HOLD_TEXTS.items():
        assert f"{code}{holds}{check}" in page.text


def test_markup_in_a_reason_is_text_on_every_page(console: Console, tmp_path: Path) -> None:
    held = asking(consoles.held_morning(tmp_path))
    pages = [
        held.get("/holds"),
        held.get("/runs/2024-09-14-001"),
        console.get(f"/runs/{NEXT_DATE}-004"),
    ]

    for page in pages:
        assert consoles.MARKUP in page.text
    crafted = console.post("/search", account="<script>")
    for page in [*pages, crafted, console.get(f"/runs/{RUN}?series=%22%3E%3Cscript")]:
        assert "<script" not in page.html
        assert "&lt;script" in page.html


def test_the_status_says_how_the_ledger_stands(console: Console, ledger: Path) -> None:
    page = console.get("/status")

    assert str(ledger) in page.text
    assert f"{NEXT_DATE}-005: Allocated, 4 notices" in page.text
    assert "The private key of it is where the ledger is." in page.text
    assert "no archive" in page.text


def test_an_empty_ledger_has_pages_too(tmp_path: Path) -> None:
    record_in(tmp_path / "other", request_of(PUBLISHED, tmp_path))
    operations.init_ledger(
        settings_of(tmp_path / "empty"),
        operations.CharterTerms(decisions=operations.JPMS_2024_09_06.decisions()),
        TESTER,
    )
    console = asking(tmp_path / "empty")

    for name, _ in NAVIGATION:
        page = console.get("/" if name == "today" else f"/{name}")
        assert (name, page.status) == (name, 200)
    assert "Nothing is recorded." in console.get("/").text
    assert "Nothing is recorded yet." in console.get("/runs").text
    assert "the charter asks for no four eyes" in console.get("/proposals").text.lower()


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/runs/2024-09-16-009", 404, "run 2024-09-16-009 is not recorded"),
        (f"/runs/{RUN}/pools/KO260918C00067500", 404, f"run {RUN} has no pool of series"),
        (f"/runs/{RUN}/pools/KO", 400, "OSI"),
        (f"/runs/{RUN}/pools/NVDA240920P00130000", 404, "name one of the OCC accounts"),
        ("/days/yesterday", 400, "expected a date, YYYY-MM-DD, got 'yesterday'"),
        ("/days/2024-02-30", 400, "expected a date, YYYY-MM-DD, got '2024-02-30'"),
        ("/runs?from=2024", 400, "expected a date, YYYY-MM-DD, got '2024'"),
    ],
)
def test_what_cannot_be_shown_is_said_with_its_code(
    console: Console, path: str, status: int, message: str
) -> None:
    page = console.get(path)

    assert page.status == status
    assert message in page.text
    assert "/" in page.links


def test_no_address_has_an_accounts_number(console: Console) -> None:
    pages = [
        console.get(f"/runs/{RUN}"),
        console.get("/search"),
        console.post(f"/runs/{RUN}/account", account="1046"),
        console.post("/search", account="1046"),
    ]

    for page in pages:
        assert not any("account=1" in link for link in page.links)
        for form in re.findall(r"<form.*?</form>", page.html, re.DOTALL):
            assert 'name="account"' not in form or 'method="post"' in form
    # One in an address is not looked for.
    assert "History" not in console.get("/search?account=1046").heading


def test_what_nobody_asks_is_not_found_and_a_page_is_no_form(console: Console) -> None:
    assert console.get("/runs/x/y/z").status == 404
    assert console.post("/runs").status == 405
    assert console.get(f"/runs/{RUN}/audit").status == 405


def denying(*commands: str) -> Callable[[Identity, str], None]:
    """Let nobody give these commands."""

    def let_in(_: Identity, command: str) -> None:
        if command in commands:
            raise RoleMissing(f"lottery {command} needs one of these roles: auditor", roles="")

    return let_in


@pytest.mark.parametrize(
    ("path", "commands"),
    [
        ("/", {"runs"}),
        ("/runs", {"runs"}),
        (f"/days/{DATE}", {"runs", "day", "show"}),
        ("/breaks", {"runs", "day", "show"}),
        ("/holds", {"runs"}),
        (f"/runs/{RUN}", {"show"}),
        (POOL, {"explain"}),
        (BREAK, {"explain", "show", "runs", "day"}),
        ("/search?series=AAPL240920C00220000&from=2024-09-16", {"history"}),
        ("/search", {"runs"}),
        ("/entries", {"trail"}),
        ("/proposals", {"proposals"}),
        (f"/proposals/{RUN}", {"show"}),
        ("/status", {"status"}),
    ],
)
def test_a_page_asks_as_the_commands_that_show_the_same(
    ledger: Path, path: str, commands: set[str]
) -> None:
    asked: set[str] = set()

    assert asking(ledger, let_in=lambda _, command: asked.add(command)).get(path).status < 400
    assert asked == commands
    for command in commands:
        page = asking(ledger, let_in=denying(command)).get(path)
        assert page.status == 403
        assert f"lottery {command} needs one of these roles" in page.text


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("explain", f"/runs/{RUN}/account"),
        ("history", "/search"),
        ("report", f"/runs/{RUN}/audit"),
        ("export", f"/runs/{RUN}/bundle"),
        ("approve", f"/proposals/{RUN}/approve"),
        ("reject", f"/proposals/{RUN}/reject"),
    ],
)
def test_an_action_asks_as_its_command(ledger: Path, command: str, path: str) -> None:
    page = asking(ledger, let_in=denying(command)).post(path, looked="yes", account="1046")

    assert page.status == 403
    assert f"lottery {command} needs one of these roles" in page.text


def test_a_ledger_that_is_busy_is_to_be_asked_again(ledger: Path) -> None:
    def busy(*_: object) -> None:
        raise LedgerBusy("another process writes")

    page = asking(ledger, let_in=busy).get("/runs")

    assert (page.status, page.heading) == (503, "Try again later")


def test_every_answer_forbids_scripts_frames_and_keeping(console: Console) -> None:
    paths = ["/", "/console.css", f"/runs/{RUN}", "/runs/2024-09-16-009", "/days?date=2024-09-16"]
    for path in paths:
        answer = console.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")


def test_the_audit_page_comes_in_a_sandbox_of_its_own(console: Console) -> None:
    answer = console.post(f"/runs/{RUN}/audit")

    policy = answer.headers["content-security-policy"]
    assert policy.endswith("; sandbox allow-scripts")
    assert "connect-src" not in policy
    assert f"Run {RUN}: options assignment lottery" in answer.html


def test_the_bundle_is_sent_under_its_name_and_replays(console: Console, tmp_path: Path) -> None:
    answer = console.post(f"/runs/{RUN}/bundle")

    assert answer.headers["content-disposition"] == f'attachment; filename="{RUN}.zip"'
    (tmp_path / "run.zip").write_bytes(answer.content)
    replayed = operations.replay_bundle(tmp_path / "run.zip", (), engine=operations.Engine.COMPILED)
    assert replayed.matched
    assert console.post("/runs/2024-09-16-009/bundle").status == 404


def bounded(page: Shown) -> None:
    """Assert that a page has no more rows than one page may."""
    assert page.status == 200
    assert page.html.count("<tr") <= ROWS_SHOWN + 10
    assert len(page.content) < 150_000


def test_a_large_day_is_shown_page_by_page(tmp_path: Path) -> None:
    console = asking(consoles.crowded(tmp_path, pools=1_000, accounts=100))

    run = console.get(f"/runs/{RUN}")
    bounded(run)
    assert "1 to 100 of 1,000 pools" in run.text
    assert f"/runs/{RUN}?page=2" in run.links
    last = console.get(f"/runs/{RUN}?series=XYZ&page=10")
    assert "901 to 1,000 of 1,000 pools" in last.text
    assert f"/runs/{RUN}?series=XYZ&page=9" in last.links
    assert "No such page of 1,000 pools" in console.get(f"/runs/{RUN}?page=11").text
    assert "1 to 100 of 1,000 pools" in console.get(f"/runs/{RUN}?page=none").text
    account = console.post(f"/runs/{RUN}/account", account="10007")
    assert "Left out: 900 pools." in account.text
    found = console.post("/search", account="10007")
    assert "the first 100 rows" in found.text
    for page in (last, account, found, console.get("/"), console.get("/runs")):
        bounded(page)


def test_a_giant_pool_is_shown_page_by_page(tmp_path: Path) -> None:
    console = asking(consoles.crowded(tmp_path, pools=1, accounts=100_000))

    page = console.get(f"/runs/{RUN}/pools/XYZ240920C00001000?occ_account=")

    bounded(page)
    assert re.search(r"Left out: 99,99[78] accounts of the pool\.", page.text)


def test_a_console_below_a_path_of_another_application_leads_to_its_own_pages(ledger: Path) -> None:
    async def run(_: Request) -> PlainTextResponse:
        return PlainTextResponse("another program's")

    routes = console_routes(consoles.backends(ledger))
    app = Starlette(
        routes=[Route("/runs/{run}", run, name="run"), Mount("/console", routes=routes)]
    )
    page = Console(app=app).get("/console/")

    inside = [link for link in page.links if not link.startswith("#")]
    assert inside
    assert all(link.startswith("/console/") for link in inside)
    assert 'href="/console/console.css"' in page.html
    moved = Console(app=app).get("/console/days?date=2024-09-16")
    assert moved.headers["location"] == "/console/days/2024-09-16"
