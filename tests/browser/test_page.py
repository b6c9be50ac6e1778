"""The audit page in a browser: it requests nothing, reads without a script, sorts and searches.

One browser serves all tests; without Chromium they are skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lottery import operations
from lottery.audit.report.request import PageRequest
from tests.builders import (
    AAPL,
    ASKS,
    REQUESTER,
    SmallDay,
    notice,
    position,
    record_in,
    request_of,
    request_of_files,
)
from tests.builders import opened as open_in

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EXAMPLE = Path(__file__).parents[2] / "examples" / "2024-09-16"
CONTRAST = 4.5
"""Of small text on its ground at least (WCAG 2.2, 1.4.3, level AA)."""

WEAKEST = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (rgb) => {
      const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045
        ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (one) => {
      for (; one; one = one.parentElement) {
        const [r, g, b, a = 1] = parse(getComputedStyle(one).backgroundColor);
        if (a > 0) return [r, g, b];
      }
    };
    const fills = [".circle", ".even", ".odd"].map((name) => document.querySelector(name))
      .filter(Boolean).map((one) => parse(getComputedStyle(one).fill).slice(0, 3));
    let weakest = [99, ""];
    const judge = (ink, backdrop, what) => {
      const [a, b] = [light(ink), light(backdrop)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < weakest[0]) weakest = [contrast, what];
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const one = texts.currentNode.parentElement;
      if (!texts.currentNode.textContent.trim() || one.closest("script, svg")) continue;
      judge(parse(getComputedStyle(one).color).slice(0, 3), ground(one), one.outerHTML);
    }
    for (const one of document.querySelectorAll(".ribbon text, .ribbon .label span")) {
      const style = getComputedStyle(one);
      const ink = parse(one.tagName === "text" ? style.fill : style.color).slice(0, 3);
      const inBlock = one.classList.contains("account");
      for (const backdrop of inBlock ? fills : [ground(one)]) judge(ink, backdrop, one.outerHTML);
    }
    return weakest;
}"""
"""The weakest contrast of a text on its ground, and which text that is."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of the example day, of one account in it, masked, of breaks alone, of a giant pool."""
    folder = tmp_path_factory.mktemp("pages")
    paths = {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    record_in(folder / "example", request_of_files(paths))
    worst = SmallDay(
        notices=[notice(f"A{strike}", f"X     240920C{strike:08d}", 9) for strike in range(1, 31)],
        positions=[position(AAPL, "1046", 1)],
        asks={**ASKS, "Z901439": "0"},
    )
    giant = SmallDay(
        notices=[notice("A1", AAPL, 700)],
        positions=[position(AAPL, str(10**9 + one), 1 + one % 3) for one in range(20_000)],
    )
    days = {"breaks": worst, "giant": giant}
    for name, day in days.items():
        record_in(folder / name, request_of(day, folder / f"{name}-in"))
    requests = {
        "example": ("example", PageRequest()),
        "account": ("example", PageRequest(account="1046")),
        "masked": ("example", PageRequest(mask_accounts=True)),
        "breaks": ("breaks", PageRequest()),
        "giant": ("giant", PageRequest()),
    }
    written = {}
    for name, (ledger, request) in requests.items():
        written[name] = folder / f"{name}.html"
        page = operations.report(open_in(folder / ledger), "latest", request, REQUESTER)
        written[name].write_text(page.html, "utf-8")
    return written


Scheme = Literal["light", "dark"]
GROUNDS: dict[Scheme, str] = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 28)"}
NAMES = ("example", "account", "masked", "breaks", "giant")


class Opener:
    """Opens a page and collects its requests and its console messages."""

    def __init__(self, browser: Browser, pages: dict[str, Path]) -> None:
        self._browser = browser
        self._pages = pages
        self.address = ""
        self.requests: list[str] = []
        self.messages: list[str] = []

    def __call__(self, name: str, *, width: int = 1280, **context: Any) -> Page:
        made = self._browser.new_context(viewport={"width": width, "height": 900}, **context)
        made.set_default_timeout(10_000)
        page = made.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.address = self._pages[name].as_uri()
        page.goto(self.address)
        return page

    def close(self) -> None:
        for made in self._browser.contexts:
            made.close()


@pytest.fixture
def opened(browser: Browser, pages: dict[str, Path]) -> Iterator[Opener]:
    """Opens a page; at the end it has requested only itself and the console is silent."""
    opener = Opener(browser, pages)
    yield opener
    opener.close()
    assert [url for url in opener.requests if url not in {opener.address, "data:,"}] == []
    assert opener.messages == []


def column(page: Page, table: str, number: int) -> list[str]:
    """The cells of a column that are shown."""
    cells = page.locator(f"{table} tbody tr:visible > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.parametrize("name", NAMES)
def test_no_request_leaves_the_page_and_nothing_is_reported_on_the_console(
    opened: Opener, name: str, tmp_path: Path
) -> None:
    page = opened(name)
    for scheme, ground in GROUNDS.items():
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=tmp_path / f"{name}-{scheme}.png")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_a_script_that_is_not_the_pages_own_does_not_run(opened: Opener) -> None:
    page = opened("example")
    page.evaluate("""
        window.ran = false;
        window.refused = [];
        document.addEventListener("securitypolicyviolation", (event) => {
          window.refused.push(event.effectiveDirective);
        });
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    """)
    page.wait_for_function("window.refused.length > 0")
    (message,) = opened.messages
    assert "violates the following Content Security Policy directive" in message
    opened.messages.clear()
    assert page.evaluate("window.refused") == ["script-src-elem"]
    assert page.evaluate("window.ran") is False


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_the_window(opened: Opener, name: str) -> None:
    page = opened(name)
    for width in (1280, 768, 375, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


LABELS = """(pool) => [...pool.querySelectorAll(".ribbon text, .ribbon .label span")]
    .map((one) => [one, one.getBoundingClientRect(), one.closest(".label")])
    .filter(([one, box, room]) => !room || box.top < room.getBoundingClientRect().bottom)
    .map(([one, box]) => [one.textContent, box.left, box.right, box.top, box.bottom])"""
"""The texts of a ribbon that are seen: one that has no room is pushed out of its box and hidden."""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_published_example_is_seen_on_the_ribbon_and_in_the_table(
    opened: Opener, tmp_path: Path, width: int
) -> None:
    page = opened("example", width=width)
    pool = page.locator("#pool-1")
    pool.screenshot(path=tmp_path / "published.png")
    seen = [text for text, *_ in pool.evaluate(LABELS)]
    # On a telephone the five contracts of account 1048 have no room for its name.
    names = ["1046", "1047", "1048"] if width == 1280 else ["1046", "1047"]
    assert seen == ["first hit 28", *names, "28, 29, 30", "31 to 37", "1", "65"]
    assert column(page, "#pool-1 table", 4) == ["28, 29, 30", "31 to 37", "none"]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["example", "account", "giant"])
def test_labels_of_a_ribbon_that_are_seen_do_not_run_into_each_other(
    opened: Opener, name: str, width: int
) -> None:
    page = opened(name, width=width)
    for pool in page.locator("article.pool:has(.ribbon)").all():
        labels = pool.evaluate(LABELS)
        for index, (text, left, right, top, bottom) in enumerate(labels):
            assert left >= 0, text
            assert right <= width, text
            for other, other_left, other_right, other_top, other_bottom in labels[index + 1 :]:
                apart_across = right <= other_left or other_right <= left
                # Boxes are taller than letters: two thirds of a line keep rows apart.
                apart_down = abs(top + bottom - other_top - other_bottom) / 2 >= 11
                assert apart_across or apart_down, (text, other)


def test_a_table_is_sorted_by_the_heading_that_is_pressed(opened: Opener) -> None:
    page = opened("example")
    unsorted = column(page, "table.pools", 4)
    heading = page.locator("table.pools").get_by_role("columnheader", name="Assigned")
    for direction in ("ascending", "descending"):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == direction
        wanted = sorted(map(int, unsorted), reverse=direction == "descending")
        assert list(map(int, column(page, "table.pools", 4))) == wanted
    other = page.locator("table.pools").get_by_role("columnheader", name="Series")
    other.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(page, "table.pools", 2) == sorted(column(page, "table.pools", 2))


def test_account_numbers_are_sorted_as_numbers(opened: Opener) -> None:
    page = opened("example")
    table = page.locator("#pool-7 table")
    in_order = column(page, "#pool-7 table", 1)
    button = table.get_by_role("columnheader", name="Account").get_by_role("button")
    button.click()
    assert column(page, "#pool-7 table", 1) == sorted(in_order, key=lambda one: (int(one), one))
    button.click()
    assert column(page, "#pool-7 table", 1) == in_order[::-1]


@pytest.mark.parametrize("wanted", ["NVDA  240920P00130000", "nvda240920p", "NVDA"])
def test_a_pool_is_found_by_its_series_padded_or_compact(opened: Opener, wanted: str) -> None:
    page = opened("example")
    page.get_by_label("Search pools", exact=True).fill(wanted)
    assert {series[:4] for series in column(page, "table.pools", 2)} == {"NVDA"}
    assert page.locator("table.pools tbody tr:visible").count() == 3
    assert page.get_by_text("3 of 17 shown").is_visible()
    page.get_by_label("Search pools", exact=True).fill("nothing like it")
    assert page.locator("table.pools tbody tr:visible").count() == 0
    page.get_by_label("Search pools", exact=True).fill("")
    assert page.locator("table.pools tbody tr:visible").count() == 17


def test_all_of_it_can_be_reached_by_the_keyboard(opened: Opener) -> None:
    page = opened("example")
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    box = skip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        focused = page.evaluate("""(() => {
            const one = document.activeElement;
            const style = getComputedStyle(one);
            return [one.tagName, one.textContent.slice(0, 20), style.outlineStyle];
        })()""")
        if focused[0] == "BODY":
            break
        assert focused[2] != "none"
        reached.add(focused[0])
        if focused[:2] == ["BUTTON", "Account"]:
            page.keyboard.press("Space")
    assert {"BUTTON", "INPUT", "A", "PRE"} <= reached
    assert page.locator("th[aria-sort]").count() > 0


def test_without_a_script_everything_can_be_read(opened: Opener) -> None:
    page = opened("example", java_script_enabled=False)
    assert page.locator("table.pools tbody tr").count() == 17
    assert page.locator("button, input").count() == 0
    assert page.locator("#pool-1 .ribbon").is_visible()


@pytest.mark.parametrize("name", ["example", "account"])
def test_a_screen_reader_finds_landmarks_headings_captions_and_what_the_ribbons_say(
    opened: Opener, name: str
) -> None:
    page = opened(name)
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("banner").count() == 1
    assert page.get_by_role("contentinfo").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("thead th:not([scope])").count() == 0
    ribbons = page.get_by_role("img")
    assert ribbons.count() > 0
    for ribbon in ribbons.all():
        assert "The first hit is" in (ribbon.locator("desc").text_content() or "")
    snapshot = page.locator("body").aria_snapshot()
    assert '- heading "The seed" [level=2]' in snapshot
    named = {"example": "The numbers of AAPL", "account": "The account among the numbers of AAPL"}
    assert f'img "{named[name]} call at 220, expiring 20 September 2024"' in snapshot
    assert 'columnheader "Account"' in snapshot or 'columnheader "Series"' in snapshot


def test_on_paper_it_is_black_on_white_without_controls(opened: Opener, tmp_path: Path) -> None:
    page = opened("example", width=718, color_scheme="dark")
    page.emulate_media(media="print")
    page.screenshot(path=tmp_path / "print.png", full_page=True)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav:visible, input:visible").count() == 0
    wide = page.evaluate("""[...document.querySelectorAll("table, pre, .ribbon")]
        .filter((one) => one.getBoundingClientRect().right > 719).map((one) => one.className)""")
    assert wide == []


@pytest.mark.parametrize("name", ["example", "breaks"])
def test_every_text_stands_out_from_its_ground(opened: Opener, name: str) -> None:
    page = opened(name)
    for scheme in GROUNDS:
        page.emulate_media(color_scheme=scheme)
        contrast, text = page.evaluate(WEAKEST)
        assert contrast >= CONTRAST, (scheme, text)
