"""Addresses: parsing HOST:PORT, reserving one for workers, and binding a gRPC server to one.

The supervisor imports this module, which loads no gRPC for that reason.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from lottery.errors import quote

if TYPE_CHECKING:
    import grpc

UNIX: Final = "unix:"
"""Prefix of the address of a socket in the file system."""
OWN_PORT: Final = ("grpc.so_reuseport", 0)
"""gRPC option that keeps a second server from silently sharing the port."""
SHARED_PORT: Final = ("grpc.so_reuseport", 1)
"""gRPC option of workers, which share a port that their supervisor has reserved."""
LAST_PORT: Final = 65_535
"""Highest port number."""


def bind(
    server: grpc.Server, listen: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    """Bind a gRPC server to HOST:PORT and return the port.

    Raises:
        OSError: The address is in use, or is not an address of this machine.
    """
    try:
        if credentials is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot bind {quote(listen)}: {error}") from error


def reserve(listen: str) -> socket.socket:
    """Bind a socket to HOST:PORT, on which nobody listens, so that workers may share its port.

    Raises:
        OSError: The address is in use, or is not an address of this machine.
    """
    reserved = _bound(listen)
    # Only now: with it before, a second supervisor would be given the port too.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def listening(listen: str) -> socket.socket:
    """Return a socket that listens on HOST:PORT, which it has alone.

    Raises:
        OSError: The address is in use, or is not an address of this machine.
    """
    listener = _bound(listen)
    listener.listen()
    return listener


def _bound(listen: str) -> socket.socket:
    host, port = host_and_port(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # With its protocol: only of a socket that has it does asyncio send small parts at once.
        bound = socket.socket(family, kind, protocol)
        # What has ended may linger on the port; what listens on it is refused.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise OSError(f"cannot bind {quote(listen)}: {error}") from error
    return bound


def host_and_port(listen: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host is in brackets.

    Raises:
        ValueError: The text is not an address.
    """
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > LAST_PORT:
        raise ValueError(f"expected HOST:PORT, got {quote(listen)}")
    return host.strip("[]"), int(port)
