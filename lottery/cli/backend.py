"""The backend of a command: a server, or the ledger's directory in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

import typer

from lottery.backends.local import LocalBackend
from lottery.cli.session import Session
from lottery.cli.variables import client_variables, memory_limit
from lottery.errors import escape, quote
from lottery.operations import Identity
from lottery.operations.settings import LedgerSettings

if TYPE_CHECKING:
    from lottery.backends.remote import RemoteBackend
    from lottery.client import TlsFiles
    from lottery.operations import Ledger

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
    from lottery.backends.remote import RemoteBackend  # noqa: PLC0415 - loads gRPC.

    try:
        backend = RemoteBackend(session.server, tls=_tls_files(), memory=memory_limit())
    except OSError as error:
        raise typer.BadParameter(f"{escape(error.filename)}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(escape(str(error))) from None
    with backend:
        yield backend


def open_local_backend(
    session: Session, open_ledger: Callable[..., Ledger] | None = None
) -> LocalBackend:
    """Open the ledger's directory, for what is done there only.

    Args:
        session: The command's options.
        open_ledger: As of `LocalBackend`.

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
        ledger_settings(session, ledger),
        variables=client_variables(),
        warn=session.warn,
        let_in=_doorkeeper(),
        command=session.command,
        open_ledger=open_ledger,
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
    return replace(
        client_variables().ledger_settings(),
        ledger=ledger,
        objects=session.objects or None,
        archive=session.archive or None,
    )


def _doorkeeper() -> Callable[[Identity, str], None]:
    """Return what lets in those who may give a command: everybody, unless roles are given.

    Raises:
        typer.BadParameter: The file of roles cannot be used.
    """
    file = client_variables().roles
    if file is None:
        return lambda *_: None
    from lottery.operations.roles import read_roles  # noqa: PLC0415 - loads what few need.

    try:
        roles = read_roles(file)
    except OSError as error:
        raise typer.BadParameter(f"LOTTERY_ROLES: {escape(file)}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"LOTTERY_ROLES: {error}") from None
    return lambda user, command: roles.let_in(user, f"lottery {command}", roles.giving(command))


def _tls_files() -> TlsFiles | None:
    """Return the files of TLS if the environment names the authorities to trust.

    Raises:
        typer.BadParameter: A setting in the environment is wrong.
    """
    from lottery.client import TlsFiles  # noqa: PLC0415 - loads gRPC.

    found = client_variables()
    if found.server_ca is None:
        return None
    return TlsFiles(
        authorities=found.server_ca,
        certificate=found.client_certificate,
        key=found.client_key,
        token=found.token_file,
    )
