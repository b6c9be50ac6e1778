"""`lottery console`: a process on loopback, the address that it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lottery.operations.requester import system_identity
from tests.cli.calls import EXAMPLE_RUN, LOOPBACK, Door, fails, lottery

PATIENCE = 60


@dataclass(frozen=True)
class Process:
    """A console that somebody has started."""

    popen: subprocess.Popen[str]
    url: str

    @property
    def at(self) -> str:
        """Its address, without the way in."""
        return urlsplit(self.url).netloc

    def get(self, path: str, cookie: str = "") -> tuple[int, str, str]:
        """Ask for a page; return its status, the cookie that it gives, and its text."""
        connection = HTTPConnection(self.at, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            answer = connection.getresponse()
            given = (answer.headers["Set-Cookie"] or "").partition(";")[0]
            return answer.status, given, answer.read().decode()
        finally:
            connection.close()

    def enter(self) -> str:
        """Open the printed address as a browser does, and return the cookie."""
        status, cookie, _ = self.get(self.url.partition(self.at)[2])
        assert status == 303
        return cookie

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal; return the exit code, and what else was printed."""
        self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, out, err


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a console with these options."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **environment: str) -> Process:
        popen = subprocess.Popen(
            [sys.executable, "-m", "lottery", "console", *options, "--listen", LOOPBACK, "--json"],
            env={**os.environ, "TERM": "dumb", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(popen)
        assert popen.stdout is not None
        line = popen.stdout.readline()
        assert line, popen.communicate(timeout=PATIENCE)[1]
        return Process(popen=popen, url=json.loads(line)["url"])

    yield start
    for popen in started:
        popen.kill()
        popen.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_has_the_printed_address_sees_the_ledger_and_the_end_is_quiet(
    example: Path, start: Start, number: int
) -> None:
    console = start("--ledger", str(example))

    assert console.get("/")[0] == 401
    status, _, page = console.get("/", console.enter())

    assert (status, "Recorded, with 1 break open" in page) == (200, True)
    assert f"Ledger {example}" in page
    assert f"as {system_identity().name} on" in page
    assert console.end(number) == (0, "", "")


def test_roles_are_asked_at_each_page_and_read_again(
    example: Path, start: Start, tmp_path: Path
) -> None:
    roles, name = tmp_path / "roles.toml", system_identity().name
    roles.write_text(f'[names.user]\n"{name}" = ["administrator"]\n')
    console = start("--ledger", str(example), LOTTERY_ROLES=str(roles))
    cookie = console.enter()

    assert console.get("/status", cookie)[0] == 200
    status, _, page = console.get("/runs", cookie)
    assert (status, "lottery runs needs one of these roles: operator" in page) == (403, True)

    roles.write_text(f'[names.user]\n"{name}" = ["operator"]\n')
    assert console.get("/runs", cookie)[0] == 200
    roles.write_text("no toml")
    status, _, page = console.get("/runs", cookie)
    assert (status, "nothing is shown: LOTTERY_ROLES" in page) == (403, True)


def test_a_server_is_asked_and_one_that_is_away_is_to_be_asked_again(
    example_server: Door, start: Start
) -> None:
    console = start(*example_server.options)
    cookie = console.enter()

    assert "Recorded, with 1 break open" in console.get("/", cookie)[2]
    assert "0815" in console.get(f"/runs/{EXAMPLE_RUN}/breaks/GE1240920C00160000", cookie)[2]
    assert (
        "A000000019"
        in console.get(f"/runs/{EXAMPLE_RUN}/breaks/GE1240920C00160000?occ_account=C", cookie)[2]
    )
    assert "28 to 37" in console.get(f"/runs/{EXAMPLE_RUN}/pools/AAPL240920C00220000", cookie)[2]
    for path in ("/runs", "/breaks", "/holds", "/search?series=AAPL240920C00220000", "/proposals"):
        assert console.get(path, cookie)[0] == 200
    assert console.get("/runs/2024-09-16-009", cookie)[0] == 404

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = start("--server", f"127.0.0.1:{taken.getsockname()[1]}")
        status, _, page = away.get("/", away.enter())
    assert (status, "no server answers" in page) == (503, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "example.org"])  # noqa: S104
def test_another_address_than_loopback_is_refused(reader: Door, host: str) -> None:
    text, _ = fails(
        reader, "console", "--listen", f"{host}:8470", exit_code=2, reason="WRONG_USAGE"
    )

    assert "the console is for people on this machine" in text.message
    assert "needs the console of a server" in text.message


@pytest.mark.parametrize("listen", ["8470", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x"])
def test_an_address_that_is_none_is_wrong_usage(reader: Door, listen: str) -> None:
    text, _ = fails(reader, "console", "--listen", listen, exit_code=2, reason="WRONG_USAGE")

    assert "--listen: expected HOST:PORT" in text.message


def test_a_port_that_is_taken_is_said(reader: Door) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = f"127.0.0.1:{port}"
        text, _ = fails(reader, "console", "--listen", listen, exit_code=2, reason="WRONG_USAGE")

    assert f"--listen {listen}: Address already in use" in text.message


def test_without_a_ledger_there_is_no_console() -> None:
    fails(lottery, "--ledger", "nowhere", "console", exit_code=2, reason="LEDGER_NOT_FOUND")
