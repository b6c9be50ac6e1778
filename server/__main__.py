"""`python -m server`: serve until SIGTERM or SIGINT, then drain."""

from __future__ import annotations

import server.own_path  # noqa: F401 - it is for what it does, before all others.

# isort: split

import os
import signal
import sys
from typing import Any, Final

import structlog
from pydantic import ValidationError

from lottery import operations
from lottery.errors import LotteryError
from lottery.operations.roles import in_order
from lottery.operations.variables import misspelt, problems_of
from lottery.version import VERSION
from server.app import create_server
from server.settings import Settings
from server.telemetry import configure_logging

STOP_SIGNALS: Final = frozenset((signal.SIGTERM, signal.SIGINT))
"""Signals that stop the server."""


def main(**given: Any) -> None:
    """Serve with the settings of the environment.

    Args:
        given: Settings that take precedence over the environment.

    Raises:
        SystemExit: 2, if a setting is invalid or the server cannot start.
    """
    problems = list(misspelt(os.environ, Settings))
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += problems_of(error)
    if problems:
        print("\n".join(problems), file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    serve(settings)


def serve(settings: Settings) -> None:
    """Serve until a stop signal arrives.

    Raises:
        SystemExit: 2, if the server cannot start; the log says why.
    """
    configure_logging(settings)
    log = structlog.get_logger()
    # Signals that are blocked before the first thread starts wait for `sigwait`: none is lost, and
    # no handler interrupts anything.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        server = create_server(settings)
    except (OSError, ValueError, LotteryError) as error:
        log.error("not started", problem=str(error))  # noqa: TRY400 - the text is enough.
        raise SystemExit(2) from None
    _warn_of_trust(settings)
    operations.report_compiling(lambda text: log.info("compiling", what=text))
    operations.warm_up()
    server.start()
    log.info(
        "serving",
        version=VERSION,
        port=server.port,
        health_port=server.health.port,
        metrics_port=None if server.metrics is None else server.metrics.port,
        ledger=settings.ledger,
        tls=settings.tls_certificate is not None,
    )
    signal.sigwait(STOP_SIGNALS)
    log.info("draining", grace_seconds=settings.grace_seconds)
    server.stop()
    log.info("stopped")


def _warn_of_trust(settings: Settings) -> None:
    """Log that every local caller is trusted, or that nobody has a role."""
    log, local = structlog.get_logger(), settings.local_trust()
    if local is not None:
        log.warning("every local caller is trusted", name=local.name, roles=in_order(local.roles))
    elif settings.roles is None:
        log.warning(
            "nobody has a role",
            advice="set LOTTERY_ROLES, or LOTTERY_TRUST_LOCAL on loopback without TLS; until then "
            "callers derive seeds, allocate one series and ask for odds, and no more",
        )


if __name__ == "__main__":
    main()
