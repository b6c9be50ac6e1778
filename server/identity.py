"""Who calls: a token's subject, a certificate's typed name, or whom the server's setting names.

Invariants:
- A certificate's common name is never an identity.
- One certificate is one identity, the first that it has of a SPIFFE id, URI, e-mail and DNS name.
- A token goes before a certificate: it says who calls through a service that has one of its own.
- A caller whom nobody vouches for has no identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from lottery.errors import Unauthenticated
from lottery.operations.requester import Identity
from lottery.operations.roles import LOCAL, TOKEN, LocalTrust
from lottery.web import PEER_KEY
from server.binding import UNIX

if TYPE_CHECKING:  # The supervisor reads settings, and loads no gRPC.
    import grpc

    from server.tokens import Tokens

AUTHORIZATION: Final = "authorization"
"""The key of a call's metadata that has a token."""
SPIFFE_SCHEME: Final = "spiffe://"
"""What a SPIFFE id begins with."""

_PROPERTIES: Final = {
    "spiffe": "peer_spiffe_id",
    "uri": "peer_uri",
    "email": "peer_email",
    "dns": "peer_dns",
}
"""gRPC's property of a connection for each kind of a certificate's names, the best one first."""


class Identifier:
    """Finds out who calls.

    Args:
        local: Who a local caller is; None if nobody vouches for one.
        tokens: The tokens that count; None if none do.
        has_door: Whether calls on a Unix socket are those of the door over HTTP alone, which says
            from where its callers come.
    """

    def __init__(
        self, *, local: LocalTrust | None, tokens: Tokens | None, has_door: bool = False
    ) -> None:
        self._local = local
        self._tokens = tokens
        self._has_door = has_door

    def identify(self, context: grpc.ServicerContext) -> Identity | None:
        """Return who calls, or None if nobody vouches for the caller.

        Raises:
            Unauthenticated: The caller shows a token that does not count.
        """
        shown = [value for key, value in context.invocation_metadata() if key == AUTHORIZATION]
        if shown:
            return self._of_token(shown, self._host(context))
        if self._local is not None:
            return Identity(kind=LOCAL, name=self._local.name, host=self._host(context))
        return of_certificate(cast("Any", context).auth_context(), context.peer())

    def _host(self, context: grpc.ServicerContext) -> str:
        """Return the address that a call comes from."""
        peer = str(context.peer())
        if not (self._has_door and peer.startswith(UNIX)):
            return peer
        said = [value for key, value in context.invocation_metadata() if key == PEER_KEY]
        return str(said[0]) if said else peer

    def _of_token(self, shown: Sequence[str | bytes], host: str) -> Identity:
        if self._tokens is None:
            raise Unauthenticated(
                "this server takes no tokens; leave out `authorization`, or have the server "
                "started with LOTTERY_TOKEN_KEYS"
            )
        if len(shown) > 1:
            raise Unauthenticated(f"expected one `authorization`, got {len(shown)}")
        return Identity(kind=TOKEN, name=self._tokens.subject(str(shown[0])), host=host)


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
