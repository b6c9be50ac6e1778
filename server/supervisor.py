"""The supervisor: starts the other processes, starts again what dies, and stops all.

It computes nothing and imports no gRPC, so that nothing of a call can take it down.

Invariants:
- The services' port is reserved by the supervisor alone, for as long as it lives.
- What a worker that died had reserved of the memory is given back before another starts.
- When the supervisor ends, however that comes about, all others end.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from lottery.operations.roles import in_order
from lottery.version import VERSION
from server.binding import UNIX, host_and_port, reserve
from server.processes import ASK, DRAIN, STOP_SIGNALS, Orders
from server.reservations import Reservations
from server.settings import Settings

LOOK_SECONDS: Final = 1.0
"""Time in seconds between two looks at the processes; a signal brings one at once."""
_HOME: Final = str(Path(__file__).parents[1])
_CODE: Final = f"""\
import importlib, sys
sys.path.append({_HOME!r})
importlib.import_module(sys.argv[1]).main()
"""
"""What a process runs: a module of this package, which may not be installed. The working directory,
where somebody else's packages may be, is not on its path (`python -P`)."""
_PORTS: Final = {
    "health_listen": "health_port",
    "metrics_listen": "metrics_port",
    "http_listen": "http_port",
}
"""The settings whose ports the other processes say, by what they call them."""
PAUSE_SECONDS: Final = 1.0
"""Time in seconds between two starts of a process that dies."""


class NotStarted(Exception):
    """A process could not start; the message says why."""


@dataclass(slots=True, kw_only=True)
class _Child:
    """A process, and what it was started for."""

    module: str
    orders: Orders
    process: Any  # Its pipes are there, which the type of Popen leaves open.
    started: float


class Supervisor:
    """The processes of a server.

    Args:
        settings: The settings.

    Raises:
        OSError: The port of the services is in use.
    """

    def __init__(self, settings: Settings) -> None:
        self._log = structlog.get_logger()
        self._stack = ExitStack()
        self._settings = settings
        self._count = 1 if settings.listen.startswith(UNIX) else settings.process_count()
        if not settings.listen.startswith(UNIX):
            reserved = self._stack.enter_context(reserve(settings.listen))
            host = host_and_port(settings.listen)[0]
            shown = f"[{host}]" if ":" in host else host
            listen = f"{shown}:{reserved.getsockname()[1]}"
            self._settings = settings.model_copy(update={"listen": listen})
        elif settings.process_count() > 1:
            self._log.info("one worker", why="workers cannot share a Unix socket")
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lottery-"))
        self._orders = Orders(settings=self._settings, folder=Path(folder), count=self._count)
        self._children: list[_Child] = []

    def start(self) -> dict[str, Any]:
        """Start all, and return what they said: the ports on which they serve.

        Raises:
            NotStarted: One of them did not start; all others are stopped.
        """
        self._reservations = Reservations(self._orders.folder, self._count)
        for number in range(self._count):
            self._children.append(_begun("server.worker", replace(self._orders, number=number)))
        self._children.append(_begun("server.monitor", self._orders))
        if self._settings.http_listen:
            self._children.append(_begun("server.web", self._orders))
        said: dict[str, Any] = {}
        for child in self._children:
            said |= _heard(child)
            if "problem" in said:
                self._kill()
                raise NotStarted(said["problem"])
        given = self._settings.model_dump()
        fixed = {
            name: f"{given[name].rpartition(':')[0]}:{said[port]}"
            for name, port in _PORTS.items()
            if said.get(port) is not None
        }
        orders = replace(self._orders, settings=self._settings.model_copy(update=fixed))
        for child in self._others():
            _order(child, ASK)
            child.orders = orders  # Should it have to start again, its ports are the same.
        return said

    def workers(self) -> list[int]:
        """Return the workers' process ids."""
        return [child.process.pid for child in self._children if child.orders.number is not None]

    def watch(self) -> None:
        """Start again what dies, until a stop signal arrives."""
        while True:
            arrived = signal.sigtimedwait({*STOP_SIGNALS, signal.SIGCHLD}, LOOK_SECONDS)
            if arrived is not None and arrived.si_signo in STOP_SIGNALS:
                return
            for index, child in enumerate(self._children):
                if child.process.poll() is not None:
                    self._children[index] = self._again(child)

    def stop(self) -> None:
        """Drain: report NOT_SERVING, wait, and let the calls in progress finish."""
        monitor, *doors = self._others()
        workers = self._children[: self._count]
        self._log.info("draining", grace_seconds=self._settings.grace_seconds)
        _order(monitor, DRAIN)
        time.sleep(self._settings.leave_seconds)
        for child in (*doors, *workers):
            _close(child)
        for child in (*doors, *workers):
            child.process.wait()
        _close(monitor)
        monitor.process.wait()
        self._stack.close()
        self._log.info("stopped")

    def _others(self) -> list[_Child]:
        """Return the monitor, and the door over HTTP if there is one."""
        return self._children[self._count :]

    def _again(self, child: _Child) -> _Child:
        code = child.process.returncode
        self._log.error(
            f"{child.module.rpartition('.')[2]} died",
            worker=child.orders.number,
            code=code,
            problem=_heard(child).get("problem"),
            advice="it is started again",
        )
        if child.orders.number is not None:
            self._reservations.clear(child.orders.number)
        time.sleep(max(0.0, min(PAUSE_SECONDS, child.started + PAUSE_SECONDS - time.monotonic())))
        return _begun(child.module, child.orders)

    def _kill(self) -> None:
        for child in self._children:
            child.process.kill()
            child.process.wait()
        self._stack.close()


def supervise(settings: Settings) -> None:
    """Serve until a stop signal arrives.

    Raises:
        SystemExit: 2, if the server cannot start; the log says why.
    """
    log = structlog.get_logger()
    # Signals that are blocked before the first process starts wait: none is lost, and no handler
    # interrupts anything.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    try:
        supervisor = Supervisor(settings)
        said = supervisor.start()
    except (OSError, NotStarted) as error:
        log.error("not started", problem=str(error))  # noqa: TRY400 - the text is enough.
        raise SystemExit(2) from None
    _warn_of_trust(settings)
    log.info(
        "serving",
        version=VERSION,
        **said,
        workers=supervisor.workers(),
        ledger=settings.ledger,
        tls=settings.tls_certificate is not None,
    )
    supervisor.watch()
    supervisor.stop()


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


def _begun(module: str, orders: Orders) -> _Child:
    process: Any = subprocess.Popen(  # noqa: S603 - a module of ours.
        [sys.executable, "-P", "-c", _CODE, module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with suppress(BrokenPipeError):
        process.stdin.write(orders.to_line())
        process.stdin.flush()
    return _Child(module=module, orders=orders, process=process, started=time.monotonic())


def _heard(child: _Child) -> dict[str, Any]:
    """Wait for the next line that a process says, and return it."""
    line = child.process.stdout.readline()
    said: dict[str, Any] = {"problem": f"{child.module} ended by itself"}
    return json.loads(line) if line else said


def _order(child: _Child, line: str) -> None:
    """Give an order and wait until it is done, or the process has died."""
    with suppress(OSError):
        child.process.stdin.write(line)
        child.process.stdin.flush()
        _heard(child)


def _close(child: _Child) -> None:
    with suppress(BrokenPipeError):
        child.process.stdin.close()
