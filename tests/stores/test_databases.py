"""Both databases: what they do when they are away, refuse, or are not a ledger's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lottery.errors import (
    ConnectionLost,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
)
from lottery.ledger.queries import runs_of_date
from lottery.ledger.schema import ENTRIES, LEDGER, RUNS
from lottery.operations.ledgers import LedgerSettings, open_database, open_ledger, open_objects
from lottery.stores import system
from lottery.stores.postgresql import PostgresqlDatabase
from lottery.stores.sqlite import SqliteDatabase
from tests.services.postgres import PostgresServer
from tests.services.proxy import TcpProxy

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def database(database_url: str) -> Iterator[PostgresqlDatabase]:
    made = PostgresqlDatabase(database_url, lock_seconds=0.2)
    yield made
    made.close()


def test_settings_lead_to_their_adapters(tmp_path: Path) -> None:
    url = "postgresql://lottery:secret@example.com/ledger"
    database = open_database(LedgerSettings(ledger=url))

    assert isinstance(database, PostgresqlDatabase)
    assert database.place == "postgresql://lottery:***@example.com/ledger"
    assert isinstance(open_database(LedgerSettings(ledger=str(tmp_path))), SqliteDatabase)
    assert open_objects(str(tmp_path)).place == str(tmp_path)
    assert open_objects("memory:///").place.startswith("memory:")


def test_a_password_is_not_shown_wherever_in_the_url_it_is() -> None:
    url = "postgresql://lottery@example.com/ledger?application_name=batch&password=secret"

    place = PostgresqlDatabase(url, lock_seconds=1).place

    assert place == "postgresql://lottery@example.com/ledger?application_name=batch"


@pytest.mark.parametrize(
    "url", ["postgresql://[x", "postgresql://host/database", "postgresql://user:secret@host"]
)
def test_a_url_that_names_no_database_is_refused_without_showing_it(
    tmp_path: Path, url: str
) -> None:
    settings = LedgerSettings(ledger=url, objects=str(tmp_path), key_file=tmp_path / "key")
    with pytest.raises(LedgerNotFound, match=r"expected postgresql://USER@HOST.*got another URL"):
        open_ledger(settings)


def test_a_bucket_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(LedgerNotFound, match=r"expected s3://.*check --objects"):
        open_objects("ftp://somewhere/ledger")


@pytest.mark.parametrize("port_in", ["authority", "query"])
def test_a_server_is_reached_by_its_unix_socket(
    postgres: PostgresServer, database_url: str, port_in: str
) -> None:
    name, folder, port = database_url.rpartition("/")[2], postgres.socket_directory, postgres.port
    url = {
        "authority": f"postgresql://postgres@:{port}/{name}?host={folder}",
        "query": f"postgresql://postgres@/{name}?host={folder}&port={port}",
    }[port_in]
    database = PostgresqlDatabase(url, lock_seconds=5)
    with database.make() as connection:
        query = sa.text("SELECT inet_server_addr()")
        assert connection.execute(query).scalar() is None
    assert database.exists()
    database.close()


def test_asking_creates_nothing_and_making_twice_makes_once(database: PostgresqlDatabase) -> None:
    assert not database.exists()
    assert not database.exists()
    for _ in range(2):
        with database.make() as connection:
            assert sa.inspect(connection).has_table(LEDGER.name)
    assert database.exists()


def test_what_is_made_in_a_block_that_fails_is_not_there(database: PostgresqlDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.make():
        _ = 1 // 0
    assert not database.exists()


def test_writers_are_synchronous_and_wait_for_each_other(database: PostgresqlDatabase) -> None:
    with database.make():
        pass
    with database.writing() as connection:
        shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        level = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
        assert (shown, level) == ("on", "read committed")
        with database.publishing():
            pass
        with pytest.raises(LedgerBusy, match="another process is writing"), database.writing():
            pass
    with database.reading() as connection:
        level = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
        assert level == "repeatable read"
        with pytest.raises(LedgerUnwritable, match="read-only transaction"):
            insert_while_reading(database)
    with database.writing():
        pass


def insert_while_reading(database: PostgresqlDatabase) -> None:
    with database.reading() as connection:
        connection.execute(sa.insert(LEDGER).values(origin="x", schema_version=3))


def test_more_threads_than_connections_are_busy(database: PostgresqlDatabase) -> None:
    held = [database.reading() for _ in range(16)]
    for one in held:
        one.__enter__()
    try:
        with pytest.raises(LedgerBusy, match="QueuePool"), database.reading():
            pass
    finally:
        for one in held:
            one.__exit__(None, None, None)
    with database.reading():
        pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"database": "nothing"}, 'database "nothing" does not exist'),
        ({"username": "nobody"}, 'role "nobody" does not exist'),
    ],
)
def test_a_server_that_refuses_is_unwritable(
    database_url: str, change: dict[str, str], says: str
) -> None:
    url = sa.make_url(database_url).set(**change)  # type: ignore[arg-type]
    database = PostgresqlDatabase(url.render_as_string(), lock_seconds=0.2)
    with pytest.raises(LedgerUnwritable, match=says):
        database.exists()


def test_a_value_that_a_column_refuses_is_damage_and_a_missing_table_is_unwritable(
    database: PostgresqlDatabase,
) -> None:
    with pytest.raises(LedgerUnwritable, match='relation "runs" does not exist'):
        read_runs(database)
    with database.make():
        pass
    with pytest.raises(LedgerDamaged, match="null value"):
        insert_null(database)
    read_runs(database)


def read_runs(database: PostgresqlDatabase) -> None:
    with database.reading() as connection:
        connection.execute(sa.select(RUNS)).all()


def insert_null(database: PostgresqlDatabase) -> None:
    with database.writing() as connection:
        connection.execute(sa.insert(ENTRIES).values(log_index=0, type=None, entry=b""))


def test_a_session_that_is_ended_by_its_server_is_lost_and_the_next_one_works(
    postgres: PostgresServer, database: PostgresqlDatabase
) -> None:
    with database.make():
        pass
    with pytest.raises(ConnectionLost, match="the connection was lost"):
        end_within(postgres, database)
    with database.writing():
        pass


def end_within(postgres: PostgresServer, database: PostgresqlDatabase) -> None:
    with database.writing() as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        postgres.query(f"SELECT pg_terminate_backend({own})")
        for _ in range(100):
            connection.exec_driver_sql("SELECT pg_sleep(0.01)")


def test_a_server_that_is_killed_and_started_again_is_waited_for(tmp_path: Path) -> None:
    with PostgresServer(fsync=False) as server:
        database = PostgresqlDatabase(server.create_database("ledger"), lock_seconds=30)
        with database.make():
            pass
        server.kill()
        starting = threading.Timer(0.5, server.start)
        starting.start()

        with database.writing() as connection:
            assert connection.execute(sa.select(LEDGER)).all() == []

        starting.join()
        database.close()
    assert list(tmp_path.iterdir()) == []


def test_ids_are_found_whatever_language_a_database_compares_in(postgres: PostgresServer) -> None:
    postgres.query(
        "CREATE DATABASE spoken TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    )
    database = PostgresqlDatabase(postgres.url_of("spoken"), lock_seconds=5)
    with database.make() as connection:
        connection.execute(
            sa.insert(RUNS).values(
                run="2024-09-16-001",
                log_index=0,
                business_date="2024-09-16",
                sequence=1,
                content_sha256="",
                composite="",
            )
        )
        # A language leaves out hyphens where it compares, and this text is before the other.
        query = sa.text("SELECT '2024-09-16-001' < '2024-09-16.'")
        assert connection.execute(query).scalar() is not None
        by_id = sa.select(RUNS.c.run).where(RUNS.c.run >= "2024-09-16-", RUNS.c.run < "2024-09-16.")
        assert connection.execute(by_id).scalars().all() == ["2024-09-16-001"]
        assert runs_of_date(connection, "2024-09-17").records == ()
    database.close()
    postgres.drop_database("spoken")


def test_a_text_of_a_sqlite_file_that_is_no_text_is_damage(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db", lock_seconds=0.1)
    with database.make() as connection:
        connection.exec_driver_sql(
            "INSERT INTO ledger VALUES (CAST(x'ff' AS TEXT), 3)",
        )
    with pytest.raises(LedgerDamaged, match="Could not decode"):
        read_ledger(database)


def read_ledger(database: SqliteDatabase) -> None:
    with database.reading() as connection:
        connection.execute(sa.select(LEDGER)).all()


def test_a_sqlite_file_is_made_again_where_it_was_not_made_whole(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db", lock_seconds=0.1)
    with pytest.raises(ZeroDivisionError), database.make():
        _ = 1 // 0
    assert not database.exists()
    with database.make():
        pass
    assert database.exists()
    with pytest.raises(LedgerUnwritable, match="no such table"), database.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM missing")
    database.close()


def test_the_system_says_what_time_it_is_and_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = system.clock(), system.clock()
    assert first <= second
    assert first.tzname() == "UTC"
    assert system.ids() != system.ids()
    assert len(bytes.fromhex(system.ids())) == 16
    monkeypatch.setenv("LOGNAME", "somebody else")
    assert system.system_identity().name != "somebody else"
    monkeypatch.setattr("os.getuid", lambda: 4_000_111)
    assert system.system_identity().name == "uid 4000111"


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_file_that_sqlite_would_read_for_a_part_of_the_database_is_damage(
    tmp_path: Path, suffix: str
) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db", lock_seconds=0.1)
    with database.make():
        pass
    (tmp_path / f"ledger.db{suffix}").touch()
    with pytest.raises(LedgerDamaged, match="expected no file"):
        database.exists()


def test_a_connection_that_is_reset_before_it_is_made_is_lost(
    postgres: PostgresServer, database_url: str
) -> None:
    with TcpProxy("127.0.0.1", postgres.port) as proxy:
        proxy.resets = True
        proxy.cut_after(0)
        url = sa.make_url(database_url).set(port=proxy.port).render_as_string()
        database = PostgresqlDatabase(url, lock_seconds=0)
        with pytest.raises(ConnectionLost, match="the connection was lost"):
            database.exists()
        assert not database.exists()
        database.close()
