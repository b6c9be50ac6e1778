"""Which RPC is at which path: the `google.api.http` options of the protos (AIP-127, AIP-136).

Of google/api/http.proto this is what the protos use: a variable of a path is one segment of it and
one field of the request; POST has the rest of the request as its body (`*`), GET in its query.

Invariants:
- An RPC that streams has no path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lottery.v1 import audit_service_pb2, lottery_service_pb2

SERVICES: Final = (
    lottery_service_pb2.DESCRIPTOR.services_by_name["LotteryService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
)
"""The services, as their files describe them."""
_VARIABLE: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An RPC, and where it is over HTTP.

    Attributes:
        method: The RPC's descriptor.
        verb: `GET` or `POST`.
        path: The path, with its variables in braces.
    """

    method: Any  # Its type says nothing of the types of messages.
    verb: str
    path: str

    @property
    def rpc(self) -> str:
        """The name of the RPC as gRPC calls it: `/service/name`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def variables(self) -> Sequence[str]:
        """The fields of the request that are in the path."""
        return _VARIABLE.findall(self.path)

    @property
    def request(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self.method.input_type)

    @property
    def response(self) -> type[Message]:
        """The class of its responses."""
        return GetMessageClass(self.method.output_type)


def bindings() -> list[Binding]:
    """Return every RPC that has a path; one that ends in a verb is before the one without."""
    found = []
    for service in SERVICES:
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            pattern = rule.WhichOneof("pattern")
            if pattern is not None:
                verb, path = pattern.upper(), getattr(rule, pattern)
                found.append(Binding(method=method, verb=verb, path=path))
    return sorted(found, key=lambda binding: binding.path.endswith("}"))
