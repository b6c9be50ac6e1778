"""A message of the protos as a request of JSON over HTTP, and its answer as a message again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status

from lottery.web.bindings import bindings
from tests.server.calls import PATIENCE
from tests.server.processes import ServerProcess

BINDINGS: Final = {one.method.input_type.full_name: one for one in bindings()}
"""Every RPC that has a path, by the full name of its request."""


def client_of(server: ServerProcess, **given: Any) -> httpx.Client:
    """Return a client of a server's door over HTTP, which no variable leads to a proxy."""
    scheme = "https" if "verify" in given else "http"
    address = f"{scheme}://127.0.0.1:{server.serving['http_port']}"
    return httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False, **given)


def ask(client: httpx.Client, message: Message, **headers: str) -> httpx.Response:
    """Send a message to the path of its RPC."""
    binding = BINDINGS[message.DESCRIPTOR.full_name]
    given = json_format.MessageToDict(message, preserving_proto_field_name=True)
    path = binding.path.format(**{name: given.pop(name) for name in binding.variables})
    if binding.verb == "GET":
        return client.get(path, params=dict(_parameters(given, "")), headers=headers)
    return client.post(path, json=given, headers=headers)


def answered(message: Message, response: httpx.Response) -> Message:
    """Return the message that answers another one."""
    assert response.status_code == httpx.codes.OK, response.text
    answer = BINDINGS[message.DESCRIPTOR.full_name].response()
    json_format.Parse(response.text, answer)
    return answer


def reason(response: httpx.Response) -> tuple[int, str, str]:
    """Return the HTTP status of a failure, its code and its reason."""
    said = response.json()
    (info,) = [one for one in said["details"] if one["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "lottery.v1"
    return response.status_code, code_pb2.Code.Name(said["code"]), info["reason"]


def over_grpc(channel: grpc.Channel, message: Message) -> Message:
    """Send the same message over gRPC; return its answer, or the status that it fails with."""
    binding = BINDINGS[message.DESCRIPTOR.full_name]
    call: Any = channel.unary_unary(
        binding.rpc, type(message).SerializeToString, binding.response.FromString
    )
    try:
        answer: Message = call(message, timeout=PATIENCE)
    except grpc.RpcError as error:
        answer = rpc_status.from_call(error)
        assert answer is not None
    return answer


def _parameters(given: dict[str, Any], within: str) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _parameters(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", str(value).lower() if isinstance(value, bool) else value
