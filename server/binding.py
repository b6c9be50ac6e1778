"""Addresses: parsing HOST:PORT, and binding a gRPC server to one."""

from __future__ import annotations

from typing import Final

import grpc

from lottery.errors import quote

UNIX: Final = "unix:"
"""Prefix of the address of a socket in the file system."""
OWN_PORT: Final = ("grpc.so_reuseport", 0)
"""gRPC option that keeps a second server from silently sharing the port."""
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


def host_and_port(listen: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host is in brackets.

    Raises:
        ValueError: The text is not an address.
    """
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > LAST_PORT:
        raise ValueError(f"expected HOST:PORT, got {quote(listen)}")
    return host.strip("[]"), int(port)
