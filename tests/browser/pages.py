"""The pages that the browser tests open, and what opens them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request

from lottery import operations
from lottery.audit.report.request import PageRequest
from lottery.method.methodology import JPMS_2024_09_06
from tests.builders import (
    AAPL,
    ASKS,
    PUBLISHED,
    REQUESTER,
    SmallDay,
    asks_making,
    notice,
    position,
    positions_of,
    record_in,
    request_of,
    request_of_files,
)
from tests.builders import opened as open_in

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "2024-09-16"

Scheme = Literal["light", "dark"]
GROUNDS: Final[dict[Scheme, str]] = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 28)"}
BLANK: Final = "about:blank"
NAMES: Final = ("example", "account", "masked", "breaks", "giant", "late", "decided")
"""The pages that the tests of all pages open."""

_REQUESTS: Final = {
    "example": ("example", "latest", PageRequest()),
    "account": ("example", "latest", PageRequest(account="1046")),
    "masked": ("example", "latest", PageRequest(mask_accounts=True)),
    "breaks": ("breaks", "latest", PageRequest()),
    "giant": ("giant", "latest", PageRequest()),
    "many": ("many", "latest", PageRequest()),
    "late": ("late", "2024-09-16-002", PageRequest()),
    "late account": ("late", "2024-09-16-002", PageRequest(account="1047")),
    "late break": ("late", "2024-09-16-003", PageRequest()),
    "decided": ("decided", "latest", PageRequest()),
    "decided account": ("decided", "latest", PageRequest(account="a1")),
}
"""What each page is of: its ledger, its run, and what it is to show."""


def write_pages(folder: Path) -> dict[str, Path]:
    """Write the pages: of the example, of breaks alone, of a giant pool, of 200 pools, and others.

    `late` is a later cycle whose draw goes on from the first; `decided` is under the charter's
    other choices, with a product below one.
    """
    files = {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    record_in(folder / "example", request_of_files(files))
    for name, day in _days().items():
        record_in(folder / name, request_of(day, folder / f"{name}-in"))
    record_in(folder / "late", request_of(PUBLISHED, folder / "late-in"))
    for cycle, quantity in enumerate((45, 51), 2):
        day = replace(PUBLISHED, notices=[notice(f"L{cycle}", AAPL, quantity)])
        request = request_of(day, folder / f"late-in-{cycle}", cycle=cycle)
        record_in(folder / "late", request)
    method = JPMS_2024_09_06.deciding(
        {"pool": "series", "account_order": "code-point", "zero_hit": "first"}
    )
    decided = SmallDay(
        notices=[notice("A1", AAPL, 1, "C"), notice("A2", AAPL, 1, "F")],
        positions=[
            *positions_of(AAPL, {"a1": 1, "B2": 1, "10": 1}, "C"),
            *positions_of(AAPL, {"9": 2}, "F"),
        ],
        asks=asks_making(100_000_099),
    )
    record_in(folder / "decided", request_of(decided, folder / "decided-in", methodology=method))
    written = {}
    for name, (ledger, run, request_of_page) in _REQUESTS.items():
        written[name] = folder / f"{name}.html"
        page = operations.report(open_in(folder / ledger), run, request_of_page, REQUESTER)
        written[name].write_text(page.html, "utf-8")
    return written


def _days() -> dict[str, SmallDay]:
    many = [f"XYZ   240920C{strike:08d}" for strike in range(1_000, 201_000, 1_000)]
    return {
        "breaks": SmallDay(
            notices=[
                notice(f"A{strike}", f"X     240920C{strike:08d}", 9) for strike in range(1, 31)
            ],
            positions=[position(AAPL, "1046", 1)],
            asks={**ASKS, "Z901439": "0"},
        ),
        "giant": SmallDay(
            notices=[notice("A1", AAPL, 700)],
            positions=[position(AAPL, str(10**9 + one), 1 + one % 3) for one in range(20_000)],
        ),
        "many": SmallDay(
            notices=[notice(f"A{at}", series, 5 + at % 40) for at, series in enumerate(many)],
            positions=[
                position(series, str(1000 + 7 * one), 3 + (one * at) % 40)
                for at, series in enumerate(many)
                for one in range(1, 13)
            ],
        ),
    }


class Opener:
    """Opens a page and collects its requests and its console messages.

    It opens in a tab that is there, which takes a third of the time of a new one, unless it is
    asked for another kind of browser.
    """

    def __init__(self, browser: Browser, tab: Page, pages: dict[str, Path]) -> None:
        self._browser = browser
        self._tab = tab
        self._pages = pages
        self.address = ""
        self.requests: list[str] = []
        self.messages: list[str] = []

    def __call__(self, name: str, *, width: int = 1280, **context: Any) -> Page:
        page = self._browser.new_context(**context).new_page() if context else self._tab
        page.set_default_timeout(10_000)
        page.set_viewport_size({"width": width, "height": 900})
        page.on("request", self._requested)
        page.on("console", self._said)
        page.on("pageerror", self._said)
        self.address = self._pages[name].as_uri()
        page.goto(self.address)
        return page

    def close(self) -> None:
        """Leave the tab as it was."""
        for made in self._browser.contexts:
            if made != self._tab.context:
                made.close()
        if self._tab.url != BLANK:
            self._tab.remove_listener("request", self._requested)
            self._tab.remove_listener("console", self._said)
            self._tab.remove_listener("pageerror", self._said)
            self._tab.emulate_media(color_scheme="null", media="null")
            self._tab.goto(BLANK)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, message: ConsoleMessage | Error) -> None:
        self.messages.append(message.text if isinstance(message, ConsoleMessage) else str(message))
