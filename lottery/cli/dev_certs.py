"""`lottery dev-certs`: what a server with mutual TLS needs, to try it out."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lottery.cli.options import JsonOption
from lottery.cli.session import session_of
from lottery.durable import create_file, sync_directory, temporary_path
from lottery.errors import OutputUnwritable, escape, quote
from lottery.operations.certificates import CALLERS, trial_files

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""What every server's certificate is for."""
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")


def dev_certs(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further name or address of the server, beside those of loopback; may be "
            "repeated.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=90, help="How many days the certificates are valid.")
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    """Make certificates for a server and a caller of each role, to try out mutual TLS.

    DIR gets an authority, a certificate for the server, one for each role with a typed name, and
    roles.toml. The authority's key is not kept. Not for production: use your own authority there.
    """
    session = session_of(context, as_json=as_json)
    hosts = [*LOOPBACK, *(host or ())]
    for name in hosts:
        if not (_HOST.fullmatch(name) or name == LOOPBACK[-1]):
            raise typer.BadParameter(f"--host: expected a host's name, got {quote(name)}")
    valid_for = dt.timedelta(days=days)
    try:
        _write_folder(folder, trial_files(hosts, valid_for))
    except OSError as error:
        text = f"{escape(str(folder))}: {error.strerror or error}"
        session.fail(OutputUnwritable(text))
    until = dt.datetime.now(dt.UTC) + valid_for
    document = {
        "folder": str(folder),
        "hosts": hosts,
        "valid_until": until.isoformat(timespec="seconds"),
        "callers": {role: name.value for role, name in CALLERS.items()},
    }
    session.show(document, lambda console: _show(console, folder, f"{until:%Y-%m-%d %H:%M} UTC"))


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder, which is there whole or not at all."""
    if folder.exists() or folder.is_symlink():
        raise typer.BadParameter(
            f"DIR: expected a folder that is not there yet, got {quote(str(folder))}; "
            "name another, nothing is overwritten"
        )
    beside = temporary_path(folder.absolute().parent)
    beside.mkdir(mode=0o755)
    try:
        for name, content in files.items():
            mode = 0o600 if name.endswith(".key") else 0o644
            create_file(beside / name, content, mode=mode)
        beside.rename(folder)
        sync_directory(folder.absolute().parent)
    except OSError:
        for path in beside.glob("*"):
            path.unlink()
        beside.rmdir()
        raise


def _show(console: Console, folder: Path, until: str) -> None:
    def path(name: str) -> str:
        return shlex.quote(str(folder / name))

    lines = [
        f"Made {escape(str(folder))}: certificates that are valid until {until}",
        "  authority.pem, and server.pem with server.key",
        *(f"  {role}.pem with {role}.key: {name.value}" for role, name in CALLERS.items()),
        "  roles.toml gives each of them its role",
        "",
        "To serve with them:",
        f"  export LOTTERY_TLS_CERTIFICATE={path('server.pem')}",
        f"  export LOTTERY_TLS_KEY={path('server.key')}",
        f"  export LOTTERY_TLS_CLIENT_CA={path('authority.pem')}",
        f"  export LOTTERY_ROLES={path('roles.toml')}",
        "  lottery serve",
        "To call it, as the operator for example:",
        f"  export LOTTERY_SERVER_CA={path('authority.pem')}",
        f"  export LOTTERY_CLIENT_CERTIFICATE={path('operator.pem')}",
        f"  export LOTTERY_CLIENT_KEY={path('operator.key')}",
        "  lottery --server localhost:50051 runs",
        "",
        "For trying out only: whoever reads a key is that caller.",
    ]
    console.print("\n".join(lines), soft_wrap=True)
