"""The backend of a command: a server, or the ledger's directory in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import typer

from lottery.cli.local_backend import LocalBackend
from lottery.cli.session import Session
from lottery.errors import escape, quote
from lottery.operations import Identity
from lottery.operations.inputs import VARIABLE, MemoryLimit
from lottery.operations.settings import LOCK_SECONDS, LedgerSettings

if TYPE_CHECKING:
    from lottery.cli.remote_backend import RemoteBackend
    from lottery.client import TlsFiles

DEFAULT_LEDGER: Final = "lottery-ledger"

Backend: TypeAlias = "LocalBackend | RemoteBackend"


@contextmanager
def open_backend(session: Session) -> Iterator[Backend]:
    """Open the server if one is named, else the ledger's directory.

    Raises:
        typer.BadParameter: The ledger's path cannot be one, or a setting in the environment is
            wrong.
    """
    if not session.server:
        yield open_local_backend(session)
        return
    from lottery.cli.remote_backend import RemoteBackend  # noqa: PLC0415 - loads gRPC.

    try:
        backend = RemoteBackend(session.server, tls=_tls_files())
    except OSError as error:
        raise typer.BadParameter(f"{escape(error.filename)}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(escape(str(error))) from None
    with backend:
        yield backend


def open_local_backend(session: Session) -> LocalBackend:
    """Open the ledger's directory, for what is done there only.

    Raises:
        typer.BadParameter: A server is named, or as `open_backend`.
    """
    if session.server:
        raise typer.BadParameter(
            "this command works on the ledger's own files; run it where the ledger is, "
            "without --server"
        )
    ledger = session.ledger or DEFAULT_LEDGER
    if not ledger.isprintable():
        raise typer.BadParameter(f"--ledger must be printable text, got {quote(ledger)}")
    return LocalBackend(
        ledger_settings(session, ledger), warn=session.warn, let_in=_doorkeeper(session.command)
    )


def ledger_settings(session: Session, ledger: str) -> LedgerSettings:
    """Return where a ledger is.

    Raises:
        typer.BadParameter: A setting in the environment is wrong.
    """
    scheme, separator, _ = ledger.partition("://")
    if separator and scheme != "postgresql":
        raise typer.BadParameter(
            f"--ledger must be a directory or postgresql://…, got {escape(ledger)}"
        )
    if separator and not session.objects:
        raise typer.BadParameter(
            "--ledger postgresql://… needs --objects, a directory or a bucket's URL"
        )
    key, mode, policy = (
        os.environ.get(f"LOTTERY_{name}")
        for name in ("SIGNING_KEY", "ARCHIVE_MODE", "WITNESS_POLICY")
    )
    if mode not in (None, "", "sync", "async"):
        raise typer.BadParameter(f"LOTTERY_ARCHIVE_MODE must be sync or async, got {quote(mode)}")
    return LedgerSettings(
        ledger=ledger,
        objects=session.objects or None,
        key_file=Path(key) if key else None,
        lock_seconds=_lock_seconds(),
        archive=session.archive or None,
        archives_first=mode != "async",
        witness_policy=Path(policy) if policy else None,
    )


def _doorkeeper(command: str) -> Callable[[Identity], None]:
    """Return what lets in those who may give a command: everybody, unless roles are given.

    Raises:
        typer.BadParameter: The file of roles cannot be used.
    """
    file = os.environ.get("LOTTERY_ROLES", "")
    if not file:
        return lambda _: None
    from lottery.operations.roles import read_roles  # noqa: PLC0415 - loads what few need.

    try:
        roles = read_roles(Path(file))
    except OSError as error:
        raise typer.BadParameter(f"LOTTERY_ROLES: {escape(file)}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"LOTTERY_ROLES: {error}") from None
    return lambda user: roles.let_in(user, f"lottery {command}", roles.giving(command))


def memory_limit() -> MemoryLimit:
    """Return what a day may take: the environment's figure, else the machine's.

    Raises:
        typer.BadParameter: The environment's figure is not a number of bytes.
    """
    given = os.environ.get(VARIABLE, "")
    if not given:
        return MemoryLimit.of_machine()
    if not (given.isascii() and given.isdigit()):
        raise typer.BadParameter(f"{VARIABLE} must be a number of bytes, got {quote(given)}")
    return MemoryLimit(limit_bytes=int(given))


def _lock_seconds() -> float:
    given = os.environ.get("LOTTERY_LOCK_SECONDS", "")
    try:
        return float(given) if given else LOCK_SECONDS
    except ValueError:
        raise typer.BadParameter(
            f"LOTTERY_LOCK_SECONDS must be a number of seconds, got {quote(given)}"
        ) from None


def _tls_files() -> TlsFiles | None:
    """Return the files of TLS if the environment names the authorities to trust.

    Raises:
        typer.BadParameter: It names other files, and no authorities.
    """
    from lottery.client import TlsFiles  # noqa: PLC0415 - loads gRPC.

    variables = (
        *("LOTTERY_SERVER_CA", "LOTTERY_CLIENT_CERTIFICATE", "LOTTERY_CLIENT_KEY"),
        "LOTTERY_TOKEN_FILE",
    )
    authorities, certificate, key, token = (
        Path(name) if (name := os.environ.get(variable)) else None for variable in variables
    )
    if authorities is None:
        if certificate or key or token:
            raise typer.BadParameter(f"{', '.join(variables[1:])} need LOTTERY_SERVER_CA")
        return None
    return TlsFiles(authorities=authorities, certificate=certificate, key=key, token=token)
