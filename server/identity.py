"""Who calls: a typed name of a certificate, or whom the server's own setting vouches for.

Invariants:
- A certificate's common name is never an identity.
- One certificate is one identity, the first that it has of a SPIFFE id, URI, e-mail and DNS name.
- A caller whom nobody vouches for has no identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc

from lottery.operations.requester import Identity

LOCAL: Final = "local"
"""The kind of a local caller's identity, which `LOTTERY_TRUST_LOCAL` gives."""
SPIFFE_SCHEME: Final = "spiffe://"
"""What a SPIFFE id begins with."""

_PROPERTIES: Final = {
    "spiffe": "peer_spiffe_id",
    "uri": "peer_uri",
    "email": "peer_email",
    "dns": "peer_dns",
}
"""gRPC's property of a connection for each kind of a certificate's names, the best one first."""
KINDS: Final = tuple(_PROPERTIES)
"""Every kind of name to which a firm's file gives roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTrust:
    """Who a local caller is, where there is no TLS that could show it.

    Attributes:
        name: The name that is recorded.
        roles: What it may do.
    """

    name: str
    roles: frozenset[str]


class Identifier:
    """Finds out who calls.

    Args:
        local: Who a local caller is; None if nobody vouches for one.
    """

    def __init__(self, local: LocalTrust | None = None) -> None:
        self._local = local

    def identify(self, context: grpc.ServicerContext) -> Identity | None:
        """Return who calls, or None if nobody vouches for the caller."""
        if self._local is not None:
            return Identity(kind=LOCAL, name=self._local.name, host=context.peer())
        return of_certificate(cast("Any", context).auth_context(), context.peer())


def of_certificate(properties: Mapping[str, Sequence[bytes]], host: str) -> Identity | None:
    """Return the identity that a client's certificate gives; None if it has no typed name.

    Args:
        properties: gRPC's properties of the connection, whose certificate it has verified.
        host: The address of the caller.
    """
    for kind, name_of in _PROPERTIES.items():
        for encoded in properties.get(name_of, ()):
            name = encoded.decode("utf-8", "replace")
            if kind == "uri" and name.startswith(SPIFFE_SCHEME):
                continue  # Not a SPIFFE id by gRPC's own check: the certificate has several URIs.
            if name and name.isprintable():
                return Identity(kind=kind, name=name, host=host)
    return None
