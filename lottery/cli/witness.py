"""`lottery witness serve` and `lottery witness keys`."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from lottery.cli.options import (
    JsonOption,
    MakeOption,
    NameOption,
    read_address,
    read_keys,
    read_new_key,
)
from lottery.cli.session import Session, session_of, stop_event
from lottery.cli.witness_server import WitnessServer
from lottery.errors import LotteryError
from lottery.operations.proofs import VerifierKey
from lottery.operations.witness import make_witness_key, open_witness, witness_key

app = typer.Typer(
    name="witness",
    help="Be a witness of somebody's log: cosign its checkpoints as long as each begins with the "
    "one before.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def serve(
    context: typer.Context,
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="The private key, by lottery witness keys --make.")
    ],
    log: Annotated[
        list[str], typer.Option(metavar="VKEY", help="The public key of a log; may be repeated.")
    ],
    state: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where it keeps what it cosigned; never restore it."),
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; a proxy in front has TLS.")
    ] = "127.0.0.1:8080",
    as_json: JsonOption = False,
) -> None:
    """Serve a witness over HTTP (C2SP tlog-witness) until SIGTERM; prints its public key first.

    A copy of the state that is older than the witness must never be put in place of it: the witness
    would cosign a second history.
    """
    session, address = session_of(context, as_json=as_json), read_address(listen)
    logs = read_keys(log, "--log")
    try:
        witness = open_witness(key, logs, state)
    except LotteryError as error:
        session.fail(error)
    server = WitnessServer(witness, address, clock=lambda: int(time.time()), report=_report)
    stopping = stop_event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _show(session, witness.verifier, server.url)
    stopping.wait()
    server.stop()
    thread.join()


@app.command()
def keys(
    context: typer.Context,
    make: MakeOption = None,
    name: NameOption = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A private key that was made before.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a witness's key, or print the public key of one; a log's key is no witness's."""
    session = session_of(context, as_json=as_json)
    to_make = read_new_key(make, name)
    if (to_make is None) == (key is None):
        raise typer.BadParameter("expected either --make and --name, or --key")
    try:
        if to_make is not None:
            _show(session, make_witness_key(*to_make))
        elif key is not None:
            _show(session, witness_key(key))
    except LotteryError as error:
        session.fail(error)


def _show(session: Session, key: VerifierKey, url: str | None = None) -> None:
    document = {"name": key.name, "public_key": str(key)}
    if url is not None:
        document["url"] = url
    lines = [str(key), *([] if url is None else [f"Serving at {url}"])]
    session.show(document, lambda console: console.print("\n".join(lines), soft_wrap=True))
    sys.stdout.flush()


def _report(line: str) -> None:
    typer.echo(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}", err=True)
