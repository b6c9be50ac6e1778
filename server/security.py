"""TLS credentials of the server, and the identity of its callers.

Invariants:
- Without TLS the services listen on loopback only, unless `LOTTERY_ALLOW_INSECURE_PUBLIC` is set.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc

from lottery.errors import quote
from lottery.operations.requester import Identity
from server.binding import UNIX, host_and_port
from server.settings import Settings


class InsecureListen(ValueError):
    """The services were to listen beyond loopback without TLS."""


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return the server's credentials, or None without TLS.

    Raises:
        ValueError: The certificate, its key or both are missing while another TLS setting is set.
        OSError: A file cannot be read.
        InsecureListen: The services would listen beyond loopback without TLS.
    """
    given = (settings.tls_certificate, settings.tls_key)
    if None in given:
        if any(given) or settings.tls_client_ca:
            raise ValueError(
                "expected both LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY for TLS; "
                "set both or remove every LOTTERY_TLS setting"
            )
        if not (is_loopback(settings.listen) or settings.allow_insecure_public):
            raise InsecureListen(
                f"expected an address on loopback without TLS, got {quote(settings.listen)}; set "
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
    """Return whether an address HOST:PORT can be reached from this machine only."""
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
    """Return who calls: the name in the client's certificate, or an unauthenticated peer."""
    names: Mapping[str, Sequence[bytes]] = cast("Any", context).auth_context()
    peer = context.peer()
    for kind in ("x509_common_name", "x509_subject_alternative_name"):
        for name in names.get(kind, ()):
            if name:
                text = name.decode("utf-8", "replace")
                return Identity(kind="certificate", name=text, host=peer)
    return Identity(kind="peer", name="unauthenticated", host=peer)
