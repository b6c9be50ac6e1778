"""What the browser tests share: one Chromium, the pages, and what opens them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.pages import CHROMIUM, Opener, write_pages


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt install chromium fonts-dejavu-core")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def tab(browser: Browser) -> Page:
    """The tab in which tests open their pages, one after another."""
    return browser.new_page()


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page by its name."""
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def opened(browser: Browser, tab: Page, pages: dict[str, Path]) -> Iterator[Opener]:
    """Opens a page; at the end it has requested only itself and the console is silent."""
    opener = Opener(browser, tab, pages)
    yield opener
    opener.close()
    assert [url for url in opener.requests if url not in {opener.address, "data:,"}] == []
    assert opener.messages == []
