"""JSON Schemas (2020-12) of what the commands print with `--json`, made of `docs.documents`.

Every object is closed and every member required unless its type says otherwise, so that a document
that gains or loses a member does not fit its schema: the tests hold them against what every command
prints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from docs.documents import DOCUMENTS, Listing
from lottery.ledger.entry import Activity, Charter, NamedRequest, NextKey
from lottery.ledger.run_record import RunRecord

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ENTRIES: Final = (Activity, Charter, NamedRequest, NextKey, RunRecord)
"""Types of the log, whose integers past 2**53 - 1 are texts (RFC 8785)."""

_TITLES: Final = {
    "error": "what a command prints that fails",
    "webhook": "what a webhook says of a run",
}
"""What the documents are that are no command's."""


class _Complete(GenerateJsonSchema):
    """Requires what has a default too: it is always printed."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - pydantic's.
        """Return whether a member must be there."""
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return True


def schemas() -> dict[str, str]:
    """Return the text of each schema, by its file name."""
    return {file_of(name): _text(schema_of(name)) for name in DOCUMENTS}


def file_of(name: str) -> str:
    """Return the file of a command's schema."""
    return f"{name.replace(' --', '-').replace(' ', '-')}.json"


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of a command's document."""
    title = _TITLES.get(name, f"lottery {name} --json")
    schema, definitions = _joined(DOCUMENTS[name])
    if name == "error":  # Its own details, each a text.
        schema["additionalProperties"] = {"type": "string"}
    if definitions:
        schema["$defs"] = dict(sorted(definitions.items()))
    return {"$schema": DIALECT, "title": title, **schema}


def _joined(types: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an object with the members of several types, and the definitions that it needs."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    definitions: dict[str, Any] = {}
    part: dict[str, Any]
    for kind in types:
        if isinstance(kind, Listing):
            items, needed = _joined(kind.types)
            part = {
                "properties": {kind.name: {"type": "array", "items": items}},
                "required": [kind.name],
            }
        else:
            made = TypeAdapter(kind).json_schema(mode="serialization", schema_generator=_Complete)
            part = _closed(made, as_entry=kind in _ENTRIES)
            needed = part.pop("$defs", {})
        properties |= part["properties"]
        required += part["required"]
        definitions |= needed
    joined = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return joined, definitions


def _closed(schema: Any, *, as_entry: bool) -> Any:
    """Return a schema whose objects have no other members, without what people do not read."""
    if isinstance(schema, list):
        return [_closed(each, as_entry=as_entry) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: {member: _closed(each, as_entry=as_entry) for member, each in value.items()}
        if name in ("properties", "$defs")
        else _closed(value, as_entry=as_entry)
        for name, value in schema.items()
        if name not in ("title", "default", "description")
    }
    if "properties" in closed:
        closed["additionalProperties"] = False
    if as_entry and closed.get("type") == "integer":
        closed["type"] = ["integer", "string"]
    return closed


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
