"""The composition root: makes a server from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from lottery import operations
from lottery.operations.inputs import MemoryLimit
from lottery.operations.roles import read_roles
from lottery.operations.runs import Ledger
from lottery.v1 import audit_service_pb2_grpc, lottery_service_pb2_grpc
from server import security, tracing
from server.access import Access, caller
from server.admission import Admission, Door, Shares
from server.audit_service import AuditService
from server.binding import OWN_PORT, bind
from server.certificates import changing_credentials
from server.identity import Identifier
from server.keeper import Keeper
from server.lottery_service import LotteryService
from server.pace import Limits, Waits
from server.settings import Settings
from server.telemetry import SERVICES, CanonicalLog, HealthServer, MetricsServer
from server.watched import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class LotteryServer:
    """The services, their health and their metrics, each on a port of its own.

    Attributes:
        port: The port of the services.
        health: The server of `grpc.health.v1`.
        metrics: The server of Prometheus metrics; None if they are turned off.
    """

    port: int
    health: HealthServer
    metrics: MetricsServer | None
    ledger: Ledger
    keeper: Keeper
    waits: Waits
    services: grpc.Server
    grace_seconds: float

    def start(self) -> None:
        """Start serving."""
        self.keeper.start()
        self.waits.start()
        self.services.start()
        self.health.start()

    def stop(self) -> None:
        """Drain: report NOT_SERVING, accept no new call, and let those in progress finish."""
        self.health.drain()
        self.services.stop(self.grace_seconds).wait()
        self.waits.stop()
        self.health.stop()
        if self.metrics is not None:
            self.metrics.stop()
        self.keeper.stop()
        self.ledger.close()


def create_server(settings: Settings) -> LotteryServer:
    """Make a server, which does not serve before `start` is called.

    Raises:
        ValueError: The settings of TLS, tokens or local callers contradict each other, or a file
            of them cannot be used.
        InsecureListen: The services would listen beyond loopback without TLS.
        OSError: A port is in use, or a file cannot be read.
        LotteryError: The ledger cannot be opened.
    """
    certificates = security.certificates(settings)
    tokens = security.tokens(settings)
    ledger_settings = settings.ledger_settings()
    log = structlog.get_logger()
    role_files = [] if settings.roles is None else [settings.roles]
    roles = Watched("roles", role_files, lambda: read_roles(settings.roles, settings.local_trust()))
    ledger = operations.open_ledger(ledger_settings, lambda text: log.warning("ledger", what=text))
    for finding in operations.probe_objects(ledger):
        log.warning("objects", what=finding)
    ledger.publish()  # What a killed process has committed and not published.
    identifier = Identifier(local=settings.local_trust(), tokens=tokens)
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
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_connection_age_ms", age_milliseconds),
            ("grpc.max_connection_age_grace_ms", age_milliseconds),
            OWN_PORT,
        ],
    )
    lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(
        LotteryService(
            ledger,
            max_rows=settings.max_rows,
            identify=caller,
            memory=_memory_limit(settings),
        ),
        services,
    )
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(
        AuditService(ledger, settings=ledger_settings, identify=caller),
        services,
    )
    reflection.enable_server_reflection(
        [name for name in SERVICES if name] + [reflection.SERVICE_NAME], services
    )
    credentials = (
        None
        if certificates is None
        else changing_credentials(certificates, require_client=settings.tls_client_ca is not None)
    )
    port = bind(services, settings.listen, credentials)
    return LotteryServer(
        port=port,
        health=HealthServer(settings.health_listen),
        metrics=MetricsServer(settings.metrics_listen) if settings.metrics_listen else None,
        ledger=ledger,
        keeper=Keeper(ledger, also=watched),
        waits=waits,
        services=services,
        grace_seconds=settings.grace_seconds,
    )


def _memory_limit(settings: Settings) -> MemoryLimit:
    if settings.memory_limit_bytes is None:
        return MemoryLimit.of_machine()
    return MemoryLimit(limit_bytes=settings.memory_limit_bytes)
