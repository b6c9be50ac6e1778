"""OpenAPI 3.1 of JSON over HTTP, made of the protos: their options, messages and comments.

`make docs` writes it, `/openapi.json` serves it, and a test fails when it has drifted.
A request that is a body leaves out the fields that are in the path.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from lottery.version import VERSION
from lottery.web.api import MOST_SECONDS, TIMEOUT, TIMEOUT_SECONDS
from lottery.web.bindings import SERVICES, Binding, bindings

ROOT: Final = Path(__file__).parents[1]
STATUS: Final = "google.rpc.Status"
_BEHAVIORS: Final = field_behavior_pb2.FieldBehavior
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    # JSON's numbers are exact up to 2**53 in most languages: ProtoJSON has these as texts.
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
}
_KNOWN: Final[Mapping[str, dict[str, Any]]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    STATUS: {
        "type": "object",
        "description": "Why a request failed.",
        "properties": {
            "code": {"type": "integer", "description": "The code, as `google.rpc.Code`."},
            "message": {"type": "string", "description": "What was expected and what came."},
            "details": {
                "type": "array",
                "description": "`google.rpc.ErrorInfo` with the reason, and, where there is more "
                "to say, `BadRequest` with every problem, `RetryInfo` or `PreconditionFailure`.",
                "items": {
                    "type": "object",
                    "properties": {"@type": {"type": "string"}},
                    "required": ["@type"],
                },
            },
        },
        "required": ["code", "message", "details"],
    },
}
_TIMEOUT: Final = {
    "name": TIMEOUT,
    "in": "header",
    "description": f"Seconds that the caller waits for the answer: {TIMEOUT_SECONDS:g} unless it "
    f"says so, and at most {MOST_SECONDS:g}.",
    "schema": {"type": "number"},
}


def openapi() -> str:
    """Return the description of the API as JSON."""
    comments = _comments()
    schemas: dict[str, Any] = {STATUS: _KNOWN[STATUS]}
    paths: dict[str, Any] = {}
    for binding in sorted(bindings(), key=lambda binding: binding.path):
        operation = _operation(binding, comments)
        paths.setdefault(binding.path, {})[binding.verb.lower()] = operation
        if binding.verb == "POST":
            _define(schemas, binding.method.input_type, comments, leaving_out=binding.variables)
        else:
            _define_types(schemas, binding.method.input_type.fields, comments)
        _define(schemas, binding.method.output_type, comments)
    document = {
        "openapi": "3.1.1",
        "info": {
            "title": "The options assignment lottery",
            "version": VERSION,
            "description": "JSON over HTTP for the calls that do not stream. It answers as the "
            "services over gRPC do: the same roles, limits and errors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": service.name, "description": comments[service.full_name]}
            for service in SERVICES
        ],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "parameters": {"timeout": _TIMEOUT},
            "responses": {"error": _answer("Why the request failed.", STATUS)},
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the issuer that the server trusts.",
                }
            },
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _operation(binding: Binding, comments: Mapping[str, str]) -> dict[str, Any]:
    request, comment = binding.method.input_type, comments[binding.method.full_name]
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": comments[request.fields_by_name[name].full_name],
            "schema": _value(request.fields_by_name[name]),
        }
        for name in binding.variables
    ]
    operation: dict[str, Any] = {
        "operationId": binding.method.name,
        "tags": [binding.method.containing_service.name],
        "summary": comment.split(". ")[0].split(".\n")[0].rstrip(".").replace("\n", " "),
        "description": comment,
        "parameters": parameters,
    }
    if binding.verb == "GET":
        fields = [field for field in request.fields if field.name not in binding.variables]
        parameters += _in_query(fields, comments, "", required=True)
    else:
        content = {"application/json": {"schema": _reference(request)}}
        operation["requestBody"] = {"required": True, "content": content}
    parameters.append({"$ref": "#/components/parameters/timeout"})
    answer = binding.method.output_type
    operation["responses"] = {
        "200": _answer(comments[answer.full_name], answer.full_name),
        "default": {"$ref": "#/components/responses/error"},
    }
    return operation


def _in_query(
    fields: Iterable[Any], comments: Mapping[str, str], within: str, *, required: bool
) -> Iterator[dict[str, Any]]:
    """Yield the parameters of fields; those of a field by its path."""
    for field in fields:
        name = f"{within}{field.name}"
        is_required = required and _behaves(field, _BEHAVIORS.REQUIRED)
        if field.message_type is not None:
            below = field.message_type.fields
            for each in _in_query(below, comments, f"{name}.", required=False):
                yield {**each, "required": True} if is_required else each
            continue
        parameter = {"name": name, "in": "query", "description": comments[field.full_name]}
        yield parameter | ({"required": True} if is_required else {}) | {"schema": _schema(field)}


def _define(
    schemas: dict[str, Any],
    message: Any,
    comments: Mapping[str, str],
    leaving_out: Sequence[str] = (),
) -> None:
    """Add the schema of a message, and of what it has."""
    name = message.full_name
    if name in schemas:
        return
    if name in _KNOWN:
        schemas[name] = _KNOWN[name]
        return
    fields = [field for field in message.fields if field.name not in leaving_out]
    schemas[name] = {
        "type": "object",
        "description": comments.get(name, ""),
        "properties": {
            field.name: {"description": comments[field.full_name], **_schema(field)}
            | ({"readOnly": True} if _behaves(field, _BEHAVIORS.OUTPUT_ONLY) else {})
            for field in fields
        },
    }
    required = [field.name for field in fields if _behaves(field, _BEHAVIORS.REQUIRED)]
    if required:
        schemas[name]["required"] = required
    _define_types(schemas, fields, comments)


def _define_types(
    schemas: dict[str, Any], fields: Iterable[Any], comments: Mapping[str, str]
) -> None:
    """Add the schemas of what fields have."""
    for field in fields:
        if field.enum_type is not None:
            name = field.enum_type.full_name
            values = [value.name for value in field.enum_type.values]
            meanings = [f"- `{value}`: {comments[f'{name}.{value}']}" for value in values]
            schemas[name] = {
                "type": "string",
                "description": "\n".join([comments[name], "", *meanings]),
                "enum": values,
            }
        elif field.message_type is not None and not _is_map(field):
            _define(schemas, field.message_type, comments)


def _schema(field: Any) -> dict[str, Any]:
    if _is_map(field):
        values = field.message_type.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _value(values)}
    return {"type": "array", "items": _value(field)} if field.is_repeated else _value(field)


def _value(field: Any) -> dict[str, Any]:
    """Return the schema of one value of a field."""
    if field.message_type is not None or field.enum_type is not None:
        return _reference(field.message_type or field.enum_type)
    if field.cpp_type in _INTEGERS:
        return dict(_INTEGERS[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    is_bytes = field.type == FieldDescriptor.TYPE_BYTES
    return {"type": "string", **({"contentEncoding": "base64"} if is_bytes else {})}


def _reference(described: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{described.full_name}"}


def _answer(description: str, schema: str) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": description, "content": {"application/json": content}}


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _behaves(field: Any, behavior: int) -> bool:
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _comments() -> dict[str, str]:
    """Return the comments of the protos, by the full name of what they are about."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "protos"
        protos = [str(path.relative_to(ROOT)) for path in ROOT.glob("proto/lottery/v1/*.proto")]
        command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", "--include_imports"]
        subprocess.run(  # noqa: S603 - a module of ours to have.
            [*command, "--include_source_info", f"--descriptor_set_out={file}", *sorted(protos)],
            cwd=ROOT,
            check=True,
        )
        described = FileDescriptorSet.FromString(file.read_bytes())
    comments: dict[str, str] = {}
    for proto in described.file:
        for location in proto.source_code_info.location:
            text = "\n".join(line.strip() for line in location.leading_comments.splitlines())
            if text:
                comments[_name_at(proto, location.path)] = text.strip()
    return comments


def _name_at(proto: Any, path: Sequence[int]) -> str:
    """Return the full name of the element at a path of a file; nothing if it is no element."""
    if len(path) % 2:
        return ""
    names, here = [proto.package], proto
    for number, index in zip(path[::2], path[1::2], strict=True):
        field = here.DESCRIPTOR.fields_by_number[number]
        if field.message_type is None or not field.is_repeated:
            return ""
        here = getattr(here, field.name)[index]
        names.append(getattr(here, "name", ""))
    return ".".join(names)
