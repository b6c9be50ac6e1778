"""The composition root: makes a server from its settings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from lottery import operations
from lottery.operations import Ledger
from lottery.operations.outbox import Outbox
from lottery.operations.roles import read_roles
from lottery.operations.webhooks import read_webhooks
from lottery.v1 import audit_service_pb2_grpc, lottery_service_pb2_grpc
from server import security, tracing, webhooks
from server.access import Access, caller
from server.admission import Admission, Door, Shares
from server.audit_service import AuditService
from server.binding import OWN_PORT, SHARED_PORT, UNIX, bind
from server.budget import Budget
from server.certificates import changing_credentials
from server.identity import Identifier
from server.keeper import Keeper
from server.lottery_service import LotteryService
from server.pace import Limits, Waits
from server.processes import Orders
from server.reservations import Reservations
from server.settings import Settings
from server.telemetry import CanonicalLog
from server.watched import Watched

SERVICES: Final = ("lottery.v1.LotteryService", "lottery.v1.AuditService")
"""Names of the services."""
LAST_SECONDS: Final = 1.0
"""Time in seconds for webhooks if the calls in progress have used up the grace."""

UNSEEN_CALLS: Final = 128
"""Calls that have arrived and that the door has not seen yet; past it gRPC itself cancels more and
more of those that arrive, and past twice as many all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LotteryServer:
    """The services of one process.

    Attributes:
        port: Their port.
    """

    port: int
    ledger: Ledger
    keeper: Keeper
    outbox: Outbox
    waits: Waits
    shares: Shares
    reservations: Reservations
    services: grpc.Server
    grace_seconds: float

    def start(self) -> None:
        """Start serving."""
        self.keeper.start()
        self.outbox.start()
        self.waits.start()
        self.services.start()

    def stop(self) -> None:
        """Drain: accept no new call, and let those in progress finish.

        What has begun to commit when the grace is over finishes too; its caller has gone by then,
        and finds it recorded when it asks again.
        """
        until = time.monotonic() + self.grace_seconds
        self.services.stop(self.grace_seconds).wait()
        self.shares.finish_recording()
        self.outbox.close(max(LAST_SECONDS, until - time.monotonic()))
        self.waits.stop()
        self.keeper.stop()
        self.ledger.close()
        self.reservations.close()


def create_server(settings: Settings, orders: Orders | None = None) -> LotteryServer:
    """Make a server, which does not serve before `start` is called.

    Args:
        settings: The settings.
        orders: What it shares with other workers; None if it is alone.

    Raises:
        ValueError: The settings of TLS, tokens or local callers contradict each other, or a file
            of them or of webhooks cannot be used.
        InsecureListen: The services would listen beyond loopback without TLS.
        OSError: A port is in use, or a file cannot be read.
        LotteryError: The ledger cannot be opened.
    """
    certificates = security.certificates(settings)
    tokens = security.tokens(settings)
    outbox = Outbox(read_webhooks(settings.webhooks), webhooks.report)
    ledger_settings = settings.ledger_settings()
    log = structlog.get_logger()
    role_files = [] if settings.roles is None else [settings.roles]
    roles = Watched("roles", role_files, lambda: read_roles(settings.roles, settings.local_trust()))
    ledger = operations.open_ledger(ledger_settings, lambda text: log.warning("ledger", what=text))
    for finding in operations.probe_objects(ledger):
        log.warning("objects", what=finding)
    ledger.publish()  # What a killed process has committed and not published.
    identifier = Identifier(
        local=settings.local_trust(),
        tokens=tokens,
        has_door=orders is not None and not settings.listen.startswith(UNIX),
    )
    watched: list[Watched[Any]] = [roles]
    watched += [] if certificates is None else [certificates]
    watched += [] if tokens is None else [tokens.keys]
    age_milliseconds = int(settings.max_connection_age_seconds * 1e3)
    shares = Shares(settings)
    waits = Waits(
        Limits(
            silent_seconds=settings.silent_seconds,
            slow_grace_seconds=settings.slow_grace_seconds,
            slow_bytes_per_second=settings.slow_bytes_per_second,
        )
    )
    services = grpc.server(
        shares.refusing,
        interceptors=[
            Door(shares),
            CanonicalLog(),
            *tracing.interceptors(),
            Access(identifier.identify, roles.current),
            Admission(shares, waits),
        ],
        maximum_concurrent_rpcs=shares.most,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.server.max_pending_requests", UNSEEN_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", 2 * UNSEEN_CALLS),
            ("grpc.max_connection_age_ms", age_milliseconds),
            ("grpc.max_connection_age_grace_ms", age_milliseconds),
            OWN_PORT if orders is None else SHARED_PORT,
        ],
    )
    reservations = _reservations(orders)
    budget = _budget(settings, orders, reservations)
    lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(
        LotteryService(
            ledger,
            max_rows=settings.max_rows,
            identify=caller,
            memory=budget.day,
            announce=outbox.put,
        ),
        services,
    )
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(
        AuditService(ledger, settings=settings, identify=caller, memory=budget.day),
        services,
    )
    reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], services)
    credentials = (
        None
        if certificates is None
        else changing_credentials(certificates, require_client=settings.tls_client_ca is not None)
    )
    port = bind(services, settings.listen, credentials)
    if orders is not None:
        bind(services, f"{UNIX}{orders.folder / f'worker-{orders.number}'}")
    return LotteryServer(
        port=port,
        ledger=ledger,
        keeper=Keeper(ledger, also=watched),
        outbox=outbox,
        waits=waits,
        shares=shares,
        reservations=reservations,
        services=services,
        grace_seconds=settings.grace_seconds,
    )


def _reservations(orders: Orders | None) -> Reservations:
    if orders is not None:
        return Reservations(orders.folder, orders.count)
    with TemporaryDirectory(prefix="lottery-") as folder:
        return Reservations(Path(folder), 1)


def _budget(settings: Settings, orders: Orders | None, reservations: Reservations) -> Budget:
    limit = settings.memory_limit().limit_bytes or 0
    count, worker = (1, 0) if orders is None else (orders.count, orders.number or 0)
    return Budget(limit_bytes=limit, reservations=reservations, count=count, worker=worker)
