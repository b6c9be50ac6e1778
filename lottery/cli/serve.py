"""`lottery serve` and `lottery health`."""

from __future__ import annotations

from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lottery.cli import exits
from lottery.cli.shell import JsonOption, LedgerOption, ServerOption, shell_of


def serve(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; 127.0.0.1:50051 by default."),
    ] = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the lottery over gRPC until SIGTERM.

    Every setting is also an environment variable LOTTERY_…; docs/SETTINGS.md lists them.
    """
    # The server's package is imported where it is needed: the other commands start without it.
    from server.__main__ import main  # noqa: PLC0415

    common = shell_of(context, ledger, server, as_json=as_json).common
    given: dict[str, Any] = {"listen": listen, "ledger": common.ledger}
    main(**{name: value for name, value in given.items() if value is not None})


def health(
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="LOTTERY_HEALTH_LISTEN",
            help="Where the server's health is asked.",
        ),
    ] = "127.0.0.1:50052",
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 3.0,
) -> None:
    """Ask a server whether it serves: exit code 0, or 75 where it does not."""
    with grpc.insecure_channel(listen) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            typer.echo(f"{listen} does not answer: {error.code().name}", err=True)
            raise typer.Exit(exits.TRY_AGAIN) from None
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    typer.echo(status)
    serving = response.status == health_pb2.HealthCheckResponse.SERVING
    raise typer.Exit(exits.DONE if serving else exits.TRY_AGAIN)
