"""The paths of the RPCs, by the options of the protos."""

from __future__ import annotations

from typing import Any

import pytest
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior

from lottery.web.bindings import SERVICES, Binding, bindings

BINDINGS = {binding.method.name: binding for binding in bindings()}


def streams(method: Any) -> bool:
    return bool(method.client_streaming or method.server_streaming)


def test_every_rpc_that_does_not_stream_has_a_path_and_no_other_has_one() -> None:
    methods = [method for service in SERVICES for method in service.methods]

    assert sorted(BINDINGS) == sorted(each.name for each in methods if not streams(each))
    assert len({(each.verb, each.path) for each in BINDINGS.values()}) == len(BINDINGS)


@pytest.mark.parametrize("binding", BINDINGS.values(), ids=BINDINGS)
def test_a_variable_of_a_path_is_a_required_text_of_the_request(binding: Binding) -> None:
    assert binding.path.startswith(("/v1/", "/v1:"))
    for name in binding.variables:
        field = binding.method.input_type.fields_by_name[name]
        assert field.type == field.TYPE_STRING
        assert list(field.GetOptions().Extensions[field_behavior]) == [FieldBehavior.REQUIRED]


def test_what_records_or_takes_rows_or_an_account_is_posted_and_what_reads_is_got() -> None:
    posted = {name for name, binding in BINDINGS.items() if binding.verb == "POST"}

    assert posted == {
        *("DeriveSeed", "AllocateSeries", "GetOdds"),  # They take rows.
        "ExplainPool",  # It takes an account, and URLs are logged.
        *("WithdrawRun", "ApproveRun", "RejectRun", "ReplayRun", "VerifyLedger"),
    }
    assert {binding.verb for binding in BINDINGS.values()} == {"GET", "POST"}
    got = [one.method.input_type for one in BINDINGS.values() if one.verb == "GET"]
    assert not any("account" in message.fields_by_name for message in got)


def test_a_path_that_ends_in_a_verb_is_looked_for_before_the_run_of_that_name() -> None:
    order = [binding.method.name for binding in bindings()]

    assert order.index("ExplainPool") < order.index("GetRun")
