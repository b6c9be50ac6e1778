"""The fields of the messages: what is refused is named by its path in the request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from google.type import date_pb2

from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import AAPL, NEXT_DATE, PUBLISHED, arrow_payload, notice, position
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
    rows_of,
    run_day,
    series_request,
    spec_of,
)

NO_DATE: Final = date_pb2.Date(year=2024, month=2, day=30)
WRONG_ASKS: Final = [
    *asks_of({"Z901803": "1.000001", "Z901439": "x", "Z901466": "1"}),
    lottery_pb2.ExchangeAsk(security_number="Z1", ask_price="1"),
]
WRONG_POOL: Final[dict[str, Any]] = {
    "series": "AAPL",
    "occ_account": "no blanks",
    "assigned_quantity": -3,
    "positions": {"1046": -1, "x": 2, "7": 1, "007": 1},
    "decisions": lottery_pb2.Decisions(zero_hit="dice"),
}
ARROW_ROWS: Final = frozenset({"arrow_notices", "arrow_positions", "arrow_occ_positions"})

Request = Message | Sequence[pb.RunLotteryRequest]


def payload_of(**columns: list[Any]) -> bytes:
    """Return these columns as an Arrow payload."""
    return arrow_payload(pa.table(columns))


REFUSED: Final[Sequence[tuple[Request, set[str]]]] = (
    (
        pb.DeriveSeedRequest(exchange_asks=WRONG_ASKS),
        {
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
            "decisions",
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
        odds_request(**WRONG_POOL),
        {
            "assigned_quantity",
            "decisions",
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
                decisions=lottery_pb2.Decisions(zero_hit="dice"),
                notice_count=9,
                position_count=9,
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
            "spec.decisions",
            "spec.exchange_asks",
            "spec.exchange_asks[0].ask_price",
            "spec.notice_count",
            "spec.occ_position_count",
            "spec.position_count",
            "spec.reason",
            "spec.request_id",
            "spec.supersedes",
        },
    ),
    (rows_of(PUBLISHED), {"spec"}),
    (
        messages_of(replace(PUBLISHED, date=NEXT_DATE), supersedes=["latest"], reason="late"),
        {"spec.supersedes"},
    ),
    (pb.GetCharterRequest(business_date=NO_DATE), {"business_date"}),
    (pb.GetRunRequest(), {"run"}),
    (pb.ListRunsRequest(page_size=-1), {"page_size"}),
    (pb.ListRunsRequest(page_token="x"), {"page_token"}),  # noqa: S106 - no secret.
    (pb.ListRunsRequest(first_date=NO_DATE), {"first_date"}),
    (pb.ListRunsRequest(last_date=NO_DATE), {"last_date"}),
    (pb.StreamAllocationsRequest(), {"run"}),
    (pb.StreamAllocationsRequest(run="latest", series="AAPL"), {"series"}),
    (
        pb.StreamAllocationsRequest(run="latest", account="1", content=pb.ROW_CONTENT_POOLS),
        {"account"},
    ),
    (pb.ExplainPoolRequest(series=AAPL), {"run"}),
    (pb.ExplainPoolRequest(run="latest"), {"series"}),
    (pb.ExplainPoolRequest(run="latest", series="AAPL"), {"series"}),
    (audit.ReplayRunRequest(), {"run"}),
    (audit.ReplayRunRequest(run="latest", engine=99), {"engine"}),  # type: ignore[arg-type]
    (audit.ReplayRunsRequest(engine=99), {"engine"}),  # type: ignore[arg-type]
    (audit.ReplayRunsRequest(business_date=NO_DATE), {"business_date"}),
    (
        audit.ReplayRunsRequest(
            business_date=date_of(NEXT_DATE), last_date=date_of(PUBLISHED.date)
        ),
        {"last_date"},
    ),
    (audit.VerifyLedgerRequest(keys=["x", "y"]), {"keys[0]", "keys[1]"}),
    (audit.ExportRunRequest(), {"run"}),
    (audit.GetInclusionProofRequest(), {"run"}),
    (audit.GetInclusionProofRequest(run="latest", tree_size=9), {"tree_size"}),
    (audit.GetConsistencyProofRequest(), {"first_size"}),
    (audit.GetConsistencyProofRequest(first_size=1, second_size=9), {"second_size"}),
)
NEVER_REFUSED: Final = {"GetCheckpoint"}


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
