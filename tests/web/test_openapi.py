"""lottery/web/openapi.json: valid, whole, and true of what is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from lottery.v1 import lottery_service_pb2 as pb
from lottery.web import statuses
from lottery.web.bindings import bindings

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = json.loads((ROOT / "lottery" / "web" / "openapi.json").read_text("utf-8"))


def texts(value: Any, name: str) -> list[str]:
    """Return every member of a name, wherever it is."""
    if isinstance(value, dict):
        found = [each for one in value.values() for each in texts(one, name)]
        return [*found, *([value[name]] if isinstance(value.get(name), str) else [])]
    return [each for one in value for each in texts(one, name)] if isinstance(value, list) else []


def test_the_description_is_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="not installed: make test")

    validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_path_is_described_with_the_comments_of_the_protos() -> None:
    described = {
        (verb.upper(), path, operation["operationId"])
        for path, operations in DOCUMENT["paths"].items()
        for verb, operation in operations.items()
    }

    assert described == {(one.verb, one.path, one.method.name) for one in bindings()}
    assert "" not in texts(DOCUMENT, "description")
    derive = DOCUMENT["paths"]["/v1:deriveSeed"]["post"]
    assert derive["summary"] == "DeriveSeed derives the seed from four ask prices"
    assert "METHOD_NOT_IN_FORCE" in derive["description"]


def test_a_body_leaves_out_what_is_in_the_path_and_says_what_is_required() -> None:
    schema = DOCUMENT["components"]["schemas"]["lottery.v1.ApproveRunRequest"]

    assert (list(schema["properties"]), schema["required"]) == (["record_sha256"],) * 2
    (run,) = DOCUMENT["paths"]["/v1/runs/{run}:approve"]["post"]["parameters"][:1]
    assert (run["name"], run["in"], run["required"]) == ("run", "path", True)
    charter = DOCUMENT["paths"]["/v1/charter"]["get"]["parameters"][:3]
    assert {(each["name"].partition(".")[0], each["required"]) for each in charter} == {
        ("business_date", True)
    }


def test_an_answer_and_an_error_fit_their_schemas() -> None:
    answer = pb.ListRunsResponse(next_page_token="2")  # noqa: S106 - of a page.
    run = answer.runs.add(run="2024-09-16-001", pool_count=3, decisions={"zero_hit": "wrap"})
    run.recorded_at.FromSeconds(1_726_500_000)
    run.breaks.add(series="GE1   240920C00160000", total_short=22)
    error = statuses.of_http(404, "there is none")

    for name, message in (("lottery.v1.ListRunsResponse", answer), ("google.rpc.Status", error)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(json.loads(statuses.as_json(message)))
