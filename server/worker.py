"""A worker: one process that serves the services on the port that all workers share.

The supervisor starts it. Its metrics are read on a socket of its own (`server/monitor.py`).
"""

from __future__ import annotations

import socketserver
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import prometheus_client
import structlog

from lottery import operations
from server import processes
from server.app import create_server


class _Metrics(socketserver.StreamRequestHandler):
    """Writes the metrics of this process to whoever connects."""

    def handle(self) -> None:
        self.wfile.write(prometheus_client.generate_latest())


def main() -> None:
    """Serve until the supervisor ends or says so, then drain."""
    orders = processes.begin()
    with processes.starting():
        server = create_server(orders.settings, orders)
        _serve_metrics(orders.folder / f"metrics-{orders.number}")
    log = structlog.get_logger()
    operations.report_compiling(lambda text: log.info("compiling", what=text))
    operations.warm_up()
    server.start()
    processes.report(port=server.port)
    sys.stdin.read()
    server.stop()
    processes.end()


def _serve_metrics(path: Path) -> None:
    path.unlink(missing_ok=True)
    server: Any = socketserver.ThreadingUnixStreamServer(str(path), _Metrics)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
