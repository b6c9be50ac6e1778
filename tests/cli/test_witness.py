"""`lottery witness`: a process that cosigns over HTTP, and forgets nothing when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lottery.cli import witness_server
from lottery.cli.witness_server import WitnessServer
from lottery.operations.witness import Witness, open_witness
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.cosignature import cosignatures_of
from lottery.tlog.keys import SignatureType, VerifierKey, create_key_file, read_key_file
from lottery.tlog.policy import Policy
from lottery.tlog.witness import REQUEST_SIZE_LIMIT, SIZE_TYPE, origin_hash
from lottery.tlog.witness_client import collect_cosignatures
from tests.cli.calls import LOOPBACK, fails, lottery, succeeds
from tests.tlog.signed import LOG
from tests.tlog.witnessed import SmallLog

PATIENCE = 60.0
NAME = "witness.example/w1"
A_LOG = SmallLog()
OTHER_HISTORY = SmallLog("another")


@dataclass
class Process:
    """A witness that serves, in a process or in this one."""

    popen: subprocess.Popen[str] | None
    public_key: str
    url: str

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, str, bytes]:
        parts = urlsplit(self.url)
        connection = HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, str(answer.headers["Content-Type"]), answer.read()
        finally:
            connection.close()

    def add(self, old: int, new: int, log: SmallLog = A_LOG) -> tuple[int, str, bytes]:
        return self.ask("POST", "/add-checkpoint", log.request(old, new))

    def end(self, number: int) -> tuple[int, str]:
        assert self.popen is not None
        self.popen.send_signal(number)
        _, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, err


@dataclass
class Place:
    """Where a witness has its key and its state."""

    directory: Path
    started: list[subprocess.Popen[str]]

    @property
    def options(self) -> list[str]:
        key, state = self.directory / "witness.key", self.directory / "state"
        return ["--key", str(key), "--log", str(LOG.verifier), "--state", str(state)]

    def witness(self) -> Witness:
        return open_witness(
            self.directory / "witness.key", [LOG.verifier], self.directory / "state"
        )

    def start(self) -> Process:
        command = [sys.executable, "-m", "lottery", "witness", "serve", *self.options]
        popen = subprocess.Popen(
            [*command, "--listen", LOOPBACK, "--json"],
            env={**os.environ, "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(popen)
        assert popen.stdout is not None
        said = json.loads(popen.stdout.readline())
        return Process(popen=popen, public_key=said["public_key"], url=said["url"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    create_key_file(tmp_path / "witness.key", NAME, SignatureType.COSIGNATURE)
    place = Place(directory=tmp_path, started=[])
    try:
        yield place
    finally:
        for popen in place.started:
            popen.kill()
            popen.communicate()


# Keys


def test_a_witnesss_key_is_made_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"

    made = lottery("witness", "keys", "--make", path, "--name", NAME)

    key = read_key_file(path, SignatureType.COSIGNATURE).verifier
    assert (made.exit_code, made.out, made.err) == (0, f"{key}\n", "")
    assert path.stat().st_mode & 0o777 == 0o600
    text, document = succeeds(lottery, "witness", "keys", "--key", path)
    assert text.out == f"{key}\n"
    assert document == {"name": NAME, "public_key": str(key)}


def test_a_key_is_not_overwritten_and_a_logs_key_is_no_witnesss(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    create_key_file(path, "log.example")

    again, _ = fails(
        *(lottery, "witness", "keys", "--make", path, "--name", NAME),
        exit_code=2,
        reason="KEY_UNUSABLE",
    )
    assert "never overwritten" in again.message
    other, _ = fails(lottery, "witness", "keys", "--key", path, exit_code=2, reason="KEY_UNUSABLE")
    assert "expected a key for cosignatures" in other.message


@pytest.mark.parametrize(
    "options", [[], ["--make", "F"], ["--name", "N"], ["--make", "F", "--name", "N", "--key", "K"]]
)
def test_keys_are_made_or_shown(options: list[str]) -> None:
    fails(lottery, "witness", "keys", *options, exit_code=2, reason="WRONG_USAGE")


# Serving


def test_checkpoints_are_cosigned_over_http(place: Place) -> None:
    process = place.start()
    key = VerifierKey.parse(process.public_key)

    status, content_type, lines = process.add(0, 3)
    assert (status, content_type) == (200, "text/plain; charset=utf-8")
    (cosigned,) = cosignatures_of(A_LOG.note(3) + lines, [key])
    assert abs(cosigned.timestamp - time.time()) < PATIENCE
    assert process.add(3, 5)[0] == 200
    assert process.add(3, 5) == (409, SIZE_TYPE, b"5\n")
    assert process.add(5, 5, OTHER_HISTORY)[0] == 422

    status, _, note = process.ask("GET", f"/{origin_hash(LOG.name)}/checkpoint")
    assert status == 200
    opened = open_checkpoint(note, [LOG.verifier, key])
    assert (opened.checkpoint.size, opened.signed_by) == (5, (LOG.verifier, key))
    assert process.end(signal.SIGTERM)[0] == 0


def test_a_log_asks_it_as_its_policy_says(place: Place) -> None:
    process = place.start()
    text = f"log {LOG.verifier}\nwitness W {process.public_key} {process.url}\nquorum W\n"

    collected = collect_cosignatures(A_LOG.note(5), Policy.parse(text.encode()), A_LOG.proof)

    assert collected.judgement.quorum_met


def test_a_killed_witness_forgets_nothing(place: Place) -> None:
    first = place.start()
    assert first.add(0, 5)[0] == 200
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL

    again = place.start()

    assert again.public_key == first.public_key
    assert again.add(0, 3, OTHER_HISTORY) == (409, SIZE_TYPE, b"5\n")
    assert again.add(5, 8)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_though_a_client_stays_connected(place: Place, number: int) -> None:
    process = place.start()
    parts = urlsplit(process.url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    connection.request("POST", "/add-checkpoint", body=A_LOG.request(0, 3))
    assert connection.getresponse().read()
    connection.request("POST", "/add-checkpoint", body=A_LOG.request(3, 5))  # Kept alive.
    assert connection.getresponse().read()

    start = time.monotonic()
    exit_code, err = process.end(number)

    assert exit_code == 0
    assert time.monotonic() - start < witness_server.IDLE_SECONDS
    assert [line.split(" ", 1)[1] for line in err.splitlines()] == [
        "127.0.0.1 POST /add-checkpoint 200"
    ] * 2
    connection.close()


def test_what_is_no_request_is_answered_so(place: Place) -> None:
    process = place.start()
    large = b"x" * (REQUEST_SIZE_LIMIT + 1)

    assert process.ask("POST", "/add-checkpoint", b"old 0\n")[0] == 400
    assert process.ask("POST", "/sign-subtree", b"x")[0] == 404
    assert process.ask("POST", "/add-checkpoint?a", A_LOG.request(0, 3))[0] == 404
    assert process.ask("GET", "/add-checkpoint")[0] == 404
    assert process.ask("GET", f"/{origin_hash(LOG.name)}/checkpoint")[0] == 404
    assert process.ask("GET", "/../witness.key/checkpoint")[0] == 404
    assert process.ask("PUT", "/add-checkpoint", b"x")[0] == 501
    assert process.ask("POST", "/add-checkpoint", large[:9], **{"Content-Length": "9x"})[0] == 411
    headers = {"Content-Length": str(len(large))}
    assert process.ask("POST", "/add-checkpoint", b"", **headers)[0] == 413
    exit_code, err = process.end(signal.SIGTERM)
    assert exit_code == 0
    assert "POST /add-checkpoint 400 hash of the proof: expected" in err
    assert "POST /sign-subtree 404 Not Found" in err
    assert "Traceback" not in err


def test_a_request_that_is_cut_short_changes_nothing(place: Place) -> None:
    process = place.start()
    parts = urlsplit(process.url)
    body = A_LOG.request(0, 3)
    header = f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body) + 1}\r\n\r\n"

    with socket.create_connection((str(parts.hostname), parts.port), timeout=PATIENCE) as cut:
        cut.sendall(header.encode() + body)
        cut.shutdown(socket.SHUT_WR)
        assert cut.recv(100) == b""

    assert process.add(0, 5)[0] == 200


@contextmanager
def serving(witness: Witness, said: list[str]) -> Iterator[WitnessServer]:
    """Serve a witness in this process."""
    server = WitnessServer(
        witness, ("127.0.0.1", 0), clock=lambda: int(time.time()), report=said.append
    )
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def test_connections_beyond_the_limit_are_closed_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_server, "CONNECTION_LIMIT", 2)
    with serving(place.witness(), []) as server:
        address = ("127.0.0.1", int(server.server_address[1]))
        held = [socket.create_connection(address) for _ in range(2)]
        with socket.create_connection(address, timeout=PATIENCE) as third:
            assert third.recv(1) == b""
        for connection in held:
            connection.close()


def test_a_client_that_is_slow_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_server._Handler, "timeout", 0.05)
    said: list[str] = []
    with serving(place.witness(), said) as server:
        address = ("127.0.0.1", int(server.server_address[1]))
        for sent in (b"", b"POST /add-chec", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nold"):
            with socket.create_connection(address, timeout=PATIENCE) as slow:
                slow.sendall(sent)
                assert slow.recv(1) == b""
    assert said == []


def test_a_fault_is_reported_and_a_full_disk_is_told_to_the_operator_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    witness = place.witness()
    with serving(witness, said) as server:
        process = Process(popen=None, public_key="", url=server.url)
        (place.directory / "state" / origin_hash(LOG.name)).rmdir()
        assert process.add(0, 3)[2] == b"the state cannot be read or written; try again\n"
        monkeypatch.setattr(server, "clock", lambda: 0)
        (place.directory / "state" / origin_hash(LOG.name)).mkdir()
        with pytest.raises(HTTPException):
            process.add(0, 3)
    assert "503 [Errno 2] No such file or directory: " in said[0]
    assert said[1].startswith("127.0.0.1 failed: ValueError('expected a time from 1 to ")


def test_a_body_that_is_not_read_is_not_the_next_request(place: Place) -> None:
    said: list[str] = []
    inner = b"GET /inner HTTP/1.1\r\n\r\n"
    with serving(place.witness(), said) as server:
        address = ("127.0.0.1", int(server.server_address[1]))
        for head in (
            b"GET / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(inner),
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            with socket.create_connection(address, timeout=PATIENCE) as client:
                client.sendall(head + inner)
                while client.recv(1 << 16):
                    pass
    assert [line.split()[3] for line in said] == ["404", "404", "411"]


def test_its_key_is_printed_first_for_people_too(place: Place) -> None:
    command = [sys.executable, "-m", "lottery", "witness", "serve", *place.options]
    popen = subprocess.Popen(
        [*command, "--listen", "[::1]:0" if socket.has_ipv6 else LOOPBACK],
        env={**os.environ, "TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    place.started.append(popen)
    assert popen.stdout is not None

    key = read_key_file(place.directory / "witness.key", SignatureType.COSIGNATURE).verifier
    assert popen.stdout.readline() == f"{key}\n"
    assert popen.stdout.readline().startswith("Serving at http://")


def test_wrong_keys_and_a_damaged_state_do_not_start(place: Place) -> None:
    serve = ["witness", "serve", *place.options]
    folder = place.directory / "state" / origin_hash(LOG.name)
    folder.mkdir(parents=True)
    (folder / "checkpoint").write_bytes(b"")

    fails(lottery, *serve, exit_code=6, reason="LEDGER_DAMAGED")
    other = create_key_file(place.directory / "log.key", "log.example")
    serve[3] = str(place.directory / "log.key")
    fails(lottery, *serve, exit_code=2, reason="KEY_UNUSABLE")
    assert other.name == "log.example"


@pytest.mark.parametrize(
    "listen", ["", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"]
)
def test_a_wrong_address_is_wrong_usage(place: Place, listen: str) -> None:
    command = ["witness", "serve", *place.options, "--listen", listen]
    text, _ = fails(lottery, *command, exit_code=2, reason="WRONG_USAGE")
    assert "expected HOST:PORT" in text.message


def test_what_is_no_logs_key_is_wrong_usage(place: Place) -> None:
    serve = ["witness", "serve", *place.options, "--log", "x"]
    text, _ = fails(lottery, *serve, exit_code=2, reason="WRONG_USAGE")
    assert "--log: expected <name>+<8 hexadecimal digits>" in text.message


def test_an_address_that_is_taken_is_said(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = lottery("witness", "serve", *place.options, "--listen", f"127.0.0.1:{port}")

    assert answer.exit_code == 75
    assert "Address already in use" in answer.err
