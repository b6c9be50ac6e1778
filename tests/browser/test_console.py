"""The console in a browser: by keyboard, on a telephone, by night, on paper, without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from lottery import operations
from tests.browser.pages import GROUNDS
from tests.browser.test_page import CONTRAST, WEAKEST
from tests.builders import opened
from tests.web import consoles
from tests.web.consoles import DATE, RUN

MORNING = {
    "today": "/",
    "a date with a break": f"/days/{DATE}",
    "a date without a run": "/days/2024-09-18",
    "breaks": "/breaks",
    "a break": f"/runs/{RUN}/breaks/GE1240920C00160000?occ_account=C",
    "holds": "/holds",
    "runs": "/runs",
    "a run": f"/runs/{RUN}",
    "a withdrawal": "/runs/2024-09-17-004",
    "a pool": f"/runs/{RUN}/pools/AAPL240920C00220000?occ_account=C",
    "an account": f"/runs/{RUN}",
    "search": "/search",
    "entries": "/entries",
    "no proposals": "/proposals",
    "status": "/status",
    "an error": "/runs/2024-09-16-009",
}
FOUR_EYES = {
    "what waits": f"/days/{DATE}",
    "proposals": "/proposals",
    "a proposal": f"/proposals/{RUN}",
    "a proposed run": f"/runs/{RUN}",
}
EVERY_PAGE = [("morning", name) for name in MORNING] + [("four_eyes", name) for name in FOUR_EYES]

RULES = """() => {
    const wrong = [];
    const expect = (holds, what) => holds || wrong.push(what);
    const all = (selector) => [...document.querySelectorAll(selector)];
    const label = (one) => one.getAttribute("aria-label")
      || document.getElementById(one.getAttribute("aria-labelledby"))?.textContent;
    expect(document.documentElement.lang === "en", "a language");
    expect(document.title.trim().length > 20, "a title");
    expect(all("h1").length === 1, "one first heading");
    for (const mark of ["header.top", "main#main", "footer"])
      expect(all(mark).length === 1, mark);
    const levels = all("h1, h2, h3, h4").map((one) => Number(one.tagName[1]));
    levels.forEach((level, at) => expect(level <= (levels[at - 1] ?? 0) + 1, "heading " + at));
    const first = document.querySelector("a");
    expect(first.className === "skip" && first.getAttribute("href") === "#main", "a way past");
    expect(all("nav").every(label), "names of landmarks");
    expect(new Set(all("nav").map(label)).size === all("nav").length, "distinct names");
    expect(all("section, article, main form[aria-labelledby]").every(label), "names of parts");
    for (const table of all("table")) {
      expect(table.caption?.textContent.trim(), "a caption");
      expect([...table.querySelectorAll("th")].every((one) => one.scope), "scopes");
      const rows = [...table.tBodies[0].rows];
      expect(rows.every((one) => one.querySelector("th[scope=row]")), "names of rows");
      const width = [...table.tHead.rows[0].cells].length;
      expect(rows.every((one) => one.cells.length === width), "cells as headings");
    }
    for (const field of all("input:not([type=hidden])"))
      expect(field.labels.length === 1, "a label of " + field.name);
    const ids = all("[id]").map((one) => one.id);
    expect(new Set(ids).size === ids.length, "distinct ids");
    expect(all("a, button").every((one) => one.textContent.trim().length > 1), "names of links");
    expect(all(".badge, .sentence").every((one) => one.textContent.trim()), "states in words");
    expect(all("script, style, [style], [onclick], iframe, object").length === 0, "no script");
    expect(all("form").every((one) => one.querySelector("button")), "buttons");
    return wrong;
}"""
"""What every page must have for who does not see it; returns what is missing."""

CUT_OFF = """() => [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest(".skip, thead, caption"))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5
      || (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline"
        && one.tagName !== "INPUT"))
    .map((one) => one.outerHTML.slice(0, 200))"""


class Visitor:
    """A browser that was let in to a console."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        parts = urlsplit(url)
        self.home = f"{parts.scheme}://{parts.netloc}"
        self.context: BrowserContext = browser.new_context(**context)
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(url)

    def go(self, path: str) -> Page:
        """Open a page of the console, on a large screen by day."""
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(media="screen", color_scheme="light")
        self.page.goto(self.home + path)
        return self.page


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve the example dates, and another ledger with proposals."""
    folder = tmp_path_factory.mktemp("consoles")
    ledgers = {}
    for name, make in {"morning": consoles.morning, "four_eyes": consoles.four_eyes}.items():
        (folder / name).mkdir()
        ledgers[name] = make(folder / name)
    with (
        consoles.served(ledgers["morning"]) as morning,
        consoles.served(ledgers["four_eyes"]) as four_eyes,
    ):
        yield {"morning": morning, "four_eyes": four_eyes}


@pytest.fixture(scope="module")
def visitors(browser: Browser, addresses: dict[str, str]) -> Iterator[dict[str, Visitor]]:
    """Open both, without JavaScript for what is on a page; what is asked of it runs."""
    made = {name: Visitor(browser, url) for name, url in addresses.items()}
    yield made
    for visitor in made.values():
        visitor.context.close()
        elsewhere = [url for url in visitor.requests if not url.startswith(visitor.home)]
        assert [url for url in elsewhere if url != "data:,"] == []
        # The page of an error is reported by its code alone.
        assert [text for text in visitor.messages if "404" not in text] == []


@pytest.fixture
def shown(visitors: dict[str, Visitor], request: pytest.FixtureRequest) -> Page:
    ledger, name = request.param
    page = visitors[ledger].go((MORNING if ledger == "morning" else FOUR_EYES)[name])
    if name in {"an account", "search"}:
        page.get_by_label("Account", exact=True).fill("1046")
        page.keyboard.press("Enter")
        page.get_by_role("cell", name="28, 29, 30").or_(page.get_by_text("stands").first).wait_for()
        page.wait_for_load_state()  # A page has its text before it has its stylesheet.
    return page


@pytest.mark.parametrize("shown", EVERY_PAGE, indirect=True, ids=str)
def test_every_page_is_made_for_who_does_not_see_it(shown: Page) -> None:
    assert shown.evaluate(RULES) == []


@pytest.mark.parametrize("shown", EVERY_PAGE, indirect=True, ids=str)
def test_every_text_is_read_on_its_ground_by_day_and_by_night(shown: Page) -> None:
    for scheme, ground in GROUNDS.items():
        shown.emulate_media(color_scheme=scheme)
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        contrast, text = shown.evaluate(WEAKEST)
        assert contrast >= CONTRAST, text


@pytest.mark.parametrize("shown", EVERY_PAGE, indirect=True, ids=str)
def test_nothing_is_cut_off_or_scrolled_sideways_on_any_width(shown: Page) -> None:
    for width in (1280, 768, 390, 320):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("shown", EVERY_PAGE, indirect=True, ids=str)
def test_paper_has_what_the_screen_has_and_nothing_to_press(shown: Page) -> None:
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS["light"]
    assert shown.locator("nav:visible, button:visible").count() == 0
    assert shown.locator("h1:visible").count() == 1
    contrast, text = shown.evaluate(WEAKEST)
    assert contrast >= CONTRAST, text


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def test_the_keyboard_goes_past_the_navigation_and_into_a_break(
    visitors: dict[str, Visitor],
) -> None:
    page = visitors["morning"].go(f"/days/{DATE}")

    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused(page).startswith("GE1"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/breaks/GE1240920C00160000?occ_account=C")


def test_one_browser_is_let_in_and_no_other(browser: Browser, addresses: dict[str, str]) -> None:
    # The module's own browser has been there before.
    visitor = Visitor(browser, addresses["morning"])

    assert "this address was used already" in visitor.page.inner_text("body")
    assert "open the address" in visitor.go("/").inner_text("body")
    visitor.context.close()


def test_the_audit_page_opens_and_checks_itself_in_its_sandbox(
    visitors: dict[str, Visitor],
) -> None:
    page = visitors["morning"].go(f"/runs/{RUN}")

    page.get_by_role("button", name="Open the audit page").click()
    page.wait_for_selector("#verdict output")
    page.evaluate("checked")

    assert page.locator("#verdict output").inner_text().startswith("All ")
    assert page.evaluate("origin") == "null"


def test_the_bundle_is_downloaded(visitors: dict[str, Visitor], tmp_path: Path) -> None:
    page = visitors["morning"].go(f"/runs/{RUN}")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the bundle").click()

    assert download.value.suggested_filename == f"{RUN}.zip"
    download.value.save_as(tmp_path / "run.zip")
    assert (tmp_path / "run.zip").read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no scripts"])
def test_another_person_approves_and_rejects_by_keyboard(
    browser: Browser, tmp_path: Path, *, javascript: bool
) -> None:
    ledger = consoles.four_eyes(tmp_path)
    with consoles.served(ledger) as url:
        visitor = Visitor(browser, url, java_script_enabled=javascript)
        page = visitor.go("/proposals")
        page.get_by_role("link", name=f"Look at {RUN} and decide").press("Enter")
        approve = page.get_by_role("button", name=f"Approve {RUN}")
        # Without the confirmation the browser does not send it.
        approve.press("Enter")
        assert page.url.endswith(f"/proposals/{RUN}")
        page.get_by_label("I have looked at this record").press("Space")
        approve.press("Enter")
        page.wait_for_url(f"**/runs/{RUN}")
        assert "Approved" in page.inner_text("main")

        page = visitor.go("/proposals/2024-09-17-001")
        page.get_by_label("Why it is not to stand").fill("yesterday's file")
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/2024-09-17-001")
        assert "yesterday's file" in page.inner_text("main")
        visitor.context.close()

    states = [run.state for run in operations.recorded_runs(opened(ledger))]
    assert states == ["ALLOCATED_WITH_BREAKS", "REJECTED"]
