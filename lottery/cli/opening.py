"""Opens the backend that a command works at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from lottery.cli.backend import Backend, LocalBackend
from lottery.cli.shell import DEFAULT_LEDGER, Common, Shell
from lottery.intake.memory import VARIABLE, MemoryLimit
from lottery.ledger.commit import LOCK_SECONDS as DEFAULT_LOCK_SECONDS

if TYPE_CHECKING:
    from lottery.client import LotteryClient, TlsFiles

LOCK_SECONDS: Final = "LOTTERY_LOCK_SECONDS"
SIGNING_KEY: Final = "LOTTERY_SIGNING_KEY"
SERVER_CA: Final = "LOTTERY_SERVER_CA"
CLIENT_CERTIFICATE: Final = "LOTTERY_CLIENT_CERTIFICATE"
CLIENT_KEY: Final = "LOTTERY_CLIENT_KEY"


@contextmanager
def open_backend(common: Common) -> Iterator[Backend]:
    """The server where one is named, else the ledger's directory.

    Raises:
        typer.BadParameter: The ledger is no directory's path, or a setting of the environment that
            the work needs is none.
    """
    if common.server:
        from lottery.cli.remote_backend import RemoteBackend  # noqa: PLC0415 - loads gRPC.

        with _client_of(common.server) as client:
            yield RemoteBackend(client)
        return
    yield open_local_backend(common)


def open_local_backend(common: Common) -> LocalBackend:
    """The ledger's directory, for what is done there alone.

    Raises:
        typer.BadParameter: A server is named, or as `open_backend`.
    """
    if common.server:
        raise typer.BadParameter("this is done where the ledger is, and not by a server")
    ledger = common.ledger or DEFAULT_LEDGER
    if "://" in ledger:
        raise typer.BadParameter(f"{ledger}: only directories can be ledgers so far")
    if not ledger.isprintable():
        raise typer.BadParameter(f"{ledger!r}: a ledger's path must be printable text")
    key = os.environ.get(SIGNING_KEY)
    return LocalBackend(
        Path(ledger),
        lock_seconds=_lock_seconds(),
        key=Path(key) if key else None,
        warn=Shell(common).warn,
    )


def memory_limit() -> MemoryLimit:
    """What a day may take: the environment's figure, else what the machine has.

    Raises:
        typer.BadParameter: The environment's is no number of bytes.
    """
    given = os.environ.get(VARIABLE, "")
    if not given:
        return MemoryLimit.of_machine()
    if not (given.isascii() and given.isdigit()):
        raise typer.BadParameter(f"{VARIABLE}={given} is no number of bytes")
    return MemoryLimit(limit_bytes=int(given))


def _client_of(target: str) -> LotteryClient:
    from lottery.client import LotteryClient  # noqa: PLC0415 - loads gRPC.

    try:
        return LotteryClient(target, tls=_tls_of(os.environ))
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}") from None


def _lock_seconds() -> float:
    given = os.environ.get(LOCK_SECONDS, "")
    try:
        return float(given) if given else DEFAULT_LOCK_SECONDS
    except ValueError:
        raise typer.BadParameter(f"{LOCK_SECONDS}={given} is no number of seconds") from None


def _tls_of(environment: Mapping[str, str]) -> TlsFiles | None:
    """TLS, where the environment names whom to trust."""
    given = {
        name: Path(environment[name])
        for name in (SERVER_CA, CLIENT_CERTIFICATE, CLIENT_KEY)
        if environment.get(name)
    }
    if SERVER_CA not in given:
        return None
    from lottery.client import TlsFiles  # noqa: PLC0415 - loads gRPC.

    return TlsFiles(
        authorities=given[SERVER_CA],
        certificate=given.get(CLIENT_CERTIFICATE),
        key=given.get(CLIENT_KEY),
    )
