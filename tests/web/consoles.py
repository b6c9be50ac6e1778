"""Ledgers as a morning finds them, and a console on each, asked without a network.

`asking` gives the console in this process a request; `served` starts it at a socket, for browsers.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import httpx

from lottery import operations
from lottery.backends.local import LocalBackend
from lottery.cli.variables import ClientVariables
from lottery.operations import Identity, LedgerSettings
from lottery.operations.ledgers import CharterTerms, init_ledger
from lottery.web.app import create_app
from lottery.web.console.app import console_routes
from lottery.web.console.asking import Backend
from lottery.web.console.serving import ConsoleServer
from tests.builders import (
    FULL,
    PUBLISHED,
    TESTER,
    SmallDay,
    notice,
    record_in,
    request_of,
    request_of_files,
    settings_of,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
DATE, NEXT_DATE = "2024-09-16", "2024-09-17"
RUN = f"{DATE}-001"
HOME = "http://console.test"
MARKUP = "<script>alert(1)</script> & 'quotes'"
"""A reason as somebody writes it who tries the pages."""

LetIn = Callable[[Identity, str], None]


def morning(folder: Path) -> Path:
    """Record the two example dates: breaks, late notices, a withdrawal and a correction."""
    ledger = folder / "ledger"
    first, second = EXAMPLES / DATE, EXAMPLES / NEXT_DATE

    def files(notices: Path, positions: Path, volumes: Path) -> dict[str, Path]:
        return {"notices": notices, "positions": positions, "volumes": volumes / "volumes.csv"}

    def record(given: Mapping[str, Path], day: str, **more: Any) -> None:
        date = dt.date.fromisoformat(day)
        record_in(ledger, request_of_files(given, date=date, **more))

    record(files(first / "notices.csv", first / "positions.csv", first), DATE)
    positions = second / "positions.csv"
    record(files(second / "notices.csv", positions, second), NEXT_DATE)
    for cycle in (2, 3):
        late = second / f"cycle-{cycle}" / "notices.csv"
        record(files(late, positions, second), NEXT_DATE, cycle=cycle)
    opened = operations.open_ledger(settings_of(ledger))
    operations.withdraw_run(opened, f"{NEXT_DATE}-003", reason=MARKUP, by=TESTER)
    corrected = second / "corrected"
    record(
        files(corrected / "notices.csv", corrected / "positions.csv", second),
        NEXT_DATE,
        cycle=2,
        supersedes=[f"{NEXT_DATE}-001", f"{NEXT_DATE}-002"],
        reason="a position had been left out",
    )
    return ledger


def held_morning(folder: Path) -> Path:
    """Record a date that was held, acknowledged with a reason that holds markup."""
    ledger = folder / "ledger"
    saturday = replace(PUBLISHED, date=dt.date(2024, 9, 14))
    acknowledged = {"NOT_A_TRADING_DAY": MARKUP}
    record_in(ledger, request_of(saturday, folder / "in", acknowledged=acknowledged))
    return ledger


def four_eyes(folder: Path) -> Path:
    """Propose two dates by somebody else, where the charter has four eyes."""
    ledger = folder / "ledger"
    terms = CharterTerms(
        decisions=operations.JPMS_2024_09_06.decisions(),
        four_eyes=True,
        proposal_hours=24,
    )
    init_ledger(settings_of(ledger), terms, TESTER)
    for name, day in {"one": FULL, "two": PUBLISHED.later()}.items():
        record_in(ledger, request_of(day, folder / name))
    return ledger


def crowded(folder: Path, pools: int, accounts: int) -> Path:
    """Record a date of many pools with as many positions as all of their accounts."""
    ledger = folder / "ledger"
    series = [f"XYZ   240920C{strike:08d}" for strike in range(1_000, 1_000 * (pools + 1), 1_000)]
    day = SmallDay(
        notices=[notice(f"A{at}", one, 5) for at, one in enumerate(series)],
        positions=[
            {"series": one, "account": str(10_000 + at), "short_quantity": 3, "occ_account": ""}
            for one in series
            for at in range(accounts)
        ],
    )
    record_in(ledger, request_of(day, folder / "in"))
    return ledger


def backends(
    ledger: Path, *, let_in: LetIn = lambda *_: None, **given: Any
) -> Callable[[Any], Any]:
    """Return what opens the ledger's backend for a request."""
    kept = functools.cache(operations.open_ledger)

    @contextmanager
    def backend_for(_: Any) -> Iterator[Backend]:
        settings = LedgerSettings(ledger=str(ledger), **given)
        yield LocalBackend(
            settings,
            variables=ClientVariables(),
            warn=lambda _: None,
            let_in=let_in,
            command="console",
            open_ledger=kept,
        )

    return backend_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the console answers: a page, or anything else that it sends."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def html(self) -> str:
        """The page's source."""
        return self.content.decode("utf-8")

    @property
    def text(self) -> str:
        """The page's text in one line, as people read it."""
        reader = _Texts()
        reader.feed(self.html)
        return " ".join("".join(reader.parts).split())

    @property
    def heading(self) -> str:
        """The page's first heading."""
        (found,) = re.findall("<h1>(.*?)</h1>", self.html, re.DOTALL)
        return str(found)

    @property
    def links(self) -> list[str]:
        """Where the page leads to."""
        found = re.findall('<a[^>]* href="([^"]*)"', self.html)
        return [one.replace("&amp;", "&") for one in found]

    def field(self, name: str) -> str:
        """The value of the first field of a name in the page's forms."""
        return str(re.findall(f'name="{name}" value="([^"]*)"', self.html)[0])


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A console in this process."""

    app: Any
    home: str = HOME

    def get(self, path: str, **headers: str) -> Shown:
        """Ask for a page."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Shown:
        """Send a form, as a page of the console does."""
        own = {"origin": self.home, "sec-fetch-site": "same-origin"}
        return self.ask("POST", path, headers=own if headers is None else headers, data=form)

    def ask(self, method: str, path: str, **given: Any) -> Shown:
        """Ask for anything."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=self.home) as client:
                return await client.request(method, path, **given)

        answer = anyio.run(ask)
        return Shown(status=answer.status_code, headers=answer.headers, content=answer.content)


def asking(ledger: Path, **given: Any) -> Console:
    """Return a console on a ledger, without the gate of loopback."""
    routes = console_routes(backends(ledger, **given), about="a test")
    return Console(app=create_app(routes, hosts=None))


@contextmanager
def served(ledger: Path) -> Iterator[str]:
    """Serve a console on a ledger, and return the address with its secret."""
    server = ConsoleServer(("127.0.0.1", 0), backends(ledger), about="Ledger of a test")
    stopping = threading.Event()
    thread = threading.Thread(target=server.serve_until, args=[stopping])
    thread.start()
    try:
        yield server.url
    finally:
        stopping.set()
        thread.join()
