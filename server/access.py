"""The interceptor that lets a call in: authenticate, then authorize.

Invariants:
- Every RPC of the server passes here, reflection too; what is not allowed is denied.
- A call is refused before anything of it is read or computed, but its one message.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import grpc

from lottery.errors import Unauthenticated
from lottery.operations.requester import Identity
from lottery.operations.roles import ANYONE, Roles, in_order
from server import handlers, telemetry
from server.status import abort

_caller: contextvars.ContextVar[Identity] = contextvars.ContextVar("caller")


def caller() -> Identity:
    """Return who makes the call that this thread serves, and has a role for it."""
    return _caller.get()


class Access(handlers.Interceptor):
    """Let in who may call an RPC, and refuse everybody else.

    Args:
        identify: Returns who calls, or None if nobody vouches for the caller; raises
            `Unauthenticated` if what the caller shows is wrong.
        roles: Returns who may call what, as it is now.
    """

    def __init__(
        self,
        identify: Callable[[grpc.ServicerContext], Identity | None],
        roles: Callable[[], Roles],
    ) -> None:
        self._identify = identify
        self._roles = roles

    def wrap(self, method: str, handler: Any) -> Any:
        """Guard a method's handler."""
        rpc = method.removeprefix("/")

        def guarded(behaviour: Callable[..., Any]) -> Callable[..., Any]:
            def answer(request: Any, context: grpc.ServicerContext) -> Any:
                try:
                    self._let_in(rpc, context)
                except Exception as error:  # noqa: BLE001 - the client must not see any of it.
                    abort(context, error)
                return behaviour(request, context)

            return answer

        return handlers.wrapped(handler, guarded)

    def _let_in(self, rpc: str, context: grpc.ServicerContext) -> None:
        identity = self._identify(context)
        roles = self._roles()
        held, calling = roles.of(identity), roles.calling(rpc)
        if identity is not None:
            telemetry.note(caller=f"{identity.kind}:{identity.name}", roles=in_order(held))
            _caller.set(identity)
        name = rpc.rpartition("/")[2]
        if identity is not None:
            roles.let_in(identity, name, calling)
        elif ANYONE not in calling:
            needed = in_order(calling) or "none that exists"
            raise Unauthenticated(
                f"{name} needs a caller with one of these roles: {needed}; show a client "
                "certificate with a typed name or a token, or, without TLS, have the server "
                "started with LOTTERY_TRUST_LOCAL"
            )
