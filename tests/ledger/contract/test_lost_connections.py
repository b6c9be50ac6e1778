"""A connection that is lost before, at or after a commit: everybody gets the right run."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lottery.errors import (
    ConnectionLost,
    LedgerBusy,
    LedgerDamaged,
    LedgerUnfinished,
    LedgerUnwritable,
)
from lottery.ledger.commit import Ledger
from lottery.ledger.log_writer import ATTEMPTS
from lottery.ledger.ports import Database
from lottery.operations.ledgers import LedgerSettings
from lottery.tlog.keys import SigningKey
from tests.builders import META, NEXT_DATE, PUBLISHED, TESTER, SmallDay, notice
from tests.ledger.contract.places import (
    A,
    Place,
    assert_whole,
    close_all,
    entries_in,
    record,
    runs_in,
)
from tests.ledger.ledgers import META_ONLY
from tests.services.postgres import PostgresServer
from tests.services.proxy import PG8000_COMMIT, Cut, TcpProxy


class Lost(enum.Enum):
    """When a connection of the fake database is lost."""

    BEFORE = enum.auto()
    """As the lock is asked for."""

    WITHIN = enum.auto()
    """At the commit, which did not happen."""

    AFTER = enum.auto()
    """At the commit, which happened."""


class LosingDatabase:
    """A database whose next writers lose their connections as they are told to."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.losses: list[Lost] = []
        self.at_loss: Callable[[], object] = lambda: None
        self.before_writing: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        self.before_writing()
        loss = self.losses.pop(0) if self.losses else None
        if loss is Lost.BEFORE:
            raise ConnectionLost("lost before the lock")
        with self._real.writing() as connection:
            yield connection
            if loss is Lost.WITHIN:
                raise ConnectionLost("lost before the commit")
        if loss is Lost.AFTER:
            self.at_loss()
            raise ConnectionLost("lost after the commit")


@pytest.fixture
def losing(sqlite_place: Place) -> Iterator[tuple[Ledger, LosingDatabase]]:
    ledger = sqlite_place.init()
    database = LosingDatabase(ledger.ports.database)
    ledger.ports = replace(ledger.ports, database=database)
    yield ledger, database
    assert_whole(ledger)


def days(count: int) -> Iterator[SmallDay]:
    """Yield days that do not contradict each other, five of a date."""
    for number in range(count):
        date = PUBLISHED.date + dt.timedelta(days=number // 5)
        yield replace(META_ONLY, notices=[notice(f"N{number}", META, 1)], date=date)


@pytest.mark.parametrize("losses", list(itertools.product(Lost, Lost)))
def test_a_run_is_recorded_once_however_its_connection_is_lost(
    losing: tuple[Ledger, LosingDatabase], losses: tuple[Lost, ...]
) -> None:
    ledger, database = losing
    database.losses = list(losses)

    first = record(ledger, PUBLISHED, request_id="mine")
    again = record(ledger, PUBLISHED, request_id="mine")

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert first.record == again.record
    assert runs_in(ledger) == [A]


@pytest.mark.parametrize("loss", Lost)
def test_whatever_is_entered_is_entered_once(
    losing: tuple[Ledger, LosingDatabase], loss: Lost
) -> None:
    ledger, database = losing
    record(ledger, PUBLISHED, request_id="mine")
    next_key = SigningKey.generate(ledger.log().origin).verifier
    writes: list[Callable[[], object]] = [
        lambda: record(ledger, PUBLISHED, request_id="yours"),
        lambda: ledger.enter("report", A, "made", TESTER),
        lambda: ledger.amend(
            lambda last: replace(last, public_key=None, holds_from=NEXT_DATE), lambda *_: None
        ),
        lambda: ledger.rotate(next_key, TESTER),
    ]
    for number, write in enumerate(writes, 3):
        database.losses = [loss]
        write()
        assert len(entries_in(ledger)) == number


def test_another_one_that_writes_meanwhile_is_not_taken_for_what_was_lost(
    losing: tuple[Ledger, LosingDatabase], sqlite_place: Place
) -> None:
    ledger, database = losing
    database.losses = [Lost.BEFORE, Lost.WITHIN, Lost.AFTER]
    database.at_loss = lambda: record(sqlite_place.opened(), META_ONLY)

    mine = record(ledger, PUBLISHED)
    theirs = record(ledger, META_ONLY)

    assert (mine.already_recorded, mine.record.run) == (False, A)
    assert (theirs.already_recorded, theirs.record.run) == (True, "2024-09-16-002")


def test_a_connection_that_is_lost_again_and_again_is_reported(
    losing: tuple[Ledger, LosingDatabase],
) -> None:
    ledger, database = losing
    database.losses = [Lost.WITHIN] * ATTEMPTS

    with pytest.raises(ConnectionLost, match="lost before the commit"):
        record(ledger, PUBLISHED)

    assert not record(ledger, PUBLISHED).already_recorded


def test_a_run_that_is_gone_once_the_lock_is_held_is_not_recorded_without_its_evidence(
    losing: tuple[Ledger, LosingDatabase], tmp_path: Path
) -> None:
    ledger, database = losing
    file = Path(database.place)
    older = shutil.copy(file, tmp_path / "older")
    record(ledger, PUBLISHED, request_id="mine")
    newer = shutil.copy(file, tmp_path / "newer")
    database.before_writing = lambda: shutil.copy(older, file)

    with pytest.raises(LedgerDamaged, match=f"expected run {A}, which was recorded, got none"):
        record(ledger, PUBLISHED, request_id="yours")

    database.before_writing = lambda: None
    shutil.copy(newer, file)


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", postgres.port) as made:
        yield made


@pytest.fixture
def proxied(proxy: TcpProxy, database_url: str, tmp_path: Path) -> Iterator[Place]:
    url = sa.make_url(database_url).set(port=proxy.port)
    yield Place(
        settings=LedgerSettings(
            ledger=url.render_as_string(hide_password=False),
            objects=str(tmp_path / "objects"),
            key_file=tmp_path / "signing.key",
        )
    )
    close_all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "cuts", [12, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])]
)
def test_every_client_gets_its_run_though_connections_are_cut_at_commits(
    proxied: Place, proxy: TcpProxy, cuts: int
) -> None:
    ledger = proxied.init()
    for number, day in enumerate(days(cuts)):
        proxy.resets = number % 2 == 1
        proxy.cut_at(*PG8000_COMMIT, when=list(Cut)[number % 3])
        first = record(ledger, day, request_id=f"request-{number}")
        assert not first.already_recorded
        if number % 10 == 0:
            again = record(ledger, day, request_id=f"request-{number}")
            assert (again.already_recorded, again.record) == (True, first.record)
    assert proxy.cuts == cuts
    assert len(runs_in(ledger)) == cuts
    assert_whole(ledger)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_restarts_is_no_error(
    postgres: PostgresServer, proxied: Place, proxy: TcpProxy
) -> None:
    ledger = proxied.init()
    record(ledger, PUBLISHED)
    proxy.refuse()
    proxy.cut()
    timer = threading.Timer(0.5, proxy.accept)
    timer.start()

    assert record(ledger, META_ONLY).record.run == "2024-09-16-002"

    timer.join()
    # As a server that is told to stop ends its connections: with a message.
    postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
        "pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert record(ledger, META_ONLY).already_recorded
    assert_whole(ledger)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_stays_away_is_reported(proxied: Place, proxy: TcpProxy) -> None:
    proxied.init().close()
    ledger = proxied.opened(lock_seconds=0.3)
    proxy.refuse()
    proxy.cut()

    for call in (lambda: record(ledger, PUBLISHED), lambda: ledger.get("latest")):
        with pytest.raises(ConnectionLost, match="the connection was lost"):
            call()
    with pytest.raises(ConnectionLost):
        ledger.enter("report", A, "made", TESTER)
    proxy.accept()
    assert record(ledger, PUBLISHED).record.run == A


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_read_whose_connection_is_lost_is_reported_and_the_next_one_works(
    proxied: Place, proxy: TcpProxy
) -> None:
    ledger = proxied.init()
    for resets in (False, True):
        proxy.resets = resets
        with pytest.raises(ConnectionLost, match="the connection was lost"):
            read_while_cut(ledger, proxy)
        with ledger.reading():
            proxy.cut()  # What was read is read.
        assert runs_in(ledger) == []


def read_while_cut(ledger: Ledger, proxy: TcpProxy) -> None:
    with ledger.reading() as connection:
        proxy.cut()
        connection.exec_driver_sql("SELECT 1")


def test_an_objects_error_is_no_lost_connection(place: Place, ledger: Ledger) -> None:
    class Failing:
        place = "the objects"

        def __init__(self, real: Any, fails: str) -> None:
            self._real, self._fails = real, fails

        def __getattr__(self, name: str) -> Any:
            if name == self._fails:
                return self._fail
            return getattr(self._real, name)

        def _fail(self, *_: object) -> AbstractContextManager[Any]:
            raise OSError("the disk is gone")

    real = ledger.ports
    for fails, error in (
        ("staging", LedgerUnwritable),
        ("get", LedgerUnwritable),
        ("create_all", LedgerUnfinished),
        ("put", LedgerUnfinished),
    ):
        ledger.ports = replace(real, objects=Failing(real.objects, fails))
        with pytest.raises(error, match="the objects: the disk is gone"):
            record(ledger, PUBLISHED)
    ledger.ports = real
    assert record(ledger, PUBLISHED).already_recorded
    assert_whole(place.opened())


def test_a_publisher_that_is_kept_waiting_leaves_the_run_committed(
    place: Place, ledger: Ledger
) -> None:
    impatient = place.opened(lock_seconds=0.2)
    with ledger.ports.database.publishing() as connection:
        if connection.dialect.name == "sqlite":  # Its one lock keeps writers waiting already.
            with pytest.raises(LedgerBusy):
                record(impatient, PUBLISHED)
        else:
            with pytest.raises(LedgerUnfinished, match="committed and not published yet"):
                record(impatient, PUBLISHED)
    record(impatient, PUBLISHED)
    assert runs_in(ledger) == [A]
    assert_whole(ledger)
