"""Waiting for what another process does, for no longer than it takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_POLL_SECONDS: Final = 0.02


def wait_until(is_so: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    """Return as soon as a condition holds.

    Raises:
        TimeoutError: It did not come to hold in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} seconds for {what}")
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port
