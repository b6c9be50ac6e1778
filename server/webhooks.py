"""What the server says of its webhooks: a line of the log for each, and a metric."""

from __future__ import annotations

import prometheus_client
import structlog

from lottery.operations.webhooks import Delivery

_webhooks = prometheus_client.Counter(
    "lottery_webhooks", "Events for a receiver of webhooks, by outcome.", labelnames=("outcome",)
)
for _outcome in ("delivered", "given_up"):
    _webhooks.labels(_outcome)  # It is 0 from the start: an alert sees the first one too.


def report(delivery: Delivery) -> None:
    """Log and count what came of an event for a receiver."""
    log = structlog.get_logger().bind(
        to=delivery.receiver,
        type=delivery.event.said.type,
        id=delivery.event.id,
        attempts=delivery.attempts,
    )
    if delivery.problem is None:
        _webhooks.labels("delivered").inc()
        log.info("webhook delivered")
    else:
        _webhooks.labels("given_up").inc()
        log.warning("webhook given up", problem=delivery.problem)
