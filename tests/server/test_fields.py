"""The fields of the messages: which must be there, and how a refusal names them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import grpc
import pyarrow as pa
import pytest
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.message import Message
from google.type import date_pb2

from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import AAPL, ASKS, NEXT_DATE, PUBLISHED, arrow_payload, notice, position
from tests.server.calls import (
    METHODS,
    Stubs,
    asks_of,
    called,
    date_of,
    failure_to,
    messages_of,
    method_of,
    notices_of,
    odds_request,
    positions_of,
    read,
    rows_of,
    run_day,
    send,
    series_request,
    spec_of,
)

NO_DATE: Final = date_pb2.Date(year=2024, month=2, day=30)
NO_DECISION: Final = lottery_pb2.Decisions(zero_hit=99)  # type: ignore[arg-type]
WRONG_ASKS: Final = [
    *asks_of({"Z901803": "1.000001", "Z901439": "x", "Z901466": "1"}),
    lottery_pb2.ExchangeAsk(security_number="Z1", ask_price="1"),
]
WRONG_POOL: Final[dict[str, Any]] = {
    "series": "AAPL",
    "occ_account": "no blanks",
    "assigned_quantity": -3,
    "positions": {"1046": -1, "x": 2, "7": 1, "007": 1},
    "decisions": NO_DECISION,
}
DIGEST: Final = "00" * 32
ARROW_ROWS: Final = frozenset({"arrow_notices", "arrow_positions", "arrow_occ_positions"})

Request = Message | Sequence[pb.RunLotteryRequest]


def payload_of(**columns: list[Any]) -> bytes:
    """Return these columns as an Arrow payload."""
    return arrow_payload(pa.table(columns))


REFUSED: Final[Sequence[tuple[Request, set[str]]]] = (
    (
        pb.DeriveSeedRequest(business_date=NO_DATE, exchange_asks=WRONG_ASKS),
        {
            "business_date",
            "exchange_asks",
            "exchange_asks[0].ask_price",
            "exchange_asks[1].ask_price",
            "exchange_asks[3].security_number",
        },
    ),
    (
        series_request(**WRONG_POOL, business_date=NO_DATE, asks={"Z901803": "x"}),
        {
            "assigned_quantity",
            "business_date",
            "decisions.zero_hit",
            "exchange_asks",
            "exchange_asks[0].ask_price",
            "occ_account",
            "positions[0].short_quantity",
            "positions[1].account",
            "positions[3].account",
            "series",
        },
    ),
    (
        odds_request(**WRONG_POOL, business_date=NO_DATE),
        {
            "assigned_quantity",
            "business_date",
            "decisions.zero_hit",
            "occ_account",
            "positions[0].short_quantity",
            "positions[1].account",
            "positions[3].account",
            "series",
        },
    ),
    (odds_request(account="9"), {"account"}),
    (
        [
            spec_of(
                PUBLISHED,
                business_date=NO_DATE,
                cycle=1_000,
                exchange_asks=WRONG_ASKS[:1],
                request_id="a b",
                decisions=NO_DECISION,
                occ_position_count=9,
                supersedes=["yesterday"],
            ),
            notices_of(notice("", "AAPL", 0, "no blanks")),
            positions_of(position("AAPL", "1046", -1)),
            pb.RunLotteryRequest(
                arrow_notices=payload_of(notice_id=["A2"], series=["?"], quantity=[1]),
                arrow_positions=payload_of(
                    series=["?"], account=["1"], short_quantity=[-1], more=[1]
                ),
                arrow_occ_positions=payload_of(series=["?"], short_quantity=[1]),
            ),
        ],
        {
            "arrow_notices[0].series",
            "arrow_occ_positions[0].series",
            "arrow_positions.more",
            "arrow_positions[0].series",
            "arrow_positions[0].short_quantity",
            "notices[0].notice_id",
            "notices[0].occ_account",
            "notices[0].quantity",
            "notices[0].series",
            "positions[0].series",
            "spec.business_date",
            "spec.cycle",
            "spec.decisions.zero_hit",
            "spec.exchange_asks",
            "spec.exchange_asks[0].ask_price",
            "spec.occ_position_count",
            "spec.reason",
            "spec.request_id",
            "spec.supersedes",
        },
    ),
    (
        messages_of(
            PUBLISHED, notice_count=9, position_count=9, assigned_quantity=9, short_quantity=9
        ),
        {
            "spec.assigned_quantity",
            "spec.notice_count",
            "spec.position_count",
            "spec.short_quantity",
        },
    ),
    (rows_of(PUBLISHED), {"spec"}),
    (
        messages_of(
            PUBLISHED,
            acknowledgements=[
                lottery_pb2.Acknowledgement(code="FUTURE_DATE"),
                lottery_pb2.Acknowledgement(reason="a test"),
                lottery_pb2.Acknowledgement(code="FUTURE_DATE", reason="a test"),
            ],
        ),
        {
            "spec.acknowledgements[0].reason",
            "spec.acknowledgements[1].code",
            "spec.acknowledgements[2].code",
        },
    ),
    (
        messages_of(
            PUBLISHED, acknowledgements=[lottery_pb2.Acknowledgement(code="OLD", reason="a test")]
        ),
        {"spec.acknowledgements"},
    ),
    (
        messages_of(PUBLISHED.later(), supersedes=["latest"], reason="late"),
        {"spec.supersedes"},
    ),
    (pb.GetCharterRequest(business_date=NO_DATE), {"business_date"}),
    (pb.GetRunRequest(), {"run"}),
    (pb.WithdrawRunRequest(reason="late"), {"run"}),
    (pb.GetDayRequest(), {"business_date"}),
    (pb.GetDayRequest(business_date=NO_DATE), {"business_date"}),
    (pb.DiffRunsRequest(other_run="latest"), {"run"}),
    (pb.StreamHistoryRequest(account="1046", first_date=NO_DATE), {"first_date"}),
    (pb.WithdrawRunRequest(run="latest"), {"reason"}),
    (pb.ApproveRunRequest(), {"run"}),
    (pb.ApproveRunRequest(run="2024-09-16-001"), {"record_sha256"}),
    (pb.RejectRunRequest(run="2024-09-16-001"), {"record_sha256"}),
    (pb.RejectRunRequest(run="2024-09-16-001", record_sha256=DIGEST), {"reason"}),
    (pb.ListRunsRequest(page_size=-1), {"page_size"}),
    (pb.ListRunsRequest(page_token="x"), {"page_token"}),  # noqa: S106 - no secret.
    (pb.ListRunsRequest(first_date=NO_DATE), {"first_date"}),
    (pb.ListRunsRequest(last_date=NO_DATE), {"last_date"}),
    (pb.ListRunsRequest(order=99), {"order"}),  # type: ignore[arg-type]
    (pb.ListRunsRequest(view=99), {"view"}),  # type: ignore[arg-type]
    (pb.StreamAllocationsRequest(), {"run"}),
    (pb.StreamAllocationsRequest(run="latest", series="AAPL"), {"series"}),
    (
        pb.StreamAllocationsRequest(run="latest", account="1", content=pb.ROW_CONTENT_POOLS),
        {"account"},
    ),
    (
        pb.StreamAllocationsRequest(run="latest", account="1", content=pb.ROW_CONTENT_NOTICES),
        {"account"},
    ),
    (pb.StreamAllocationsRequest(run="latest", format=99), {"format"}),  # type: ignore[arg-type]
    (pb.StreamAllocationsRequest(run="latest", content=99), {"content"}),  # type: ignore[arg-type]
    (pb.ExplainPoolRequest(series=AAPL), {"run"}),
    (pb.ExplainPoolRequest(run="latest"), {"series"}),
    (pb.ExplainPoolRequest(run="latest", account="1046", occ_account="C"), {"occ_account"}),
    (pb.ExplainPoolRequest(run="latest", series="AAPL"), {"series"}),
    (audit.ReplayRunRequest(), {"run"}),
    (audit.ReplayRunRequest(run="latest", engine=99), {"engine"}),  # type: ignore[arg-type]
    (audit.ReplayRunsRequest(engine=99), {"engine"}),  # type: ignore[arg-type]
    (audit.ReplayRunsRequest(business_date=NO_DATE), {"business_date"}),
    (audit.ReplayRunsRequest(business_date=date_pb2.Date()), {"business_date"}),
    *(
        (audit.ReplayRunsRequest(range=lottery_pb2.DateRange(**dates)), {field})
        for dates, field in (
            ({"first_date": NO_DATE}, "range.first_date"),
            ({"last_date": NO_DATE}, "range.last_date"),
            (
                {"first_date": date_of(NEXT_DATE), "last_date": date_of(PUBLISHED.date)},
                "range.last_date",
            ),
        )
    ),
    (audit.VerifyLedgerRequest(keys=["x", "y"]), {"keys[0]", "keys[1]"}),
    (audit.ExportRunRequest(), {"run"}),
    (audit.GetInclusionProofRequest(), {"run"}),
    (audit.GetInclusionProofRequest(run="latest", tree_size=9), {"tree_size"}),
    (audit.GetConsistencyProofRequest(), {"first_size"}),
    (audit.GetConsistencyProofRequest(first_size=1, second_size=9), {"second_size"}),
)
NEVER_REFUSED: Final = {"GetCheckpoint", "GetStatus", "ListProposals", "StreamEntries"}

ANSWERED: Final[Sequence[Sequence[Message]]] = (
    [pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))],
    [series_request()],
    [
        spec_of(
            PUBLISHED,
            acknowledgements=[lottery_pb2.Acknowledgement(code="FUTURE_DATE", reason="a test")],
        ),
        notices_of(*PUBLISHED.notices),
        positions_of(*PUBLISHED.positions),
    ],
    [pb.GetCharterRequest(business_date=date_of(PUBLISHED.date))],
    [pb.GetRunRequest(run="latest")],
    [pb.StreamAllocationsRequest(run="latest")],
    [pb.GetDayRequest(business_date=date_of(PUBLISHED.date))],
    [pb.DiffRunsRequest(run="latest", other_run="latest")],
    [pb.ExplainPoolRequest(run="latest", series=AAPL)],
    [odds_request()],
    [audit.ReplayRunRequest(run="latest")],
    [audit.ExportRunRequest(run="latest")],
    [audit.GetInclusionProofRequest(run="latest")],
    [audit.GetConsistencyProofRequest(first_size=1)],
    [pb.WithdrawRunRequest(run="2024-09-16-001", reason="OCC took the notices back")],
)
"""The messages of a call that is answered, for each method that requires anything."""
ANSWERED_UNDER_FOUR_EYES: Final[Sequence[Sequence[Message]]] = (
    [pb.ApproveRunRequest(run="2024-09-16-001", record_sha256=DIGEST)],
    [pb.RejectRunRequest(run="2024-09-16-001", record_sha256=DIGEST, reason="yesterday's file")],
)
"""Those that are answered in test_four_eyes.py."""


def behaviors_of(field: Any) -> Sequence[int]:
    """Return the `google.api.field_behavior` of a field."""
    found: Sequence[int] = field.GetOptions().Extensions[field_behavior]
    return found


def messages_below(descriptors: Iterable[Any]) -> dict[str, Any]:
    """Return these messages of the project and all within them, by their full names."""
    found: dict[str, Any] = {}
    for descriptor in descriptors:
        if descriptor.file.package == "lottery.v1" and not descriptor.GetOptions().map_entry:
            found[descriptor.full_name] = descriptor
            parts = (field.message_type for field in descriptor.fields)
            found |= messages_below(part for part in parts if part is not None)
    return found


def messages_or_one(messages: Sequence[Message]) -> Any:
    """Return the messages of a stream, or the one message of any other call."""
    return messages if isinstance(messages[0], pb.RunLotteryRequest) else messages[0]


def copy(message: Message) -> Message:
    """Return a copy of a message."""
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def field_at(message: Message, path: str) -> Any:
    """Return the descriptor of the field that a path leads to."""
    *names, last = re.sub(r"\[\d+\]", "", path).split(".")
    descriptor: Any = message.DESCRIPTOR
    for name in names:
        descriptor = descriptor.fields_by_name[name].message_type
    return descriptor.fields_by_name[last]


def without_required(message: Message, path: str = "") -> Iterator[tuple[str, Message]]:
    """Yield a message again and again, each time without one required field, and its path.

    Of repeated messages the first one is looked into.
    """
    for field, value in message.ListFields():
        if FieldBehavior.Value("REQUIRED") in behaviors_of(field):
            copied = copy(message)
            copied.ClearField(field.name)
            yield f"{path}{field.name}", copied
        if field.message_type is None or field.message_type.file.package != "lottery.v1":
            continue
        within = f"{path}{field.name}{'[0]' * field.is_repeated}."
        for missing, part in without_required(value[0] if field.is_repeated else value, within):
            copied = copy(message)
            inner = getattr(copied, field.name)
            (inner[0] if field.is_repeated else inner).CopyFrom(part)
            yield missing, copied


MISSING: Final = [
    (path, [*messages[:index], copied, *messages[index + 1 :]])
    for messages in (*ANSWERED, *ANSWERED_UNDER_FOUR_EYES)
    for index, message in enumerate(messages)
    for path, copied in without_required(message)
]


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server over a ledger in which `PUBLISHED` is recorded."""
    with called(tmp_path_factory.mktemp("one") / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        yield stubs


def test_every_method_that_refuses_anything_is_tried_here() -> None:
    tried = {method_of(request).name for request, _ in REFUSED}

    assert tried == {method.name for method in METHODS.values()} - NEVER_REFUSED


@pytest.mark.parametrize(
    ("request_of_it", "fields"),
    REFUSED,
    ids=[f"{method_of(request).name} {min(fields)}" for request, fields in REFUSED],
)
def test_what_is_refused_is_named_by_its_path_in_the_request(
    one_run: Stubs, request_of_it: Request, fields: set[str]
) -> None:
    failure = failure_to(one_run, request_of_it)

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.fields) == fields
    descriptor = method_of(request_of_it).input_type
    assert [field for field in failure.fields if not is_path(descriptor, field)] == []


def test_every_field_says_how_it_behaves() -> None:
    """Fields that are sent are required or optional; all others are the server's."""
    sent = messages_below(method.input_type for method in METHODS.values())
    returned = messages_below(method.output_type for method in METHODS.values())
    ours = {"OUTPUT_ONLY", "IDENTIFIER"}

    for message in (sent | returned).values():
        expected = {"REQUIRED", "OPTIONAL"} if message.full_name in sent else ours
        for field in message.fields:
            behaviors = {FieldBehavior.Name(value) for value in behaviors_of(field)}
            assert len(behaviors & expected) == 1, f"{field.full_name}: expected one of {expected}"
            assert behaviors <= expected, field.full_name


def test_every_required_field_is_left_out_below() -> None:
    required = {
        field.full_name
        for message in messages_below(method.input_type for method in METHODS.values()).values()
        for field in message.fields
        if FieldBehavior.Value("REQUIRED") in behaviors_of(field)
    }

    assert {field_at(messages[0], path).full_name for path, messages in MISSING} == required


@pytest.mark.parametrize("messages", ANSWERED, ids=lambda messages: method_of(messages[0]).name)
def test_what_has_its_required_fields_is_answered(
    one_run: Stubs, messages: Sequence[Message]
) -> None:
    read(send(one_run, messages_or_one(messages)))


@pytest.mark.parametrize(
    ("path", "messages"),
    MISSING,
    ids=[f"{method_of(messages[0]).name} {path}" for path, messages in MISSING],
)
def test_a_required_field_that_is_missing_is_refused(
    one_run: Stubs, path: str, messages: Sequence[Message]
) -> None:
    failure = failure_to(one_run, messages_or_one(messages))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in failure.fields


def test_a_path_is_followed_by_the_descriptors() -> None:
    paths = {
        "spec.exchange_asks[3].ask_price": True,
        "arrow_notices[7].anything": True,
        "spec": True,
        "cycle": False,
        "spec[0]": False,
        "spec.supersede": False,
        "spec.cycle.year": False,
        "": False,
    }

    assert {path: is_path(pb.RunLotteryRequest.DESCRIPTOR, path) for path in paths} == paths


def is_path(descriptor: Any, path: str) -> bool:
    """Return whether a path leads to a field of a message; rows of Arrow have columns instead."""
    name, _, rest = path.partition(".")
    match = re.fullmatch(r"(\w+)(\[\d+\])?", name)
    field = descriptor.fields_by_name.get(match[1]) if match else None
    if match is None or field is None:
        return False
    if field.name in ARROW_ROWS:
        return True
    if match[2] and not field.is_repeated:
        return False
    return not rest or (field.message_type is not None and is_path(field.message_type, rest))
