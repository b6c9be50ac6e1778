"""PostgreSQL and an S3 in a process of their own, behind proxies that cut connections at random."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from tests.services.postgres import PostgresServer
from tests.services.proxy import PG8000_COMMIT, Cut, TcpProxy
from tests.services.s3 import S3Server, environment_of
from tests.services.waiting import LOOPBACK

_MEAN_SECONDS: Final = 1.0
"""Between two cuts."""
_DATABASE: Final = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where the services are, behind their proxies.

    Attributes:
        ledger: The database's URL.
        objects: The URL of a prefix of a bucket.
        environment: The variables that lead to the bucket.
    """

    ledger: str
    objects: str
    environment: dict[str, str]


@contextmanager
def cut_services(seed: int) -> Iterator[tuple[Services, Connection]]:
    """Start the services; a message over the connection ends the cuts, whose number is answered.

    Args:
        seed: From which number the moments are drawn.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, seed))
    process.start()
    theirs.close()
    try:
        yield ours.recv(), ours
    finally:
        ours.close()
        process.join()


def _serve(connection: Connection, seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 - moments to cut at.
    with (
        PostgresServer(fsync=False) as postgres,
        S3Server() as s3,
        TcpProxy(LOOPBACK, postgres.port) as database,
        TcpProxy(LOOPBACK, s3.port) as bucket,
    ):
        postgres.create_database(_DATABASE)
        connection.send(
            Services(
                ledger=f"postgresql://postgres@{LOOPBACK}:{database.port}/{_DATABASE}",
                objects=f"s3://{s3.new_bucket()}/ledger",
                environment=environment_of(bucket.port),
            )
        )
        cuts = 0
        while not connection.poll(generator.uniform(0, 2 * _MEAN_SECONDS)):
            cuts += _cut_something(generator, database, bucket)
        database.rules.clear()
        bucket.rules.clear()
        connection.recv()
        connection.send(cuts + database.cuts + bucket.cuts)
        try:
            connection.recv()
        except EOFError:  # The other end is closed: nobody needs the services any more.
            return


def _cut_something(generator: random.Random, database: TcpProxy, bucket: TcpProxy) -> int:
    """Cut all connections to a service now, or the next one at a moment that hurts."""
    match generator.randrange(4):
        case 0:
            return database.cut()
        case 1:
            return bucket.cut()
        case 2:
            database.cut_at(*PG8000_COMMIT, when=generator.choice(list(Cut)))
        case _:
            bucket.cut_after(generator.randrange(2000))
    return 0
