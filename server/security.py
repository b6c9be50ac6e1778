"""Who may listen where, who is asking, and the credentials: TLS and mutual TLS.

Without TLS the services listen on loopback only, unless `LOTTERY_ALLOW_INSECURE_PUBLIC` says
otherwise by name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc

from lottery.ledger.run_record import Identity
from server.binding import UNIX, host_and_port
from server.settings import Settings


class InsecureListen(ValueError):
    """The services would listen beyond loopback without TLS."""


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """The server's credentials, or None without TLS.

    Raises:
        ValueError: A certificate without its key, a key without its certificate, or client
            authorities without either.
        OSError: A file cannot be read.
        InsecureListen: Listening beyond loopback without TLS.
    """
    given = (settings.tls_certificate, settings.tls_key)
    if None in given:
        if any(given) or settings.tls_client_ca:
            raise ValueError("LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY go together")
        if not (is_loopback(settings.listen) or settings.allow_insecure_public):
            raise InsecureListen(
                f"{settings.listen} is not on loopback and there is no TLS: set "
                "LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY, or LOTTERY_ALLOW_INSECURE_PUBLIC=true"
            )
        return None
    certificate, key = (path.read_bytes() for path in given if path is not None)
    client_ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )


def is_loopback(listen: str) -> bool:
    """Whether an address HOST:PORT is reached from this machine only."""
    if listen.startswith(UNIX):
        return True
    host, _ = host_and_port(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def identity_of(context: grpc.ServicerContext) -> Identity:
    """Who asks: the client certificate's name, or the peer that nobody vouches for."""
    names: Mapping[str, Sequence[bytes]] = cast("Any", context).auth_context()
    peer = context.peer()
    for kind in ("x509_common_name", "x509_subject_alternative_name"):
        for name in names.get(kind, ()):
            if name:
                told = name.decode("utf-8", "replace")
                return Identity(kind="certificate", name=told, host=peer)
    return Identity(kind="peer", name="unauthenticated", host=peer)
