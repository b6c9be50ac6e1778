"""A reader whose connection is cut as its transaction begins: it begins again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from lottery.stores.postgresql import PostgresqlDatabase
from tests.services.fixtures import database_url, postgres
from tests.services.postgres import PostgresServer
from tests.services.proxy import Cut, TcpProxy
from tests.services.waiting import LOOPBACK

__all__ = ["database_url", "postgres"]


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy(LOOPBACK, postgres.port) as proxy:
        yield proxy


@pytest.mark.parametrize("when", Cut)
def test_a_connection_that_is_cut_as_a_reader_begins_is_made_again(
    proxy: TcpProxy,
    postgres: PostgresServer,
    database_url: str,
    when: Cut,
) -> None:
    url = database_url.replace(f":{postgres.port}/", f":{proxy.port}/")
    database = PostgresqlDatabase(url, lock_seconds=30.0)
    proxy.cut_at(b"REPEATABLE READ", when=when)

    with database.reading() as connection:
        level = connection.execute(sa.text("SHOW transaction_isolation")).scalar()
        only_reads = connection.execute(sa.text("SHOW transaction_read_only")).scalar()

    assert (level, only_reads) == ("repeatable read", "on")
    assert proxy.cuts == 1
    database.close()
