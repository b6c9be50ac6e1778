"""Binding an address: a port of one's own, or an error that names it."""

from __future__ import annotations

from typing import Final

import grpc

UNIX: Final = "unix:"
"""What the address of a socket in the file system starts with."""
OWN_PORT: Final = ("grpc.so_reuseport", 0)
"""A second server on the same port would take half of the calls, unseen."""


def bind(
    server: grpc.Server, listen: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    """Binds a gRPC server to HOST:PORT and returns the port.

    Raises:
        OSError: The address is taken or none of this machine.
    """
    try:
        if credentials is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise OSError(f"{listen} cannot be bound: {error}") from error


def host_and_port(listen: str) -> tuple[str, int]:
    """The parts of HOST:PORT; an IPv6 host stands in brackets.

    Raises:
        ValueError: The text is no address.
    """
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > LAST_PORT:
        raise ValueError(f"{listen!r} is no HOST:PORT")
    return host.strip("[]"), int(port)


LAST_PORT: Final = 65_535
