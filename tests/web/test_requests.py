"""A request's message from path, query and body: what fits, and every way not to."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import Refused
from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from lottery.web.bindings import bindings
from lottery.web.requests import of_body, of_query

BINDINGS: Final = {binding.method.name: binding for binding in bindings()}

NAMES: Final = {
    name
    for one in BINDINGS.values()
    for field in one.method.input_type.fields
    for name in (field.name, field.json_name, "account", "short_quantity", "year", "zero_hit")
}
"""Names that a request may have."""
POSTED: Final = sorted(name for name, one in BINDINGS.items() if one.verb == "POST")


def body(rpc: str, given: Any, **variables: str) -> Any:
    content = given if isinstance(given, bytes) else json.dumps(given).encode()
    return of_body(BINDINGS[rpc], variables, content)


def query(rpc: str, *given: tuple[str, str], **variables: str) -> Any:
    return of_query(BINDINGS[rpc], variables, given)


def problems(refused: pytest.ExceptionInfo[Refused]) -> list[tuple[str, int | None, str | None]]:
    return [(one.source, one.row, one.column) for one in refused.value.problems]


def test_a_body_may_have_the_names_of_the_protos_or_their_camel_case() -> None:
    expected = pb.AllocateSeriesRequest(
        assigned_quantity=10,
        positions=[pb.AccountPosition(account="1046", short_quantity=30)],
        decisions=lottery_pb2.Decisions(zero_hit=lottery_pb2.ZERO_HIT_WRAP),
    )
    positions = [{"account": "1046", "short_quantity": 30}]
    snake = {"assigned_quantity": "10", "positions": positions, "series": None}
    camel = {"assignedQuantity": 10, "positions": [{"account": "1046", "shortQuantity": "30"}]}

    assert body("AllocateSeries", snake | {"decisions": {"zero_hit": "ZERO_HIT_WRAP"}}) == expected
    assert body("AllocateSeries", camel | {"decisions": {"zeroHit": 1}}) == expected


def test_a_variable_of_the_path_is_a_field_of_the_request() -> None:
    assert body("WithdrawRun", {"reason": "taken back"}, run="latest") == pb.WithdrawRunRequest(
        run="latest", reason="taken back"
    )
    assert query("GetRun", run="latest") == pb.GetRunRequest(run="latest")


def test_bytes_and_maps_are_as_protojson_has_them() -> None:
    given = {"keys": ["one", "two"], "checkpoints": {"kept": "aGVhZA==", "other": "-_8"}}

    assert body("VerifyLedger", given) == audit.VerifyLedgerRequest(
        keys=["one", "two"], checkpoints={"kept": b"head", "other": b"\xfb\xff"}
    )


def test_a_query_names_the_fields_of_a_field_by_their_path() -> None:
    made = query(
        "ListRuns",
        ("first_date.year", "2024"),
        ("firstDate.month", "9"),
        ("standing_only", "true"),
        ("order", "RUN_ORDER_NEWEST_FIRST"),
        ("page_size", "5"),
    )

    assert (made.first_date.year, made.first_date.month) == (2024, 9)
    assert (made.standing_only, made.order) == (True, pb.RUN_ORDER_NEWEST_FIRST)
    assert (made.page_size, made.HasField("last_date")) == (5, False)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (b"", "expected a JSON object in UTF-8: Expecting value"),
        (b"{", "expected a JSON object in UTF-8: "),
        (b"\xff{}", "expected a JSON object in UTF-8: "),
        (b"\xef\xbb\xbf{}", "expected a JSON object in UTF-8: "),
        (b"[" * 100_000, "expected a JSON object in UTF-8: maximum recursion depth"),
        (b'{"page": ' + b"9" * 5_000 + b"}", "expected a JSON object in UTF-8: Exceeds the limit"),
        (b'{"series": "a", "series": "a"}', "an object has a name twice"),
        (b"[]", "expected a JSON object, got an array"),
        (b"null", "expected a JSON object, got null"),
        (b'"text"', "expected a JSON object, got 'text'"),
    ],
)
def test_what_is_no_json_object_is_refused_as_a_whole(given: bytes, what: str) -> None:
    with pytest.raises(Refused) as refused:
        body("AllocateSeries", given)

    assert problems(refused) == [("body", None, None)]
    assert what in str(refused.value)


def test_every_problem_of_a_body_is_named_with_its_place() -> None:
    with pytest.raises(Refused) as refused:
        body(
            "AllocateSeries",
            {
                "symbol": "AAPL",
                "occ_account": 7,
                "assigned_quantity": "1_000",
                "business_date": "2024-09-16",
                "exchange_asks": {},
                "positions": [{"account": 1046, "short": 1}, None, {"short_quantity": 1.5}],
                "decisions": {"zero_hit": "WRAP", "pool": True},
            },
        )

    assert problems(refused) == [
        ("assigned_quantity", None, None),
        ("business_date", None, None),
        ("decisions", None, "zero_hit"),
        ("decisions", None, "pool"),
        ("exchange_asks", None, None),
        ("occ_account", None, None),
        ("positions", 1, "account"),
        ("positions", 1, "short"),
        ("positions", 2, None),
        ("positions", 3, "short_quantity"),
        ("symbol", None, None),
    ]


@pytest.mark.parametrize(
    ("rpc", "given", "what"),
    [
        ("AllocateSeries", {"assigned_quantity": 1 << 63}, "an integer of 64 bits"),
        ("AllocateSeries", {"assigned_quantity": "\uff11"}, "an integer of 64 bits"),
        ("AllocateSeries", {"assigned_quantity": True}, "an integer of 64 bits"),
        ("AllocateSeries", {"assigned_quantity": 1, "assignedQuantity": 1}, "once"),
        ("AllocateSeries", {"series": "\ud800"}, "a text"),
        ("AllocateSeries", {"decisions": []}, "expected an object, got an array"),
        ("VerifyLedger", {"checkpoints": []}, "expected an object, got an array"),
        ("VerifyLedger", {"checkpoints": {"kept": "no base64!"}}, "bytes as base64"),
        ("WithdrawRun", {"run": "latest", "reason": "x"}, "expected it in the path alone"),
        ("ReplayRun", {"engine": "SQL"}, "REPLAY_ENGINE_COMPILED"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(rpc: str, given: Any, what: str) -> None:
    with pytest.raises(Refused, match=what):
        body(rpc, given, run="latest") if BINDINGS[rpc].variables else body(rpc, given)


@pytest.mark.parametrize(
    ("rpc", "given", "what"),
    [
        ("ListRuns", ("page", "1"), "page: expected one of page_size, page_token, first_date.year"),
        ("ListRuns", ("first_date", "2024-09-16"), "first_date: expected one of page_size"),
        ("ListRuns", ("first_date.century", "20"), "expected one of year, month, day"),
        ("ListRuns", ("page_size.year", "20"), "expected a field of the request"),
        ("ListRuns", ("page_size", "many"), "an integer of 32 bits"),
        ("ListRuns", ("standing_only", "yes"), "true or false"),
        ("ListRuns", ("order", "NEWEST"), "RUN_ORDER_NEWEST_FIRST"),
        ("ListProposals", ("run", "latest"), "run: expected no parameter"),
        ("GetRun", ("run", "latest"), "expected it in the path alone"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(
    rpc: str, given: tuple[str, str], what: str
) -> None:
    with pytest.raises(Refused, match=what):
        query(rpc, given, run="latest") if BINDINGS[rpc].variables else query(rpc, given)


def test_a_parameter_that_comes_twice_and_two_of_one_choice_are_refused() -> None:
    with pytest.raises(Refused, match="page_size: expected it once"):
        query("ListRuns", ("page_size", "1"), ("page_size", "2"))
    with pytest.raises(Refused, match="account: expected it, or another one of its kind, once"):
        body("ExplainPool", {"series": "AAPL", "account": "1046"}, run="latest")


def test_of_many_problems_the_first_hundred_are_listed_and_all_are_counted() -> None:
    with pytest.raises(Refused) as refused:
        body("AllocateSeries", {"positions": [{"account": 1}] * 1_000})

    assert (len(refused.value.problems), refused.value.total) == (100, 1_000)


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(NAMES)) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def taken(rpc: str, content: bytes) -> Message | None:
    """Return the message of a body; None if it is refused."""
    try:
        return of_body(BINDINGS[rpc], {}, content)
    except Refused:
        return None


@given(rpc=st.sampled_from(POSTED), value=JSON_VALUES)
def test_law_of_any_json_a_body_is_a_message_or_refused(rpc: str, value: Any) -> None:
    """ProtoJSON: what is taken says the same again, and all else is refused."""
    message = taken(rpc, json.dumps(value).encode())

    assert message is None or taken(rpc, json_format.MessageToJson(message).encode()) == message


@given(content=st.binary(max_size=40))
def test_law_of_any_bytes_what_is_no_object_is_refused(content: bytes) -> None:
    """ProtoJSON: a message is an object, in UTF-8."""
    message = taken("AllocateSeries", content)

    assert message is None or content.decode().strip().startswith("{")


@given(name=st.text() | st.sampled_from(sorted(NAMES)), value=st.text())
def test_law_of_any_query_what_no_field_has_is_refused(name: str, value: str) -> None:
    """http.proto: a parameter is a field of the request."""
    fields = BINDINGS["ListRuns"].method.input_type.fields
    if name.partition(".")[0] in {each for one in fields for each in (one.name, one.json_name)}:
        return
    with pytest.raises(Refused):
        of_query(BINDINGS["ListRuns"], {}, [(name, value)])
