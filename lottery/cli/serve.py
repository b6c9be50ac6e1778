"""`lottery serve` and `lottery health`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lottery.cli import exits
from lottery.cli.shell import JsonOption, LedgerOption, report, shell_of
from lottery.errors import ServerAway


def serve(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; 127.0.0.1:50051 by default."),
    ] = None,
    ledger: LedgerOption = None,
) -> None:
    """Serve the lottery over gRPC until SIGTERM.

    Every setting is also an environment variable LOTTERY_…; docs/SETTINGS.md lists them.
    """
    # The server's package is imported where it is needed: the other commands start without it.
    from server.__main__ import main  # noqa: PLC0415

    common = shell_of(context, ledger, None, as_json=False).common
    given: dict[str, Any] = {"listen": listen, "ledger": common.ledger}
    main(**{name: value for name, value in given.items() if value is not None})


def health(
    context: typer.Context,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="LOTTERY_HEALTH_LISTEN",
            help="Where the server's health is asked.",
        ),
    ] = "127.0.0.1:50052",
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a server whether it serves: exit code 0, or 75 where it does not."""
    import grpc  # noqa: PLC0415 - no other command but a server's needs it.
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - as above.

    shell = shell_of(context, None, None, as_json=as_json)
    with grpc.insecure_channel(listen) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            report(
                ServerAway(f"no server answers at {listen} ({error.code().name})"),
                as_json=shell.common.as_json,
                records=False,
            )
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    shell.say({"status": status}, lambda console: console.print(status))
    serving = response.status == health_pb2.HealthCheckResponse.SERVING
    raise typer.Exit(exits.DONE if serving else exits.TRY_AGAIN)
