"""Who gets into the console on loopback: the one who has the address, in one browser."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lottery.operations.hosts import is_loopback
from lottery.web.app import create_app
from lottery.web.console.gate import Entrance, Gate
from tests.web.consoles import Console, Shown

HOST = "127.0.0.1:8470"


async def _inside(_: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


@pytest.fixture
def entrance() -> Entrance:
    return Entrance("127.0.0.1", 8470)


@pytest.fixture
def console(entrance: Entrance) -> Console:
    app = create_app(
        [Route("/{path:path}", _inside, methods=["GET", "POST"])],
        hosts=frozenset({"127.0.0.1", "localhost"}),
        inside=[Middleware(Gate, entrance=entrance)],
    )
    return Console(app=app, home=f"http://{HOST}")


def entered(console: Console, url: str) -> Shown:
    parts = urlsplit(url)
    return console.get(f"{parts.path}?{parts.query}")


def cookie_of(answer: Shown) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_the_printed_address_lets_one_browser_in_for_good(
    entrance: Entrance, console: Console
) -> None:
    url = entrance.url
    assert url.startswith(f"http://{HOST}/enter?secret=")

    answer = entered(console, url)

    assert (answer.status, answer.headers["location"]) == (303, "/")
    given = answer.headers["set-cookie"].lower()
    assert "; httponly" in given
    assert "; samesite=strict" in given
    assert "secret=" not in given
    assert entrance.url == f"http://{HOST}"
    # The secret is spent, and is not what the cookie holds.
    assert entered(console, url).status == 401
    assert url.rpartition("=")[2] not in given
    cookie = cookie_of(answer)
    assert console.get("/", cookie=cookie).content == b"inside"
    # Whoever is in and opens the printed address again goes on.
    again = console.ask("GET", urlsplit(url).path, headers={"cookie": cookie})
    assert (again.status, again.headers["location"]) == (303, "/")


def test_without_the_cookie_nothing_is_answered_but_the_stylesheet(
    entrance: Entrance, console: Console
) -> None:
    cookie = cookie_of(entered(console, entrance.url))
    name, _, value = cookie.partition("=")

    for wrong in ("", cookie[:-1], f"{name}=", f"{name}x={value}", f"{name}={value}x"):
        answer = console.get("/runs", cookie=wrong)
        assert (answer.status, b"inside" in answer.content) == (401, False)
        assert b"open the address that lottery console printed" in answer.content
    assert console.post("/proposals/x/approve").status == 401
    assert console.get("/console.css").content == b"inside"


@pytest.mark.parametrize("secret", ["", "?secret=", "?secret=wrong", "?secret=%C3%BC"])
def test_a_wrong_secret_does_not_spend_the_right_one(
    entrance: Entrance, console: Console, secret: str
) -> None:
    assert console.get(f"/enter{secret}").status == 401
    assert entered(console, entrance.url).status == 303


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8470", "0.0.0.0:8470", ""])
def test_another_name_for_this_address_is_refused(
    entrance: Entrance, console: Console, host: str
) -> None:
    cookie = cookie_of(entered(console, entrance.url))

    answer = console.get("/", cookie=cookie, host=host)

    assert (answer.status, b"inside" in answer.content) == (421, False)
    assert console.get("/", cookie=cookie, host="LOCALHOST:8470").content == b"inside"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert Entrance("::1", 8470).url.startswith("http://[::1]:8470/enter?secret=")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["::", "10.0.0.1", "example.org", "", "127.1"])
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(host)
