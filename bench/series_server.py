"""A server for the series benchmark: `python -m bench.series_server ours|echo LEDGER SIZE...`.

It prints its port and serves until its standard input ends. An echo listens and has credentials as
`LOTTERY_LISTEN` and the `LOTTERY_TLS_` settings say, and several may share a port.
"""

from __future__ import annotations

import os
import sys
from concurrent import futures
from pathlib import Path
from typing import Final

import grpc

from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb

_ASKS: Final = {
    "Z901803": "862.45713",
    "Z901439": "118.20946",
    "Z901466": "407.93388",
    "Z901448": "1435.71263",
}


def series_request(accounts: int) -> pb.AllocateSeriesRequest:
    """Return a request for one pool of so many accounts."""
    request = pb.AllocateSeriesRequest(
        series="AAPL  240920C00220000", occ_account="C", assigned_quantity=3 * accounts
    )
    request.business_date.year, request.business_date.month, request.business_date.day = 2024, 9, 16
    request.exchange_asks.extend(
        lottery_pb2.ExchangeAsk(security_number=number, ask_price=ask)
        for number, ask in _ASKS.items()
    )
    for index in range(accounts):
        # Steps round a prime: the numbers come in no order, and none comes twice.
        number = 1_046 + index * 1_103_515_245 % 2_147_483_647
        request.positions.add(account=str(number), short_quantity=1 + 7 * index % 20 + 3)
    return request


def main() -> None:
    """Serve."""
    kind, directory, sizes = sys.argv[1], Path(sys.argv[2]), [int(size) for size in sys.argv[3:]]
    if kind == "ours":
        _serve_ours(directory)
    else:
        _serve_echo(sizes)


def _serve_ours(directory: Path) -> None:
    from bench.ours import made_ledger, warm_up  # noqa: PLC0415 - as above.
    from server.app import create_server  # noqa: PLC0415 - the echo needs none of it.
    from server.logs import configure_logging  # noqa: PLC0415 - as above.
    from server.settings import Settings  # noqa: PLC0415 - as above.

    settings = Settings(
        listen="127.0.0.1:0",
        health_listen="127.0.0.1:0",
        metrics_listen="",
        ledger=str(directory),
    )
    made_ledger(directory).close()
    configure_logging(settings)
    server = create_server(settings)
    warm_up()
    server.start()
    print(server.port, flush=True)
    sys.stdin.read()
    server.stop()


def _serve_echo(sizes: list[int]) -> None:
    from server import security  # noqa: PLC0415 - as above.
    from server.binding import SHARED_PORT, bind  # noqa: PLC0415 - as above.
    from server.certificates import changing_credentials  # noqa: PLC0415 - as above.
    from server.settings import Settings  # noqa: PLC0415 - as above.

    settings = Settings(listen=os.environ.get("LOTTERY_LISTEN", "127.0.0.1:0"))
    files = security.certificates(settings)
    credentials = None if files is None else changing_credentials(files, require_client=True)
    server = grpc.server(
        futures.ThreadPoolExecutor(settings.call_threads),
        options=[
            SHARED_PORT,
            ("grpc.max_receive_message_length", settings.max_message_bytes),
        ],
    )
    responses = {size: _response(size) for size in sizes}
    echo = grpc.unary_unary_rpc_method_handler(
        lambda request, _: responses[len(request.positions)],
        request_deserializer=pb.AllocateSeriesRequest.FromString,
        response_serializer=pb.AllocateSeriesResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "lottery.v1.LotteryService", {"AllocateSeries": echo}
            )
        ]
    )
    port = bind(server, settings.listen, credentials)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


def _response(accounts: int) -> pb.AllocateSeriesResponse:
    """Return what the real server answers to the request of this size."""
    from lottery import operations  # noqa: PLC0415 - as above.
    from server import requests, responses  # noqa: PLC0415 - as above.

    asked = requests.to_series_request(series_request(accounts), accounts)
    return responses.from_series_allocation(asked, operations.allocate_series(asked))


if __name__ == "__main__":
    main()
