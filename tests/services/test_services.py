"""The services do what the tests that use them rely on."""

from __future__ import annotations

import contextlib
import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pg8000.dbapi
import pytest
import sqlalchemy as sa

from tests.services.postgres import PostgresServer, why_not
from tests.services.proxy import PG8000_COMMIT, Cut, TcpProxy
from tests.services.s3 import Act, FaultyS3, S3Server, request
from tests.services.waiting import LOOPBACK, wait_until

WITHOUT_POSTGRES = why_not()

# pg8000's buffer is flushed into a broken connection when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Echo(socketserver.BaseRequestHandler):
    server: EchoServer

    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.server.heard += data
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    heard = b""


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer((LOOPBACK, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[TcpProxy]:
    with TcpProxy(LOOPBACK, echo.server_address[1]) as proxy:
        yield proxy


@contextlib.contextmanager
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=10) as connection:
        yield connection


def asked(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(1024)


def test_a_proxy_passes_bytes_on(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"hello") == b"hello"

    assert proxy.accepted == 1


def test_a_proxy_cuts_what_is_open(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"hello") == b"hello"
        assert proxy.cut() == 1
        assert connection.recv(1) == b""


def test_a_proxy_resets_what_is_open(proxy: TcpProxy) -> None:
    proxy.resets = True
    with client(proxy) as connection:
        assert asked(connection, b"hello") == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize(
    ("when", "heard"), [(Cut.UNSENT, b"one"), (Cut.SENT, b"onetwo"), (Cut.ANSWERED, b"onetwo")]
)
def test_a_proxy_cuts_at_a_request(
    proxy: TcpProxy, echo: EchoServer, when: Cut, heard: bytes
) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        proxy.cut_at(b"two", when=when)
        assert asked(connection, b"two") == b""
        wait_until(lambda: echo.heard == heard, "what arrived")
        assert proxy.cuts == 1
    with client(proxy) as connection:
        assert asked(connection, b"two") == b"two"


def test_a_proxy_cuts_at_texts_one_after_another(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"execute") == b"execute"
        proxy.cut_at(b"commit", b"execute", when=Cut.UNSENT)
        assert asked(connection, b"execute") == b"execute"
        assert asked(connection, b"commit") == b"commit"
        assert asked(connection, b"execute") == b""


def test_a_proxy_cuts_after_so_many_bytes(proxy: TcpProxy, echo: EchoServer) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"abc") == b"abc"
        proxy.cut_after(2)
        connection.sendall(b"defg")
        wait_until(lambda: echo.heard == b"abcde", "what arrived")


def test_a_proxy_refuses_and_accepts_again_on_its_port(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        assert asked(connection, b"open") == b"open"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port), timeout=10)
        assert asked(connection, b"still") == b"still"
    proxy.accept()
    with client(proxy) as connection:
        assert asked(connection, b"again") == b"again"


def test_a_proxy_holds_back_what_is_sent_until_it_thaws(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        proxy.freeze()
        connection.sendall(b"slow")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        proxy.thaw()
        assert connection.recv(4) == b"slow"


def test_a_proxy_delays_answers(proxy: TcpProxy) -> None:
    proxy.delay_seconds = 0.1
    with client(proxy) as connection:
        began = time.monotonic()
        assert asked(connection, b"late") == b"late"
        assert time.monotonic() - began >= 0.1


def test_a_proxy_to_a_server_that_is_away_ends_connections() -> None:
    with EchoServer((LOOPBACK, 0), Echo) as away:
        port = away.server_address[1]
    with TcpProxy(LOOPBACK, port) as proxy, client(proxy) as connection:
        assert connection.recv(1) == b""


def test_an_s3_keeps_objects_and_answers_one_request_after_another() -> None:
    with S3Server(threaded=False) as server:
        bucket = server.new_bucket()
        assert server.request("PUT", f"/{bucket}/a", b"1")[0] == 200
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: server.request("GET", f"/{bucket}/a"), range(8)))

    assert answers == [(200, b"1")] * 8


@pytest.mark.parametrize(
    ("act", "answer", "written"),
    [
        (Act.ANSWER, 503, False),
        (Act.ANSWER_AFTER, 503, True),
        (Act.CUT, None, False),
        (Act.CUT_AFTER, None, True),
        (Act.SLOW, 200, True),
    ],
)
def test_a_faulty_s3_fails_a_write_once(
    s3: S3Server, faulty_s3: FaultyS3, act: Act, answer: int | None, *, written: bool
) -> None:
    bucket = s3.new_bucket()
    faulty_s3.add(act, method="PUT", name="/a", status=503, seconds=0.05)

    assert status_of(faulty_s3, "PUT", f"/{bucket}/a", b"1") == answer
    assert (s3.request("GET", f"/{bucket}/a")[0] == 200) is written
    assert status_of(faulty_s3, "PUT", f"/{bucket}/a", b"1") == 200
    assert faulty_s3.count("PUT", "/a") == 2


def test_a_faulty_s3_sends_half_an_answer(s3: S3Server, faulty_s3: FaultyS3) -> None:
    bucket = s3.new_bucket()
    s3.request("PUT", f"/{bucket}/a", b"0123456789")
    faulty_s3.add(Act.HALF, method="GET")

    with pytest.raises(http.client.IncompleteRead, match="5 bytes read"):
        status_of(faulty_s3, "GET", f"/{bucket}/a")


def status_of(proxy: FaultyS3, method: str, path: str, body: bytes = b"") -> int | None:
    """Return the status of an answer, or None if the connection ended without one."""
    try:
        return request(proxy.port, method, path, body)[0]
    except ConnectionError:
        return None


def engine_of(url: str, proxy: TcpProxy | None = None, **arguments: Any) -> sa.Engine:
    """Return SQLAlchemy's engine of a database, by way of a proxy if there is one."""
    parts = sa.make_url(url).set(drivername="postgresql+pg8000")
    if proxy is not None:
        parts = parts.set(host=proxy.host, port=proxy.port)
    return sa.create_engine(parts, **arguments)


@pytest.fixture
def table(postgres: PostgresServer, database_url: str) -> str:
    postgres.query("CREATE TABLE numbers (number int)", database=database_url.rpartition("/")[2])
    return database_url


def numbers(server: PostgresServer, url: str) -> list[int]:
    rows = server.query("SELECT number FROM numbers ORDER BY 1", database=url.rpartition("/")[2])
    return [number for (number,) in rows]


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("when", list(Cut))
def test_a_connection_that_is_lost_at_the_commit_may_have_committed(
    postgres: PostgresServer, table: str, when: Cut, *, resets: bool
) -> None:
    """What `lottery.stores` makes its `ConnectionLost` of; an end of file and a reset differ.

    pg8000 lets the error of a reset through as it comes, so that SQLAlchemy neither wraps it nor
    finds out that the connection is of no use.
    """
    with TcpProxy(LOOPBACK, postgres.port) as proxy:
        engine = engine_of(table, proxy)
        with engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))
            proxy.resets = resets
            proxy.cut_at(*PG8000_COMMIT, when=when)
            with pytest.raises((sa.exc.InterfaceError, OSError)) as caught:
                transaction.commit()
            assert isinstance(caught.value, ConnectionResetError) is resets
            assert connection.invalidated is not resets
            connection.invalidate()
        assert proxy.cuts == 1
        if when is not Cut.UNSENT:
            wait_until(lambda: numbers(postgres, table) == [1], "the commit")
        else:
            assert numbers(postgres, table) == []
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar() == 1
        engine.dispose()


def test_a_commit_that_is_not_answered_in_time_is_a_bare_timeout(
    postgres: PostgresServer, table: str
) -> None:
    with TcpProxy(LOOPBACK, postgres.port) as proxy:
        engine = engine_of(table, proxy, connect_args={"timeout": 0.3})
        with engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))
            proxy.freeze()
            with pytest.raises(TimeoutError):
                transaction.commit()
            assert connection.invalidated
        engine.dispose()


@pytest.mark.skipif(WITHOUT_POSTGRES is not None, reason=str(WITHOUT_POSTGRES))
def test_a_killed_server_keeps_what_was_committed() -> None:
    with PostgresServer() as server:
        url = server.create_database("kept")
        server.query("CREATE TABLE numbers (number int)", database="kept")
        server.query("INSERT INTO numbers VALUES (1)", database="kept")
        server.kill()
        with pytest.raises(pg8000.dbapi.InterfaceError):
            server.query("SELECT 1")
        server.start()

        assert numbers(server, url) == [1]
        assert server.query("SHOW fsync") == [["on"]]
        server.drop_database("kept")


@pytest.mark.skipif(WITHOUT_POSTGRES is not None, reason=str(WITHOUT_POSTGRES))
def test_a_standby_is_promoted_without_the_last_commits() -> None:
    with PostgresServer(fsync=False) as primary:
        url = primary.create_database("ledger")
        primary.query("CREATE TABLE numbers (number int)", database="ledger")
        primary.query("INSERT INTO numbers VALUES (1)", database="ledger")
        with primary.standby() as standby:
            primary.query("INSERT INTO numbers VALUES (2)", database="ledger")
            standby.wait_until_caught_up()
            standby.stop_receiving()
            primary.query("INSERT INTO numbers VALUES (3)", database="ledger")
            primary.kill()
            standby.promote()

            assert numbers(standby, url) == [1, 2]
            standby.query("INSERT INTO numbers VALUES (4)", database="ledger")
            assert standby.url != primary.url
        with pytest.raises(ValueError, match="expected a standby, got a primary"):
            primary.wait_until_caught_up()
