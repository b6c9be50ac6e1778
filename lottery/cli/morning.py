"""`lottery console`: the morning console in a browser on this machine."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lottery import operations
from lottery.cli.backend import Backend, open_backend, open_local_backend
from lottery.cli.options import read_address
from lottery.cli.session import Session, command, stop_event
from lottery.errors import RoleMissing, escape, quote
from lottery.extras import import_extra
from lottery.operations.hosts import is_loopback
from lottery.operations.ledgers import where_is

if TYPE_CHECKING:
    from lottery.web.console.serving import ConsoleServer

DEFAULT_LISTEN: Final = "127.0.0.1:8470"


@command
def console(
    session: Session,
    listen: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where to listen, on this machine; port 0 is free."),
    ] = DEFAULT_LISTEN,
) -> None:
    """Show the ledger in a browser on this machine, until it is stopped; prints the address.

    The date's state, breaks, holds, runs, search, entries, and proposals to approve. Each page asks
    as its command does. The address has a secret, which works once.
    """
    for package in ("starlette", "uvicorn"):
        import_extra(package)
    from lottery.web.console.serving import ConsoleServer  # noqa: PLC0415 - needs the packages.

    address = read_address(listen)
    if not is_loopback(address[0]):
        raise typer.BadParameter(
            f"--listen: the console is for people on this machine, got {quote(address[0])}; "
            "expected 127.0.0.1, [::1] or localhost. Whoever is elsewhere needs the console of a "
            "server, which asks who they are"
        )
    with _backends(session) as (backend_for, about):
        try:
            server = ConsoleServer(address, backend_for, about=about)
        except OSError as error:
            raise typer.BadParameter(f"--listen {escape(listen)}: {error.strerror}") from None
        stopping = stop_event()
        _show(session, server)
        server.serve_until(stopping)


@contextmanager
def _backends(
    session: Session,
) -> Iterator[tuple[Callable[[Any], AbstractContextManager[Backend]], str]]:
    """Yield what opens the backend of a request, and which ledger it is, as whom.

    The ledger or the connection is kept open.

    Who may do what is read again for each request.
    """
    if session.server:
        with open_backend(session) as remote:
            about = f"Server {session.server}, which knows you by what this console shows it"
            yield lambda _: nullcontext(remote), escape(about)
        return
    kept = functools.cache(operations.open_ledger)
    # What is wrong with the settings, or the ledger, is said at once.
    ledger = open_local_backend(session, kept).ledger()

    @contextmanager
    def local(_: Any) -> Iterator[Backend]:
        try:
            backend = open_local_backend(session, kept)
        except typer.BadParameter as error:
            raise RoleMissing(f"nothing is shown: {error.message}", roles="") from None
        yield backend

    user = operations.system_identity()
    yield local, escape(f"Ledger {where_is(ledger)}, as {user.name} on {user.host}")


def _show(session: Session, server: ConsoleServer) -> None:
    lines = (
        f"The console is at {server.url}",
        "The address works once, and in one browser; Ctrl-C ends the console.",
    )
    session.show({"url": server.url}, lambda out: out.print("\n".join(lines), soft_wrap=True))
    sys.stdout.flush()
