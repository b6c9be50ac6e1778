"""The audit page in a browser: it requests nothing, reads without a script, sorts and searches.

One browser serves all tests; without Chromium they are skipped.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.pages import GROUNDS, NAMES, Opener

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


CUT_OFF = """() => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    return [...document.querySelectorAll("body *")].filter((one) => !one.closest("svg, .skip")
      && (one.getBoundingClientRect().right > innerWidth
        || (one.scrollWidth > one.clientWidth && getComputedStyle(one).display !== "inline")))
      .map((one) => one.outerHTML.slice(0, 200));
}"""
"""Opens everything, and returns what is wider than its box or than the window."""


@pytest.mark.parametrize("name", [*NAMES, "late account", "decided account"])
def test_nothing_is_cut_off_or_has_to_be_scrolled_sideways_on_a_telephone(
    opened: Opener, name: str
) -> None:
    page = opened(name, width=390)
    assert page.evaluate(CUT_OFF) == []


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
    page.locator("#pool-7 summary").click()
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
    assert page.locator("nav:visible, input:visible, button.open-all:visible").count() == 0
    wide = page.evaluate("""[...document.querySelectorAll("table, pre, .ribbon")]
        .filter((one) => one.getBoundingClientRect().right > 719).map((one) => one.className)""")
    assert wide == []


def test_two_hundred_pools_are_printed_on_at_most_twenty_sheets(
    opened: Opener, tmp_path: Path
) -> None:
    page = opened("many")
    page.evaluate("checked")
    assert sheets_of(page, tmp_path / "closed.pdf") <= 20
    page.get_by_role("button", name="Open all accounts").click()
    assert page.locator("details.of-pool:not([open])").count() == 0
    assert sheets_of(page, tmp_path / "open.pdf") > 20


def sheets_of(page: Page, path: Path) -> int:
    """How many sheets a page takes on paper of its own format."""
    page.pdf(path=path, format="A4")
    return len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))


def test_every_sheet_has_the_run_and_its_number(opened: Opener) -> None:
    """Rules for the margins of sheets that Chromium does not know would not be in its style."""
    page = opened("example")
    rule = page.evaluate("document.styleSheets[1].cssRules[0].cssText")
    assert '"Run 2024-09-16-001"' in rule
    assert '"Page " counter(page) " of " counter(pages)' in rule


def test_headings_of_a_table_are_no_buttons_on_paper(opened: Opener) -> None:
    """Chromium leaves out the buttons of a heading that it repeats on the next sheet."""
    page = opened("many")
    assert page.locator("table.pools th button").first.evaluate(DISPLAY) != "contents"
    page.emulate_media(media="print")
    assert page.locator("table.pools th button").first.evaluate(DISPLAY) == "contents"


DISPLAY = "one => getComputedStyle(one).display"


def test_accounts_open_and_close_all_at_once_and_each_by_itself(opened: Opener) -> None:
    page = opened("many")
    closed = page.locator("details.of-pool:not([open])")
    assert closed.count() == page.locator("details.of-pool").count() == 40
    page.locator("#pool-1 summary").click()
    assert column(page, "#pool-1 table", 1)[0] == "1007"
    page.get_by_role("button", name="Open all accounts").click()
    assert closed.count() == 0
    page.get_by_role("button", name="Close all accounts").click()
    assert closed.count() == 40


@pytest.mark.parametrize("name", ["example", "breaks"])
def test_every_text_stands_out_from_its_ground(opened: Opener, name: str) -> None:
    page = opened(name)
    for scheme in GROUNDS:
        page.emulate_media(color_scheme=scheme)
        contrast, text = page.evaluate(WEAKEST)
        assert contrast >= CONTRAST, (scheme, text)
