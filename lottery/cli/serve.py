"""`lottery serve` and `lottery health`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lottery.cli import exits
from lottery.cli.options import ArchiveOption, JsonOption, LedgerOption, ObjectsOption
from lottery.cli.session import session_of
from lottery.errors import ServerAway, escape


def serve(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; 127.0.0.1:50051 by default."),
    ] = None,
    ledger: LedgerOption = None,
    objects: ObjectsOption = None,
    archive: ArchiveOption = None,
) -> None:
    """Serve the lottery over gRPC until SIGTERM.

    Every setting is also an environment variable LOTTERY_…; docs/SETTINGS.md lists them.
    """
    main = import_server().main
    session = session_of(context, ledger=ledger, objects=objects, archive=archive)
    given: dict[str, Any] = {
        "listen": listen,
        "ledger": session.ledger,
        "objects": session.objects,
        "archive": session.archive,
    }
    main(**{name: value for name, value in given.items() if value is not None})


def import_server() -> Any:
    """Import the server's package from where this one is, whatever else is called `server`.

    The other commands start without it.

    Raises:
        typer.BadParameter: It is not there, or another package of that name is loaded.
    """
    home = Path(__file__).parents[2]
    spec = PathFinder.find_spec("server", [str(home)])
    loaded = sys.modules.get("server")
    if spec is None or spec.loader is None or (loaded and loaded.__file__ != spec.origin):
        raise typer.BadParameter(f"expected the package server in {escape(home)}, beside lottery")
    if loaded is None:
        sys.modules["server"] = package = module_from_spec(spec)
        spec.loader.exec_module(package)
    return import_module("server.__main__")


def health(
    context: typer.Context,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="LOTTERY_HEALTH_LISTEN",
            help="Where the server reports its health.",
        ),
    ] = "127.0.0.1:50052",
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a server whether it is serving: exit code 0 if it is, 75 if not."""
    import grpc  # noqa: PLC0415 - no other command but a server's needs it.
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - as above.

    session = session_of(context, as_json=as_json)
    with grpc.insecure_channel(listen) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            session.fail(ServerAway(f"no server answers at {listen} ({error.code().name})"))
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    session.show({"status": status}, lambda console: console.print(status))
    is_serving = response.status == health_pb2.HealthCheckResponse.SERVING
    raise typer.Exit(exits.DONE if is_serving else exits.TRY_AGAIN)
